"""`grader check`: a student's own work, on the student's own engine (commands.sh and Compose in a private one)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grader.cli.common import chosen_exercises, course_at, fresh_seed, terminal
from grader.cli.console import Console
from grader.cli.wiring import Terms, open_session
from grader.errors import EngineError, EnvironmentProblem, UsageError
from grader.grading.scoring import Details, for_student
from grader.grading.session import grade_submission
from grader.models import ExerciseStatus, Report
from grader.reports.json import to_json
from grader.reports.text import report_lines
from grader.submissions.target import find_target


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What the command line says."""

    course: Path | None
    path: Path
    exercises: tuple[str, ...]
    seed: int | None
    form: Literal["text", "json"]
    details: Details
    watch: bool


def check_path(options: CheckOptions) -> int:
    """Check once, or again after each change with `--watch`, until Ctrl-C."""
    console = terminal()
    code = _check(console, options)
    if options.watch:
        for _ in _changes(options.path):
            console.note("")
            code = _check(console, options)
    return code


def grade_path(console: Console, options: CheckOptions, *, every: bool) -> Report:
    """Read what the path holds, grade it, and give what the student may see of it."""
    folder = course_at(options.course)
    wanted = chosen_exercises(folder, options.exercises)
    target = find_target(options.path, folder.course, wanted, every=every)
    seed = fresh_seed() if options.seed is None else options.seed
    report: Report | None = None
    try:
        with (
            console.checking() as emit,
            open_session(folder, target.exercises, seed, emit, console.note, terms=Terms(whose="own")) as session,
        ):
            report = grade_submission(session, target.submission, target.exercises)
    except EngineError as error:
        if report is None:
            raise
        # The work is graded; that the engine then did not let go of what was made for it is not to cost the report.
        console.note(f"{error} What the grader made may still be there; `grader prune` removes it.")
    return for_student(report, options.details)


def exit_code(report: Report) -> int:
    """0 for full marks, 3 if something could not be graded, else 1."""
    statuses = {exercise.status for exercise in report.exercises}
    if ExerciseStatus.NOT_GRADED in statuses:
        return EnvironmentProblem.exit_code
    return 0 if statuses <= {ExerciseStatus.PASSED} else 1


def _check(console: Console, options: CheckOptions) -> int:
    report = grade_path(console, options, every=bool(options.exercises))
    if options.form == "json":
        console.data(to_json(report))
    else:
        console.write(report_lines(report, console.width))
    return exit_code(report)


def _changes(path: Path) -> Iterator[object]:
    """Something for each time that files below `path` change; ends with Ctrl-C."""
    try:
        from watchfiles import watch
    except ImportError as error:
        message = "--watch needs the package watchfiles: pip install 'docker-exercise-grader[watch]'"
        raise UsageError(message) from error
    return watch(path)
