"""The record of a script's requests: heads as they are sent on, and a conversation over real sockets."""

from __future__ import annotations

import http.client
import json
import socket
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.sandbox.proxy.recorder import Recording, forwarded_head, recorded, recorded_request

HEADS = [
    ("GET /_ping HTTP/1.1\nHost: docker", "GET /_ping HTTP/1.1\nHost: docker\nConnection: close"),
    ("GET / HTTP/1.1\nConnection: keep-alive\nHost: d", "GET / HTTP/1.1\nHost: d\nConnection: close"),
    ("GET / HTTP/1.1\nCONNECTION : x\nKeep-Alive: 5", "GET / HTTP/1.1\nConnection: close"),
    (
        "POST /session HTTP/1.1\nConnection: Upgrade\nUpgrade: h2c",
        "POST /session HTTP/1.1\nConnection: Upgrade\nUpgrade: h2c",
    ),
]


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode() + b"\r\n\r\n"


@pytest.mark.parametrize(("sent", "forwarded"), HEADS)
def test_a_connection_carries_one_request(sent: str, forwarded: str) -> None:
    assert forwarded_head(wire(sent)) == wire(forwarded)


REQUESTS = [
    ("GET /v1.45/containers/json?all=1 HTTP/1.1", b"", b"HTTP/1.1 200 OK", "/containers/json", {"all": "1"}, None, 200),
    (
        "POST /v1.45/containers/create?name=a%20b HTTP/1.1",
        b'{"Image":"i"}',
        b"HTTP/1.1 409 Conflict",
        "/containers/create",
        {"name": "a b"},
        {"Image": "i"},
        409,
    ),
    ("DELETE /images/a%2Fb:1 HTTP/1.1", b"", b"", "/images/a/b:1", {}, None, 0),
    ("POST /build HTTP/1.1", b"\x1f\x8b not json", b"HTTP/1.1 200 OK", "/build", {}, None, 200),
    ("nonsense", b"", b"HTTP/1.1 400 Bad Request", "", {}, None, 400),
]


@pytest.mark.parametrize(("head", "body", "answer", "path", "query", "json_body", "status"), REQUESTS)
def test_what_is_recorded(
    *, head: str, body: bytes, answer: bytes, path: str, query: dict[str, str], json_body: object, status: int
) -> None:
    found = recorded_request(wire(head), body, answer, 0.0)
    assert (found.path, dict(found.query), found.body, found.status) == (path, query, json_body, status)


# ── a conversation ──────────────────────────────────────────────────────────────────────


class Engine(socketserver.StreamRequestHandler):
    """Answers with the length of the body it was sent, or after an upgrade with everything again."""

    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline().strip()) != b"":
            lines.append(line)
        if b"Upgrade: tcp" in lines:
            self.wfile.write(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
            while data := self.connection.recv(100):
                self.wfile.write(data.upper())
            return
        length = next((int(line.split()[1]) for line in lines if line.startswith(b"Content-Length")), 0)
        text = f"{len(self.rfile.read(length))}".encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))


class Sockets:
    """A folder with the engine's socket and the recorder's, and what was recorded."""

    def __init__(self, path: Path, recording: Recording) -> None:
        self.path = path
        self.recording = recording

    def open(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        opened.settimeout(10)
        opened.connect(str(self.path))
        return opened

    def ask(self, method: str, target: str, body: bytes) -> bytes:
        connection = http.client.HTTPConnection("engine")
        connection.sock = self.open()
        connection.request(method, target, body=body)
        answer = connection.getresponse().read()
        connection.close()
        return answer


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders have names too long for a socket
        engine = Path(folder) / "engine"
        with socketserver.ThreadingUnixStreamServer(str(engine), Engine) as server:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            with recorded(engine, Path(folder) / "recorder") as recording:
                yield Sockets(Path(folder) / "recorder", recording)
            assert not (Path(folder) / "recorder").exists()
            server.shutdown()


def test_requests_are_forwarded_and_recorded_in_order(sockets: Sockets) -> None:
    body = json.dumps({"Image": "a" * 200_000}).encode()
    assert sockets.ask("POST", "/v1.45/containers/create", body) == str(len(body)).encode()
    assert sockets.ask("POST", "/v1.45/build", b"x" * 1_000_000) == b"1000000"
    seen = until(sockets.recording, 2)
    assert [(one[0], one[1]) for one in seen] == [("/containers/create", 200), ("/build", 200)]


def test_a_second_request_on_one_connection_is_not_carried_out(sockets: Sockets) -> None:
    with sockets.open() as client:
        client.sendall(b"GET /first HTTP/1.1\r\n\r\nDELETE /second HTTP/1.1\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(1000), b""))
    assert answer.count(b"HTTP/1.1") == 1
    assert until(sockets.recording, 1) == [("/first", 200)]


def test_an_upgraded_connection_goes_both_ways(sockets: Sockets) -> None:
    with sockets.open() as client:
        client.sendall(b"POST /containers/1/attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 101")
        client.sendall(b"hello")
        assert client.recv(1000) == b"HELLO"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""
    assert until(sockets.recording, 1) == [("/containers/1/attach", 101)]


def test_half_a_head_and_an_engine_that_is_away_do_no_harm(sockets: Sockets) -> None:
    with sockets.open() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHalf")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""
    assert sockets.ask("POST", "/", b"abc") == b"3"


def until(recording: Recording, count: int) -> list[tuple[str, int]]:
    """The recorded paths and statuses, once there are `count`: a request is recorded just after its answer."""
    for _ in range(200):
        if len(recording.requests()) >= count:
            break
        threading.Event().wait(0.05)
    return [(one.path, one.status) for one in recording.requests()]
