"""`grader similar`: whose submissions have much in common, from a batch's journal."""

from __future__ import annotations

from pathlib import Path

import click

from grader.api import open_course
from grader.batch.journal import Journal
from grader.batch.similarity import fingerprints, similar
from grader.cli.common import FOLDER, examples, terminal
from grader.course.loader import CourseFolder
from grader.files import write_whole
from grader.models import MemoryFile
from grader.reports.csv import csv_table
from grader.reports.text import table_lines

_SHOWN = 20


@click.command(epilog=examples("grader similar results/", "grader similar results/ --at-least 80"))
@click.argument("results", type=FOLDER)
@click.option(
    "--at-least", type=click.IntRange(1, 100), default=60, show_default=True, help="Percent in common to be listed."
)
@click.pass_obj
def command(course: Path | None, /, results: Path, at_least: int) -> int:
    """List pairs of submissions that have much in common beyond the starter files. Where to look; never a verdict."""
    folder = open_course(course)
    console = terminal()
    handed: dict[str, dict[str, frozenset[int]]] = {}
    with Journal.open(results) as journal, console.waiting("comparing the submissions"):
        for one in journal.gradings():
            if one.result.files:
                handed.setdefault(one.result.report.id, {})[one.student] = fingerprints(one.result.files.files)
        pairs = similar(handed, _starters(folder), at_least / 100)
    rows = [(pair.exercise, pair.first, pair.second, round(100 * pair.share), pair.fingerprints) for pair in pairs]
    write_whole(results / "similar.csv", csv_table(("exercise", "student", "other", "percent", "fingerprints"), rows))
    if rows:
        shown = [tuple(map(str, row)) for row in rows[:_SHOWN]]
        console.write(table_lines(("Exercise", "Student", "Other", "Percent", "Fingerprints"), shown))
    console.note(
        f"Pairs that share {at_least} % or more of what is neither the starter's nor common in the class: {len(rows)}. "
        "Similar is not copied: read both before you say anything."
    )
    console.note(f"Written: {results / 'similar.csv'}")
    return 0


def _starters(folder: CourseFolder) -> dict[str, frozenset[int]]:
    """What every student was given, by exercise."""
    found = {}
    for exercise in folder.course.exercises:
        root = folder.starter(exercise)
        paths = [path for path in root.rglob("*") if path.is_file()] if root.is_dir() else []
        found[exercise.id] = fingerprints(MemoryFile(path.name, path.read_bytes()) for path in paths)
    return found
