from __future__ import annotations

import xml.etree.ElementTree as ET

from hypothesis import given

from grader.reports.junit import to_junit
from tests import reports


def parsed(text: str | bytes) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 - our own document, which has no entities


OUTCOMES = {
    "3.1.1": ["", ""],
    "3.1.3": ["failure", "skipped"],
    "3.1.4": ["", "failure", "skipped", ""],
    "3.1.5": ["failure"],
    "3.2.1": ["failure"],
    "3.2.2": ["error", "error"],
    "3.3.L": [""],
}


def test_a_suite_for_each_exercise_and_a_case_for_each_check() -> None:
    root = parsed(to_junit([reports.every_status()]))
    assert {
        suite.get("name"): ["".join(child.tag for child in case) for case in suite.iter("testcase")] for suite in root
    } == OUTCOMES
    for element in (root, *root):
        for total, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert element.get(total) == str(len(list(element.iter(tag))))
    assert {item.get("name"): item.get("value") for item in root[2].iter("property")} == {
        "student": "amira", "title": "Pass the weeks as arguments", "status": "failed", "score": "3",
        "max_score": "10", "seed": "20231123",
    }  # fmt: skip
    case = root[2][2]
    assert (case.get("file"), case.get("line")) == ("Dockerfile", "6")
    assert "Try it: docker build -q -t sales-predictor ." in (case.findtext("failure") or "")


def test_cases_of_a_class_are_kept_apart_by_classname_and_name() -> None:
    cases = list(parsed(to_junit(reports.sample_class())).iter("testcase"))
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)


@given(reports.hostile_text())
def test_whatever_students_write_it_is_xml_and_the_verdicts_are_the_same(text: str) -> None:
    root = parsed(to_junit([reports.filled_with(text)]).encode())
    clean = parsed(to_junit([reports.filled_with("x")]))
    assert [element.tag for element in root.iter()] == [element.tag for element in clean.iter()]
