"""BuildKit's trace messages, decoded.

The engine passes BuildKit's progress on as JSON messages with the id `moby.buildkit.trace`, whose `aux` is a protobuf
message in base64: `moby.buildkit.v1.StatusResponse` of
https://github.com/moby/buildkit/blob/master/api/services/control/control.proto. The fields that are needed here are few
and fixed; everything unknown is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Vertex:
    """One node of the build's graph. Times are seconds of the engine's clock, None if not reached."""

    digest: str
    name: str = ""
    cached: bool = False
    started: float | None = None
    completed: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """Output of a vertex, as it was written to one stream: 1 is standard output, 2 standard error."""

    vertex: str
    data: bytes = b""
    stream: int = 1


@dataclass(frozen=True, slots=True)
class Status:
    """One progress message: vertices that changed, and output."""

    vertices: tuple[Vertex, ...] = ()
    logs: tuple[Log, ...] = ()


@dataclass(slots=True)
class WholeLines:
    """The lines of a build's output. A program's two streams are sent as they come, torn apart anywhere."""

    _begun: dict[tuple[str, int], bytes] = field(default_factory=dict)

    def add(self, log: Log) -> bytes:
        """The lines of one stream that end with this piece of it."""
        lines, end, begun = (self._begun.pop((log.vertex, log.stream), b"") + log.data).rpartition(b"\n")
        self._begun[log.vertex, log.stream] = begun
        return lines + end

    def rest(self, vertex: str) -> bytes:
        """What a vertex has written of lines that have not ended."""
        return b"\n".join(begun for (of, _), begun in self._begun.items() if of == vertex and begun)


def decode_status(data: bytes) -> Status:
    """Decode a `StatusResponse`. `ValueError` if it is none."""
    vertices, logs = [], []
    for number, part in _fields(data):
        if number == 1:
            vertices.append(_vertex(dict(_fields(_bytes(part)))))
        elif number == 3:  # noqa: PLR2004 - the field's number
            log = dict(_fields(_bytes(part)))
            stream = log.get(3)
            logs.append(Log(_text(log.get(1)), _bytes(log.get(4)), stream if isinstance(stream, int) else 1))
    return Status(tuple(vertices), tuple(logs))


_Value = int | bytes | None


def _vertex(values: dict[int, int | bytes]) -> Vertex:
    return Vertex(
        digest=_text(values.get(1)),
        name=_text(values.get(3)),
        cached=values.get(4) == 1,
        started=_seconds(values.get(5)),
        completed=_seconds(values.get(6)),
        error=_text(values.get(7)),
    )


def _bytes(value: _Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: _Value) -> str:
    return _bytes(value).decode("utf-8", errors="replace")


def _seconds(value: _Value) -> float | None:
    """`google.protobuf.Timestamp`: 1 is seconds, 2 nanoseconds."""
    if value is None:
        return None
    parts = {number: part for number, part in _fields(_bytes(value)) if isinstance(part, int)}
    return parts.get(1, 0) + parts.get(2, 0) / 1e9


# https://protobuf.dev/programming-guides/encoding/: a message is a row of fields, each a number, a kind and a value.

_VARINT, _BYTES = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}
_CUT_OFF = "a message is cut off in the middle"


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, in order: number and value. `ValueError` where the bytes are no message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind not in {_VARINT, _BYTES, *_FIXED_SIZES}:
            raise ValueError(f"a message has a field of unknown kind {kind}")
        size = _FIXED_SIZES.get(kind, 0)
        if not size:
            size, at = _varint(data, at)
        if kind == _VARINT:
            yield number, size
            continue
        if at + size > len(data):
            raise ValueError(_CUT_OFF)
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number of at most ten bytes at `at`, and the position after it."""
    value = 0
    for index, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit of the format
            return value, at + index + 1
    raise ValueError(_CUT_OFF)
