"""Whatever a script sends, the guard refuses it or sends on one harmless request that is read in one way only.

`.venv/bin/python -m tests.fuzz.fuzz_guard --seconds 600 --seed 1`

What is asked: tests/fuzz/guardrequests.py. What may be sent on: tests/fuzz/guardjudge.py.
"""

from __future__ import annotations

import random
import sys

from grader.sandbox.proxy.http import Body, parse_head
from grader.sandbox.proxy.recorder import recorded_request
from grader.sandbox.proxy.refusal import Refusal, answer
from grader.sandbox.proxy.rules import CONTEXT_LIMIT, Plan, Rebuilt, plan
from grader.sandbox.proxy.strictjson import BODY_LIMIT
from tests.fuzz.guardjudge import POLICY, judge
from tests.fuzz.guardrequests import cut, request
from tests.fuzz.harness import Found, main


def once(draw: random.Random) -> str:
    """One request, through everything that the guard's proxy does with it but for the sockets."""
    wire = request(draw)
    head = wire.head()
    try:
        planned, on, payload = passed(draw, head, wire.body)
    except Refusal as refusal:
        answer(str(refusal)).decode()
        recorded_request(head, wire.body, answer(str(refusal)), 0.0)
        return "refused"
    recorded_request(head, payload, b"", 0.0)
    judge(head, planned, on)
    return f"passed: {planned.endpoint.name}"


def passed(draw: random.Random, head: bytes, body: bytes) -> tuple[Plan, Rebuilt, bytes]:
    """What the guard makes of a request. The body comes in pieces, wherever they are cut."""
    parsed = parse_head(head)
    planned = plan(parsed, POLICY)
    limit = CONTEXT_LIMIT if planned.kind == "tar" else BODY_LIMIT
    whole = fed(Body(parsed, limit), [body])
    pieces = cut(draw, body)
    if fed(Body(parsed, limit), pieces) != whole:
        raise Found(f"the body is another one in pieces of {[len(one) for one in pieces]}: {body[:200]!r}")
    if whole is None:
        raise Refusal("the body is not whole, or more than that")
    return planned, planned.rebuilt(b"" if planned.kind == "tar" else whole), whole


def fed(body: Body, pieces: list[bytes]) -> bytes | None:
    """The payload of a body that comes in these pieces; None if it is refused or not whole."""
    try:
        payload = b"".join(body.feed(piece) for piece in pieces)
    except Refusal:
        return None
    return payload if body.done else None


if __name__ == "__main__":
    sys.exit(main(once))
