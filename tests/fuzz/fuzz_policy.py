"""Any Dockerfile, and any .dockerignore, gets an answer of the policy, soon; and what it lets pass is allowed.

`.venv/bin/python -m tests.fuzz.fuzz_policy --seconds 600 --seed 1`
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from grader.dockerfile.image_names import is_allowed
from grader.dockerfile.policy import judge_dockerfile
from grader.engine.build.context import make_job
from grader.models import MemoryFile
from grader.submissions.models import ExerciseFiles
from tests.fuzz.harness import Found, main, mutated_bytes, mutated_text

ROOT = Path(__file__).parents[2]
PATTERNS = ("python:3.9", "python:3.9-slim", "python:3.9.*", "python:latest")

TOKENS = """\
FROM from AS ARG ENV RUN COPY ADD CMD ENTRYPOINT WORKDIR USER VOLUME EXPOSE LABEL HEALTHCHECK SHELL STOPSIGNAL
ONBUILD MAINTAINER NONE python:3.9 python scratch evil docker.io/library/python:3.9 localhost:5000/x python@sha256:0
${X} $X ${X:-y} ${X:+y} ${X:?z} ${X#a*} ${X##*a} ${X%b} ${X%%b*} ${X/a/b} ${X//a/b} ${${X}} ${ $ $$ \\$X --from=a
--from=0 --from= --from=x:y --mount=type=cache,target=/x --mount=type=bind,from=evil --mount=type=secret
--mount=type=ssh --mount= --network=host --security=insecure --platform=linux/arm64 --platform=$X --chmod=755
--chown=1:1 --link --checksum=x --parents --exclude=*.py <<EOF <<-EOF <<"EOF" <<'EOF' EOF <<A<<B <<EOF<<EOF \\ ` #
escape=` # syntax=evil/x #syntax=docker/dockerfile:1 # check=skip=all [ ] ["a","b"] [" { } , " ' ; && | http://x/y
git@x:y.git https://x/y.git#a:b ../.. /etc . * ** ! !a [a-z] [!a a/**/b \\* = : @
"""
WORDS = TOKENS.split()


def seeds() -> list[str]:
    """Every Dockerfile of the course, right and wrong ones, and a few lines of each kind."""
    there = [*(ROOT / "starter").rglob("Dockerfile"), *(ROOT / "reference").rglob("Dockerfile")]
    found = {path.read_bytes().decode("utf-8", "replace") for path in there if path.stat().st_size < 20_000}
    return [
        *sorted(found),
        "ARG V=3.9\nFROM python:${V}-slim AS build\nFROM build\nCOPY --from=build /a /b\n",
        "FROM python:3.9\nRUN <<EOF\nFROM evil\nEOF\nCOPY <<A <<B /x/\n1\nA\n2\nB\n",
        "# syntax=docker/dockerfile:1\n# escape=`\nFROM python:3.9\nRUN a `\n  # comment\n  b\n",
        "FROM python:3.9\nONBUILD COPY --from=x a b\nHEALTHCHECK CMD x\nRUN --mount=from=python,target=/x y\n",
    ]


SEEDS = seeds()
IGNORES = ["", "*\n!Dockerfile\n", "**/*.pyc\n.git\n", "a*a*a*a*a*a*b\n", "[a-z]?x\\*\n"]


def once(draw: random.Random) -> str:
    """One Dockerfile with a .dockerignore."""
    content = dockerfile(draw)
    ignore = mutated_text(draw, draw.choice(IGNORES), WORDS, IGNORES).encode("utf-8", "surrogatepass")
    files = (
        MemoryFile(".dockerignore", ignore),
        MemoryFile(draw.choice(["Dockerfile"] * 9 + ["dockerfile", "a" * 60]), content),
        MemoryFile("a" * 60 + "c", b""),
    )
    handed = ExerciseFiles("3.1.1", "3.1.1", files, "")
    found = judge_dockerfile(handed.dockerfile, PATTERNS)
    make_job(handed, (), "fuzz")
    for refusal in found.refusals:
        if not refusal.message or "\n" in refusal.message:
            raise Found(f"a refusal is not one line: {refusal.message!r}")
    if found.refusals:
        return "refused"
    strange = [base for base in found.bases if not is_allowed(base, PATTERNS)]
    if strange:
        raise Found(f"let pass: {strange} by {content!r}")
    return f"passed, as {type(handed.dockerfile).__name__}"


def dockerfile(draw: random.Random) -> bytes:
    """A mutated Dockerfile, or words, or bytes."""
    text = draw.choice(SEEDS)
    match draw.randrange(8):
        case 0:
            return draw.choice([" ", "\n", ""]).join(draw.choices(WORDS, k=draw.randint(1, 80))).encode()
        case 1:
            return mutated_bytes(draw, text.encode())
        case _:
            return mutated_text(draw, text, WORDS, SEEDS).encode("utf-8", "surrogatepass")


if __name__ == "__main__":
    sys.exit(main(once))
