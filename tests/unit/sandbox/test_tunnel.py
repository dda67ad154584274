"""Connections through a tunnel behave as those to the socket itself."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from grader.sandbox import tunnel
from grader.sandbox.tunnel import Tunnel

Serve = Callable[[socket.socket], None]
MEBIBYTE = 2**20


@contextmanager
def through_a_tunnel(folder: Path, serve: Serve) -> Iterator[Tunnel]:
    """A tunnel to a program, the source of the module, that dials a socket where `serve` has each connection."""
    path = str(folder / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        threading.Thread(target=accept, args=(listener, serve), daemon=True).start()
        source = Path(tunnel.__file__).read_text(encoding="utf-8")
        ours, theirs = socket.socketpair()
        with (
            ours,
            subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", source, path], stdin=theirs.fileno(), stdout=theirs.fileno()
            ) as program,
        ):
            theirs.close()
            tunnel_end = Tunnel(tunnel.pieces(ours), ours.sendall)
            serving = threading.Thread(target=tunnel_end.serve)
            serving.start()
            try:
                yield tunnel_end
            finally:
                ours.shutdown(socket.SHUT_WR)
                serving.join()
            assert program.wait() == 0
        listener.shutdown(socket.SHUT_RDWR)


def accept(listener: socket.socket, serve: Serve) -> None:
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def everything(stream: socket.socket) -> bytes:
    return b"".join(tunnel.pieces(stream))


def digest(connection: socket.socket) -> None:
    """Answer the digest of all that came, once the other side has ended."""
    with connection:
        connection.sendall(hashlib.sha256(everything(connection)).digest())


def test_each_direction_ends_by_itself_and_connections_are_apart(tmp_path: Path) -> None:
    with through_a_tunnel(tmp_path, digest) as opened:
        streams = [opened.open() for _ in range(20)]
        sent = [os.urandom(size) for size in (0, 1, 65536, MEBIBYTE, 3 * MEBIBYTE + 1) for _ in range(4)]
        for stream, data in zip(streams, sent, strict=True):
            stream.sendall(data)
            stream.shutdown(socket.SHUT_WR)
        for stream, data in zip(streams, sent, strict=True):
            with stream:
                assert everything(stream) == hashlib.sha256(data).digest()


def flood(connection: socket.socket) -> None:
    """Answer one byte with itself, another with bytes without end."""
    with connection:
        if connection.recv(1) == b"!":
            connection.sendall(b"!")
            return
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(bytes(65536))
        ENDED.set()


ENDED = threading.Event()


def test_a_connection_that_nobody_reads_holds_up_no_other_and_its_end_is_noticed(tmp_path: Path) -> None:
    ENDED.clear()
    with through_a_tunnel(tmp_path, flood) as opened:
        unread = opened.open()
        unread.sendall(b"?")
        for _ in range(50):
            with opened.open() as stream:
                stream.sendall(b"!")
                assert everything(stream) == b"!"
        assert not ENDED.is_set()
        unread.close()
        assert ENDED.wait(30)


def test_what_cannot_be_dialled_ends_at_once(tmp_path: Path) -> None:
    with through_a_tunnel(tmp_path, digest) as opened:
        (tmp_path / "s").unlink()
        with opened.open() as stream:
            assert everything(stream) == b""


def test_the_tunnels_end_is_that_of_its_connections(tmp_path: Path) -> None:
    with through_a_tunnel(tmp_path, flood) as opened:
        stream = opened.open()
    with stream:
        assert everything(stream) == b""
    with pytest.raises(OSError, match="has ended"):
        opened.open()
