"""`grader export`: a batch's scores for other systems, from its journal alone and, for some, the sheet they gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from grader.batch.journal import Journal
from grader.batch.results import reports_in
from grader.cli.common import ANY_PATH, FOLDER, course_at, examples, exercises_option, pages_option, terminal
from grader.errors import EnvironmentProblem, UsageError
from grader.files import write_whole
from grader.grading.scoring import Details, for_student
from grader.models import Report
from grader.reports.csv import gradebook_csv
from grader.reports.gradebooks import fill_canvas, fill_moodle, marks_of, moodle_import, only, worth_of
from grader.reports.gradescope import to_gradescope
from grader.reports.junit import to_junit
from grader.reports.sheet import Filled, Mark, Sheet, read_sheet
from grader.sanitize import inert_line, safe_name

Target = Literal["csv", "canvas", "moodle", "gradescope", "junit"]

_NAMES: Mapping[Target, str] = {
    "csv": "gradebook.csv",
    "canvas": "canvas.csv",
    "moodle": "moodle.csv",
    "junit": "junit.xml",
}
"""What the one file is called where `--out` does not say it. Gradescope has a folder of files."""


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the command line says."""

    results: Path
    to: Target
    sheet: Path | None
    column: str | None
    exercises: tuple[str, ...]
    out: Path | None
    details: Details | None


@click.command(
    epilog=examples(
        "grader export results/ --to canvas --sheet Grades.csv --column 'Docker exercises'",
        "grader export results/ --to moodle --sheet Grades.csv --exercise 3.1.4",
        "grader export results/ --to gradescope --details none --out gradescope/",
    ),
)
@click.argument("results", type=FOLDER)
@click.option("--to", type=click.Choice(["csv", "canvas", "moodle", "gradescope", "junit"]), required=True)
@click.option("--sheet", type=ANY_PATH, help="The CSV file that Canvas or Moodle gave you; a copy of it is filled in.")
@click.option("--column", metavar="NAME", help="Canvas: the assignment to fill in; added if there is none so called.")
@exercises_option
@click.option("--out", type=ANY_PATH, help="The file or folder to write. Default: in the folder of results.")
@pages_option
@click.pass_obj
def command(course: Path | None, /, **given: Any) -> int:
    """Write a batch's scores for a gradebook, from its journal: the total, or one exercise's. Says who is not in it."""
    options = ExportOptions(**given)
    _check(options)
    folder = course_at(course)
    with Journal.open(options.results) as journal:
        reports = only(reports_in(journal, folder.course), options.exercises)
        if options.details is None and (info := journal.info()):
            options = replace(options, details=info.details)
    marks = marks_of(reports)
    console = terminal()
    done = _gradescope(options, reports, marks) if options.to == "gradescope" else _one_file(options, reports, marks)
    for path, text in done.files.items():
        write_whole(path, text)
    for note in done.notes:
        console.note(note)
    console.note(f"Written: {done.where}, {done.count} of {len(marks)} students with a score.")
    return EnvironmentProblem.exit_code if any(mark.score is None for mark in marks) else 0


def _check(options: ExportOptions) -> None:
    """`UsageError` for options that do not go together."""
    if options.sheet and options.to not in {"canvas", "moodle"}:
        message = f"--sheet is for Canvas and Moodle; --to {options.to} needs none."
        raise UsageError(message)
    if options.column is not None and options.to != "canvas":
        message = f"--column is for Canvas; --to {options.to} knows where its scores belong."
        raise UsageError(message)
    if options.to == "canvas" and not options.sheet:
        message = (
            "Canvas knows its students by numbers of its own, so it needs its own file: in Canvas, open Grades, choose "
            "Export > Export Entire Gradebook, and name the file by --sheet and the assignment by --column."
        )
        raise UsageError(message)


@dataclass(frozen=True, slots=True)
class _Done:
    """What to write, and what the teacher has to be told. `count` are the students with a score in it."""

    where: Path
    files: Mapping[Path, str]
    notes: tuple[str, ...]
    count: int


def _one_file(options: ExportOptions, reports: Sequence[Report], marks: Sequence[Mark]) -> _Done:
    path = _path(options, _NAMES[options.to])
    filled = _filled(options, reports, marks)
    return _Done(path, {path: filled.text}, filled.notes, filled.count)


def _filled(options: ExportOptions, reports: Sequence[Report], marks: Sequence[Mark]) -> Filled:
    sheet = _sheet(options.sheet) if options.sheet else None
    if options.to == "canvas" and sheet:
        return fill_canvas(sheet, marks, (options.column or "").strip(), worth_of(reports))
    if options.to == "moodle":
        named = str(options.results)
        return fill_moodle(sheet, marks, worth_of(reports)) if sheet else moodle_import(marks, named)
    text = gradebook_csv(reports) if options.to == "csv" else to_junit(reports)
    return Filled(text, _ungraded(marks, "the file says so, too"), sum(mark.score is not None for mark in marks))


def _gradescope(options: ExportOptions, reports: Sequence[Report], marks: Sequence[Mark]) -> _Done:
    """A file for everyone who has a score: a file without one would be a zero."""
    folder = options.out or options.results / "gradescope"
    files = {
        folder / f"{safe_name(report.student)}.json": to_gradescope(for_student(report, options.details or "full"))
        for report, mark in zip(reports, marks, strict=True)
        if mark.score is not None
    }
    return _Done(folder, files, _ungraded(marks, "no file is written"), len(files))


def _ungraded(marks: Sequence[Mark], so: str) -> tuple[str, ...]:
    return tuple(f"{inert_line(mark.student)}: {mark.missing}; {so}." for mark in marks if mark.score is None)


def _sheet(path: Path) -> Sheet:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror}."
        raise UsageError(message) from error
    except UnicodeDecodeError as error:
        message = f"{path}: is not UTF-8 text, so it is no CSV file of Canvas or Moodle. Take it as it was downloaded."
        raise UsageError(message) from error
    return read_sheet(text, str(path))


def _path(options: ExportOptions, name: str) -> Path:
    """Where the one file goes: `--out` if that is no folder. The teacher's sheet and the journal are never replaced."""
    out = options.out or options.results
    path = out / name if out.is_dir() else out
    if path.suffix != Path(name).suffix:
        message = f"{path}: name a folder that exists, or a file that ends in {Path(name).suffix}."
        raise UsageError(message)
    if options.sheet and path.resolve() == options.sheet.resolve():
        message = f"{path}: is the sheet itself, which is kept as it was downloaded. Name another file by --out."
        raise UsageError(message)
    return path
