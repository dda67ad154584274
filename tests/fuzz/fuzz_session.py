"""Whatever a script answers in a session of BuildKit, it is refused, or the engine hears of a plain folder of files.

`.venv/bin/python -m tests.fuzz.fuzz_session --seconds 600 --seed 1`

What "a plain folder" means is written here anew, from fsutil's own messages and not from the guard's tables.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import pairwise

from grader.engine.build.protobuf import fields
from grader.sandbox.proxy.grpc import Messages, framed
from grader.sandbox.proxy.refusal import Refusal, answer
from grader.sandbox.proxy.session import Reply, reply
from grader.sandbox.proxy.sessionrelay import SessionRelay
from tests.buildkit import (
    BEGUN,
    DIFF_COPY,
    ENDED,
    FOLDER,
    HEALTH,
    LINK,
    LISTED,
    PULL,
    SENT,
    Asked,
    Caller,
    content,
    recorded_answers,
    stat,
)
from tests.fuzz.fuzz_buildkit import CHANGES
from tests.fuzz.harness import Found, main, mutated_bytes

LIMIT = 256 * 1024
RECORDED = [message for _, method, message in recorded_answers() if method == DIFF_COPY]
PATHS = [
    "a",
    "b",
    "b/c",
    "b/../c",
    "../x",
    "/x",
    "",
    ".",
    "b//c",
    "b/",
    "l",
    "l/x",
    "a\0",
    "a\n",
    "\x7f",
    "ä",
    "x" * 5000,
]
MODES = [0o644, 0o100755, FOLDER | 0o755, LINK | 0o777, 1 << 26, 1 << 25, 1 << 24, 1 << 19, FOLDER | LINK, 2**32, -1]


def once(draw: random.Random) -> str:
    """One session, whose messages and bytes are changed and cut anywhere."""
    engine, client, relay = Caller(), Asked(), SessionRelay(Listener())
    methods = [draw.choice([DIFF_COPY] * 6 + [PULL, HEALTH, "/x.Y/Z"]) for _ in range(draw.choice([1, 1, 2, 4]))]
    for method in methods:
        engine.call(method, draw.randbytes(draw.choice([0, 7])), ends=draw.random() < 0.5)
    relay.from_engine(engine.h2.data_to_send())
    client.take(relay.to_client())
    for stream in [*client.calls]:
        client.answer(stream, body(draw), draw.choice([ENDED, ENDED, (), (("grpc-status", "99"),), (*ENDED, *BEGUN)]))
    sent = client.to_send(draw.choice([100, 16_000]))
    sent = mutated_bytes(draw, sent) if draw.random() < 0.5 else sent
    refused = carried(draw, relay, engine, client, sent)
    judge(engine, methods)
    return "session refused" if refused else "session kept"


def carried(draw: random.Random, relay: SessionRelay, engine: Caller, client: Asked, sent: bytes) -> bool:
    """Carry the client's bytes in pieces; whether the session was refused. An engine may give up a call meanwhile."""
    cuts = [0, *sorted(draw.randint(0, len(sent)) for _ in range(draw.choice([0, 1, 4]))), len(sent)]
    refused = False
    try:
        for begin, end in pairwise(cuts):
            relay.from_client(sent[begin:end])
            relay.to_client()
            engine.take(relay.to_engine())
            if (
                draw.random() < 0.1
                and engine.h2.streams
                and engine.h2.streams.get(1)
                and not engine.h2.streams[1].closed
            ):
                engine.h2.reset_stream(1)
            relay.from_engine(engine.h2.data_to_send())
    except Refusal as refusal:
        answer(str(refusal)).decode()
        refused = True
    engine.take(relay.to_engine())
    return refused


class Listener:
    """What decides, for one connection."""

    def begin(self) -> None: ...

    def serve(self, method: str) -> Reply | None:
        return reply(method, LIMIT)

    def refused(self, method: str, reason: str) -> None:
        answer(reason).decode()
        if method not in {DIFF_COPY, PULL, HEALTH}:
            raise Found(f"{method!r} is recorded as a method")


# ── what may go on ──────────────────────────────────────────────────────────────────────


def judge(engine: Caller, methods: list[str]) -> None:
    for stream, said in engine.answers.items():
        method = methods[stream // 2]
        if {*said.headers} - {":status", "content-type", "grpc-status", "grpc-message"}:
            raise Found(f"headers go on: {said.headers}")
        if len(said.data) > LIMIT + 70_000:
            raise Found(f"{len(said.data)} bytes go on")
        heard = Messages().feed(said.data)
        if method == DIFF_COPY:
            for problem in problems(heard):
                raise Found(f"{problem}\n  heard {heard}")
        elif method == "/x.Y/Z" and heard:
            raise Found("a call that is not known is answered")


def problems(heard: list[bytes]) -> Iterator[str]:
    """What of these packets is no plain folder."""
    known: dict[str, int] = {"": FOLDER}
    count = 0
    for packet in heard:
        found = list(fields(packet))
        values = {number: value for number, _, value in found}
        if len(values) != len(found) or {*values} - {1, 2, 3, 4} or values.get(1, 0) not in {0, 2, 3, 4}:
            yield "a packet that is not known"
        if values.get(1) == 2 and int(values.get(3, 0)) >= count:
            yield "content of no file"
        if isinstance(one := values.get(2), bytes):
            count += 1
            yield from file_problems({number: value for number, _, value in fields(one)}, known)


def file_problems(values: dict[int, int | bytes], known: dict[str, int]) -> Iterator[str]:
    path, link = (bytes(values.get(number, b"")).decode() for number in (1, 7))
    mode = int(values.get(2, 0))
    kind = mode & ~(0o777 | 0b1101 << 20)
    if {*values} - {1, 2, 5, 6, 7}:
        yield "a field of a file that has no use"
    if any(part in {"", ".", ".."} for part in path.split("/")) or not (path + link).replace(" ", "").isprintable():
        yield f"the path {path!r}, a link to {link!r}"
    if known.get(path.rpartition("/")[0]) != FOLDER or path in known:
        yield f"{path!r} in no folder, or twice"
    if kind not in {0, FOLDER, LINK} or (kind == 0 and link and known.get(link) != 0) or (kind == FOLDER and link):
        yield f"the mode {mode:o}, a link to {link!r}"
    known[path] = kind


# ── what is answered ────────────────────────────────────────────────────────────────────


def body(draw: random.Random) -> bytes:
    """Messages in their frames, some of them cut off."""
    messages = b"".join(framed(message(draw)) for _ in range(draw.choice([1, 3, 10])))
    return messages if draw.random() < 0.9 else messages[: draw.randint(0, len(messages))]


def file(draw: random.Random) -> bytes:
    link = draw.choice([*PATHS[:6], *[""] * 9])
    return stat(draw.choice(PATHS), draw.choice(MODES), draw.choice([0, 0, 5, 2**30, -1]), link)


def piece(draw: random.Random) -> bytes:
    return content(bytes(draw.choice([0, 1, 1, 100, 32_768])), draw.choice([0, 0, 1, 2**32]))


def likely(draw: random.Random) -> bytes:
    return stat(draw.choice(["a", "b", "b/c"]), draw.choice([0o644, FOLDER]))


def recorded(draw: random.Random) -> bytes:
    return draw.choice([LISTED, SENT, *RECORDED])


def message(draw: random.Random) -> bytes:
    made = draw.choice([file, piece, likely, likely, recorded])(draw)
    return draw.choice(CHANGES)(draw, made) if draw.random() < 0.2 else made


if __name__ == "__main__":
    sys.exit(main(once))
