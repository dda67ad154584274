"""`grader regrade`: what was observed in a batch, judged again."""

from __future__ import annotations

from pathlib import Path

import click

from grader.api import open_course
from grader.batch.journal import Journal
from grader.batch.results import regrade, write_results
from grader.cli.common import FOLDER, conclude, examples, note_some, terminal
from grader.cli.report import named_as, rules_options, take_rules


@click.command(epilog=examples("grader regrade results/"))
@click.argument("results", type=FOLDER)
@rules_options
@click.pass_obj
def command(course: Path | None, /, results: Path, *, anonymous: bool | None, **rules: Path | None) -> int:
    """Judge the stored observations of a batch again, after a change of points, tolerance or texts. Needs no engine."""
    folder = open_course(course)
    console = terminal()
    with Journal.open(results) as journal:
        take_rules(results, **rules)
        changes = regrade(journal, folder)
        if info := journal.info():
            journal.begin(named_as(info, anonymous=anonymous), ())
        written = write_results(journal, folder, results)
    code = conclude(console, written, results)
    note_some(console, [f"  {change}" for change in changes], results)
    students = len({change.student for change in changes})
    everyone = len(written.reports)
    console.note(f"Judged again without an engine: {students} of {everyone} students have another score.")
    return code
