"""`grader show`: one exercise's text."""

from __future__ import annotations

from pathlib import Path

import click

from grader.api import chosen_exercises, open_course
from grader.cli.common import complete_ids, examples, terminal


@click.command(epilog=examples("grader show 3.1.4"))
@click.argument("identifier", metavar="ID", shell_complete=complete_ids)
@click.pass_obj
def command(course: Path | None, identifier: str) -> int:
    """Show one exercise: what is asked, what is given, how to try it, what is checked."""
    (exercise,) = chosen_exercises(open_course(course), [identifier])
    checks = "\n".join(f"- {check.title}" for check in exercise.checks)
    files = ", ".join(f"`{name}`" for name in exercise.files)
    points = f"{exercise.points:g}{' bonus' if exercise.bonus else ''} points"
    terminal().page(
        f"# {exercise.id}  {exercise.title}\n\n{exercise.text}\n## Worth {points}\n\n{checks}\n\nHand in: {files}\n\n"
        f"The handbook on it: `grader explain {exercise.id}`\n"
    )
    return 0
