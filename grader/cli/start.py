"""`grader start`: an exercise's starter files, copied."""

from __future__ import annotations

from pathlib import Path

import click

from grader.cli.common import ANY_PATH, chosen_exercises, course_at, examples, terminal
from grader.course.folder import start_exercise


@click.command(epilog=examples("grader start 3.1.4", "grader start 3.1.4 my-work/3.1.4"))
@click.argument("identifier", metavar="ID")
@click.argument("directory", metavar="[DIR]", required=False, type=ANY_PATH)
@click.pass_obj
def command(course: Path | None, identifier: str, directory: Path | None) -> int:
    """Copy an exercise's starter files to DIR (default: a folder named by the ID). Existing files stay."""
    folder = course_at(course)
    console = terminal()
    (exercise,) = chosen_exercises(folder, [identifier])
    target = directory or Path(exercise.id)
    copied, kept = start_exercise(folder, exercise, target)
    for path in copied:
        console.note(f"copied      {path}")
    for path in kept:
        console.note(f"left alone  {path} (it was there already)")
    console.note(f"`grader show {exercise.id}` says what to do; `grader check {target}` says how far you are.")
    return 0
