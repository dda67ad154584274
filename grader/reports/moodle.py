"""A batch's scores in the grading worksheet of a Moodle assignment, or as a file for Moodle's gradebook import.

Sources: Moodle, mod/assign/feedback/offline, grade/import/csv, mod/assign/locallib.php and lib/moodlelib.php.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

from grader.errors import UsageError
from grader.reports import wording as words
from grader.reports.export import Exported, Scores, export_format
from grader.reports.marks import Mark, notes_on_ungraded, worth_of
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
_MAXIMUM = "Maximum Grade"
_IDENTITIES = ("Email address", "ID number", "Username")


@export_format("moodle", file="moodle.csv", takes=("sheet",))
def to_moodle(scores: Scores) -> Exported:
    """The worksheet with the totals as grades; without one, a file for the gradebook import."""
    if scores.sheet is None:
        return moodle_import(scores.marks, scores.results)
    return fill_moodle(scores.sheet, scores.marks, worth_of(scores.reports))


def fill_moodle(sheet: Sheet, marks: Sequence[Mark], worth: float) -> Exported:
    """A grading worksheet that Moodle exported, with the scores as grades. `UsageError` if it is no such worksheet."""
    missing = [name for name in (_IDENTIFIER, _GRADE, _MODIFIED) if column_of(sheet, name) is None]
    if missing:
        message = (
            f"{sheet.name}: has no column {' and no column '.join(missing)}; Moodle needs them. Set Moodle to English, "
            "and take the file of the assignment's Download grading worksheet as it is."
        )
        raise UsageError(message)
    at = sheet.header.index(_GRADE)
    people = [_moodle_person(sheet, index) for index in range(1, len(sheet.rows)) if any(sheet.rows[index])]
    cells, notes = scores_for(sheet, people, marks, at, {})
    notes += _maximum_notes(sheet, people, cells, worth)
    return Exported(with_cells(sheet, at, cells), tuple(notes), len(cells))


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


def moodle_import(marks: Sequence[Mark], name: str) -> Exported:
    """A CSV file for Moodle's own gradebook import, which knows students by email address or ID number.

    Only for results whose students are all called by one of these; `UsageError` else, with what `name` (of the results)
    needs. Who has no score is left out: an empty grade would delete the one that Moodle has.
    """
    by = next((what for what, form in _NAMED_BY.items() if all(form.fullmatch(mark.student) for mark in marks)), None)
    if by is None or not marks:
        message = (
            f"{name}: Moodle needs the assignment's grading worksheet: in Moodle, open the assignment, choose Download "
            "grading worksheet, and name the file by --sheet. (Without one, all students must be called by their email "
            "address or ID number; then a file for Moodle's gradebook import is written.)"
        )
        raise UsageError(message)
    rows = [(by, _GRADE), *((mark.student, words.number(mark.score)) for mark in marks if mark.score is not None)]
    notes = notes_on_ungraded(marks, "left out")
    return Exported(csv_text(Sheet(name, ()), rows), notes, len(rows) - 1)


_NAMED_BY = {
    "Email address": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*@[A-Za-z0-9.-]+"),
    "ID number": re.compile(r"[0-9]+"),
}
"""No text that fits is a formula, or needs quotes."""
