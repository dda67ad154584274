"""Who is in a class: a teacher's CSV file, and which submission is whose."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.course.models import Exercise
from grader.errors import UsageError

_STUDENT = "student"
_NAMES = ("name", "full name", "student name", "display name")
_PARTS = (("first name", "last name"), ("firstname", "lastname"), ("given name", "surname"))
_ADDRESSES = ("email", "e-mail", "email address", "e-mail address", "mail")
_LOGINS = (
    "username", "user name", "user", "login", "id", "id number", "student id", "sis user id", "sis login id", "github",
    "github username",
)  # fmt: skip
_KNOWN = frozenset((_STUDENT, *_NAMES, *_ADDRESSES, *_LOGINS, *(part for parts in _PARTS for part in parts)))
"""Headers, in lower case, of columns by which a student may be called in the submissions."""

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Roster:
    """A class list. `people` has, for each student, the name in the results and all names that stand for it.

    `notes` say how the file was understood, where that was a guess.
    """

    people: tuple[tuple[str, frozenset[str]], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the students are called in the results, if nothing of theirs was handed in."""
        return tuple(name for name, _ in self.people)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch has to do: each student with the path of the submission, None where nothing was handed in.

    `notes` say whose submission could not be found in the roster.
    """

    students: Mapping[str, Path | None]
    exercises: Sequence[Exercise]
    notes: tuple[str, ...] = ()


def read_roster(path: Path) -> Roster:
    """The students of a CSV file, separated by commas, semicolons or tabs.

    The column `student` says what they are called; where there is none, one with a login, a name or an address does.
    Other such columns are names of the same student, so that a submission is found under any of them. A file without
    a header has its names in the first column. Raises `UsageError` with the line number where a name is missing or
    comes twice.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a roster: {error}") from error
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    header = [cell.casefold() for cell in rows[0]] if rows else []
    headed = any(name in _KNOWN for name in header)
    first = 1 + headed
    column = _naming_column(header, rows[headed:]) if headed else 0
    people: dict[str, frozenset[str]] = {}
    line_of: dict[str, int] = {}
    for number, row in enumerate(rows[headed:], start=first):
        name = row[column] if column < len(row) else ""
        if not any(row):
            continue
        if not name or name in people:
            problem = f"{name!r} already stands in line {line_of[name]}" if name else "the student's name is missing"
            raise UsageError(f"{path}:{number}: {problem}")
        line_of[name] = number
        people[name] = _keys(dict(zip(header, row, strict=False)) if headed else {}, name)
    notes: tuple[str, ...] = ()
    if header and len(header) > 1 and header[column] != _STUDENT:
        what = f"in the column {rows[0][column]}" if headed else "in the first column, since no header names one"
        notes = (f"{path}: has no column `student`, so students are called as {what}.",)
    return Roster(tuple(people.items()), notes)


def _naming_column(header: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """The column by which students are called: the first of the known ones that tells all students apart."""
    known = [header.index(name) for name in (_STUDENT, *_LOGINS, *_NAMES, *_ADDRESSES) if name in header]
    for column in known:
        cells = [row[column] for row in rows if column < len(row) and any(row)]
        if header[column] == _STUDENT or (all(cells) and len(set(cells)) == len(cells)):
            return column
    return known[0] if known else 0


def _keys(row: Mapping[str, str], name: str) -> frozenset[str]:
    """Every name that a submission of this student may have."""
    names = [name, *(row[key] for key in (_STUDENT, *_NAMES, *_LOGINS) if row.get(key))]
    for first, last in _PARTS:
        if row.get(first) or row.get(last):
            names += [f"{row.get(first, '')} {row.get(last, '')}", f"{row.get(last, '')}, {row.get(first, '')}"]
    addresses = [row[key] for key in _ADDRESSES if row.get(key)]
    names += [*addresses, *(address.partition("@")[0] for address in addresses)]
    return frozenset(key for key in map(_key, names) if key)


def _key(name: str) -> str:
    """Names are compared whatever their case, composition and spaces."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def plan_batch(
    paths: Sequence[Path], name_of: Callable[[Path], str], roster: Roster, exercises: Sequence[Exercise]
) -> Plan:
    """Match submissions with the roster: whose it is for sure, is called in the results as the roster does.

    Two submissions of one name are a `UsageError`, and so is a roster in which not one submission is found.
    """
    submissions: dict[str, Path] = {}
    for path in paths:
        name = name_of(path)
        if name in submissions:
            raise UsageError(f"Two submissions are named {name}: {submissions[name]} and {path}. Remove or rename one.")
        submissions[name] = path
    fits = {name: _fitting(name, roster) for name in submissions}
    claims = Counter(found[0] for found in fits.values() if len(found) == 1)
    if roster.people and submissions and not any(fits.values()):
        raise UsageError(
            f"The roster has nobody by the names of the submissions. It calls students {_listed(roster.names)}; the "
            f"submissions are called {_listed(sorted(submissions))}. Give it a column `student` with these names."
        )
    called = {name: found[0] for name, found in fits.items() if len(found) == 1 and claims[found[0]] == 1}
    students: dict[str, Path | None] = {who: None for who in roster.names if not claims[who]}
    students |= {called.get(name, name): path for name, path in submissions.items()}
    return Plan(dict(sorted(students.items())), exercises, (*roster.notes, *_notes(fits, claims)))


def _fitting(name: str, roster: Roster) -> list[str]:
    """Who of the roster may have handed this in: who is called so, else all who have such a name."""
    key = _key(name)
    called_so = [who for who in roster.names if _key(who) == key]
    return called_so or [who for who, keys in roster.people if key in keys]


def _notes(fits: Mapping[str, Sequence[str]], claims: Mapping[str, int]) -> Iterator[str]:
    """What a teacher has to know of submissions that are not one student's for sure; nothing without a roster."""
    strangers = sorted(name for name, found in fits.items() if not found)
    if strangers and any(fits.values()):
        yield f"Handed in, but not on the roster: {_listed(strangers)}. They are graded, too."
    for name, found in fits.items():
        if len(found) > 1:
            yield f"{name}: may be {' or '.join(found)} of the roster, so it is graded under its own name."
    for who, count in claims.items():
        if count > 1:
            names = " and ".join(name for name, found in fits.items() if list(found) == [who])
            yield f"{who}: {names} may all be this student of the roster, so they are graded under their own names."


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
