"""What a batch's reports come to in points, for gradebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from grader.errors import UsageError
from grader.grading.scoring import with_totals
from grader.models import ExerciseReport, ExerciseStatus, Report
from grader.sanitize import sanitize_line


@dataclass(frozen=True, slots=True)
class Mark:
    """One student's score. It is None where something could not be graded; `missing` says what, in a clause."""

    student: str
    score: float | None
    missing: str = ""


def only(reports: Sequence[Report], selected: Sequence[str]) -> list[Report]:
    """The reports with no other exercises than those named, all if none is; `UsageError` for one that is in none."""
    known = {name.lower(): name for name in _exercises(reports)}
    unknown = [name for name in selected if name.lower() not in known]
    if unknown:
        raise UsageError(f"The results have no exercise {', '.join(unknown)}. They have: {', '.join(known.values())}")
    kept = {known[name.lower()] for name in selected} or set(known.values())
    return [
        with_totals(replace(report, exercises=tuple(one for one in report.exercises if one.id in kept)))
        for report in reports
    ]


def marks_of(reports: Sequence[Report]) -> tuple[Mark, ...]:
    """Everyone's total. Who lacks an exercise that others have (a batch broke off) has none, as who was not graded."""
    known = _exercises(reports)
    return tuple(_mark(report, known) for report in reports)


def worth_of(reports: Sequence[Report]) -> float:
    """The points of a full score; bonus exercises count only where there are no others."""
    exercises = _exercises(reports).values()
    counted = [one.max_score for one in exercises if not one.bonus] or [one.max_score for one in exercises]
    return round(sum(counted), 2)


def _exercises(reports: Iterable[Report]) -> dict[str, ExerciseReport]:
    return {exercise.id: exercise for report in reports for exercise in report.exercises}


def _mark(report: Report, known: Iterable[str]) -> Mark:
    graded = {one.id for one in report.exercises if one.status is not ExerciseStatus.NOT_GRADED}
    missing = [name for name in known if name not in graded]
    if missing or not report.exercises:
        return Mark(report.student, None, f"not graded: {', '.join(missing) or 'all of it'}")
    return Mark(report.student, report.score)


def notes_on_ungraded(marks: Sequence[Mark], consequence: str) -> tuple[str, ...]:
    """A line for each student without a score: why, and what follows from it in the file."""
    return tuple(
        f"{sanitize_line(mark.student)}: {mark.missing}; {consequence}." for mark in marks if mark.score is None
    )


def with_score(marks: Sequence[Mark]) -> int:
    """How many students have a score."""
    return sum(mark.score is not None for mark in marks)
