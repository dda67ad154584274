"""What a class page says about all students together."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from grader.models import CheckStatus, ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words


@dataclass(frozen=True, slots=True)
class ExerciseSummary:
    """One exercise over all students. `mean` is of those graded, as text; `percent` the share with full points."""

    id: str
    title: str
    graded: int
    passed: int
    percent: int
    mean: str
    max_score: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A check, and how many students failed it."""

    exercise: str
    title: str
    students: int


def figures(reports: Sequence[Report]) -> tuple[tuple[str, str], ...]:
    """(label, figure) for the head of the page. Shares are of the points that could be graded."""
    shares = [report.score / report.max_score for report in reports if report.max_score > 0]
    full = sum(report.score >= report.max_score > 0 and not any(words.ungraded([report])) for report in reports)
    if not shares:
        return (("Students", str(len(reports))),)
    return (
        ("Students", str(len(reports))),
        ("Mean", f"{statistics.mean(shares):.0%}"),
        ("Median", f"{statistics.median(shares):.0%}"),
        ("Full marks", str(full)),
    )


def exercise_summaries(reports: Sequence[Report]) -> tuple[ExerciseSummary, ...]:
    """One summary for each exercise, in the order in which the reports name them."""
    found: dict[str, list[ExerciseReport]] = {}
    for report in reports:
        for exercise in report.exercises:
            found.setdefault(exercise.id, []).append(exercise)
    return tuple(_summary(exercises) for exercises in found.values())


def most_failed(reports: Sequence[Report], count: int = 10) -> tuple[Failure, ...]:
    """The `count` checks that most students failed. Blocked checks are not failed ones."""
    failed = Counter(
        (exercise.id, check.title)
        for report in reports
        for exercise in report.exercises
        for check in exercise.checks
        if check.status is CheckStatus.FAILED
    )
    return tuple(Failure(exercise, title, students) for (exercise, title), students in failed.most_common(count))


def _summary(exercises: Sequence[ExerciseReport]) -> ExerciseSummary:
    first = exercises[0]
    scores = [exercise.score for exercise in exercises if exercise.score is not None]
    passed = sum(exercise.status is ExerciseStatus.PASSED for exercise in exercises)
    return ExerciseSummary(
        id=first.id,
        title=first.title + words.bonus_note(first),
        graded=len(scores),
        passed=passed,
        percent=round(100 * passed / len(scores)) if scores else 0,
        mean=words.number(statistics.mean(scores)) if scores else words.NO_SCORE,
        max_score=first.max_score,
    )
