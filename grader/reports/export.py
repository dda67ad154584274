"""Formats that a batch's scores can be exported to.

A module of `grader.reports` registers its format under `@export_format`, beside the function that writes it; the
command line's choices are made from the registry (`export_formats`). So a new format is one module and its test.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import grader.reports
from grader.grading.scoring import Details
from grader.models import Report
from grader.reports.marks import Mark, marks_of
from grader.reports.sheet import Sheet


@dataclass(frozen=True, slots=True)
class Scores:
    """What an export is made from.

    `results` is what messages call the batch; the sheet and its column are the teacher's, where a format takes them.
    """

    reports: Sequence[Report]
    results: str = "results"
    details: Details = "full"
    sheet: Sheet | None = None
    column: str = ""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Everyone's total."""
        return marks_of(self.reports)


@dataclass(frozen=True, slots=True)
class Exported:
    """One file's `text`, or the `files` of a folder by name; what to say to the teacher, and how many have a score."""

    text: str
    notes: tuple[str, ...]
    count: int
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A format by its name on the command line.

    `file` is what the file is called where `--out` does not say it, `folder` the same of a folder of files. `takes`
    names those of the options `sheet` and `column` that it knows.
    """

    name: str
    write: Callable[[Scores], Exported]
    file: str = ""
    folder: str = ""
    takes: frozenset[str] = frozenset()


_FORMATS: dict[str, ExportFormat] = {}


def export_format(
    name: str, *, file: str = "", folder: str = "", takes: Iterable[str] = ()
) -> Callable[[Callable[[Scores], Exported]], Callable[[Scores], Exported]]:
    """Register the function that writes a format."""

    def register(write: Callable[[Scores], Exported]) -> Callable[[Scores], Exported]:
        _FORMATS[name] = ExportFormat(name, write, file, folder, frozenset(takes))
        return write

    return register


def export_formats() -> Mapping[str, ExportFormat]:
    """Every format that a module of this folder registers, by name."""
    for module in pkgutil.iter_modules(grader.reports.__path__):
        importlib.import_module(f"grader.reports.{module.name}")
    return dict(sorted(_FORMATS.items()))
