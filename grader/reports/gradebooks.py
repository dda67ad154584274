"""A batch's scores for the gradebooks of Canvas and Moodle: reports and a sheet's text in, a file's text out.

Both know their students by numbers that only they have, so what they take is what was downloaded from them, filled in.
What is written into it are numbers, and perhaps the name of a column, which begins with a letter or digit: no formulas.

Sources: Canvas, lib/gradebook_importer.rb and lib/content_zipper.rb; Moodle, mod/assign/feedback/offline and
grade/import/csv.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from grader.errors import UsageError
from grader.grading.scoring import with_totals
from grader.models import ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words
from grader.reports.sheet import (
    Filled,
    Mark,
    Person,
    Sheet,
    column_of,
    content,
    csv_text,
    person_at,
    scores_for,
    with_cells,
)
from grader.sanitize import inert_line

# ── scores ──────────────────────────────────────────────────────────────────────────────


def only(reports: Sequence[Report], wanted: Sequence[str]) -> list[Report]:
    """The reports with no other exercises than those named, all if none is; `UsageError` for one that is in none."""
    known = {name.lower(): name for name in _exercises(reports)}
    unknown = [name for name in wanted if name.lower() not in known]
    if unknown:
        message = f"The results have no exercise {', '.join(unknown)}. They have: {', '.join(known.values())}"
        raise UsageError(message)
    kept = {known[name.lower()] for name in wanted} or set(known.values())
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


# ── Canvas ──────────────────────────────────────────────────────────────────────────────

_COMPUTED = re.compile(r"(?:Current|Final) (?:Score|Points|Grade)|Override (?:Score|Grade|Status)")
"""In the names of columns that Canvas computes, or in which it is told more than a score."""

_OF_STUDENTS = frozenset(
    {
        "Student",
        "LastName",
        "FirstName",
        "ID",
        "SIS User ID",
        "SIS Login ID",
        "Integration ID",
        "Root Account",
        "Section",
    }
)
_KEPT_BY_CANVAS = {"EX": "excused (EX)", "N/A": "not given the assignment (N/A)"}
_POINTS = "Points Possible"


def fill_canvas(sheet: Sheet, marks: Sequence[Mark], column: str, worth: float) -> Filled:
    """A gradebook that Canvas exported, with the scores in the assignment's column, which is added if it is not there.

    `worth` are the points of a full score. `UsageError` if this is no such gradebook, or the column cannot be filled.
    """
    _check_canvas(sheet)
    at = _canvas_column(sheet, column)
    people = [person for index in range(1, len(sheet.rows)) if (person := _canvas_person(sheet, index))]
    cells, notes = scores_for(sheet, people, marks, at, _KEPT_BY_CANVAS)
    new = at == len(sheet.header)
    changed = {**_added(sheet, column, worth), **cells} if new else cells
    notes += [] if new else _worth_notes(sheet, at, worth)
    return Filled(with_cells(sheet, at, changed), tuple(notes), len(cells))


def _check_canvas(sheet: Sheet) -> None:
    first = sheet.header[:3]
    named = first[:2] == ("Student", "ID") or first == ("LastName", "FirstName", "ID")
    if not named or "Section" not in sheet.header:
        message = (
            f"{sheet.name}: is no gradebook of Canvas: that begins with the columns Student and ID, and has Section. "
            "Take the file of Grades > Export > Export Entire Gradebook, as it is."
        )
        raise UsageError(message)


def _canvas_column(sheet: Sheet, wanted: str) -> int:
    """The index of the column to fill; one behind the last if it is to be added."""
    columns = {index: name for index, name in enumerate(sheet.header) if _is_assignment(name)}
    there = f"It has: {', '.join(map(inert_line, columns.values())) or 'no assignments yet'}."
    if not wanted:
        message = f"{sheet.name}: say by --column which assignment the scores are for. {there}"
        raise UsageError(message)
    exact = [at for at, name in columns.items() if name == wanted]
    found = exact or [at for at, name in columns.items() if _NUMBER.sub("", name).casefold() == wanted.casefold()]
    if len(found) > 1:
        message = f"{sheet.name}: {len(found)} columns are called {wanted}. Say which, with its number. {there}"
        raise UsageError(message)
    if found and "read only" not in content(_points_row(sheet), found[0]):
        return found[0]
    if found or not _is_assignment(wanted) or not wanted[0].isalnum() or _NUMBER.search(wanted):
        message = (
            f"{sheet.name}: {wanted} can neither be filled nor added. Name one of its assignments, or a new one, "
            f"beginning with a letter or digit and without a number in parentheses at the end. {there}"
        )
        raise UsageError(message)
    return len(sheet.header)


_NUMBER = re.compile(r"\s*\([0-9]+\)$")
"""What Canvas puts behind an assignment's name, and finds it by."""


def _is_assignment(name: str) -> bool:
    return bool(name) and name not in _OF_STUDENTS and not _COMPUTED.search(name)


def _canvas_person(sheet: Sheet, index: int) -> Person | None:
    """The student of a row; None for the row of points, a row about posting, and an empty one."""
    row = sheet.rows[index]
    if _POINTS in "".join(row[:1]) or all(_ABOUT_POSTING.fullmatch(cell) for cell in row):
        return None
    names = _canvas_names([content(row, at) for at, name in enumerate(sheet.header) if name in _NAMED])
    number = content(row, column_of(sheet, "ID"))
    in_files = re.sub(r"\W", "", unicodedata.normalize("NFC", names[0]).lower())
    others = [content(row, at) for at, name in enumerate(sheet.header) if name in _LOGINS]
    return person_at(index, names[0], [*names, in_files, f"{in_files} ({number})", number, *others])


_NAMED = ("Student", "LastName", "FirstName")
_LOGINS = ("SIS User ID", "SIS Login ID", "Integration ID")
_ABOUT_POSTING = re.compile(r"\s*(?:Muted|Manual Posting.*)?\s*", re.IGNORECASE)


def _canvas_names(cells: Sequence[str]) -> tuple[str, str]:
    """`King, Ada` and `Ada King`, from either form of the export. The first is what downloads are named by."""
    last, _, first = cells[0].partition(",") if len(cells) == 1 else (cells[0], "", cells[1])
    first = first.strip()
    return (f"{last}, {first}", f"{first} {last}") if first else (last, last)


def _points_row(sheet: Sheet) -> tuple[str, ...]:
    return next((row for row in sheet.rows[1:] if _POINTS in "".join(row[:1])), ())


def _added(sheet: Sheet, column: str, worth: float) -> dict[int, str]:
    """A new column's cells but the scores: its name, its points, and nothing in rows that are not empty lines."""
    points = _points_row(sheet)
    cells = {index: words.number(worth) if row is points else "" for index, row in enumerate(sheet.rows) if row}
    return {**cells, 0: column}


def _worth_notes(sheet: Sheet, at: int, worth: float) -> list[str]:
    """A note where the sheet counts other points for a full score than the results do."""
    said = content(_points_row(sheet), at)
    value = _number(said)
    if value is None or value == worth:
        return []
    return [_other_worth(said, worth, "Canvas")]


def _other_worth(said: str, worth: float, platform: str) -> str:
    return (
        f"{platform} counts {inert_line(said)} points for a full score, the results {words.number(worth)}; "
        "the scores are written as they are."
    )


def _number(text: str) -> float | None:
    """A number with a decimal point or comma."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


# ── Moodle ──────────────────────────────────────────────────────────────────────────────

_IDENTIFIER, _GRADE, _MODIFIED = "Identifier", "Grade", "Last modified (grade)"
_MAXIMUM = "Maximum Grade"
_IDENTITIES = ("Email address", "ID number", "Username")


def fill_moodle(sheet: Sheet, marks: Sequence[Mark], worth: float) -> Filled:
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
    return Filled(with_cells(sheet, at, cells), tuple(notes), len(cells))


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
    said = {person.row: content(sheet.rows[person.row], column) for person in people}
    other = next((text for text in said.values() if _number(text) not in {None, worth}), "")
    over = [
        f"{person.label}: {cells[person.row]} points are more than Moodle takes; it will pass over them."
        for person in people
        if person.row in cells and float(cells[person.row]) > (_number(said[person.row]) or math.inf)
    ]
    return ([_other_worth(other, worth, "Moodle")] if other else []) + over


def moodle_import(marks: Sequence[Mark], name: str) -> Filled:
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
    notes = tuple(f"{mark.student}: {mark.missing}; left out." for mark in marks if mark.score is None)
    return Filled(csv_text(Sheet(name, ()), rows), notes, len(rows) - 1)


_NAMED_BY = {
    "Email address": re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*@[A-Za-z0-9.-]+"),
    "ID number": re.compile(r"[0-9]+"),
}
"""No text that fits is a formula, or needs quotes."""
