"""Points, totals and what a student may see: one function each, and nothing else gives points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal

from grader.course.models import Course, Exercise
from grader.course.registry import Check
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Finding, Report

Details = Literal["full", "actual", "none"]
"""How much of a failure a student sees: all of it, not what was expected, or only that it failed."""
Outcome = tuple[CheckStatus, Finding]
"""What became of one check, before points are given."""

_PLACES = 2
"""Scores are rounded to hundredths of a point."""
NEEDS = "Not checked: it needs"
"""How the message of a check begins that waits for another one."""
NOT_BUILT = "Not checked: the image could not be built."


def blocked(needed: Sequence[Check]) -> Outcome:
    """The outcome of a check that was not carried out because others did not pass."""
    titles = " and ".join(f"“{other.title}”" for other in needed)
    return CheckStatus.BLOCKED, Finding(passed=False, message=f"{NEEDS} {titles} to pass first.")


def score_exercise(
    course: Course, exercise: Exercise, outcomes: Sequence[Outcome], seconds: float = 0.0
) -> ExerciseReport:
    """The exercise's report, from what became of each of its checks, in their order.

    A check that passed has its weight's share of the points, others 0. All checks passed is exactly full points,
    whatever rounding did.
    """
    whole = sum(check.weight for check in exercise.checks)
    verdicts = tuple(
        _verdict(course, check, outcome, exercise.points * check.weight / whole)
        for check, outcome in zip(exercise.checks, outcomes, strict=True)
    )
    passed = all(verdict.status is CheckStatus.PASSED for verdict in verdicts)
    return ExerciseReport(
        exercise.id,
        exercise.title,
        ExerciseStatus.PASSED if passed else ExerciseStatus.FAILED,
        exercise.points if passed else round(sum(verdict.score for verdict in verdicts), _PLACES),
        exercise.points,
        verdicts,
        seconds=round(seconds, 2),
        bonus=exercise.bonus,
    )


def _verdict(course: Course, check: Check, outcome: Outcome, worth: float) -> CheckVerdict:
    status, finding = outcome
    score = round(worth, _PLACES) if status is CheckStatus.PASSED else 0.0
    known = {one.name: getattr(finding, one.name) for one in fields(Finding) if one.name not in {"passed", "reason"}}
    verdict = CheckVerdict(check.id, check.title, status, score, round(worth, _PLACES), **known)
    if status is not CheckStatus.FAILED:
        return verdict
    hint = check.hints.get(finding.reason) or course.hints.get(finding.reason, "")
    return replace(verdict, hint=hint, reason=finding.reason)


def scored_again(course: Course, exercise: Exercise, report: ExerciseReport) -> ExerciseReport:
    """The report with the title, points and hints that the exercise has now; what became of its checks stays."""
    if report.score is None or [verdict.id for verdict in report.checks] != [check.id for check in exercise.checks]:
        return replace(report, title=exercise.title, max_score=exercise.points, bonus=exercise.bonus)
    shared = [one.name for one in fields(Finding) if one.name != "passed"]
    outcomes = [
        (one.status, Finding(one.status is CheckStatus.PASSED, **{name: getattr(one, name) for name in shared}))
        for one in report.checks
    ]
    return replace(score_exercise(course, exercise, outcomes, report.seconds), message=report.message)


def with_totals(report: Report) -> Report:
    """The report with its sums. Bonus exercises add to the score only; what was not graded counts in neither."""
    counted = [exercise for exercise in report.exercises if exercise.score is not None]
    return replace(
        report,
        score=round(sum(exercise.score or 0.0 for exercise in counted), _PLACES),
        max_score=round(sum(exercise.max_score for exercise in counted if not exercise.bonus), _PLACES),
    )


def for_student(report: Report, details: Details) -> Report:
    """The report without what students are not to see. The only place that hides anything."""
    if details == "full":
        return report
    exercises = (
        replace(exercise, checks=tuple(_hidden(check, details) for check in exercise.checks))
        for exercise in report.exercises
    )
    return replace(report, exercises=tuple(exercises))


def _hidden(check: CheckVerdict, details: Details) -> CheckVerdict:
    if check.status is not CheckStatus.FAILED:
        return check
    if details == "actual":
        return replace(check, expected="", message=check.title)
    return replace(check, expected="", actual="", message="", hint="", reproduce="", reason="")
