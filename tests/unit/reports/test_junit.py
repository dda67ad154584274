from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given

from grader.reports.junit import to_junit
from tests import reports


def parsed(text: str | bytes) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own document, which has no entities


def test_a_suite_for_each_exercise_and_a_case_for_each_check() -> None:
    root = parsed(to_junit([reports.every_status()]))
    assert [suite.get("name") for suite in root] == ["3.1.1", "3.1.3", "3.1.4", "3.1.5", "3.2.1", "3.2.2", "3.3.L"]
    outcomes = [["".join(child.tag for child in case) for case in suite.iter("testcase")] for suite in root]
    assert outcomes == [
        ["", ""],
        ["failure", "skipped"],
        ["", "failure", "skipped", ""],
        ["failure"],
        ["failure"],
        ["error", "error"],
        [""],
    ]


def test_totals_are_those_of_the_cases() -> None:
    root = parsed(to_junit([reports.every_status()]))
    counts = {"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"}
    for element in (root, *root):
        assert {key: element.get(key) for key in counts} == {
            key: str(len(list(element.iter(tag)))) for key, tag in counts.items()
        }


def test_points_are_properties_of_the_suite() -> None:
    suite = parsed(to_junit([reports.report_of("amira", reports.failed_exercise())]))[0]
    properties = {item.get("name"): item.get("value") for item in suite.iter("property")}
    assert properties == {
        "student": "amira",
        "title": "Pass the weeks as arguments",
        "status": "failed",
        "score": "3",
        "max_score": "10",
        "seed": "20231123",
    }


def test_a_failure_says_where_and_how_to_see_it() -> None:
    root = parsed(to_junit([reports.report_of("amira", reports.failed_exercise())]))
    case = next(case for case in root.iter("testcase") if case.find("failure") is not None)
    assert (case.get("file"), case.get("line")) == ("Dockerfile", "6")
    assert "Try it: docker build -q -t sales-predictor ." in (case.findtext("failure") or "")


def test_cases_of_a_class_are_kept_apart_by_classname_and_name() -> None:
    same_name_twice = [*reports.sample_class(), *reports.sample_class()]
    cases = list(parsed(to_junit(same_name_twice)).iter("testcase"))
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)


@given(reports.hostile_text())
def test_whatever_students_write_it_is_xml_and_the_verdicts_are_the_same(text: str) -> None:
    root = parsed(to_junit([reports.filled_with(text)]).encode())
    clean = parsed(to_junit([reports.filled_with("x")]))
    assert [element.tag for element in root.iter()] == [element.tag for element in clean.iter()]
