"""Grading one exercise of one submission: drive its checks, with whoever observes for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from grader.checks.base import CheckContext, NotAllowed, NotChecked, examine
from grader.course.models import Exercise
from grader.course.registry import Check
from grader.errors import EnvironmentProblem
from grader.grading.scoring import blocked, score_exercise, total
from grader.models import (
    CheckStatus,
    ExerciseReport,
    ExerciseStatus,
    Finding,
    Observation,
    Refusal,
    Request,
)
from grader.submissions.models import RefusedFolder

Observe = Callable[[Request], Observation]
"""Carries out a request, or replays what was seen of it. Raises `NotChecked` for a run of an image
that could not be built, and `EnvironmentProblem` for faults that are not the student's."""


def grade_exercise(context: CheckContext, observe: Observe, *, thorough: bool = True) -> ExerciseReport:
    """Carry out every check whose prerequisites passed, in order, and give points.

    Unless `thorough`, everything after the first check that does not pass is left out, as if it were
    blocked: enough to know whether the right check fails, in half the time. An `EnvironmentProblem`
    while observing ends as `not_graded`: no score, no blame. What the gate for Compose files refuses ends as
    `rejected`, as what is refused before does.
    """
    began = time.monotonic()
    try:
        findings, stopped = _examine_all(context, observe, thorough=thorough)
    except EnvironmentProblem as problem:
        return not_graded(context.exercise, str(problem), time.monotonic() - began)
    except NotAllowed as gate:
        refusals = tuple(Refusal(message) for message in gate.refused)
        return rejected(context.exercise, RefusedFolder(context.exercise.id, context.files.folder, refusals))
    verdicts = score_exercise(context.course, context.exercise, findings, stopped)
    status, score = total(verdicts, context.exercise)
    return ExerciseReport(
        id=context.exercise.id,
        title=context.exercise.title,
        status=status,
        score=score,
        max_score=context.exercise.points,
        checks=verdicts,
        seconds=round(time.monotonic() - began, 2),
        bonus=context.exercise.bonus,
    )


def not_graded(exercise: Exercise, why: str, seconds: float = 0.0) -> ExerciseReport:
    """The report of an exercise that could not be graded, through no fault of the student's."""
    return _without_checks(exercise, ExerciseStatus.NOT_GRADED, None, why, seconds)


def not_submitted(exercise: Exercise) -> ExerciseReport:
    """The report of an exercise whose folder is not there."""
    message = f"There is no folder named {exercise.id} in the submission."
    return _without_checks(exercise, ExerciseStatus.NOT_SUBMITTED, 0.0, message)


def rejected(exercise: Exercise, folder: RefusedFolder) -> ExerciseReport:
    """The report of an exercise that the safety gate refused, saying why."""
    told = "\n".join(refusal.message for refusal in folder.refusals)
    return _without_checks(exercise, ExerciseStatus.REJECTED, 0.0, told)


def _without_checks(
    exercise: Exercise, status: ExerciseStatus, score: float | None, message: str, seconds: float = 0.0
) -> ExerciseReport:
    return ExerciseReport(
        exercise.id, exercise.title, status, score, exercise.points, (), message, round(seconds, 2), exercise.bonus
    )


def _examine_all(
    context: CheckContext, observe: Observe, *, thorough: bool
) -> tuple[dict[str, Finding], dict[str, CheckStatus]]:
    findings: dict[str, Finding] = {}
    stopped: dict[str, CheckStatus] = {}
    for check in context.exercise.checks:
        needed = _unmet(context.exercise.checks, check, findings, thorough=thorough)
        if not needed:
            findings[check.id] = _carry_out(check, context, observe, stopped)
        else:
            findings[check.id] = blocked(needed)
            stopped[check.id] = CheckStatus.BLOCKED
    return findings, stopped


def _unmet(checks: Sequence[Check], check: Check, findings: dict[str, Finding], *, thorough: bool) -> list[Check]:
    failed = [other for other in checks if other.id in findings and not findings[other.id].passed]
    return [other for other in failed if other.id in check.needs or not thorough]


def _carry_out(check: Check, context: CheckContext, observe: Observe, stopped: dict[str, CheckStatus]) -> Finding:
    try:
        return _converse(check, context, observe)
    except NotChecked as nothing:
        stopped[check.id] = CheckStatus.BLOCKED
        return Finding(passed=False, message=str(nothing) or "Not checked: the image could not be built.")


def _converse(check: Check, context: CheckContext, observe: Observe) -> Finding:
    """Answer each request of a check until it returns its finding."""
    steps = examine(check, context)
    try:
        request = next(steps)
        while True:
            request = steps.send(observe(request))
    except StopIteration as end:
        finding = end.value
        if not isinstance(finding, Finding):
            raise TypeError(finding) from None
        return finding
    finally:
        steps.close()
