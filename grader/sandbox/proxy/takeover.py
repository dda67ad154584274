"""Sockets of a connection that was taken over: bytes copied in both directions, or carried `Between` them."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports h2, which takes a while
    from grader.sandbox.proxy.http2 import Between

_PIECE = 65_536
_WAITING = 256 * 1024
"""Bytes that may wait to be sent to one side; with more, nothing is read from either until they have gone."""
_LAST_SECONDS = 5.0
"""How long the receiver of the last bytes may take."""
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


def pump(source: socket.socket, target: socket.socket, kept: bytearray | None = None, most: int = 0) -> None:
    """Copy until the source ends, and keep the first `most` bytes."""
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            if kept is not None and len(kept) < most:
                kept += piece[: most - len(kept)]
            target.sendall(piece)


def splice(client: socket.socket, engine: socket.socket) -> None:
    """Copy in both directions until the engine has ended, and tell each side when the other one has."""
    upstream = threading.Thread(target=_towards, args=(client, engine), daemon=True)
    upstream.start()
    _towards(engine, client)
    cut(client)
    upstream.join()


def _towards(source: socket.socket, target: socket.socket) -> None:
    pump(source, target)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def cut(connection: socket.socket) -> None:
    """End a connection from any thread; who reads from it or writes to it learns that."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class _End:
    """One side: where its bytes go, and where those for it come from."""

    connection: socket.socket
    take: Callable[[bytes], None]
    give: Callable[[], bytes]
    waiting: bytearray = field(default_factory=bytearray)

    def read(self) -> bool:
        """Take what is there. False if the side has ended."""
        piece = self.connection.recv(_PIECE)
        self.take(piece)
        return bool(piece)

    def write(self) -> None:
        """Send what can be sent without waiting."""
        with contextlib.suppress(BlockingIOError):
            sent = self.connection.send(self.waiting)
            del self.waiting[:sent]


def carry(client: socket.socket, engine: socket.socket, relay: Between, behind: bytes) -> None:
    """Carry bytes between the sockets and the relay until one side ends. `behind` came from the engine already.

    Raises `Refusal` if the client was refused as a whole. Both have heard that by then, as far as HTTP/2 can say it.
    """
    ends = (_End(client, relay.from_client, relay.to_client), _End(engine, relay.from_engine, relay.to_engine))
    client.settimeout(0)
    engine.settimeout(0)
    try:
        relay.from_engine(behind)
        with contextlib.suppress(OSError):
            _carry(ends, relay)
    finally:
        for end in ends:
            _last(end)
        cut(client)


def _carry(ends: tuple[_End, _End], relay: Between) -> None:
    poll = select.poll()
    while not relay.over:
        for one in ends:
            one.waiting += one.give()
        can_read = all(len(one.waiting) < _WAITING for one in ends)
        for one in ends:
            poll.register(one.connection, (select.POLLIN if can_read else 0) | (select.POLLOUT if one.waiting else 0))
        ready = dict(poll.poll())
        for one in ends:
            if not _served(one, ready.get(one.connection.fileno(), 0)):
                return


def _served(end: _End, event: int) -> bool:
    """Write and read as the event says. False if the side has ended."""
    if event & select.POLLOUT:
        end.write()
    return end.read() if event & (select.POLLIN | _GONE) else True


def _last(end: _End) -> None:
    with contextlib.suppress(OSError):
        end.waiting += end.give()
        end.connection.settimeout(_LAST_SECONDS)
        end.connection.sendall(end.waiting)
