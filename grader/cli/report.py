"""`grader report`: the files of a batch, written again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from grader.api import open_course
from grader.batch.journal import Journal
from grader.batch.results import write_results
from grader.cli.common import FOLDER, conclude, examples, pages_option, terminal
from grader.grading.scoring import Details


@click.command(epilog=examples("grader report results/"))
@click.argument("results", type=FOLDER)
@pages_option
@click.pass_obj
def command(course: Path | None, results: Path, details: Details | None) -> int:
    """Write the files of a batch (pages, CSV, JUnit) again from its journal."""
    folder = open_course(course)
    console = terminal()
    with Journal.open(results) as journal:
        info = journal.info()
        if info and details:
            journal.begin(replace(info, details=details), ())
        written = write_results(journal, folder, results)
    return conclude(console, written, results)
