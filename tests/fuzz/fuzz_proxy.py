"""Whatever a script sends, the proxy refuses it or sends on one harmless request that is read in one way only.

`.venv/bin/python -m tests.fuzz.fuzz_proxy --seconds 600 --seed 1`

What is asked: tests/fuzz/proxy_requests.py. What may be sent on: tests/fuzz/proxy_judge.py. Contexts of builds are
mutated here.
"""

from __future__ import annotations

import io
import random
import sys
import tarfile
from types import SimpleNamespace
from typing import Any, cast

from grader.sandbox.proxy.build import BadContext, prepare
from grader.sandbox.proxy.endpoints import Endpoint
from grader.sandbox.proxy.http import HEAD_LIMIT, Client, Request
from grader.sandbox.proxy.rules import Plan, endpoint_of, plan
from grader.sandbox.proxy.shape import BODY_LIMIT, Refusal
from tests.fuzz.harness import Found, main, mutated_bytes
from tests.fuzz.proxy_judge import SETTINGS, judge
from tests.fuzz.proxy_requests import cut, request


def once(draw: random.Random) -> str:
    """One request, through everything that the proxy does with it but for the sockets."""
    if draw.random() < 0.1:
        return context(draw)
    wire = request(draw)
    sent = wire.head() + wire.body
    whole, in_pieces = outcome([sent]), outcome(cut(draw, sent))
    if whole != in_pieces and len(wire.head()) < HEAD_LIMIT:  # longer ones are refused unless they come at once
        raise Found(f"in pieces it is another request: {sent[:2000]!r}\n  {whole}\n  {in_pieces}")
    if isinstance(whole, str):
        return "refused"
    if whole.endpoint.name == "image pull":
        return "answered without the engine: image pull"
    judge(sent, whole)
    return f"passed: {whole.endpoint.pattern[:60]}"


def outcome(pieces: list[bytes]) -> Plan | str:
    """What goes on, or that nothing does."""
    left = filter(None, pieces)
    client = Client(cast("Any", SimpleNamespace(recv=lambda _: next(left, b""))))
    try:
        head = client.read_head()
        endpoint = endpoint_of(head)
        has_body = endpoint.body is not None or endpoint.name == "build"
        return plan(endpoint, head, client.read_body(BODY_LIMIT if has_body else 0), SETTINGS, 0.0)
    except (Refusal, ConnectionError, RecursionError) as problem:
        return type(problem).__name__


BUILD = plan(Endpoint("", "build"), Request("POST", "/v1.45/build"), b"", SETTINGS, 0.0)
DOCKERFILE = b"FROM python:3.9-slim\nCOPY a /a\nRUN --mount=type=cache,target=/c true\n"


def context(draw: random.Random) -> str:
    """A context that goes on holds ordinary files and folders below it, and the Dockerfile that was judged."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=draw.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])) as made:
        for name in ("Dockerfile", draw.choice(["a", "a/b", "../a", "/a", "a" * 150]), "c/"):
            entry = tarfile.TarInfo(name)
            entry.type = draw.choice([tarfile.REGTYPE] * 8 + [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
            entry.linkname = "Dockerfile" if entry.type in {tarfile.SYMTYPE, tarfile.LNKTYPE} else ""
            entry.size = len(DOCKERFILE) if entry.type == tarfile.REGTYPE else 0
            made.addfile(entry, io.BytesIO(DOCKERFILE))
    body = buffer.getvalue()
    body = mutated_bytes(draw, body) if draw.random() < 0.7 else body
    try:
        build = prepare(BUILD, body, SETTINGS, ("python:3.9-slim",), "caches")
    except (Refusal, BadContext):
        return "context refused"
    with tarfile.open(fileobj=io.BytesIO(build.body)) as sent:
        members = sent.getmembers()
        if any(not (one.isreg() or one.isdir()) or one.name.startswith(("/", "..")) for one in members):
            raise Found(f"more than files and folders goes on: {members}")
        if {one.name for one in members if one.isreg()} != {path for path, _ in build.entry["context"]}:
            raise Found(f"the record has other files than were sent: {build.entry}")
    return "context passed"


if __name__ == "__main__":
    sys.exit(main(once))
