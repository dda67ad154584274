"""Grading submissions: a session holds what all of them share, and each goes through the same steps.

files → policy → base images → checks → report. What comes out is the same in `check`, `batch`,
`ci` and `selftest`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from grader.checks.base import CheckContext
from grader.course.cases import probe_nonce
from grader.course.models import Course, Exercise
from grader.dockerfile.policy import judge_dockerfile
from grader.errors import EngineError, EnvironmentProblem
from grader.failpoints import failpoint
from grader.grading.executor import Engines, Executor
from grader.grading.exercise import grade_exercise, not_built, not_graded, not_submitted, rejected
from grader.grading.scoring import with_totals
from grader.models import (
    Case,
    Doing,
    Emit,
    EngineInfo,
    ExerciseEnded,
    ExerciseReport,
    ExerciseStarted,
    ExerciseStatus,
    LimitsRecord,
    Observation,
    Report,
    Request,
)
from grader.submissions.models import ExerciseFiles, RefusedFolder, Submission

Handed = ExerciseFiles | RefusedFolder | None
"""What a student handed in for one exercise; None stands for nothing."""
_MOST_KEPT = 200
"""Results that a session keeps; most folders that are alike are the starter's, and come early."""


@dataclass(frozen=True, slots=True)
class Session:
    """What all gradings of one command share.

    `cases` are the expected answers by exercise id, made before any student's code runs.
    `ensure_image` makes a base image present and says where it came from (`ImageUnavailable` if it
    cannot). `thorough` is that of `grade_exercise`. `stop` ends, from any thread, everything under way; what is
    asked for after it raises `Cancelled`. `recover` is called before what the engine failed at is tried again; it may
    wait for the engine to come back. `limits` is what was found out before about the limits that hold here. `graded`
    has, by exercise and digest, results that count for whoever handed in the same bytes.
    """

    course: Course
    seed: int
    cases: Mapping[str, tuple[Case, ...]]
    engines: Engines
    ensure_image: Callable[[str], str]
    emit: Emit
    origins: dict[str, str] = field(default_factory=dict)
    thorough: bool = True
    stop: Callable[[], None] = lambda: None
    recover: Callable[[], None] = lambda: None
    limits: LimitsRecord | None = None
    graded: dict[tuple[str, str], Result] = field(default_factory=dict)

    def engine_info(self) -> EngineInfo:
        """The engine, its limits, and where the base images used so far came from."""
        return replace(self.engines.engine.info(), images=tuple(sorted(self.origins.items())), limits=self.limits)


@dataclass(frozen=True, slots=True)
class Result:
    """One exercise graded: the report, a digest of what was graded, and, to judge again, files and observations."""

    report: ExerciseReport
    digest: str
    observations: Mapping[Request, Observation] = field(default_factory=dict)
    files: ExerciseFiles | None = None


def grade_submission(session: Session, submission: Submission, exercises: Sequence[Exercise]) -> Report:
    """Grade these exercises of one submission, one after the other."""
    handed = {item.exercise: item for item in submission.exercises}
    results = [grade_one(session, submission.student, exercise, handed.get(exercise.id)) for exercise in exercises]
    return report_of(session, submission.student, [result.report for result in results])


def report_of(session: Session, student: str, reports: Sequence[ExerciseReport]) -> Report:
    """A student's report with its totals."""
    return with_totals(Report(student, session.seed, session.engine_info(), tuple(reports)))


def grade_one(session: Session, student: str, exercise: Exercise, handed: Handed) -> Result:
    """Grade what one student handed in for one exercise, and emit what happens."""
    session.emit(ExerciseStarted(student, exercise.id))
    result = _grade(session, student, exercise, handed)
    session.emit(ExerciseEnded(student, result.report))
    return result


def digest_of(handed: Handed) -> str:
    """What identifies the bytes that were graded, also where they were refused or absent."""
    if isinstance(handed, RefusedFolder):
        return hashlib.sha256("\n".join(refusal.message for refusal in handed.refusals).encode()).hexdigest()
    return handed.digest if handed else ""


def _grade(session: Session, student: str, exercise: Exercise, handed: Handed) -> Result:
    digest = digest_of(handed)
    if handed is None:
        return Result(not_submitted(exercise), digest)
    if isinstance(handed, RefusedFolder):
        return Result(rejected(exercise, handed.refusals), digest)
    gated = judge_dockerfile(handed.dockerfile, session.course.image_patterns)
    if gated.refusals and not gated.wrong_base:
        return Result(rejected(exercise, gated.refusals), digest)
    failpoint("policy-passed")
    same = (exercise.id, digest)
    if known := session.graded.get(same):
        return replace(known, files=handed)

    def doing(what: str) -> None:
        session.emit(Doing(student, exercise.id, what))

    nonce = probe_nonce(exercise.id, session.seed)
    context = CheckContext(session.course, exercise, handed, session.cases[exercise.id], nonce)
    try:
        result = _attempt(session, context, gated.bases, doing)
        if result.report.status is ExerciseStatus.NOT_GRADED:
            doing("the engine failed; trying once more")
            session.recover()
            result = _attempt(session, context, gated.bases, doing)
    except EnvironmentProblem as problem:
        return Result(not_graded(exercise, str(problem)), digest)
    if result.report.status is not ExerciseStatus.NOT_GRADED and len(session.graded) < _MOST_KEPT:
        session.graded[same] = result
    return result


def _attempt(session: Session, context: CheckContext, bases: Sequence[str], doing: Callable[[str], None]) -> Result:
    """Base images come first, each time: an engine that was renewed has only those that have a plain name."""
    try:
        for reference in bases:
            session.origins[reference] = session.ensure_image(reference)
    except EngineError as problem:
        return Result(not_graded(context.exercise, str(problem)), context.files.digest)
    failpoint("bases-present")
    name = f"ex-{context.exercise.id}"
    with Executor(session.engines, context.files, session.course.limits, name, doing, bases=bases) as executor:
        observe = executor if context.wrong_base is None else not_built(executor, context)
        report = grade_exercise(context, observe, thorough=session.thorough)
        failpoint("checks-done")
    failpoint("images-removed")
    return Result(report, context.files.digest, executor.seen, context.files)
