"""Formats that a batch's marks can be exported to.

A module of `grader.reports` has its `ExportFormat` below the function that writes it, and the command line's choices
are all that there are (`export_formats`). So a new format is one module and its test.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import grader.reports
from grader.errors import UsageError
from grader.grading.grades import Grade
from grader.grading.scoring import Details, with_totals
from grader.models import Report
from grader.reports.sheet import Sheet
from grader.sanitize import sanitize_line


@dataclass(frozen=True, slots=True)
class Scores:
    """What an export is made from: reports and final marks in one order, and `worth`, the points of a full mark.

    `results` is what messages call the batch, `people` what is known of each student. The sheet and its column are the
    teacher's, where a format takes them; with `overwrite`, marks that are in it are replaced. `feedback` makes each
    student's page, for formats that send it along.
    """

    reports: Sequence[Report]
    grades: Sequence[Grade]
    worth: float = 0.0
    results: str = "results"
    details: Details = "full"
    people: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sheet: Sheet | None = None
    column: str = ""
    overwrite: bool = False
    feedback: Callable[[Report, Grade], str] = lambda _report, _grade: ""

    def exported(self, files: Mapping[str, str | bytes], without: str) -> Exported:
        """Files that have everyone's mark, and a note on each student without one; `without` says what then is."""
        missing = [one for one in self.grades if one.score is None]
        notes = tuple(f"{sanitize_line(one.student)}: {one.missing}; {without}." for one in missing)
        return Exported(files, notes, len(self.grades) - len(missing))


@dataclass(frozen=True, slots=True)
class Exported:
    """The `files` by name, what to say to the teacher, and how many students have a mark in them."""

    files: Mapping[str, str | bytes]
    notes: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A format by its name on the command line.

    `file` is the first file's name where `--out` does not say it; for a format of many files, a folder that ends in
    `/`. `takes` names those of the options `sheet` and `column` that it knows.
    """

    name: str
    write: Callable[[Scores], Exported]
    file: str
    takes: tuple[str, ...] = ()


def export_formats() -> Mapping[str, ExportFormat]:
    """Every format of a module of this folder, by name."""
    names = [f"grader.reports.{module.name}" for module in pkgutil.iter_modules(grader.reports.__path__)]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    return dict(sorted((value.name, value) for value in values if isinstance(value, ExportFormat)))


def only(reports: Sequence[Report], selected: Sequence[str]) -> list[Report]:
    """The reports with no other exercises than those named, all if none is; `UsageError` for one that is in none."""
    known = {exercise.id.lower(): exercise.id for report in reports for exercise in report.exercises}
    unknown = [name for name in selected if name.lower() not in known]
    if unknown:
        raise UsageError(f"The results have no exercise {', '.join(unknown)}. They have: {', '.join(known.values())}")
    kept = {known[name.lower()] for name in selected} or set(known.values())
    return [
        with_totals(replace(report, exercises=tuple(one for one in report.exercises if one.id in kept)))
        for report in reports
    ]


def feedback_text(grade: Grade) -> str:
    """What a gradebook's comment says of a mark: each step, and the teacher's own words."""
    return sanitize_line("; ".join((*grade.all_reasons, *map("".join, grade.comments))), 2000)
