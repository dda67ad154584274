"""`grader start`: an exercise's starter files, copied."""

from __future__ import annotations

import os
from pathlib import Path

import click

from grader.api import chosen_exercises, open_course
from grader.cli.common import ANY_PATH, complete_ids, examples, terminal
from grader.course.loader import start_exercise
from grader.course.models import Course, Exercise, folder_key
from grader.errors import UsageError


@click.command(epilog=examples("grader start 3.1.4", "grader start 3.1.4 my-work/3.1.4"))
@click.argument("identifier", metavar="ID", shell_complete=complete_ids)
@click.argument("directory", metavar="[DIR]", required=False, type=ANY_PATH)
@click.pass_obj
def command(course: Path | None, identifier: str, directory: Path | None) -> int:
    """Copy an exercise's starter files to DIR. Existing files stay.

    Without DIR, a folder named by the ID is made here; in the folder of another exercise, beside that one.
    """
    folder = open_course(course)
    console = terminal()
    (exercise,) = chosen_exercises(folder, [identifier])
    target = place_for(folder.course, exercise, directory)
    copied, kept = start_exercise(folder, exercise, target)
    for path in copied:
        console.note(f"copied      {path}")
    for path in kept:
        console.note(f"left alone  {path} (it was there already)")
    go = "" if target.resolve() == Path.cwd() else f"`{change_folder(target)}`, "
    console.note(f"Next: {go}`grader show {exercise.id}` (the task), `grader check`.")
    return 0


def place_for(course: Course, exercise: Exercise, directory: Path | None = None) -> Path:
    """The folder to fill: never one within an exercise's own, whose files would then be handed in with it.

    `UsageError` if `directory` says so.
    """
    ids = {folder_key(one.id): one.id for one in course.exercises}
    if directory is None:
        here = Path.cwd()
        within = next((place for place in (here, *here.parents) if folder_key(place.name) in ids), None)
        around = within.parent if within else here
        there = [place for place in around.iterdir() if folder_key(place.name) == folder_key(exercise.id)]
        return Path(os.path.relpath(next((place for place in there if place.is_dir()), around / exercise.id)))
    for place in directory.absolute().resolve().parents:
        if folder_key(place.name) in ids:
            message = (
                f"{directory}: lies in the folder of {ids[folder_key(place.name)]}, and would be handed in with it. "
                f"Name a folder beside it: {place.parent / exercise.id}"
            )
            raise UsageError(message)
    return directory


def change_folder(path: Path) -> str:
    """The command that goes to a folder, for bash, zsh and PowerShell."""
    return f'cd "{path}"' if " " in str(path) else f"cd {path}"
