"""Many connections over one pair of byte streams: how the grader reaches a nested engine, wherever the engine is.

The same module stands at both ends. The grader sends its source into the helper container and runs it there, with its
standard input and output for the streams; it connects to the nested engine's socket for each connection that the
grader opens. So the source imports nothing but the standard library.

Each side may send `_WINDOW` bytes of a connection that the other side has not passed on yet. So a connection that
nobody reads from holds up no other one, and no more than that is kept in memory.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

_WINDOW = 256 * 1024
_PIECE = 32 * 1024
_FRAME = struct.Struct(">IBI")
"""A frame's beginning: the connection's number, the kind of frame, and the bytes of data that follow."""
_OPEN, _DATA, _CREDIT, _RESET = range(4)
"""Kinds of frame. `_DATA` without any is the end of it; `_CREDIT` holds how many more bytes may be sent."""


@dataclass(slots=True)
class _Connection:
    number: int
    incoming: queue.SimpleQueue[bytes] = field(default_factory=queue.SimpleQueue)
    credit: int = _WINDOW
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_over: bool = False
    stream: socket.socket | None = None

    def add_credit(self, size: int) -> None:
        with self.changed:
            self.credit += size
            self.changed.notify()

    def spend_credit(self, size: int) -> None:
        """Wait until so much may be sent. `OSError` if the connection is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.credit >= size or self.is_over)
            if self.is_over:
                raise ConnectionError
            self.credit -= size

    def cut(self) -> None:
        """End it at once, in all its threads."""
        with self.changed:
            self.is_over = True
            self.changed.notify()
            stream = self.stream
        self.incoming.put(b"")
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True, eq=False)
class Tunnel:
    """One end. `received` is what the other one sends, `send` sends to it, and `dial` connects what it opens."""

    received: Iterable[bytes]
    send: Callable[[bytes], object]
    dial: Callable[[], socket.socket] | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _connections: dict[int, _Connection] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sending: threading.Lock = field(default_factory=threading.Lock)
    _is_over: bool = False

    def open(self) -> socket.socket:
        """Return a connected stream to what the other end dials. `OSError` if the tunnel has ended."""
        connection = _Connection(next(self._numbers))
        with self._lock:
            if self._is_over:
                raise ConnectionError("the tunnel to the engine has ended")
            self._connections[connection.number] = connection
        ours, theirs = socket.socketpair()
        self._send(connection.number, _OPEN)
        _in_thread(self._carry, connection, lambda: theirs)
        return ours

    def serve(self) -> None:
        """Pass on what the other end sends, until it ends; then all connections end."""
        try:
            with contextlib.suppress(Exception):  # whatever breaks the pieces off, the connections end
                for number, kind, data in _frames(self.received):
                    self._receive(number, kind, data)
        finally:
            with self._lock:
                self._is_over = True
                connections = tuple(self._connections.values())
            for connection in connections:
                connection.cut()

    def _receive(self, number: int, kind: int, data: bytes) -> None:
        if kind == _OPEN and self.dial:
            connection = _Connection(number)
            with self._lock:
                self._connections[number] = connection
            _in_thread(self._carry, connection, self.dial)
            return
        with self._lock:
            known = self._connections.get(number)
        if known and kind == _CREDIT:
            known.add_credit(int.from_bytes(data, "big"))
        elif known and kind == _RESET:
            known.cut()
        elif known:  # else it was reset here
            known.incoming.put(data)

    def _carry(self, connection: _Connection, dial: Callable[[], socket.socket]) -> None:
        """Carry both directions of a connection to their ends."""
        try:
            with dial() as stream:
                with connection.changed:
                    connection.stream = stream
                outgoing = _in_thread(self._pass_out, connection, stream)
                self._pass_in(connection, stream)
                outgoing.join()
        except OSError:
            self._reset(connection)
        finally:
            with self._lock:
                self._connections.pop(connection.number, None)

    def _pass_in(self, connection: _Connection, stream: socket.socket) -> None:
        try:
            while data := connection.incoming.get():
                stream.sendall(data)
                self._send(connection.number, _CREDIT, len(data).to_bytes(4, "big"))
            stream.shutdown(socket.SHUT_WR)
        except OSError:
            self._reset(connection)

    def _pass_out(self, connection: _Connection, stream: socket.socket) -> None:
        try:
            for data in pieces(stream):
                connection.spend_credit(len(data))
                self._send(connection.number, _DATA, data)
            self._send(connection.number, _DATA)
        except OSError:
            self._reset(connection)

    def _reset(self, connection: _Connection) -> None:
        if not connection.is_over:
            connection.cut()
            with contextlib.suppress(OSError):
                self._send(connection.number, _RESET)

    def _send(self, number: int, kind: int, data: bytes = b"") -> None:
        with self._sending:
            self.send(_FRAME.pack(number, kind, len(data)) + data)


def _in_thread(target: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def pieces(stream: socket.socket) -> Iterator[bytes]:
    """What comes out of a stream, until its end."""
    return iter(lambda: stream.recv(_PIECE), b"")


def _frames(received: Iterable[bytes]) -> Iterator[tuple[int, int, bytes]]:
    buffer = bytearray()
    for piece in received:
        buffer += piece
        while len(buffer) >= _FRAME.size:
            number, kind, size = _FRAME.unpack_from(buffer)
            end = _FRAME.size + size
            if len(buffer) < end:
                break
            yield number, kind, bytes(buffer[_FRAME.size : end])
            del buffer[:end]


def _main(path: str) -> None:
    """Connect what comes in on standard input to the socket at `path`, until it ends."""

    def dial() -> socket.socket:
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(path)
        return stream

    with open(1, "wb", buffering=0) as output:
        Tunnel(iter(lambda: os.read(0, _PIECE), b""), output.write, dial).serve()


if __name__ == "__main__":
    _main(sys.argv[1])
