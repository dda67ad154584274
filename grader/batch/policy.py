"""The files by which a teacher makes marks of points, beside the results: `grading.yaml`, `overrides.csv`, `times.csv`.

This is their one door. What is wrong in them is said with file and line, all at once.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from grader.course.yaml_source import Problem, YamlError, decode, quoted, read_yaml
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
    problems: list[str] = []
    file, zone = _read_policy(folder / POLICY, problems)
    policy = _policy(file, zone, names, problems) if file else Policy()
    overrides = tuple(_overrides(folder / OVERRIDES, names, problems))
    submitted = {name: known["submitted"] for name, known in people.items() if known.get("submitted")}
    submitted |= dict(_times(folder / TIMES, zone, names, problems))
    if problems:
        raise SpecError(tuple(problems))
    return Rules(policy, overrides, submitted)


class _Names:
    """Who and what may be named: students by any of their names, exercises in any case."""

    def __init__(self, exercises: Collection[str], people: Mapping[str, Mapping[str, str]]) -> None:
        self._exercises = {name.casefold(): name for name in exercises}
        self._students: dict[str, set[str]] = {}
        for name, columns in people.items():
            for key in keys_of(columns, name):
                self._students.setdefault(key, set()).add(name)
        self._called = {name_key(name): name for name in people}

    def student(self, written: str, where: str, problems: list[str]) -> str:
        """The name in the results; where there is none, a problem and an empty text."""
        key = name_key(written)
        found = {self._called[key]} if key in self._called else self._students.get(key, set())
        if len(found) == 1:
            return next(iter(found))
        wrong = "fits several students" if found else "is no student of these results"
        problems.append(f"{where}: {quoted(written)} {wrong}{_nearest(key, self._called)}")
        return ""

    def exercise(self, written: str, where: str, problems: list[str]) -> str:
        """The exercise's id; where there is none, a problem and an empty text."""
        found = self._exercises.get(written.casefold(), "")
        if not found:
            near = _nearest(written.casefold(), self._exercises)
            problems.append(f"{where}: {quoted(written)} is no exercise of these results{near}")
        return found


def _nearest(key: str, known: Mapping[str, str]) -> str:
    close = difflib.get_close_matches(key, known, 1)
    return f"; did you mean {quoted(known[close[0]])}?" if close else ""


# ── grading.yaml ────────────────────────────────────────────────────────────────────────

_UNITS = {"m": "minutes", "min": "minutes", "h": "hours", "hour": "hours", "d": "days", "day": "days"}


def _duration(value: object) -> timedelta:
    """`90m`, `12 h`, `7 days`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(minute|min|m|hour|h|day|d)s?", str(value).strip())
    if match is None:
        raise ValueError("expected a time span such as 30m, 12h or 7d")
    return timedelta(**{_UNITS.get(match[2], "minutes"): float(match[1])})


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
    model_config = ConfigDict(extra="forbid", strict=True)
    weights: dict[str, _Weight] = {}
    bonus: list[str] | None = None
    drop_lowest: Annotated[int, Field(ge=0)] = 0
    best_of: Annotated[int, Field(ge=1)] | None = None
    scale: Annotated[float, Field(gt=0)] | None = None
    round: Annotated[float, Field(gt=0)] = 0.01
    timezone: str = "UTC"
    late: _LateFile | None = None


_EXPECTED = {
    "float_type": "expected a number",
    "int_type": "expected a whole number",
    "string_type": "expected a text",
    "list_type": "expected a list",
    "dict_type": "expected a mapping",
    "model_type": "expected a mapping",
    "missing": "is missing",
    "greater_than_equal": "expected a number of at least {ge:g}",
    "greater_than": "expected a number greater than {gt:g}",
    "less_than_equal": "expected a number of at most {le:g}",
}


def _read_policy(path: Path, problems: list[str]) -> tuple[_GradingFile | None, tzinfo]:
    if not path.is_file():
        return None, UTC
    try:
        document = read_yaml(decode(path.read_bytes()))
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return None, UTC
    except YamlError as error:
        problems.append(_placed(path, error.problem))
        return None, UTC
    problems += [_placed(path, problem) for problem in document.problems]
    try:
        file = _GradingFile.model_validate(document.data or {})
        return file, UTC if file.timezone == "UTC" else ZoneInfo(file.timezone)  # UTC needs no database of zones
    except (ZoneInfoNotFoundError, ValueError) as error:
        if not isinstance(error, ValidationError):
            line = document.values.get(("timezone",), (1, 1))
            problems.append(f"{path}:{line[0]}:{line[1]}: timezone: expected a zone such as Europe/Vienna")
            return None, UTC
        for one in error.errors(include_url=False):
            steps = one["loc"]
            known = (document.keys.get(steps[:end]) for end in range(len(steps), 0, -1))
            place = next(filter(None, known), (1, 1))
            name = ".".join(map(str, steps))
            problems.append(f"{path}:{place[0]}:{place[1]}: {name}: {_message(one)}")
        return None, UTC


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        fields = {name: name for model in (_GradingFile, _LateFile) for name in model.model_fields}
        return f"there is no such setting{_nearest(str(error['loc'][-1]), fields)}"
    if error["type"] == "value_error":
        return f"{error['ctx']['error']}; found {quoted(str(error['input']))}"
    said = _EXPECTED.get(error["type"], str(error["msg"])).format(**error.get("ctx", {}))
    return said if error["type"] == "missing" else f"{said}; found {quoted(str(error['input']))}"


def _placed(path: Path, problem: Problem) -> str:
    return f"{path}:{problem.position.line}:{problem.position.column}: {problem.message}"


def _policy(file: _GradingFile, zone: tzinfo, names: _Names, problems: list[str]) -> Policy:
    where = POLICY
    late = file.late and Late(
        due=_aware(file.late.due, zone),
        grace=file.late.grace,
        per_day=file.late.per_day,
        at_most=file.late.at_most,
        cut_off=file.late.cut_off,
        extensions={
            names.student(student, f"{where}: late.extensions", problems): (
                _aware(file.late.due, zone) + until if isinstance(until, timedelta) else _aware(until, zone)
            )
            for student, until in file.late.extensions.items()
        },
    )
    bonus = file.bonus and frozenset(names.exercise(name, f"{where}: bonus", problems) for name in file.bonus)
    return Policy(
        weights={names.exercise(name, f"{where}: weights", problems): by for name, by in file.weights.items()},
        bonus=frozenset() if file.bonus == [] else bonus or None,
        drop_lowest=file.drop_lowest,
        best_of=file.best_of,
        scale=file.scale,
        step=file.round,
        late=late or None,
    )


def _aware(moment: datetime, zone: tzinfo) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


# ── overrides.csv and times.csv ─────────────────────────────────────────────────────────


def _rows(path: Path, needed: Sequence[Sequence[str]], problems: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Each row's place, and its cells in the columns that are wanted: one of several names each, the first needed."""
    if not path.is_file():
        return
    sheet = read_sheet(read_text(path, "as a table"), str(path))
    header = [" ".join(name.casefold().split()) for name in sheet.header]
    columns = [next((header.index(name) for name in names if name in header), None) for names in needed]
    if columns[0] is None:
        problems.append(f"{path}:1: has no column {needed[0][0]}; its first line names the columns")
        return
    for number, row in enumerate(sheet.rows[1:], start=2):
        if any(cell.strip() for cell in row):
            yield f"{path}:{number}", [content(row, column) for column in columns]


_STUDENT = ("student", "email address", "email", "full name", "name", "sid", "username", "identifier")


def _overrides(path: Path, names: _Names, problems: list[str]) -> Iterator[Override]:
    """`student,exercise,score,comment,who`; without an exercise, of the whole. Of several of one, the last counts."""
    found: dict[tuple[str, str], Override] = {}
    wanted = (_STUDENT, ("exercise",), ("score", "mark"), ("comment", "why"), ("who", "by"))
    for where, (written, exercise, mark, comment, who) in _rows(path, wanted, problems):
        student = names.student(written, where, problems)
        name = names.exercise(exercise, where, problems) if exercise else ""
        score = number_in(mark) if mark else None
        if mark and (score is None or not 0 <= score < 1e6):  # noqa: PLR2004 - nan and inf are neither
            problems.append(f"{where}: {quoted(mark)} is no number of points")
        elif not mark and not comment:
            problems.append(f"{where}: has neither a score nor a comment")
        found[student, name] = Override(student, name, score, comment, who)
    yield from found.values()


def _times(path: Path, zone: tzinfo, names: _Names, problems: list[str]) -> Iterator[tuple[str, str]]:
    """`student,submitted`, or what Moodle (grading worksheet) and Gradescope (grades) call them."""
    columns = ("submitted", "last modified (submission)", "submission time")
    for where, (written, said) in _rows(path, (_STUDENT, columns), problems):
        if said in {"", "-"}:
            continue
        moment = _read_moment(said)
        if moment is None:
            problems.append(f"{where}: {quoted(said)} is no date and time such as 2026-03-01 23:59")
        elif student := names.student(written, where, problems):
            yield student, _aware(moment, zone).astimezone(UTC).isoformat(timespec="seconds")


def _read_moment(text: str) -> datetime | None:
    # The first is ours, the second Moodle's in English, the third Gradescope's.
    for form in ("", "%A, %d %B %Y, %I:%M %p", "%Y-%m-%d %H:%M:%S %z"):
        try:
            return datetime.strptime(text, form) if form else datetime.fromisoformat(text)  # noqa: DTZ007 - made aware later
        except ValueError:
            continue
    return None
