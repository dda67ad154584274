"""Whatever a script says to BuildKit, it is refused, or what goes on builds a Dockerfile and nothing else.

`.venv/bin/python -m tests.fuzz.fuzz_buildkit --seconds 600 --seed 1`

What "nothing else" means is written here anew, from BuildKit's own messages and not from the guard's tables.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise

from grader.engine.build.protobuf import Field, chunk_field, fields, number_field
from grader.sandbox.proxy.buildkit import Call, call
from grader.sandbox.proxy.grpc import framed
from grader.sandbox.proxy.refusal import Refusal, answer
from grader.sandbox.proxy.relay import Relay
from tests.buildkit import BRIDGE, CONTROL, Caller, recorded_calls
from tests.fuzz.harness import Found, main, mutated_bytes

RECORDED = [(method, message) for _, method, message in recorded_calls()]
METHODS = [method for method, _ in RECORDED]
WORDS = [
    *(b"gateway.v0", b"dockerfile.v0", b"", b"network.host", b"security.insecure", b"local", b"tar", b"moby", b"x"),
    *(b"context", b"cmdline", b"source", b"build-arg:BUILDKIT_SYNTAX", b"build-arg:BUILDKIT_CACHE_MOUNT_NS"),
    *(b"attest:sbom", b"registry"),
    *(b"https://example.invalid/x", b"git@example.invalid:x", b"http://buildkit-session/a", b"input:x", b"oci-layout://x"),
    *(b"force-network-mode", b"host", b"HOST", b"context:x", b"docker-image://x", b"frontend.caps", b"push", b"true"),
    *(b"\xff", b"\0", b"x" * 70_000, "\u017f".encode(), b"image.name", b"requestid", b"filename", b"../../x"),
]  # fmt: skip


def once(draw: random.Random) -> str:
    """One message, by itself or over a connection."""
    return over_a_connection(draw) if draw.random() < 0.3 else by_itself(draw)


def by_itself(draw: random.Random) -> str:
    method, message = asked(draw)
    try:
        on = call(method, message, "ours")
    except Refusal as refusal:
        answer(str(refusal)).decode()
        return "refused"
    judge(method, message, on)
    return f"passed: {method.rpartition('.')[2]}"


def judge(method: str, message: bytes, on: Call) -> None:
    for problem in problems(method, on.message or b""):
        raise Found(f"{problem}\n  sent {method} {message!r}\n  on   {on}")


# ── what may go on ──────────────────────────────────────────────────────────────────────

SINGLE = {f"{CONTROL}/Solve": {1, 5, 6, 8, 11, 13}, f"{BRIDGE}/Solve": {2, 5, 6, 14}, f"{BRIDGE}/Return": {1, 2}}
MANY = {f"{CONTROL}/Solve": {7}, f"{BRIDGE}/Solve": {3}, f"{BRIDGE}/Return": set[int]()}
OPTIONS = re.compile(
    r"filename|target|no-cache|platform|image-resolve-mode|force-network-mode|add-hosts|shm-size|ulimit|dockerfilekey"
    r"|context|frontend\.caps|cmdline|build-arg:(?!BUILDKIT_).*|build-arg:BUILDKIT_(?:INLINE_CACHE|CACHE_MOUNT_NS)"
    r"|label:.*|context:.*",
    re.DOTALL,
)
VALUES = {
    "image-resolve-mode": r"|default|local",
    "force-network-mode": r"|default|none",
    "context": r"http://buildkit-session/[A-Za-z0-9]+",
    "cmdline": r"built in",
    "build-arg:BUILDKIT_CACHE_MOUNT_NS": r"ours",
    "dockerfilekey": r"dockerfile",
}


def problems(method: str, sent: bytes) -> Iterator[str]:
    """What of a message is more than building a Dockerfile."""
    found = list(fields(sent))
    if method not in SINGLE:
        if len(sent) > 200_000 or method not in METHODS:
            yield "a call that is not known goes on"
        return
    numbers = [number for number, _, _ in found]
    if strange := {*numbers} - SINGLE[method] - MANY[method]:
        yield f"fields {strange} go on"
    if twice := [one for one in SINGLE[method] if numbers.count(one) > 1]:
        yield f"fields {twice} are there twice"
    if method.endswith("/Solve"):
        yield from solve_problems(method, found)


def solve_problems(method: str, found: list[Field]) -> Iterator[str]:
    values = {number: value for number, _, value in found}
    frontend, number = (values.get(6, b""), 7) if method.startswith(f"{CONTROL}/") else (values.get(2), 3)
    options = [entry(value) for one, _, value in found if one == number]
    if frontend not in {b"dockerfile.v0", b""} or (not frontend and number == 3):
        yield f"the frontend is {frontend!r}"
    if frontend and dict(options).get("cmdline") != "built in":
        yield "the Dockerfile may name a frontend"
    if len(dict(options)) != len(options):
        yield "an option is there twice"
    for name, value in options:
        yield from option_problems(name, value)
    if 13 in values and b"moby" not in bytes(values[13]):
        yield f"the result goes elsewhere: {values[13]!r}"
    if 8 in values and re.search(rb"registry|local|s3|gha|azblob", bytes(values[8])):
        yield f"a cache goes elsewhere: {values[8]!r}"


def entry(value: int | bytes) -> tuple[str, str]:
    parts = {number: part for number, _, part in fields(bytes(value)) if isinstance(part, bytes)}
    return parts.get(1, b"").decode(), parts.get(2, b"").decode()


def option_problems(name: str, value: str) -> Iterator[str]:
    if not OPTIONS.fullmatch(name):
        yield f"the option {name!r} goes on"
    if not re.fullmatch(VALUES.get(name, r"(?s).*"), value):
        yield f"the option {name!r} goes on as {value!r}"
    if name.startswith("context:") and not re.match(r"docker-image:|local:", value):
        yield f"a context is fetched from {value!r}"


# ── what is asked ───────────────────────────────────────────────────────────────────────


def asked(draw: random.Random) -> tuple[str, bytes]:
    method, message = draw.choice(RECORDED)
    for _ in range(draw.choice([0, 1, 1, 2, 5])):
        message = draw.choice(CHANGES)(draw, message)
    return draw.choice([method] * 9 + METHODS[:1] + [draw.choice(METHODS)]), message


def field_of(one: Field) -> bytes:
    return number_field(one.number, one.value) if isinstance(one.value, int) else chunk_field(one.number, one.value)


def parsed(message: bytes) -> list[Field]:
    try:
        return list(fields(message))
    except ValueError:
        return []


def inside(draw: random.Random, message: bytes) -> bytes:
    """One of the fields changed, as a message or as a text."""
    found = parsed(message)
    if not found:
        return added(draw, message)
    at = draw.randrange(len(found))
    value = found[at].value
    if isinstance(value, bytes):
        changed = draw.choice(CHANGES)(draw, value) if draw.random() < 0.6 else draw.choice(WORDS)
        found[at] = found[at]._replace(value=changed)
    else:
        found[at] = found[at]._replace(value=draw.choice([0, 1, 2, 2**64 - 1]))
    return b"".join(map(field_of, found))


def added(draw: random.Random, message: bytes) -> bytes:
    return message + chunk_field(draw.randint(0, 16), draw.choice(WORDS))


def entry_added(draw: random.Random, message: bytes) -> bytes:
    pair = chunk_field(1, draw.choice(WORDS)) + chunk_field(2, draw.choice(WORDS))
    return message + chunk_field(draw.choice([3, 4, 7, 10, 13]), pair)


def repeated(draw: random.Random, message: bytes) -> bytes:
    found = parsed(message)
    return message + field_of(draw.choice(found)) if found else message


def shuffled(draw: random.Random, message: bytes) -> bytes:
    found = parsed(message)
    draw.shuffle(found)
    return b"".join(map(field_of, found)) or message


def renumbered(draw: random.Random, message: bytes) -> bytes:
    return b"".join(
        field_of(one._replace(number=draw.randint(1, 15)) if draw.random() < 0.3 else one) for one in parsed(message)
    )


Change = Callable[[random.Random, bytes], bytes]
CHANGES: list[Change] = [inside, inside, inside, added, entry_added, repeated, shuffled, renumbered, mutated_bytes]


# ── over a connection ───────────────────────────────────────────────────────────────────


class Listener:
    """What decides, for one connection; it keeps what went on."""

    def __init__(self) -> None:
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1

    def decide(self, method: str, message: bytes) -> Call:
        on = call(method, message, "ours")
        judge(method, message, on)
        return on

    def refused(self, method: str, reason: str) -> None:
        answer(reason).decode()
        if method and not re.fullmatch(r"/[\w.]+/\w+", method, re.ASCII):
            raise Found(f"{method!r} is recorded as a method")


def over_a_connection(draw: random.Random) -> str:
    """Calls over HTTP/2, whose bytes are changed and cut anywhere."""
    caller = Caller()
    for _ in range(draw.choice([1, 1, 2, 5])):
        method, message = asked(draw)
        body = framed(message)[: draw.choice([2**20] * 5 + [draw.randint(0, 50)])][:12_000]
        caller.call(method, body, *draw.sample(HEADERS, draw.choice([0, 0, 1, 2])), ends=draw.random() < 0.9)
    sent = caller.h2.data_to_send()
    sent = mutated_bytes(draw, sent) if draw.random() < 0.7 else sent
    relay = Relay(Listener())
    cuts = [0, *sorted(draw.randint(0, len(sent)) for _ in range(draw.choice([0, 1, 4]))), len(sent)]
    try:
        for begin, end in pairwise(cuts):
            relay.from_client(sent[begin:end])
            relay.to_client()
            relay.to_engine()
    except Refusal:
        return "connection refused"
    return "connection kept"


HEADERS = [
    *(("grpc-encoding", "gzip"), ("grpc-timeout", "1S"), ("grpc-timeout", "x"), ("buildkit-controlapi-buildid", "a")),
    *(("x", "y" * 5000), ("Upper", "x"), ("connection", "close"), ("content-length", "3"), (":path", "/x")),
    ("x", "\r\n"),
]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(once))
