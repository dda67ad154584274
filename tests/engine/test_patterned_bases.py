"""Base images that the course names by a pattern only: every engine that needs one gets it when it is needed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.checks import REASONS
from grader.cli.wiring import GradingSettings, open_session
from grader.course.loader import open_course
from grader.course.models import Limits
from grader.engine.build.context import with_replaced
from grader.engine.docker_engine import DockerEngine, connect
from grader.engine.images import untag_image
from grader.grading.session import Session, grade_one
from grader.models import Doing, Event, ExerciseStatus, MemoryFile
from grader.submissions.models import ExerciseFiles
from grader.submissions.reader import read_exercise

pytestmark = [pytest.mark.engine, pytest.mark.private]

ROOT = Path(__file__).parents[2]
PATTERNED = "python:3.9.20"
"""Covered by `python:3.9.*`, and nobody else uses it here."""


@pytest.fixture(autouse=True)
def _only_here(host: DockerEngine) -> Iterator[None]:
    yield
    untag_image(host.connection, PATTERNED)


def solution(exercise: str, name: str) -> ExerciseFiles:
    """A right solution, built on that image."""
    files = read_exercise(ROOT / "reference" / "solutions" / exercise / name, exercise, Limits())
    assert isinstance(files, ExerciseFiles)
    (dockerfile,) = (file.content for file in files.files if file.path == "Dockerfile")
    based = re.sub(rb"^FROM .*", f"FROM {PATTERNED}".encode(), dockerfile)
    return with_replaced(files, (MemoryFile("Dockerfile", based),))


class Killer:
    """Kills the engine that builds while it builds, once."""

    def __init__(self) -> None:
        self.session: Session | None = None
        self.killed: list[str] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Doing) and event.what.startswith("building:") and self.session and not self.killed:
            run = Path(self.session.engines.engine.info().name).parent.name
            self.killed.append(run)
            with connect(builder="buildkit") as host:
                host.connection.call("POST", f"/containers/grader-private-{run}/kill")


def graded(exercise: str, name: str, killer: Killer, *, kill: bool) -> ExerciseStatus:
    course = open_course(ROOT, os.environ, ROOT, REASONS)
    wanted = course.course.exercise(exercise)
    settings = GradingSettings(folder=course, exercises=[wanted], seed=1, tier="private")
    with open_session(settings, killer, print) as session:
        killer.session = session if kill else None
        return grade_one(session, "ada", wanted, solution(exercise, name)).report.status


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # connections that the kill broke
def test_a_renewed_engine_has_it_again() -> None:
    killer = Killer()
    assert graded("3.1.1", "as-in-the-chapter", killer, kill=True) is ExerciseStatus.PASSED
    assert len(killer.killed) == 1


@pytest.mark.parametrize(("exercise", "name"), [("3.1.2", "two-commands"), ("3.3.3", "short-notation")])
def test_the_engine_in_which_commands_and_compose_build_has_it(exercise: str, name: str) -> None:
    assert graded(exercise, name, Killer(), kill=False) is ExerciseStatus.PASSED
