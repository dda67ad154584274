"""`grader ci`: one submission in CI. Annotations on standard output, files for what reads files."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from grader.cli.check import CheckOptions, exit_code, grade_path
from grader.cli.common import terminal
from grader.cli.console import Console
from grader.files import write_whole
from grader.grading.scoring import Details
from grader.models import Report
from grader.reports.github import job_summary, shielded, workflow_commands
from grader.reports.json import to_json
from grader.reports.junit import to_junit
from grader.reports.text import plain, report_lines


@dataclass(frozen=True, slots=True)
class CiOptions:
    """What the command line says."""

    course: Path | None
    path: Path
    exercises: tuple[str, ...]
    seed: int | None
    out: Path
    details: Details


def check_in_ci(options: CiOptions) -> int:
    """Grade every exercise asked for; those that are absent count as not submitted."""
    console = terminal()
    asked = CheckOptions(
        options.course, options.path, options.exercises, options.seed, "text", options.details, watch=False
    )
    report = grade_path(console, asked, every=True)
    write_whole(options.out / "results.json", to_json(report))
    write_whole(options.out / "junit.xml", to_junit([report]))
    _tell(console, report, options.path)
    return exit_code(report)


def _tell(console: Console, report: Report, path: Path) -> None:
    """The report, with workflow commands and a job summary where the platform is GitHub's.

    What students wrote stands between `::stop-commands::` and its token, so that it cannot
    speak to the platform.
    """
    text = plain(report_lines(report, console.width))
    if os.environ.get("GITHUB_ACTIONS") != "true":
        console.data(text)
        return
    console.data(shielded(text, secrets.token_hex(16)))
    console.data("".join(f"{command}\n" for command in workflow_commands(report, _folders(report, path))))
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(job_summary(report))


def _folders(report: Report, path: Path) -> dict[str, str]:
    """Each exercise's folder as the repository names it: relative to the working directory."""
    root = path.resolve()
    here = Path.cwd().resolve()
    found = {}
    for exercise in report.exercises:
        folder = root if root.name.lower() == exercise.id.lower() else root / exercise.id
        found[exercise.id] = folder.relative_to(here).as_posix() if folder.is_relative_to(here) else folder.as_posix()
    return found
