"""What was seen comes back from the journal as it was, so that a batch can be judged again without an engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from grader.batch.journal import BatchInfo, Graded, Journal
from grader.checks.base import CheckContext
from grader.course.cases import probe_nonce
from grader.course.models import Limits
from grader.engine.protocol import Sandbox
from grader.grading.executor import Engines
from grader.grading.exercise import grade_exercise, replay
from grader.grading.session import Result, grade_one
from grader.models import (
    BuildFailed,
    BuildRequest,
    BuildStep,
    Built,
    CheckStatus,
    ComposeRequest,
    ComposeSeen,
    ContainerEnded,
    ContainerSeen,
    EngineInfo,
    EngineRequest,
    EngineState,
    ExerciseStatus,
    Exited,
    FailedCommand,
    FolderMount,
    ImageConfig,
    ImageSeen,
    LimitsRecord,
    MemoryFile,
    NotStarted,
    Observation,
    OutOfMemory,
    OutputLimit,
    Request,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
    ServiceSeen,
    TimedOut,
)
from grader.submissions.models import ExerciseFiles
from tests.fakes import FakeEngine
from tests.unit.checks import test_commands as commands
from tests.unit.checks import test_compose as compose
from tests.unit.grading.test_session import session
from tests.worlds import COURSE, context

INFO = BatchInfo(1, "digest", "Course", "2026-01-01T00:00:00+00:00", EngineInfo("fake", "1", "buildkit"))
BYTES = bytes(range(256))
TEXT = 'a "quoted" word, \\, \n, \0, é, 漢, 🐳, \u2028'
WEEKS = (MemoryFile("sales.txt", b"1\n2.5\n", 0o444),)


def through_the_journal(folder: Path, result: Result) -> Result:
    """What a journal gives back that was closed and opened in between."""
    with Journal.open(folder, create=True) as journal:
        journal.begin(INFO, ("ada",))
        journal.record(Graded("ada", result))
    with Journal.open(folder) as journal:
        (stored,) = journal.gradings()
    assert stored.student == "ada"
    return stored.result


# ── each observation ────────────────────────────────────────────────────────────────────

CONFIG = ImageConfig(("python",), (), "/app", (("PATH", "/bin"), ("X", "")), "1000")
IMAGE = ImageSeen("sha256:1", ("sales-predictor:latest", "b:2"), CONFIG)
CONTAINERS = (
    ContainerSeen("c1", "x", "sales-predictor", "sha256:1", "exited", 0, ("a", TEXT), None),
    ContainerSeen("c2", "", "sha256:1", "sha256:1", "running", None, (), ("echo",)),
)
REQUESTS = (
    EngineRequest("GET", "/containers/json", (("all", "1"), ("all", "0"), ("filters", '{"x":["y"]}')), 200),
    EngineRequest("POST", "/containers/create", (), 201, "c1", "sales-predictor", None, ("echo",)),
    EngineRequest("POST", "/containers/create", (), 201, "c2", "sales-predictor", (), ()),
)
DID = ScriptSeen(
    "script",
    RunOutcome(Exited(3), BYTES, BYTES[::-1], 1.25),
    REQUESTS,
    EngineState((IMAGE, ImageSeen("sha256:2")), CONTAINERS),
    EngineState(containers=CONTAINERS[:1]),
    (ContainerEnded("c1", "sales-predictor", 137),),
    (FailedCommand(7, 127, TEXT),),
)
BROUGHT_UP = ComposeSeen(
    RunOutcome(Exited(0), b'{"services": {}}', BYTES),
    RunOutcome(Exited(0)),
    RunOutcome(TimedOut(20.5), b"", b"pulling"),
    (ServiceSeen("a", "exited", 0, 0, BYTES, b""), ServiceSeen("b", "running", 0, 4, b"", BYTES)),
    RunOutcome(Exited(1)),
    ("network exercise_default", TEXT),
    0.1 + 0.2,
)
SEEN: list[tuple[Request, Observation]] = [
    (ScriptRequest(), DID),
    (ScriptRequest(prepared=True), replace(DID, outcome=RunOutcome(TimedOut(30)))),
    (ScriptRequest("other.sh"), ScriptSeen("nothing")),
    (ScriptRequest(), ScriptSeen("own_engine", after=EngineState((IMAGE,), CONTAINERS))),
    (ComposeRequest(), ComposeSeen(RunOutcome(Exited(15), b"", b"yaml: line 3"))),
    (ComposeRequest(WEEKS), BROUGHT_UP),
    (ComposeRequest(WEEKS), ComposeSeen(RunOutcome(Exited(0)), RunOutcome(OutOfMemory(2**29)))),
    (RunRequest(existing_image="sales-predictor:latest"), RunOutcome(NotStarted(TEXT))),
    (RunRequest(("1",), entrypoint=("find", "/"), existing_image="a:1"), RunOutcome(OutputLimit(1024), BYTES)),
    (RunRequest(entrypoint=()), RunOutcome(Exited(0), folders=(FolderMount("/app/logs", WEEKS),))),
    (BuildRequest(WEEKS), Built("sha256:1", CONFIG, (BuildStep("[1/2] RUN x", True, 0.5, TEXT, "", 2),), 3.5)),
    (BuildRequest(), BuildFailed(TEXT, "timed_out", None, (BuildStep("x"),), 300.0, "heredoc")),
]


@pytest.mark.parametrize(("request_", "seen"), SEEN)
def test_what_was_seen_comes_back_equal(tmp_path: Path, request_: Request, seen: Observation) -> None:
    report = grade_exercise(context("3.3.5", {"commands.sh": b"x"}), lambda _: ScriptSeen("nothing"))
    files = ExerciseFiles("3.3.5", "folder", (MemoryFile("commands.sh", BYTES, 0o755),), "digest")
    result = Result(report, "digest", {request_: seen}, files)
    assert through_the_journal(tmp_path, result) == result


def test_each_score_that_was_given_is_kept_and_how_long_everything_took(tmp_path: Path) -> None:
    report = grade_exercise(context("3.1.4", {"Dockerfile": b"FROM x\n"}), lambda _: BuildFailed("no"))
    build = Built("sha256:1", CONFIG, seconds=3.5, size=130_000_000)
    seen: dict[Request, Observation] = {BuildRequest(): build, ScriptRequest(): DID, ComposeRequest(): BROUGHT_UP}
    with Journal.open(tmp_path, create=True) as journal:
        journal.begin(INFO, ("ada",))
        journal.record(Graded("ada", Result(report, "first", {BuildRequest(): BuildFailed("no", seconds=1.5)})))
        journal.record(Graded("ada", Result(replace(report, score=7.5), "second", seen)))
    with Journal.open(tmp_path) as journal:
        history, timings = journal.history(), journal.timings()
    assert [(one.student, one.exercise, one.digest, one.score, one.max_score) for one in history] == [
        ("ada", "3.1.4", "first", 0.0, 10.0), ("ada", "3.1.4", "second", 7.5, 10.0),
    ]  # fmt: skip
    assert [(one.kind, one.seconds, one.size) for one in timings] == [
        ("built", 3.5, 130_000_000), ("script_seen", 1.25, 0), ("compose_seen", 0.1 + 0.2, 0),
    ]  # fmt: skip


def test_what_was_found_out_about_limits_comes_back_and_is_not_missed_in_older_journals(tmp_path: Path) -> None:
    asked = replace(INFO, engine=replace(INFO.engine, limits=LimitsRecord(("run memory",), ("run disk",))))
    with Journal.open(tmp_path, create=True) as journal:
        journal.begin(asked, ("ada",))
    with Journal.open(tmp_path) as journal:
        assert journal.info() == asked
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.execute("UPDATE batch SET engine = json_remove(engine, '$.limits')")
    database.close()
    with Journal.open(tmp_path) as journal:
        assert journal.info() == INFO


def test_requests_that_differ_in_one_thing_stay_apart(tmp_path: Path) -> None:
    seen = {request: observation for request, observation in SEEN if not isinstance(observation, RunOutcome)}
    report = grade_exercise(context("3.3.5", {"commands.sh": b"x"}), lambda _: ScriptSeen("nothing"))
    stored = through_the_journal(tmp_path, Result(report, "digest", seen))
    assert list(stored.observations.items()) == list(seen.items())
    assert len(seen) == 7


# ── whole exercises, judged again ───────────────────────────────────────────────────────


class Played:
    """A sandbox in which the commands have done what `script` says; what they left runs as `commands.computer`."""

    def __init__(self, script: ScriptSeen) -> None:
        self._script = script

    @contextmanager
    def __call__(self) -> Iterator[Sandbox]:
        yield self

    def script(self, files: ExerciseFiles, request: ScriptRequest, limits: Limits) -> ScriptSeen:
        return self._script

    def compose(self, files: ExerciseFiles, request: ComposeRequest, limits: Limits) -> ComposeSeen:
        config = compose.configured({"predictor": compose.service()})
        if not request.replaced:
            return ComposeSeen(config)
        weeks = [float(week) for week in request.replaced[0].content.split()]
        return replace(BROUGHT_UP, config=config, services=compose.right(sum(weeks) / len(weeks)))

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        return commands.computer(commands.COMMAND)(request)


def judged(exercise: str, script: ScriptSeen, judge: Callable[[Result], Result]) -> tuple[Result, Result]:
    """The result of grading, and what is concluded from what `judge` gives back of it."""
    dockerfile = b'FROM python:3.9\nCMD ["python", "sales_predictor.py"]\n'
    given = {**commands.FILES, "Dockerfile": dockerfile, compose.NAME: b"services:\n"}
    memory = tuple(MemoryFile(name, content) for name, content in sorted(given.items()))
    engine = FakeEngine(on_build=lambda _: Built("sha256:3", commands.COMMAND))
    requests = tuple(commands.built_from(given) if one.path == "/build" else one for one in script.requests)
    opened = replace(session(engine), engines=Engines(engine, Played(replace(script, requests=requests))))
    asked = COURSE.exercise(exercise)
    first = grade_one(opened, "ada", asked, ExerciseFiles(exercise, "folder", memory, "digest"))
    stored = judge(first)
    assert stored.files is not None
    again = CheckContext(COURSE, asked, stored.files, opened.cases[exercise], probe_nonce(exercise, 1))
    return first, replace(stored, report=grade_exercise(again, replay(stored.observations)))


@pytest.mark.parametrize(
    ("exercise", "script", "failing"),
    [
        ("3.1.2", commands.script(commands.gone()), set()),
        ("3.1.2", commands.script(commands.gone(code=1)), {"container"}),
        ("3.1.2", ScriptSeen("nothing"), {"runs"}),
        ("3.3.1", commands.tagged([commands.ours(commands.COMMAND, commands.V1)]), set()),
        ("3.3.1", commands.tagged([commands.ours()]), {"tag"}),
        ("3.3.3", ScriptSeen("nothing"), {"down"}),
        ("3.3.5", commands.cleaned(), set()),
        ("3.3.5", commands.cleaned(commands.FOUR[2:], ()), {"removed"}),
    ],
)
def test_commands_and_compose_are_judged_again_without_an_engine(
    tmp_path: Path, exercise: str, script: ScriptSeen, failing: set[str]
) -> None:
    first, again = judged(exercise, script, lambda result: through_the_journal(tmp_path, result))
    assert first.report.status is not ExerciseStatus.NOT_GRADED
    assert {one.id for one in first.report.checks if one.status is CheckStatus.FAILED} >= failing
    assert (first.report.score == 10) == (not failing)
    assert replace(again.report, seconds=0) == replace(first.report, seconds=0)
