"""The guard's sockets: what of a client's bytes reaches an engine, and what of the engine's reaches the client."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from grader.sandbox.proxy.http import Body, Head, chunk
from grader.sandbox.proxy.proxy import ProxyRecording, guarded
from grader.sandbox.proxy.recorder import Recording


@dataclass
class Engine:
    """Keeps what it was sent, one entry for each connection. It answers when it has seen the end of a request."""

    received: list[bytearray] = field(default_factory=list)
    agrees: bool = True

    def serve(self, connection: socket.socket) -> None:
        data = bytearray()
        self.received.append(data)
        while not _is_whole(data):
            if not (piece := connection.recv(10_000)):
                return
            data += piece
        if b"Upgrade: tcp" in data or b"upgrade: tcp" in data:
            agreed = b"HTTP/1.1 101 UPGRADED\r\n\r\n" if self.agrees else b"HTTP/1.1 404 Not Found\r\n\r\nno such thing"
            connection.sendall(agreed)
            while piece := connection.recv(1000):
                data += piece
                connection.sendall(piece.upper())
        elif b"/events" in data:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nevent")
            connection.recv(1)  # until the guard ends it
        elif b"/images/alpine" in data:
            connection.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n{}")
        else:
            connection.sendall(b"HTTP/1.1 201 Created\r\n\r\ndone")


def _is_whole(data: bytearray) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if b"chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    length = next((line.split()[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b"0")
    return bool(end) and len(body) >= int(length)


class Handler(socketserver.BaseRequestHandler):
    request: socket.socket

    def handle(self) -> None:
        self.server.known.serve(self.request)  # type: ignore[attr-defined] # set by the fixture


@dataclass
class World:
    engine: Engine
    path: Path
    work: Path
    recording: ProxyRecording

    def open(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(10)
        opened.connect(str(self.path))
        return opened

    def ask(self, *sent: bytes) -> bytes:
        """Send all, and return all that comes back."""
        with self.open() as client:
            for piece in sent:
                client.sendall(piece)
            return read_all(client)


def read_all(client: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(10_000):
            data += piece
    return data


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders have names too long for a socket
        folder = Path(name)
        work = folder / "submission"
        work.mkdir()
        engine = Engine()
        with socketserver.ThreadingUnixStreamServer(str(folder / "engine"), Handler) as server:
            server.known = engine  # type: ignore[attr-defined] # for the handler
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            with guarded(folder / "engine", folder / "guard", work) as recording:
                yield World(engine, folder / "guard", work, recording)
            assert not (folder / "guard").exists()
            server.shutdown()


def request(first: str, *headers: str, body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
    return "\r\n".join([f"{first} HTTP/1.1", "Host: docker", *headers, *length, "", ""]).encode() + body


def until(recording: Recording, count: int) -> list[tuple[str, str, int]]:
    """What was recorded, once there are `count`: a request is recorded just after its answer."""
    for _ in range(200):
        if len(recording.requests()) >= count:
            break
        threading.Event().wait(0.05)
    return [(one.method, one.path, one.status) for one in recording.requests()]


def test_a_request_goes_on_rewritten_and_is_recorded_as_it_came(world: World) -> None:
    body = b'{"Image": "app", "Labels": null}'
    answer = world.ask(request("POST /v1.41/containers/create?name=a", "X-Registry-Auth: secret", body=body))
    assert answer == b"HTTP/1.1 201 Created\r\n\r\ndone"
    (received,) = world.engine.received
    head, _, sent = received.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1.45/containers/create?name=a HTTP/1.1\r\n")
    assert b"secret" not in head
    assert json.loads(sent) == {"Image": "app", "HostConfig": {}}
    assert until(world.recording, 1) == [("POST", "/containers/create", 201)]
    assert world.recording.requests()[0].body == {"Image": "app", "Labels": None}
    assert world.recording.refusals.requests() == ()


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("fromImage=python&tag=3.9-slim", "python:3.9-slim"),
        ("fromImage=docker.io%2Flibrary%2Fpython&tag=3.9-slim&platform=", "python:3.9-slim"),
        ("fromImage=python%3A3.9-slim", "python:3.9-slim"),
        ("fromImage=localhost%3A5000%2Fapp", "localhost:5000/app:latest"),
        ("fromImage=python&tag=sha256%3A12ab", "python@sha256:12ab"),
    ],
)
def test_a_pull_of_what_is_here_is_answered_and_nothing_is_pulled(world: World, query: str, name: str) -> None:
    said = world.ask(request(f"POST /v1.45/images/create?{query}", "X-Registry-Auth: secret"))
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert f"Image is up to date for {name}" in said.decode()
    (received,) = world.engine.received
    assert received.startswith(f"GET /v1.45/images/{name}/json HTTP/1.1\r\n".encode())
    assert until(world.recording, 1) == [("POST", "/images/create", 200)]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("fromImage=alpine&tag=3", "there is no image alpine:3 here, and no registry to fetch it from"),
        ("tag=3", "a pull names an image"),
        ("fromSrc=http%3A%2F%2Fx%2F", "`docker import` is not available here"),
        ("fromImage=python&tag=a%2F..%2Fb", "is not written as a tag"),
        ("fromImage=..%2Fpython", "is not written as the name of an image"),
    ],
)
def test_a_pull_of_anything_else_is_refused(world: World, query: str, words: str) -> None:
    said = world.ask(request(f"POST /v1.45/images/create?{query}"))
    assert said.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert words in said.decode()
    assert all(b"/images/alpine" in one for one in world.engine.received)
    assert until(world.recording.refusals, 1) == [("POST", "/images/create", 403)]


REFUSED = [
    (request("POST /containers/create", body=b'{"Image":"a","hostconfig":{}}'), ("POST", "/containers/create", 403)),
    (request("GET /secrets"), ("GET", "/secrets", 403)),
    (request("GET /containers/../secrets"), ("?", "/", 403)),
    (request("GET /info", "Content-Length: 5", "Transfer-Encoding: chunked") + b"hello", ("?", "/", 403)),
    (request("GET /info") + request("DELETE /containers/web"), ("GET", "/info", 403)),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ("?", "/", 403)),
    (b"\x00" * 70_000 + b"\r\n\r\n", ("?", "/", 403)),
    (b"GET /info HTTP/1.1\n\n", None),
    (b"", None),
]


@pytest.mark.parametrize(("sent", "record"), REFUSED)
def test_of_a_refused_request_nothing_reaches_the_engine(
    world: World, sent: bytes, record: tuple[str, str, int]
) -> None:
    with world.open() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        answer = read_all(client)
    assert world.engine.received == []
    if record is None:
        return
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert until(world.recording.refusals, 1) == [record]
    assert until(world.recording, 1) == [record]
    assert world.recording.reasons() == (json.loads(answer.partition(b"\r\n\r\n")[2])["message"],)


def test_the_answer_to_a_refused_head_has_no_body(world: World) -> None:
    assert world.ask(request("HEAD /info")).endswith(b"\r\n\r\n")


def test_a_second_request_is_not_carried_out(world: World) -> None:
    with world.open() as client:
        client.sendall(request("GET /events"))
        assert b"event" in client.recv(1000)
        client.sendall(request("DELETE /containers/web"))
        assert read_all(client) == b""
    assert len(world.engine.received) == 1
    assert b"DELETE" not in world.engine.received[0]


def test_a_client_that_goes_ends_its_request(world: World) -> None:
    with world.open() as client:
        client.sendall(request("GET /events"))
        assert b"event" in client.recv(1000)
    assert until(world.recording, 1) == [("GET", "/events", 200)]


def test_an_agreed_takeover_goes_both_ways(world: World) -> None:
    with world.open() as client:
        client.sendall(request("POST /containers/web/attach?stream=1", "Connection: Upgrade", "Upgrade: tcp"))
        assert client.recv(1000).startswith(b"HTTP/1.1 101")
        client.sendall(b"hello")
        assert client.recv(1000) == b"HELLO"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""
    assert until(world.recording, 1) == [("POST", "/containers/web/attach", 101)]


def test_without_agreement_the_client_is_not_heard(world: World) -> None:
    """Else what it says next would be a request that nobody has looked at."""
    world.engine.agrees = False
    with world.open() as client:
        client.sendall(request("POST /containers/web/attach?stream=1", "Connection: Upgrade", "Upgrade: tcp"))
        assert client.recv(1000).startswith(b"HTTP/1.1 404")
        with contextlib.suppress(ConnectionError):  # it may be closed already
            client.sendall(request("DELETE /containers/web"))
            read_all(client)
    assert until(world.recording, 1) == [("POST", "/containers/web/attach", 404)]
    assert all(b"DELETE" not in received for received in world.engine.received)


BUILD = request("POST /build?t=app", "Content-Type: application/x-tar", "Transfer-Encoding: chunked")


def test_a_context_is_streamed_in_chunks_of_our_own(world: World) -> None:
    pieces = [b"a" * 100_000, b"b", b"c" * 5000]
    answer = world.ask(BUILD, *map(chunk, pieces), chunk(b""))
    assert answer.endswith(b"done")
    (received,) = world.engine.received
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/x-tar\r\n" in head
    body_reader = Body(Head("POST", "/build", (), (("transfer-encoding", "chunked"),)), 1_000_000)
    assert body_reader.feed(bytes(body)) == b"".join(pieces)
    assert body_reader.done
    assert until(world.recording, 1) == [("POST", "/build", 201)]


def test_a_context_with_a_length_too(world: World) -> None:
    sent = request("POST /build", "Content-Type: application/x-tar", "Content-Length: 5") + b"hello"
    assert world.ask(sent).endswith(b"done")
    assert world.engine.received[0].endswith(b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n")


def test_a_context_that_breaks_its_frame_is_refused_midway(world: World) -> None:
    answer = world.ask(BUILD, chunk(b"abc"), b"3;extension\r\nabc\r\n")
    assert answer.startswith(b"HTTP/1.1 403")
    assert until(world.recording.refusals, 1) == [("POST", "/build", 403)]
    assert all(b"extension" not in received for received in world.engine.received)


def test_who_is_refused_while_sending_a_lot_still_hears_why(world: World) -> None:
    refused = request("POST /build?remote=x", "Content-Type: application/x-tar", "Transfer-Encoding: chunked")
    assert b"remote cannot be set here" in world.ask(refused, *[chunk(b"x" * 10_000)] * 100)


def test_folders_for_mounts_are_made_inside_the_work_only(world: World, tmp_path: Path) -> None:
    (world.work / "link").symlink_to(tmp_path)
    for path in ("new/deep", "link/out"):
        body = json.dumps({"Image": "app", "HostConfig": {"Binds": [f"{world.work}/{path}:/x"]}}).encode()
        assert b"201 Created" in world.ask(request("POST /containers/create", body=body))
    assert (world.work / "new" / "deep").is_dir()
    assert list(tmp_path.iterdir()) == []
    first, second = world.engine.received[:2]
    assert b"POST /v1.45/volumes/create" in first
    assert json.loads(first.partition(b"\r\n\r\n")[2])["DriverOpts"]["device"] == str(world.work)
    assert b"/v1.45/containers/create" in second


def test_an_engine_that_is_away_is_no_refusal() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with guarded(folder / "engine", folder / "guard", folder) as recording:
            world = World(Engine(), folder / "guard", folder, recording)
            assert world.ask(request("GET /info")) == b""
            assert until(recording, 1) == [("GET", "/info", 0)]
            assert recording.refusals.requests() == ()
