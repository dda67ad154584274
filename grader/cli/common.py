"""What commands share: their common options, the course, the console, the exercises that are meant."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from grader.api import open_course
from grader.cli.console import Console
from grader.errors import EnvironmentProblem
from grader.models import ExerciseStatus, Report
from grader.reports import wording as words
from grader.reports.text import class_lines

if TYPE_CHECKING:  # most commands have no batch
    from grader.batch.results import Results

FOLDER = click.Path(path_type=Path, file_okay=False)
ANY_PATH = click.Path(path_type=Path)
DETAILS = click.Choice(["full", "actual", "none"])
JOBS = click.IntRange(1, 64)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def complete_ids(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completion of a shell: the ids of the course's exercises, and folders where a path may stand."""
    course = open_course(context.find_root().params["course"]).course
    found = [CompletionItem(one.id, help=one.title) for one in course.exercises if one.id.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="dir")] if parameter.type is ANY_PATH else found


exercises_option: Decorator = click.option(
    "--exercise", "exercises", metavar="ID", multiple=True, shell_complete=complete_ids,
    help="Only this exercise. Can be given several times.",
)  # fmt: skip
seed_option: Decorator = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Draw the same figures as in an earlier run, whose seed `--verbose` shows.",
)
pages_option: Decorator = click.option(
    "--details",
    type=DETAILS,
    help="What the students' pages say of a failed check; kept with the batch. Default: what was said last, else full.",
)
exit_zero_option: Decorator = click.option(
    "--exit-zero", is_flag=True, help="Exit 0 whatever the marks, for platforms that read the report."
)


def engine_option(default: str) -> Decorator:
    """`--engine`: which engine builds and runs."""
    return click.option(
        "--engine",
        type=click.Choice(["private", "host"]),
        default=default,
        show_default=True,
        help="Which engine builds and runs: one of the grader's own, thrown away at the end, or the one `docker` uses.",
    )


def examples(*lines: str) -> str:
    r"""An epilogue with examples; `\b` keeps click from rewrapping it."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def terminal() -> Console:
    """The console of this process."""
    return Console(sys.stdout, sys.stderr, os.environ)


def exit_code(report: Report, *, exit_zero: bool) -> int:
    """0 for full marks, 3 if something could not be graded, else 1; with `exit_zero` 0 whatever the marks."""
    outcome = words.outcome(report)
    if outcome == "not_graded":
        return EnvironmentProblem.exit_code
    return 0 if exit_zero or outcome == "passed" else 1


_SHOWN = 40


def note_some(console: Console, lines: Sequence[str], out: Path) -> None:
    """The first of many changes, and where the others stand."""
    for line in lines[:_SHOWN]:
        console.note(line)
    if len(lines) > _SHOWN:
        console.note(f"… and {len(lines) - _SHOWN} more: `grader status {out} --trail`")


def conclude(console: Console, results: Results, out: Path, *, quiet: bool = False) -> int:
    """Show a class's results, where they are, and whose final mark has changed; 0, or 3 if something was not graded.

    With `quiet`, standard output stays as it is.
    """
    reports = results.reports
    if not quiet:
        console.write(class_lines(reports, console.width))
    note_some(console, [f"Final mark of {line}" for line in results.changed], out)
    console.note(f"Written: {out / 'report.html'}, {out / 'gradebook.csv'}, {out / 'grades.csv'}")
    missing = sum(exercise.status is ExerciseStatus.NOT_GRADED for report in reports for exercise in report.exercises)
    if missing:
        what = "1 exercise" if missing == 1 else f"{missing} exercises"
        console.note(f"{what} could not be graded; `grader batch … --resume` tries again.")
    return EnvironmentProblem.exit_code if missing else 0
