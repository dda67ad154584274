"""`grader submit`: a zip of a student's work, which `grader batch` and the platforms' uploads take as it is."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import click

from grader.api import chosen_exercises, open_course
from grader.cli.common import ANY_PATH, complete_ids, examples, exercises_option, terminal
from grader.cli.progress import Kept, read_progress
from grader.course.models import Exercise
from grader.errors import UsageError
from grader.files import write_whole
from grader.reports import wording as words
from grader.submissions.models import COMPOSE_NAMES, ExerciseFiles, RefusedFolder, Submission
from grader.submissions.reader import Selection, find_target, read_submission


@click.command(epilog=examples("grader submit", "grader submit 3.1.4", "grader submit my-work --name ada --anyway"))
@click.argument("path", metavar="[PATH]", required=False, type=ANY_PATH, shell_complete=complete_ids)
@exercises_option
@click.option("--name", help="What you are called in the course; the zip is NAME.zip. Default: the folder's name.")
@click.option("--anyway", is_flag=True, help="Also make it where files are missing.")
@click.pass_obj
def command(
    course: Path | None, path: Path | None, exercises: tuple[str, ...], name: str | None, *, anyway: bool
) -> int:
    """Make a zip of your work to hand in, after a look that all files are there.

    PATH is a folder with the exercises' folders (default: here), one exercise's folder, or an exercise's ID.
    """
    folder = open_course(course)
    selected = chosen_exercises(folder, exercises)
    target = find_target(path or Path.cwd(), folder.course, selected, every=False)
    problems = [problem for one in target.submission.exercises for problem in _problems(one, target.exercises)]
    if not target.submission.exercises:
        problems = ["There is no exercise's folder here."]
    if problems and not (anyway and target.submission.exercises):
        raise UsageError(
            "\n".join([*problems, "No zip was made. Add what is missing, or hand in without: `--anyway`."])
        )
    out = _place(target.submission, name)
    again = out.exists()
    write_whole(out, _zipped(target.submission))
    ids = [one.id for one in folder.course.exercises]
    _read_back(out, target.submission, Selection(ids, ids, folder.course.limits))
    progress = read_progress(folder.course)
    console = terminal()
    for one in target.submission.exercises:
        score = progress.get(one.exercise, Kept()).score
        found = "not checked yet" if score is None else f"{words.number(score)} points when you last checked it"
        console.note(f"{one.exercise:6}  {len(one.files) if isinstance(one, ExerciseFiles) else 0} files, {found}")
    for problem in problems:
        console.note(problem, "failed")
    console.note(f"Next: hand in {out}{' (it replaced the one before)' if again else ''}.")
    return 0


def _problems(one: ExerciseFiles | RefusedFolder, exercises: tuple[Exercise, ...]) -> list[str]:
    """What is wrong with an exercise's files, a sentence each."""
    if isinstance(one, RefusedFolder):
        return [f"{one.exercise}: {refusal.message}" for refusal in one.refusals]
    wanted = next(exercise.files for exercise in exercises if exercise.id == one.exercise)
    there = {file.path for file in one.files}
    either = {**{name: {*COMPOSE_NAMES} for name in COMPOSE_NAMES}, "Dockerfile": {"Dockerfile", "dockerfile"}}
    missing = [name for name in wanted if not there & either.get(name, {name})]
    return [f"{one.exercise}: there is no file {name} in {one.folder}." for name in missing]


def _place(submission: Submission, name: str | None) -> Path:
    """Where the zip goes: never into an exercise's folder, with which it would be handed in the next time."""
    student = name or submission.student
    if "/" in student or "\\" in student or student.startswith("."):
        message = f"--name {student}: a file cannot be called so. Use letters, digits, - and _."
        raise UsageError(message)
    here = Path.cwd()
    inside = any(here.is_relative_to(Path(one.folder).resolve()) for one in submission.exercises)
    outer = Path(submission.exercises[0].folder).resolve().parent
    return (outer if inside else here) / f"{student}.zip"


def _zipped(submission: Submission) -> bytes:
    """The vetted files, each exercise in a folder called by its id; the same bytes for the same files."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in submission.exercises:
            for file in one.files if isinstance(one, ExerciseFiles) else ():
                info = zipfile.ZipInfo(f"{one.exercise}/{file.path}")
                info.external_attr = (0o100000 | file.mode) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, file.content)
    return made.getvalue()


def _read_back(out: Path, submission: Submission, selection: Selection) -> None:
    """Read the zip as `batch` does; it has to hold the same."""
    digests = {one.exercise: one.digest for one in submission.exercises if isinstance(one, ExerciseFiles)}
    read = read_submission(out, selection)
    if {one.exercise: one.digest for one in read.exercises if isinstance(one, ExerciseFiles)} != digests:
        message = f"{out}: does not hold what is in the folder. Was a file changed meanwhile? Try again."
        raise UsageError(message)
