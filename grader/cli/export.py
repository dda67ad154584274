"""`grader export`: a batch's scores for other systems, from its journal alone and, for some, the sheet they gave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from grader.batch.journal import Journal
from grader.batch.results import reports_in
from grader.cli.common import ANY_PATH, DETAILS, FOLDER, course_at, examples, exercises_option, terminal
from grader.errors import EnvironmentProblem, UsageError
from grader.files import write_whole
from grader.grading.scoring import Details
from grader.reports.export import ExportFormat, Scores, export_formats
from grader.reports.marks import only
from grader.reports.sheet import Sheet, read_sheet

_FORMATS = export_formats()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What the command line says."""

    results: Path
    to: str
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
@click.option("--to", type=click.Choice(list(_FORMATS)), required=True)
@click.option("--sheet", type=ANY_PATH, help="The CSV file that Canvas or Moodle gave you; a copy of it is filled in.")
@click.option("--column", metavar="NAME", help="Canvas: the assignment to fill in; added if there is none so called.")
@exercises_option
@click.option("--out", type=ANY_PATH, help="The file or folder to write. Default: in the folder of results.")
@click.option("--details", type=DETAILS, help="What Gradescope tells students. Default: what the batch's pages do.")
@click.pass_obj
def command(course: Path | None, /, **given: Any) -> int:
    """Write a batch's scores for a gradebook, from its journal: the total, or one exercise's. Says who is not in it."""
    options = ExportOptions(**given)
    chosen = _FORMATS[options.to]
    _check(options, chosen)
    folder = course_at(course)
    with Journal.open(options.results) as journal:
        reports = only(reports_in(journal, folder.course), options.exercises)
        info = journal.info()
    scores = Scores(
        reports,
        str(options.results),
        options.details or (info.details if info else "full"),
        _sheet(options.sheet) if options.sheet else None,
        (options.column or "").strip(),
    )
    if chosen.folder:
        path = options.out or options.results / chosen.folder
        exported = chosen.write(scores)
        files = {path / name: text for name, text in exported.files.items()}
    else:
        path = _path(options, chosen.file)
        exported = chosen.write(scores)
        files = {path: exported.text}
    for file, text in files.items():
        write_whole(file, text)
    console = terminal()
    for note in exported.notes:
        console.note(note)
    console.note(f"Written: {path}, {exported.count} of {len(reports)} students with a score.")
    return EnvironmentProblem.exit_code if any(mark.score is None for mark in scores.marks) else 0


def _check(options: ExportOptions, chosen: ExportFormat) -> None:
    """`UsageError` for options that the format does not know."""
    for option, given in (("sheet", options.sheet), ("column", options.column)):
        if given is not None and option not in chosen.takes:
            names = " and ".join(name.capitalize() for name, one in _FORMATS.items() if option in one.takes)
            raise UsageError(f"--{option} is for {names}; --to {options.to} needs none.")


def _sheet(path: Path) -> Sheet:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: is not UTF-8 text, so it is no CSV file of Canvas or Moodle. Take it as it was downloaded."
        ) from error
    return read_sheet(text, str(path))


def _path(options: ExportOptions, name: str) -> Path:
    """Where the one file goes: `--out` if that is no folder. The teacher's sheet and the journal are never replaced."""
    out = options.out or options.results
    path = out / name if out.is_dir() else out
    if path.suffix != Path(name).suffix:
        raise UsageError(f"{path}: name a folder that exists, or a file that ends in {Path(name).suffix}.")
    if options.sheet and path.resolve() == options.sheet.resolve():
        raise UsageError(f"{path}: is the sheet itself, which stays as it was downloaded. Name another file by --out.")
    return path
