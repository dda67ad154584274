"""`grader status`: how far a batch is, also while it is at work; and what changed a student's marks."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from grader.batch.journal import Journal
from grader.cli.common import FOLDER, examples, terminal
from grader.cli.console import time_left
from grader.engine.ownership import Owner, is_dead
from grader.errors import UsageError
from grader.reports import wording as words
from grader.reports.text import table_lines

_RECENT = 40
_PAUSE = 600
"""Seconds without a verdict that are taken for a pause of the batch, not for its pace."""


@click.command(
    epilog=examples("grader status results/", "grader status results/ --student ada", "grader status results/ --trail")
)
@click.argument("results", type=FOLDER)
@click.option("--student", help="What became of one student's exercises, and what changed the marks.")
@click.option("--trail", is_flag=True, help="Every change of a score or a mark: when, what, from, to.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(results: Path, *, student: str | None, trail: bool, form: str) -> int:
    """Say how far a batch is. It may be at work meanwhile: nothing is locked, nothing is changed."""
    console = terminal()
    with Journal.look(results) as journal:
        if student is not None and student not in journal.students():
            raise UsageError(f"{results}: has no student {student}. It has: {', '.join(journal.students()[:10])} …")
        if student is not None or trail:
            console.write(table_lines(("When", "Student", "Exercise", "What", "From", "To"), _trail(journal, student)))
            return 0
        found = _progress(journal)
    if form == "json":
        console.data(json.dumps(found) + "\n")
        return 0
    counts = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in found["verdicts"].items())
    of = f"{found['graded']} of {found['total']} exercises of {found['students']} students"
    console.note(f"{results}: {of} have a verdict.")
    console.note(f"  {counts or 'none yet'}")
    for one in found["at_work"]:
        console.note(f"  being graded: {one}")
    for one in found["cut_off"]:
        console.note(f"  cut off: {one}")
    if found["at_work"] and found["seconds_left"] is not None:
        console.note(f"  {time_left(found['seconds_left'])}")
    undone = found["cut_off"] or found["graded"] < found["total"] or found["verdicts"].get("not_graded")
    if undone and not found["at_work"]:
        console.note(f"  nobody is at work on it: `grader batch SUBMISSIONS --out {results} --resume` goes on")
    return 0


def _trail(journal: Journal, student: str | None) -> list[tuple[str, ...]]:
    """The verdicts that an engine gave, and every change after them, oldest first."""
    rows = [
        (one.at, one.student, one.exercise, "graded", "", words.standing(one.status, one.score, one.max_score))
        for one in journal.history()
        if student is not None and one.student == student
    ]
    rows += [(one.at, one.student, one.exercise, one.what, one.was, one.becomes) for one in journal.trail(student)]
    return sorted(rows)


def _progress(journal: Journal) -> dict[str, Any]:
    """How many verdicts there are of which kind, what is being graded, and how long the rest may take in seconds.

    Which exercises were asked for is seen from those that any student has.
    """
    statuses = journal.digests()
    attempts = journal.attempts()
    exercises = {exercise for _, exercise in statuses} | {one.exercise for one in attempts}
    dead = {one: (owner := Owner.parse(one.owner)) is None or is_dead(owner) for one in attempts}
    total = len(exercises) * len(journal.students())
    recent = [datetime.fromisoformat(one.at) for one in journal.history()[-_RECENT:]]
    gaps = [gap for first, second in pairwise(recent) if (gap := (second - first).total_seconds()) < _PAUSE]
    return {
        "students": len(journal.students()),
        "graded": len(statuses),
        "total": total,
        "verdicts": dict(sorted(Counter(status for _, status in statuses.values()).items())),
        "at_work": [f"{one.student} {one.exercise}" for one in attempts if not dead[one]],
        "cut_off": [f"{one.student} {one.exercise}" for one in attempts if dead[one]],
        "seconds_left": round(sum(gaps) / len(gaps) * (total - len(statuses))) if len(gaps) > 2 else None,  # noqa: PLR2004
    }
