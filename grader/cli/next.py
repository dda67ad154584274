"""`grader next`: the first exercise without full marks, and how to go on with it."""

from __future__ import annotations

import os
from pathlib import Path

import click

from grader.api import open_course
from grader.cli.common import examples, terminal
from grader.cli.progress import Kept, next_exercise, read_progress, shown_time
from grader.cli.start import change_folder, place_for
from grader.reports import wording as words
from grader.reports.text import BLANK, paragraph, spread


@click.command(epilog=examples("grader next"))
@click.pass_obj
def command(course: Path | None) -> int:
    """Say which exercise is next, and how to begin or go on with it."""
    found = open_course(course).course
    progress = read_progress(found)
    console = terminal()
    exercise = next_exercise(found, progress)
    if exercise is None:
        console.write(paragraph("passed", "All exercises have full marks.", "", console.width))
        console.write(paragraph("heading", "Next: `grader submit` makes a zip to hand in.", "", console.width))
        return 0
    kept = progress.get(exercise.id, Kept())
    points = words.points(kept.score, exercise.points)
    console.write(
        spread((("heading", f"{exercise.id}  "),), "heading", exercise.title, ("heading", points), console.width)
    )
    console.write(paragraph("plain", exercise.text.partition("\n\n")[0], "  ", console.width))
    if kept.attempts:
        tried = f"Last checked {shown_time(kept.attempts[-1].at)}."
        console.write([BLANK, *paragraph("faint", tried, "  ", console.width)])
    there = bool(kept.folder) and Path(kept.folder).is_dir()
    place = Path(os.path.relpath(kept.folder)) if there else place_for(found, exercise)
    begin = ([] if there else [f"grader start {exercise.id}"]) + [change_folder(place)]
    commands = [*begin, f"grader show {exercise.id}", "grader check"]
    console.write([BLANK, *((("command", f"  {line}"),) for line in commands if line != "cd .")])
    return 0
