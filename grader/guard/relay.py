"""BuildKit's connection: HTTP/2 with the client on one side and with the engine on the other, from bytes alone.

Nothing of the client's frames goes on. A call is read whole and decided about, then made anew to the engine; what the
engine answers is passed on as it is. `Relay` has no sockets: it takes bytes, and gives those to be sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from grader.guard.buildkit import Call
from grader.guard.grpc import (
    ANSWERED,
    MESSAGE_LIMIT,
    SUCCEEDED,
    Headers,
    framed,
    message_of,
    method_of,
    passed_on,
    refusal_headers,
)
from grader.guard.refusal import Refusal

__all__ = ["Judge", "Relay"]

_STREAMS = 100
"""Calls at once. The docker command has up to four for each build, two of them for as long as the build takes."""
_WAITING_LIMIT = 2 * MESSAGE_LIMIT
"""Bytes of all messages together that are not whole yet."""
_CALLS_BYTES = 4096
"""Bytes from a client that count like one more call, whatever they are: frames without a message cost time too. The
docker command sends some 25,000 for a build."""
_ENGINES_WINDOW = 1024 * 1024
"""Bytes that the engine may be ahead of the client over all calls: one that nobody reads does not stop the others."""


_FRAME_HEAD, _FRAME = 9, 16_384
"""Bytes before a frame, and at most in it; HTTP/2 allows no more unless one side has offered it."""
_SPEAKS = "the connection to BuildKit does not speak HTTP/2 as its clients do"


class Judge(Protocol):
    """What decides about the calls of one connection."""

    def begin(self) -> None:
        """A call begins, or bytes have come that count like one. Raises `Refusal` if it is one too many."""

    def decide(self, method: str, message: bytes) -> Call:
        """The call as it goes on. Raises `Refusal`."""

    def refused(self, method: str, reason: str) -> None:
        """A call was refused, and its sender is told so. `method` is "" if that cannot be read."""


class Relay:
    """A connection between a client and an engine that both speak HTTP/2 from their first byte.

    `from_client` and `from_engine` take what came, `to_client` and `to_engine` give what is to be sent now. `over` says
    that one side has ended it.
    """

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._client = _Side({SettingCodes.MAX_CONCURRENT_STREAMS: _STREAMS}, is_client=False, sent=self._was_sent)
        self._engine = _Side({SettingCodes.ENABLE_PUSH: 0}, is_client=True, sent=lambda _stream, _count: None)
        self._engine.h2.increment_flow_control_window(_ENGINES_WINDOW)
        self._requests: dict[int, _Request] = {}  # that are not whole yet, by the client's stream
        self._engines: dict[int, int] = {}  # the engine's stream for the client's, of calls under way
        self._clients: dict[int, int] = {}
        self._silent: set[int] = set()  # of the engine's streams, those of which only the end is passed on
        self._count = 0
        self._frames = _Frames()
        self.over = False

    def from_client(self, data: bytes) -> None:
        """Take bytes. Raises `Refusal` for what ends the whole connection; `to_client` has the last frames then."""
        try:
            self._frames.check(data)
            self._begin((self._count + len(data)) // _CALLS_BYTES - self._count // _CALLS_BYTES)
            self._count += len(data)
            events = self._client.h2.receive_data(data)
            self._begin(sum(isinstance(event, RequestReceived) for event in events))
        except ProtocolError as problem:
            self.over = True
            raise Refusal(f"{_SPEAKS}: {problem}") from problem
        except Refusal:
            self.over = True
            self._client.h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            raise
        self._take(_of_streams_that_last(events), self._from_client)

    def from_engine(self, data: bytes) -> None:
        """Take bytes. An engine that breaks the rules of HTTP/2 ends the connection."""
        try:
            events = self._engine.h2.receive_data(data)
        except ProtocolError:
            self.over = True
            return
        self._take(events, self._from_engine)

    def to_client(self) -> bytes:
        """What is to be sent to the client now."""
        return self._client.to_send(flush=not self.over)

    def to_engine(self) -> bytes:
        """What is to be sent to the engine now."""
        return self._engine.to_send(flush=not self.over)

    def _take(self, events: list[Event], handle: Callable[[Event], None]) -> None:
        # Nothing can be sent to a side that has said goodbye, not even in answer to what it said before.
        self.over = self.over or any(isinstance(event, ConnectionTerminated) for event in events)
        for event in [] if self.over else events:
            handle(event)

    # ── requests ────────────────────────────────────────────────────────────────────────

    def _begin(self, count: int) -> None:
        for _ in range(count):
            self._judge.begin()

    def _from_client(self, event: Event) -> None:
        match event:
            case RequestReceived():
                self._requests[event.stream_id] = _Request(cast("Headers", tuple(event.headers)))
            case DataReceived():
                self._client.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self._collect(event.stream_id, event.data)
            case TrailersReceived() if event.stream_id in self._requests:
                self._refuse(event.stream_id, "", "a call of BuildKit has no trailers")
            case StreamEnded() if event.stream_id in self._requests:
                self._whole(event.stream_id, self._requests.pop(event.stream_id))
            case StreamReset():
                self._cancel(event.stream_id)
            case _:
                pass

    def _collect(self, stream: int, data: bytes) -> None:
        request = self._requests.get(stream)
        if request is None:
            return
        request.body += data
        waiting = sum(len(one.body) for one in self._requests.values())
        if len(request.body) > MESSAGE_LIMIT or waiting > _WAITING_LIMIT:
            self._refuse(stream, "", f"a message to BuildKit may have at most {MESSAGE_LIMIT} bytes")

    def _whole(self, stream: int, request: _Request) -> None:
        method = ""
        try:
            method = method_of(request.headers)
            headers = passed_on(request.headers)
            call = self._judge.decide(method, message_of(bytes(request.body)))
        except Refusal as refusal:
            self._refuse(stream, method, str(refusal))
            return
        if call.message is None:
            self._client.begin(stream, ANSWERED)
            self._client.send(stream, framed(b""), SUCCEEDED)
        else:
            engines = self._engine.h2.get_next_available_stream_id()
            self._engines[stream], self._clients[engines] = engines, stream
            if call.silent:
                self._silent.add(engines)
            self._engine.begin(engines, headers)
            self._engine.send(engines, framed(call.message), ())

    def _refuse(self, stream: int, method: str, reason: str) -> None:
        is_whole = self._requests.pop(stream, None) is None
        self._judge.refused(method, reason)
        self._client.begin(stream, refusal_headers(reason), ends=True)
        if not is_whole:
            self._client.reset(stream, ErrorCodes.NO_ERROR)

    def _cancel(self, stream: int) -> None:
        self._requests.pop(stream, None)
        unread = self._client.drop(stream)
        if (engines := self._engines.pop(stream, None)) is not None:
            self._clients.pop(engines, None)
            self._engine.reset(engines, ErrorCodes.CANCEL)
            self._engine.acknowledge(engines, unread)

    # ── answers ─────────────────────────────────────────────────────────────────────────

    def _from_engine(self, event: Event) -> None:
        stream = self._clients.get(getattr(event, "stream_id", None) or 0)
        match event:
            case DataReceived() if stream is None or event.stream_id in self._silent:
                self._engine.acknowledge(event.stream_id, event.flow_controlled_length)
            case _ if stream is None:
                pass
            case ResponseReceived(stream_ended=ended):  # a call that fails at once is answered with headers alone
                self._client.begin(stream, cast("Headers", tuple(event.headers)), ends=ended is not None)
                if ended is not None:
                    del self._clients[event.stream_id]
            case DataReceived():
                self._engine.acknowledge(event.stream_id, event.flow_controlled_length - len(event.data))
                self._client.send(stream, event.data)
            case TrailersReceived():
                self._client.send(stream, b"", cast("Headers", tuple(event.headers)))
            case StreamEnded():
                self._client.send(stream, b"", ())
                del self._clients[event.stream_id]
            case StreamReset():
                self._engine.drop(event.stream_id)
                self._client.reset(stream, ErrorCodes.CANCEL)
                del self._clients[event.stream_id], self._engines[stream]
            case _:
                pass

    def _was_sent(self, stream: int, count: int) -> None:
        self._engine.acknowledge(self._engines.get(stream, 0), count)


@dataclass(slots=True)
class _Request:
    headers: Headers
    body: bytearray = field(default_factory=bytearray)


class _Frames:
    """Looks at the length that each frame announces. The library does so when it has the whole frame, up to 16 MiB."""

    def __init__(self) -> None:
        self._left = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")  # of the present frame, behind its head
        self._head = b""

    def check(self, data: bytes) -> None:
        """Take the next piece of the stream. Raises `Refusal` for a frame that is longer than we said we would take."""
        at = 0
        while at < len(data):
            passed = min(self._left, len(data) - at)
            self._left -= passed
            at += passed
            head = data[at : at + _FRAME_HEAD - len(self._head)]
            self._head += head
            at += len(head)
            if len(self._head) == _FRAME_HEAD:
                self._left, self._head = int.from_bytes(self._head[:3]), b""
                if self._left > _FRAME:
                    raise Refusal(f"{_SPEAKS}: a frame is too long")


def _of_streams_that_last(events: list[Event]) -> list[Event]:
    """Events in order, of a stream that is reset among them only that it is: nothing more can be sent on it."""
    reset = {event.stream_id for event in events if isinstance(event, StreamReset)}
    return [event for event in events if isinstance(event, StreamReset) or getattr(event, "stream_id", 0) not in reset]


# ── one side ────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Outgoing:
    """What waits until its receiver has room. Once `trailers` are known they end the stream; they may be none."""

    data: bytearray = field(default_factory=bytearray)
    trailers: Headers | None = None


class _Side:
    """One of the two HTTP/2 connections, with a queue for each of its streams.

    `sent` is called with a stream and how many bytes of its data have gone to the receiver.
    """

    def __init__(self, own: Mapping[SettingCodes, int], *, is_client: bool, sent: Callable[[int, int], None]) -> None:
        # The engine's headers go on as the bytes that they are.
        self.h2 = H2Connection(H2Configuration(client_side=is_client, header_encoding=None if is_client else "latin-1"))
        headers = {SettingCodes.MAX_HEADER_LIST_SIZE: H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE}
        self.h2.local_settings = Settings(client=is_client, initial_values={**headers, **own})
        self.h2.initiate_connection()
        self._queues: dict[int, _Outgoing] = {}
        self._sent = sent

    def begin(self, stream: int, headers: Headers, *, ends: bool = False) -> None:
        """Send the headers that begin a stream, or an answer on it."""
        self.h2.send_headers(stream, list(headers), end_stream=ends)

    def send(self, stream: int, data: bytes, trailers: Headers | None = None) -> None:
        """Send data as there is room, and end the stream if there are trailers, which may be empty."""
        queue = self._queues.setdefault(stream, _Outgoing())
        queue.data += data
        queue.trailers = trailers if queue.trailers is None else queue.trailers

    def drop(self, stream: int) -> int:
        """Forget what waits for a stream; how many bytes that was."""
        queue = self._queues.pop(stream, None)
        return len(queue.data) if queue else 0

    def reset(self, stream: int, code: ErrorCodes) -> None:
        """End a stream at once, unless it has ended."""
        self.drop(stream)
        if stream in self.h2.streams and not self.h2.streams[stream].closed:
            self.h2.reset_stream(stream, code)

    def acknowledge(self, stream: int, count: int) -> None:
        """Give the sender room for as much again."""
        if stream and count:
            self.h2.acknowledge_received_data(count, stream)

    def to_send(self, *, flush: bool) -> bytes:
        """Bytes for the wire; with `flush`, so goes what waited for room and now has it."""
        queues = self._queues if flush else {}
        done = [stream for stream, queue in queues.items() if self._flush(stream, queue)]
        for stream in done:
            del self._queues[stream]
        return self.h2.data_to_send()

    def _flush(self, stream: int, queue: _Outgoing) -> bool:
        while queue.data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(queue.data))
            if room <= 0:
                return False
            self.h2.send_data(stream, bytes(queue.data[:room]))
            del queue.data[:room]
            self._sent(stream, room)
        if queue.trailers is None:
            return False
        if queue.trailers:
            self.h2.send_headers(stream, list(queue.trailers), end_stream=True)
        else:
            self.h2.end_stream(stream)
        return True
