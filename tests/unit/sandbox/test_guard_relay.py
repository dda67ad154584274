"""BuildKit's connection between a client and an engine, both in memory: which frames of whom reach the other side."""

from __future__ import annotations

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.sandbox.proxy.buildkit import Call
from grader.sandbox.proxy.grpc import MESSAGE_LIMIT, framed
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.relay import Relay
from tests.buildkit import HEADERS, Answer, Caller

OK = (("grpc-status", "0"),)
BEGUN = ((":status", "200"), ("content-type", "application/grpc"))


@dataclass
class Judge:
    """Lets everything through as it is, but for `/x.Y/Refused`, `/x.Y/Answered` and `/x.Y/Silent`."""

    most: int = 10_000
    asked: list[tuple[str, bytes]] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)

    def begin(self) -> None:
        self.most -= 1
        if self.most < 0:
            raise Refusal("one too many")

    def decide(self, method: str, message: bytes) -> Call:
        self.asked.append((method, message))
        if method == "/x.Y/Refused":
            raise Refusal("not this: 100 % sure, äh")
        return Call(None if method == "/x.Y/Answered" else message.upper(), {}, silent=method == "/x.Y/Silent")

    def refused(self, method: str, reason: str) -> None:
        self.told.append((method, reason))


class World:
    """A client, the relay, and an engine; `move` carries bytes until all is quiet."""

    def __init__(self, judge: Judge | None = None) -> None:
        self.judge = judge or Judge()
        self.relay = Relay(self.judge)
        self.client = Caller()
        self.engine = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.engine.initiate_connection()
        self.seen: list[h2.events.Event] = []
        self.reads = True

    def move(self) -> World:
        while True:
            up, down = self.client.h2.data_to_send(), self.engine.data_to_send()
            self.relay.from_client(up)
            self.relay.from_engine(down)
            to_engine, to_client = self.relay.to_engine(), self.relay.to_client() if self.reads else b""
            self.seen += self.engine.receive_data(to_engine)
            self.client.take(to_client)
            if not (up or down or to_engine or to_client):
                return self

    def ask(self, method: str, body: bytes, *headers: tuple[str, str], without: tuple[str, ...] = ()) -> Answer:
        stream = self.client.call(method, body, *headers, without=without)
        self.move()
        return self.client.answers[stream]

    def requests(self) -> list[dict[str, str]]:
        return [dict(one.headers) for one in self.seen if isinstance(one, h2.events.RequestReceived)]  # type: ignore[arg-type] # decoded

    def messages(self) -> bytes:
        return b"".join(one.data for one in self.seen if isinstance(one, h2.events.DataReceived))


def test_a_call_goes_on_anew_and_its_answer_comes_back() -> None:
    world = World()
    build = ("buildkit-controlapi-buildid", "abc")
    answer = world.ask("/x.Y/Z", framed(b"hello"), build, ("grpc-timeout", "15S"), ("authorization", "x"))
    assert world.requests() == [
        {
            ":method": "POST",
            ":scheme": "http",
            ":path": "/x.Y/Z",
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
            "buildkit-controlapi-buildid": "abc",
            "grpc-timeout": "15S",
        }
    ]
    assert world.messages() == framed(b"HELLO")
    world.engine.send_headers(1, BEGUN)
    world.engine.send_data(1, b"one")
    world.move()
    assert (answer.data, answer.ended) == (b"one", False)
    world.engine.send_data(1, b"two")
    world.engine.send_headers(1, OK, end_stream=True)
    world.move()
    assert (answer.data, answer.ended, answer.status) == (b"onetwo", True, "0")


def test_an_answer_of_headers_alone_stays_one() -> None:
    """To gRPC, a stream that ends without trailers is broken, unless its first headers end it."""
    world = World()
    answer = world.ask("/x.Y/Z", framed(b""))
    world.engine.send_headers(1, (*BEGUN, ("grpc-status", "5"), ("grpc-message", "no%20such")), end_stream=True)
    world.move()
    assert (answer.status, answer.message, answer.ended, answer.data) == ("5", "no such", True, b"")


def test_of_the_answer_to_a_silent_call_only_the_end_comes_back() -> None:
    world = World()
    answer = world.ask("/x.Y/Silent", framed(b"x"))
    assert world.messages() == framed(b"X")
    world.engine.send_headers(1, BEGUN)
    for _ in range(200):  # more than the engine may send unless it is given room again
        world.engine.send_data(1, bytes(10_000))
        world.move()
    world.engine.send_headers(1, OK, end_stream=True)
    world.move()
    assert (answer.data, answer.ended, answer.status) == (b"", True, "0")


def test_a_call_that_is_refused_reaches_no_engine_and_says_why() -> None:
    world = World()
    answer = world.ask("/x.Y/Refused", framed(b"x"))
    assert (answer.status, answer.message, answer.ended) == ("7", "not this: 100 % sure, äh", True)
    assert world.judge.told == [("/x.Y/Refused", "not this: 100 % sure, äh")]
    assert world.requests() == []
    world.ask("/x.Y/Z", framed(b"x"))
    assert len(world.requests()) == 1


def test_a_call_that_is_answered_reaches_no_engine() -> None:
    world = World()
    answer = world.ask("/x.Y/Answered", framed(b"x"))
    assert (answer.status, answer.data, answer.ended) == ("0", framed(b""), True)
    assert world.requests() == []


REFUSED = {
    "compressed by its frame": (b"\1\0\0\0\1x", (), (), "not compressed"),
    "compressed by its headers": (framed(b"x"), (("grpc-encoding", "gzip"),), (), "not compressed"),
    "no message": (b"", (), (), "has one message"),
    "half a frame": (b"\0\0\0", (), (), "has one message"),
    "two messages": (framed(b"a") + framed(b"b"), (), (), "has one message"),
    "more than announced": (framed(b"a") + b"b", (), (), "has one message"),
    "less than announced": (framed(b"abc")[:-1], (), (), "has one message"),
    "too large": (framed(b"x" * MESSAGE_LIMIT), (), (), "may have at most"),
    "another type": (framed(b""), (("content-type", "application/grpc-web"),), ("content-type",), "content-type"),
    "no trailers wanted": (framed(b""), (), ("te",), "te: trailers"),
    "another scheme": (framed(b""), ((":scheme", "https"),), (":scheme",), ":scheme: http"),
    "with GET": (framed(b""), ((":method", "GET"),), (":method",), ":method: POST"),
    "two patiences": (framed(b""), (("grpc-timeout", "1S"), ("grpc-timeout", "2S")), (), "not written as"),
    "a build that is none": (framed(b""), (("buildkit-controlapi-buildid", "a/b"),), (), "not written as"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "headers", "without", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_plain_call_is_refused(
    body: bytes, headers: tuple[tuple[str, str], ...], without: tuple[str, ...], words: str
) -> None:
    world = World()
    stream = world.client.call("/x.Y/Z", body[:60_000], *headers, without=without, ends=len(body) < 60_000)
    for at in range(60_000, len(body), 10_000):
        world.move()
        if world.client.answers[stream].ended:
            break
        world.client.h2.send_data(stream, body[at : at + 10_000])
    world.move()
    assert (world.client.answers[stream].status, world.client.answers[stream].ended) == ("7", True)
    assert words in world.client.answers[stream].message
    assert world.requests() == []
    assert world.ask("/x.Y/Answered", framed(b"x")).status == "0"  # the connection goes on


@pytest.mark.parametrize("path", ["/x.Y", "x.Y/Z", "/x.Y/Z?a=b", "/x.Y/../Z", "/x.Y/Z/W", "*"])
def test_a_path_that_is_no_method_is_refused(path: str) -> None:
    world = World()
    assert world.ask(path, framed(b"")).status == "7"
    assert world.requests() == []


def test_trailers_of_a_client_are_refused() -> None:
    world = World()
    stream = world.client.call("/x.Y/Z", framed(b""), ends=False)
    world.client.h2.send_headers(stream, [("x", "y")], end_stream=True)
    world.move()
    assert "has no trailers" in world.client.answers[stream].message
    assert world.requests() == []


def test_a_client_that_gives_up_ends_the_engines_work() -> None:
    world = World()
    answer = world.ask("/x.Y/Z", framed(b""))
    world.engine.send_headers(1, BEGUN)
    world.move()
    world.client.h2.reset_stream(1)
    world.move()
    assert [one.error_code for one in world.seen if isinstance(one, h2.events.StreamReset)] == [8]
    assert not answer.ended


def test_a_client_that_gives_up_at_once_reaches_no_engine() -> None:
    """Streams that are opened and cut by the thousand cost the engine nothing, and count."""
    world = World(Judge(most=50))
    for _ in range(50):
        world.client.h2.reset_stream(world.client.call("/x.Y/Z", framed(b"")))
    world.move()
    assert (world.requests(), world.judge.asked) == ([], [])
    world.client.h2.reset_stream(world.client.call("/x.Y/Z", framed(b"")))
    with pytest.raises(Refusal, match="one too many"):
        world.move()
    world.client.take(world.relay.to_client())
    assert world.client.ended == 11  # be calm


@pytest.mark.parametrize("method", ["/x.Y/Refused", "/x.Y/Z"])
def test_a_client_that_says_goodbye_at_once_ends_the_connection(method: str) -> None:
    world = World()
    world.client.call(method, framed(b""))
    world.client.h2.close_connection()
    world.relay.from_client(world.client.h2.data_to_send())
    assert world.relay.over
    world.relay.to_client()
    assert world.judge.asked == []


def test_an_engine_that_says_goodbye_ends_the_connection() -> None:
    world = World()
    world.ask("/x.Y/Z", framed(b""))
    world.engine.send_headers(1, BEGUN)
    world.engine.send_data(1, b"last words")
    world.engine.close_connection()
    world.relay.from_engine(world.engine.data_to_send())
    assert world.relay.over


def test_an_engine_that_gives_up_is_told_of() -> None:
    world = World()
    answer = world.ask("/x.Y/Z", framed(b""))
    world.engine.reset_stream(1)
    world.move()
    assert answer.reset == 8
    assert world.ask("/x.Y/Answered", framed(b"")).status == "0"


def test_a_client_that_does_not_read_stops_its_call_and_no_other() -> None:
    """The engine may be a window ahead; what waits is bounded by that."""
    world = World()
    world.ask("/x.Y/Long", framed(b""))
    world.engine.send_headers(1, BEGUN)
    world.reads = False
    sent = 0
    for _ in range(100):
        world.move()
        room = min(world.engine.local_flow_control_window(1), 10_000)
        if room:
            world.engine.send_data(1, b"x" * room)
            sent += room
    assert sent < 400_000
    world.reads = True
    world.move()
    assert len(world.client.answers[1].data) == sent
    world.engine.send_data(1, b"y" * 10)
    world.engine.send_headers(1, OK, end_stream=True)
    world.move()
    assert (world.client.answers[1].data[-1:], world.client.answers[1].status) == (b"y", "0")


def test_more_calls_at_once_than_are_served_end_the_connection() -> None:
    world = World()
    for _ in range(101):
        world.client.call("/x.Y/Z", b"", ends=False)
    with pytest.raises(Refusal, match="does not speak HTTP/2"):
        world.move()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: docker\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\x40\1\x63\0\0\0\0\1",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\x40\0\x63\0\0\0\0\1" * 500_000,
    ],
    ids=["no HTTP/2", "noise", "a frame that is too long", "frames without end"],
)
def test_what_is_no_http2_ends_the_connection(data: bytes) -> None:
    relay = Relay(Judge(most=100))
    pieces = (data[at : at + 65_536] for at in range(0, len(data), 65_536))
    with pytest.raises(Refusal):
        any(map(relay.from_client, pieces))
    assert relay.over


def test_headers_without_end_are_refused() -> None:
    world = World()
    with pytest.raises(Refusal, match="does not speak HTTP/2"):
        world.ask("/x.Y/Z", framed(b""), *((f"x-{number}", "y" * 1000) for number in range(100)))


@given(st.lists(st.binary(max_size=200), max_size=5), st.integers(0, 300))
def test_any_bytes_are_refused_or_reach_no_engine(pieces: list[bytes], at: int) -> None:
    caller = Caller()
    caller.h2.send_headers(1, [*HEADERS, (":path", "/x.Y/Z")])
    begun = caller.h2.data_to_send()
    judge = Judge()
    relay = Relay(judge)
    relay.to_engine()
    try:
        for piece in (begun[:at], *pieces, begun[at:]):
            relay.from_client(piece)
            relay.to_client()
    except Refusal:
        return
    assert relay.to_engine() == b"" or judge.asked
