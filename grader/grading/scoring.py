"""Points, totals and what a student may see: one function each, and nothing else gives points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Literal

from grader.course.models import Course, Exercise
from grader.course.registry import Check
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Finding, Report

Details = Literal["full", "actual", "none"]
"""How much of a failure a student sees: all of it, not what was expected, or only that it failed."""

_PLACES = 2
"""Scores are rounded to hundredths of a point."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one check, before points are given."""

    check: Check
    status: CheckStatus
    finding: Finding


NEEDS = "Not checked: it needs"
"""How the message of a check begins that waits for another one."""
NOT_BUILT = "Not checked: the image could not be built."


def blocked(check: Check, needed: Sequence[Check]) -> Outcome:
    """The outcome of a check that was not carried out because others did not pass."""
    titles = " and ".join(f"“{other.title}”" for other in needed)
    message = f"{NEEDS} {titles} to pass first."
    return Outcome(check, CheckStatus.BLOCKED, Finding(passed=False, message=message))


def score_exercise(course: Course, exercise: Exercise, outcomes: Sequence[Outcome]) -> tuple[CheckVerdict, ...]:
    """Points for each check: its weight's share of the exercise's points if it passed, else 0."""
    whole = sum(check.weight for check in exercise.checks)
    return tuple(_verdict(course, outcome, exercise.points * outcome.check.weight / whole) for outcome in outcomes)


def total(verdicts: Sequence[CheckVerdict], exercise: Exercise) -> tuple[ExerciseStatus, float]:
    """An exercise's status and score. All checks passed is exactly full points, whatever rounding did."""
    if all(verdict.status is CheckStatus.PASSED for verdict in verdicts):
        return ExerciseStatus.PASSED, exercise.points
    return ExerciseStatus.FAILED, round(sum(verdict.score for verdict in verdicts), _PLACES)


def scored_again(course: Course, exercise: Exercise, report: ExerciseReport) -> ExerciseReport:
    """The report with the title, points and hints that the exercise has now; what became of its checks stays."""
    given = replace(report, title=exercise.title, max_score=exercise.points, bonus=exercise.bonus)
    known = {check.id: check for check in exercise.checks}
    if report.score is None or not report.checks or not all(verdict.id in known for verdict in report.checks):
        return given
    outcomes = [Outcome(known[verdict.id], verdict.status, _finding(verdict)) for verdict in report.checks]
    checks = score_exercise(course, exercise, outcomes)
    status, score = total(checks, exercise)
    return replace(given, status=status, score=score, checks=checks)


def _finding(verdict: CheckVerdict) -> Finding:
    shared = {one.name: getattr(verdict, one.name) for one in fields(Finding) if one.name != "passed"}
    return Finding(passed=verdict.status is CheckStatus.PASSED, **shared)


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
        return replace(check, expected="", message=check.title)
    return replace(check, expected="", actual="", message="", hint="", reproduce="", reason="")


def _verdict(course: Course, outcome: Outcome, worth: float) -> CheckVerdict:
    check, status, finding = outcome.check, outcome.status, outcome.finding
    hint = check.hints.get(finding.reason) or course.hints.get(finding.reason, "")
    return CheckVerdict(
        id=check.id,
        title=check.title,
        status=status,
        score=round(worth, _PLACES) if status is CheckStatus.PASSED else 0.0,
        max_score=round(worth, _PLACES),
        message=finding.message,
        hint=hint if status is CheckStatus.FAILED else "",
        expected=finding.expected,
        actual=finding.actual,
        ended=finding.ended,
        reproduce=finding.reproduce,
        file=finding.file,
        line=finding.line,
        reason=finding.reason if status is CheckStatus.FAILED else "",
    )
