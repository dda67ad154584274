"""What an engine makes of a Dockerfile, observed by what it does: no rule of any parser is written here.

BuildKit names every image that it asks for, every address that it fetches, and every step of every stage, in messages
that no Dockerfile can write. The images exist, made of one file and called by all the names that are used, so that the
engine gets far and leaves little.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import secrets
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from grader.engine.build.builders import error_of, json_messages
from grader.engine.build.trace import decode_status
from grader.engine.http import Connection, Parameters, Refused
from grader.engine.watchdog import Cancellation
from grader.errors import EngineError

__all__ = ["Seen", "look", "tiny_images"]

_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One build. `vertices` are BuildKit's names of all that it does, `error` its last word, "" if it was content."""

    vertices: tuple[str, ...]
    error: str

    @property
    def images(self) -> frozenset[str]:
        """The images that were asked for, in BuildKit's form (`docker.io/library/near:latest`)."""
        pattern = re.compile(r"(?:\[internal\] load metadata for|(?:\[[^\]]*\] )?FROM) (\S+)$")
        found = (pattern.match(name) for name in self.vertices)
        return frozenset(match[1] for match in found if match)

    @property
    def frontends(self) -> frozenset[str]:
        """The images that were asked for to read the Dockerfile instead of the engine."""
        found = (re.match(r"(?:resolve image config for |docker-image://)(\S+)", name) for name in self.vertices)
        return frozenset(match[1] for match in found if match)

    @property
    def addresses(self) -> frozenset[str]:
        """What was fetched, or was to be: there is nothing at the addresses that are used, and the engine complains."""
        found = (re.match(r"(?:https?|git|ssh)(?:://|@)\S+$", name) for name in self.vertices)
        failed = re.findall(r'failed to load cache key: (Get "[^"]+"|failed to init repo|[^:]*git)', self.error)
        return frozenset([*(match[0] for match in found if match), *failed])

    @property
    def steps(self) -> tuple[tuple[str, int, int, str], ...]:
        """(stage, number, of how many, keyword) of each step, in order."""
        pattern = re.compile(r"\[(?:(?P<stage>[^\]\s]*) +)? *(?P<number>\d+)/(?P<total>\d+)\] +(?P<keyword>\S+)")
        found = (pattern.match(name) for name in self.vertices)
        steps = (
            (one["stage"] or "", int(one["number"]), int(one["total"]), one["keyword"].upper()) for one in found if one
        )
        return tuple(sorted({*steps}))


def look(connection: Connection, dockerfile: bytes, files: Mapping[str, bytes], target: str = "") -> Seen:
    """Build it as `docker build` does, up to a stage, and remove what came of it."""
    tag = f"grader-seen-{secrets.token_hex(6)}"
    parameters: Parameters = {
        "t": tag,
        "dockerfile": "Dockerfile",
        "version": "2",
        "buildid": tag,
        "target": target,
        "rm": 1,
    }
    names: dict[str, str] = {}
    errors: list[str] = []
    stream = connection.stream(
        "POST", "/build", parameters=parameters, data=_context(dockerfile, files), silence=_SECONDS
    )
    with contextlib.closing(stream), Cancellation().watch(stream.abort) as watchdog:
        watchdog.start(_SECONDS)
        for message in json_messages(stream, watchdog):
            if message.get("id") == "moby.buildkit.trace":
                status = decode_status(base64.b64decode(str(message["aux"])))
                names |= {vertex.digest: vertex.name for vertex in status.vertices}
            elif told := error_of(message):
                errors.append(told)
    if watchdog.reason:
        raise EngineError(f"a build took more than {_SECONDS:g} s")
    _remove(connection, tag)
    return Seen(tuple(names.values()), " ".join(errors))


@contextlib.contextmanager
def tiny_images(connection: Connection, names: tuple[str, ...], labels: Mapping[str, str]) -> Iterator[None]:
    """An image of one small file, under these names, which end at the end."""
    first, *others = names
    parameters = {"t": first, "dockerfile": "Dockerfile", "version": "2", "labels": json.dumps(dict(labels))}
    data = _context(b"FROM scratch\nCOPY Dockerfile /\n", {})
    stream = connection.stream("POST", "/build", parameters=parameters, data=data, silence=_SECONDS)
    with contextlib.closing(stream):
        for _ in stream:
            pass
    try:
        for name in others:
            repository, _, tag = name.rpartition(":")
            connection.call("POST", f"/images/{first}/tag", parameters={"repo": repository, "tag": tag})
        yield
    finally:
        for name in names:
            _remove(connection, name)


def _remove(connection: Connection, name: str) -> None:
    with contextlib.suppress(Refused):
        connection.call("DELETE", f"/images/{name}")


def _context(dockerfile: bytes, files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in {"Dockerfile": dockerfile, **files}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
