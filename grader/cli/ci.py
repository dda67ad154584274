"""`grader ci`: one submission in CI. Annotations on standard output, files for what reads files."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import click

from grader.cli.check import CheckOptions, Graded, grade_path
from grader.cli.common import (
    ANY_PATH,
    DETAILS,
    FOLDER,
    examples,
    exercises_option,
    exit_code,
    exit_zero_option,
    seed_option,
    terminal,
)
from grader.cli.console import Console
from grader.files import write_whole
from grader.reports.github import escaped_log, job_summary, workflow_commands
from grader.reports.json import to_json
from grader.reports.junit import to_junit
from grader.reports.text import TextOptions, plain, report_lines
from grader.submissions.models import Submission


@click.command(epilog=examples("grader ci", "grader ci submission/ --out grader-results --exit-zero"))
@click.argument("path", metavar="[PATH]", required=False, type=ANY_PATH)
@exercises_option
@seed_option
@click.option(
    "--out", type=FOLDER, default=Path("grader-results"), show_default=True,
    help="Folder for junit.xml and results.json.",
)  # fmt: skip
@click.option("--details", type=DETAILS, default="full", show_default=True, help="How much a failed check tells.")
@exit_zero_option
@click.pass_obj
def command(course: Path | None, /, out: Path, **given: Any) -> int:
    """Check one submission in CI: annotations, job summary, junit.xml, results.json, exit code."""
    options = CheckOptions(course=course, **given)
    console = terminal()
    graded = grade_path(console, options, every=True)
    report = graded.report
    write_whole(out / "results.json", to_json(report))
    write_whole(out / "junit.xml", to_junit([report]))
    _show(console, graded)
    return exit_code(report, exit_zero=options.exit_zero)


def _show(console: Console, graded: Graded) -> None:
    """The report, with workflow commands and a job summary where the platform is GitHub's.

    What students wrote stands between `::stop-commands::` and its token, so that it cannot
    speak to the platform.
    """
    report = graded.report
    options = TextOptions(width=console.width, everything=True, verbose=True, source=graded.line)
    text = plain(report_lines(report, options))
    if os.environ.get("GITHUB_ACTIONS") != "true":
        console.data(text)
        return
    console.data(escaped_log(text, secrets.token_hex(16)))
    console.data("".join(f"{line}\n" for line in workflow_commands(report, _folders(graded.target.submission))))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(job_summary(report))


def _folders(submission: Submission) -> dict[str, str]:
    """The folder of each exercise as the repository names it: relative to its root, where GitHub says which that is."""
    root = Path(os.environ.get("GITHUB_WORKSPACE") or Path.cwd()).resolve()
    folders = {one.exercise: Path(one.folder).resolve() for one in submission.exercises}
    return {
        name: folder.relative_to(root).as_posix().removeprefix(".") if folder.is_relative_to(root) else str(folder)
        for name, folder in folders.items()
    }
