"""Proof that a course grades rightly: its own right and wrong solutions, and what must become of them.

`reference/solutions/<exercise>/<name>/` must get full points. `reference/wrong/<exercise>/<name>/` must fail one named
check, the first that does not pass, and the student must be shown a phrase; some must fail for a named reason besides.
All that stands in `expect.yaml` beside the folders: `name: {fails: CHECK, phrase: TEXT, reason: NAME}`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from grader.checks import REASONS
from grader.checks.build import Builds
from grader.course.models import Exercise
from grader.errors import SpecError
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus

_EXPECT = "expect.yaml"
_KEYS = ("fails", "phrase", "requires", "reason")


@dataclass(frozen=True, slots=True)
class Expectation:
    """One stored solution. A right one has no `fails`; `rejected` stands for the safety policy.

    `requires` names what not every machine has (`heredoc` in its builder, a package index for `poetry-install` or
    `uv-install`).
    """

    exercise: Exercise
    name: str
    folder: Path
    fails: str = ""
    phrase: str = ""
    requires: str = ""
    reason: str = ""

    @property
    def shows(self) -> frozenset[str]:
        """The kind of check and the reason that a wrong solution is known to fail."""
        check = self.exercise.check(self.fails)
        return frozenset({check.kind if check else self.fails, self.reason} - {""})

    @property
    def right(self) -> bool:
        """Whether it must get full points."""
        return not self.fails


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one."""

    expectation: Expectation
    report: ExerciseReport

    @property
    def problem(self) -> str:
        """How it differs from what was expected; empty if it does not."""
        return _difference(self.expectation, self.report)

    @property
    def untried(self) -> bool:
        """Whether what it `requires` cannot be had here, so that its build failed and it proves nothing."""
        first = _first_failed(self.report)
        check = self.expectation.exercise.check(first.id) if first else None
        return bool(self.expectation.requires) and isinstance(check, Builds)

    @property
    def agrees(self) -> bool:
        """Whether the grader did what it must."""
        return not self.problem or self.untried


def expectations(reference: Path, exercises: Sequence[Exercise]) -> list[Expectation]:
    """Every stored solution of these exercises, right ones first. `SpecError` lists all that is inconsistent."""
    problems: list[str] = []
    found = [
        expectation
        for exercise in exercises
        for kind in ("solutions", "wrong")
        for expectation in _in_folder(reference / kind / exercise.id, exercise, kind == "wrong", problems)
    ]
    if problems:
        raise SpecError(tuple(problems))
    return found


_RIGHT_ONES = 2


def selection(expected: Sequence[Expectation]) -> list[Expectation]:
    """Few solutions that show much: of each exercise two right ones, of each kind of check and each reason a wrong one.

    The first in the order given, so they are the same each time; those that need what not every machine has are left
    out.
    """
    rights: Counter[str] = Counter()
    shown: set[str] = set()
    chosen: list[Expectation] = []
    for one in expected:
        if one.requires:
            continue
        if one.right:
            rights[one.exercise.id] += 1
        if (one.right and rights[one.exercise.id] <= _RIGHT_ONES) or not one.shows <= shown:
            chosen.append(one)
            shown |= one.shows
    return chosen


def _in_folder(folder: Path, exercise: Exercise, wrong: bool, problems: list[str]) -> Iterator[Expectation]:  # noqa: FBT001
    stored = _stored(folder / _EXPECT, problems)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    where = folder / _EXPECT
    problems += [f"{where}: names {name}, but there is no such folder" for name in stored if name not in names]
    known = {"rejected", *(check.id for check in exercise.checks)}
    for name in names:
        entry = {key: str(value) for key, value in stored.get(name, {}).items()}
        one = Expectation(exercise, name, folder / name, **{key: entry.get(key, "") for key in _KEYS})
        if wrong and one.fails not in known:
            problems.append(f"{where}: {name}: `fails` must be one of {', '.join(sorted(known))}, not {one.fails!r}")
        if one.reason and one.reason not in REASONS:
            problems.append(f"{where}: {name}: there is no reason {one.reason!r}")
        yield one


def _stored(path: Path, problems: list[str]) -> Mapping[str, Mapping[str, object]]:
    try:
        stored = yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}
    except yaml.YAMLError as error:
        problems.append(f"{path}: {error}")
        return {}
    if isinstance(stored, dict) and all(isinstance(entry, dict) for entry in stored.values()):
        return stored
    problems.append(f"{path}: expected a mapping of names to {{fails: CHECK, phrase: TEXT}}")
    return {}


def _difference(expected: Expectation, report: ExerciseReport) -> str:
    first = _first_failed(report)
    became = f"{report.status}: {report.message}"
    shown = report.message
    if first is not None:
        became = f"{first.id} {first.status}: {first.message} {first.actual}"
        shown = "\n".join((first.message, first.hint, first.actual, first.expected))
    if expected.right:
        return "" if report.status is ExerciseStatus.PASSED else f"must pass, but: {became}"
    if expected.fails == "rejected":
        if report.status is not ExerciseStatus.REJECTED:
            return f"must be rejected, but: {became}"
        shown = report.message
    elif first is None or first.id != expected.fails:
        return f"must fail {expected.fails} first, but: {became}"
    elif expected.reason and first.reason != expected.reason:
        return f"must fail for {expected.reason}, but failed for {first.reason}: {first.message}"
    if expected.phrase.lower() in shown.lower():
        return ""
    return f"the student must be shown “{expected.phrase}”, but reads: {shown}"


def _first_failed(report: ExerciseReport) -> CheckVerdict | None:
    return next((check for check in report.checks if check.status is not CheckStatus.PASSED), None)
