"""The wire format of protobuf messages, read and written by its rules, from bytes alone.

https://protobuf.dev/programming-guides/encoding/. What the numbers of the fields mean is the caller's business. The
messages that are needed here are few and fixed, so nothing is generated from their definitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

VARINT, BYTES = 0, 2
"""Kinds of fields: a number, and a length with so many bytes (a text, bytes, or a message)."""
_FIXED64, _FIXED32 = 1, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}
_VARINT_MAX_BYTES = 10
_CUT_OFF = "a message is cut off in the middle"


class Field(NamedTuple):
    """One field of a message. Values of a fixed size stay bytes; of a number of 64 bits, the sign is not read."""

    number: int
    kind: int
    value: int | bytes


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message, in order. Raises `ValueError` where the bytes are none, also after the first ones."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, at = _varint(data, at)
            yield Field(number, kind, value)
            continue
        if kind == BYTES:
            size, at = _varint(data, at)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise ValueError(f"a message has a field of unknown kind {kind}")
        if at + size > len(data):
            raise ValueError(_CUT_OFF)
        yield Field(number, kind, data[at : at + size])
        at += size


def number_field(number: int, value: int) -> bytes:
    """A field with a number; a negative one as the 64 bits that it has."""
    return _written((number << 3) | VARINT) + _written(value % 2**64)


def chunk_field(number: int, value: bytes) -> bytes:
    """A field with bytes: a text in UTF-8, or a message."""
    return _written((number << 3) | BYTES) + _written(len(value)) + value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length number at `at`, and the position behind it."""
    value = 0
    for index, byte in enumerate(data[at : at + _VARINT_MAX_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit of the format
            return value, at + index + 1
    raise ValueError(_CUT_OFF)


def _written(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:  # noqa: PLR2004 - the continuation bit of the format
        written.append((value & 0x7F) | 0x80)
        value >>= 7
    return bytes([*written, value])
