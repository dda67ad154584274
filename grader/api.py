"""What `from grader import …` gives: open a course, check work, read the results of a batch as tables.

The commands are made of the same functions. Everything heavy is imported when it is first needed.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grader.checks import REASONS
from grader.course import loader
from grader.course.loader import CourseFolder
from grader.course.models import Exercise
from grader.errors import EngineError, UsageError
from grader.grading.scoring import Details, for_student
from grader.models import Emit, Report, silent

if TYPE_CHECKING:
    from grader.batch.tables import Results
    from grader.cli.wiring import Tier, Whose
    from grader.submissions.reader import Target

_LARGEST_SEED = 2**31 - 1


def open_course(path: Path | str | None = None) -> CourseFolder:
    """The course in this folder; without one, that which `grader` finds: GRADER_COURSE, here or above, the shipped one.

    Its `course.exercises` are what students are asked. Raises `UsageError` if there is none, `SpecError` with every
    mistake in its `exercises.yaml`.
    """
    return loader.open_course(Path(path) if path is not None else None, os.environ, Path.cwd(), REASONS)


def check(
    path: Path | str = ".",
    *,
    exercises: Sequence[str] = (),
    course: CourseFolder | None = None,
    seed: int | None = None,
    details: Details = "full",
) -> Report:
    """Grade the work in `path`, an exercise's folder or a submission, on this machine's engine, as `grader check` does.

    `exercises` names those that count: one that is absent is then `not_submitted`. Wrong work is no error: see the
    report's exercises and their checks. Raises `UsageError` where there is nothing to grade, `EngineError` and
    `EnvironmentProblem` where no engine can.
    """
    folder = course or open_course()
    target = find_work(folder, Path(path), exercises, every=bool(exercises))
    return for_student(grade_work(folder, target, fresh_seed() if seed is None else seed), details)


def find_work(folder: CourseFolder, path: Path, exercises: Sequence[str], *, every: bool) -> Target:
    """What `path` holds of these exercises, of all for none; with `every`, those that are absent belong to it, too."""
    from grader.submissions.reader import find_target

    return find_target(path, folder.course, chosen_exercises(folder, exercises), every=every)


def grade_work(
    folder: CourseFolder,
    target: Target,
    seed: int,
    *,
    tier: Tier = "host",
    whose: Whose = "own",
    emit: Emit = silent,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Grade what was found in a path. `emit` gets what happens, `say` a line about what is prepared."""
    from grader.cli.wiring import GradingSettings, open_session
    from grader.grading.session import grade_submission

    settings = GradingSettings(folder=folder, exercises=target.exercises, seed=seed, tier=tier, whose=whose)
    report: Report | None = None
    try:
        with open_session(settings, emit, say) as session:
            report = grade_submission(session, target.submission, target.exercises)
    except EngineError as error:
        if report is None:
            raise
        # The work is graded; that the engine then did not let go of what was made for it is not to cost the report.
        say(f"{error} What the grader made may still be there; `grader prune` removes it.")
    return report


def fresh_seed() -> int:
    """A seed nobody can guess; small enough to be typed."""
    return secrets.randbelow(_LARGEST_SEED) + 1


def chosen_exercises(folder: CourseFolder, named: Sequence[str]) -> list[Exercise]:
    """The exercises with these ids, in the course's order; all of them for none. `UsageError` for one it has not."""
    known = {exercise.id.lower(): exercise for exercise in folder.course.exercises}
    unknown = [name for name in named if name.lower() not in known]
    if unknown:
        raise UsageError(
            f"There is no exercise {', '.join(unknown)}. The course has: {', '.join(e.id for e in known.values())}"
        )
    names = {name.lower() for name in named}
    return [exercise for exercise in folder.course.exercises if not names or exercise.id.lower() in names]


def open_results(folder: Path | str) -> Results:
    """The results that `grader batch` wrote into this folder, as pandas tables.

    Raises `UsageError` if it holds none, or if another grader is working in it.
    """
    from grader.batch.tables import read_results

    return read_results(Path(folder))
