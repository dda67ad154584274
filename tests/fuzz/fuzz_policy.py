"""Any Dockerfile, and any .dockerignore, gets an answer of the policy, soon; and what it lets pass is allowed.

`.venv/bin/python -m tests.fuzz.fuzz_policy --seconds 600 --seed 1`
"""

from __future__ import annotations

import random
import sys

from grader.dockerfile.image_names import is_allowed
from grader.dockerfile.policy import judge_dockerfile
from grader.engine.build.context import make_job
from grader.models import MemoryFile
from grader.submissions.models import ExerciseFiles
from tests.dockerfiles import ALLOWED, ENTRIES
from tests.fuzz.harness import Found, main, mutated_bytes, mutated_text

SEEDS = [entry.text for entry in ENTRIES if len(entry.text) < 2000]
WORDS = sorted({word for text in SEEDS for word in text.split()})
IGNORES = ["", "*\n!Dockerfile\n", "**/*.pyc\n.git\n", "a*a*a*a*a*a*b\n", "[a-z]?x\\*\n", "a/**/b\n!a\n", "[^a]*\n"]


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
    found = judge_dockerfile(handed.dockerfile, ALLOWED)
    make_job(handed, (), "fuzz")
    for refusal in found.refusals:
        if not refusal.message or "\n" in refusal.message:
            raise Found(f"a refusal is not one line: {refusal.message!r}")
    if found.refusals:
        return "refused"
    strange = [base for base in found.bases if not is_allowed(base, ALLOWED)]
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
