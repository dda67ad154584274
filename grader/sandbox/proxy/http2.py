"""HTTP/2 with the guard as one end for each of two sides, from bytes alone: what `relay` and `sessionrelay` share.

Nothing of a client's frames goes on: what they said is taken from them, judged, and said anew to the engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, Event
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from grader.sandbox.proxy.grpc import Headers
from grader.sandbox.proxy.refusal import Refusal

STREAMS = 100
"""Calls at once. The docker command has up to four for each build, two of them for as long as the build takes."""
CALLS_BYTES = 4096
"""Bytes from a client that count like one more call, whatever they are: frames without a message cost time too. The
docker command sends some 25,000 for a build."""
AHEAD = 1024 * 1024
"""Bytes that a sender may be ahead of its receiver over all calls: one that nobody reads does not stop the others."""
PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
"""Bytes with which whoever makes the calls begins, before the first frame."""

_FRAME_HEAD, _FRAME = 9, 16_384
"""Bytes before a frame, and at most in it; HTTP/2 allows no more unless one side has offered it."""
_SPEAKS = "the connection to BuildKit does not speak HTTP/2 as its clients do"


class Between(ABC):
    """A connection between a client and an engine that both speak HTTP/2 from their first byte.

    `from_client` and `from_engine` take what came, `to_client` and `to_engine` give what is to be sent now. `over` says
    that one side has ended it. `begin` is called for whatever counts like one call more, and raises `Refusal` if it is
    one too many. There are no sockets.
    """

    def __init__(self, client: Side, engine: Side, frames: Frames, begin: Callable[[], None]) -> None:
        self._client, self._engine, self._frames, self._begin = client, engine, frames, begin
        self._bytes = 0
        self._begun = 0
        self.over = False

    def from_client(self, data: bytes) -> None:
        """Take bytes. Raises `Refusal` for what ends the whole connection; `to_client` has the last frames then."""
        try:
            self._frames.check(data)
            events = self._client.h2.receive_data(data)
            self._count(self._weight(data, events))
        except ProtocolError as problem:
            refusal = Refusal(f"{_SPEAKS}: {problem}")
            self._end(str(refusal))
            raise refusal from problem
        except Refusal as refusal:
            self._client.h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._end(str(refusal))
            raise
        self._take(self._meant(events), self._from_client)

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
        self._flush()
        return self._client.h2.data_to_send()

    def to_engine(self) -> bytes:
        """What is to be sent to the engine now."""
        self._flush()
        return self._engine.h2.data_to_send()

    def _flush(self) -> None:
        # Both, since what goes to one side may give the other one room.
        if not self.over:
            self._client.flush()
            self._engine.flush()

    def _count(self, weight: int) -> None:
        self._bytes += weight
        while self._begun < self._bytes // CALLS_BYTES:
            self._begun += 1
            self._begin()

    def _end(self, reason: str) -> None:
        if not self.over:
            self.over = True
            self._refused(reason)

    def _take(self, events: list[Event], handle: Callable[[Event], None]) -> None:
        # Nothing can be sent to a side that has said goodbye, not even in answer to what it said before.
        self.over = self.over or any(isinstance(event, ConnectionTerminated) for event in events)
        for event in [] if self.over else events:
            handle(event)

    @abstractmethod
    def _weight(self, data: bytes, events: Sequence[Event]) -> int:
        """How many bytes of the client's count, of these in which there were these events."""

    def _meant(self, events: list[Event]) -> list[Event]:
        """Those of a client's events that are to be handled."""
        return events

    @abstractmethod
    def _from_client(self, event: Event) -> None: ...

    @abstractmethod
    def _from_engine(self, event: Event) -> None: ...

    def _refused(self, reason: str) -> None:  # noqa: B027 - not everyone has more to say
        """The client is refused as a whole, and this is the last thing that happens."""


class Frames:
    """Looks at the length that each frame announces. The library does so when it has the whole frame, up to 16 MiB.

    `preface` is how many bytes come before the first frame.
    """

    def __init__(self, preface: int) -> None:
        self._left = preface  # of the present frame, behind its head
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


@dataclass(slots=True)
class _Outgoing:
    """What waits until its receiver has room. Once `trailers` are known they end the stream; they may be none."""

    data: bytearray = field(default_factory=bytearray)
    trailers: Headers | None = None


class Side:
    """One of the two HTTP/2 connections, with a queue for each of its streams.

    `encoding` is that of the headers that come; None where they go on as the bytes that they are. `headers` is how many
    bytes a list of them may have. `sent` is called with a stream and how many bytes of its data have gone to the
    receiver.
    """

    def __init__(
        self,
        own: Mapping[SettingCodes, int],
        *,
        is_client: bool,
        encoding: str | None,
        sent: Callable[[int, int], None],
        headers: int = H2Connection.DEFAULT_MAX_HEADER_LIST_SIZE,
    ) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=is_client, header_encoding=encoding))
        settings = {SettingCodes.MAX_HEADER_LIST_SIZE: headers, **own}
        self.h2.local_settings = Settings(client=is_client, initial_values=settings)
        self.h2.decoder.max_header_list_size = headers
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

    def waiting(self, stream: int) -> int:
        """How many bytes wait for room on a stream."""
        return len(self._queues[stream].data) if stream in self._queues else 0

    def drop(self, stream: int) -> int:
        """Forget what waits for a stream; how many bytes that was."""
        queue = self._queues.pop(stream, None)
        return len(queue.data) if queue else 0

    def is_open(self, stream: int) -> bool:
        """Whether a stream has begun and has not ended in both directions."""
        return stream in self.h2.streams and not self.h2.streams[stream].closed

    def reset(self, stream: int, code: ErrorCodes) -> None:
        """End a stream at once, unless it has ended."""
        self.drop(stream)
        if self.is_open(stream):
            self.h2.reset_stream(stream, code)

    def acknowledge(self, stream: int, count: int) -> None:
        """Give the sender room for as much again."""
        if stream and count:
            self.h2.acknowledge_received_data(count, stream)

    def flush(self) -> None:
        """Send what waited for room and now has it."""
        done = [stream for stream, queue in self._queues.items() if self._flush(stream, queue)]
        for stream in done:
            del self._queues[stream]

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
