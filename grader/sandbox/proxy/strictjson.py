"""JSON that every decoder reads alike.

Docker's engine decodes with Go's encoding/json: it matches keys regardless of case, and the last of two equal keys
wins. So `{"HostConfig": {}, "hostconfig": {"Privileged": true}}` means one thing to most readers and another to the
engine. Here such a text is an error, and so is all else on which decoders differ: what follows the document, numbers
that are not integers of 64 bits, half surrogates, bytes that are not UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from grader.sandbox.proxy.refusal import Refusal

Json = None | bool | int | str | list["Json"] | dict[str, "Json"]

BODY_LIMIT = 1024 * 1024
"""Bytes of a document. The docker command sends about 2,000 for a container, most of it nulls."""
DEPTH_LIMIT = 16
"""Levels of lists and objects. A container's settings have five."""
_INT64 = 2**63


def read(text: bytes) -> Json:
    """Decode a document. Raises `Refusal` for one that decoders might read in different ways, or that is too large."""
    if len(text) > BODY_LIMIT:
        raise Refusal(f"the JSON of a request may have at most {BODY_LIMIT} bytes")
    try:
        value: Json = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
        # Escapes may have made half a surrogate, which has no UTF-8.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise Refusal("the JSON of the request is nested too deeply") from None
    except ValueError as problem:
        raise Refusal(f"the body of the request is not the JSON that an engine takes: {problem}") from None
    if _depth(value, DEPTH_LIMIT) > DEPTH_LIMIT:
        raise Refusal(f"the JSON of a request may be nested {DEPTH_LIMIT} levels deep")
    return value


def folded(key: str) -> str:
    """The key as Go compares it, or coarser: two keys that Go takes for one are the same here.

    Go folds single characters (a long s is an s, the sign for kelvin is a k); Python folds these and some more.
    """
    return key.casefold()


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    seen: set[str] = set()
    for key, _ in pairs:
        if folded(key) in seen:
            raise Refusal(f"the JSON of the request has {json.dumps(key)} twice, or in two spellings")
        seen.add(folded(key))
    return dict(pairs)


def _integer(digits: str) -> int:
    # A long one would take quadratic time to convert; 20 characters hold any of 64 bits.
    number = int(digits) if len(digits) <= 20 else _INT64  # noqa: PLR2004
    if not -_INT64 <= number < _INT64:
        raise ValueError("a number does not fit in 64 bits")
    return number


def _no_number(text: str) -> Json:
    raise ValueError(f"{text[:40]} is not an integer")


def _depth(value: Json, left: int) -> int:
    """Levels below and with this one, at most one more than `left`."""
    inner: Iterable[Json] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not isinstance(value, dict | list):
        return 0
    return 1 if left == 0 else 1 + max((_depth(one, left - 1) for one in inner), default=0)
