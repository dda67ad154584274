"""Sheets of a teacher's platform (CSV): read, whose row is whose, and written with some cells changed.

A score is only ever written where there is no doubt whose it is; everything else stays as it was, with a note. Cells go
back as they came, whatever is in them, because the platform compares them.
"""

from __future__ import annotations

import csv
import difflib
import io
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.errors import UsageError
from grader.grading.grades import Grade
from grader.reports import wording as words
from grader.sanitize import sanitize_line

_BOM = "\ufeff"


@dataclass(frozen=True, slots=True)
class Sheet:
    """A CSV file as it was read. `name` stands in messages; `start` is the byte order mark, if there was one."""

    name: str
    rows: tuple[tuple[str, ...], ...]
    delimiter: str = ","
    newline: str = "\n"
    start: str = ""

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns, without spaces around them."""
        return tuple(name.strip() for name in self.rows[0])

    def column(self, name: str) -> int | None:
        """Where the column of this name is; None if it is not there. `UsageError` if it is there twice."""
        if self.header.count(name) > 1:
            raise _unreadable(self.name, f"has the column {name} more than once")
        return self.header.index(name) if name in self.header else None

    def cell(self, row: int, column: str) -> str:
        """As `content`."""
        return content(self.rows[row], self.column(column))


# ── reading and writing ─────────────────────────────────────────────────────────────────


def read_text(path: Path, what: str) -> str:
    """A file of UTF-8 text. `UsageError` says `what` it cannot be read as."""
    try:
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        told = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text. Take it as it was downloaded"
        raise UsageError(f"{path}: cannot be read {what}: {told}.") from error


def read_sheet(text: str, name: str, *, strict: bool = True) -> Sheet:
    """A CSV text; the delimiter is the one that parts its first line into most cells.

    Raises `UsageError` if it is broken and, if `strict`, empty or with a row that has more cells than the header.
    """
    body = text.removeprefix(_BOM)

    def rows_by(mark: str, *, strict: bool = False) -> Iterator[list[str]]:
        return csv.reader(io.StringIO(body, newline=""), delimiter=mark, strict=strict)

    try:
        delimiter = max(",;\t|", key=lambda mark: len(next(rows_by(mark), [])))
        rows = tuple(tuple(row) for row in rows_by(delimiter, strict=True))
    except csv.Error as error:
        raise _unreadable(name, f"is no CSV file: {error}") from error
    if strict and (not rows or not any(rows[0])):
        raise _unreadable(name, "has no header line")
    long = next((index for index, row in enumerate(rows, start=1) if len(row) > len(rows[0])), None)
    if strict and long:
        raise _unreadable(name, f"row {long} has more cells than the header")
    return Sheet(name, rows, delimiter, "\r\n" if "\r\n" in body else "\n", text[: len(text) - len(body)])


def _unreadable(name: str, why: str) -> UsageError:
    return UsageError(f"{name}: {why}. Take the file as it was downloaded.")


def content(row: Sequence[str], column: int | None) -> str:
    """A cell without spaces around it; empty where the row is shorter or there is no such column."""
    return row[column].strip() if column is not None and column < len(row) else ""


def with_cells(sheet: Sheet, changed: Mapping[int, Mapping[int, str]]) -> str:
    """The sheet as CSV text in its own form, with these cells, by column and row, and all others as they were."""
    rows = [list(row) for row in sheet.rows]
    for column, cells in changed.items():
        for index, cell in cells.items():
            rows[index] += [""] * (column + 1 - len(rows[index]))
            rows[index][column] = cell
    lines = (sheet.delimiter.join(_quoted(cell, sheet.delimiter) for cell in row) for row in rows)
    return sheet.start + "".join(line + sheet.newline for line in lines)


def _quoted(cell: str, delimiter: str) -> str:
    """By hand, since the csv module of Python 3.11 leaves a lone CR unquoted, which then ends a row."""
    return cell if not set(cell) & {delimiter, '"', "\r", "\n"} else f'"{cell.replace(chr(34), chr(34) * 2)}"'


# ── whose row it is ─────────────────────────────────────────────────────────────────────

NAMING = ("student", "login", "id", "github", "name", "email")
"""What a roster may know of a student that names nobody else, in the order in which students are called by it."""


@dataclass(frozen=True, slots=True)
class Person:
    """A student's row, from 0: what to call it, and every name that its student may have in the results."""

    row: int
    name: str
    names: Sequence[str]

    @property
    def label(self) -> str:
        """The header is row 1, as spreadsheets count."""
        return f"Row {self.row + 1} ({sanitize_line(self.name)})"


def name_key(name: str) -> str:
    """Names are compared as the batch shows them, whatever their case, composition and spaces."""
    return " ".join(sanitize_line(unicodedata.normalize("NFC", name.strip())).casefold().split())


def keys_of(columns: Mapping[str, str], name: str) -> frozenset[str]:
    """Every name that a student may have elsewhere, as `name_key` compares them; `columns` are the roster's."""
    first, last = columns.get("first", ""), columns.get("last", "")
    names = [name, *(columns[kind] for kind in NAMING if kind in columns)]
    names += [f"{first} {last}", f"{last}, {first}"] if first or last else []
    names += [columns["email"].partition("@")[0]] if "email" in columns else []
    return frozenset(key for key in map(name_key, names) if key)


def _matched(
    people: Sequence[Person], marks: Sequence[Grade], known: Mapping[str, Mapping[str, str]]
) -> tuple[dict[int, Grade], list[str]]:
    """Each row's mark, where one student fits one row and no other student does; and a note on everybody else.

    A student whose name in the results is in no row may be there under another one that the roster has.
    """
    by_key: dict[str, dict[int, Person]] = defaultdict(dict)
    for person in people:
        for key in filter(None, map(name_key, person.names)):
            by_key[key][person.row] = person
    fits: list[tuple[Grade, list[Person]]] = []
    for mark in marks:
        key = name_key(mark.student)
        others = {key} if key in by_key else keys_of(known.get(mark.student, {}), "") & by_key.keys()
        found = {row: person for other in others for row, person in by_key[other].items()}
        fits.append((mark, [found[row] for row in sorted(found)]))
    single = [(fitting[0].row, mark) for mark, fitting in fits if len(fitting) == 1]
    claims = Counter(row for row, _ in single)
    sure = {row: mark for row, mark in single if claims[row] == 1}
    free = {key: person.label for key, own in by_key.items() for person in own.values() if person.row not in sure}
    placed = {mark.student for mark in sure.values()}
    notes = [_doubt(mark, fitting, free) for mark, fitting in fits if mark.student not in placed]
    seen = {person.row for _, fitting in fits for person in fitting}
    nobody = (person.label for person in people if person.row not in seen)
    return sure, [*notes, *(f"{label}: is nobody in the results; left as it was." for label in nobody)]


def _doubt(mark: Grade, found: Sequence[Person], free: Mapping[str, str]) -> str:
    """Why a student's score is in no row, and which of those that are `free` is called most like the student."""
    labels = ", ".join(person.label for person in found)
    if len(found) == 1:
        why = f"{labels} fits another student too"
    elif found:
        why = f"fits {len(found)} rows: {labels}"
    else:
        close = difflib.get_close_matches(name_key(mark.student), free, 1)
        why = "is in no row of the sheet" + (f" (nearest: {free[close[0]]})" if close else "")
    return f"{sanitize_line(mark.student)}: {why}; the score is not in the file."


def scores_for(
    sheet: Sheet,
    people: Sequence[Person],
    grades: Sequence[Grade],
    column: int,
    kept: Mapping[str, str],
    *,
    known: Mapping[str, Mapping[str, str]],
    overwrite: bool = False,
) -> tuple[dict[int, Grade], list[str]]:
    """Whose mark is to be written into which row, and notes for the teacher.

    `kept` are contents that stay, each with what it means; `known` is what the roster has of students. A mark that is
    there stays too, unless it is the same or the teacher has said `overwrite`.
    """
    sure, notes = _matched(people, grades, known)
    written: dict[int, Grade] = {}
    for row, grade in sure.items():
        before = content(sheet.rows[row], column)
        there = number_in(before)
        same = there is None or grade.score is None or there == round(grade.score, 2)
        if grade.score is None:
            note = f"{grade.missing}; left as it was."
        elif before.upper() in kept:
            note = f"is {kept[before.upper()]} in the sheet; left so."
        elif same or overwrite:
            written[row] = grade
            note = "" if same else f"{sanitize_line(before)} in the sheet becomes {words.number(grade.score)}."
        else:
            note = (
                f"has {sanitize_line(before)} in the sheet, and {words.number(grade.score)} here; left as it was. "
                "With --overwrite it is replaced."
            )
        notes += [f"{sanitize_line(grade.student)}: {note}"] if note else []
    return written, notes


# ── points of a full score ──────────────────────────────────────────────────────────────


def number_in(text: str) -> float | None:
    """A number with a decimal point or comma; None for anything else."""
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return None


def notes_on_worth(theirs: Iterable[str], worth: float, platform: str) -> list[str]:
    """A note where the platform counts other points for a full score than the results do."""
    other = next((text for text in theirs if number_in(text) not in {None, worth}), "")
    note = (
        f"{platform} counts {sanitize_line(other)} points for a full score, the results {words.number(worth)}; "
        "the scores are written as they are."
    )
    return [note] if other else []
