"""A session of BuildKit between an engine and a client, both in memory: what of the client the engine hears."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import h2.settings
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.engine.build.protobuf import number_field
from grader.sandbox.proxy.grpc import MESSAGE_LIMIT, Messages, framed
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.session import Reply, reply
from grader.sandbox.proxy.sessionrelay import SessionRelay
from tests.buildkit import (
    BEGUN,
    DIFF_COPY,
    ENDED,
    HEALTH,
    LISTED,
    PULL,
    SENT,
    Answer,
    Asked,
    Caller,
    content,
    error,
    stat,
)

LIMIT = 64 * 1024 * 1024


@dataclass
class Judge:
    """The real one, that may be asked `most` times."""

    most: int = 10_000
    told: list[tuple[str, str]] = field(default_factory=list)

    def begin(self) -> None:
        self.most -= 1
        if self.most < 0:
            raise Refusal("one too many")

    def serve(self, method: str) -> Reply | None:
        return reply(method, LIMIT)

    def refused(self, method: str, reason: str) -> None:
        self.told.append((method, reason))


class World:
    """An engine that calls, the relay, and a client; `move` carries bytes until all is quiet."""

    def __init__(self, judge: Judge | None = None) -> None:
        self.judge = judge or Judge()
        self.relay = SessionRelay(self.judge)
        self.engine, self.client = Caller(), Asked()
        self.piece = 16_000
        self.engine_reads = self.client_reads = True

    def move(self) -> World:
        while True:
            up, down = self.client.to_send(self.piece), self.engine.h2.data_to_send()
            for at in range(0, len(up), 65_536):
                self.relay.from_client(up[at : at + 65_536])
            self.relay.from_engine(down)
            to_engine = self.relay.to_engine() if self.engine_reads else b""
            to_client = self.relay.to_client() if self.client_reads else b""
            self.engine.take(to_engine)
            self.client.take(to_client)
            if not (up or down or to_engine or to_client):
                return self

    def ask(self, method: str = DIFF_COPY, *headers: tuple[str, str]) -> tuple[Answer, int]:
        """The engine's view of a call, and the client's number for it (0 if it does not get there)."""
        before = len(self.client.calls)
        stream = self.engine.call(method, b"", *headers, ends=False)
        self.move()
        return self.engine.answers[stream], [*self.client.calls, 0][before]


def messages(answer: Answer) -> list[bytes]:
    return Messages().feed(answer.data)


def test_a_call_is_passed_on_as_it_is_and_its_answer_is_made_anew() -> None:
    world = World()
    answer, stream = world.ask(DIFF_COPY, ("dir-name", "context"), ("exclude-patterns", "a"), ("exclude-patterns", "b"))
    assert world.client.calls[stream] == {
        ":method": "POST",
        ":scheme": "http",
        ":authority": "localhost",
        ":path": DIFF_COPY,
        "content-type": "application/grpc",
        "te": "trailers",
        "user-agent": "test",
        "dir-name": "context",
        "exclude-patterns": "b",
    }
    world.client.answer(stream, framed(stat("a", size=5)) + framed(LISTED), trailers=())
    world.move()
    assert messages(answer) == [stat("a", size=5), LISTED]
    world.engine.h2.send_data(1, framed(number_field(1, 1)), end_stream=True)
    world.move()
    assert (world.client.said[stream], world.client.ended) == (framed(number_field(1, 1)), {stream})
    world.client.answer(stream, framed(content(b"hello")) + framed(SENT))
    world.move()
    assert messages(answer)[2:] == [content(b"hello"), SENT]
    assert answer.headers == {":status": "200", "content-type": "application/grpc", "grpc-status": "0"}
    assert answer.ended


def test_a_client_that_fails_says_why_and_nothing_else() -> None:
    world = World()
    answer, stream = world.ask()
    details = (("grpc-message", "no%20such%0adir%" + "x" * 20_000), ("grpc-status-details-bin", "AAAA"), ("x", "y"))
    world.client.h2.send_headers(stream, (*BEGUN, ("grpc-status", "5"), *details), end_stream=True)
    world.move()
    assert answer.headers.keys() == {":status", "content-type", "grpc-status", "grpc-message"}
    assert (answer.status, answer.message[:12], len(answer.message)) == ("5", "no such\ndir%", 4096)


@pytest.mark.parametrize(
    "method",
    [
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        "/moby.sshforward.v1.SSH/CheckAgent",
        "/moby.filesync.v1.Auth/Credentials",
        "/moby.filesync.v1.FileSend/DiffCopy",
        "/grpc.health.v1.Health/Watch",
        "/",
    ],
)
def test_a_client_is_not_asked_for_what_it_should_not_have(method: str) -> None:
    """To the engine it looks as if the client did not know the call."""
    world = World()
    answer, _ = world.ask(method)
    assert (answer.status, answer.message, answer.ended) == ("12", f"{method} is not available here", True)
    assert world.client.calls == {}


def test_what_is_refused_ends_its_call_and_no_other() -> None:
    world = World()
    (good, first), (bad, second) = world.ask(), world.ask()
    world.client.answer(second, framed(stat("a")) + framed(stat("../x")) + framed(stat("b")), trailers=())
    world.move()
    assert messages(bad) == [stat("a"), error(bad.message)]
    assert (bad.status, bad.ended) == ("7", True)
    assert "not a path inside the folder" in bad.message
    assert world.judge.told == [(DIFF_COPY, bad.message)]
    assert second in world.client.reset
    world.client.answer(first, framed(stat("a")) + framed(LISTED) + framed(SENT))
    world.move()
    assert (len(messages(good)), good.status) == (3, "0")


def test_what_was_let_through_comes_before_the_refusal() -> None:
    """gRPC tells of nothing but the cut if a message is cut off in the middle."""
    world = World()
    answer, stream = world.ask()
    world.client.answer(stream, framed(stat("a")) + framed(content(bytes(200_000))) + framed(stat("../x")), trailers=())
    world.move()
    assert messages(answer)[1:] == [content(bytes(200_000)), error(answer.message)]
    assert answer.status == "7"


PLAIN = framed(stat("a"))
ODD: dict[str, tuple[tuple[tuple[str, str], ...], bytes, tuple[tuple[str, str], ...] | None, str]] = {
    "another status": (((":status", "404"), BEGUN[1]), b"", ENDED, "has the status 200"),
    "another type": ((BEGUN[0], ("content-type", "text/html")), b"", ENDED, "the type application/grpc"),
    "no type": (BEGUN[:1], b"", ENDED, "the type application/grpc"),
    "compressed by its headers": ((*BEGUN, ("grpc-encoding", "gzip")), b"", ENDED, "not compressed"),
    "compressed by its frame": (BEGUN, b"\1" + PLAIN[1:], ENDED, "not compressed"),
    "a message that is too large": (BEGUN, b"\0" + (MESSAGE_LIMIT + 1).to_bytes(4), ENDED, "may have at most"),
    "a message that is cut off": (BEGUN, PLAIN[:-1], ENDED, "cut off in the middle"),
    "half a frame": (BEGUN, PLAIN + b"\0", ENDED, "cut off in the middle"),
    "no end": (BEGUN, PLAIN, None, "ends with its status"),
    "no status": (BEGUN, PLAIN, (("x", "y"),), "a status from 0 to 16"),
    "a status that is none": (BEGUN, PLAIN, (("grpc-status", "17"),), "a status from 0 to 16"),
    "a status in words": (BEGUN, PLAIN, (("grpc-status", "OK"),), "a status from 0 to 16"),
}


@pytest.mark.parametrize(("headers", "body", "trailers", "words"), ODD.values(), ids=ODD)
def test_an_answer_that_is_none_is_refused(
    headers: tuple[tuple[str, str], ...], body: bytes, trailers: tuple[tuple[str, str], ...] | None, words: str
) -> None:
    world = World()
    answer, stream = world.ask()
    world.client.h2.send_headers(stream, headers)
    world.client.h2.send_data(stream, body, end_stream=trailers is None)
    if trailers is not None:
        world.client.h2.send_headers(stream, trailers, end_stream=True)
    world.move()
    assert (answer.status, answer.ended) == ("7", True)
    assert words in answer.message
    assert messages(answer)[-1:] == [error(answer.message)]
    assert world.judge.told == [(DIFF_COPY, answer.message)]
    answer, stream = world.ask(HEALTH)  # the session goes on
    world.client.answer(stream, framed(number_field(1, 1)))
    world.move()
    assert (messages(answer), answer.status) == ([number_field(1, 1)], "0")


# ── how much ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("piece", [700, 16_000])
def test_a_large_folder_in_small_pieces_arrives_whole(piece: int) -> None:
    world, draw = World(), random.Random(piece)
    world.piece = piece
    answer, stream = world.ask()
    packets = [stat("a", size=4_000_000), LISTED]
    packets += [content(draw.randbytes(draw.choice([1, 500, 32_768]))) for _ in range(300)] + [content(b""), SENT]
    world.client.answer(stream, b"".join(map(framed, packets)))
    world.move()
    assert messages(answer) == packets
    assert (answer.status, world.judge.told, world.judge.most > 9_900) == ("0", [], True)


def test_a_client_is_held_back_by_an_engine_that_does_not_read() -> None:
    """What waits for the engine is bounded, and none of it is lost."""
    world = World()
    answer, stream = world.ask(PULL)
    sent = b"".join(framed(b"\x0a\x80\x80\x02" + bytes(32_768)) for _ in range(100))
    world.engine_reads = False
    world.client.answer(stream, sent)
    world.move()
    assert len(sent) - world.client.left(stream) < 400_000
    world.engine_reads = True
    world.move()
    assert (answer.data, answer.status) == (sent, "0")


def test_an_engine_is_held_back_by_a_client_that_does_not_read() -> None:
    world = World()
    _, stream = world.ask()
    world.client_reads, said = False, 0
    for _ in range(50):
        room = min(world.engine.h2.local_flow_control_window(1), 16_000)
        world.engine.h2.send_data(1, bytes(room))
        said += room
        world.move()
    assert said < 200_000
    world.client_reads = True
    world.move()
    assert len(world.client.said[stream]) == said
    assert world.engine.h2.local_flow_control_window(1) > 16_000


def test_many_calls_at_once_do_not_stop_each_other() -> None:
    world = World()
    asked = [world.ask(PULL) for _ in range(20)]
    for _, stream in asked:
        world.client.answer(stream, framed(b"\x0a\x80\x80\x02" + bytes(32_768)) * 8)
    world.move()
    assert {(len(answer.data), answer.status) for answer, _ in asked} == {(8 * 32_777, "0")}


def test_frames_that_say_nothing_count() -> None:
    world = World(Judge(most=20))
    answer, _ = world.ask()
    for _ in range(10_000):
        world.client.h2.ping(b"12345678")
    with pytest.raises(Refusal, match="one too many"):
        world.move()
    assert world.relay.over
    world.engine.take(world.relay.to_engine())
    assert (answer.status, answer.message, answer.ended) == ("7", "one too many", True)


# ── ends ────────────────────────────────────────────────────────────────────────────────


def test_an_engine_that_gives_up_is_told_to_the_client() -> None:
    world = World()
    answer, stream = world.ask()
    world.client.answer(stream, framed(stat("a")), trailers=())
    world.engine.h2.reset_stream(1)
    world.move()
    assert world.client.reset == {stream: 8}
    assert not answer.data
    assert world.ask()[1]


def test_a_client_that_gives_up_is_told_to_the_engine() -> None:
    world = World()
    answer, stream = world.ask()
    world.client.h2.send_headers(stream, BEGUN)
    world.client.h2.reset_stream(stream)
    world.move()
    assert answer.reset == 8


def test_a_client_that_ends_its_answer_and_the_stream_is_heard() -> None:
    """Go's server resets the stream behind the end of its answer if the engine has not said its last."""
    world = World()
    answer, stream = world.ask()
    world.client.answer(stream, framed(LISTED))
    ended = world.client.to_send()
    world.client.h2.reset_stream(stream, 0)
    world.relay.from_client(ended + world.client.h2.data_to_send())
    world.move()
    assert (messages(answer), answer.status, answer.reset) == ([LISTED], "0", None)


def test_a_client_that_takes_no_calls_is_not_asked() -> None:
    world = World()
    world.client.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    answer, stream = world.move().ask()
    assert (answer.status, stream) == ("7", 0)
    assert "takes no call" in answer.message


@pytest.mark.parametrize("side", ["client", "engine"])
def test_who_says_goodbye_ends_the_session(side: str) -> None:
    world = World()
    _, stream = world.ask()
    world.client.answer(stream, framed(stat("a")), trailers=())
    (world.client if side == "client" else world.engine).h2.close_connection()
    world.relay.from_engine(world.engine.h2.data_to_send())
    world.relay.from_client(world.client.h2.data_to_send())
    assert world.relay.over
    world.relay.to_engine()
    world.relay.to_client()


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"\0\x40\1\x04\0\0\0\0\0",
        b"\0\0\0\x05\0\0\0\0\1",
        b"\0" * 100,
        b"\0\0\0\x04\0\0\0\0\1",
    ],
    ids=["no HTTP/2", "a frame that is too long", "a promise", "noise", "settings of a stream"],
)
def test_what_is_no_http2_ends_the_session_and_the_engine_hears_why(data: bytes) -> None:
    world = World()
    answer, _ = world.ask()
    with pytest.raises(Refusal, match="does not speak HTTP/2") as caught:
        world.relay.from_client(data)
    assert world.relay.over
    world.engine.take(world.relay.to_engine())
    assert (answer.status, answer.message) == ("7", str(caught.value))
    assert messages(answer) == [error(answer.message)]


@given(st.lists(st.binary(max_size=100), max_size=6), st.integers(0, 400))
def test_any_bytes_are_refused_or_reach_no_engine(pieces: list[bytes], at: int) -> None:
    world = World()
    world.engine.call(DIFF_COPY, b"", ends=False)
    world.relay.from_engine(world.engine.h2.data_to_send())
    world.client.take(world.relay.to_client())
    world.client.answer(1, framed(stat("a")) + framed(LISTED))
    said = world.client.to_send()
    for piece in (said[:at], *pieces, said[at:]):
        try:
            world.relay.from_client(piece)
        except Refusal:
            break
        world.relay.to_client()
    world.engine.take(world.relay.to_engine())  # speaks HTTP/2 whatever the client did
    answer = world.engine.answers[1]
    assert all(one in {stat("a"), LISTED, error(answer.message)} for one in messages(answer))
