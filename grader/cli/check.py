"""`grader check`: a student's own work, on the student's own engine (commands.sh and Compose in a private one)."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from grader.api import find_work, grade_work
from grader.checks.base import CheckContext
from grader.cli import common
from grader.cli.console import Console
from grader.cli.progress import Progress, after_attempt, next_exercise, read_progress, what_changed, write_progress
from grader.course.loader import CourseFolder
from grader.course.models import Course
from grader.errors import EnvironmentProblem, GraderError, UsageError
from grader.grading.exercise import not_graded, not_submitted
from grader.grading.scoring import Details, for_student, with_totals
from grader.models import EngineInfo, Report
from grader.reports.text import BLANK, Line, TextOptions, first_failed, first_unfinished, paragraph, report_lines
from grader.sanitize import sanitize_line
from grader.submissions.models import COMPOSE_NAMES, ExerciseFiles, Submission
from grader.submissions.reader import Target

if TYPE_CHECKING:
    from grader.checks.static import Remark


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """The course, and what the command line says."""

    folder: CourseFolder
    path: Path
    exercises: tuple[str, ...]
    seed: int
    details: Details
    exit_zero: bool
    form: Literal["text", "json"] = "text"
    watch: bool = False
    hint: bool = False
    everything: bool = False
    verbose: bool = False
    advice: bool = False


@common.course_command(
    "grader check",
    "grader check 3.1.4 --hint",
    "grader check my-work --exercise 3.1.4 --exercise 3.1.5",
    "grader check --format json > report.json",
)
@common.path_argument
@common.exercises_option
@common.seed_option
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="For people, or one JSON document.",
)  # fmt: skip
@click.option(
    "--details", type=common.DETAILS, default="full", show_default=True,
    help="How much a failed check tells: all, not what was expected, or nothing.",
)  # fmt: skip
@click.option("--hint", is_flag=True, help="Give the next step of the hint for the first failure.")
@click.option("--all", "everything", is_flag=True, help="Show every check in full, not just the first failure.")
@click.option("--verbose", is_flag=True, help="Also show the engine, its builder and the seed.")
@click.option("--advice", is_flag=True, help="Also say what could be better, which costs no points.")
@click.option("--watch", is_flag=True, help="Check again whenever a file changes, until Ctrl-C.")
@common.exit_zero_option
def check_command(folder: CourseFolder, console: Console, **given: Any) -> int:
    """Check your own work.

    PATH is an exercise's folder or a folder of them (default: here), or an exercise's ID, whose folder may be here,
    above, or beside this one.
    """
    options = CheckOptions(folder=folder, **given)
    graded = _check(console, options)
    if options.watch:
        graded = _watch(console, options, graded)
    return common.exit_code(graded.report, exit_zero=options.exit_zero)


@dataclass(frozen=True, slots=True)
class Graded:
    """What a path held, what the student may see of it, and why this machine cannot grade now, if so."""

    target: Target
    report: Report
    problem: EnvironmentProblem | None = None

    def line(self, exercise: str, file: str, line: int) -> str:
        """A line of a submitted file, from 1; "" where there is none."""
        found = files_of(self.target.submission, exercise)
        content = found.content(file) if found else None
        lines = (content or b"").decode("utf-8", "replace").splitlines()
        return lines[line - 1] if 0 < line <= len(lines) else ""


def files_of(submission: Submission, exercise: str) -> ExerciseFiles | None:
    """What was handed in for an exercise, if it may be graded."""
    found = (one for one in submission.exercises if one.exercise == exercise and isinstance(one, ExerciseFiles))
    return next(found, None)


def grade_path(console: Console, options: CheckOptions, *, every: bool) -> Graded:
    """Read what the path holds and grade it.

    With `every`, exercises that are asked for and absent count as not submitted.
    """
    target = find_work(options.folder, options.path, options.exercises, every=every)
    try:
        with console.working() as emit:
            report = grade_work(options.folder, target, options.seed, emit=emit, say=console.note)
        return Graded(target, for_student(report, options.details))
    except EnvironmentProblem as problem:
        return Graded(target, _nothing_graded(target, options.seed, problem), problem)


def _nothing_graded(target: Target, seed: int, problem: EnvironmentProblem) -> Report:
    present = {one.exercise for one in target.submission.exercises}
    exercises = (not_graded(one, str(problem)) if one.id in present else not_submitted(one) for one in target.exercises)
    return with_totals(Report(target.submission.student, seed, EngineInfo("no engine", "", "none"), tuple(exercises)))


def _check(console: Console, options: CheckOptions) -> Graded:
    """Grade once, show the report, keep the points on this machine. `EnvironmentProblem` is raised after the report."""
    course = options.folder.course
    graded = grade_path(console, options, every=bool(options.exercises))
    report, problem = graded.report, graded.problem
    before = read_progress(course)
    folders = {one.exercise: str(Path(one.folder).resolve()) for one in graded.target.submission.exercises}
    now = after_attempt(before, report, folders)
    hint_step = _next_hint(now, report, more=options.hint)
    if not problem:
        write_progress(course, now)
    if options.form == "json":
        from grader.reports.json import to_json

        console.data(to_json(report))
    elif not problem:
        shown = TextOptions(
            width=console.width,
            everything=options.everything,
            verbose=options.verbose,
            hint_step=hint_step,
            changed={
                one.id: what_changed(before[one.id], one)
                for one in report.exercises
                if before[one.id].folder == folders.get(one.id)  # not another student's
            },
            source=graded.line,
            then=_then(course, now),
        )
        if options.watch:
            console.clear()
        console.write(report_lines(report, shown))
    if options.form == "text" and (problem or options.advice):
        width = console.width
        console.write(_lines_of_files(course, graded.target, width, graded=not problem, advise=options.advice))
    if problem:
        raise problem
    return graded


def _next_hint(progress: Progress, report: Report, *, more: bool) -> int:
    """How much of the first failure's hint is shown, which is kept in `progress`: as before, or one step `more`.

    Another failure begins with the first step again.
    """
    exercise = first_unfinished(report)
    failed = first_failed(exercise)
    if exercise is None or failed is None:
        return 0
    kept = progress[exercise.id]
    about = f"{failed.id} {failed.reason}"
    step = (kept.hint_step if kept.hinted == about else 0) + more
    progress[exercise.id] = replace(kept, hinted=about, hint_step=step)
    return step


def _then(course: Course, progress: Progress) -> str:
    """What comes after full marks."""
    following = next_exercise(course, progress)
    if following is None:
        return "all exercises have full marks: `grader submit` makes a zip to hand in."
    return f"full marks. {following.id} ({following.title}) comes next: `grader next`"


def _lines_of_files(course: Course, target: Target, width: int, *, graded: bool, advise: bool) -> Iterator[Line]:
    """Exercise by exercise: mistakes, where nothing was graded, and advice that costs no points."""
    from grader.checks import static  # no other check needs it

    for exercise in target.exercises:
        if files := files_of(target.submission, exercise.id):
            context = CheckContext(course, exercise, files, (), "")
            if not graded:
                title = f"{exercise.id}  {exercise.title}: not graded, only the files were looked at"
                none = "No mistake shows in the files. What they do shows only with an engine."
                yield from _remark_lines(title, static.static_findings(context), none, width)
            if advise:
                title = f"Advice for {exercise.id}, which costs no points"
                remarks = static.advice(context)
                for code, message, line in _of_hadolint(files.content("Dockerfile")):
                    remarks.append(static.Remark(f"{message} ({code})", "Dockerfile", line))
                yield BLANK
                yield from _remark_lines(title, remarks, "None: well done.", width)


def _remark_lines(title: str, remarks: list[Remark], none: str, width: int) -> Iterator[Line]:
    yield from paragraph("heading", sanitize_line(title), "", width)
    for remark in remarks:
        where = f"{remark.file}:{remark.line}" if remark.line else remark.file
        yield from paragraph("plain", f"{sanitize_line(where)}  {sanitize_line(remark.message)}", "  ", width)
    if not remarks:
        yield from paragraph("plain", none, "  ", width)


def _of_hadolint(dockerfile: bytes | None) -> list[tuple[str, str, int]]:
    """Code, message and line of what hadolint (github.com/hadolint/hadolint) says, where it is installed."""
    program = shutil.which("hadolint")
    if program is None or dockerfile is None:
        return []
    command = [program, "--no-fail", "--format", "json", "-"]
    try:
        done = subprocess.run(command, input=dockerfile, capture_output=True, timeout=20, check=False)
        return [(str(one["code"]), str(one["message"]), int(one["line"])) for one in json.loads(done.stdout)]
    except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
        return []


def _watch(console: Console, options: CheckOptions, graded: Graded) -> Graded:
    """Check again whenever what is handed in changes, until Ctrl-C; gives the last report."""
    try:
        from watchfiles import watch
    except ImportError as error:
        raise UsageError("--watch needs the package watchfiles: pip install 'docker-exercise-grader[watch]'") from error
    target = graded.target
    options = replace(options, hint=False)  # one step was asked for, not one for each save
    events = watch(*{Path(one.folder) for one in target.submission.exercises}, debounce=_DEBOUNCE)
    seen = _handed_in(target)
    try:
        while True:
            at = time.strftime("%H:%M:%S")
            with console.waiting(f"{at}  Watching {', '.join(one.id for one in target.exercises)}. Ctrl-C stops."):
                while (now := _handed_in_now(options)) in {None, seen}:
                    next(events)
            seen = now
            try:
                graded = _check(console, options)
            except GraderError as error:  # such as an engine that is away: the next change is another attempt
                console.note(f"grader: {error}", "failed")
    except KeyboardInterrupt:
        console.note("Stopped watching.", "faint")
        return graded


def _handed_in_now(options: CheckOptions) -> frozenset[object] | None:
    """What is handed in; None of a folder that is just being moved or written anew."""
    with suppress(UsageError):
        return _handed_in(find_work(options.folder, options.path, options.exercises, every=False))
    return None


def _handed_in(target: Target) -> frozenset[object]:
    """The deliverables, and beside them what a Dockerfile or Compose file names, and modules of Python.

    What an editor, a run or a cache leaves in the folder is not among them.
    """
    named = {name for exercise in target.exercises for name in exercise.files} | {*_NAMING}
    found: set[object] = set()
    for one in target.submission.exercises:
        if not isinstance(one, ExerciseFiles):
            found.add(one)
            continue
        text = b"\n".join(file.content for file in one.files if file.path in _NAMING)
        found |= {
            (one.exercise, file)
            for file in one.files
            if file.path in named or file.path.endswith(".py") or file.path.partition("/")[0].encode() in text
        }
    return frozenset(found)


_NAMING = ("Dockerfile", "dockerfile", "Dockerfile.dockerignore", ".dockerignore", *COMPOSE_NAMES)
"""Files that say which others count."""
_DEBOUNCE = 100
"""Milliseconds for which changes are gathered: an editor writes several times for each save."""
