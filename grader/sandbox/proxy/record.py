"""The record of a script's requests: a line of JSON for each, written as it ends, and read back as values."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from grader.models import EngineRequest

_RECORD_LIMIT = 8 * 1024 * 1024
"""Bytes of a record. A line of a few hundred is usual; that of a build names each file of its context."""
_PATH_KEPT = 200


@dataclass(frozen=True, slots=True)
class Record:
    """What a script asked its engine for, in the order in which the requests began.

    `refusals` says what those were told that were not passed on; among `requests`, they have the status 403.
    """

    requests: tuple[EngineRequest, ...] = ()
    refusals: tuple[str, ...] = ()


@dataclass(slots=True)
class Entry:
    """One request while it is under way; `refused` is what its sender was told, if it was not passed on."""

    request: EngineRequest = field(default_factory=lambda: EngineRequest("?", "/"))
    refused: str = ""
    began: float = field(default_factory=time.monotonic)

    def note(self, **values: object) -> None:
        """Set fields of the request."""
        self.request = dataclasses.replace(self.request, **values)  # type: ignore[arg-type] # as those are declared


@dataclass(slots=True)
class Recorder:
    """Writes the record. From any thread."""

    file: BinaryIO
    _size: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, entry: Entry) -> None:
        """Write a request down; once the record is full, only what kind of request it was."""
        line = _line(entry.request, entry)
        with self._lock:
            if self._size + len(line) > _RECORD_LIMIT:
                one = entry.request
                line = _line(EngineRequest(one.method, one.path[:_PATH_KEPT], status=one.status), entry)
            self._size += len(line)
            self.file.write(line)
            self.file.flush()


def _line(request: EngineRequest, entry: Entry) -> bytes:
    values = dataclasses.asdict(request) | {"refused": entry.refused}
    kept = {"began": entry.began} | {name: value for name, value in values.items() if value}
    return json.dumps(kept, separators=(",", ":")).encode() + b"\n"


def created(body: Mapping[str, Any]) -> dict[str, object]:
    """What is noted of a request that creates a container, from the settings that were sent."""
    return {
        "image": str(body.get("Image") or ""),
        "command": _command(body.get("Cmd")),
        "entrypoint": _command(body.get("Entrypoint")),
    }


def _command(value: object) -> tuple[str, ...] | None:
    return tuple(str(word) for word in value) if isinstance(value, list) and value else None


def read_record(text: bytes) -> Record:
    """Read what a `Recorder` wrote. A last line that is cut off, because the proxy was killed, is left out."""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")]
    lines.sort(key=lambda line: float(line.pop("began")))
    refusals = [str(line.pop("refused")) for line in lines if "refused" in line]
    return Record(tuple(EngineRequest(**_frozen(line)) for line in lines), tuple(refusals))


def _frozen(line: dict[str, Any]) -> dict[str, Any]:
    """Lists as the tuples that they were."""
    return {
        name: tuple(tuple(one) if isinstance(one, list) else one for one in value) if isinstance(value, list) else value
        for name, value in line.items()
    }
