"""`grader list`, `show` and `start`."""

from __future__ import annotations

from pathlib import Path

from grader.cli.common import chosen_exercises, course_at, terminal
from grader.course.folder import start_exercise
from grader.reports.text import table_lines


def list_exercises(option: Path | None) -> int:
    """Print a table of the exercises."""
    course = course_at(option).course
    console = terminal()
    console.write([(("heading", course.title),)])
    rows = [
        (exercise.id, exercise.title, _points(exercise.points, bonus=exercise.bonus)) for exercise in course.exercises
    ]
    console.write(table_lines(("Exercise", "Title", "Points"), rows))
    console.note("Read one with `grader show ID`, begin with `grader start ID`.")
    return 0


def show_exercise(option: Path | None, identifier: str) -> int:
    """Print one exercise's text as a page."""
    folder = course_at(option)
    console = terminal()
    (exercise,) = chosen_exercises(folder, [identifier])
    checks = "\n".join(f"- {check.title}" for check in exercise.checks)
    points = _points(exercise.points, bonus=exercise.bonus)
    handed = ", ".join(f"`{name}`" for name in exercise.files)
    console.page(
        f"# {exercise.id}  {exercise.title}\n\n{exercise.text}\n"
        f"## Worth {points} points\n\n{checks}\n\nHand in: {handed}\n"
    )
    return 0


def start(option: Path | None, identifier: str, directory: Path | None) -> int:
    """Copy an exercise's starter files."""
    folder = course_at(option)
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


def _points(points: float, *, bonus: bool) -> str:
    return f"{points:g}{' bonus' if bonus else ''}"
