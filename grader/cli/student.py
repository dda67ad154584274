"""What a student does around `grader check`: list, show, explain, start, next, progress, submit."""

from __future__ import annotations

import os
from pathlib import Path

import click

from grader.api import chosen_exercises
from grader.checks import REASONS
from grader.cli import common
from grader.cli.console import Console
from grader.cli.progress import Kept, next_exercise, read_progress
from grader.course.handbook import explanation
from grader.course.loader import CourseFolder, start_exercise
from grader.course.models import Course, Exercise, folder_key
from grader.errors import UsageError
from grader.files import write_whole
from grader.reports import wording as words
from grader.reports.text import BLANK, Line, Style, paragraph, spread, table_lines
from grader.submissions.models import COMPOSE_NAMES, ExerciseFiles, RefusedFolder, Submission
from grader.submissions.reader import find_target

id_argument = click.argument("identifier", metavar="ID", shell_complete=common.complete_ids)

# ── what is asked ───────────────────────────────────────────────────────────────────────


@common.course_command("grader list")
def list_command(folder: CourseFolder, console: Console) -> None:
    """List the exercises with their points, and the points you have."""
    progress = read_progress(folder.course)
    rows = []
    for one in folder.course.exercises:
        score = progress[one.id].score
        yours = "" if score is None else f"{words.number(score)}{' ✓' if score == one.points else ''}"
        rows.append((one.id, one.title, _worth(one), yours))
    console.write([(("heading", folder.course.title),)])
    console.write(table_lines(("Exercise", "Title", "Points", "Yours"), rows))
    console.note("Read one with `grader show ID`, begin with `grader start ID`; `grader next` names the next one.")


@common.course_command("grader show 3.1.4")
@id_argument
def show_command(folder: CourseFolder, console: Console, identifier: str) -> None:
    """Show one exercise: what is asked, what is given, how to try it, what is checked."""
    (exercise,) = chosen_exercises(folder, [identifier])
    checks = "\n".join(f"- {check.title}" for check in exercise.checks)
    files = ", ".join(f"`{name}`" for name in exercise.files)
    console.page(
        f"# {exercise.id}  {exercise.title}\n\n{exercise.text}\n## Worth {_worth(exercise)} points\n\n{checks}\n\n"
        f"Hand in: {files}\n\nThe handbook on it: `grader explain {exercise.id}`\n"
    )


def _worth(exercise: Exercise) -> str:
    return f"{exercise.points:g}{' bonus' if exercise.bonus else ''}"


@common.course_command("grader explain 3.1.4", "grader explain D104", "grader explain cmd_replaced")
@click.argument("subject", metavar="WHAT", shell_complete=common.complete_ids)
def explain_command(folder: CourseFolder, console: Console, subject: str) -> None:
    """Explain an exercise, or the reason for which a check failed.

    WHAT is an exercise's id, or a reason's code or name. The text is the handbook's.
    """
    wanted = subject.lower().replace("-", "_")
    for exercise in folder.course.exercises:
        if exercise.id.lower() == wanted:
            none = f"The course has no page on {exercise.id}. `grader show {exercise.id}` has its text.\n"
            console.page(explanation(folder.root, exercise.id) or none)
            return
    for reason in REASONS.values():
        if wanted in {reason.code.lower(), reason.name}:
            hint = folder.course.hints.get(reason.name, "")
            parts = (f"# {reason.code} {reason.name}", reason.when, hint, explanation(folder.root, reason.name))
            console.page("\n\n".join(part.strip() for part in parts if part) + "\n")
            return
    raise UsageError(f"{subject}: neither an exercise (`grader list`) nor a reason such as D104 or cmd_replaced.")


# ── where one is ────────────────────────────────────────────────────────────────────────


@common.course_command("grader start 3.1.4", "grader start 3.1.4 my-work/3.1.4")
@id_argument
@click.argument("directory", metavar="[DIR]", required=False, type=common.ANY_PATH)
def start_command(folder: CourseFolder, console: Console, identifier: str, directory: Path | None) -> None:
    """Copy an exercise's starter files to DIR. Existing files stay.

    Without DIR, a folder named by the ID is made here; in the folder of another exercise, beside that one.
    """
    (exercise,) = chosen_exercises(folder, [identifier])
    target = _place_for(folder.course, exercise, directory)
    copied, kept = start_exercise(folder, exercise, target)
    for path in copied:
        console.note(f"copied      {path}")
    for path in kept:
        console.note(f"left alone  {path} (it was there already)")
    go = "" if target.resolve() == Path.cwd() else f"`{_change_folder(target)}`, "
    console.note(f"Next: {go}`grader show {exercise.id}` (the task), `grader check`.")


def _place_for(course: Course, exercise: Exercise, directory: Path | None = None) -> Path:
    """The folder to fill: never one within an exercise's own, whose files would then be handed in with it.

    `UsageError` if `directory` says so.
    """
    ids = {folder_key(one.id): one.id for one in course.exercises}
    if directory is None:
        here = Path.cwd()
        around = next((place.parent for place in (here, *here.parents) if folder_key(place.name) in ids), here)
        there = [place for place in around.iterdir() if folder_key(place.name) == folder_key(exercise.id)]
        return Path(os.path.relpath(next((place for place in there if place.is_dir()), around / exercise.id)))
    for place in directory.absolute().resolve().parents:
        if folder_key(place.name) in ids:
            raise UsageError(
                f"{directory}: lies in the folder of {ids[folder_key(place.name)]}, and would be handed in with it. "
                f"Name a folder beside it: {place.parent / exercise.id}"
            )
    return directory


def _change_folder(path: Path) -> str:
    """The command that goes to a folder, for bash, zsh and PowerShell."""
    return f'cd "{path}"' if " " in str(path) else f"cd {path}"


@common.course_command("grader next")
def next_command(folder: CourseFolder, console: Console) -> None:
    """Say which exercise is next, and how to begin or go on with it."""
    width = console.width
    progress = read_progress(folder.course)
    exercise = next_exercise(folder.course, progress)
    if exercise is None:
        console.write(paragraph("passed", "All exercises have full marks.", "", width))
        console.write(paragraph("heading", "Next: `grader submit` makes a zip to hand in.", "", width))
        return
    kept = progress[exercise.id]
    points = words.points(kept.score, exercise.points)
    console.write(spread((("heading", f"{exercise.id}  "),), "heading", exercise.title, ("heading", points), width))
    console.write(paragraph("plain", exercise.text.partition("\n\n")[0], "  ", width))
    if kept.attempts:
        console.write([BLANK, *paragraph("faint", f"Last checked {kept.attempts[-1].shown}.", "  ", width)])
    there = bool(kept.folder) and Path(kept.folder).is_dir()
    place = Path(os.path.relpath(kept.folder)) if there else _place_for(folder.course, exercise)
    begin = [] if there else [f"grader start {exercise.id}"]
    commands = [*begin, _change_folder(place), f"grader show {exercise.id}", "grader check"]
    console.write([BLANK, *((("command", f"  {line}"),) for line in commands if line != "cd .")])


@common.course_command("grader progress")
def progress_command(folder: CourseFolder, console: Console) -> None:
    """Show how far you are: each exercise's points, attempts and last change.

    `grader check` keeps them on this machine. The course's own marks may differ.
    """
    course = folder.course
    progress = read_progress(course)
    width = console.width
    console.write([(("heading", course.title),)])
    for exercise in course.exercises:
        console.write(_row(exercise, progress[exercise.id], width))
    score = sum(progress[exercise.id].score or 0 for exercise in course.exercises)
    total = words.points(score, sum(exercise.points for exercise in course.exercises if not exercise.bonus))
    console.write(spread((("heading", "Total"),), "plain", "", ("heading", total), width))
    following = next_exercise(course, progress)
    then = (
        f"{following.id} ({following.title}): `grader next`" if following else "`grader submit` makes a zip of it all"
    )
    console.write(paragraph("heading", f"Next: {then}.", "", width))


def _row(exercise: Exercise, kept: Kept, width: int) -> list[Line]:
    """`✓ 3.1.4  Pass the weeks as arguments      3 tries, 28 Nov 14:02, 4 → 10    10 / 10`."""
    style: Style = "faint" if not kept.attempts else "passed" if kept.score == exercise.points else "failed"
    sign = {"faint": "· ", "passed": "✓ ", "failed": "✗ "}[style]
    facts = ""
    if kept.attempts:
        scores = [attempt.score for attempt in kept.attempts]
        last = next((one for one in reversed(scores) if one != scores[-1]), None)
        change = "" if last is None else f", {words.number(last)} → {words.number(scores[-1])}"
        facts = f"{len(scores)} {'try' if len(scores) == 1 else 'tries'}, {kept.attempts[-1].shown}{change}"
    points = words.points(kept.score, exercise.points).rjust(len("7.75 / 10"))
    room = width - len("✓ 3.1.4 ") - len(facts) - len(points) - 4
    title = exercise.title if len(exercise.title) <= room else f"{exercise.title[: room - 1]}…"
    label: Line = ((style, sign), ("plain", f"{exercise.id:6}"))
    return list(spread(label, "plain", title, (style, f"{facts}  {points}"), width))


# ── handing in ──────────────────────────────────────────────────────────────────────────


@common.course_command("grader submit", "grader submit 3.1.4", "grader submit my-work --name ada --anyway")
@common.path_argument
@common.exercises_option
@click.option("--name", help="What you are called in the course; the zip is NAME.zip. Default: the folder's name.")
@click.option("--anyway", is_flag=True, help="Also make it where files are missing.")
def submit_command(
    folder: CourseFolder, console: Console, path: Path, exercises: tuple[str, ...], name: str | None, *, anyway: bool
) -> None:
    """Make a zip of your work to hand in, after a look that all files are there.

    PATH is a folder with the exercises' folders (default: here), one exercise's folder, or an exercise's ID.
    """
    selected = chosen_exercises(folder, exercises)
    target = find_target(path, folder.course, selected, every=False)
    submitted = target.submission.exercises
    problems = [problem for one in submitted for problem in _problems(one, target.exercises)]
    if not submitted:
        problems = ["There is no exercise's folder here."]
    if problems and not (anyway and submitted):
        closing = "No zip was made. Add what is missing, or hand in without: `--anyway`."
        raise UsageError("\n".join([*problems, closing]))
    out = _zip_path(target.submission, name)
    again = out.exists()
    write_whole(out, _zipped(target.submission))
    progress = read_progress(folder.course)
    for one in submitted:
        score = progress[one.exercise].score
        found = "not checked yet" if score is None else f"{words.number(score)} points when you last checked it"
        console.note(f"{one.exercise:6}  {len(one.files) if isinstance(one, ExerciseFiles) else 0} files, {found}")
    for problem in problems:
        console.note(problem, "failed")
    console.note(f"Next: hand in {out}{' (it replaced the one before)' if again else ''}.")


_ALSO = {"Dockerfile": ("dockerfile",), **dict.fromkeys(COMPOSE_NAMES, COMPOSE_NAMES)}
"""Names under which a file may be there instead."""


def _problems(one: ExerciseFiles | RefusedFolder, exercises: tuple[Exercise, ...]) -> list[str]:
    """What is wrong with an exercise's files, a sentence each."""
    if isinstance(one, RefusedFolder):
        return [f"{one.exercise}: {refusal.message}" for refusal in one.refusals]
    wanted = next(exercise.files for exercise in exercises if exercise.id == one.exercise)
    there = {file.path for file in one.files}
    missing = [name for name in wanted if not there & {name, *_ALSO.get(name, ())}]
    return [f"{one.exercise}: there is no file {name} in {one.folder}." for name in missing]


def _zip_path(submission: Submission, name: str | None) -> Path:
    """Where the zip goes: never into an exercise's folder, with which it would be handed in the next time."""
    student = name or submission.student
    if "/" in student or "\\" in student or student.startswith("."):
        raise UsageError(f"--name {student}: a file cannot be called so. Use letters, digits, - and _.")
    here = Path.cwd()
    folders = [Path(one.folder).resolve() for one in submission.exercises]
    place = folders[0].parent if any(here.is_relative_to(folder) for folder in folders) else here
    return place / f"{student}.zip"


def _zipped(submission: Submission) -> bytes:
    """The vetted files, each exercise in a folder called by its id; the same bytes for the same files."""
    return common.packed_zip(
        {
            f"{one.exercise}/{file.path}": (file.mode, file.content)
            for one in submission.exercises
            if isinstance(one, ExerciseFiles)
            for file in one.files
        }
    )
