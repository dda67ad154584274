"""The policy against the engine's own parser: of every Dockerfile of a corpus, both say the same.

What the policy lets pass, the engine reads: with the same images and steps, and it fetches nothing else. What the
policy refuses or nobody can read, the engine cannot read either, or would have fetched something that is not allowed;
where the policy is stricter than that, the corpus says why. No rule of any parser is written here: BuildKit names every
image that it asks for, every address that it fetches and every step, in messages that no Dockerfile can write.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

from grader.dockerfile.image_names import is_allowed, normalised
from grader.dockerfile.parser import Dockerfile, parse
from grader.dockerfile.policy import judge_dockerfile
from grader.engine.build.builders import error_of, json_messages, unsupported
from grader.engine.build.trace import decode_status
from grader.engine.docker_engine import connect
from grader.engine.http import Connection, Refused
from grader.engine.ownership import labels, this_process
from grader.engine.tar import write_tar
from grader.engine.watchdog import Cancellation
from grader.models import MemoryFile
from grader.sandbox.nested_engine import PrivateEngine
from tests.dockerfiles import ALLOWED, ENTRIES, Entry

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]  # hundreds of builds, beside others that build

NAMES = (*ALLOWED, "far:latest", "far:2", "far.invalid/near:latest", "user/far:latest")
FILES = {"a": b"a", "b": b"b", "sp ace": b"c"}
NUMBERED = {"ADD", "COPY", "RUN", "WORKDIR"}
"""Besides FROM with an image, the instructions that are steps."""
SECONDS = 60.0
IMAGE = re.compile(r"(?:\[internal\] load metadata for|(?:\[[^\]]*\] )?FROM) (\S+)$")
FRONTEND = re.compile(r"(?:resolve image config for |docker-image://)(\S+)")
ADDRESS = re.compile(r"((?:https?|git|ssh)(?:://|@)\S+)$")
NOT_FETCHED = re.compile(r'failed to load cache key: (Get "[^"]+"|failed to init repo|[^:]*git)')
"""There is nothing at the addresses that are used, and the engine complains."""
STEP = re.compile(r"\[(?:(?P<stage>[^\]\s]*) +)? *(?P<number>\d+)/(?P<total>\d+)\] +(?P<keyword>\S+)")


def test_what_the_policy_lets_pass_is_what_this_machines_engine_reads() -> None:
    with connect(builder="buildkit") as engine:
        found = compared(engine.connection, [entry for entry in ENTRIES if entry.ours == "passes"])
    assert found == [], "\n".join(found)


@pytest.mark.private
def test_the_policy_and_todays_engine_agree(private: PrivateEngine) -> None:
    found = compared(private.engine.connection, ENTRIES)
    assert found == [], "\n".join(found)


def compared(connection: Connection, entries: Sequence[Entry]) -> list[str]:
    """Every disagreement over these entries."""
    version = str(connection.call("GET", "/version").json["Version"])
    with tiny_images(connection):
        return [f"{entry.name}: {line}" for entry in entries for line in disagreements(connection, version, entry)]


def disagreements(connection: Connection, version: str, entry: Entry) -> Iterator[str]:
    dockerfile = parse(entry.content)
    found = judge_dockerfile(dockerfile, ALLOWED)
    if isinstance(dockerfile, Dockerfile) and not found.refusals:
        names = [stage.name for stage in dockerfile.stages if stage.name]
        knows_all = unsupported(dockerfile, "buildkit", version) is None
        for target in ["", *dict.fromkeys(names)]:
            seen = look(connection, dockerfile.built, target)
            if seen.is_content != knows_all and not entry.fails:
                yield f"{'not read' if knows_all else 'read'} by the engine: {seen.error}"
            if seen.foreign:
                yield f"FETCHED: {seen.foreign}: {seen}"
            if not (asked := {*map(normalised, seen.images)}) <= {*found.bases}:
                yield f"asked for {asked}, not only {found.bases}"
            triggers = any(one.trigger for one in dockerfile.instructions)  # which the engine counts as steps
            if (strange := seen.steps - steps(dockerfile)) and not triggers:
                yield f"steps {strange}, not {steps(dockerfile)}"
    elif not entry.deadly:
        seen = look(connection, entry.content)
        if seen.is_content and not seen.foreign and not entry.stricter:
            yield f"{entry.ours} for no reason: {seen}"


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


# ── the engine's side ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Seen:
    """One build. `vertices` are BuildKit's names of all that it does, `error` its last word, "" if it was content."""

    vertices: tuple[str, ...]
    error: str

    def _named(self, pattern: re.Pattern[str]) -> set[str]:
        return {match[1] for name in self.vertices if (match := pattern.match(name))}

    @property
    def images(self) -> set[str]:
        """The images that were asked for, in BuildKit's form (`docker.io/library/near:latest`)."""
        return self._named(IMAGE)

    @property
    def foreign(self) -> set[str]:
        """What was fetched, or asked for, that the course does not allow."""
        images = {image for image in self.images if not is_allowed(image, ALLOWED)}
        return images | self._named(FRONTEND) | self._named(ADDRESS) | {*NOT_FETCHED.findall(self.error)}

    @property
    def steps(self) -> set[tuple[str, int, int, str]]:
        """(stage, number, of how many, keyword) of each step."""
        found = filter(None, map(STEP.match, self.vertices))
        return {(one["stage"] or "", int(one["number"]), int(one["total"]), one["keyword"].upper()) for one in found}

    @property
    def is_content(self) -> bool:
        """Whether the engine could read it, and began."""
        return bool(self.steps or self.images) or not self.error


def look(connection: Connection, dockerfile: bytes, target: str = "") -> Seen:
    """Build it as `docker build` does, up to a stage, and remove what came of it."""
    tag = f"grader-seen-{secrets.token_hex(6)}"
    vertices: dict[str, str] = {}
    errors: list[str] = []
    for message in built(connection, {"Dockerfile": dockerfile, **FILES}, t=tag, target=target, rm="1"):
        if message.get("id") == "moby.buildkit.trace":
            status = decode_status(base64.b64decode(str(message["aux"])))
            vertices |= {vertex.digest: vertex.name for vertex in status.vertices}
        elif error := error_of(message):
            errors.append(error)
    remove(connection, tag)
    return Seen(tuple(vertices.values()), " ".join(errors))


def built(connection: Connection, files: Mapping[str, bytes], **parameters: str) -> Iterator[dict[str, object]]:
    """The messages of a build."""
    context = write_tar([MemoryFile(name, content) for name, content in files.items()], modified=0)
    known = {"dockerfile": "Dockerfile", "version": "2", **parameters}
    stream = connection.stream("POST", "/build", parameters=known, data=context, silence=SECONDS)
    with contextlib.closing(stream), Cancellation().watch(stream.abort) as watchdog:
        watchdog.start(SECONDS)
        yield from json_messages(stream, watchdog)
    assert not watchdog.reason, f"a build took more than {SECONDS:g} s"


@contextlib.contextmanager
def tiny_images(connection: Connection) -> Iterator[None]:
    """An image of one small file, under all names that are used, so that the engine gets far and leaves little."""
    ours = json.dumps(dict(labels("0" * 12, this_process(), "image")))
    list(built(connection, {"Dockerfile": b"FROM scratch\nCOPY Dockerfile /\n"}, t=NAMES[0], labels=ours))
    try:
        for name in NAMES[1:]:
            repository, _, tag = name.rpartition(":")
            connection.call("POST", f"/images/{NAMES[0]}/tag", parameters={"repo": repository, "tag": tag})
        yield
    finally:
        for name in NAMES:
            remove(connection, name)


def remove(connection: Connection, name: str) -> None:
    with contextlib.suppress(Refused):
        connection.call("DELETE", f"/images/{name}")
