"""Reports as JUnit XML, in the dialect that GitLab, Jenkins and GitHub's actions all read.

A suite is an exercise, a case is a check: `failure` is the student's, `error` is ours (the check
could not be graded), `skipped` is a check whose prerequisite failed. Points are properties of the
suite. `classname` and `name` together are unique, because GitLab keys cases by them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from grader.models import CheckStatus, CheckVerdict, ExerciseReport, Report
from grader.reports import wording as words
from grader.reports.export import ExportFormat
from grader.sanitize import sanitize_line

_ELEMENTS = {CheckStatus.FAILED: "failure", CheckStatus.NOT_GRADED: "error", CheckStatus.BLOCKED: "skipped"}


def to_junit(reports: Sequence[Report]) -> str:
    """One XML document for one report or many. With many, the student's name leads each suite's."""
    exercises = [exercise for report in reports for exercise in report.exercises]
    root = ET.Element("testsuites", {"name": "grader", **_totals(exercises)})
    for report in reports:
        for exercise in report.exercises:
            name = exercise.id if len(reports) == 1 else f"{report.student}/{exercise.id}"
            root.append(_suite(sanitize_line(name), report, exercise))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _totals(exercises: Sequence[ExerciseReport]) -> dict[str, str]:
    statuses = [check.status for exercise in exercises for check in words.checks_or_reason(exercise)]
    return {
        "tests": str(len(statuses)),
        "failures": str(statuses.count(CheckStatus.FAILED)),
        "errors": str(statuses.count(CheckStatus.NOT_GRADED)),
        "skipped": str(statuses.count(CheckStatus.BLOCKED)),
        "time": f"{sum(exercise.seconds for exercise in exercises):.3f}",
    }


def _suite(suite: str, report: Report, exercise: ExerciseReport) -> ET.Element:
    element = ET.Element("testsuite", {"name": suite, **_totals([exercise])})
    properties = ET.SubElement(element, "properties")
    for name, value in (
        ("student", report.student),
        ("title", exercise.title),
        ("status", exercise.status.value),
        ("score", "" if exercise.score is None else words.number(exercise.score)),
        ("max_score", words.number(exercise.max_score)),
        ("seed", str(report.seed)),
    ):
        ET.SubElement(properties, "property", name=name, value=sanitize_line(value))
    for check in words.checks_or_reason(exercise):
        name = sanitize_line(f"{check.id}: {check.title}")
        _add_case(ET.SubElement(element, "testcase", classname=suite, name=name), check)
    return element


def _add_case(case: ET.Element, check: CheckVerdict) -> None:
    """Where the check's failure is, and what became of it."""
    if check.file:
        case.set("file", sanitize_line(check.file))
        if check.line is not None:
            case.set("line", str(check.line))
    if kind := _ELEMENTS.get(check.status):
        outcome = ET.SubElement(case, kind, message=sanitize_line(check.message), type=check.status.value)
        outcome.text = words.failure_text(check) if check.status is CheckStatus.FAILED else None


JUNIT = ExportFormat(
    "junit",
    lambda scores: scores.exported({"junit.xml": to_junit(scores.reports)}, "the file says so, too"),
    "junit.xml",
)
