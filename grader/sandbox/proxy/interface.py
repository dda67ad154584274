"""What the grader and the proxy exchange: settings in, and a record of a script's requests out, both as JSON."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from grader.models import EngineRequest

QUOTA: dict[str, int] = {
    "requests": 5000,
    "containers": 64,
    "commands": 256,
    "networks": 24,
    "volumes": 128,
    "images": 64,
    "builds": 64,
}
"""The most that one script may ask for, whether what it made is still there or not. An honest script makes a handful.

All of it slows an engine down for a long time (a thousand networks) or fills the record. `images` counts names too: a
tag, and each `-t` of a build. Networks are fewer than an engine has addresses for (31).
"""
_RECORD_LIMIT = 8 * 1024 * 1024
"""Bytes of a record. A line of a few hundred is usual; that of a build names each file of its context."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where the proxy listens, what it guards, and what it lets pass.

    `listen` and `engine` are paths of unix sockets; that of `listen` is made new, for this user alone. `record` is a
    file to which a line of JSON is appended for each request. `workspace` is the submission's folder: scripts, the
    nested engine and the proxy have it at the same path. `images` are the names of the course's base images, which may
    have `*` in them. A build's context holds at most `context_mb` MiB in `context_files` files. A container gets at
    most `cpus` cores, which has to be no more than the engine has (0: no bound).
    """

    listen: str
    engine: str
    record: str
    workspace: str
    images: Sequence[str] = ()
    context_mb: int = 32
    context_files: int = 2000
    cpus: float = 0.0
    quota: Mapping[str, int] = field(default_factory=lambda: dict(QUOTA))

    def to_json(self) -> bytes:
        """The document that the program reads: the fields by their names."""
        return json.dumps(dataclasses.asdict(self)).encode()


@dataclass(frozen=True, slots=True)
class Record:
    """What a script asked its engine for, in the order in which the requests began.

    `refusals` says what those were told that were not passed on; among `requests`, they have the status 403.
    """

    requests: tuple[EngineRequest, ...] = ()
    refusals: tuple[str, ...] = ()


@dataclass(slots=True)
class Recorder:
    """Writes the record. From any thread."""

    file: BinaryIO
    _size: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write down a request: fields of `EngineRequest`, when it `began`, and what a `refused` one was told.

        Once the record is full, only what kind of request it was.
        """
        with self._lock:
            line = _line(entry)
            if self._size + len(line) > _RECORD_LIMIT:
                kept = {name: entry[name] for name in ("began", "method", "status", "refused") if name in entry}
                line = _line(kept | {"path": entry["path"][:200]})
            self._size += len(line)
            self.file.write(line)
            self.file.flush()


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in entry.items() if value}).encode() + b"\n"


def read_record(text: bytes) -> Record:
    """Read what a `Recorder` wrote. A last line that is cut off, because the proxy was killed, is left out."""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
    lines.sort(key=lambda line: float(line.pop("began")))
    refusals = [str(line.pop("refused")) for line in lines if "refused" in line]
    return Record(
        tuple(EngineRequest(**{name: _frozen(value) for name, value in line.items()}) for line in lines),
        tuple(refusals),
    )


def _frozen(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Lists as the tuples that they were."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
