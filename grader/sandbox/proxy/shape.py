"""The values of a request: JSON read in one way, and small checks that larger ones are made of.

A check takes a decoded value and where it stands (`HostConfig.Binds`), and returns what is sent on in its place, or
raises `Refusal`. What was sent itself never goes on, so it does not matter how else it might be read. Null means the
same as nothing everywhere in the engine's API, so `record` leaves it out; checks are never asked about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from grader.errors import GraderError

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]
Check = Callable[[Json, str], Json]
Fields = Mapping[str, Check]

BODY_LIMIT = 1024 * 1024
"""Bytes of a JSON document. The docker command sends about 2,000 for a container, most of it nulls."""


class Refusal(GraderError):  # noqa: N818 - what happened; nothing went wrong
    """A request that is not passed on. A student reads the text in the terminal, behind docker's own words."""


LEFT_OUT: Json = {"": "left out"}
"""What a check returns, this very object, for a field that is not sent on."""

_TRUE = frozenset({"1", "true", "True"})
_FALSE = frozenset({"", "0", "false", "False"})
_INT64 = 2**63


def text(pattern: str = r"[^\x00]*", *, says: str = "is not written as it should be") -> Check:
    """A text that matches as a whole."""
    known = re.compile(pattern)

    def check(value: Json, where: str) -> Json:
        if not isinstance(value, str) or not known.fullmatch(value):
            raise Refusal(f"{where} {says}: {_shown(value)}")
        return value

    return check


def number(low: int, high: int = _INT64 - 1) -> Check:
    """An integer from `low` to `high`."""

    def check(value: Json, where: str) -> Json:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Refusal(f"{where} is a number from {low} to {high}, not {_shown(value)}")
        return value

    return check


def truth(value: Json, where: str) -> Json:
    """True or false."""
    if not isinstance(value, bool):
        raise Refusal(f"{where} is true or false, not {_shown(value)}")
    return value


def one_of(*allowed: str, why: str = "") -> Check:
    """One of a few texts."""

    def check(value: Json, where: str) -> Json:
        if not isinstance(value, str) or value not in allowed:
            known = ", ".join(one or '""' for one in allowed)
            raise Refusal(f"{where} may be {known} here, not {_shown(value)}{why and f': {why}'}")
        return value

    return check


def ignored(check: Check) -> Check:
    """What passes the check is left out, since the engine would do nothing with it."""

    def checked(value: Json, where: str) -> Json:
        check(value, where)
        return LEFT_OUT

    return checked


def listing(check: Check) -> Check:
    """A list whose entries pass."""

    def checked(value: Json, where: str) -> Json:
        if not isinstance(value, list):
            raise Refusal(f"{where} is a list, not {_shown(value)}")
        return [_present(check, one, f"{where}[{index}]") for index, one in enumerate(value)]

    return checked


def mapping(key: Check, check: Check, *, nulls: bool = False) -> Check:
    """An object with any keys that pass, and values that pass. With `nulls`, values may be null, and stay so."""

    def checked(value: Json, where: str) -> Json:
        if not isinstance(value, dict):
            raise Refusal(f"{where} is an object, not {_shown(value)}")
        for name in value:
            key(name, f"a name in {where}")
        return {
            name: None if nulls and one is None else _present(check, one, _inside(where, name))
            for name, one in value.items()
        }

    return checked


def record(fields: Fields, *, needed: tuple[str, ...] = (), why: Mapping[str, str] | None = None) -> Check:
    """An object with these fields. Others may be there with nothing in them; `why` says of some why not with more.

    Neither those nor nulls, nor what its check leaves out, are sent on.
    """

    def checked(value: Json, where: str) -> Json:
        if not isinstance(value, dict):
            raise Refusal(f"{where or 'the body'} is an object, not {_shown(value)}")
        if missing := [name for name in needed if value.get(name) is None]:
            raise Refusal(f"{_inside(where, missing[0])} is missing")
        built = {name: _field(fields, name, one, where, why or {}) for name, one in value.items() if one is not None}
        return {name: one for name, one in built.items() if one is not LEFT_OUT}

    return checked


def _field(fields: Fields, name: str, value: Json, where: str, why: Mapping[str, str]) -> Json:
    if name in fields:
        return fields[name](value, _inside(where, name))
    if not is_nothing(value):
        raise Refusal(cannot_be_set(_inside(where, name), value, why.get(name)))
    return LEFT_OUT


def cannot_be_set(where: str, value: Json, why: str | None) -> str:
    """What is said of a field that no table has."""
    return f"{where} cannot be set here: {why or 'it has no use in an exercise'} (it was {_shown(value)})"


def is_nothing(value: Json) -> bool:
    """Whether this is one of the ways in which clients say nothing."""
    if isinstance(value, dict):
        return all(is_nothing(one) for one in value.values())
    return value in (None, "", 0, []) or value is False


# ── JSON ────────────────────────────────────────────────────────────────────────────────


def read(text: bytes) -> Json:
    """Decode a document of at most `BODY_LIMIT` bytes; its numbers are integers of 64 bits. Raises `Refusal`."""
    if len(text) > BODY_LIMIT:
        raise Refusal(f"the JSON of a request may have at most {BODY_LIMIT} bytes")
    try:
        value: Json = json.loads(
            text.decode("utf-8"), parse_int=_integer, parse_float=_no_number, parse_constant=_no_number
        )
        written(value)  # escapes may have made half a surrogate, which has no UTF-8
    except (ValueError, RecursionError) as problem:
        raise Refusal(f"the body of the request is not the JSON that an engine takes: {problem}") from None
    return value


def written(value: Json) -> bytes:
    """A value as a document."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _integer(digits: str) -> int:
    # A long one would take quadratic time to convert; 20 characters hold any of 64 bits.
    number = int(digits) if len(digits) <= 20 else _INT64  # noqa: PLR2004
    if not -_INT64 <= number < _INT64:
        raise ValueError("a number does not fit in 64 bits")
    return number


def _no_number(text: str) -> Json:
    raise ValueError(f"{text[:40]} is not an integer")


# ── values in a query, which are all texts ──────────────────────────────────────────────


def switch(value: Json, where: str) -> Json:
    """Yes or no; sent on as 1 or 0."""
    if value not in _TRUE | _FALSE:
        raise Refusal(f"{where} is 1 or 0, not {_shown(value)}")
    return "1" if value in _TRUE else "0"


def decimal(low: int, high: int = _INT64 - 1) -> Check:
    """A number in digits; nothing is left out."""
    within = number(low, high)

    def check(value: Json, where: str) -> Json:
        if value == "":
            return LEFT_OUT
        if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,19}", value):
            raise Refusal(f"{where} is a number, not {_shown(value)}")
        return str(within(int(value), where))

    return check


def as_json(check: Check) -> Check:
    """A JSON document in a text, written anew; nothing and null are left out."""

    def checked(value: Json, where: str) -> Json:
        inner = read(value.encode()) if isinstance(value, str) and value else None
        return LEFT_OUT if inner is None else written(check(inner, where)).decode()

    return checked


# ── what they share ─────────────────────────────────────────────────────────────────────


def _present(check: Check, value: Json, where: str) -> Json:
    if value is None:
        raise Refusal(f"{where} is null")
    return check(value, where)


def _inside(where: str, name: str) -> str:
    plain = name[:60] if name.isascii() and name.isprintable() else _shown(name)
    return f"{where}.{plain}" if where else plain


def _shown(value: Json) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 120 else shown[:117] + "..."  # noqa: PLR2004 - a line of a terminal
