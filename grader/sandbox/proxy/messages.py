"""Protobuf messages as the values that the checks of `shape` take, and back.

A shape says what a message may hold. Decoders of protobuf skip what they do not know, take the last of two values, and
merge two messages of one field; here all of that is refused, so that what was checked is what the engine reads. Bytes
that are no text become text of the same numbers (Latin-1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from grader.engine.build.protobuf import BYTES, VARINT, chunk_field, fields, number_field
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.strictjson import Json


@dataclass(frozen=True, slots=True)
class Kind:
    """How the values of a field are read and written. Where `many`, the field may be there more than once.

    `read` raises `Refusal`, or `ValueError` for bytes that are no message.
    """

    wire: int
    read: Callable[[int | bytes, str], Json]
    write: Callable[[Json], int | bytes]
    many: bool = False
    keyed: bool = False


Shape = Mapping[int, tuple[str, Kind]]
"""The fields of a message: their numbers, each with its name and kind."""


def decoded(shape: Shape, data: bytes, where: str = "") -> dict[str, Json]:
    """The fields of a message that are there, by name. Raises `Refusal` for one that can be read in two ways."""
    try:
        return _decoded(shape, data, where)
    except UnicodeDecodeError:
        raise Refusal(f"a text in {where or 'the message'} is not UTF-8") from None
    except ValueError as problem:
        raise Refusal(f"{where or 'the request'} is not a message that BuildKit takes: {problem}") from None


def _decoded(shape: Shape, data: bytes, where: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for field in fields(data):
        if field.number not in shape:
            raise Refusal(f"field {field.number} of {where or 'the message'} is not known here, so it cannot be set")
        name, kind = shape[field.number]
        inner = f"{where}.{name}" if where else name
        if field.kind != kind.wire:
            raise Refusal(f"{inner} is of another kind than it should be")
        value = kind.read(field.value, inner)
        if kind is not skipped:
            found[name] = _joined(kind, found.get(name), value, inner)
    return found


def _joined(kind: Kind, before: Json, value: Json, where: str) -> Json:
    """What a field holds after one more value of it."""
    if kind.keyed:
        ((key, one),) = cast("dict[str, Json]", value).items()
        entries = cast("dict[str, Json]", before or {})
        if key in entries:
            raise Refusal(f"{where}.{key[:60]!a} may be there once")
        entries[key] = one
        return entries
    if kind.many:
        ones = cast("list[Json]", before or [])
        ones.append(value)
        return ones
    if before is not None:
        raise Refusal(f"{where} may be there once")
    return value


def encoded(shape: Shape, value: Mapping[str, Json]) -> bytes:
    """Write a message that has been checked; the reverse of `decoded`."""
    written = []
    for number, (name, kind) in shape.items():
        one = value.get(name)
        if one is None:
            continue
        written += [_field(number, kind.write(each)) for each in _ones(kind, one)]
    return b"".join(written)


def _ones(kind: Kind, value: Json) -> list[Json]:
    """The values of a field, each as it is written by itself."""
    if kind.keyed:
        return [{key: one} for key, one in cast("dict[str, Json]", value).items()]
    return cast("list[Json]", value) if kind.many else [value]


def _field(number: int, value: int | bytes) -> bytes:
    return number_field(number, value) if isinstance(value, int) else chunk_field(number, value)


# ── kinds ───────────────────────────────────────────────────────────────────────────────


def _read_flag(value: int | bytes, where: str) -> Json:
    if value not in {0, 1}:
        raise Refusal(f"{where} is true or false")
    return value == 1


def _read_integer(value: int | bytes, where: str) -> Json:  # noqa: ARG001 - a kind's reader has this signature
    number = cast("int", value) % 2**64
    return number - 2**64 if number >= 2**63 else number


def _read_text(encoding: str) -> Callable[[int | bytes, str], Json]:
    return lambda value, _: cast("bytes", value).decode(encoding)


def _write_text(encoding: str) -> Callable[[Json], bytes]:
    return lambda value: cast("str", value).encode(encoding)


flag = Kind(VARINT, _read_flag, lambda value: int(cast("bool", value)))
integer = Kind(VARINT, _read_integer, lambda value: cast("int", value))
string = Kind(BYTES, _read_text("utf-8"), _write_text("utf-8"))
raw = Kind(BYTES, _read_text("latin-1"), _write_text("latin-1"))
skipped = Kind(BYTES, lambda _value, _where: None, lambda _value: b"")
"""What is not sent on, whatever it is."""


def refused(why: str) -> Kind:
    """A message that may not be there, whatever is in it."""

    def read(_value: int | bytes, where: str) -> Json:
        raise Refusal(f"{where} cannot be set here: {why}")

    return Kind(BYTES, read, lambda _value: b"")


def message(shape: Shape) -> Kind:
    """A message inside another one."""
    return Kind(
        BYTES,
        lambda value, where: cast("Json", _decoded(shape, cast("bytes", value), where)),
        lambda value: encoded(shape, cast("dict[str, Json]", value)),
    )


def repeated(kind: Kind) -> Kind:
    """A list of values of this kind, texts or messages."""
    return Kind(kind.wire, kind.read, kind.write, many=True)


def a_map(kind: Kind = string) -> Kind:
    """A map with texts for keys. An entry is a message of its own, a key or value that is empty may be left out."""
    entry: Shape = {1: ("key", string), 2: ("value", kind)}

    def read(value: int | bytes, where: str) -> Json:
        found = _decoded(entry, cast("bytes", value), where)
        return {cast("str", found.get("key", "")): found.get("value", "")}

    def write(value: Json) -> bytes:
        ((key, one),) = cast("dict[str, Json]", value).items()
        return encoded(entry, {"key": key, "value": one})

    return Kind(BYTES, read, write, many=True, keyed=True)
