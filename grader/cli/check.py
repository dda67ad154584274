"""`grader check`: a student's own work, on the student's own engine (commands.sh and Compose in a private one)."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from grader.cli.common import (
    ANY_PATH,
    DETAILS,
    chosen_exercises,
    course_at,
    examples,
    exercises_option,
    exit_code,
    exit_zero_option,
    fresh_seed,
    seed_option,
    terminal,
)
from grader.cli.console import Console
from grader.cli.wiring import GradingSettings, open_session
from grader.course.models import Course
from grader.errors import EngineError, UsageError
from grader.grading.scoring import Details, for_student
from grader.grading.session import grade_submission
from grader.models import Report
from grader.reports import wording as words
from grader.reports.json import to_json
from grader.reports.text import TextOptions, report_lines
from grader.submissions.models import ExerciseFiles, Submission
from grader.submissions.reader import Target, find_target


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What the command line says."""

    course: Path | None
    path: Path | None
    exercises: tuple[str, ...]
    seed: int | None
    details: Details
    exit_zero: bool
    form: Literal["text", "json"] = "text"
    watch: bool = False
    everything: bool = False
    verbose: bool = False


@click.command(
    epilog=examples(
        "grader check",
        "grader check 3.1.4",
        "grader check my-work --exercise 3.1.4 --exercise 3.1.5",
        "grader check --format json > report.json",
    ),
)
@click.argument("path", metavar="[PATH]", required=False, type=ANY_PATH)
@exercises_option
@seed_option
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="For people, or one JSON document.",
)  # fmt: skip
@click.option(
    "--details", type=DETAILS, default="full", show_default=True,
    help="How much a failed check tells: all, not what was expected, or nothing.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Show every check in full, not just the first failure.")
@click.option("--verbose", is_flag=True, help="Also show the engine, its builder and the seed.")
@click.option("--watch", is_flag=True, help="Check again whenever a file changes, until Ctrl-C.")
@exit_zero_option
@click.pass_obj
def command(course: Path | None, /, **given: Any) -> int:
    """Check your own work. PATH is an exercise's folder or a folder of them (default: here)."""
    options = CheckOptions(course=course, **given)
    if options.seed is None:  # the same figures each time that it watches
        options = replace(options, seed=fresh_seed())
    console = terminal()
    graded = _check(console, options)
    for _ in _changes(console, options.path or Path()) if options.watch else ():
        console.clear()
        before, graded = graded, _check(console, options)
        if graded.report.score != before.report.score:
            points = f"{words.number(before.report.score)} → {words.number(graded.report.score)} points."
            console.note(points, "passed" if graded.report.score > before.report.score else "failed")
    return exit_code(graded.report, exit_zero=options.exit_zero)


@dataclass(frozen=True, slots=True)
class Graded:
    """What a path held, and what the student may see of it."""

    target: Target
    report: Report
    course: Course


def grade_path(console: Console, options: CheckOptions, *, every: bool) -> Graded:
    """Read what the path holds and grade it.

    With `every`, exercises that are asked for and absent count as not submitted.
    """
    folder = course_at(options.course)
    selected = chosen_exercises(folder, options.exercises)
    target = find_target(options.path or Path(), folder.course, selected, every=every)
    seed = fresh_seed() if options.seed is None else options.seed
    settings = GradingSettings(folder=folder, exercises=target.exercises, seed=seed, whose="own")
    report: Report | None = None
    try:
        with console.checking() as emit, open_session(settings, emit, console.note) as session:
            report = grade_submission(session, target.submission, target.exercises)
    except EngineError as error:
        if report is None:
            raise
        # The work is graded; that the engine then did not let go of what was made for it is not to cost the report.
        console.note(f"{error} What the grader made may still be there; `grader prune` removes it.")
    return Graded(target, for_student(report, options.details), folder.course)


def text_options(graded: Graded, width: int, *, everything: bool, verbose: bool) -> TextOptions:
    """How a report is shown of which the submitted files are at hand."""
    return TextOptions(
        width=width,
        everything=everything,
        verbose=verbose,
        source=functools.partial(_line_of, graded.target.submission),
        then=_then(graded),
    )


def _line_of(submission: Submission, exercise: str, file: str, line: int) -> str:
    """A line of a submitted file; "" where there is none."""
    found = next((one for one in submission.exercises if one.exercise == exercise), None)
    content = found.content(file) if isinstance(found, ExerciseFiles) else None
    lines = (content or b"").decode("utf-8", "replace").splitlines()
    return lines[line - 1] if 0 < line <= len(lines) else ""


def _then(graded: Graded) -> str:
    """What comes after full marks in one exercise: the course's next one."""
    ids = [exercise.id for exercise in graded.course.exercises]
    done = [exercise.id for exercise in graded.report.exercises]
    after = ids[ids.index(done[-1]) + 1 :] if len(done) == 1 and done[0] in ids else []
    return f"`grader start {after[0]}` begins the next exercise." if after else ""


def _check(console: Console, options: CheckOptions) -> Graded:
    """Grade once, and show the report."""
    graded = grade_path(console, options, every=bool(options.exercises))
    if options.form == "json":
        console.data(to_json(graded.report))
    else:
        shown = text_options(graded, console.width, everything=options.everything, verbose=options.verbose)
        console.write(report_lines(graded.report, shown))
    return graded


def _changes(console: Console, path: Path) -> Iterator[object]:
    """Something for each time that files below `path` change; says that it waits; ends with Ctrl-C."""
    try:
        from watchfiles import watch
    except ImportError as error:
        raise UsageError("--watch needs the package watchfiles: pip install 'docker-exercise-grader[watch]'") from error
    waiting = f"Watching {path.resolve().name} for changes; Ctrl-C stops."
    console.note(waiting, "faint")
    for change in watch(path):
        yield change
        console.note(waiting, "faint")
