"""What becomes of a submission on its way through gate, base images, engine and checks."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from grader.course.cases import draw_cases
from grader.engine.protocol import BuildJob, Sandbox
from grader.errors import EngineError, ImageUnavailable
from grader.grading.executor import Engines
from grader.grading.session import Handed, Session, grade_one, grade_submission
from grader.models import Built, Event, ExerciseEnded, MemoryFile, Refusal, silent
from grader.submissions.models import ExerciseFiles, RefusedFolder
from grader.submissions.reader import Selection, read_submission
from tests.fakes import FakeEngine
from tests.worlds import COURSE, case_of, image

EXERCISE = COURSE.exercise("3.1.4")
GOOD = 'FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'


def files(dockerfile: str | None = GOOD) -> ExerciseFiles:
    script = MemoryFile("sales_predictor.py", b"print()\n")
    found = (script,) if dockerfile is None else (MemoryFile("Dockerfile", dockerfile.encode()), script)
    return ExerciseFiles("3.1.4", "folder", found, "digest")


def nowhere() -> AbstractContextManager[Sandbox]:
    """No exercise of these tests needs a sandbox."""
    raise AssertionError


def session(engine: FakeEngine, ensure: Callable[[str], str] = lambda _reference: "local") -> Session:
    cases = {exercise.id: tuple(map(case_of, draw_cases(exercise, 1))) for exercise in COURSE.exercises}
    return Session(COURSE, 1, cases, Engines(engine, nowhere), ensure, silent)


@pytest.mark.parametrize(
    ("handed", "status"),
    [
        (None, "not_submitted"),
        (RefusedFolder("3.1.4", "folder", (Refusal("a link"),)), "rejected"),
        (files("FROM registry.invalid/python:3.9\n"), "rejected"),
        (files("FROM ubuntu:22.04\n"), "failed"),
        (files(None), "failed"),
    ],
)
def test_what_is_refused_or_absent_never_meets_the_engine(handed: Handed, status: str) -> None:
    engine = FakeEngine()
    assert grade_one(session(engine), "ada", EXERCISE, handed).report.status == status
    assert (engine.builds, engine.runs) == ([], [])


def test_a_right_submission_passes_is_asked_each_thing_once_and_its_image_is_removed() -> None:
    engine = FakeEngine()
    heard: list[Event] = []
    opened = replace(session(engine, lambda _reference: "built"), emit=heard.append)
    assert grade_one(opened, "ada", EXERCISE, files()).report.status == "passed"
    assert (len(engine.builds), len(set(engine.runs))) == (1, len(engine.runs))
    assert engine.removed == [image().image]
    assert opened.engine_info().images == (("python:3.9-slim", "built"),)
    assert isinstance(heard[-1], ExerciseEnded)


def test_what_was_vetted_is_what_is_built_whatever_becomes_of_the_folder(tmp_path: Path) -> None:
    """Someone exchanges the files when the gate has seen them, and again while they are built."""
    exercise = tmp_path / "ada" / "3.1.4"
    exercise.mkdir(parents=True)
    (exercise / "Dockerfile").write_text(GOOD, encoding="utf-8")
    (exercise / "sales_predictor.py").write_text("print('vetted')\n", encoding="utf-8")
    submission = read_submission(tmp_path / "ada", Selection(["3.1.4"], ["3.1.4"], COURSE.limits))

    def exchange(*_: object) -> str:
        for name, text in (("Dockerfile", "FROM registry.invalid/evil\n"), ("sales_predictor.py", "print('evil')\n")):
            (exercise / name).unlink()
            (exercise / name).write_text(text, encoding="utf-8")
        return "local"

    def build(_job: BuildJob) -> Built:
        exchange()
        return image()

    engine = FakeEngine(on_build=build)
    report = grade_submission(session(engine, exchange), submission, [EXERCISE]).exercises[0]
    assert report.status == "passed"
    built = engine.builds[0]
    with tarfile.open(fileobj=io.BytesIO(built.context)) as context:
        sent = {one.name: found.read() for one in context if (found := context.extractfile(one))}
    assert built.dockerfile.built == sent["Dockerfile"] == GOOD.encode()
    assert sent["sales_predictor.py"] == b"print('vetted')\n"


def test_a_base_image_that_cannot_be_had_is_never_the_students_fault() -> None:
    def ensure(reference: str) -> str:
        raise ImageUnavailable(f"{reference}: no registry, and debootstrap is missing")

    result = grade_one(session(FakeEngine(), ensure), "ada", EXERCISE, files())
    assert result.report.status == "not_graded"
    assert result.report.score is None
    assert "debootstrap" in result.report.message


@pytest.mark.parametrize(("failures", "expected"), [(1, "passed"), (2, "not_graded")])
def test_a_fault_of_the_engine_is_tried_once_more_and_costs_no_points(failures: int, expected: str) -> None:
    left = failures

    def build(_job: BuildJob) -> Built:
        nonlocal left
        left -= 1
        if left >= 0:
            raise EngineError("the engine went away")
        return image()

    engine = FakeEngine(on_build=build)
    opened = session(engine)
    assert grade_one(opened, "ada", EXERCISE, files()).report.status == expected
    assert len(engine.builds) == min(failures + 1, 2)
    assert grade_one(opened, "bob", EXERCISE, files()).report.status == "passed", "it counts for nobody else"


def test_the_same_bytes_are_graded_once_and_count_for_each_who_handed_them_in() -> None:
    engine = FakeEngine()
    opened = session(engine)
    first, second = (grade_one(opened, name, EXERCISE, replace(files(), folder=name)) for name in ("ada", "bob"))
    assert (first.report, first.observations) == (second.report, second.observations)
    assert [one.files.folder for one in (first, second) if one.files] == ["ada", "bob"]
    grade_one(opened, "cyd", EXERCISE, replace(files(), digest="other"))
    assert len(engine.builds) == 2
