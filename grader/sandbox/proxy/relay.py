"""BuildKit's connection: HTTP/2 with the client on one side and with the engine on the other, from bytes alone.

Nothing of the client's frames goes on. A call is read whole and decided about, then made anew to the engine; what the
engine answers is passed on as it is. `Relay` has no sockets: it takes bytes, and gives those to be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes

from grader.sandbox.proxy.buildkit import Call
from grader.sandbox.proxy.grpc import (
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
from grader.sandbox.proxy.http2 import AHEAD, CALLS_BYTES, PREFACE, STREAMS, Between, Frames, Side
from grader.sandbox.proxy.refusal import Refusal

_WAITING_LIMIT = 2 * MESSAGE_LIMIT
"""Bytes of all messages together that are not whole yet."""


class Judge(Protocol):
    """What decides about the calls of one connection."""

    def begin(self) -> None:
        """A call begins, or bytes have come that count like one. Raises `Refusal` if it is one too many."""

    def decide(self, method: str, message: bytes) -> Call:
        """The call as it goes on. Raises `Refusal`."""

    def refused(self, method: str, reason: str) -> None:
        """A call was refused, and its sender is told so. `method` is "" if that cannot be read."""


class Relay(Between):
    """A connection over which a client calls an engine."""

    def __init__(self, judge: Judge) -> None:
        super().__init__(
            Side(
                {SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS}, is_client=False, encoding="latin-1", sent=self._was_sent
            ),
            Side({SettingCodes.ENABLE_PUSH: 0}, is_client=True, encoding=None, sent=lambda _stream, _count: None),
            Frames(PREFACE),
            judge.begin,
        )
        self._judge = judge
        self._engine.h2.increment_flow_control_window(AHEAD)
        self._requests: dict[int, _Request] = {}  # that are not whole yet, by the client's stream
        self._engines: dict[int, int] = {}  # the engine's stream for the client's, of calls under way
        self._clients: dict[int, int] = {}
        self._silent: set[int] = set()  # of the engine's streams, those of which only the end is passed on

    def _weight(self, data: bytes, events: Sequence[Event]) -> int:
        return len(data) + CALLS_BYTES * sum(isinstance(event, RequestReceived) for event in events)

    def _meant(self, events: list[Event]) -> list[Event]:
        return _of_streams_that_last(events)

    # ── requests ────────────────────────────────────────────────────────────────────────

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


def _of_streams_that_last(events: list[Event]) -> list[Event]:
    """Events in order, of a stream that is reset among them only that it is: nothing more can be sent on it."""
    reset = {event.stream_id for event in events if isinstance(event, StreamReset)}
    return [event for event in events if isinstance(event, StreamReset) or getattr(event, "stream_id", 0) not in reset]
