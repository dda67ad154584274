"""Who is in a class: a teacher's CSV file, and which submission is whose."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grader.course.models import Exercise
from grader.errors import UsageError
from grader.reports.sheet import NAMING, keys_of, name_key, read_sheet, read_text
from grader.submissions.lms import Handin, listed

_COLUMNS = {
    "student": ("student",),
    "login": ("username", "user name", "user", "login", "sis login id"),
    "id": ("id", "id number", "student id", "sis user id", "sid", "identifier"),
    "github": ("github", "github username", "github user", "github login"),
    "name": ("name", "full name", "student name", "display name"),
    "email": ("email", "e mail", "email address", "e mail address", "mail"),
    "first": ("first name", "firstname", "given name"),
    "last": ("last name", "lastname", "surname"),
    "section": ("section", "sections"),
    "group": ("group", "groups", "team"),
}
"""What a column holds, and how its header may be called, in lower case with spaces for `_` and `-`.

Students are called by the first of the first six that is there and tells all of them apart.
"""

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Roster:
    """A class list: what it says of each student, by the name in the results. `notes` say what of it was a guess."""

    people: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a batch has to do: each student with the submission, None where nothing was handed in.

    `people` has what is known of a student besides: the roster's columns, and `submitted`. `notes` say whose submission
    could not be found in the roster.
    """

    students: Mapping[str, Handin | None]
    exercises: Sequence[Exercise]
    notes: tuple[str, ...] = ()
    people: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def read_roster(path: Path) -> Roster:
    """The students of a CSV file, separated by commas, semicolons, bars or tabs.

    The column `student` says what they are called; where there is none, one with a login, an id, a name or an address
    does. Whatever other column names a student finds the submission, too. A file without a header has its names in the
    first column. Raises `UsageError` with the line number where a name is missing or comes twice.
    """
    sheet = read_sheet(read_text(path, "as a roster"), str(path), strict=False)
    rows = [[cell.strip() for cell in row] for row in sheet.rows]
    kinds = [_kind(cell) for cell in rows[0]] if rows else []
    headed = any(kinds)
    at = _naming_column(kinds, rows[1:]) if headed else 0
    people: dict[str, Mapping[str, str]] = {}
    line_of: dict[str, int] = {}
    for number, row in enumerate(rows[headed:], start=1 + headed):
        if not any(row):
            continue
        name = row[at] if at < len(row) else ""
        if not name or name in people:
            problem = f"{name!r} already stands in line {line_of[name]}" if name else "the student's name is missing"
            raise UsageError(f"{path}:{number}: {problem}")
        line_of[name] = number
        people[name] = {kind: cell for kind, cell in zip(kinds, row, strict=False) if headed and kind and cell}
    notes: tuple[str, ...] = ()
    if rows and len(rows[0]) > 1 and (not headed or kinds[at] != "student"):
        what = f"in the column {rows[0][at]}" if headed else "in the first column, since no header names one"
        notes = (f"{path}: has no column `student`, so students are called as {what}.",)
    return Roster(people, notes)


def _kind(header: str) -> str:
    name = " ".join(header.casefold().replace("_", " ").replace("-", " ").split())
    return next((kind for kind, names in _COLUMNS.items() if name in names), "")


def _naming_column(kinds: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    known = [kinds.index(kind) for kind in NAMING if kind in kinds]
    for column in known:
        cells = [row[column] if column < len(row) else "" for row in rows if any(row)]
        if kinds[column] == "student" or (all(cells) and len(set(cells)) == len(cells)):
            return column
    return known[0] if known else 0


def plan_batch(handins: Sequence[Handin], roster: Roster, exercises: Sequence[Exercise]) -> Plan:
    """Match submissions with the roster: whose it is for sure, is called in the results as the roster does.

    Two submissions of one name are a `UsageError`, and so is a roster in which not one submission is found.
    """
    by_name: dict[str, Handin] = {}
    for handin in handins:
        if other := by_name.get(handin.student):
            message = f"Two submissions are named {handin.student}: {other.path} and {handin.path}."
            raise UsageError(f"{message} Remove or rename one.")
        by_name[handin.student] = handin
    called: dict[str, list[str]] = {}
    having: dict[str, list[str]] = {}
    for name, columns in roster.people.items():
        called.setdefault(name_key(name), []).append(name)
        for key in keys_of(columns, name):
            having.setdefault(key, []).append(name)
    fits: dict[str, list[str]] = {}
    for name, handin in by_name.items():  # who is called so, else all who have such a name, else such another name
        keys = [name_key(one) for one in (name, *handin.names)]
        fits[name] = next(filter(None, [called.get(keys[0], []), *(having.get(key, []) for key in keys)]), [])
    claims = Counter(found[0] for found in fits.values() if len(found) == 1)
    if roster.people and by_name and not any(fits.values()):
        raise UsageError(
            f"The roster has nobody by the names of the submissions. It calls students "
            f"{listed([*roster.people], _SHOWN)}; the submissions are called {listed(sorted(by_name), _SHOWN)}. "
            "Give it a column `student` with these names."
        )
    students: dict[str, Handin | None] = {name: None for name in roster.people if not claims[name]}
    people: dict[str, Mapping[str, str]] = dict(roster.people)
    for name, handin in by_name.items():
        found = fits[name]
        who = found[0] if len(found) == 1 and claims[found[0]] == 1 else name
        students[who] = handin
        people[who] = {**people.get(who, {}), **({"submitted": handin.submitted} if handin.submitted else {})}
    notes = (*roster.notes, *_notes(fits, claims, having))
    return Plan(dict(sorted(students.items())), exercises, notes, {name: people.get(name, {}) for name in students})


def _notes(
    fits: Mapping[str, Sequence[str]], claims: Mapping[str, int], having: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """What a teacher has to know of submissions that are not one student's for sure; nothing without a roster."""
    strangers = sorted(name for name, found in fits.items() if not found)
    if strangers and any(fits.values()):
        absent = {key: name for key, names in having.items() for name in names if not claims[name]}
        who = listed([_nearest(one, absent) for one in strangers], _SHOWN)
        yield f"Handed in, but not on the roster: {who}. They are graded, too."
    for name, found in fits.items():
        if len(found) > 1:
            yield f"{name}: may be {' or '.join(found)} of the roster, so it is graded under its own name."
    for who, count in claims.items():
        if count > 1:
            names = " and ".join(name for name, found in fits.items() if [*found] == [who])
            yield f"{who}: {names} may all be this student of the roster, so they are graded under their own names."


def _nearest(stranger: str, absent: Mapping[str, str]) -> str:
    """The name; with whoever of the roster has handed in nothing and is called nearly so."""
    close = difflib.get_close_matches(name_key(stranger), absent, 1)
    return f"{stranger} (nearest: {absent[close[0]]})" if close else stranger
