"""`grader report`: the files of a batch, written again; and the options that say what marks are made of."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from grader.api import open_course
from grader.batch.journal import BatchInfo, Journal
from grader.batch.policy import OVERRIDES, POLICY, TIMES
from grader.batch.results import write_results
from grader.cli.common import ANY_PATH, FOLDER, conclude, examples, pages_option, terminal
from grader.errors import UsageError
from grader.files import write_whole
from grader.grading.scoring import Details

_FILES = {"grading": POLICY, "overrides": OVERRIDES, "times": TIMES}
_OPTIONS = (
    click.option("--grading", type=ANY_PATH, help=f"How marks are made of points; copied to {POLICY} in the results."),
    click.option("--overrides", type=ANY_PATH, help=f"Marks and comments by hand; copied to {OVERRIDES}."),
    click.option("--times", type=ANY_PATH, help=f"When each student handed in; copied to {TIMES}."),
    click.option(
        "--anonymous/--named", default=None, help="Call students by pseudonyms in all files; kept with the batch."
    ),
)


def rules_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of all commands that write a batch's files; `take_rules` and `named_as` carry them out."""
    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def take_rules(out: Path, **given: Path | None) -> None:
    """Copy a teacher's own files to beside the results, where they count until they are replaced or removed."""
    for name, path in given.items():
        target = out / _FILES[name]
        if path is not None and path.resolve() != target.resolve():
            try:
                content = path.read_bytes()
            except OSError as error:
                raise UsageError(f"{path}: cannot be read: {error.strerror}.") from error
            write_whole(target, content)


def named_as(info: BatchInfo, *, anonymous: bool | None) -> BatchInfo:
    """The batch with pseudonyms or names, as it was said; a key that is there stays, so that pseudonyms do."""
    if anonymous is None:
        return info
    return replace(info, anonymous=(info.anonymous or secrets.token_hex(16)) if anonymous else "")


@click.command(
    epilog=examples(
        "grader report results/",
        "grader report results/ --grading grading.yaml --overrides overrides.csv",
        "grader report results/ --anonymous",
    )
)
@click.argument("results", type=FOLDER)
@pages_option
@rules_options
@click.pass_obj
def command(
    course: Path | None, /, results: Path, *, details: Details | None, anonymous: bool | None, **rules: Path | None
) -> int:
    """Write the files of a batch (pages, CSV, JUnit) again from its journal."""
    folder = open_course(course)
    console = terminal()
    with Journal.open(results) as journal:
        take_rules(results, **rules)
        info = journal.info()
        if info and (details or anonymous is not None):
            journal.begin(named_as(replace(info, details=details or info.details), anonymous=anonymous), ())
        written = write_results(journal, folder, results, anew=True)
    return conclude(console, written, results)
