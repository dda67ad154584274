"""Reports as JUnit XML, in the dialect that GitLab, Jenkins and GitHub's actions all read.

A suite is an exercise, a case is a check: `failure` is the student's, `error` is ours (the check
could not be graded), `skipped` is a check whose prerequisite failed. Points are properties of the
suite. `classname` and `name` together are unique, because GitLab keys cases by them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from grader.models import CheckStatus, CheckVerdict, ExerciseReport, Report
from grader.reports import wording as words
from grader.reports.export import Exported, Scores, export_format, notes_on_ungraded
from grader.sanitize import sanitize_line

_ELEMENTS = {CheckStatus.FAILED: "failure", CheckStatus.NOT_GRADED: "error", CheckStatus.BLOCKED: "skipped"}


@export_format("junit", file="junit.xml")
def export(scores: Scores) -> Exported:
    """As `to_junit`."""
    notes = notes_on_ungraded(scores.grades, "the file says so, too")
    count = sum(grade.score is not None for grade in scores.grades)
    return Exported({"junit.xml": to_junit(scores.reports)}, notes, count)


def to_junit(reports: Sequence[Report]) -> str:
    """One XML document for one report or many. With many, the student's name leads each suite's."""
    suites = list(_suites(reports))
    root = ET.Element("testsuites", {"name": "grader", **_totals(suites)})
    for suite in suites:
        root.append(_suite(suite))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


@dataclass(frozen=True, slots=True)
class _Suite:
    name: str
    report: Report
    exercise: ExerciseReport
    checks: tuple[CheckVerdict, ...]


def _suites(reports: Sequence[Report]) -> Iterator[_Suite]:
    pairs = [(report, exercise) for report in reports for exercise in report.exercises]
    names = [_suite_name(report, exercise, alone=len(reports) == 1) for report, exercise in pairs]
    for name, (report, exercise) in zip(_unique(names), pairs, strict=True):
        yield _Suite(name, report, exercise, words.checks_or_reason(exercise))


def _suite_name(report: Report, exercise: ExerciseReport, *, alone: bool) -> str:
    return sanitize_line(exercise.id if alone else f"{report.student}/{exercise.id}")


def _unique(names: Iterable[str]) -> Iterator[str]:
    """The names; one that came before gets the first free number behind it."""
    taken: set[str] = set()
    for name in names:
        free, count = name, 1
        while free in taken:
            count += 1
            free = f"{name} ({count})"
        taken.add(free)
        yield free


def _totals(suites: Sequence[_Suite]) -> dict[str, str]:
    statuses = [check.status for suite in suites for check in suite.checks]
    return {
        "tests": str(len(statuses)),
        "failures": str(statuses.count(CheckStatus.FAILED)),
        "errors": str(statuses.count(CheckStatus.NOT_GRADED)),
        "skipped": str(statuses.count(CheckStatus.BLOCKED)),
        "time": f"{sum(suite.exercise.seconds for suite in suites):.3f}",
    }


def _suite(suite: _Suite) -> ET.Element:
    element = ET.Element("testsuite", {"name": suite.name, **_totals([suite])})
    properties = ET.SubElement(element, "properties")
    for name, value in _properties(suite):
        ET.SubElement(properties, "property", name=name, value=sanitize_line(value))
    names = _unique(sanitize_line(f"{check.id}: {check.title}") for check in suite.checks)
    for name, check in zip(names, suite.checks, strict=True):
        element.append(_case(suite.name, name, check))
    return element


def _properties(suite: _Suite) -> tuple[tuple[str, str], ...]:
    exercise = suite.exercise
    return (
        ("student", suite.report.student),
        ("title", exercise.title),
        ("status", exercise.status.value),
        ("score", "" if exercise.score is None else words.number(exercise.score)),
        ("max_score", words.number(exercise.max_score)),
        ("seed", str(suite.report.seed)),
    )


def _case(classname: str, name: str, check: CheckVerdict) -> ET.Element:
    case = ET.Element("testcase", classname=classname, name=name)
    if check.file:
        case.set("file", sanitize_line(check.file))
    if check.file and check.line is not None:
        case.set("line", str(check.line))
    element = _ELEMENTS.get(check.status)
    if element:
        outcome = ET.SubElement(case, element, message=sanitize_line(check.message), type=check.status.value)
        outcome.text = words.failure_text(check) if check.status is CheckStatus.FAILED else None
    return case
