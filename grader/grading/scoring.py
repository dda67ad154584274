"""Points, totals and what a student may see: one function each, and nothing else gives points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from grader.course.models import Course, Exercise
from grader.course.registry import Check
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Finding, Report

Details = Literal["full", "actual", "none"]
"""How much of a failure a student sees: all of it, not what was expected, or only that it failed."""

_PLACES = 2
"""Scores are rounded to hundredths of a point."""


def blocked(needed: Sequence[Check]) -> Finding:
    """The finding of a check that was not carried out because others did not pass."""
    titles = " and ".join(f"“{check.title}”" for check in needed)
    return Finding(passed=False, message=f"Not checked: it needs {titles} to pass first.")


def score_exercise(
    course: Course, exercise: Exercise, findings: Mapping[str, Finding], stopped: Mapping[str, CheckStatus]
) -> tuple[CheckVerdict, ...]:
    """Points for each check: its weight's share of the exercise's points if it passed, else 0.

    `stopped` names the checks that were not carried out, and why (`blocked` or `not_graded`).
    """
    whole = sum(check.weight for check in exercise.checks)
    return tuple(
        _verdict(course, check, findings[check.id], stopped.get(check.id), exercise.points * check.weight / whole)
        for check in exercise.checks
    )


def total(verdicts: Sequence[CheckVerdict], exercise: Exercise) -> tuple[ExerciseStatus, float | None]:
    """An exercise's status and score. All checks passed is exactly full points, whatever rounding did."""
    if any(verdict.status is CheckStatus.NOT_GRADED for verdict in verdicts):
        return ExerciseStatus.NOT_GRADED, None
    if all(verdict.status is CheckStatus.PASSED for verdict in verdicts):
        return ExerciseStatus.PASSED, exercise.points
    return ExerciseStatus.FAILED, round(sum(verdict.score for verdict in verdicts), _PLACES)


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
    return replace(report, exercises=tuple(_hidden(exercise, details) for exercise in report.exercises))


def _hidden(exercise: ExerciseReport, details: Details) -> ExerciseReport:
    return replace(exercise, checks=tuple(_hidden_check(check, details) for check in exercise.checks))


def _hidden_check(check: CheckVerdict, details: Details) -> CheckVerdict:
    if check.status is not CheckStatus.FAILED:
        return check
    if details == "actual":
        return replace(check, expected="", message=check.title, hint=check.hint)
    return replace(check, expected="", actual="", message="", hint="", reproduce="", reason="")


def _verdict(course: Course, check: Check, finding: Finding, stopped: CheckStatus | None, worth: float) -> CheckVerdict:
    status = stopped or (CheckStatus.PASSED if finding.passed else CheckStatus.FAILED)
    return CheckVerdict(
        id=check.id,
        title=check.title,
        status=status,
        score=round(worth, _PLACES) if status is CheckStatus.PASSED else 0.0,
        max_score=round(worth, _PLACES),
        message=finding.message,
        hint=_hint(course, check, finding) if status is CheckStatus.FAILED else "",
        expected=finding.expected,
        actual=finding.actual,
        ended=finding.ended,
        reproduce=finding.reproduce,
        file=finding.file,
        line=finding.line,
        reason=finding.reason if status is CheckStatus.FAILED else "",
    )


def _hint(course: Course, check: Check, finding: Finding) -> str:
    return check.hints.get(finding.reason) or course.hints.get(finding.reason, "")
