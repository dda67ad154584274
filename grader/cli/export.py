"""`grader export`: a batch's scores for other systems, from its journal alone and, for some, the sheet they gave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from grader.api import open_course
from grader.batch.journal import Journal
from grader.batch.results import reports_in, rules_in
from grader.cli.common import ANY_PATH, DETAILS, FOLDER, examples, exercises_option, terminal
from grader.course.handbook import sections
from grader.errors import EnvironmentProblem, UsageError
from grader.files import write_whole
from grader.grading.grades import final_grades, worth_of
from grader.grading.scoring import Details
from grader.reports.export import ExportFormat, Scores, export_formats, only
from grader.reports.html import Background, student_page
from grader.reports.sheet import read_sheet, read_text

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
    overwrite: bool


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
@click.option(
    "--overwrite", is_flag=True, help="Replace marks that are in the sheet already and are others. Each is said."
)
@click.pass_obj
def command(course: Path | None, /, **given: Any) -> int:
    """Write a batch's scores for a gradebook, from its journal: the total, or one exercise's. Says who is not in it."""
    options = ExportOptions(**given)
    chosen = _FORMATS[options.to]
    _check(options, chosen)
    folder = open_course(course)
    with Journal.open(options.results) as journal:
        whole = reports_in(journal, folder.course)
        rules = rules_in(journal, options.results, whole)
        info, people = journal.info(), journal.people()
    reports = only(whole, options.exercises)
    policy, overrides = rules.policy, rules.overrides
    if options.exercises:  # a mark for these exercises, not for the course
        policy = replace(policy, drop_lowest=0, best_of=None)
        overrides = tuple(one for one in overrides if one.exercise)
    grades = final_grades(reports, policy, overrides, rules.submitted)
    graded = info.started if info else ""
    background = Background(title=folder.course.title, graded=graded, handbook=sections(folder.root))
    scores = Scores(
        reports=reports,
        grades=grades,
        worth=worth_of(reports, policy),
        results=str(options.results),
        details=options.details or (info.details if info else "full"),
        people=people,
        sheet=read_sheet(read_text(options.sheet, "as a CSV file of Canvas or Moodle"), str(options.sheet))
        if options.sheet
        else None,
        column=(options.column or "").strip(),
        overwrite=options.overwrite,
        feedback=lambda report, grade: student_page(report, replace(background, grades={grade.student: grade})),
    )
    path = _path(options, chosen.file)
    exported = chosen.write(scores)
    first = next(iter(exported.files), "")
    for name, content in exported.files.items():
        write_whole(
            path / name if chosen.file.endswith("/") else path if name == first else path.parent / name, content
        )
    console = terminal()
    for note in exported.notes:
        console.note(note)
    console.note(f"Written: {path}, {exported.count} of {len(reports)} students with a score.")
    return EnvironmentProblem.exit_code if any(grade.score is None for grade in grades) else 0


def _check(options: ExportOptions, chosen: ExportFormat) -> None:
    """`UsageError` for options that the format does not know."""
    for option, given in (("sheet", options.sheet), ("column", options.column)):
        if given is not None and option not in chosen.takes:
            names = " and ".join(name.capitalize() for name, one in _FORMATS.items() if option in one.takes)
            raise UsageError(f"--{option} is for {names}; --to {options.to} needs none.")


def _path(options: ExportOptions, name: str) -> Path:
    """Where the first file goes: `--out` if that is no folder. The teacher's sheet and the journal stay as they are."""
    if name.endswith("/"):
        return options.out or options.results / name
    out = options.out or options.results
    path = out / name if out.is_dir() else out
    if path.suffix != Path(name).suffix:
        raise UsageError(f"{path}: name a folder that exists, or a file that ends in {Path(name).suffix}.")
    if options.sheet and path.resolve() == options.sheet.resolve():
        raise UsageError(f"{path}: is the sheet itself, which stays as it was downloaded. Name another file by --out.")
    return path
