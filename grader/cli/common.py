"""What every command needs: the course, the console, the exercises that are meant. Imports no engine."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from grader.checks import REASONS
from grader.cli.console import Console
from grader.course.folder import CourseFolder, open_course
from grader.course.models import Exercise
from grader.errors import UsageError

_LARGEST_SEED = 2**31 - 1


def terminal() -> Console:
    """The console of this process."""
    return Console(sys.stdout, sys.stderr, os.environ)


def course_at(option: Path | None) -> CourseFolder:
    """The course that a command works on."""
    return open_course(option, os.environ, Path.cwd(), REASONS)


def fresh_seed() -> int:
    """A seed nobody can guess; small enough to be typed."""
    return secrets.randbelow(_LARGEST_SEED) + 1


def chosen_exercises(folder: CourseFolder, wanted: Sequence[str]) -> list[Exercise]:
    """The exercises named by `--exercise`, in the course's order; all of them if none is named."""
    known = {exercise.id.lower(): exercise for exercise in folder.course.exercises}
    unknown = [name for name in wanted if name.lower() not in known]
    if unknown:
        message = (
            f"There is no exercise {', '.join(unknown)}. The course has: {', '.join(e.id for e in known.values())}"
        )
        raise UsageError(message)
    names = {name.lower() for name in wanted}
    return [exercise for exercise in folder.course.exercises if not names or exercise.id.lower() in names]
