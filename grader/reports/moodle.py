"""A batch's scores in the grading worksheet of a Moodle assignment, or as a file for Moodle's gradebook import.

Sources: Moodle, mod/assign/feedback/offline, grade/import/csv, mod/assign/locallib.php and lib/moodlelib.php.
"""

from __future__ import annotations

import html
import io
import math
import re
import zipfile
from collections.abc import Mapping

from grader.errors import UsageError
from grader.grading.grades import Grade
from grader.grading.scoring import for_student
from grader.reports import wording as words
from grader.reports.export import Exported, ExportFormat, Scores, feedback_text
from grader.reports.sheet import Person, Sheet, notes_on_worth, number_in, scores_for, with_cells

_IDENTIFIER, _NAME, _GRADE, _MODIFIED = "Identifier", "Full name", "Grade", "Last modified (grade)"
_MAXIMUM, _COMMENTS = "Maximum Grade", "Feedback comments"
_IDENTITIES = ("Email address", "ID number", "Username")
_NAMED_BY = {
    "Email address": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*@[A-Za-z0-9.-]+"),
    "ID number": re.compile(r"[0-9]+"),
}
"""No text that fits is a formula, or needs quotes."""


def to_moodle(scores: Scores) -> Exported:
    """The grading worksheet that Moodle exported, with marks and comments, and a zip with a feedback page for each.

    Without a worksheet, a file for Moodle's gradebook import. `UsageError` if the sheet is no such worksheet.
    """
    sheet = scores.sheet
    if sheet is None:
        return _for_import(scores)
    missing = [name for name in (_IDENTIFIER, _GRADE, _MODIFIED) if sheet.column(name) is None]
    if missing:
        raise UsageError(
            f"{sheet.name}: has no column {' and no column '.join(missing)}; Moodle needs them. Set Moodle to English, "
            "and take the file of the assignment's Download grading worksheet as it is."
        )
    at = sheet.header.index(_GRADE)
    people = [_person(sheet, index) for index in range(1, len(sheet.rows)) if any(sheet.rows[index])]
    marks, notes = scores_for(sheet, people, scores.grades, at, {}, known=scores.people, overwrite=scores.overwrite)
    cells = {row: words.number(grade.score or 0.0) for row, grade in marks.items()}
    maxima = {person.row: sheet.cell(person.row, _MAXIMUM) for person in people}
    notes += notes_on_worth(maxima.values(), scores.worth, "Moodle")
    notes += [
        f"{person.label}: {cells[person.row]} points are more than Moodle takes; it will pass over them."
        for person in people
        if person.row in cells and float(cells[person.row]) > (number_in(maxima[person.row]) or math.inf)
    ]
    changed: dict[int, dict[int, str]] = {at: cells}
    if (column := sheet.column(_COMMENTS)) is not None:
        empty = (row for row in marks if scores.overwrite or not sheet.cell(row, _COMMENTS))
        said = {row: html.escape(feedback_text(marks[row])) for row in empty}
        changed[column] = {row: text for row, text in said.items() if text}
    files: dict[str, str | bytes] = {"moodle.csv": with_cells(sheet, changed)}
    if marks:
        files["moodle-feedback.zip"] = _feedback_zip(sheet, marks, scores)
    return Exported(files, tuple(notes), len(cells))


def _person(sheet: Sheet, index: int) -> Person:
    identifier, full = sheet.cell(index, _IDENTIFIER), sheet.cell(index, _NAME)
    word, _, number = identifier.rpartition(" ")
    names = [full, _as_in_files(full)]
    numbered = [f"{name} ({number})" for name in (*names, word) if name]
    identities = (sheet.cell(index, name) for name in _IDENTITIES)
    return Person(index, full or identifier, [identifier, *names, *numbered, *identities])


def _as_in_files(name: str) -> str:
    """A name as Moodle writes it before a student's files (mod/assign/locallib.php; PARAM_FILE, lib/moodlelib.php)."""
    return re.sub(r"[\x00-\x1f\x7f&<>\"`|':\\/]", "", name.replace("_", " "))


def _feedback_zip(sheet: Sheet, marks: Mapping[int, Grade], scores: Scores) -> bytes:
    """A page for each, in the folders by which Moodle knows students (mod/assign/feedback/file/importziplib.php)."""
    reports = {report.student: report for report in scores.reports}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for row, grade in sorted(marks.items()):
            number = sheet.cell(row, _IDENTIFIER).rpartition(" ")[2]
            name = _as_in_files(sheet.cell(row, _NAME)) or "Participant"
            # of 1980: the same marks give the same bytes
            entry = zipfile.ZipInfo(f"{name}_{number}_assignfeedback_file_/feedback.html")
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, scores.feedback(for_student(reports[grade.student], scores.details), grade))
    return buffer.getvalue()


def _for_import(scores: Scores) -> Exported:
    """A CSV file for Moodle's own gradebook import, which knows students by email address or ID number.

    Only for results whose students are all called by one of these; `UsageError` else. Who has no score is left out: an
    empty grade would delete the one that Moodle has.
    """
    names = [one.student for one in scores.grades]
    by = next((what for what, form in _NAMED_BY.items() if names and all(map(form.fullmatch, names))), None)
    if by is None:
        raise UsageError(
            f"{scores.results}: Moodle needs the assignment's grading worksheet: in Moodle, open the assignment, "
            "choose Download grading worksheet, and name the file by --sheet. (Without one, all students must be "
            "called by their email address or ID number; then a file for Moodle's gradebook import is written.)"
        )
    rows = [f"{one.student},{words.number(one.score)}\n" for one in scores.grades if one.score is not None]
    return scores.exported({"moodle.csv": "".join([f"{by},{_GRADE}\n", *rows])}, "left out")


MOODLE = ExportFormat("moodle", to_moodle, "moodle.csv", takes=("sheet",))
