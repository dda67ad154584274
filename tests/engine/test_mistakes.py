"""Dockerfiles as hurried students write them: what is said of each, when a real engine has built it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from grader.checks.build import Builds
from grader.course.registry import REASONS
from grader.engine.docker_engine import DockerEngine
from grader.grading.executor import Engines, Executor
from grader.grading.exercise import grade_exercise
from grader.models import CheckVerdict
from tests.unit.grading.test_executor import FakeSandboxes
from tests.worlds import COURSE, context

pytestmark = pytest.mark.engine

CORPUS = Path(__file__).parents[1] / "mistakes.yaml"
SCRIPT = "import sys\nif len(sys.argv) != 4:\n    sys.exit('Usage: sales_predictor.py A B C')\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mistake of the corpus; see there."""

    name: str
    code: str = ""
    says: tuple[str, ...] = ()
    dockerfile: str | None = None
    exercise: str = "3.1.1"
    files: Any = None


ROWS = [Row(**row) for row in yaml.safe_load(CORPUS.read_text(encoding="utf-8"))]


def told(engine: DockerEngine, row: Row) -> CheckVerdict:
    """What the check that the Dockerfile builds says of a row."""
    files = {"sales_predictor.py": SCRIPT, **({"Dockerfile": row.dockerfile} if row.dockerfile else {})}
    files |= row.files or {}
    given = context(row.exercise, {path: text.encode() for path, text in files.items()})
    builds = next(check.id for check in given.exercise.checks if isinstance(check, Builds))
    engines = Engines(engine, FakeSandboxes())
    with Executor(engines, given.files, COURSE.limits, "ex", lambda _: None, bases=("python:3.9-slim",)) as observe:
        report = grade_exercise(given, observe, thorough=False)
    return next(verdict for verdict in report.checks if verdict.id == builds)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_mistake_is_explained(engine: DockerEngine, row: Row) -> None:
    verdict = told(engine, row)
    shown = f"{verdict.message}\n{verdict.actual}"
    assert [part for part in row.says if part not in shown] == [], shown
    assert REASONS[verdict.reason].code == (row.code or REASONS[verdict.reason].code)
