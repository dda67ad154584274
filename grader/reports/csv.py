"""Reports as tables: `grades.csv`, a line for each student and exercise, and `gradebook.csv`, a row for each student.

A spreadsheet executes a cell that begins like a formula. Each text cell that does gets an
apostrophe in front (OWASP ASVS 5.0, 1.2.10) and all text cells are quoted; numbers stay numbers.
Every record is one line of text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from grader.models import ExerciseReport, Report
from grader.reports import wording as words
from grader.reports.export import Exported, Scores, export_format
from grader.reports.marks import notes_on_ungraded, with_score
from grader.sanitize import sanitize_line

_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u2212")
"""What starts a formula or a command in some spreadsheet, with full-width, small and typographic look-alikes."""

_MESSAGE_LIMIT = 500

Cell = str | float | int


@export_format("csv", file="gradebook.csv")
def export(scores: Scores) -> Exported:
    """As `gradebook_csv`."""
    notes = notes_on_ungraded(scores.marks, "the file says so, too")
    return Exported(gradebook_csv(scores.reports), notes, with_score(scores.marks))


def grades_csv(reports: Iterable[Report]) -> str:
    """`student,exercise,status,score,max_score,seconds,message`; `score` is empty where there is none."""
    header = ("student", "exercise", "status", "score", "max_score", "seconds", "message")
    return _table(header, [_grade(report, exercise) for report in reports for exercise in report.exercises])


def gradebook_csv(reports: Sequence[Report]) -> str:
    """One row for each student: `student`, a score for each exercise, `score`, `max_score`, `not_graded`.

    A cell is empty where there is no score: the exercise could not be graded, and `not_graded` names it.
    """
    exercises = list(dict.fromkeys(exercise.id for report in reports for exercise in report.exercises))
    header = ("student", *exercises, "score", "max_score", "not_graded")
    return _table(header, [_row(report, exercises) for report in reports])


def _grade(report: Report, exercise: ExerciseReport) -> tuple[Cell, ...]:
    return (
        report.student,
        exercise.id,
        exercise.status.value,
        _score(exercise),
        _tidy(exercise.max_score),
        round(exercise.seconds, 2),
        words.first_problem(exercise),
    )


def _row(report: Report, exercises: Sequence[str]) -> tuple[Cell, ...]:
    scores = {exercise.id: _score(exercise) for exercise in report.exercises}
    missing = " ".join(exercise.id for _, exercise in words.ungraded([report]))
    marks = (scores.get(name, "") for name in exercises)
    return (report.student, *marks, _tidy(report.score), _tidy(report.max_score), missing)


def _score(exercise: ExerciseReport) -> Cell:
    return "" if exercise.score is None else _tidy(exercise.score)


def _tidy(value: float) -> float | int:
    """Two decimals, and a whole number without a point."""
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([_safe(name) for name in header])
    writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return out.getvalue()


def _safe(cell: Cell) -> Cell:
    """A number as it is; a text on one line, and no formula."""
    if not isinstance(cell, str):
        return cell
    text = sanitize_line(cell, _MESSAGE_LIMIT)
    return f"'{text}" if text.lstrip()[:1] in _FORMULA and text.strip() else text
