"""The values of a request: JSON read in one way, and shapes that it is rebuilt by.

A shape is data: `bool`, `int`, `str`, `object` for anything, a `range` of integers, `[shape]` for a list, or one of the
classes here.
What was sent itself never goes on, so it does not matter how else it might be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from grader.errors import GraderError

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]

BODY_LIMIT = 1024 * 1024
"""Bytes of a JSON document. The docker command sends about 2,000 for a container, most of it nulls."""


class Refusal(GraderError):  # noqa: N818 - what happened; nothing went wrong
    """A request that is not passed on. A student reads the text in the terminal, behind docker's own words."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text that matches as a whole; `says` is what is said of others."""

    pattern: str = r"[^\x00]*"
    says: str = "is not written as it should be"


@dataclass(frozen=True, slots=True)
class Map:
    """An object with any names and values of these shapes. A value may be null, and stays so."""

    names: Shape
    values: Shape


@dataclass(frozen=True, slots=True)
class Record:
    """An object with these fields. Others may be there with nothing in them; `why` says of some why not with more.

    Neither those nor nulls are sent on: null means the same as nothing everywhere in the engine's API.
    """

    fields: Mapping[str, Shape]
    needed: tuple[str, ...] = ()
    why: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A JSON document in a text, written anew; null is the same as no text."""

    inner: Shape


Shape: TypeAlias = type | range | Text | Map | Record | Encoded | list["Shape"] | Callable[[Json, str], Json]


def rebuilt(shape: Shape, value: Json, where: str) -> Json:
    """What is sent on in the place of a value, which stands at `where` (`HostConfig.Binds`). Raises `Refusal`."""
    match shape, value:
        case Record(), dict():
            return _rebuilt_record(shape, value, where)
        case Map(), dict():
            for name in value:
                rebuilt(shape.names, name, f"a name in {where}")
            given = {name: one for name, one in value.items() if one is not None}
            return value | {name: rebuilt(shape.values, one, _inside(where, name)) for name, one in given.items()}
        case list(), list():
            return [rebuilt(shape[0], one, f"{where}[{index}]") for index, one in enumerate(value)]
        case Encoded(), str():
            inner = read(value.encode()) if value else None
            return "" if inner is None else written(rebuilt(shape.inner, inner, where)).decode()
        case _:
            if callable(shape) and not isinstance(shape, type):
                return shape(value, where)
    fits, says = _fits(shape, value)
    if not fits:
        raise Refusal(f"{where or 'the body'} {says}: {_shown(value)}")
    return value


def _fits(shape: Shape, value: Json) -> tuple[bool, str]:
    """Whether a value that has no parts is of a shape, and what is said if not."""
    match shape:
        case Text():
            return isinstance(value, str) and re.fullmatch(shape.pattern, value) is not None, shape.says
        case range():
            says = f"is not a number from {shape.start} to {shape.stop - 1}"
            return isinstance(value, int) and not isinstance(value, bool) and value in shape, says
        case type():
            return isinstance(value, shape), f"is not {_TYPES.get(shape, 'a text')}"
        case _:
            return False, "is not a list" if isinstance(shape, list) else "is not an object"


_TYPES = {bool: "true or false", int: "a number"}


def _rebuilt_record(shape: Record, value: dict[str, Json], where: str) -> Json:
    if missing := [name for name in shape.needed if value.get(name) is None]:
        raise Refusal(f"{_inside(where, missing[0])} is missing")
    built: dict[str, Json] = {}
    for name, one in value.items():
        if name in shape.fields:
            if one is not None:
                built[name] = rebuilt(shape.fields[name], one, _inside(where, name))
        elif not is_nothing(one):
            why = shape.why.get(name, "it has no use in an exercise")
            raise Refusal(f"{_inside(where, name)} cannot be set here: {why} (it was {_shown(one)})")
    return built


def is_nothing(value: Json) -> bool:
    """Whether this is one of the ways in which clients say nothing."""
    if isinstance(value, dict):
        return all(is_nothing(one) for one in value.values())
    return value in (None, "", 0, [])


def read(text: bytes) -> Json:
    """Decode a document of at most `BODY_LIMIT` bytes. Raises `Refusal`."""
    if len(text) > BODY_LIMIT:
        raise Refusal(f"the JSON of a request may have at most {BODY_LIMIT} bytes")
    try:
        value: Json = json.loads(text.decode("utf-8"))
        written(value)  # escapes may have made half a surrogate, which has no UTF-8
    except (ValueError, RecursionError) as problem:
        raise Refusal(f"the body of the request is not the JSON that an engine takes: {problem}") from None
    return value


def written(value: Json) -> bytes:
    """A value as a document."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _inside(where: str, name: str) -> str:
    plain = name[:60] if name.isascii() and name.isprintable() else _shown(name)
    return f"{where}.{plain}" if where else plain


def _shown(value: Json) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 120 else shown[:117] + "..."  # noqa: PLR2004 - a line of a terminal
