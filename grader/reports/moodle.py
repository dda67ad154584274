"""A batch's scores in the grading worksheet of a Moodle assignment, or as a file for Moodle's gradebook import.

Sources: Moodle, mod/assign/feedback/offline, grade/import/csv, mod/assign/locallib.php and lib/moodlelib.php.
"""

from __future__ import annotations

import html
import io
import math
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence

from grader.errors import UsageError
from grader.grading.grades import Grade
from grader.grading.scoring import for_student
from grader.reports import wording as words
from grader.reports.export import Exported, Scores, export_format, feedback_text, notes_on_ungraded
from grader.reports.sheet import (
    Person,
    Sheet,
    column_of,
    content,
    csv_text,
    note_on_worth,
    number_in,
    person_at,
    scores_for,
    with_cells,
)

_IDENTIFIER, _GRADE, _MODIFIED = "Identifier", "Grade", "Last modified (grade)"
_MAXIMUM, _COMMENTS = "Maximum Grade", "Feedback comments"
_IDENTITIES = ("Email address", "ID number", "Username")


@export_format("moodle", file="moodle.csv", takes=("sheet",))
def to_moodle(scores: Scores) -> Exported:
    """The grading worksheet that Moodle exported, with marks and comments, and a zip with a feedback page for each.

    Without a worksheet, a file for Moodle's gradebook import. `UsageError` if the sheet is no such worksheet.
    """
    sheet = scores.sheet
    if sheet is None:
        return moodle_import(scores.grades, scores.results)
    missing = [name for name in (_IDENTIFIER, _GRADE, _MODIFIED) if column_of(sheet, name) is None]
    if missing:
        message = (
            f"{sheet.name}: has no column {' and no column '.join(missing)}; Moodle needs them. Set Moodle to English, "
            "and take the file of the assignment's Download grading worksheet as it is."
        )
        raise UsageError(message)
    at = sheet.header.index(_GRADE)
    people = [_moodle_person(sheet, index) for index in range(1, len(sheet.rows)) if any(sheet.rows[index])]
    marks, notes = scores_for(sheet, people, scores.grades, at, {}, known=scores.people, overwrite=scores.overwrite)
    cells = {row: words.number(grade.score or 0.0) for row, grade in marks.items()}
    notes += _maximum_notes(sheet, people, cells, scores.worth)
    changed: dict[int, dict[int, str]] = {at: cells}
    if (column := column_of(sheet, _COMMENTS)) is not None:
        empty = {row for row in marks if scores.overwrite or not content(sheet.rows[row], column)}
        said = {row: html.escape(feedback_text(marks[row])) for row in empty}
        changed[column] = {row: text for row, text in said.items() if text}
    files: dict[str, str | bytes] = {"moodle.csv": with_cells(sheet, changed)}
    if marks:
        files["moodle-feedback.zip"] = _feedback_zip(sheet, marks, scores)
    return Exported(files, tuple(notes), len(cells))


def _feedback_zip(sheet: Sheet, marks: Mapping[int, Grade], scores: Scores) -> bytes:
    """A page for each, in the folders by which Moodle knows students (mod/assign/feedback/file/importziplib.php)."""
    reports = {report.student: report for report in scores.reports}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for row, grade in sorted(marks.items()):
            number = content(sheet.rows[row], column_of(sheet, _IDENTIFIER)).rpartition(" ")[2]
            name = _as_in_files(content(sheet.rows[row], column_of(sheet, "Full name"))) or "Participant"
            place = f"{name}_{number}_assignfeedback_file_/feedback.html"
            entry = zipfile.ZipInfo(place)  # of 1980: the same marks give the same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, scores.feedback(for_student(reports[grade.student], scores.details), grade))
    return buffer.getvalue()


def _moodle_person(sheet: Sheet, index: int) -> Person:
    row = sheet.rows[index]
    identifier = content(row, column_of(sheet, _IDENTIFIER))
    word, _, number = identifier.rpartition(" ")
    full = content(row, column_of(sheet, "Full name"))
    names = [full, _as_in_files(full)]
    numbered = [f"{name} ({number})" for name in (*names, word) if name]
    return person_at(
        index,
        full or identifier,
        [identifier, *names, *numbered, *(content(row, column_of(sheet, name)) for name in _IDENTITIES)],
    )


def _as_in_files(name: str) -> str:
    """A name as Moodle writes it before a student's files (mod/assign/locallib.php; PARAM_FILE, lib/moodlelib.php)."""
    return re.sub(r"[\x00-\x1f\x7f&<>\"`|':\\/]", "", name.replace("_", " "))


def _maximum_notes(sheet: Sheet, people: Iterable[Person], cells: Mapping[int, str], worth: float) -> list[str]:
    """Other points for a full score, and who has more than Moodle takes: it passes over such a grade silently."""
    column = column_of(sheet, _MAXIMUM)
    maxima = {person.row: content(sheet.rows[person.row], column) for person in people}
    other = next((text for text in maxima.values() if number_in(text) not in {None, worth}), "")
    over = [
        f"{person.label}: {cells[person.row]} points are more than Moodle takes; it will pass over them."
        for person in people
        if person.row in cells and float(cells[person.row]) > (number_in(maxima[person.row]) or math.inf)
    ]
    return ([note_on_worth(other, worth, "Moodle")] if other else []) + over


def moodle_import(grades: Sequence[Grade], name: str) -> Exported:
    """A CSV file for Moodle's own gradebook import, which knows students by email address or ID number.

    Only for results whose students are all called by one of these; `UsageError` else, with what `name` (of the results)
    needs. Who has no score is left out: an empty grade would delete the one that Moodle has.
    """
    by = next((what for what, form in _NAMED_BY.items() if all(form.fullmatch(one.student) for one in grades)), None)
    if by is None or not grades:
        message = (
            f"{name}: Moodle needs the assignment's grading worksheet: in Moodle, open the assignment, choose Download "
            "grading worksheet, and name the file by --sheet. (Without one, all students must be called by their email "
            "address or ID number; then a file for Moodle's gradebook import is written.)"
        )
        raise UsageError(message)
    rows = [(by, _GRADE), *((one.student, words.number(one.score)) for one in grades if one.score is not None)]
    text = csv_text(Sheet(name, ()), rows)
    return Exported({"moodle.csv": text}, notes_on_ungraded(grades, "left out"), len(rows) - 1)


_NAMED_BY = {
    "Email address": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*@[A-Za-z0-9.-]+"),
    "ID number": re.compile(r"[0-9]+"),
}
"""No text that fits is a formula, or needs quotes."""
