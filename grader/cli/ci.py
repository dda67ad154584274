"""`grader ci`: one submission in CI. Annotations on standard output, files for what reads files."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from grader.cli.check import CheckOptions, grade_path
from grader.cli.common import (
    DETAILS,
    FOLDER,
    course_command,
    exercises_option,
    exit_code,
    exit_zero_option,
    path_argument,
    seed_option,
    terminal,
)
from grader.cli.console import Console
from grader.course.loader import CourseFolder
from grader.files import write_whole
from grader.models import Report
from grader.reports.annotations import Annotation, Place, annotated, code_quality
from grader.reports.github import escaped_log, job_summary, step_outputs, workflow_commands
from grader.reports.json import to_json
from grader.reports.junit import to_junit
from grader.reports.text import TextOptions, plain, report_lines
from grader.submissions.models import ExerciseFiles, Submission


@course_command("grader ci", "grader ci submission/ --out grader-results --exit-zero")
@path_argument
@exercises_option
@seed_option
@click.option(
    "--out", type=FOLDER, default=Path("grader-results"), show_default=True,
    help="Folder for junit.xml and results.json; on GitLab also gl-code-quality.json.",
)  # fmt: skip
@click.option("--details", type=DETAILS, default="full", show_default=True, help="How much a failed check tells.")
@exit_zero_option
def ci_command(folder: CourseFolder, *, out: Path, **given: Any) -> int:
    """Check one submission in CI: annotations, job summary, junit.xml, results.json, exit code.

    On GitHub Actions the step has the outputs score, max-score and status. The files are written also where nothing
    could be graded (exit code 3): then they say why.
    """
    options = CheckOptions(folder=folder, **given)
    console = terminal()
    graded = grade_path(console, options, every=True)
    if graded.problem:
        console.note(f"grader: {graded.problem}")
    report = graded.report
    remarks = annotated(report, _places(graded.target.submission, os.environ))
    write_whole(out / "results.json", to_json(report))
    write_whole(out / "junit.xml", to_junit([report]))
    if os.environ.get("GITLAB_CI") == "true":
        write_whole(out / "gl-code-quality.json", code_quality(remarks))
    options_of_text = TextOptions(width=console.width, everything=True, verbose=True, source=graded.line)
    text = plain(report_lines(report, options_of_text))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        _tell_github(console, report, folder.course.title, remarks, text)
    else:
        console.data(text)
    return exit_code(report, exit_zero=options.exit_zero)


def _tell_github(console: Console, report: Report, title: str, remarks: list[Annotation], text: str) -> None:
    """The log, annotations, the job's summary and the step's outputs.

    What students wrote stands between `::stop-commands::` and its token, so that it cannot speak to the platform.
    """
    console.data(escaped_log(text, secrets.token_hex(16)))
    console.data("".join(f"{line}\n" for line in workflow_commands(remarks)))
    appended = {
        "GITHUB_STEP_SUMMARY": job_summary(report, title),
        "GITHUB_OUTPUT": step_outputs(report),
    }
    for variable, content in appended.items():
        if path := os.environ.get(variable):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(content)


def _places(submission: Submission, environment: Mapping[str, str]) -> Place:
    """Where an exercise's file is in the repository. What is not there has no place, nor has a line past its end."""
    handed = {one.exercise: one for one in submission.exercises if isinstance(one, ExerciseFiles)}

    def place(exercise: str, name: str, line: int | None) -> tuple[str, int | None]:
        files = handed.get(exercise)
        content = files.content(name) if files else None
        if files is None or content is None:
            return "", None
        file = Path(files.folder).resolve() / name
        root = _root(file, environment)
        if not (file.is_relative_to(root) and file.is_file()):  # an archive's files are in no repository
            return "", None
        return file.relative_to(root).as_posix(), line if line and line <= len(content.splitlines()) else None

    return place


def _root(file: Path, environment: Mapping[str, str]) -> Path:
    """The repository's root: what the platform says, else the nearest folder above that git knows, else this one."""
    root = environment.get("GITHUB_WORKSPACE") or environment.get("CI_PROJECT_DIR")
    found = (folder for folder in file.parents if (folder / ".git").exists())
    return Path(root).resolve() if root else next(found, Path.cwd())
