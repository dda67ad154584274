"""A batch's scores in the gradebook that Canvas exported: the sheet's text in, a file's text out.

Canvas knows its students by numbers that only it has, so what it takes is what was downloaded from it, filled in. What
is written are numbers, and perhaps the name of a column, which begins with a letter or digit: no formulas.

Sources: Canvas, lib/gradebook_importer.rb and lib/content_zipper.rb.
"""

from __future__ import annotations

import re
import unicodedata

from grader.errors import UsageError
from grader.reports import wording as words
from grader.reports.export import Exported, ExportFormat, Scores
from grader.reports.sheet import Person, Sheet, content, notes_on_worth, scores_for, with_cells
from grader.sanitize import sanitize_line

_COMPUTED = re.compile(r"(?:Current|Final) (?:Score|Points|Grade)|Override (?:Score|Grade|Status)")
"""In the names of columns that Canvas computes, or in which it is given more than a score."""
_NAMED = ("Student", "LastName", "FirstName")
_LOGINS = ("SIS User ID", "SIS Login ID", "Integration ID")
_OF_STUDENTS = frozenset({*_NAMED, *_LOGINS, "ID", "Root Account", "Section"})
_KEPT_BY_CANVAS = {"EX": "excused (EX)", "N/A": "not given the assignment (N/A)"}
_POINTS = "Points Possible"
_NUMBER = re.compile(r"\s*\([0-9]+\)$")
"""What Canvas puts behind an assignment's name, and finds it by."""
_ABOUT_POSTING = re.compile(r"\s*(?:Muted|Manual Posting.*)?\s*", re.IGNORECASE)


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
    named = sheet.header[:2] == ("Student", "ID") or sheet.header[:3] == ("LastName", "FirstName", "ID")
    if not named or "Section" not in sheet.header:
        raise UsageError(
            f"{sheet.name}: is no gradebook of Canvas: that begins with the columns Student and ID, and has Section. "
            "Take the file of Grades > Export > Export Entire Gradebook, as it is."
        )
    points = next((row for row in sheet.rows[1:] if _POINTS in "".join(row[:1])), ())
    at = _column(sheet, scores.column, points)
    people = [person for index in range(1, len(sheet.rows)) if (person := _person(sheet, index))]
    marks, notes = scores_for(
        sheet, people, scores.grades, at, _KEPT_BY_CANVAS, known=scores.people, overwrite=scores.overwrite
    )
    cells = {row: words.number(grade.score or 0.0) for row, grade in marks.items()}
    if at == len(sheet.header):  # a new column: its name, its points, and nothing in rows that are not empty lines
        worth = words.number(scores.worth)
        added = {index: worth if row is points else "" for index, row in enumerate(sheet.rows) if row}
        changed = {**added, **cells, 0: scores.column}
    else:
        changed = cells
        notes += notes_on_worth([content(points, at)], scores.worth, "Canvas")
    return Exported({"canvas.csv": with_cells(sheet, {at: changed})}, tuple(notes), len(cells))


def _column(sheet: Sheet, named: str, points: tuple[str, ...]) -> int:
    """The index of the column to fill; one behind the last if it is to be added."""
    columns = {index: name for index, name in enumerate(sheet.header) if _is_assignment(name)}
    exact = [at for at, name in columns.items() if name == named]
    found = exact or [at for at, name in columns.items() if _NUMBER.sub("", name).casefold() == named.casefold()]
    if not named:
        wrong = "say by --column which assignment the scores are for."
    elif len(found) > 1:
        wrong = f"{len(found)} columns are called {named}. Say which, with its number."
    elif found and "read only" not in content(points, found[0]):
        return found[0]
    elif not found and _is_assignment(named) and named[0].isalnum() and not _NUMBER.search(named):
        return len(sheet.header)
    else:
        wrong = (
            f"{named} can neither be filled nor added. Name one of its assignments, or a new one, "
            "beginning with a letter or digit and without a number in parentheses at the end."
        )
    there = ", ".join(map(sanitize_line, columns.values())) or "no assignments yet"
    raise UsageError(f"{sheet.name}: {wrong} It has: {there}.")


def _is_assignment(name: str) -> bool:
    return bool(name) and name not in _OF_STUDENTS and not _COMPUTED.search(name)


def _person(sheet: Sheet, index: int) -> Person | None:
    """The student of a row; None for the row of points, a row about posting, and an empty one.

    Downloads are named by `kingada` and, where two are called so, by `kingada (101)`.
    """
    row = sheet.rows[index]
    if _POINTS in "".join(row[:1]) or all(_ABOUT_POSTING.fullmatch(cell) for cell in row):
        return None
    last, _, first = sheet.cell(index, "Student").partition(",")
    if "Student" not in sheet.header:
        last, first = sheet.cell(index, "LastName"), sheet.cell(index, "FirstName")
    first = first.strip()
    name = f"{last}, {first}" if first else last
    number = sheet.cell(index, "ID")
    in_files = re.sub(r"\W", "", unicodedata.normalize("NFC", name).lower())
    logins = (sheet.cell(index, login) for login in _LOGINS)
    return Person(index, name, [name, f"{first} {last}", in_files, f"{in_files} ({number})", number, *logins])


CANVAS = ExportFormat("canvas", to_canvas, "canvas.csv", takes=("sheet", "column"))
