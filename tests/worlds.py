"""Fake worlds for the checks: a function from what is asked to what is seen. No mocks, no engine."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from grader.checks import REASONS
from grader.checks.base import CheckContext
from grader.course.cases import draw_cases
from grader.course.loader import read_course
from grader.course.models import Course
from grader.grading.exercise import Observe, grade_exercise, replay
from grader.models import (
    BuildFailed,
    BuildRequest,
    Built,
    Case,
    CheckVerdict,
    ComposeRequest,
    ComposeSeen,
    ExerciseReport,
    Exited,
    ImageConfig,
    MemoryFile,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.submissions.models import ExerciseFiles

ROOT = Path(__file__).parents[1]
COURSE: Course = read_course(ROOT / "exercises.yaml", REASONS)
NONCE = "0" * 32
LINE = "Predicted sales for next week: "

Program = Callable[[RunRequest], RunOutcome]


def case_of(case: Case) -> Case:
    """The case with the answers that the reference gives for averages and last weeks."""
    weeks = [float(week) for week in case.weeks]
    return Case(case.group, case.name, case.weeks, (("average", sum(weeks) / len(weeks)), ("last", weeks[-1])))


def context(exercise: str, files: dict[str, bytes] | None = None, seed: int = 1) -> CheckContext:
    """What a check of that exercise is given, for a submission with these files."""
    found = {"Dockerfile": b"FROM python:3.9\n", "sales_predictor.py": b"print()\n"} if files is None else files
    memory = tuple(MemoryFile(path, content) for path, content in sorted(found.items()))
    asked = COURSE.exercise(exercise)
    cases = tuple(case_of(case) for case in draw_cases(asked, seed))
    return CheckContext(COURSE, asked, ExerciseFiles(exercise, "folder", memory, "digest"), cases, NONCE)


def graded(exercise: str, built: Built | BuildFailed, program: Program, **files: bytes) -> ExerciseReport:
    """The report on an exercise whose build gives `built` and whose runs give what `program` does."""
    return grade_exercise(context(exercise, files or None), world(built, program))


def check(report: ExerciseReport, name: str) -> CheckVerdict:
    """The verdict of one check."""
    return next(verdict for verdict in report.checks if verdict.id == name)


def statuses(report: ExerciseReport) -> dict[str, str]:
    """What became of each check."""
    return {verdict.id: verdict.status.value for verdict in report.checks}


def image(
    entrypoint: Sequence[str] | None = ("python", "/app/sales_predictor.py"),
    command: Sequence[str] | None = None,
    working_dir: str = "",
) -> Built:
    """A built image with this configuration."""
    config = ImageConfig(tuple(entrypoint) if entrypoint else None, tuple(command) if command else None, working_dir)
    return Built("sha256:1", config)


def world(built: Built | BuildFailed, program: Program) -> Observe:
    """Builds give `built`; runs give what `program` does."""

    def observe(request: Request) -> Observation:
        if isinstance(request, BuildRequest):
            return built
        if isinstance(built, BuildFailed):
            return replay({BuildRequest(): built})(request)
        if not isinstance(request, RunRequest):
            raise TypeError(request)
        return program(request)

    return observe


def commanded(seen: ScriptSeen, program: Program, built: Built | BuildFailed | None = None) -> Observe:
    """The script did what `seen` says; builds give `built`, runs give what `program` does."""
    other = world(built or image(), program)
    return lambda request: seen if isinstance(request, ScriptRequest) else other(request)


def composed(compose: Callable[[ComposeRequest], ComposeSeen]) -> Observe:
    """Compose does what the function says, and nothing else is asked for."""

    def observe(request: Request) -> Observation:
        if not isinstance(request, ComposeRequest):
            raise TypeError(request)
        return compose(request)

    return observe


def printed(stdout: str = "", code: int = 0, stderr: str = "") -> RunOutcome:
    """A run that ended by itself."""
    return RunOutcome(Exited(code), stdout.encode(), stderr.encode())


def nonce_in(request: RunRequest) -> str:
    """The nonce that the probe carries: what really runs it could only print its words because it reads the file."""
    (nonce,) = re.findall(rb'"([0-9a-f]{32})"', request.replaced[0].content)
    return str(nonce, "ascii")


def probe_words(
    *,
    version: str = "3.9.2",
    file: str = "/app/sales_predictor.py",
    command: Sequence[str] = (),
    numpy: str = "1.26",
    nonce: str = NONCE,
    sites: Sequence[str] = (),
) -> str:
    """What the probe prints when it is run; `numpy` empty stands for an import that fails."""
    seen = {
        "version": version,
        "executable": "/usr/local/bin/python",
        "cwd": "/",
        "file": file,
        "argv": [file],
        "command": list(command) or ["python", file],
        "distributions": [],
        "sites": list(sites),
        "modules": {"numpy": [bool(numpy), numpy or "ModuleNotFoundError: No module named 'numpy'"]},
    }
    text = json.dumps(seen, sort_keys=True)
    return f"grader-probe {hashlib.sha256((nonce + text).encode()).hexdigest()} {text}\n"


def always(outcome: RunOutcome) -> Program:
    """A program of which every run gives this; where it is probed, the probe's words come out."""
    return lambda request: printed(probe_words(nonce=nonce_in(request))) if request.replaced else outcome


def predictor(request: RunRequest) -> RunOutcome:
    """A right program for 3.1.4: the probe's words where it is probed, usage, or the average."""
    if request.replaced:
        return printed(probe_words(nonce=nonce_in(request)))
    if len(request.args) != 3:
        return printed("Usage: sales_predictor.py WEEK1 WEEK2 WEEK3\n", code=1)
    weeks = [float(week) for week in request.args]
    return printed(f"Predicted sales for next week: {sum(weeks) / len(weeks)}\n")
