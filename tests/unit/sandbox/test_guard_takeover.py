"""BuildKit's connection over real sockets, with the guard between a client and a small engine that speaks HTTP/2."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from grader.engine.build.protobuf import fields
from grader.sandbox.proxy.grpc import framed
from grader.sandbox.proxy.proxy import ProxyRecording, guarded
from grader.sandbox.proxy.quota import Quota
from tests.buildkit import (
    BRIDGE,
    CONTROL,
    DIFF_COPY,
    IDS,
    LISTED,
    UPGRADE,
    Answer,
    Caller,
    asked,
    build,
    content,
    error,
    exporter,
    session,
    solve,
    stat,
)
from tests.unit.sandbox.test_guard_proxy import until

BEGUN = [(":status", "200"), ("content-type", "application/grpc")]


@dataclass
class Engine:
    """Answers each call with its message, `times` over; `Info` ends the connection. It asks sessions for files."""

    path: Path
    times: int = 1
    heard: list[Answer] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self.heads.append(head_of(connection))
        connection.sendall(b"HTTP/1.1 101 UPGRADED\r\n\r\n")
        if b"/session " in self.heads[-1]:
            self._ask(connection)
            return
        speaking = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        speaking.initiate_connection()
        bodies: dict[int, bytes] = {}
        left: dict[int, bytes] = {}
        with contextlib.suppress(OSError), connection:
            while True:
                connection.sendall(speaking.data_to_send())
                if not (piece := connection.recv(65_536)):
                    return
                for event in speaking.receive_data(piece):
                    if isinstance(event, h2.events.RequestReceived):
                        self.asked.append({str(name): str(value) for name, value in event.headers})
                        if self.asked[-1][":path"].endswith("/Info"):
                            return
                        bodies[event.stream_id] = b""
                    elif isinstance(event, h2.events.DataReceived):
                        bodies[event.stream_id] += event.data
                    elif isinstance(event, h2.events.StreamEnded):
                        speaking.send_headers(event.stream_id, BEGUN)
                        left[event.stream_id] = bodies[event.stream_id] * self.times
                    elif isinstance(event, h2.events.ConnectionTerminated):
                        return
                self._answer(speaking, left)

    def _ask(self, connection: socket.socket) -> None:
        caller = Caller()
        answer = caller.answers[caller.call(DIFF_COPY, b"", ends=False)]
        self.heard.append(answer)
        with contextlib.suppress(OSError), connection:
            while not answer.ended:
                connection.sendall(caller.h2.data_to_send())
                if not (piece := connection.recv(65_536)):
                    return
                caller.take(piece)

    def _answer(self, speaking: h2.connection.H2Connection, left: dict[int, bytes]) -> None:
        for stream in [*left]:
            while room := min(speaking.local_flow_control_window(stream), 16_000, len(left[stream])):
                speaking.send_data(stream, left[stream][:room])
                left[stream] = left[stream][room:]
            if not left[stream]:
                speaking.send_headers(stream, [("grpc-status", "0")], end_stream=True)
                del left[stream]


def head_of(connection: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n") and (one := connection.recv(1)):
        head += one
    return head


@dataclass
class World:
    engine: Engine
    path: Path
    recording: ProxyRecording


@pytest.fixture
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as listener:
        folder = Path(name)
        (folder / "submission").mkdir()
        listener.bind(str(folder / "engine"))
        listener.listen()
        engine = Engine(folder / "engine")
        threading.Thread(target=engine.serve, args=(listener,), daemon=True).start()
        quota = Quota(builds=2, images=3, requests=40)
        with guarded(folder / "engine", folder / "guard", folder / "submission", quota=quota) as recording:
            yield World(engine, folder / "guard", recording)
        listener.shutdown(socket.SHUT_RDWR)


def told(answer: Answer) -> tuple[str, str]:
    return answer.status, answer.message


def test_calls_go_through_and_those_refused_are_recorded(world: World) -> None:
    first, refused, last = asked(
        world.path, (f"{BRIDGE}/Solve", build()), (f"{BRIDGE}/ReadFile", b""), (f"{CONTROL}/ListWorkers", b"")
    )
    assert (first.status, last.status, last.data) == ("0", "0", framed(b""))
    assert refused.message == "BuildKit: '/moby.buildkit.v1.frontend.LLBBridge/ReadFile' is not available here"
    assert [one[":path"] for one in world.engine.asked] == [f"{BRIDGE}/Solve", f"{CONTROL}/ListWorkers"]
    assert {number for number, _, _ in fields(first.data[5:])} == {2, 3, 5}
    assert world.recording.reasons() == (refused.message,)
    assert until(world.recording.refusals, 1) == [("POST", f"/grpc{BRIDGE}/ReadFile", 403)]
    assert b"user-agent" not in world.engine.heads[0]


def test_builds_count_and_not_the_connections_that_they_take(world: World) -> None:
    for _ in range(2):
        for answer in asked(world.path, (f"{CONTROL}/Solve", IDS), (f"{BRIDGE}/Solve", build())):
            assert answer.status == "0"
    (third,) = asked(world.path, (f"{BRIDGE}/Solve", build()))
    assert told(third) == ("7", "at most 2 builds can be made by one script, whether they are removed again or not")
    named, more = asked(
        world.path,
        (f"{CONTROL}/Solve", IDS + exporter("moby", name="a,b")),
        (f"{CONTROL}/Solve", IDS + exporter("moby", name="c,d")),
    )
    assert (named.status, more.status) == ("0", "7")
    assert "at most 3 images" in more.message


def test_calls_without_end_end_the_connection(world: World) -> None:
    with pytest.raises((AssertionError, ConnectionError)):
        asked(world.path, *[(f"{CONTROL}/ListWorkers", b"")] * 60)
    assert len(world.engine.asked) < 40
    assert until(world.recording.refusals, 1) == [("POST", "/grpc", 403)]
    assert "more than 40 requests" in world.recording.reasons()[-1]


def test_scripts_have_caches_of_their_own(world: World) -> None:
    path = world.path.with_name("other")
    call = (f"{CONTROL}/Solve", solve())
    with guarded(world.engine.path, path, world.path.with_name("submission")):
        (ours,), (theirs,) = asked(world.path, call), asked(path, call)
    assert b"BUILDKIT_CACHE_MOUNT_NS" in ours.data
    assert ours.data != theirs.data


def test_an_engine_that_goes_takes_the_client_along(world: World) -> None:
    with pytest.raises((AssertionError, ConnectionError), match=r"has ended the connection|Broken pipe|reset"):
        asked(world.path, (f"{CONTROL}/Info", b""))


def test_a_long_answer_waits_for_a_client_that_is_slow(world: World) -> None:
    world.engine.times = 400_000
    caller = Caller()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(world.path))
        client.sendall(UPGRADE)
        said = b"HTTP/1.1 101 UPGRADED\r\n\r\n"
        assert client.recv(len(said), socket.MSG_WAITALL) == said
        stream = caller.call(f"{CONTROL}/ListWorkers", framed(b""))
        client.sendall(caller.h2.data_to_send())
        threading.Event().wait(0.3)
        while not caller.answers[stream].ended:
            caller.take(client.recv(1_000_000))
            client.sendall(caller.h2.data_to_send())
    assert len(caller.answers[stream].data) == 5 * 400_000


# ── sessions ────────────────────────────────────────────────────────────────────────────


def brought(world: World, packets: Sequence[bytes]) -> None:
    """One session in which these are answered."""
    with session(world.path, lambda _folder: packets) as served:
        served.join(60)


def test_a_session_brings_files_and_none_that_is_refused(world: World) -> None:
    for packets in ([stat("a"), LISTED], [stat("a"), stat("/etc/passwd")]):
        brought(world, packets)
    good, bad = world.engine.heard
    assert (good.data, good.status) == (framed(stat("a")) + framed(LISTED), "0")
    assert (bad.data, bad.status) == (framed(stat("a")) + framed(error(bad.message)), "7")
    assert "not a path inside the folder" in bad.message
    assert world.recording.reasons() == (bad.message,)
    assert until(world.recording.refusals, 1) == [("POST", f"/session{DIFF_COPY}", 403)]


def test_large_files_go_through_at_the_pace_of_the_engine(world: World) -> None:
    packets = [stat("a", size=8_000_000), *[content(bytes(32_768))] * 240]
    brought(world, packets)
    (answer,) = world.engine.heard
    assert len(answer.data) == sum(5 + len(one) for one in packets)
    assert answer.status == "0"


def test_what_is_no_session_ends_it(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(world.path))
        client.sendall(UPGRADE.replace(b"/grpc", b"/session"))
        assert head_of(client).startswith(b"HTTP/1.1 101 ")
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        assert b"".join(iter(lambda: client.recv(65_536), b""))
    assert until(world.recording.refusals, 1) == [("POST", "/session", 403)]
    assert "does not speak HTTP/2" in world.recording.reasons()[0]


def test_a_session_ends_with_the_guard(world: World) -> None:
    path = world.path.with_name("other")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        with guarded(world.engine.path, path, world.path.with_name("submission")):
            client.connect(str(path))
            client.sendall(UPGRADE.replace(b"/grpc", b"/session"))
            assert head_of(client).startswith(b"HTTP/1.1 101 ")
        while client.recv(65_536):
            pass
