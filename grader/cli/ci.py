"""One submission on a platform's own machine: in CI (`grader ci`), and as Gradescope's autograder.

Gradescope starts `/autograder/run_autograder` in a container, with the work in `/autograder/submission`, and reads
`/autograder/results/results.json` (docs/specs.md of its autograder samples). There is no Docker engine in it, so the
autograder is told of one of the course's own.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from grader import __version__
from grader.api import find_work, fresh_seed, grade_work
from grader.cli import common
from grader.cli.check import CheckOptions, files_of, grade_path
from grader.cli.console import Console
from grader.course.loader import CourseFolder
from grader.errors import EnvironmentProblem
from grader.files import write_whole
from grader.grading.scoring import Details, for_student
from grader.models import Report
from grader.reports import wording as words
from grader.reports.ci import (
    Annotation,
    annotated,
    code_quality,
    escaped_log,
    job_summary,
    step_outputs,
    workflow_commands,
)
from grader.reports.gradescope import to_gradescope
from grader.reports.json import to_json
from grader.reports.junit import to_junit
from grader.reports.text import TextOptions, plain, report_lines
from grader.submissions.models import Submission

told_option = click.option(
    "--details", type=common.DETAILS, default="full", show_default=True, help="How much a failed check tells."
)


@common.course_command("grader ci", "grader ci submission/ --out grader-results --exit-zero")
@common.path_argument
@common.exercises_option
@common.seed_option
@click.option(
    "--out", type=common.FOLDER, default="grader-results", show_default=True,
    help="Folder for junit.xml and results.json; on GitLab also gl-code-quality.json.",
)  # fmt: skip
@told_option
@common.exit_zero_option
def ci_command(folder: CourseFolder, console: Console, *, out: Path, **given: Any) -> int:
    """Check one submission in CI: annotations, job summary, junit.xml, results.json, exit code.

    On GitHub Actions the step has the outputs score, max-score and status. The files are written also where nothing
    could be graded (exit code 3): then they say why.
    """
    options = CheckOptions(folder=folder, **given)
    graded = grade_path(console, options, every=True)
    if graded.problem:
        console.note(f"grader: {graded.problem}")
    report = graded.report
    remarks = annotated(report, functools.partial(_place, graded.target.submission, os.environ))
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
    return common.exit_code(report, exit_zero=options.exit_zero)


def _tell_github(console: Console, report: Report, title: str, remarks: list[Annotation], text: str) -> None:
    """The log, annotations, the job's summary and the step's outputs.

    What students wrote stands between `::stop-commands::` and its token, so that it cannot speak to the platform.
    """
    console.data(escaped_log(text, secrets.token_hex(16)))
    console.data("".join(f"{line}\n" for line in workflow_commands(remarks)))
    appended = {"GITHUB_STEP_SUMMARY": job_summary(report, title), "GITHUB_OUTPUT": step_outputs(report)}
    for variable, content in appended.items():
        if path := os.environ.get(variable):
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(content)


def _place(
    submission: Submission, environment: Mapping[str, str], exercise: str, name: str, line: int | None
) -> tuple[str, int | None]:
    """Where a file is in the repository. What is not there has no place, nor has a line past its end.

    The repository's root is what the platform says, else the nearest folder above that git knows, else this one.
    """
    files = files_of(submission, exercise)
    content = files.content(name) if files else None
    if files is None or content is None:
        return "", None
    file = Path(files.folder).resolve() / name
    said = environment.get("GITHUB_WORKSPACE") or environment.get("CI_PROJECT_DIR")
    above = (folder for folder in file.parents if (folder / ".git").exists())
    root = Path(said).resolve() if said else next(above, Path.cwd())
    if not (file.is_relative_to(root) and file.is_file()):  # an archive's files are in no repository
        return "", None
    return file.relative_to(root).as_posix(), line if line and line <= len(content.splitlines()) else None


# ── Gradescope ──────────────────────────────────────────────────────────────────────────

_SCRIPTS = Path(__file__).parent / "gradescope"
"""What Gradescope runs, but for VERSION and EXERCISES, and an example of an engine's address."""


@common.course_command(
    "grader gradescope --zip autograder.zip",
    "grader gradescope --zip autograder.zip --engine-env engine.env --exercise 3.1.4",
)
@click.option("--zip", "packed", type=common.ANY_PATH, help="Write an autograder to upload, instead of grading.")
@click.option("--engine-env", type=common.FILE, help="With --zip: the file that names the engine (DOCKER_HOST=…).")
@common.exercises_option
@click.option(
    "--submission",
    type=common.FOLDER,
    default=Path("/autograder/submission"),
    show_default=True,
    help="The work to grade.",
)
@click.option(
    "--results",
    type=common.FOLDER,
    default=Path("/autograder/results"),
    show_default=True,
    help="Where results.json goes.",
)
@told_option
def gradescope_command(
    folder: CourseFolder,
    console: Console,
    *,
    packed: Path | None,
    engine_env: Path | None,
    exercises: tuple[str, ...],
    submission: Path,
    results: Path,
    details: Details,
) -> int:
    """Make an autograder for Gradescope (--zip), or grade as one: without an engine there are no results, not zeros."""
    if packed:
        write_whole(packed, _autograder(folder, exercises, engine_env or _SCRIPTS / "engine.env"))
        console.note(f"Written: {packed}. On Gradescope: Configure Autograder > Zip file upload.")
        if not engine_env:
            console.note("Put your engine into its engine.env, or name a file with it by --engine-env.")
        return 0
    target = find_work(folder, submission, exercises, every=True)
    with console.working() as emit:
        report = grade_work(folder, target, fresh_seed(), tier="private", whose="known", emit=emit, say=console.note)
    if missing := [exercise for _, exercise in words.ungraded([report])]:
        names = ", ".join(exercise.id for exercise in missing)
        why = "; ".join(dict.fromkeys(exercise.message for exercise in missing))
        raise EnvironmentProblem(f"Not graded: {names}. No results are written, so nobody gets a 0. {why}")
    write_whole(results / "results.json", to_gradescope(for_student(report, details)))
    return 0


def _autograder(folder: CourseFolder, exercises: tuple[str, ...], env: Path) -> bytes:
    """The zip: Gradescope's two scripts, the engine's address, and the course without its solutions."""
    chosen = " ".join(f"--exercise {name}" for name in exercises)
    files = {"engine.env": (0o644, env.read_bytes())}
    for name in ("setup.sh", "run_autograder"):
        script = (_SCRIPTS / name).read_text(encoding="utf-8")
        files[name] = (0o755, script.replace("VERSION", __version__).replace("EXERCISES", chosen).encode())
    for path in (folder.root / "exercises.yaml", folder.predictor):
        if path.is_file():
            files[f"course/{path.relative_to(folder.root).as_posix()}"] = (0o644, path.read_bytes())
    return common.packed_zip(files)
