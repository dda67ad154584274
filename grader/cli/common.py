"""What commands share: how one is declared, their common options, the console, the exit code of a report."""

from __future__ import annotations

import functools
import io
import os
import stat
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from grader.api import fresh_seed, open_course
from grader.cli.console import Console
from grader.errors import EnvironmentProblem
from grader.models import Report
from grader.reports import wording as words

FOLDER = click.Path(path_type=Path, file_okay=False)
ANY_PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
"""One that must be there; `ANY_PATH` leaves that to its reader, or names what is to be written."""
DETAILS = click.Choice(["full", "actual", "none"])
JOBS = click.IntRange(1, 64)

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def course_command(*lines: str) -> Callable[[Callable[..., int | None]], click.Command]:
    """Declares a command; `lines` are its examples.

    It is given the course, the console, and its options by keyword, and may give an exit code that is not 0.
    """

    def declared(function: Callable[..., int | None]) -> click.Command:
        @functools.wraps(function)
        def with_course(path: Path | None, /, **given: Any) -> int | None:
            return function(open_course(path), terminal(), **given)

        return click.command(epilog=examples(*lines))(click.pass_obj(with_course))

    return declared


def examples(*lines: str) -> str:
    r"""An epilogue with examples; `\b` keeps click from rewrapping it."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def complete_ids(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Completion of a shell: the ids of the course's exercises, and folders where a path may stand."""
    course = open_course(context.find_root().params["course"]).course
    found = [CompletionItem(one.id, help=one.title) for one in course.exercises if one.id.startswith(incomplete)]
    return [*found, CompletionItem(incomplete, type="dir")] if parameter.type is ANY_PATH else found


path_argument: Decorator = click.argument(
    "path", metavar="[PATH]", default=".", type=ANY_PATH, shell_complete=complete_ids
)
exercises_option: Decorator = click.option(
    "--exercise", "exercises", metavar="ID", multiple=True, shell_complete=complete_ids,
    help="Only this exercise. Can be given several times.",
)  # fmt: skip
seed_option: Decorator = click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=fresh_seed,
    help="Draw the same figures as in an earlier run, whose seed `--verbose` shows.",
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


def terminal() -> Console:
    """The console of this process."""
    return Console(sys.stdout, sys.stderr, os.environ)


def exit_code(report: Report, *, exit_zero: bool) -> int:
    """0 for full marks, 3 if something could not be graded, else 1; with `exit_zero` 0 whatever the marks."""
    outcome = words.outcome(report)
    if outcome == "not_graded":
        return EnvironmentProblem.exit_code
    return 0 if exit_zero or outcome == "passed" else 1


def packed_zip(files: Mapping[str, tuple[int, bytes]]) -> bytes:
    """A zip of these files, each with its mode and content; the same bytes for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, (mode, content) in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | mode) << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return made.getvalue()
