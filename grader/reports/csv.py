"""Reports as tables: `grades.csv`, a line for each student and exercise, and `gradebook.csv`, a row for each student.

A spreadsheet executes a cell that begins like a formula. Each text cell that does gets an
apostrophe in front (OWASP ASVS 5.0, 1.2.10) and all text cells are quoted; numbers stay numbers.
Every record is one line of text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from grader.grading.grades import Grade
from grader.models import Report
from grader.reports import wording as words
from grader.reports.export import Exported, ExportFormat, Scores, feedback_text
from grader.sanitize import sanitize_line

_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\ufe62\ufe63\ufe66\ufe6b\u2212")
"""What starts a formula or a command in some spreadsheet, with full-width, small and typographic look-alikes."""

_MESSAGE_LIMIT = 500

Cell = str | float | int


_NBGRADER = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
    "late_submission_penalty", "score", "max_score",
)  # fmt: skip


def to_nbgrader(scores: Scores) -> Exported:
    """The columns of nbgrader's own export (nbgrader/plugins/export.py), a line for each student and exercise."""
    rows: list[tuple[Cell, ...]] = []
    for report, grade in zip(scores.reports, scores.grades, strict=True):
        known = scores.people.get(grade.student, {})
        who = (grade.submitted, grade.student, *(known.get(kind, "") for kind in ("last", "first", "email")))
        earned = {exercise.id: exercise.score for exercise in report.exercises}
        for one in grade.exercises:
            if one.score is not None:
                raw = earned.get(one.id) or 0.0
                lost = max(raw - one.score, 0.0) if grade.late else 0.0
                rows.append((one.id, "", *who, *map(_score, (raw, lost, one.score, one.max_score))))
    return scores.exported({"nbgrader.csv": csv_table(_NBGRADER, rows)}, "left out there")


def grades_csv(reports: Iterable[Report]) -> str:
    """`student,exercise,status,score,max_score,seconds,message`; `score` is empty where there is none."""
    header = ("student", "exercise", "status", "score", "max_score", "seconds", "message")
    rows = [
        (
            report.student,
            one.id,
            one.status.value,
            _score(one.score),
            _score(one.max_score),
            round(one.seconds, 2),
            words.first_problem(one),
        )
        for report in reports
        for one in report.exercises
    ]
    return csv_table(header, rows)


def gradebook_csv(reports: Sequence[Report], grades: Sequence[Grade], people: Mapping[str, Mapping[str, str]]) -> str:
    """One row for each student: `student`, a score for each exercise, `score`, `max_score`, `not_graded`.

    A cell is empty where there is no score: the exercise could not be graded, and `not_graded` names it. Where the
    roster has a section or a group, they come after the student. Where a teacher has set rules or marks, there follow
    `final`, `final_max`, `why`, `comment` and `submitted`.
    """
    exercises = list(dict.fromkeys(exercise.id for report in reports for exercise in report.exercises))
    kinds = [kind for kind in ("section", "group") if any(kind in columns for columns in people.values())]
    ruled = any(grade.all_reasons or feedback_text(grade) or grade.submitted for grade in grades)
    final = ("final", "final_max", "why", "comment", "submitted") if ruled else ()
    rows: list[list[Cell]] = []
    for report, grade in zip(reports, grades, strict=True):
        known, scores = people.get(report.student, {}), {one.id: one.score for one in report.exercises}
        row: list[Cell] = [report.student, *(known.get(kind, "") for kind in kinds)]
        row += [_score(scores.get(name)) for name in exercises]
        missing = " ".join(exercise.id for _, exercise in words.ungraded([report]))
        rows.append([*row, _score(report.score), _score(report.max_score), missing])
        if ruled:
            why, comment = "; ".join(grade.all_reasons), "; ".join(map("".join, grade.comments))
            rows[-1] += [_score(grade.score), _score(grade.max_score), why, comment, grade.submitted]
    return csv_table(("student", *kinds, *exercises, "score", "max_score", "not_graded", *final), rows)


def _score(value: float | None) -> Cell:
    """Two decimals, a whole number without a point, and nothing for None."""
    if value is None:
        return ""
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def csv_table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table for spreadsheets, in which no text is a formula."""
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


def _gradebook(scores: Scores) -> Exported:
    text = gradebook_csv(scores.reports, scores.grades, scores.people)
    return scores.exported({"gradebook.csv": text}, "the file says so, too")


GRADEBOOK = ExportFormat("csv", _gradebook, "gradebook.csv")
NBGRADER = ExportFormat("nbgrader", to_nbgrader, "nbgrader.csv")
