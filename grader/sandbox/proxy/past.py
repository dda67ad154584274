"""What an engine still knows of scripts that used it before, and who asks is not told.

An engine is used again after everything in it was removed. Its events of the last while stay, and so does the builder's
cache, which a step is called by its command in: the commands of other people's containers and Dockerfiles.
"""

from __future__ import annotations

import re

from grader.sandbox.proxy.refusal import Refusal

Query = tuple[tuple[str, str], ...]

_COUNTED = ("container", "image", "volume")
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
"""How the docker command writes a time, whatever was typed (`10m`, a date)."""


def of_this_script(endpoint: str, query: Query, began: float) -> Query:
    """The query, so that it asks for nothing from before `began`, in seconds since 1970. Raises `Refusal`."""
    if endpoint == "disk usage":
        asked = tuple(value for name, value in query if name == "type" and value in _COUNTED)
        return tuple(("type", value) for value in asked or _COUNTED)
    if endpoint == "events":
        return tuple((name, _not_before(value, began) if name == "since" else value) for name, value in query)
    return query


def _not_before(value: str, began: float) -> str:
    if not _SECONDS.fullmatch(value):
        raise Refusal(f"since={value[:40]} is not available here; expected seconds since 1970")
    return value if float(value) >= began else f"{began:.9f}"
