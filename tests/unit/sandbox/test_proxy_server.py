"""The proxy's sockets: what of a client's bytes reaches an engine, and what of the engine's reaches the client."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import socketserver
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from grader.sandbox.proxy.interface import QUOTA, ProxySettings, Record, read_record
from grader.sandbox.proxy.server import running

ANSWERS = {
    b"Upgrade: tcp": b"HTTP/1.1 404 Not Found\r\n\r\nno such thing",
    b"GET /v1.45/images/json": b'HTTP/1.1 200 OK\r\n\r\n[{"RepoTags": ["python:3.9"]}, {"RepoTags": ["own:1"]}]',
    b"POST /v1.45/build": b'HTTP/1.1 200 OK\r\n\r\n{"id": "moby.image.id", "aux": {"ID": "sha256:1234"}}\r\n',
    b"/images/alpine": b"HTTP/1.1 404 Not Found\r\n\r\n{}",
    b"/events": b"HTTP/1.1 200 OK\r\n\r\nevent",
    b"GET": b"HTTP/1.1 200 OK\r\n\r\ndone",
    b"": b'HTTP/1.1 201 Created\r\n\r\n{"Id":"' + b"ab" * 32 + b'"}',
}
"""What the engine answers, by what is in a request."""


class Handler(socketserver.BaseRequestHandler):
    """One connection to an engine that keeps what it was sent. It answers when it has seen the end of a request."""

    request: socket.socket

    def handle(self) -> None:
        data = bytearray()
        self.server.received.append(data)  # type: ignore[attr-defined] # set by the fixture
        while not _is_whole(data):
            if not (piece := self.request.recv(10_000)):
                return
            data += piece
        self.request.sendall(next(answer for sign, answer in ANSWERS.items() if sign in data))
        if b"/events" in data or b"Upgrade: tcp" in data:
            data += self.request.recv(1000)  # until the proxy ends it


def _is_whole(data: bytearray) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    length = next((line.split()[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), b"0")
    return bool(end) and len(body) >= int(length)


@dataclass
class World:
    """A proxy, and what reached the engine behind it, one entry for each connection."""

    received: list[bytearray]
    settings: ProxySettings

    def record(self) -> Record:
        return read_record(Path(self.settings.record).read_bytes())

    def seen(self) -> list[tuple[str, str, int]]:
        return [(one.method, one.path, one.status) for one in self.record().requests]

    def open(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        opened.connect(self.settings.listen)
        opened.settimeout(10)
        return opened

    def ask(self, sent: bytes) -> bytes:
        """Send all, and return all that comes back."""
        with self.open() as client:
            client.sendall(sent)
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
        work = Path(name, "submission")
        work.mkdir()
        settings = ProxySettings(f"{name}/proxy", f"{name}/engine", f"{name}/record", str(work), ("python:*",))
        with socketserver.ThreadingUnixStreamServer(settings.engine, Handler) as server:
            server.received = []  # type: ignore[attr-defined] # for the handler
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            with running(settings):
                yield World(server.received, settings)  # type: ignore[attr-defined]
            assert not Path(settings.listen).exists()
            server.shutdown()


def request(first: str, *headers: str, body: bytes = b"") -> bytes:
    kind = [] if any("Content-Type" in one for one in headers) else ["Content-Type: application/json"]
    framed = [f"Content-Length: {len(body)}", *kind] if body else []
    return "\r\n".join([f"{first} HTTP/1.1", "Host: docker", *headers, *framed, "", ""]).encode() + body


def test_a_request_goes_on_rewritten_and_is_recorded_as_it_came(world: World) -> None:
    body = b'{"Image": "app", "Labels": null, "Cmd": ["true"]}'
    answer = world.ask(request("POST /v1.41/containers/create?name=a", "X-Registry-Auth: secret", body=body))
    assert answer.startswith(b"HTTP/1.1 201 ")
    (received,) = world.received
    head, _, sent = received.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1.45/containers/create?name=a HTTP/1.1\r\n")
    assert b"secret" not in head
    assert json.loads(sent) == {"Image": "app", "HostConfig": {}, "Cmd": ["true"]}
    (recorded,) = world.record().requests
    assert (recorded.path, recorded.query, recorded.status) == ("/containers/create", (("name", "a"),), 201)
    assert (recorded.made, recorded.image, recorded.command) == ("ab" * 32, "app", ("true",))
    assert world.record().refusals == ()


REFUSED = [
    (
        request("POST /containers/create", body=b'{"Image":"a","hostconfig":{"Init":true}}'),
        ("POST", "/containers/create", 403),
    ),
    (request("POST /containers/create", body=b'{"Env":' + b"[" * 5000), ("POST", "/containers/create", 403)),
    (request("GET /secrets"), ("GET", "/secrets", 403)),
    (request("GET /containers/../secrets"), ("GET", "/containers/../secrets", 403)),
    (request("GET /info", "Content-Length: 5") + b"hello", ("GET", "/info", 403)),
    (request("PUT /containers/c/archive?path=/"), ("PUT", "/containers/c/archive", 403)),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ("PRI", "*", 403)),
    (b"\x00" * 70_000 + b"\r\n\r\n", ("?", "/", 403)),
]


@pytest.mark.parametrize(("sent", "recorded"), REFUSED)
def test_of_a_refused_request_nothing_reaches_the_engine(
    world: World, sent: bytes, recorded: tuple[str, str, int]
) -> None:
    answer = world.ask(sent)
    assert world.received == []
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert world.seen() == [recorded]
    assert world.record().refusals == (json.loads(answer.partition(b"\r\n\r\n")[2])["message"],)


@pytest.mark.parametrize("more", [b"", request("DELETE /containers/web")])
def test_a_client_that_goes_or_says_more_ends_its_request(world: World, more: bytes) -> None:
    with world.open() as client:
        client.sendall(request("GET /events"))
        answer = b""
        while b"event" not in answer:
            answer += client.recv(1000)
        client.sendall(more)
        if more:
            read_all(client)
    assert world.seen() == [("GET", "/events", 200)]
    assert all(b"DELETE" not in one for one in world.received)


def test_without_agreement_the_client_is_not_heard(world: World) -> None:
    """Else what it says next would be a request that nobody has looked at."""
    with world.open() as client:
        client.sendall(request("POST /containers/web/attach?stream=1", "Connection: Upgrade", "Upgrade: tcp"))
        assert client.recv(1000).startswith(b"HTTP/1.1 404")
        with contextlib.suppress(ConnectionError):  # it may be closed already
            client.sendall(request("DELETE /containers/web"))
            read_all(client)
    assert world.seen() == [("POST", "/containers/web/attach", 404)]
    assert all(b"DELETE" not in received for received in world.received)


def context(dockerfile: str = "FROM python:3.9\n") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in {"Dockerfile": dockerfile, "a/b": "x"}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


TAR = "Content-Type: application/x-tar"


def test_a_context_is_read_and_sent_on_anew(world: World) -> None:
    answer = world.ask(request("POST /build?t=app&t=b:1&q=0", TAR, body=context()))
    assert b"Successfully tagged b:1" in answer
    images, build = world.received
    assert images.startswith(b"GET /v1.45/images/json")
    assert build.startswith(b"POST /v1.45/build?t=app&t=b%3A1&version=2&dockerfile=Dockerfile&buildargs=")
    with tarfile.open(fileobj=io.BytesIO(build.partition(b"\r\n\r\n")[2])) as sent:
        assert sent.getnames() == ["Dockerfile", "a/b"]
    (recorded,) = world.record().requests
    assert (recorded.status, recorded.made, recorded.dockerfile) == (200, "sha256:1234", "Dockerfile")
    assert [path for path, _ in recorded.context] == ["Dockerfile", "a/b"]


PULL = "POST /images/create?"


@pytest.mark.parametrize(
    ("first", "body", "status", "words"),
    [
        ("POST /build?remote=x", context(), 403, "remote=x is not available here"),
        ("POST /build", b"x" * 1000, 403, "the build context cannot be taken: the archive is"),
        ("POST /build", context("FROM alpine\n"), 403, "FROM alpine: this image is not allowed here"),
        ("POST /build", context("FROM python:3.8\n"), 403, "there is no image python:3.8 here"),
        ("POST /build", context("FROM own:1\n"), 200, "Successfully built 1234"),
        ("POST /build", gzip.compress(context().rstrip(b"\0") + bytes(511)), 200, "Successfully built 1234"),
        ("POST /build", context("FORM python:3.9\n"), 400, "there is no instruction 'FORM'"),
        ("POST /build?dockerfile=D", context(), 400, "open D: no such file or directory"),
        ("POST /build", b"x" * 50_000_000, 403, "a build's context (.dockerignore makes it smaller) may have at most"),
        (f"{PULL}fromImage=python&tag=3.9-slim", b"", 200, "Image is up to date for python:3.9-slim"),
        (f"{PULL}fromImage=docker.io%2Flibrary%2Fpython%3A3.9-slim", b"", 200, "up to date for python:3.9-slim"),
        (f"{PULL}fromImage=python&tag=sha256%3A12ab", b"", 200, "up to date for python@sha256:12ab"),
        (
            f"{PULL}fromImage=alpine&tag=3",
            b"",
            403,
            "there is no image alpine:3 here, and no registry to fetch it from",
        ),
        (f"{PULL}tag=3", b"", 403, "a pull names an image"),
        (f"{PULL}fromSrc=http%3A%2F%2Fx%2F", b"x", 403, "`docker import` is not available here"),
        (f"{PULL}fromImage=python&tag=a%2F..%2Fb", b"", 403, "is not written as a tag"),
        (f"{PULL}fromImage=..%2Fpython", b"", 403, "is not written as the name of an image"),
    ],
)
def test_what_becomes_of_builds_and_pulls(world: World, first: str, body: bytes, status: int, words: str) -> None:
    answer = world.ask(request(first, *([TAR] if "/build" in first else []), body=body))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert words in answer.decode()
    assert [one[2] for one in world.seen()] == [status]
    assert not any(one.startswith(b"POST /v1.45/images/create") for one in world.received)


def test_folders_for_mounts_are_made_inside_the_workspace_only(world: World, tmp_path: Path) -> None:
    here = Path(world.settings.workspace)
    (here / "link").symlink_to(tmp_path)
    for path in ("new/deep", "link/out"):
        body = json.dumps({"Image": "app", "HostConfig": {"Binds": [f"{here}/{path}:/x"]}}).encode()
        assert b"201 " in world.ask(request("POST /containers/create", body=body))
    assert (here / "new" / "deep").is_dir()
    assert list(tmp_path.iterdir()) == []
    first, second = world.received[:2]
    assert b"POST /v1.45/volumes/create" in first
    assert json.loads(first.partition(b"\r\n\r\n")[2])["DriverOpts"]["device"] == str(here)
    assert b"/v1.45/containers/create" in second


def test_an_engine_that_is_away_is_no_refusal() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = ProxySettings(str(folder / "s"), str(folder / "engine"), str(folder / "record"), "/work")
        with running(settings):
            world = World([], settings)
            assert world.ask(request("GET /info")) == b""
        assert world.seen() == [("GET", "/info", 0)]
        assert world.record().refusals == ()


def test_the_engine_hears_of_no_more_than_the_quota_and_the_script_is_told(world: World) -> None:
    folder = Path(world.settings.listen).parent
    settings = replace(
        world.settings,
        listen=str(folder / "n"),
        record=str(folder / "r"),
        quota=QUOTA | {"requests": 6, "containers": 2},
    )
    create = request("POST /containers/create", body=b'{"Image": "a"}')
    with running(settings):
        narrow = World(world.received, settings)
        answers = [narrow.ask(create) for _ in range(3)] + [narrow.ask(request("GET /info")) for _ in range(4)]
    assert [one[9:12] for one in answers] == [b"201", b"201", b"403", b"200", b"200", b"200", b"403"]
    assert b"at most 2 containers can be made by one script" in answers[2]
    assert "more than 6 requests" in narrow.record().refusals[-1]
    assert len(world.received) == 5


def test_long_requests_do_not_fill_the_record_and_one_that_is_cut_off_is_read_up_to_there(world: World) -> None:
    for number in range(200):
        world.ask(request(f"GET /containers/json?filters={number}{'a' * 60_000}"))
    whole = Path(world.settings.record).read_bytes()
    assert len(whole) < 9 * 2**20
    assert world.seen() == [("GET", "/containers/json", 403)] * 200
    assert len(read_record(whole[:-3]).requests) == 199
