"""A session of BuildKit: HTTP/2 with the engine as the one that calls and the client as the one that answers.

Nothing of the client's frames goes on. A call that clients are asked to answer is passed on to the client as it is;
each message of the answer is read whole, decided about, and made anew to the engine. All other calls are answered here,
as by a client that has no such service. `SessionRelay` has no sockets: it takes bytes, and gives those to be sent.
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
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from grader.sandbox.proxy.grpc import (
    ANSWERED,
    MESSAGE_LIMIT,
    Headers,
    Messages,
    check_answer,
    ended,
    framed,
    refusal_headers,
    unknown,
)
from grader.sandbox.proxy.http2 import AHEAD, STREAMS, Between, Frames, Side
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.session import Reply

_HEADERS = 1024 * 1024
"""Bytes of the engine's headers, in which it names what it wants; as many as the docker command takes."""
_WAITING_LIMIT = 4 * MESSAGE_LIMIT
"""Bytes of all messages together that are not whole yet. Real ones have 32 KiB each, of two calls for each build."""
_QUEUED = 64 * 1024
"""Bytes that wait for the engine on one stream, with which its sender gets no more room."""


class SessionJudge(Protocol):
    """What decides about the answers in one session."""

    def begin(self) -> None:
        """Bytes have come that count like a call. Raises `Refusal` if it is one too many."""

    def serve(self, method: str) -> Reply | None:
        """What is to be made of the answers to a call; None if the client is not to be asked."""

    def refused(self, method: str, reason: str) -> None:
        """An answer was refused, and the engine is told so."""


@dataclass(slots=True)
class _Asked:
    """A call under way, with its stream on both sides. `owed` are bytes for which the client has no room again yet."""

    method: str
    engine: int
    client: int
    reply: Reply
    messages: Messages = field(default_factory=Messages)
    begun: bool = False
    owed: int = 0


class SessionRelay(Between):
    """A connection over which an engine calls a client."""

    def __init__(self, judge: SessionJudge) -> None:
        super().__init__(
            Side({SettingCodes.ENABLE_PUSH: 0}, is_client=True, encoding="latin-1", sent=self._went_to_client),
            Side(
                {SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS},
                is_client=False,
                encoding=None,
                sent=self._went_to_engine,
                headers=_HEADERS,
            ),
            Frames(0),
            judge.begin,
        )
        self._judge = judge
        self._client.h2.increment_flow_control_window(AHEAD)
        self._engines: dict[int, _Asked] = {}  # calls under way, by the engine's stream
        self._clients: dict[int, _Asked] = {}

    def _weight(self, data: bytes, events: Sequence[Event]) -> int:
        return len(data) - sum(len(event.data) for event in events if isinstance(event, DataReceived))

    # ── what the engine asks ────────────────────────────────────────────────────────────

    def _from_engine(self, event: Event) -> None:
        asked = self._engines.get(getattr(event, "stream_id", None) or 0)
        match event:
            case RequestReceived() if self._engine.is_open(event.stream_id):
                self._ask(event.stream_id, cast("Headers", tuple(event.headers)))
            case DataReceived() if asked is None:
                self._engine.acknowledge(event.stream_id, event.flow_controlled_length)
            case DataReceived() if asked is not None:
                self._engine.acknowledge(event.stream_id, event.flow_controlled_length - len(event.data))
                self._client.send(asked.client, event.data)
            case StreamEnded() if asked is not None:
                self._client.send(asked.client, b"", ())
            case StreamReset():
                self._engine.drop(event.stream_id)
                if asked is not None:
                    self._forget(asked)
            case _:
                pass

    def _ask(self, stream: int, headers: Headers) -> None:
        paths = [value for name, value in headers if cast("bytes", name) == b":path"]
        method = cast("bytes", paths[0]).decode("latin-1") if paths else ""
        reply = self._judge.serve(method)
        if reply is None:
            self._engine.begin(stream, unknown(method), ends=True)
            return
        try:
            client = self._client.h2.get_next_available_stream_id()
            self._client.begin(client, headers)
        except ProtocolError as problem:
            reason = f"the client takes no call of BuildKit: {problem}"
            self._judge.refused(method, reason)
            self._engine.begin(stream, refusal_headers(reason), ends=True)
            return
        self._engines[stream] = self._clients[client] = _Asked(method, stream, client, reply)

    def _went_to_client(self, stream: int, count: int) -> None:
        if asked := self._clients.get(stream):
            self._engine.acknowledge(asked.engine, count)

    # ── what the client answers ─────────────────────────────────────────────────────────

    def _from_client(self, event: Event) -> None:
        asked = self._clients.get(getattr(event, "stream_id", None) or 0)
        if asked is None:
            if isinstance(event, DataReceived):
                self._client.acknowledge(event.stream_id, event.flow_controlled_length)
            return
        try:
            self._answered(asked, event)
        except Refusal as refusal:
            self._refuse(asked, str(refusal))

    def _answered(self, asked: _Asked, event: Event) -> None:
        match event:
            case ResponseReceived(headers=headers, stream_ended=over):
                check_answer(cast("Headers", tuple(headers)))
                if over is not None:
                    self._finish(asked, cast("Headers", tuple(headers)))
                else:
                    self._begin_answer(asked)
            case DataReceived():
                asked.owed += event.flow_controlled_length
                self._messages(asked, event.data)
                self._settle(asked)
            case TrailersReceived(headers=headers):
                self._finish(asked, cast("Headers", tuple(headers)))
            case StreamEnded():
                raise Refusal("an answer to BuildKit ends with its status")
            case StreamReset():
                self._engine.reset(asked.engine, ErrorCodes.CANCEL)
                self._forget(asked)
            case _:
                pass

    def _messages(self, asked: _Asked, data: bytes) -> None:
        for one in asked.messages.feed(data):
            self._engine.send(asked.engine, framed(asked.reply.message(one)))
        if sum(one.messages.waiting for one in self._clients.values()) > _WAITING_LIMIT:
            raise Refusal(f"messages to BuildKit may have at most {_WAITING_LIMIT} bytes together")

    def _finish(self, asked: _Asked, headers: Headers) -> None:
        if asked.messages.waiting:
            raise Refusal("a message to BuildKit is cut off in the middle")
        self._tell(asked, (*(() if asked.begun else ANSWERED), *ended(headers)))
        self._forget(asked)

    def _refuse(self, asked: _Asked, reason: str) -> None:
        self._judge.refused(asked.method, reason)
        self._stop(asked, reason)
        self._forget(asked)

    def _stop(self, asked: _Asked, reason: str) -> None:
        if asked.reply.last is not None:
            self._begin_answer(asked)
            self._engine.send(asked.engine, framed(asked.reply.last(reason)))
        self._tell(asked, refusal_headers(reason, begun=asked.begun))

    def _begin_answer(self, asked: _Asked) -> None:
        if not asked.begun:
            asked.begun = True
            self._engine.begin(asked.engine, ANSWERED)

    def _tell(self, asked: _Asked, end: Headers) -> None:
        """End a call at the engine, behind what went on of it: a message that is cut off would be all that is told."""
        if asked.begun:
            self._engine.send(asked.engine, b"", end)
        else:
            self._engine.begin(asked.engine, end, ends=True)

    def _refused(self, reason: str) -> None:
        for asked in self._engines.values():
            self._stop(asked, reason)
        self._engine.flush()

    def _went_to_engine(self, stream: int, _count: int) -> None:
        if asked := self._engines.get(stream):
            self._settle(asked)

    def _settle(self, asked: _Asked) -> None:
        """Give the client room for as much again, unless what it said before still waits."""
        if self._engine.waiting(asked.engine) <= _QUEUED:
            self._client.acknowledge(asked.client, asked.owed)
            asked.owed = 0

    def _forget(self, asked: _Asked) -> None:
        """A call is over. What the engine still says to it goes nowhere, nor does what the client does."""
        del self._engines[asked.engine], self._clients[asked.client]
        self._engine.acknowledge(asked.engine, self._client.drop(asked.client))
        self._client.acknowledge(asked.client, asked.owed)
        self._client.reset(asked.client, ErrorCodes.CANCEL)
