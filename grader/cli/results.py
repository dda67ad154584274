"""What is done with a batch's results: report, regrade, export, status, similar. None of it needs an engine."""

from __future__ import annotations

import functools
import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from grader.batch.journal import BatchInfo, Journal
from grader.batch.policy import OVERRIDES, POLICY, TIMES
from grader.batch.results import Results, regrade, reports_in, rules_in, write_results
from grader.batch.similarity import fingerprints, similar
from grader.cli.common import ANY_PATH, DETAILS, FILE, FOLDER, course_command, examples, exercises_option, terminal
from grader.cli.console import Console, time_left
from grader.course.handbook import sections
from grader.course.loader import CourseFolder
from grader.engine.ownership import Owner, is_dead
from grader.errors import EnvironmentProblem, UsageError
from grader.files import write_whole
from grader.grading.grades import final_grades, worth_of
from grader.grading.scoring import Details
from grader.models import MemoryFile
from grader.reports import wording as words
from grader.reports.csv import csv_table
from grader.reports.export import Scores, export_formats, only
from grader.reports.html import Background, student_page
from grader.reports.sheet import read_sheet, read_text
from grader.reports.text import class_lines, table_lines

results_argument = click.argument("results", type=FOLDER)

# ── the files, written again ────────────────────────────────────────────────────────────

_RULES = {"grading": POLICY, "overrides": OVERRIDES, "times": TIMES}
_OPTIONS = (
    click.option("--grading", type=FILE, help=f"How marks are made of points; copied to {POLICY} in the results."),
    click.option("--overrides", type=FILE, help=f"Marks and comments by hand; copied to {OVERRIDES}."),
    click.option("--times", type=FILE, help=f"When each student handed in; copied to {TIMES}."),
    click.option(
        "--anonymous/--named", default=None, help="Call students by pseudonyms in all files; kept with the batch."
    ),
)
details_option = click.option(
    "--details",
    type=DETAILS,
    help="What the students' pages say of a failed check; kept with the batch. Default: what was said last, else full.",
)


def rules_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of all commands that write a batch's files; `take_rules` and `presented` carry them out."""
    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def take_rules(out: Path, **given: Path | None) -> None:
    """Copy a teacher's own files to beside the results, where they count until they are replaced or removed."""
    for name, path in given.items():
        target = out / _RULES[name]
        if path is not None and path.resolve() != target.resolve():
            write_whole(target, path.read_bytes())


def presented(info: BatchInfo, *, details: Details | None = None, anonymous: bool | None = None) -> BatchInfo:
    """The batch as its files are to present it, where it was said; a key that is there stays, so that pseudonyms do."""
    key = info.anonymous
    if anonymous is not None:
        key = (key or secrets.token_hex(16)) if anonymous else ""
    return replace(info, details=details or info.details, anonymous=key)


def conclude(console: Console, results: Results, out: Path, *, quiet: bool = False) -> int:
    """Show a class's results, where they are, and whose final mark has changed; 0, or 3 if something was not graded.

    With `quiet`, standard output stays as it is.
    """
    if not quiet:
        console.write(class_lines(results.reports, console.width))
    _note_some(console, [f"Final mark of {line}" for line in results.changed], out)
    console.note(f"Written: {out / 'report.html'}, {out / 'gradebook.csv'}, {out / 'grades.csv'}")
    missing = len(list(words.ungraded(results.reports)))
    if missing:
        what = "1 exercise" if missing == 1 else f"{missing} exercises"
        console.note(f"{what} could not be graded; `grader batch … --resume` tries again.")
    return EnvironmentProblem.exit_code if missing else 0


_SHOWN = 40


def _note_some(console: Console, lines: Sequence[str], out: Path) -> None:
    """The first of many changes, and where the others stand."""
    for line in lines[:_SHOWN]:
        console.note(line)
    if len(lines) > _SHOWN:
        console.note(f"… and {len(lines) - _SHOWN} more: `grader status {out} --trail`")


@course_command(
    "grader report results/",
    "grader report results/ --grading grading.yaml --overrides overrides.csv",
    "grader report results/ --anonymous",
)
@results_argument
@details_option
@rules_options
def report_command(folder: CourseFolder, console: Console, *, results: Path, **given: Any) -> int:
    """Write the files of a batch (pages, CSV, JUnit) again from its journal."""
    with Journal.open(results) as journal:
        _take(journal, results, **given)
        written = write_results(journal, folder, results, anew=True)
    return conclude(console, written, results)


def _take(
    journal: Journal, results: Path, *, details: Details | None = None, anonymous: bool | None, **rules: Path | None
) -> None:
    take_rules(results, **rules)
    if info := journal.info():
        journal.begin(presented(info, details=details, anonymous=anonymous), ())


@course_command("grader regrade results/")
@results_argument
@rules_options
def regrade_command(folder: CourseFolder, console: Console, *, results: Path, **given: Any) -> int:
    """Judge the stored observations of a batch again, after a change of points, tolerance or texts. Needs no engine."""
    with Journal.open(results) as journal:
        _take(journal, results, **given)
        changes = regrade(journal, folder)
        written = write_results(journal, folder, results)
    code = conclude(console, written, results)
    _note_some(console, [f"  {change}" for change in changes], results)
    students = len({change.student for change in changes})
    everyone = len(written.reports)
    console.note(f"Judged again without an engine: {students} of {everyone} students have another score.")
    return code


# ── export ──────────────────────────────────────────────────────────────────────────────

_FORMATS = export_formats()


@course_command(
    "grader export results/ --to canvas --sheet Grades.csv --column 'Docker exercises'",
    "grader export results/ --to moodle --sheet Grades.csv --exercise 3.1.4",
    "grader export results/ --to gradescope --details none --out gradescope/",
)
@results_argument
@click.option("--to", type=click.Choice(list(_FORMATS)), required=True)
@click.option("--sheet", type=ANY_PATH, help="The CSV file that Canvas or Moodle gave you; a copy of it is filled in.")
@click.option("--column", metavar="NAME", help="Canvas: the assignment to fill in; added if there is none so called.")
@exercises_option
@click.option("--out", type=ANY_PATH, help="The file or folder to write. Default: in the folder of results.")
@click.option("--details", type=DETAILS, help="What Gradescope tells students. Default: what the batch's pages do.")
@click.option(
    "--overwrite", is_flag=True, help="Replace marks that are in the sheet already and are others. Each is said."
)
def export_command(
    folder: CourseFolder,
    console: Console,
    *,
    results: Path,
    to: str,
    sheet: Path | None,
    column: str | None,
    exercises: tuple[str, ...],
    out: Path | None,
    details: Details | None,
    overwrite: bool,
) -> int:
    """Write a batch's scores for a gradebook, from its journal: the total, or one exercise's. Says who is not in it."""
    chosen = _FORMATS[to]
    for option, given in (("sheet", sheet), ("column", column)):
        if given is not None and option not in chosen.takes:
            names = " and ".join(name.capitalize() for name, one in _FORMATS.items() if option in one.takes)
            raise UsageError(f"--{option} is for {names}; --to {to} needs none.")
    with Journal.open(results) as journal:
        whole = reports_in(journal, folder.course)
        rules = rules_in(journal, results, whole)
        info, people = journal.info(), journal.people()
    reports = only(whole, exercises)
    policy, overrides = rules.policy, rules.overrides
    if exercises:  # a mark for these exercises, not for the course
        policy = replace(policy, drop_lowest=0, best_of=None)
        overrides = tuple(one for one in overrides if one.exercise)
    grades = final_grades(reports, policy, overrides, rules.submitted)
    graded, shown = (info.started, info.details) if info else ("", "full")
    background = Background(title=folder.course.title, graded=graded, handbook=sections(folder.root))
    scores = Scores(
        reports=reports,
        grades=grades,
        worth=worth_of(reports, policy),
        results=str(results),
        details=details or shown,
        people=people,
        sheet=read_sheet(read_text(sheet, "as a CSV file of Canvas or Moodle"), str(sheet)) if sheet else None,
        column=(column or "").strip(),
        overwrite=overwrite,
        feedback=lambda report, grade: student_page(report, replace(background, grades={grade.student: grade})),
    )
    whole_folder = chosen.file.endswith("/")
    path = (out or results / chosen.file) if whole_folder else _file(out or results, chosen.file, sheet)
    exported = chosen.write(scores)
    for number, (name, content) in enumerate(exported.files.items()):
        write_whole(path / name if whole_folder else path.parent / name if number else path, content)
    for note in exported.notes:
        console.note(note)
    console.note(f"Written: {path}, {exported.count} of {len(reports)} students with a score.")
    return EnvironmentProblem.exit_code if any(grade.score is None for grade in grades) else 0


def _file(out: Path, name: str, sheet: Path | None) -> Path:
    """Where the first file goes: `out` if that is no folder. The teacher's sheet and the journal stay as they are."""
    path = out / name if out.is_dir() else out
    if path.suffix != Path(name).suffix:
        raise UsageError(f"{path}: name a folder that exists, or a file that ends in {Path(name).suffix}.")
    if sheet and path.resolve() == sheet.resolve():
        raise UsageError(f"{path}: is the sheet itself, which stays as it was downloaded. Name another file by --out.")
    return path


# ── status ──────────────────────────────────────────────────────────────────────────────

_RECENT = 40
_PAUSE = 600
"""Seconds without a verdict that are taken for a pause of the batch, not for its pace."""


@click.command(
    epilog=examples("grader status results/", "grader status results/ --student ada", "grader status results/ --trail")
)
@results_argument
@click.option("--student", help="What became of one student's exercises, and what changed the marks.")
@click.option("--trail", is_flag=True, help="Every change of a score or a mark: when, what, from, to.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status_command(results: Path, *, student: str | None, trail: bool, form: str) -> None:
    """Say how far a batch is. It may be at work meanwhile: nothing is locked, nothing is changed."""
    console = terminal()
    with Journal.open(results, only_read=True) as journal:
        if student is not None and student not in journal.students():
            raise UsageError(f"{results}: has no student {student}. It has: {', '.join(journal.students()[:10])} …")
        if student is not None or trail:
            console.write(table_lines(("When", "Student", "Exercise", "What", "From", "To"), _trail(journal, student)))
            return
        found = _progress(journal)
    if form == "json":
        console.data(json.dumps(found) + "\n")
        return
    counts = ", ".join(f"{count} {word.replace('_', ' ')}" for word, count in found["verdicts"].items())
    of = f"{found['graded']} of {found['total']} exercises of {found['students']} students"
    lines = [f"{results}: {of} have a verdict.", f"  {counts or 'none yet'}"]
    lines += [f"  being graded: {one}" for one in found["at_work"]] + [f"  cut off: {one}" for one in found["cut_off"]]
    undone = found["cut_off"] or found["graded"] < found["total"] or found["verdicts"].get("not_graded")
    if found["at_work"] and found["seconds_left"] is not None:
        lines.append(f"  {time_left(found['seconds_left'])}")
    if undone and not found["at_work"]:
        lines.append(f"  nobody is at work on it: `grader batch SUBMISSIONS --out {results} --resume` goes on")
    console.note("\n".join(lines))


def _trail(journal: Journal, student: str | None) -> list[tuple[str, ...]]:
    """The verdicts that an engine gave, and every change after them, oldest first."""
    rows = [
        (one.at, one.student, one.exercise, "graded", "", words.standing(one.status, one.score, one.max_score))
        for one in journal.history()
        if student is not None and one.student == student
    ]
    rows += [(one.at, one.student, one.exercise, one.what, one.was, one.becomes) for one in journal.trail(student)]
    return sorted(rows)


def _progress(journal: Journal) -> dict[str, Any]:
    """How many verdicts there are of which kind, what is being graded, and how long the rest may take in seconds.

    Which exercises were asked for is seen from those that any student has.
    """
    statuses = journal.digests()
    attempts = journal.attempts()
    exercises = {exercise for _, exercise in statuses} | {one.exercise for one in attempts}
    dead = {one: (owner := Owner.parse(one.owner)) is None or is_dead(owner) for one in attempts}
    total = len(exercises) * len(journal.students())
    recent = [datetime.fromisoformat(one.at) for one in journal.history()[-_RECENT:]]
    gaps = [gap for first, second in pairwise(recent) if (gap := (second - first).total_seconds()) < _PAUSE]
    return {
        "students": len(journal.students()),
        "graded": len(statuses),
        "total": total,
        "verdicts": dict(sorted(Counter(status for _, status in statuses.values()).items())),
        "at_work": [f"{one.student} {one.exercise}" for one in attempts if not dead[one]],
        "cut_off": [f"{one.student} {one.exercise}" for one in attempts if dead[one]],
        "seconds_left": round(sum(gaps) / len(gaps) * (total - len(statuses))) if len(gaps) > 2 else None,  # noqa: PLR2004
    }


# ── similar ─────────────────────────────────────────────────────────────────────────────

_PAIRS_SHOWN = 20


@course_command("grader similar results/", "grader similar results/ --at-least 80")
@results_argument
@click.option(
    "--at-least", type=click.IntRange(1, 100), default=60, show_default=True, help="Percent in common to be listed."
)
def similar_command(folder: CourseFolder, console: Console, results: Path, at_least: int) -> None:
    """List pairs of submissions that have much in common beyond the starter files. Where to look; never a verdict."""
    handed: dict[str, dict[str, frozenset[int]]] = {}
    with Journal.open(results) as journal, console.waiting("comparing the submissions"):
        for one in journal.gradings():
            if one.result.files:
                handed.setdefault(one.result.report.id, {})[one.student] = fingerprints(one.result.files.files)
        pairs = similar(handed, _starters(folder), at_least / 100)
    rows = [(pair.exercise, pair.first, pair.second, round(100 * pair.share), pair.fingerprints) for pair in pairs]
    write_whole(results / "similar.csv", csv_table(("exercise", "student", "other", "percent", "fingerprints"), rows))
    if rows:
        shown = [tuple(map(str, row)) for row in rows[:_PAIRS_SHOWN]]
        console.write(table_lines(("Exercise", "Student", "Other", "Percent", "Fingerprints"), shown))
    console.note(
        f"Pairs that share {at_least} % or more of what is neither the starter's nor common in the class: {len(rows)}. "
        "Similar is not copied: read both before you say anything."
    )
    console.note(f"Written: {results / 'similar.csv'}")


def _starters(folder: CourseFolder) -> dict[str, frozenset[int]]:
    """What every student was given, by exercise."""
    return {
        one.id: fingerprints(
            MemoryFile(path.name, path.read_bytes()) for path in folder.starter(one).rglob("*") if path.is_file()
        )
        for one in folder.course.exercises
    }
