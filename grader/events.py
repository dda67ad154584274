"""What happens while grading, sent to whoever listens (the console, a log, nobody)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grader.models import ExerciseReport


@dataclass(frozen=True, slots=True)
class ExerciseStarted:
    """Work on one exercise of one student begins."""

    student: str
    exercise: str


@dataclass(frozen=True, slots=True)
class Doing:
    """What is being done for it now, in a few words (`building`, `running with 100 120 110`)."""

    student: str
    exercise: str
    what: str


@dataclass(frozen=True, slots=True)
class ExerciseEnded:
    """The exercise has its final report."""

    student: str
    report: ExerciseReport


Event = ExerciseStarted | Doing | ExerciseEnded
Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """A listener that does nothing."""
