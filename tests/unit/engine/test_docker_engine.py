"""An engine that is away, breaks off or answers nonsense. The engine here is a table of answers behind a socket."""

from __future__ import annotations

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grader.course.models import Limits
from grader.engine.build.builders import BuilderName, unsupported
from grader.engine.docker_engine import DockerEngine, connect
from grader.engine.protocol import BuildJob
from grader.errors import EngineError, UsageError
from grader.models import BuildFailed, Built, Exited, RunOutcome, RunRequest
from tests.dockerfiles import dockerfile
from tests.faultengine import Asked, FaultEngine, Reply, SmallDocker, as_json, messages

RECORDED = Path(__file__).parents[1] / "recorded"
LIMITS = Limits(build_seconds=30, run_seconds=30)
JOB = BuildJob(b"a tar", dockerfile("FROM x\nRUN y\n"), "test")
IMAGE = "sha256:" + "1" * 64

PRINTS = RunOutcome(Exited(0), b"out", b"err")

Serve = Callable[..., deque[Asked]]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a small Docker at DOCKER_HOST that answers as usual but for what is given (`then`: after a build)."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    with ExitStack() as stack:

        def start(unusual: dict[str, Reply] | None = None, then: dict[str, Reply] | None = None) -> deque[Asked]:
            answers = dict(unusual or {})

            def fault(route: str) -> Reply | None:
                reply = answers.get(route)
                if route == "POST /build":
                    answers.update(then or {})
                return reply

            docker = SmallDocker(lambda *_: PRINTS, fault)
            return stack.enter_context(FaultEngine(tmp_path / "engine.sock", docker)).asked

        yield start


def build(engine: DockerEngine) -> Built | BuildFailed:
    return engine.build(JOB, LIMITS, lambda _: None)


# ── no engine ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("host", ["nonsense://x", "tcp://127.0.0.1:1", "unix:///nowhere/none.sock"])
def test_a_docker_host_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EngineError, match="docker info") as caught:
        connect()
    assert caught.value.exit_code == 3
    assert host in str(caught.value)


def test_a_socket_that_may_not_be_used_is_told_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    monkeypatch.setattr("socket.socket.connect", refuse)  # the tests may run as root, whom no file mode stops
    with pytest.raises(EngineError, match=r"may not talk to the container engine.* usermod -aG docker"):
        connect()


@pytest.mark.parametrize(
    "version",
    [Reply(silent=True), Reply((b"<html>",)), as_json({}), as_json({"message": "starting"}, 503)],
    ids=["silent", "nonsense", "no engine", "starting"],
)
def test_something_else_that_answers_is_no_engine(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, version: Reply
) -> None:
    monkeypatch.setattr("grader.engine.http._CONNECT_SECONDS", 1)
    serve({"GET /version": version})
    with pytest.raises(EngineError, match="No container engine answers"):
        connect()


def test_an_unknown_builder_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(UsageError, match="buildkit, classic"):
        connect(builder="kaniko")


# ── builds ──────────────────────────────────────────────────────────────────────────────


def trace(data: bytes) -> dict[str, Any]:
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(data).decode()}


BROKEN_BUILDS = {
    "cut in the middle": messages(trace(b""), cut=True),
    "ended without a result": messages(trace(b"")),
    "progress that is no protobuf": messages(trace(b"\x0f")),
    "progress that is no base64": messages({"id": "moby.buildkit.trace", "aux": "!"}),
    "half a message": Reply((b'{"id": "moby.im',)),
    "refused": as_json({"message": "the engine is stopping"}, 503),
    "told that it is going down": messages({"errorDetail": {"message": "context canceled"}}),
}


@pytest.mark.parametrize("reply", BROKEN_BUILDS.values(), ids=BROKEN_BUILDS)
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_a_build_that_breaks_is_never_the_students_failure(serve: Serve, reply: Reply, builder: str) -> None:
    serve({"POST /build": reply, "GET /images/*/json": as_json({}, 404)})
    with connect(builder=builder) as engine, pytest.raises(EngineError):
        build(engine)


def test_a_build_that_fails_while_the_engine_goes_down_is_not_the_students_failure(serve: Serve) -> None:
    failed = messages({"errorDetail": {"message": "dockerfile parse error on line 2: unknown instruction: Y"}})
    serve({"POST /build": failed}, then={"GET /info": as_json({"message": "shutting down"}, 503)})
    with pytest.raises(EngineError, match="shutting down"):
        build(connect(builder="buildkit"))


PARSE_ERROR = "dockerfile parse error line 2: unknown instruction: Y"


@pytest.mark.parametrize("place", [{"error": PARSE_ERROR}, {"error": "", "errorDetail": {"message": PARSE_ERROR}}])
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_errors_are_found_in_the_old_and_the_new_place(serve: Serve, place: dict[str, Any], builder: str) -> None:
    serve({"POST /build": messages(place)})
    with connect(builder=builder) as engine:
        failed = build(engine)
    assert isinstance(failed, BuildFailed)
    assert (failed.message, failed.line) == (PARSE_ERROR, 2)


@pytest.mark.parametrize("name", ["engine-20.10-1.jsonl", "engine-26.1-1.jsonl"])
def test_messages_may_arrive_in_any_pieces(serve: Serve, name: str) -> None:
    told = (RECORDED / name).read_bytes()
    serve({"POST /build": Reply(tuple(told[at : at + 7] for at in range(0, len(told), 7)))})
    with connect(builder="buildkit") as engine:
        failed = build(engine)
    assert isinstance(failed, BuildFailed)
    assert "exit code: 1" in failed.message


def test_neither_credentials_nor_proxies_leave_the_machine(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = {
        "auths": {"https://index.docker.io/v1/": {"auth": base64.b64encode(b"me:s3cret").decode()}},
        "HttpHeaders": {"X-Meta-Token": "s3cret"},
        "proxies": {"default": {"httpProxy": "http://me:s3cret@proxy:1"}},
    }
    (tmp_path / "config.json").write_text(json.dumps(secret))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("HTTP_PROXY", "http://me:s3cret@proxy:1")
    asked = serve()
    with connect(builder="buildkit") as engine:
        build(engine)
        engine.run(IMAGE, RunRequest(), LIMITS)
        engine.pull("x/y:1")
    sent = [f"{one.what} {one.query} {one.headers} {one.body!r}" for one in asked]
    assert len(sent) > 10
    assert not [line for line in sent if "s3cret" in line or "proxy" in line.lower() or "X-Registry" in line]


def test_podman_is_known_by_its_version(serve: Serve) -> None:
    podman = {"Version": "5.4.2", "ApiVersion": "1.41", "Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}
    serve({"GET /version": as_json(podman)})
    with connect() as engine:
        assert engine.info().builder == "classic"


HEREDOC = "FROM x\n\nRUN <<EOF\necho\nEOF\n"
FEATURES: list[tuple[str, BuilderName, str, tuple[str, int] | None]] = [
    (HEREDOC, "buildkit", "20.10.24+dfsg1", ("heredoc", 3)),
    (HEREDOC, "buildkit", "23.0.0", None),
    (HEREDOC, "buildkit", "library-import", None),
    (HEREDOC, "classic", "5.4.2", None),
    ("FROM x\nCOPY --link a b\n", "buildkit", "20.10.24", ("link", 2)),
    ("FROM x\nCOPY --chmod=755 a b\nRUN --mount=type=cache,target=/c true\n", "buildkit", "20.10.24", None),
    ("FROM x\nRUN echo '<<EOF' --mount=a\n", "buildkit", "20.10.24", None),
]


@pytest.mark.parametrize(("text", "builder", "version", "expected"), FEATURES)
def test_what_a_builder_does_not_know(
    text: str, builder: BuilderName, version: str, expected: tuple[str, int] | None
) -> None:
    told = unsupported(dockerfile(text), builder, version)
    assert (told and (told.unsupported, told.line)) == expected
    assert told is None or version in told.message


def test_an_engine_that_takes_no_notice_of_buildkit_is_told_with_the_way_out(serve: Serve) -> None:
    serve({"POST /build": messages({"stream": "Step 1/1 : FROM scratch"}, {"aux": {"ID": IMAGE}})})
    with connect() as engine, pytest.raises(EngineError, match="GRADER_BUILDER=classic"):
        build(engine)


PODMAN = (
    "[1/2] STEP 1/2: FROM python:3.9-slim AS one\n",
    "[1/2] STEP 2/2: RUN echo 1 >/x\n",
    "--> Using cache fb47dd0bd66a02f90c1ce8a1c8b46a31f0ce17ad3a5c1d0d1d0b6a5a3c33ba11\n",
    "--> fb47dd0bd66a\n",
    "[2/2] STEP 1/4: FROM python:3.9-slim\n",
    "[2/2] STEP 2/4: RUN echo oops >&2; exit 3\n",
    "STEP 9/9: no step\n",
    "oops\n",
)
PODMAN_ERROR = 'building at STEP "RUN echo oops >&2; exit 3": while running runtime: exit status 3\n'


def test_podmans_text_becomes_steps(serve: Serve) -> None:
    text = "FROM python:3.9-slim AS one\nRUN echo 1 >/x\n\nFROM python:3.9-slim\nRUN echo oops >&2; \\\n exit 3\n"
    error = {"error": PODMAN_ERROR, "errorDetail": {"message": PODMAN_ERROR}}
    serve({"POST /build": messages(*({"stream": line} for line in PODMAN), error)})
    with connect(builder="classic") as engine:
        failed = engine.build(BuildJob(b"a tar", dockerfile(text), "test"), LIMITS, lambda _: None)
    assert isinstance(failed, BuildFailed)
    assert (failed.message, failed.line) == ("while running runtime: exit status 3", 5)
    assert [(step.line, step.cached, step.log) for step in failed.steps] == [
        (1, False, ""),
        (2, True, ""),
        (4, False, ""),
        (5, False, "STEP 9/9: no step\noops\n"),
    ]


# ── runs ────────────────────────────────────────────────────────────────────────────────


def test_a_run_is_attached_to_before_its_start_and_warned_of_once_and_has_no_more_cores_than_there_are(
    tmp_path: Path,
) -> None:
    warning = "Your kernel does not support pids limit capabilities. PIDs limit discarded."
    docker = SmallDocker(lambda *_: PRINTS)

    def answer(asked: Asked) -> Reply:
        reply = docker(asked)
        warned = tuple(chunk.replace(b"[]", json.dumps([warning]).encode()) for chunk in reply.chunks)
        return replace(reply, chunks=warned) if asked.path == "/containers/create" else reply

    socket = tmp_path / "engine.sock"
    with FaultEngine(socket, answer) as served, connect(endpoint=f"unix://{socket}") as engine:
        for _ in range(2):
            outcome = engine.run(IMAGE, RunRequest(), replace(LIMITS, cpus=64))
            assert (outcome.ended, outcome.stdout, outcome.stderr) == (PRINTS.ended, PRINTS.stdout, PRINTS.stderr)
        assert engine.warnings == (warning,)
    calls = [one.path.rpartition("/")[2] for one in served.asked if one.method == "POST" and one.path.count("/") > 2]
    assert calls == ["attach", "wait", "start"] * 2
    created = [json.loads(one.body) for one in served.asked if one.path == "/containers/create"]
    assert created[-1]["HostConfig"]["NanoCpus"] == 4_000_000_000


def test_an_image_whose_config_has_no_entries_at_all(serve: Serve) -> None:
    serve({"GET /images/*/json": as_json({"Id": IMAGE})})
    with connect(builder="buildkit") as engine:
        built = build(engine)
    assert isinstance(built, Built)
    assert built.config.entrypoint is None
    assert built.config.environment == ()


# ── removal ─────────────────────────────────────────────────────────────────────────────


def test_what_cannot_be_removed_is_told_at_the_end_but_hides_no_other_error(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grader.engine.ownership.time.sleep", lambda _seconds: None)
    stuck = [{"Id": "c9", "Names": ["/c9"], "Labels": {}}]
    serve({"GET /containers/json": as_json(stuck), "DELETE /containers/*": as_json({"message": "device busy"}, 500)})
    with pytest.raises(EngineError, match="device busy"), connect(builder="buildkit"):
        pass
    with pytest.raises(KeyError), connect(builder="buildkit"):
        raise KeyError
