"""Grading one exercise of one submission: drive its checks, with whoever observes for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from grader.checks.base import CheckContext, NotAllowed, NotChecked, examine
from grader.checks.build import base_problem
from grader.course.models import Exercise
from grader.course.registry import Check
from grader.errors import EnvironmentProblem
from grader.grading.scoring import NOT_BUILT, Outcome, blocked, score_exercise
from grader.models import (
    BuildFailed,
    BuildRequest,
    Built,
    CheckStatus,
    ExerciseReport,
    ExerciseStatus,
    Finding,
    Observation,
    Refusal,
    Request,
    RunRequest,
)

Observe = Callable[[Request], Observation]
"""Carries out a request, or replays what was seen of it. Raises `NotChecked` for a run of an image
that could not be built, and `EnvironmentProblem` for faults that are not the student's."""


def grade_exercise(context: CheckContext, observe: Observe, *, thorough: bool = True) -> ExerciseReport:
    """Carry out every check whose prerequisites passed, in order, and give points.

    Unless `thorough`, everything after the first check that does not pass is left out, as if it were
    blocked: enough to know whether the right check fails, in half the time. An `EnvironmentProblem`
    while observing ends as `not_graded`: no score, no blame. What the policy for Compose files refuses ends as
    `rejected`, as what is refused before does.
    """
    began = time.monotonic()
    try:
        outcomes = list(_outcomes(context, observe, thorough=thorough))
    except EnvironmentProblem as problem:
        return not_graded(context.exercise, str(problem), time.monotonic() - began)
    except NotAllowed as found:
        return rejected(context.exercise, map(Refusal, found.refused))
    return score_exercise(context.course, context.exercise, outcomes, time.monotonic() - began)


def not_graded(exercise: Exercise, why: str, seconds: float = 0.0) -> ExerciseReport:
    """The report of an exercise that could not be graded, through no fault of the student's."""
    report = _without_checks(exercise, ExerciseStatus.NOT_GRADED, why)
    return replace(report, score=None, seconds=round(seconds, 2))


def not_submitted(exercise: Exercise) -> ExerciseReport:
    """The report of an exercise whose folder is not there."""
    message = f"There is no folder named {exercise.id} in the submission."
    return _without_checks(exercise, ExerciseStatus.NOT_SUBMITTED, message)


def rejected(exercise: Exercise, refusals: Iterable[Refusal]) -> ExerciseReport:
    """The report of an exercise that the safety policy refused, and why."""
    return _without_checks(exercise, ExerciseStatus.REJECTED, "\n".join(refusal.message for refusal in refusals))


def _without_checks(exercise: Exercise, status: ExerciseStatus, message: str) -> ExerciseReport:
    return ExerciseReport(
        exercise.id, exercise.title, status, 0.0, exercise.points, message=message, bonus=exercise.bonus
    )


def _outcomes(context: CheckContext, observe: Observe, *, thorough: bool) -> Iterator[Outcome]:
    """What became of each check. One whose prerequisite did not pass is not carried out."""
    failed: list[Check] = []
    for check in context.exercise.checks:
        unmet = [other for other in failed if other.id in check.needs or not thorough]
        outcome = blocked(unmet) if unmet else _outcome(check, context, observe)
        if outcome[0] is not CheckStatus.PASSED:
            failed.append(check)
        yield outcome


def _outcome(check: Check, context: CheckContext, observe: Observe) -> Outcome:
    """Answer each request of a check until it returns its finding."""
    generator = examine(check, context)
    try:
        request = next(generator)
        while True:
            request = generator.send(observe(request))
    except StopIteration as end:
        finding: Finding = end.value
        return CheckStatus.PASSED if finding.passed else CheckStatus.FAILED, finding
    except NotChecked as nothing:
        return CheckStatus.BLOCKED, Finding(passed=False, message=str(nothing) or NOT_BUILT)
    finally:
        generator.close()


def not_built(observe: Observe, context: CheckContext) -> Observe:
    """An observer for a folder whose image must not be built, as its FROM names one that is not allowed."""
    base = context.wrong_base
    failed = BuildFailed(base_problem(context), line=base.line if base else None)

    def refusing(request: Request) -> Observation:
        if isinstance(request, RunRequest) and not request.existing_image:
            raise NotChecked
        return failed if isinstance(request, BuildRequest) else observe(request)

    return refusing


# ── from memory ─────────────────────────────────────────────────────────────────────────


def replay(seen: Mapping[Request, Observation]) -> Observe:
    """An observer that answers from what was stored, without an engine; `EnvironmentProblem` for what was not."""

    def observe(request: Request) -> Observation:
        if request in seen:
            return seen[request]
        if isinstance(request, RunRequest):
            if request.further:  # a run shows what an exec does
                return observe(replace(request, further=False))
            if not request.existing_image and not isinstance(seen.get(request.build), Built):
                raise NotChecked
        message = "What this check asks for was not observed when the submission was graded; grade it again."
        raise EnvironmentProblem(message)

    return observe
