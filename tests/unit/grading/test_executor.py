"""Where requests are carried out: the engine, a sandbox of one's own, or the student's engine; or a memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError
from typing import Any, cast

import pytest

from grader.checks.base import NotChecked
from grader.course.models import BaseImage, Limits
from grader.engine.http import Answer, Connection
from grader.engine.protocol import Sandbox
from grader.errors import EngineError, EnvironmentProblem
from grader.grading.executor import BuildTurns, Engines, Executor
from grader.grading.exercise import grade_exercise, replay
from grader.models import (
    BuildFailed,
    BuildRequest,
    ComposeRequest,
    ComposeSeen,
    EngineState,
    Exited,
    ImageSeen,
    MemoryFile,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.sandbox.engine_state import own_engine_seen
from grader.sandbox.script import images_named
from grader.submissions.models import ExerciseFiles
from tests.fakes import FakeEngine
from tests.unit.checks.test_commands import COMMAND, LATEST, OUR_ID, PYTHON, ours
from tests.worlds import context, image, printed

SCRIPT = ScriptRequest()
DID = ScriptSeen("script", printed("did\n"))
OWN = ScriptSeen("own_engine", after=EngineState((ImageSeen("sha256:9", ("sales-predictor:latest",)),)))
COMPOSED = ComposeSeen(printed("{}"))
LEFT = RunRequest(existing_image="sales-predictor:latest")


@dataclass
class FakeSandboxes:
    """Sandboxes that write down who came, what was asked for, and who went. The one sandbox is itself."""

    on_script: Callable[[], ScriptSeen] = lambda: DID
    heard: list[str] = field(default_factory=list)

    @contextmanager
    def __call__(self) -> Iterator[Sandbox]:
        self.heard.append("taken")
        try:
            yield self
        finally:
            self.heard.append("given back")

    def script(self, files: ExerciseFiles, request: ScriptRequest, limits: Limits) -> ScriptSeen:
        self.heard.append("script, prepared" if request.prepared else "script")
        return self.on_script()

    def compose(self, files: ExerciseFiles, request: ComposeRequest, limits: Limits) -> ComposeSeen:
        self.heard.append("compose up" if request.replaced else "compose config")
        return COMPOSED

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        self.heard.append(f"run {image}")
        return printed("in the sandbox\n")


def executor(
    sandboxes: FakeSandboxes,
    *names: str,
    engine: FakeEngine | None = None,
    look: Callable[[], ScriptSeen] | None = None,
    doing: Callable[[str], None] = lambda _: None,
) -> Executor:
    memory = tuple(MemoryFile(name, b"FROM python:3.9\n") for name in names or ("Dockerfile", "commands.sh"))
    files = ExerciseFiles("3.1.2", "folder", memory, "digest")
    return Executor(Engines(engine or FakeEngine(), sandboxes, look), files, Limits(), "test", doing)


# ── which place ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("files", "look", "seen", "heard"),
    [
        (("Dockerfile", "commands.sh"), None, DID, ["taken", "script", "given back"]),
        (("Dockerfile", "commands.sh"), lambda: OWN, DID, ["taken", "script", "given back"]),
        (("Dockerfile",), lambda: OWN, OWN, []),
        (("Dockerfile", "sub/commands.sh"), None, ScriptSeen("nothing"), []),
        (("Dockerfile",), None, ScriptSeen("nothing"), []),
    ],
    ids=["script", "script before own engine", "own engine", "script elsewhere", "nothing"],
)
def test_a_script_runs_in_a_sandbox_and_without_one_only_a_self_check_looks(
    files: tuple[str, ...], look: Callable[[], ScriptSeen] | None, seen: ScriptSeen, heard: list[str]
) -> None:
    sandboxes = FakeSandboxes()
    with executor(sandboxes, *files, look=look) as observe:
        assert observe(SCRIPT) == seen
    assert sandboxes.heard == heard


def test_a_sandbox_is_entered_once_and_everything_that_is_left_is_run_there() -> None:
    sandboxes, engine = FakeSandboxes(), FakeEngine()
    with executor(sandboxes, engine=engine) as observe:
        for _ in range(2):
            observe(SCRIPT)
            observe(ScriptRequest(prepared=True))
            observe(ComposeRequest())
            observe(ComposeRequest((MemoryFile("sales.txt", b"1\n"),)))
            assert observe(LEFT) == printed("in the sandbox\n")
        assert sandboxes.heard[-1] != "given back"
    assert sandboxes.heard == [
        *("taken", "script", "script, prepared", "compose config", "compose up"),
        *("run sales-predictor:latest", "given back"),
    ]
    assert (engine.runs, engine.builds) == ([], [])


def test_what_is_in_the_students_own_engine_is_run_there() -> None:
    sandboxes, engine = FakeSandboxes(), FakeEngine(on_run=lambda _: printed("in the engine\n"))
    with executor(sandboxes, "Dockerfile", engine=engine, look=lambda: OWN) as observe:
        assert observe(SCRIPT) == OWN
        assert observe(LEFT) == printed("in the engine\n")
    assert (engine.runs, engine.builds, sandboxes.heard) == ([LEFT], [], [])


def test_builds_and_runs_need_no_sandbox() -> None:
    sandboxes, engine = FakeSandboxes(), FakeEngine(on_run=lambda _: printed("ran\n"))
    with executor(sandboxes, engine=engine) as observe:
        assert observe(BuildRequest()) == image()
        assert observe(RunRequest()) == printed("ran\n")
        for _ in range(2):  # what is in a base image is the same for all
            assert observe(RunRequest(base="python:3.9")) == printed("ran\n")
    assert len(engine.runs) == 2
    assert (sandboxes.heard, len(engine.builds), engine.removed) == ([], 1, [image().image])


EXECUTED = printed("executed\n")


def further(*args: str) -> RunRequest:
    return RunRequest(args, further=True)


@pytest.mark.parametrize(
    ("executed", "asked", "seen", "runs"),
    [
        (EXECUTED, [further("1"), further("2")], ["executed", "executed"], []),
        (None, [further("1"), RunRequest(("1",)), further("2")], ["ran", "ran", "ran"], ["1", "2"]),
        (EXECUTED, [further("1"), RunRequest(("1",)), further("2")], ["executed", "ran", "ran"], ["1", "2"]),
        (EXECUTED, [RunRequest(("1",)), further("1"), further("2")], ["ran", "ran", "ran"], ["1", "2"]),
    ],
    ids=["executed", "there can be no exec", "what was executed had to be run", "run before"],
)
def test_a_further_run_is_an_exec_until_one_had_to_be_run(
    executed: RunOutcome | None, asked: list[RunRequest], seen: list[str], runs: list[str]
) -> None:
    engine = FakeEngine(on_run=lambda _: printed("ran\n"), on_exec=lambda _: executed)
    with executor(FakeSandboxes(), engine=engine) as observe:
        outcomes = [observe(request) for request in asked]
    assert outcomes == [printed(f"{word}\n") for word in seen]
    assert [request.args for request in engine.runs] == [(word,) for word in runs]
    assert not any(request.further for request in engine.runs)


def test_what_did_not_build_cannot_run() -> None:
    engine = FakeEngine(on_build=lambda _: BuildFailed("boom"))
    with executor(FakeSandboxes(), engine=engine) as observe, pytest.raises(NotChecked):
        observe(RunRequest())
    assert (engine.runs, engine.removed) == ([], [])


def test_it_is_said_what_is_being_done() -> None:
    said: list[str] = []
    with executor(FakeSandboxes(), doing=said.append) as observe:
        for request in (SCRIPT, ComposeRequest(), ComposeRequest((MemoryFile("a", b""),)), LEFT, BuildRequest()):
            observe(request)
    assert said == [
        *("running commands.sh", "docker compose config", "docker compose up", "running sales-predictor:latest"),
        "building the image",
    ]


def test_a_file_is_changed_in_a_way_that_no_builder_has_seen_before() -> None:
    """Else a builder that has met the change in an earlier grading would have all of it in its cache."""
    contexts: list[bytes] = []
    for _ in range(2):
        engine = FakeEngine()
        with executor(FakeSandboxes(), engine=engine) as observe:
            observe(BuildRequest())
            observe(BuildRequest(changed="sales_predictor.py", attempt=1))
        contexts += [job.context for job in engine.builds]
    plain, changed, plain_again, changed_again = contexts
    assert plain == plain_again
    assert len({plain, changed, changed_again}) == 3


# ── builds side by side, unless one has to run alone ────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "together"), [(False, False, True), (False, True, False), (True, True, False)]
)
def test_two_builds_meet_only_if_neither_runs_alone(one: bool, other: bool, together: bool) -> None:
    turns = BuildTurns()
    inside = Barrier(2)

    def meets(alone: bool) -> bool:
        with turns.turn(alone=alone):
            try:
                inside.wait(5 if together else 0.2)
            except BrokenBarrierError:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(meets, [one, other])) == {together}


def test_a_turn_ends_also_with_an_error() -> None:
    turns = BuildTurns()
    for alone in (True, False, True):
        with pytest.raises(ValueError, match="x"), turns.turn(alone=alone):
            raise ValueError("x")


# ── giving back ─────────────────────────────────────────────────────────────────────────


def worked(sandboxes: FakeSandboxes, engine: FakeEngine, error: BaseException | None = None) -> None:
    """Build and run the script; then raise the error, if there is one, as a check may."""
    with executor(sandboxes, engine=engine) as observe:
        observe(BuildRequest())
        observe(SCRIPT)
        if error:
            raise error


@pytest.mark.parametrize("error", [RuntimeError("a bug in a check"), EngineError("gone"), KeyboardInterrupt()])
def test_a_sandbox_is_given_back_when_a_check_raises(error: BaseException) -> None:
    sandboxes, engine = FakeSandboxes(), FakeEngine()
    with pytest.raises(type(error)):
        worked(sandboxes, engine, error)
    assert sandboxes.heard == ["taken", "script", "given back"]
    assert engine.removed == [image().image]


def test_images_that_cannot_be_removed_change_no_verdict_and_the_sandbox_is_given_back() -> None:
    class Stuck(FakeEngine):
        def remove_image(self, image: str) -> None:
            raise EngineError(image)

    sandboxes = FakeSandboxes()
    worked(sandboxes, Stuck())
    assert sandboxes.heard == ["taken", "script", "given back"]


def test_a_fault_of_a_sandbox_costs_no_points_and_is_not_remembered() -> None:
    def gone() -> ScriptSeen:
        raise EngineError("the private engine went away")

    sandboxes = FakeSandboxes(gone)
    with executor(sandboxes) as observe:
        report = grade_exercise(context("3.1.2", {"commands.sh": b"docker ps\n"}), observe)
    assert (report.status, report.score) == ("not_graded", None)
    assert (observe.seen, sandboxes.heard[-1]) == ({}, "given back")


def test_where_there_is_no_sandbox_nobody_is_blamed() -> None:
    @contextmanager
    def none() -> Iterator[Sandbox]:
        raise EngineError("no engine can run in a container here")
        yield

    files = context("3.3.5", {"commands.sh": b""}).files
    with Executor(Engines(FakeEngine(), none), files, Limits(), "test", lambda _: None) as observe:
        report = grade_exercise(context("3.3.5", {"commands.sh": b""}), observe)
    assert report.status == "not_graded"
    assert "no engine can run" in report.message


IMAGES = [BaseImage(names=("python:3.9", "python:3.9.*"), python="3.9", release="bullseye")]


@pytest.mark.parametrize(
    ("script", "named"),
    [
        ("docker pull python:3.9.2\n", ["python:3.9.2"]),
        (
            "docker run --rm docker.io/library/python:3.9.2 python -V; docker pull 'python:3.9'",
            ["python:3.9.2", "python:3.9"],
        ),
        ("docker run $(docker build -q .)\ndocker run -v $PWD/x:/x -p 80:80 alpine:3 sh", []),
        ("# python:3.9.2 is what I use\nIMAGE=python:3.9.1\n", ["python:3.9.2", "python:3.9.1"]),
        ("".join(f"docker pull python:3.9.{number}\n" for number in range(9)), [f"python:3.9.{n}" for n in range(3)]),
        ("docker pull python:3.9.2\xff \x00:1", []),
    ],
    ids=["pulled", "in other forms", "nothing of the course", "in any place", "many", "no text"],
)
def test_what_a_script_may_pull_is_made_ready(script: str, named: list[str]) -> None:
    assert list(images_named(script.encode("latin-1"), IMAGES)) == named


# ── from memory ─────────────────────────────────────────────────────────────────────────

UP = ComposeRequest((MemoryFile("sales.txt", b"1\n"),))
STORED: dict[Request, Observation] = {
    BuildRequest(): BuildFailed("boom"),
    SCRIPT: DID,
    ComposeRequest(): COMPOSED,
    LEFT: RunOutcome(Exited(3)),
}


def test_what_was_stored_is_replayed() -> None:
    assert {request: replay(STORED)(request) for request in STORED} == STORED


@pytest.mark.parametrize(
    "request_",
    [
        ScriptRequest(prepared=True),
        ScriptRequest("other.sh"),
        UP,
        RunRequest(existing_image="sales-predictor:v1.0"),
        RunRequest(("1",), existing_image="sales-predictor:latest"),
        BuildRequest((MemoryFile("a", b""),)),
    ],
)
def test_what_was_not_stored_needs_a_new_run(request_: Request) -> None:
    with pytest.raises(EnvironmentProblem, match="grade it again"):
        replay(STORED)(request_)


def test_a_run_stands_for_an_exec_and_not_the_other_way_round() -> None:
    ran: dict[Request, Observation] = {RunRequest(("1",)): DID.outcome, further("2"): DID.outcome}
    assert replay(ran)(further("1")) == DID.outcome
    with pytest.raises(EnvironmentProblem, match="grade it again"):
        replay({BuildRequest(): image(), **ran})(RunRequest(("2",)))


def test_a_run_of_what_did_not_build_needs_none() -> None:
    with pytest.raises(NotChecked):
        replay(STORED)(RunRequest())
    with pytest.raises(EnvironmentProblem, match="grade it again"):
        replay({BuildRequest(): image()})(RunRequest())


# ── the student's own engine, looked at ─────────────────────────────────────────────────


class Pieces(list[bytes]):
    """A stream of which all has arrived."""

    def abort(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Table:
    """A connection to an engine that is a table of answers."""

    answers: dict[str, Any]

    def call(self, method: str, path: str, **_: object) -> Answer:
        return Answer(path, json.dumps(self.answers[path]).encode())

    def find(self, path: str) -> Any:  # noqa: ANN401 - JSON
        return self.call("GET", path).json

    def stream(self, method: str, path: str, **_: object) -> Pieces:
        return Pieces(self.answers[path])


def details(name: str, image: ImageSeen, asked: str) -> dict[str, Any]:
    return {
        "Id": name,
        "Name": f"/{name}",
        "Image": image.id,
        "State": {"Status": "exited", "ExitCode": 0},
        "Config": {"Image": asked, "Cmd": list(image.config.command or ())},
    }


def own_engine(*containers: tuple[str, ImageSeen, str], news: tuple[str, ...] = ()) -> ScriptSeen:
    """What is seen where there are our image, another, and containers (name, image, as it was asked for)."""
    images = [ours(COMMAND, LATEST, "mine:1"), PYTHON, ImageSeen("sha256:" + "0" * 64)]
    died = b"".join(
        b'{"Actor":{"ID":"gone","Attributes":{"image":"%b","exitCode":"0"}}}\n' % name.encode() for name in news
    )
    answers: dict[str, Any] = {
        "/info": {"SystemTime": "2026-11-28T12:00:00.000000001Z"},
        "/images/json": [{"Id": image.id, "RepoTags": list(image.tags) or None} for image in images],
        "/containers/json": [{"Id": name, "Image": asked, "ImageID": image.id} for name, image, asked in containers],
        "/events": [died[:30], died[30:]],
    }
    answers |= {f"/images/{one.id}/json": {"Config": {"Cmd": list(one.config.command or ())}} for one in images}
    answers |= {f"/containers/{name}/json": details(name, image, asked) for name, image, asked in containers}
    return own_engine_seen(cast("Connection", Table(answers)))


def test_only_what_is_named_sales_predictor_counts_in_an_own_engine() -> None:
    seen = own_engine(
        ("named", ours(), "sales-predictor"),
        ("by-id", ours(), OUR_ID[7:19]),
        ("other-name", ours(), "mine:1"),
        ("foreign", PYTHON, "python:3.9"),
        ("alike", PYTHON, "my-sales-predictor"),
        news=("sales-predictor", "python:3.9"),
    )
    assert seen.source == "own_engine"
    assert [image.id for image in seen.after.images] == [OUR_ID]
    assert [container.id for container in seen.after.containers] == ["named", "by-id", "other-name"]
    assert [one.image for one in seen.ended] == ["sales-predictor"]


@pytest.mark.parametrize("asked", ["sales-predictor", LATEST, OUR_ID, OUR_ID[7:19], "mine:1"])
def test_news_of_a_container_counts_in_an_own_engine_by_whatever_name_it_was_run(asked: str) -> None:
    assert [one.image for one in own_engine(news=(asked,)).ended] == [asked]
