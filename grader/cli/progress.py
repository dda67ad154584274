"""What `grader check` keeps of a course on this machine: the attempts at each exercise, and what came of the last."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from grader.course.models import Course, Exercise
from grader.errors import UsageError
from grader.files import write_whole
from grader.models import CheckStatus, ExerciseReport, Report
from grader.reports import wording as words

_ATTEMPTS = 100
"""How many attempts at an exercise are kept."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One check of an exercise: when (ISO 8601, local time) and its points."""

    at: str
    score: float

    @property
    def shown(self) -> str:
        """When it was: `28 Nov 14:02`."""
        return datetime.fromisoformat(self.at).strftime("%d %b %H:%M")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one exercise. Checks are named by their titles, as of the last attempt.

    `hinted` is the check and the reason that hints were asked for, `hint_step` how many of them were given.
    """

    attempts: tuple[Attempt, ...] = ()
    passed: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    folder: str = ""
    hinted: str = ""
    hint_step: int = 0

    @property
    def score(self) -> float | None:
        """The points of the last attempt, if there was one."""
        return self.attempts[-1].score if self.attempts else None


Progress = dict[str, Kept]
"""What is kept of each exercise of a course, by id."""
_FILE = TypeAdapter(dict[str, Progress])
"""By the course's title."""


def state_file(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where progress is kept: in the platform's folder for a user's state."""
    match platform:
        case "win32":
            root = Path(environment.get("LOCALAPPDATA") or Path.home() / "AppData/Local")
        case "darwin":
            root = Path.home() / "Library/Application Support"
        case _:
            root = Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    return root / "grader/progress.json"


def read_progress(course: Course) -> Progress:
    """What is kept of each exercise of a course; nothing where there is no file, or one that cannot be read."""
    kept = _read().get(course.title, {})
    return {one.id: kept.get(one.id, Kept()) for one in course.exercises}


def write_progress(course: Course, progress: Progress) -> None:
    """Keep a course's progress. Where it cannot be kept, it is not: that is never to cost a report."""
    try:
        write_whole(state_file(os.environ), _FILE.dump_json({**_read(), course.title: progress}, indent=1))
    except (UsageError, RuntimeError):  # RuntimeError: a user who has no home
        return


def _read() -> dict[str, Progress]:
    try:
        return _FILE.validate_json(state_file(os.environ).read_bytes())
    except (OSError, RuntimeError, ValidationError):
        return {}


def after_attempt(progress: Progress, report: Report, folders: Mapping[str, str]) -> Progress:
    """The progress with what was graded now, in these folders (by id); what could not be graded is no attempt."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    changed = {
        one.id: replace(
            progress[one.id],
            attempts=(*progress[one.id].attempts, Attempt(now, one.score))[-_ATTEMPTS:],
            passed=_titles(one, passed=True),
            missed=_titles(one, passed=False),
            folder=folders[one.id],
        )
        for one in report.exercises
        if one.score is not None and one.id in folders
    }
    return {**progress, **changed}


def _titles(exercise: ExerciseReport, *, passed: bool) -> tuple[str, ...]:
    return tuple(check.title for check in exercise.checks if (check.status is CheckStatus.PASSED) is passed)


def what_changed(before: Kept, exercise: ExerciseReport) -> str:
    """What is different from the last attempt, in a line; "" if nothing is or there was none."""
    if before.score is None or exercise.score is None:
        return ""
    fixed = [title for title in _titles(exercise, passed=True) if title in before.missed]
    broken = [title for title in _titles(exercise, passed=False) if title in before.passed]
    points = f"{words.number(before.score)} → {words.number(exercise.score)} points"
    parts = [points] if before.score != exercise.score else []
    parts += [f"fixed: {' · '.join(fixed)}"] if fixed else []
    parts += [f"no longer passed: {' · '.join(broken)}"] if broken else []
    return ", ".join(parts)


def next_exercise(course: Course, progress: Progress) -> Exercise | None:
    """The one checked last, or the first after it without full marks (after the end from the start); None: all done."""
    kept = [progress[one.id] for one in course.exercises]
    _, begin = max(((one.attempts[-1].at, at) for at, one in enumerate(kept) if one.attempts), default=("", 0))
    ordered = (*course.exercises[begin:], *course.exercises[:begin])
    return next((one for one in ordered if progress[one.id].score != one.points), None)
