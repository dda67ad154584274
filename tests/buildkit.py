"""What tests say to BuildKit: messages, a client that says anything over HTTP/2, and one that is asked for files."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events

from grader.engine.build.protobuf import chunk_field, number_field
from grader.sandbox.proxy.grpc import framed

CONTROL, BRIDGE = "/moby.buildkit.v1.Control", "/moby.buildkit.v1.frontend.LLBBridge"
HEADERS = (
    *((":method", "POST"), (":scheme", "http"), (":authority", "localhost")),
    *(("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "test")),
)
_RECORDED = Path(__file__).parent / "unit" / "recorded"


def recorded_calls() -> list[tuple[str, str, bytes]]:
    """What the real commands sent, without repetitions: the command, the method, the message."""
    rows = [
        json.loads(line) for line in (_RECORDED / "buildkit-0.13-calls.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return [(row["command"], row["method"], base64.b64decode(row["message"])) for row in rows]


# ── messages ────────────────────────────────────────────────────────────────────────────


def texts(**values: str) -> bytes:
    """Fields by their numbers: `texts(_1="a")`."""
    return b"".join(chunk_field(int(name[1:]), value.encode()) for name, value in values.items())


def entries(number: int, values: Mapping[str, str]) -> bytes:
    """A map's entries."""
    return b"".join(chunk_field(number, texts(_1=key, _2=value)) for key, value in values.items())


def exporter(kind: str, **attributes: str) -> bytes:
    return chunk_field(13, texts(_1=kind) + entries(2, attributes))


IDS = texts(_1="build", _5="session")
FILE = {"filename": "Dockerfile"}


def solve(
    *, frontend: str = "dockerfile.v0", options: Mapping[str, str] = FILE, more: bytes = b"", ids: bytes = IDS
) -> bytes:
    """`Control/Solve`, as clients without a gateway of their own send it."""
    return ids + texts(_6=frontend) + entries(7, options) + more


def build(*, frontend: str = "dockerfile.v0", options: Mapping[str, str] = FILE, more: bytes = b"") -> bytes:
    """`LLBBridge/Solve`."""
    return texts(_2=frontend) + entries(3, options) + number_field(5, 1) + more


# ── what is said in a session ───────────────────────────────────────────────────────────

DIFF_COPY, PULL = "/moby.filesync.v1.FileSync/DiffCopy", "/moby.upload.v1.Upload/Pull"
HEALTH = "/grpc.health.v1.Health/Check"
FOLDER, LINK = 1 << 31, 1 << 27


def recorded_answers() -> list[tuple[int, str, bytes]]:
    """What real commands answered in sessions: the number of the call, the method, the message."""
    lines = (_RECORDED / "buildkit-0.13-answers.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["call"], row["method"], base64.b64decode(row["message"])) for row in map(json.loads, lines)]


def stat(path: str | bytes, mode: int = 0o644, size: int = 0, link: str = "", more: bytes = b"") -> bytes:
    """A packet that says that there is a file."""
    name = path if isinstance(path, bytes) else path.encode()
    linked = texts(_7=link) if link else b""
    return chunk_field(2, chunk_field(1, name) + number_field(2, mode) + number_field(5, size) + linked + more)


LISTED, SENT = b"", number_field(1, 3)
"""The packets at the end of the list of files, and at the end of all."""


def error(text: str) -> bytes:
    """A packet that says what went wrong."""
    return number_field(1, 4) + chunk_field(4, text.encode())


def content(data: bytes, number: int = 0) -> bytes:
    """A packet with a piece of a file."""
    return number_field(1, 2) + number_field(3, number) + chunk_field(4, data)


# ── a client ────────────────────────────────────────────────────────────────────────────


@dataclass
class Answer:
    """What came back for one call. `reset` is the code of an HTTP/2 stream that was cut."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def status(self) -> str:
        return self.headers.get("grpc-status", "")

    @property
    def message(self) -> str:
        return unquote(self.headers.get("grpc-message", ""))


class Caller:
    """One side of an HTTP/2 connection that makes calls; bytes go in and come out."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.ended: int | None = None

    def call(
        self,
        method: str,
        body: bytes,
        *headers: tuple[str, str],
        without: Sequence[str] = (),
        ends: bool = True,
    ) -> int:
        """Ask; the stream's number. `body` is with its frame."""
        stream = self.h2.get_next_available_stream_id()
        first = [one for one in (*HEADERS, (":path", method)) if one[0] not in without]
        ordered = sorted([*first, *headers], key=lambda one: not one[0].startswith(":"))
        self.h2.send_headers(stream, ordered)
        for at in range(0, len(body), 16_000):
            self.h2.send_data(stream, body[at : at + 16_000])
        if ends:
            self.h2.end_stream(stream)
        self.answers[stream] = Answer()
        return stream

    def take(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            self._take(event)

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                self.answers[event.stream_id].headers |= {str(k): str(v) for k, v in event.headers}
            case h2.events.DataReceived():
                self.answers[event.stream_id].data += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                self.answers[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.answers[event.stream_id].reset = int(event.error_code)
            case h2.events.ConnectionTerminated():
                self.ended = int(event.error_code or 0)
            case _:
                pass


SESSION = (
    b"POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    b"X-Docker-Expose-Session-Uuid: %s\r\nX-Docker-Expose-Session-Name: x\r\n"
    + b"".join(f"X-Docker-Expose-Session-Grpc-Method: {one}\r\n".encode() for one in (DIFF_COPY, HEALTH))
    + b"\r\n"
)
UPGRADE = b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"


def asked(path: Path, *calls: tuple[str, bytes]) -> list[Answer]:
    """Make calls, one after the other, over one connection to a guard's socket. Messages are without their frame."""
    caller = Caller()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(UPGRADE)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        for method, message in calls:
            stream = caller.call(method, framed(message))
            while not (caller.answers[stream].ended or caller.answers[stream].reset is not None):
                client.sendall(caller.h2.data_to_send())
                piece = client.recv(65_536)
                assert piece, "the guard has ended the connection"
                caller.take(piece)
    return list(caller.answers.values())


# ── a client that is asked ──────────────────────────────────────────────────────────────

BEGUN = ((":status", "200"), ("content-type", "application/grpc"))
ENDED = (("grpc-status", "0"),)


class Asked:
    """One side of an HTTP/2 connection that is called; bytes go in and come out. `calls` are the headers, by stream."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="utf-8",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.calls: dict[int, dict[str, str]] = {}
        self.said: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self._waiting: dict[int, bytearray] = {}
        self._trailers: dict[int, tuple[tuple[str, str], ...]] = {}

    def take(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self.calls[event.stream_id] = {str(k): str(v) for k, v in event.headers}
                    self.said[event.stream_id] = b""
                case h2.events.DataReceived():
                    self.said[event.stream_id] += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended.add(event.stream_id)
                case h2.events.StreamReset():
                    self.reset[event.stream_id] = int(event.error_code)
                case _:
                    pass

    def answer(self, stream: int, body: bytes, trailers: tuple[tuple[str, str], ...] = ENDED) -> None:
        """Answer a call with messages that have their frames, as there is room; without trailers it goes on."""
        if stream not in self._waiting:
            self.h2.send_headers(stream, BEGUN)
        self._waiting.setdefault(stream, bytearray()).extend(body)
        if trailers:
            self._trailers[stream] = trailers

    def left(self, stream: int) -> int:
        """Bytes of an answer that have no room yet."""
        return len(self._waiting.get(stream, b""))

    def to_send(self, piece: int = 16_000) -> bytes:
        """Bytes for the wire; data in frames of at most `piece` bytes."""
        for stream, waiting in [*self._waiting.items()]:
            if stream in self.reset:
                del self._waiting[stream]
                continue
            while room := min(self.h2.local_flow_control_window(stream), piece, len(waiting)):
                self.h2.send_data(stream, bytes(waiting[:room]))
                del waiting[:room]
            if not waiting and stream in self._trailers:
                self.h2.send_headers(stream, self._trailers.pop(stream), end_stream=True)
                del self._waiting[stream]
        return self.h2.data_to_send()


@contextmanager
def session(path: Path, files: Callable[[str], Sequence[bytes]], name: str = "session") -> Iterator[threading.Thread]:
    """Serve a session to the engine behind a guard's socket until the block ends; the thread, until the engine ends it.

    `files` gives the packets with which a call is answered, by the name of the folder that the engine asks for. To a
    real engine, a session's name is taken for some seconds more.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(path))
        client.sendall(SESSION % name.encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101 "), head
        thread = threading.Thread(target=_serve, args=(client, files), daemon=True)
        thread.start()
        yield thread
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(client: socket.socket, files: Callable[[str], Sequence[bytes]]) -> None:
    asked = Asked()
    answered: set[int] = set()
    contents: dict[int, bytes] = {}
    with suppress(OSError):
        while True:
            client.sendall(asked.to_send())
            if not (piece := client.recv(65_536)):
                return
            asked.take(piece)
            for stream in {*asked.calls} - answered:
                answered.add(stream)
                if asked.calls[stream][":path"] == HEALTH:
                    asked.answer(stream, framed(number_field(1, 1)))
                else:
                    listed, later = _parts(files(asked.calls[stream].get("dir-name", "")))
                    asked.answer(stream, listed, () if later else ENDED)
                    contents[stream] = later
            for stream in [one for one in contents if asked.said[one]]:
                asked.answer(stream, contents.pop(stream))


def _parts(packets: Sequence[bytes]) -> tuple[bytes, bytes]:
    """What is said at once, and what is said when the engine has asked for it, which is all behind the list."""
    at = packets.index(LISTED) + 1 if LISTED in packets else len(packets)
    return b"".join(map(framed, packets[:at])), b"".join(map(framed, packets[at:]))
