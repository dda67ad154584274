"""The guard's sockets: listening where scripts connect, and forwarding what the rules have written anew.

Each connection carries one request. The engine is told to close it afterwards, and nothing of the client's bytes goes
to the engine but the decoded body of a build, and what follows once the engine itself has said that the connection is
taken over (status 101); calls of BuildKit, and what is answered in its sessions, are judged then too.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import re
import secrets
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from grader.engine.socket_request import SocketConnection
from grader.errors import EngineError
from grader.sandbox.proxy import pull
from grader.sandbox.proxy.buildkit import Call, call
from grader.sandbox.proxy.http import HEAD_LIMIT, Body, Head, chunk, parse_head, serialise
from grader.sandbox.proxy.mounts import work_volume
from grader.sandbox.proxy.quota import DEFAULT, Account, Quota
from grader.sandbox.proxy.recorder import RecordedRequest, Recording, recorded_request
from grader.sandbox.proxy.refusal import Refusal, answer
from grader.sandbox.proxy.rules import BUILDKIT, CONTEXT_LIMIT, Plan, Policy, Rebuilt, plan
from grader.sandbox.proxy.session import Reply, reply
from grader.sandbox.proxy.strictjson import BODY_LIMIT
from grader.sandbox.proxy.takeover import carry, cut, pump, splice

if TYPE_CHECKING:  # it imports h2, which takes a while
    from grader.sandbox.proxy.http2 import Between

MakeFolder = Callable[[PurePosixPath], None]
"""Makes a folder below the work folder unless something is there. It follows no links, and raises nothing."""

_CONNECTIONS = 64
"""Connections that are served at once. As many more wait until one ends; others are told so and closed."""
_PIECE = 65_536
_ANSWER_KEPT = 4096
"""Bytes of an answer that are kept: the status, and the id of what was created."""
_BODIES_KEPT = 4 * 1024 * 1024
"""Bytes of bodies that a record holds, of all requests together. A container's settings are a few thousand; decoded,
JSON may take 25 times its bytes."""
_LINE_KEPT = 200
_PATIENCE = 30.0
"""Seconds of silence after which a client that has begun a request is given up."""
_DRAIN_SECONDS = 5.0
_CROWDED = f"more than {2 * _CONNECTIONS} connections to the engine are open at once. Wait for some commands to end"
_SWITCHED = re.compile(rb"HTTP/1\.1 101 ")


@dataclass(slots=True)
class ProxyRecording(Recording):
    """All requests, and besides, in `refusals`, those that the guard refused; they have status 403."""

    refusals: Recording = field(default_factory=Recording)
    _reasons: list[tuple[float, str]] = field(default_factory=list)
    _room: int = _BODIES_KEPT

    def record(self, head: bytes, body: bytes, said: bytes, began: float) -> RecordedRequest:
        """What is kept of a request; without its body and query, once the record holds enough of them."""
        line = head.partition(b"\r\n")[0] + b"\r\n\r\n"
        with self._lock:
            kept = body if len(body) + len(line) <= self._room else b""
            if len(line) > self._room:
                line = line.partition(b"?")[0][:_LINE_KEPT] + b" HTTP/1.1\r\n\r\n"
            self._room -= len(kept) + len(line)
        return recorded_request(line, kept, said, began)

    def refuse(self, request: RecordedRequest, reason: str) -> None:
        """Keep a refused request with what its sender was told."""
        self.add(request)
        self.refusals.add(request)
        if not self.refusals.lost:
            with self._lock:
                self._reasons.append((request.began, reason))

    def reasons(self) -> tuple[str, ...]:
        """What was said of the refused requests, in the order in which they began."""
        with self._lock:
            return tuple(reason for _, reason in sorted(self._reasons, key=lambda one: one[0]))


@contextmanager
def guarded(
    engine: Path,
    path: Path,
    work: Path,
    *,
    buildkit: bool = True,
    quota: Quota = DEFAULT,
    cpus: float = math.inf,
    make_folder: MakeFolder | None = None,
) -> Iterator[ProxyRecording]:
    """Listen at `path` and guard the engine's socket until the block ends; then all connections are cut.

    `work` is the submission's folder, an absolute path that means the same to the engine. It must not be possible for
    a script to replace it or a folder above it. `make_folder` makes what bind mounts need below it, where it is none of
    this machine's folders. Without `buildkit`, `/grpc` and `/session` are refused, and so is what is more than `quota`.
    Containers get at most `cpus` cores each.
    What containers were given of the work folder stays with them; the volume that stands for it is removed if none has
    it any more.
    """
    recording = ProxyRecording()
    policy = Policy(PurePosixPath(work), buildkit, quota, cpus, secrets.token_hex(16), time.time())
    make = make_folder or partial(_make_folder, work)
    with _Server(engine, path, policy, recording, make) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield recording
        finally:
            server.shutdown()
            server.cut_all()
            path.unlink(missing_ok=True)
            if server.work_was_used:
                with contextlib.suppress(EngineError):
                    _ask(engine, "DELETE", f"/volumes/{work_volume(policy.work)['Name']}")


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, engine: Path, path: Path, policy: Policy, recording: ProxyRecording, make_folder: MakeFolder
    ) -> None:
        self.engine = engine
        self.make_folder = make_folder
        self.policy = policy
        self.recording = recording
        self.account = Account(policy.quota)
        self.slots = threading.BoundedSemaphore(_CONNECTIONS)
        self.work_was_used = False
        self._is_over = False
        self._count = 0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(str(path), _Handler)
        path.chmod(0o600)

    @contextmanager
    def holding(self, connection: socket.socket) -> Iterator[None]:
        """Keep a connection among those that `cut_all` ends; one that comes later is of no use any more."""
        with self._lock:
            self._open.add(connection)
            if self._is_over:
                raise ConnectionError("the guard has ended")
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override] # of a Unix socket
        """Serve a connection in a thread of its own; not one too many, which would take the grader's own files away."""
        with self._lock:
            self._count += 1
            is_one_too_many = self._count > 2 * _CONNECTIONS
        if is_one_too_many:
            with contextlib.suppress(OSError):
                request.settimeout(0)
                request.sendall(answer(_CROWDED))
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override] # a Unix socket
        """Called once for each connection, when it has ended."""
        with self._lock:
            self._count -= 1
        super().shutdown_request(request)

    def cut_all(self) -> None:
        with self._lock:
            self._is_over = True
            for connection in self._open:
                cut(connection)

    def keep_refused(self, head: bytes, exchange: _Exchange, said: bytes, reason: str) -> None:
        """Record a request that was refused, with what was said."""
        record = self.recording.record(head, exchange.body, said, exchange.began)
        self.recording.refuse(record, reason)

    def prepare(self, request: Rebuilt) -> None:
        """Make what a container's mounts need. An error of the engine is the client's to see."""
        if request.work_is_used:
            self.work_was_used = True
            for folder in request.folders:
                self.make_folder(PurePosixPath(folder))
            try:
                _ask(self.engine, "POST", "/volumes/create", json.dumps(work_volume(self.policy.work)).encode())
            except EngineError as problem:
                raise Refusal(f"the folder of the submission could not be mounted: {problem}") from problem


@dataclass(slots=True)
class _Exchange:
    """One request while it is under way, for the record. `body` is the decoded one, if it was JSON."""

    began: float
    head: bytes = b""
    body: bytes = b""
    answered: bytearray = field(default_factory=bytearray)


class _Handler(socketserver.BaseRequestHandler):
    server: _Server
    request: socket.socket

    def handle(self) -> None:
        exchange = _Exchange(time.monotonic() - self.server.recording.began)
        with contextlib.suppress(OSError), self.server.holding(self.request), self.server.slots:
            try:
                self._serve(exchange)
            except Refusal as refusal:
                self._refuse(exchange, str(refusal))

    def _serve(self, exchange: _Exchange) -> None:
        self.request.settimeout(_PATIENCE)
        exchange.head, behind = _read_head(self.request)
        if not exchange.head:
            return
        self.server.account.charge({"requests": 1})
        planned = plan(parse_head(exchange.head), self.server.policy)
        body = Body(parse_head(exchange.head), CONTEXT_LIMIT if planned.kind == "tar" else BODY_LIMIT)
        if planned.kind == "tar":
            rebuilt = planned.rebuilt(b"")
        else:
            exchange.body = b"".join(_pieces(self.request, body, behind))
            rebuilt, behind = planned.rebuilt(exchange.body), b""
        if planned.endpoint.name == "image pull":
            self._pull(exchange, planned.head.query)
            return
        self.server.account.charge(rebuilt.makes)
        self.server.prepare(rebuilt)
        self.request.settimeout(None)
        self._forward(exchange, planned, rebuilt, _Upload(body, behind))

    def _forward(self, exchange: _Exchange, planned: Plan, rebuilt: Rebuilt, upload: _Upload) -> None:
        with socket.socket(socket.AF_UNIX) as engine, self.server.holding(engine):
            try:
                engine.connect(str(self.server.engine))
                engine.sendall(_sent_head(rebuilt) + (rebuilt.body or b""))
                if planned.upgrade:
                    self._take_over(engine, exchange, planned)
                else:
                    self._exchange(engine, exchange.answered, upload if rebuilt.body is None else None)
            finally:
                if upload.refusal is None:
                    kept = bytes(exchange.answered)
                    record = self.server.recording.record(exchange.head, exchange.body, kept, exchange.began)
                    self.server.recording.add(record)
        if upload.refusal is not None:
            raise upload.refusal

    def _pull(self, exchange: _Exchange, query: tuple[tuple[str, str], ...]) -> None:
        try:
            _ask(self.server.engine, "GET", pull.path_of(query))
        except EngineError:
            raise pull.not_here(query) from None
        said = pull.up_to_date(query)
        self.server.recording.add(self.server.recording.record(exchange.head, exchange.body, said, exchange.began))
        self.request.sendall(said)

    def _take_over(self, engine: socket.socket, exchange: _Exchange, planned: Plan) -> None:
        """Forward the answer; the client's bytes only if the engine has agreed to the other protocol."""
        answer_head, behind = _read_head(engine)
        exchange.answered += answer_head
        if not _SWITCHED.match(answer_head):
            self.request.sendall(answer_head + behind)
            engine.shutdown(socket.SHUT_WR)
            self._exchange(engine, exchange.answered, None)
        elif planned.endpoint.name in BUILDKIT:
            self.request.sendall(answer_head)
            carry(self.request, engine, _relay(planned.endpoint.name, self.server, exchange), behind)
        else:
            self.request.sendall(answer_head + behind)
            splice(self.request, engine)

    def _exchange(self, engine: socket.socket, answered: bytearray, upload: _Upload | None) -> None:
        """Forward the engine's answer, while the client is watched: if it goes or says more, the request is over."""
        upstream = threading.Thread(target=_watch, args=(self.request, engine, upload), daemon=True)
        upstream.start()
        pump(engine, self.request, answered, _ANSWER_KEPT)
        if upload is None or upload.refusal is None:
            cut(self.request)
        upstream.join()

    def _refuse(self, exchange: _Exchange, reason: str) -> None:
        head = _readable(exchange.head)
        said = answer(reason, with_body=head.method != "HEAD")
        # What cannot be read as a request has nothing to record but that it was there.
        line = serialise(head) if head.method else b"? / HTTP/1.1\r\n\r\n"
        self.server.keep_refused(line, exchange, said, reason)
        if not exchange.answered:
            self.request.sendall(said)
            _drain(self.request)


def _relay(name: str, server: _Server, exchange: _Exchange) -> Between:
    """What carries one of BuildKit's two connections."""
    from grader.sandbox.proxy.relay import Relay
    from grader.sandbox.proxy.sessionrelay import SessionRelay

    if name == "session":
        return SessionRelay(_Judge(server, exchange, "/session"))
    return Relay(_Judge(server, exchange, "/grpc"))


@dataclass(frozen=True, slots=True)
class _Judge:
    """Decides about calls of BuildKit, which count like requests, and about the answers in its sessions."""

    server: _Server
    exchange: _Exchange
    path: str

    def begin(self) -> None:
        self.server.account.charge({"requests": 1})

    def decide(self, method: str, message: bytes) -> Call:
        decided = call(method, message, self.server.policy.caches)
        self.server.account.charge(decided.makes)
        return decided

    def serve(self, method: str) -> Reply | None:
        return reply(method, CONTEXT_LIMIT)

    def refused(self, method: str, reason: str) -> None:
        line = serialise(Head("POST", f"{self.path}{method}"))
        self.server.keep_refused(line, self.exchange, answer(reason), reason)


@dataclass(slots=True)
class _Upload:
    """The rest of a body that is streamed: `behind` came with the head."""

    body: Body
    behind: bytes
    refusal: Refusal | None = None

    def send(self, client: socket.socket, engine: socket.socket) -> bool:
        """Send the body on in chunks of our own. Returns whether it came to its end; see `refusal` if not."""
        try:
            for payload in _pieces(client, self.body, self.behind):
                engine.sendall(chunk(payload))
        except Refusal as refusal:
            self.refusal = refusal
            return False
        engine.sendall(chunk(b""))
        return True


def _watch(client: socket.socket, engine: socket.socket, upload: _Upload | None) -> None:
    """Send the rest of the body, then wait until the client goes, or sends what it should not; then end the request."""
    with contextlib.suppress(OSError):
        if upload is None or upload.send(client, engine):
            client.recv(1)
    cut(engine)


# ── sockets ─────────────────────────────────────────────────────────────────────────────


def _read_head(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read up to the empty line. Returns the head with it, and what came behind; both empty if there is nothing."""
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > HEAD_LIMIT:
            return data, b""
        piece = connection.recv(_PIECE)
        if not piece:
            return data, b""
        data += piece
    head, end, behind = data.partition(b"\r\n\r\n")
    return head + end, behind


def _pieces(client: socket.socket, body: Body, behind: bytes) -> Iterator[bytes]:
    """A body up to its end, none of the pieces empty. `behind` came with the head."""
    if payload := body.feed(behind):
        yield payload
    while not body.done:
        piece = client.recv(_PIECE)
        if not piece:
            raise ConnectionError("the client has gone")
        if payload := body.feed(piece):
            yield payload


def _sent_head(request: Rebuilt) -> bytes:
    framing = (("transfer-encoding", "chunked"),) if request.body is None else ()
    head = request.head
    return serialise(Head(head.method, head.path, head.query, (*head.headers, *framing)))


def _readable(data: bytes) -> Head:
    """The head of a refused request as far as it can be read; without a method if it cannot."""
    try:
        return parse_head(data)
    except Refusal:
        return Head("", "/")


def _drain(client: socket.socket) -> None:
    """Read what the client still sends: closing with unread bytes would take our answer away from it."""
    deadline = time.monotonic() + _DRAIN_SECONDS
    client.shutdown(socket.SHUT_WR)
    while (left := deadline - time.monotonic()) > 0:
        client.settimeout(left)
        if not client.recv(_PIECE):
            return


def _make_folder(work: Path, below: PurePosixPath) -> None:
    """Make a folder for a bind mount, as the engine does where there is none. Links are not followed.

    What stands in the way is for the engine to complain about, in words that students find elsewhere too.
    """
    parent = os.open(work, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in below.parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=parent)
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            os.close(parent)
            parent = inner
    except OSError:
        return
    finally:
        os.close(parent)


def _ask(engine: Path, method: str, path: str, body: bytes = b"") -> None:
    """A request of the guard's own. Raises `EngineError` unless it succeeds."""
    connection = SocketConnection(str(engine), _PATIENCE)
    try:
        connection.request(method, f"/v1.45{path}", body or None, {"Content-Type": "application/json"} if body else {})
        response = connection.getresponse()
        said = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as problem:
        raise EngineError(f"{method} {path} had no answer: {problem}") from problem
    finally:
        connection.close()
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        raise EngineError(f"{method} {path} was refused (status {response.status}): {said.strip()}")
