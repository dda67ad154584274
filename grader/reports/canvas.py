"""A batch's scores in the gradebook that Canvas exported: the sheet's text in, a file's text out.

Canvas knows its students by numbers that only it has, so what it takes is what was downloaded from it, filled in. What
is written are numbers, and perhaps the name of a column, which begins with a letter or digit: no formulas.

Sources: Canvas, lib/gradebook_importer.rb and lib/content_zipper.rb.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from grader.errors import UsageError
from grader.reports import wording as words
from grader.reports.export import Exported, Scores, export_format
from grader.reports.sheet import (
    Person,
    Sheet,
    column_of,
    content,
    note_on_worth,
    number_in,
    person_at,
    scores_for,
    with_cells,
)
from grader.sanitize import sanitize_line

_COMPUTED = re.compile(r"(?:Current|Final) (?:Score|Points|Grade)|Override (?:Score|Grade|Status)")
"""In the names of columns that Canvas computes, or in which it is given more than a score."""

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


@export_format("canvas", file="canvas.csv", takes=("sheet", "column"))
def to_canvas(scores: Scores) -> Exported:
    """The gradebook that Canvas exported, with the marks in the assignment's column, which is added if it is missing.

    `UsageError` if this is no such gradebook, or the column cannot be filled.
    """
    sheet = scores.sheet
    if sheet is None:
        raise UsageError(
            "Canvas knows its students by numbers of its own, so it needs its own file: in Canvas, open Grades, choose "
            "Export > Export Entire Gradebook, and name the file by --sheet and the assignment by --column."
        )
    _check_canvas(sheet)
    at = _canvas_column(sheet, scores.column)
    people = [person for index in range(1, len(sheet.rows)) if (person := _canvas_person(sheet, index))]
    marks, notes = scores_for(
        sheet, people, scores.grades, at, _KEPT_BY_CANVAS, known=scores.people, overwrite=scores.overwrite
    )
    cells = {row: words.number(grade.score or 0.0) for row, grade in marks.items()}
    new = at == len(sheet.header)
    changed = {**_added(sheet, scores.column, scores.worth), **cells} if new else cells
    notes += [] if new else _worth_notes(sheet, at, scores.worth)
    return Exported({"canvas.csv": with_cells(sheet, {at: changed})}, tuple(notes), len(cells))


def _check_canvas(sheet: Sheet) -> None:
    first = sheet.header[:3]
    named = first[:2] == ("Student", "ID") or first == ("LastName", "FirstName", "ID")
    if not named or "Section" not in sheet.header:
        message = (
            f"{sheet.name}: is no gradebook of Canvas: that begins with the columns Student and ID, and has Section. "
            "Take the file of Grades > Export > Export Entire Gradebook, as it is."
        )
        raise UsageError(message)


def _canvas_column(sheet: Sheet, named: str) -> int:
    """The index of the column to fill; one behind the last if it is to be added."""
    columns = {index: name for index, name in enumerate(sheet.header) if _is_assignment(name)}
    there = f"It has: {', '.join(map(sanitize_line, columns.values())) or 'no assignments yet'}."
    if not named:
        message = f"{sheet.name}: say by --column which assignment the scores are for. {there}"
        raise UsageError(message)
    exact = [at for at, name in columns.items() if name == named]
    found = exact or [at for at, name in columns.items() if _NUMBER.sub("", name).casefold() == named.casefold()]
    if len(found) > 1:
        message = f"{sheet.name}: {len(found)} columns are called {named}. Say which, with its number. {there}"
        raise UsageError(message)
    if found and "read only" not in content(_points_row(sheet), found[0]):
        return found[0]
    if found or not _is_assignment(named) or not named[0].isalnum() or _NUMBER.search(named):
        message = (
            f"{sheet.name}: {named} can neither be filled nor added. Name one of its assignments, or a new one, "
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
    theirs = content(_points_row(sheet), at)
    value = number_in(theirs)
    if value is None or value == worth:
        return []
    return [note_on_worth(theirs, worth, "Canvas")]
