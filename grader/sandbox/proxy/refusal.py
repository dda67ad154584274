"""What the guard says when it does not pass a request on."""

from __future__ import annotations

import json

from grader.errors import GraderError

STATUS = 403
"""The status of every refusal, so that one number in the record tells them from the engine's own errors."""


class Refusal(GraderError):  # noqa: N818 - what happened; nothing went wrong
    """A request that is not passed on. The text is read by a student, in the terminal, behind docker's own words."""


def answer(reason: str, *, with_body: bool = True) -> bytes:
    """A whole HTTP answer in the engine's own form, which the docker command prints. HEAD has none in its answer."""
    body = json.dumps({"message": reason}).encode() + b"\n"
    lines = [
        f"HTTP/1.1 {STATUS} Forbidden",
        "Api-Version: 1.45",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")
