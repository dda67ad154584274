"""The policy against the engine's own parser: of every Dockerfile of a corpus, both say the same.

What the policy lets pass, the engine reads: with the same images, stages and steps, and it fetches nothing else. What
the policy refuses or nobody can read, the engine cannot read either, or would have fetched something that is not
allowed; where the policy is stricter than that, the corpus says why.

`.venv/bin/python -m tests.engine.differential unix:///path/of/an/engines.sock` compares all of the corpus. Not with an
engine that others use: Docker 20.10 and 26.1 end in a panic at a Dockerfile of ARGs alone, which the policy lets no
engine see, and there may be more of that kind.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from grader.dockerfile.image_names import is_allowed, normalised
from grader.dockerfile.parser import Dockerfile, parse
from grader.dockerfile.policy import judge_dockerfile
from grader.engine.build.builders import unsupported
from grader.engine.docker_engine import connect
from grader.engine.http import Connection
from grader.engine.ownership import labels, this_process
from tests.dockerfiles import ALLOWED, ENTRIES, Entry
from tests.engine.engineview import Seen, look, tiny_images

NAMES = (*ALLOWED, "far:latest", "far:2", "far.invalid/near:latest", "user/far:latest")
FILES = {"a": b"a", "b": b"b", "sp ace": b"c"}
NUMBERED = {"ADD", "COPY", "RUN", "WORKDIR"}
"""Besides FROM with an image, the instructions that are steps."""


# ── the two sides ───────────────────────────────────────────────────────────────────────


def disagreements(connection: Connection, version: str, entry: Entry) -> Iterator[str]:
    """What one entry shows, each a line."""
    dockerfile = parse(entry.content)
    found = judge_dockerfile(dockerfile, ALLOWED)
    if isinstance(dockerfile, Dockerfile) and not found.refusals:
        names = [stage.name for stage in dockerfile.stages if stage.name]
        knows_all = unsupported(dockerfile, "buildkit", version) is None
        for target in ["", *dict.fromkeys(names)]:
            seen = look(connection, dockerfile.built, FILES, target)
            if is_content(seen) != knows_all and not entry.fails:
                yield f"{'not read' if knows_all else 'read'} by the engine: {seen.error}"
            yield from of_passed(dockerfile, found.bases, seen)
        return
    if entry.deadly:
        return
    seen = look(connection, entry.content, FILES)
    if is_content(seen) and not foreign(seen) and not entry.stricter:
        yield f"{entry.ours} for no reason: {seen}"


def of_passed(dockerfile: Dockerfile, bases: tuple[str, ...], seen: Seen) -> Iterator[str]:
    if foreign(seen):
        yield f"FETCHED: {foreign(seen)}: {seen}"
    asked = {normalised(image) for image in seen.images}
    if not asked <= {*bases}:
        yield f"asked for {asked}, not only {bases}"
    strange = {step for step in seen.steps if step not in steps(dockerfile)}
    strange = set() if any(one.trigger for one in dockerfile.instructions) else strange  # which it counts as steps
    if strange:
        yield f"steps {strange}, not {steps(dockerfile)}"


def foreign(seen: Seen) -> set[str]:
    """What was fetched, or asked for, that the course does not allow."""
    images = {image for image in seen.images if not is_allowed(image, ALLOWED)}
    return images | {*seen.frontends} | {*seen.addresses}


def is_content(seen: Seen) -> bool:
    """Whether the engine could read it, and began."""
    return bool(seen.steps or seen.images) or not seen.error


def steps(dockerfile: Dockerfile) -> set[tuple[str, int, int, str]]:
    """The steps as we read them, with a stage's name in each of the ways in which BuildKit calls it."""
    found = set()
    earlier: set[str] = set()
    for number, stage in enumerate(dockerfile.stages):
        own = [one.keyword for one in dockerfile.instructions if one.stage == number and one.keyword in NUMBERED]
        words = own if stage.image in {"scratch", *earlier} else ["FROM", *own]
        earlier.add(stage.name)
        for name in {"", f"stage-{number}", stage.name}:
            found |= {(name, place, len(words), word) for place, word in enumerate(words, start=1)}
    return found


# ── all of them ─────────────────────────────────────────────────────────────────────────


def compared(connection: Connection, entries: Sequence[Entry]) -> list[str]:
    """Every disagreement over these entries; how many agree is printed."""
    version = str(connection.call("GET", "/version").json["Version"])
    found: list[str] = []
    counts: Counter[str] = Counter()
    with tiny_images(connection, NAMES, dict(labels("0" * 12, this_process(), "image"))):
        for entry in entries:
            lines = [f"{entry.name}: {line}" for line in disagreements(connection, version, entry)]
            counts[f"{entry.ours}, {'DISAGREED' if lines else 'agreed'}"] += 1
            found += lines
    print(f"{len(entries)} Dockerfiles, engine {version}:", dict(counts))  # noqa: T201 - figures for whoever looks
    return found


if __name__ == "__main__":
    with connect(endpoint=sys.argv[1], builder="buildkit") as engine:
        print("\n".join(compared(engine._connection, ENTRIES)))  # noqa: T201 - as above
