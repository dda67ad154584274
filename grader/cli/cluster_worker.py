"""What a worker of a cluster does: it keeps an engine open for a batch, and grades one student after the other on it.

Called by Dask in the worker's process, in several threads. Needs no Dask itself.
"""

from __future__ import annotations

import atexit
import platform
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

from grader import __version__
from grader.cli.common import terminal
from grader.cli.proving import prove_for_batch
from grader.cli.wiring import Terms, open_session
from grader.course.folder import CourseFolder
from grader.course.models import Exercise
from grader.errors import EnvironmentProblem, GraderError
from grader.events import silent
from grader.grading.session import Handed, Result, Session, grade_one
from grader.models import Case, EngineInfo, LimitsRecord


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """What all students of a batch share. `cases` were made where it was started; `batch` tells it from others.

    `waived` names limits that need not hold on a worker.
    """

    batch: str
    folder: CourseFolder
    exercises: tuple[Exercise, ...]
    seed: int
    cases: Mapping[str, tuple[Case, ...]]
    terms: Terms
    waived: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Task:
    """One student: what was handed in for each exercise that is to be graded, by its id."""

    student: str
    handed: tuple[tuple[str, Handed], ...]


@dataclass(slots=True)
class _Open:
    """The sessions of this process, by batch."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    sessions: dict[str, tuple[Session, ExitStack]] = field(default_factory=dict)
    limits: dict[str, LimitsRecord] = field(default_factory=dict)


_OPEN = _Open()


def version() -> str:
    """What must be the same on all machines: results travel as this version's own values."""
    return f"{__version__} on Python {'.'.join(platform.python_version_tuple()[:2])}"


def prepare(terms: BatchTerms) -> str:
    """See that the limits a batch needs hold here, and open the engine; "" if that worked, else why not."""
    try:
        _OPEN.limits[terms.batch] = prove_for_batch(terms.folder, terms.terms, terms.waived, terminal())
        _session(terms)
    except GraderError as problem:
        return str(problem)
    return ""


def engine_of(batch: str) -> EngineInfo:
    """The engine that this worker grades the batch on."""
    return replace(_OPEN.sessions[batch][0].engine_info(), limits=_OPEN.limits.get(batch))


def grade_task(terms: BatchTerms, task: Task) -> tuple[Result, ...]:
    """Grade one student. `EnvironmentProblem` if there is no engine."""
    session = _session(terms)
    known = {exercise.id: exercise for exercise in terms.exercises}
    return tuple(grade_one(session, task.student, known[name], handed) for name, handed in task.handed)


def finish(batch: str) -> None:
    """End what still runs of a batch, and remove its engine. Harmless where there is none."""
    with _OPEN.lock:
        opened = _OPEN.sessions.pop(batch, None)
    if opened:
        session, stack = opened
        session.stop()
        stack.close()


def _session(terms: BatchTerms) -> Session:
    with _OPEN.lock:
        if terms.batch not in _OPEN.sessions:
            _OPEN.sessions[terms.batch] = _opened(terms)
        return _OPEN.sessions[terms.batch][0]


def _opened(terms: BatchTerms) -> tuple[Session, ExitStack]:
    with ExitStack() as stack:
        session = stack.enter_context(
            open_session(
                terms.folder, terms.exercises, terms.seed, silent, _unsaid, terms=terms.terms, cases=terms.cases
            )
        )
        return session, stack.pop_all()


def _unsaid(message: str) -> None:
    """Nobody reads what a worker says."""


@atexit.register
def _finish_all() -> None:
    for batch in list(_OPEN.sessions):
        with suppress(EnvironmentProblem):
            finish(batch)
