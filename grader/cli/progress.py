"""`grader progress`: the course as a map of points; and the file in which `check` keeps them on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError

from grader.api import open_course
from grader.cli.common import examples, terminal
from grader.course.models import Course, Exercise
from grader.errors import UsageError
from grader.files import write_whole
from grader.models import CheckStatus, ExerciseReport, Report
from grader.reports import wording as words
from grader.reports.text import Line, Style, paragraph, spread

_ATTEMPTS = 100
"""How many attempts at an exercise are kept."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One check of an exercise: when (ISO 8601, local time) and its points."""

    at: str
    score: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of one exercise. Checks are named by their titles, as of the last attempt."""

    attempts: tuple[Attempt, ...] = ()
    passed: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    folder: str = ""
    hinted: str = ""
    """The check and the reason that hints were asked for."""
    hint_step: int = 0

    @property
    def score(self) -> float | None:
        """The points of the last attempt, if there was one."""
        return self.attempts[-1].score if self.attempts else None


Progress = Mapping[str, Kept]
"""What is kept of each exercise of a course, by id."""
_FILE = TypeAdapter(dict[str, dict[str, Kept]])
"""By the course's title."""


# ── the file ────────────────────────────────────────────────────────────────────────────


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
    """What is kept of a course; nothing where there is no file, or one that cannot be read."""
    return _read().get(course.title, {})


def write_progress(course: Course, progress: Progress) -> None:
    """Keep a course's progress. Where it cannot be kept, it is not: that is never to cost a report."""
    every = {**_read(), course.title: dict(progress)}
    try:
        write_whole(state_file(os.environ), _FILE.dump_json(every, indent=1).decode())
    except (UsageError, RuntimeError):  # RuntimeError: a user who has no home
        return


def _read() -> dict[str, dict[str, Kept]]:
    try:
        return _FILE.validate_json(state_file(os.environ).read_bytes())
    except (OSError, RuntimeError, ValidationError):
        return {}


# ── an attempt ──────────────────────────────────────────────────────────────────────────


def after_attempt(progress: Progress, report: Report, folders: Mapping[str, str]) -> dict[str, Kept]:
    """The progress with what was graded now, in these folders (by id); what could not be graded is no attempt."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    changed = {}
    for exercise in report.exercises:
        before = progress.get(exercise.id, Kept())
        if exercise.score is not None and exercise.id in folders:
            changed[exercise.id] = replace(
                before,
                attempts=(*before.attempts, Attempt(now, exercise.score))[-_ATTEMPTS:],
                passed=_titles(exercise, passed=True),
                missed=_titles(exercise, passed=False),
                folder=folders[exercise.id],
            )
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
    kept = [progress.get(one.id, Kept()) for one in course.exercises]
    tried = [(one.attempts[-1].at, number) for number, one in enumerate(kept) if one.attempts]
    _, begin = max(tried, default=("", 0))
    ordered = (*course.exercises[begin:], *course.exercises[:begin])
    return next((one for one in ordered if progress.get(one.id, Kept()).score != one.points), None)


# ── the command ─────────────────────────────────────────────────────────────────────────


@click.command(epilog=examples("grader progress"))
@click.pass_obj
def command(course: Path | None) -> int:
    """Show how far you are: each exercise's points, attempts and last change.

    `grader check` keeps them on this machine. The course's own marks may differ.
    """
    found = open_course(course).course
    progress = read_progress(found)
    console = terminal()
    width = console.width
    console.write([(("heading", found.title),)])
    for exercise in found.exercises:
        console.write(_row(exercise, progress.get(exercise.id, Kept()), width))
    regular = [exercise for exercise in found.exercises if not exercise.bonus]
    score = sum(progress.get(exercise.id, Kept()).score or 0 for exercise in found.exercises)
    total = words.points(score, sum(exercise.points for exercise in regular))
    console.write(spread((("heading", "Total"),), "plain", "", ("heading", total), width))
    following = next_exercise(found, progress)
    then = (
        f"{following.id} ({following.title}): `grader next`" if following else "`grader submit` makes a zip of it all"
    )
    console.write(paragraph("heading", f"Next: {then}.", "", width))
    return 0


def _row(exercise: Exercise, kept: Kept, width: int) -> list[Line]:
    """`✓ 3.1.4  Pass the weeks as arguments      3 tries, today 14:02  4 → 10    10 / 10`."""
    done = kept.score == exercise.points
    style: Style = "passed" if done else "failed" if kept.attempts else "faint"
    label: Line = ((style, "✓ " if done else "✗ " if kept.attempts else "· "), ("plain", f"{exercise.id:6}"))
    tries = f"{len(kept.attempts)} {'try' if len(kept.attempts) == 1 else 'tries'}"
    scores = [attempt.score for attempt in kept.attempts]
    last = next((one for one in reversed(scores) if one != scores[-1]), None)
    change = f", {words.number(last)} → {words.number(scores[-1])}" if last is not None else ""
    facts = f"{tries}, {shown_time(kept.attempts[-1].at)}{change}" if kept.attempts else ""
    points = words.points(kept.score, exercise.points).rjust(len("7.75 / 10"))
    room = width - len("✓ 3.1.4 ") - len(facts) - len(points) - 4
    title = exercise.title if len(exercise.title) <= room else f"{exercise.title[: room - 1]}…"
    return list(spread(label, "plain", title, (style, f"{facts}  {points}"), width))


def shown_time(at: str) -> str:
    """A moment as people say it: `today 14:02`, else `28 Nov 14:02`."""
    moment = datetime.fromisoformat(at)
    today = moment.date() == datetime.now().astimezone().date()
    return f"{'today' if today else moment.strftime('%d %b')} {moment.strftime('%H:%M')}"
