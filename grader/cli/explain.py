"""`grader explain`: what the handbook says of an exercise, or of the reason for which a check failed."""

from __future__ import annotations

from pathlib import Path

import click

from grader.api import open_course
from grader.checks import REASONS
from grader.cli.common import complete_ids, examples, terminal
from grader.course.handbook import explanation
from grader.errors import UsageError


@click.command(epilog=examples("grader explain 3.1.4", "grader explain D104", "grader explain cmd_replaced"))
@click.argument("subject", metavar="WHAT", shell_complete=complete_ids)
@click.pass_obj
def command(course: Path | None, subject: str) -> int:
    """Explain an exercise, or the reason for which a check failed.

    WHAT is an exercise's id, or a reason's code or name. The text is the handbook's.
    """
    folder = open_course(course)
    wanted = subject.lower().replace("-", "_")
    for exercise in folder.course.exercises:
        if exercise.id.lower() == wanted:
            text = explanation(folder.root, exercise.id)
            terminal().page(
                text or f"The course has no page on {exercise.id}. `grader show {exercise.id}` has its text.\n"
            )
            return 0
    for reason in REASONS.values():
        if wanted in {reason.code.lower(), reason.name}:
            hint = folder.course.hints.get(reason.name, "")
            parts = (f"# {reason.code} {reason.name}", reason.when, hint, explanation(folder.root, reason.name))
            terminal().page("\n\n".join(part.strip() for part in parts if part) + "\n")
            return 0
    raise UsageError(f"{subject}: neither an exercise (`grader list`) nor a reason such as D104 or cmd_replaced.")
