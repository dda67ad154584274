"""The files by which a teacher makes marks of points, beside the results: `grading.yaml`, `overrides.csv`, `times.csv`.

This is their one door. What is wrong in them is said with file and line, all at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from grader.course.yaml_source import YamlError, decode, quoted, read_yaml
from grader.errors import SpecError
from grader.grading.grades import Late, Override, Policy
from grader.reports.sheet import content, keys_of, name_key, number_in, read_sheet, read_text

POLICY, OVERRIDES, TIMES = "grading.yaml", "overrides.csv", "times.csv"
"""What the files are called in a folder of results."""


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a teacher has said of marks; `submitted` are ISO times in UTC, by student."""

    policy: Policy = field(default_factory=Policy)
    overrides: tuple[Override, ...] = ()
    submitted: Mapping[str, str] | None = None


def read_rules(folder: Path, exercises: Collection[str], people: Mapping[str, Mapping[str, str]]) -> Rules:
    """The files that are in a folder. `people` are the students with what is known of them, as in the journal.

    `SpecError` has every mistake: what cannot be read, and who or what is named that is not in the results.
    """
    names = _Names(exercises, people)
    policy, zone = _read_policy(folder / POLICY, names)
    overrides = tuple(_overrides(folder / OVERRIDES, names))
    submitted = {name: known["submitted"] for name, known in people.items() if known.get("submitted")}
    submitted |= dict(_times(folder / TIMES, zone, names))
    if names.problems:
        raise SpecError(tuple(names.problems))
    return Rules(policy, overrides, submitted)


class _Names:
    """Who and what may be named: students by any of their names, exercises in any case. `problems` are all mistakes."""

    def __init__(self, exercises: Collection[str], people: Mapping[str, Mapping[str, str]]) -> None:
        self.problems: list[str] = []
        self._exercises = {name.casefold(): [name] for name in exercises}
        self._called = {name_key(name): [name] for name in people}
        self._students: dict[str, list[str]] = {}
        for name, columns in people.items():
            for key in keys_of(columns, name):
                self._students.setdefault(key, []).append(name)
        self._students |= self._called

    def student(self, written: str, where: str) -> str:
        """The name in the results; where there is none, a problem and an empty text."""
        found = self._students.get(name_key(written), [])
        if len(found) > 1:
            self.problems.append(f"{where}: {quoted(written)} fits several students of these results")
        return found[0] if found else self._unknown(written, where, "student", self._called)

    def exercise(self, written: str, where: str) -> str:
        """The exercise's id; where there is none, a problem and an empty text."""
        found = self._exercises.get(written.casefold())
        return found[0] if found else self._unknown(written, where, "exercise", self._exercises)

    def _unknown(self, written: str, where: str, what: str, known: Mapping[str, list[str]]) -> str:
        near = _nearest(written.casefold(), [name for names in known.values() for name in names])
        self.problems.append(f"{where}: {quoted(written)} is no {what} of these results{near}")
        return ""


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {quoted(close[0])}?" if close else ""


# ── grading.yaml ────────────────────────────────────────────────────────────────────────

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def _duration(value: object) -> timedelta:
    """`90m`, `12 h`, `7 days`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(minute|min|m|hour|h|day|d)s?", str(value).strip())
    if match is None:
        raise ValueError("expected a time span such as 30m, 12h or 7d")
    return timedelta(**{_UNITS[match[2][0]]: float(match[1])})


def _share(value: object) -> float:
    """`10%`, or 0.1."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(%?)", str(value).strip())
    share = float(match[1]) / (100 if match[2] else 1) if match else 2
    if share > 1:
        raise ValueError("expected a share such as 10% or 0.1")
    return share


def _moment(value: object) -> datetime:
    """`2026-03-01 23:59`, with a zone or without; a day alone ends at its end."""
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise ValueError("expected a date and time such as 2026-03-01 23:59 or 2026-03-01T23:59+01:00") from None
    alone = re.fullmatch(r"\d{4}-\d\d-\d\d", str(value).strip())
    return datetime.combine(moment, time(23, 59, 59)) if alone else moment


def _moment_or_duration(value: object) -> datetime | timedelta:
    try:
        return _duration(value)
    except ValueError:
        return _moment(value)


def _zone(value: object) -> tzinfo:
    try:
        return UTC if value == "UTC" else ZoneInfo(str(value))  # UTC needs no database of zones
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected a zone such as Europe/Vienna") from None


_Duration = Annotated[timedelta, BeforeValidator(_duration)]
_Share = Annotated[float, BeforeValidator(_share)]
_Weight = Annotated[float, Field(ge=0, le=1000)]


class _LateFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    due: Annotated[datetime, BeforeValidator(_moment)]
    grace: _Duration = timedelta()
    per_day: _Share = 0.0
    at_most: _Share = 1.0
    cut_off: _Duration | None = None
    extensions: dict[str, Annotated[datetime | timedelta, BeforeValidator(_moment_or_duration)]] = {}


class _GradingFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True)
    weights: dict[str, _Weight] = {}
    bonus: list[str] | None = None
    drop_lowest: Annotated[int, Field(ge=0)] = 0
    best_of: Annotated[int, Field(ge=1)] | None = None
    scale: Annotated[float, Field(gt=0)] | None = None
    round: Annotated[float, Field(gt=0)] = 0.01
    timezone: Annotated[tzinfo, BeforeValidator(_zone)] = UTC
    late: _LateFile | None = None


def _read_policy(path: Path, names: _Names) -> tuple[Policy, tzinfo]:
    if not path.is_file():
        return Policy(), UTC
    try:
        document = read_yaml(decode(path.read_bytes()))
        names.problems += [f"{path}:{at.line}:{at.column}: {message}" for at, message in document.problems]
        file = _GradingFile.model_validate(document.data or {})
        return _policy(file, names), file.timezone
    except OSError as error:
        names.problems.append(f"{path}: cannot be read: {error.strerror}")
    except YamlError as error:
        at, message = error.problem
        names.problems.append(f"{path}:{at.line}:{at.column}: {message}")
    except ValidationError as error:
        for one in error.errors(include_url=False):
            steps = one["loc"]
            known = (document.keys.get(steps[:end]) for end in range(len(steps), 0, -1))
            line, column = next(filter(None, known), (1, 1))
            what = one["msg"].replace("Value error, ", "").replace("Input should be", "expected")
            if one["type"] == "extra_forbidden":
                near = _nearest(str(steps[-1]), [*_GradingFile.model_fields, *_LateFile.model_fields])
                what = f"there is no such setting{near}"
            elif one["type"] == "missing":
                what = "is missing"
            else:
                what += f"; found {quoted(str(one['input']))}"
            names.problems.append(f"{path}:{line}:{column}: {'.'.join(map(str, steps))}: {what}")
    return Policy(), UTC


def _policy(file: _GradingFile, names: _Names) -> Policy:
    late = None
    if file.late:
        ends = {
            names.student(student, f"{POLICY}: late.extensions"): file.late.due + until
            if isinstance(until, timedelta)
            else until
            for student, until in file.late.extensions.items()
        }
        extensions = {student: _aware(end, file.timezone) for student, end in ends.items()}
        late = Late(**{**dict(file.late), "due": _aware(file.late.due, file.timezone), "extensions": extensions})
    return Policy(
        weights={names.exercise(name, f"{POLICY}: weights"): by for name, by in file.weights.items()},
        bonus=None if file.bonus is None else frozenset(names.exercise(one, f"{POLICY}: bonus") for one in file.bonus),
        drop_lowest=file.drop_lowest,
        best_of=file.best_of,
        scale=file.scale,
        step=file.round,
        late=late,
    )


def _aware(moment: datetime, zone: tzinfo) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


# ── overrides.csv and times.csv ─────────────────────────────────────────────────────────

_STUDENT = ("student", "email address", "email", "full name", "name", "sid", "username", "identifier")


def _rows(path: Path, names: _Names, *others: tuple[str, ...]) -> Iterator[tuple[str, list[str]]]:
    """Each row's place, and its cells in the columns that are wanted: the student's, then one of several names each."""
    if not path.is_file():
        return
    sheet = read_sheet(read_text(path, "as a table"), str(path))
    header = [" ".join(name.casefold().split()) for name in sheet.header]
    columns = [next((header.index(name) for name in wanted if name in header), None) for wanted in (_STUDENT, *others)]
    if columns[0] is None:
        names.problems.append(f"{path}:1: has no column student; its first line names the columns")
        return
    for number, row in enumerate(sheet.rows[1:], start=2):
        if any(cell.strip() for cell in row):
            yield f"{path}:{number}", [content(row, column) for column in columns]


def _overrides(path: Path, names: _Names) -> Iterator[Override]:
    """`student,exercise,score,comment,who`; without an exercise, of the whole. Of several of one, the last counts."""
    found: dict[tuple[str, str], Override] = {}
    wanted = (("exercise",), ("score", "mark"), ("comment", "why"), ("who", "by"))
    for where, (written, exercise, mark, comment, who) in _rows(path, names, *wanted):
        student = names.student(written, where)
        name = names.exercise(exercise, where) if exercise else ""
        score = number_in(mark) if mark else None
        if mark and (score is None or not 0 <= score < 1e6):  # noqa: PLR2004 - nan and inf are neither
            names.problems.append(f"{where}: {quoted(mark)} is no number of points")
        elif not mark and not comment:
            names.problems.append(f"{where}: has neither a score nor a comment")
        found[student, name] = Override(student, name, score, comment, who)
    yield from found.values()


def _times(path: Path, zone: tzinfo, names: _Names) -> Iterator[tuple[str, str]]:
    """`student,submitted`, or what Moodle (grading worksheet) and Gradescope (grades) call them."""
    for where, (written, said) in _rows(path, names, ("submitted", "last modified (submission)", "submission time")):
        if said in {"", "-"}:
            continue
        moment = _read_moment(said)
        if moment is None:
            names.problems.append(f"{where}: {quoted(said)} is no date and time such as 2026-03-01 23:59")
        elif student := names.student(written, where):
            yield student, _aware(moment, zone).astimezone(UTC).isoformat(timespec="seconds")


def _read_moment(text: str) -> datetime | None:
    # The first is ours, the second Moodle's in English, the third Gradescope's.
    for form in ("", "%A, %d %B %Y, %I:%M %p", "%Y-%m-%d %H:%M:%S %z"):
        try:
            return datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - made aware later
        except ValueError:
            continue
    return None
