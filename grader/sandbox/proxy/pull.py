"""`docker pull`, where there is no registry: an image that is here is up to date, one that is not is not to be had.

So `docker pull python:3.9-slim` does in a script what it does at home. `docker build --pull` builds on what is here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from grader.sandbox.proxy.refusal import Refusal

_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-f]+")


def path_of(query: tuple[tuple[str, str], ...]) -> str:
    """Where the engine tells of the image; asked in the place of a pull, whose checked query is given.

    Raises `Refusal` where it names none.
    """
    if not dict(query).get("fromImage"):
        raise Refusal("a pull names an image (fromImage)")
    return f"/images/{_name(dict(query))}/json"


def up_to_date(query: tuple[tuple[str, str], ...]) -> bytes:
    """A whole HTTP answer, in the form of a pull's progress, which the docker command prints."""
    status = json.dumps({"status": f"Status: Image is up to date for {_name(dict(query))}"}).encode() + b"\r\n"
    lines = (
        "HTTP/1.1 200 OK",
        "Api-Version: 1.45",
        "Content-Type: application/json",
        f"Content-Length: {len(status)}",
        "Connection: close",
    )
    return "\r\n".join([*lines, "", ""]).encode() + status


def not_here(query: tuple[tuple[str, str], ...]) -> Refusal:
    """What is said where the engine knows no such image."""
    return Refusal(
        f"there is no image {_name(dict(query))[:200]} here, and no registry to fetch it from. What can be used "
        "are the base images of the exercise, and images that were built or tagged before. Is the name written right?"
    )


def _name(query: Mapping[str, str]) -> str:
    """`python:3.9`, also where the registry stands before it. All tags (`docker pull -a`) count as the latest."""
    name = query["fromImage"].removeprefix("docker.io/library/").removeprefix("docker.io/")
    tag = query.get("tag") or ("" if re.search(r"[:@][^/]*$", name) else "latest")
    return f"{name}{'@' if _DIGEST.fullmatch(tag) else ':'}{tag}" if tag else name
