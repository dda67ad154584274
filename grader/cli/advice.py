"""What the files alone show, as lines for a terminal: mistakes where no engine can grade, and advice (`--advice`)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

from grader.checks.base import CheckContext
from grader.checks.static import Remark, advice, static_findings
from grader.course.models import Course
from grader.reports.text import BLANK, Line, paragraph
from grader.sanitize import sanitize_line
from grader.submissions.models import ExerciseFiles
from grader.submissions.reader import Target

_HADOLINT_SECONDS = 20


def files_lines(course: Course, target: Target, width: int) -> Iterator[Line]:
    """What was found without an engine, exercise by exercise, and that it is no grading."""
    for context in _contexts(course, target):
        remarks = static_findings(context)
        title = f"{context.exercise.id}  {context.exercise.title}: not graded, only the files were looked at"
        yield from paragraph("heading", sanitize_line(title), "", width)
        yield from _lines(remarks, "No mistake shows in the files. What they do shows only with an engine.", width)


def advice_lines(course: Course, target: Target, width: int) -> Iterator[Line]:
    """Advice that costs no points; that of hadolint too, where it is installed."""
    for context in _contexts(course, target):
        yield BLANK
        yield from paragraph("heading", f"Advice for {context.exercise.id}, which costs no points", "", width)
        yield from _lines([*advice(context), *_of_hadolint(context)], "None: well done.", width)


def _contexts(course: Course, target: Target) -> Iterator[CheckContext]:
    exercises = {exercise.id: exercise for exercise in target.exercises}
    for files in target.submission.exercises:
        if isinstance(files, ExerciseFiles) and files.exercise in exercises:
            yield CheckContext(course, exercises[files.exercise], files, (), "")


def _lines(remarks: list[Remark], none: str, width: int) -> Iterator[Line]:
    for remark in remarks:
        where = f"{remark.file}:{remark.line}" if remark.line else remark.file
        yield from paragraph("plain", f"{sanitize_line(where)}  {sanitize_line(remark.message)}", "  ", width)
    if not remarks:
        yield from paragraph("plain", none, "  ", width)


def _of_hadolint(context: CheckContext) -> Iterator[Remark]:
    """What hadolint (github.com/hadolint/hadolint) says of the Dockerfile; nothing where it is not installed."""
    program, content = shutil.which("hadolint"), context.files.content("Dockerfile")
    if program is None or content is None:
        return
    command = [program, "--no-fail", "--format", "json", "-"]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=_HADOLINT_SECONDS, check=False)
        found = [(str(one["code"]), str(one["message"]), int(one["line"])) for one in json.loads(done.stdout)]
    except (OSError, subprocess.TimeoutExpired, ValueError, LookupError, TypeError):
        return
    for code, message, line in found:
        yield Remark(f"{message} ({code})", "Dockerfile", line)
