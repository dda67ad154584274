"""`grader list`: the exercises with their points."""

from __future__ import annotations

from pathlib import Path

import click

from grader.cli.common import course_at, examples, terminal
from grader.reports.text import table_lines


@click.command("list", epilog=examples("grader list"))
@click.pass_obj
def command(course: Path | None) -> int:
    """List the exercises with their points."""
    found = course_at(course).course
    console = terminal()
    console.write([(("heading", found.title),)])
    rows = [(one.id, one.title, f"{one.points:g}{' bonus' if one.bonus else ''}") for one in found.exercises]
    console.write(table_lines(("Exercise", "Title", "Points"), rows))
    console.note("Read one with `grader show ID`, begin with `grader start ID`.")
    return 0
