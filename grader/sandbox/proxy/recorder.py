"""A record of the requests that a script makes to an engine: a socket before the engine's own, forwarding everything.

It refuses nothing; that is the guard's business. Each connection carries one request: the engine is told to close it
afterwards (`Connection: close`), and clients open another one for the next. So only heads have to be understood here,
and what the engine has carried out and what is recorded cannot drift apart. Connections that are taken over for other
protocols (`Upgrade`: attached containers, BuildKit's session) are recorded with the request that began them.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_HEAD_LIMIT = 64 * 1024
"""Bytes of a request's head; Go's own limit is 1 MiB, the docker command's heads are a few hundred bytes."""
_BODY_KEPT = 256 * 1024
"""Bytes of a body that are kept for the record. A container's settings are a few thousand."""
_ANSWER_KEPT = 4096
"""Bytes of an answer that are kept: the status, and the id of what was created."""
_REQUESTS_KEPT = 10_000
_CONNECTIONS = 64
"""Connections at once. More wait until one ends."""
_PIECE = 65_536


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request. `path` is without the API's version (`/containers/json`), `status` is the engine's answer (0: none).

    `query` is in the order sent. `body` is the decoded JSON, or None where there was none or it was too large.
    `began` is in seconds since the recording began, `made` the id in the answer, where something was created.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    body: Any
    status: int
    began: float
    made: str = ""


@dataclass(slots=True)
class Recording:
    """What has been recorded so far, in the order in which requests ended. `lost` counts those beyond the limit."""

    began: float = field(default_factory=time.monotonic)
    lost: int = 0
    _requests: list[RecordedRequest] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, request: RecordedRequest) -> None:
        """Keep a request. From any thread."""
        with self._lock:
            if len(self._requests) < _REQUESTS_KEPT:
                self._requests.append(request)
            else:
                self.lost += 1

    def requests(self) -> tuple[RecordedRequest, ...]:
        """All requests in the order in which they began."""
        with self._lock:
            return tuple(sorted(self._requests, key=lambda request: request.began))


# ── heads, pure ─────────────────────────────────────────────────────────────────────────

_VERSION = re.compile(r"^/v\d+\.\d+(?=/)")
_CONNECTION_HEADERS = {b"connection", b"keep-alive", b"proxy-connection"}


def forwarded_head(head: bytes) -> bytes:
    """The head as it is sent on: unchanged for an upgrade, else with `Connection: close` instead of the client's."""
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    names = [line.partition(b":")[0].strip().lower() for line in lines]
    if b"upgrade" in names:
        return head
    kept = [line for name, line in zip(names, lines, strict=True) if name not in _CONNECTION_HEADERS]
    return b"\r\n".join([first, *kept, b"Connection: close"]) + b"\r\n\r\n"


def recorded_request(head: bytes, body: bytes, answer: bytes, began: float) -> RecordedRequest:
    """What the record says of a request, from its head, the beginning of its body and that of its answer."""
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    target = urlsplit(rest.rpartition(" ")[0])
    status = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    made = re.search(rb'"Id":"([0-9a-f]{64})"', answer) if target.path.endswith("/create") else None
    return RecordedRequest(
        method=method,
        path=unquote(_VERSION.sub("", target.path)),
        query=tuple(parse_qsl(target.query, keep_blank_values=True)),
        body=_json(body),
        status=int(status[1]) if status else 0,
        began=began,
        made=made[1].decode() if made else "",
    )


def _json(body: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """Read up to the empty line. Returns the head with it and what came behind, both empty without a whole head."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _HEAD_LIMIT:
        piece = client.recv(_PIECE)
        if not piece:
            break
        data += piece
    head, end, behind = data.partition(b"\r\n\r\n")
    return (head + end, behind) if end else (b"", b"")


# ── the socket ──────────────────────────────────────────────────────────────────────────


@contextmanager
def recorded(engine: Path, path: Path) -> Iterator[Recording]:
    """Listen at `path` and forward to the engine's socket until the block ends; then all connections are cut."""
    recording = Recording()
    with _Server(engine, path, recording) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield recording
        finally:
            server.shutdown()
            server.cut_all()
            path.unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, engine: Path, path: Path, recording: Recording) -> None:
        self.engine = engine
        self.recording = recording
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(str(path), _Handler)
        path.chmod(0o600)

    @contextmanager
    def holding(self, connection: socket.socket) -> Iterator[None]:
        """Keep a connection among those that `cut_all` ends."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    @contextmanager
    def slot(self) -> Iterator[None]:
        with self._slots:
            yield

    def cut_all(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        with (
            self.server.slot(),
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX) as engine,
            self.server.holding(self.request),
            self.server.holding(engine),
        ):
            head, behind = read_head(self.request)
            if head:
                engine.connect(str(self.server.engine))
                self._forward(engine, head, behind)

    def _forward(self, engine: socket.socket, head: bytes, behind: bytes) -> None:
        began = time.monotonic() - self.server.recording.began
        sent, answered = bytearray(behind), bytearray()
        try:
            engine.sendall(forwarded_head(head) + behind)
            upstream = threading.Thread(target=_pump, args=(self.request, engine, sent, _BODY_KEPT), daemon=True)
            upstream.start()
            _pump(engine, self.request, answered, _ANSWER_KEPT)
            with contextlib.suppress(OSError):
                self.request.shutdown(socket.SHUT_RDWR)  # the engine has closed, so nothing more is forwarded
            upstream.join()
        finally:
            self.server.recording.add(recorded_request(head, bytes(sent), bytes(answered), began))


def _pump(source: socket.socket, target: socket.socket, kept: bytearray, limit: int) -> None:
    """Copy until the source ends, tell the target so, and keep the first `limit` bytes."""
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            if len(kept) < limit:
                kept += piece[: limit - len(kept)]
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
