"""`grader list`: the exercises with their points, and what is done."""

from __future__ import annotations

from pathlib import Path

import click

from grader.api import open_course
from grader.cli.common import examples, terminal
from grader.cli.progress import Kept, read_progress
from grader.reports import wording as words
from grader.reports.text import table_lines


@click.command("list", epilog=examples("grader list"))
@click.pass_obj
def command(course: Path | None) -> int:
    """List the exercises with their points, and the points you have."""
    found = open_course(course).course
    console = terminal()
    console.write([(("heading", found.title),)])
    progress = read_progress(found)
    scores = {exercise.id: progress.get(exercise.id, Kept()).score for exercise in found.exercises}
    rows = [
        (
            one.id,
            one.title,
            f"{one.points:g}{' bonus' if one.bonus else ''}",
            "" if (score := scores[one.id]) is None else f"{words.number(score)}{' ✓' if score == one.points else ''}",
        )
        for one in found.exercises
    ]
    console.write(table_lines(("Exercise", "Title", "Points", "Yours"), rows))
    console.note("Read one with `grader show ID`, begin with `grader start ID`; `grader next` names the next one.")
    return 0
