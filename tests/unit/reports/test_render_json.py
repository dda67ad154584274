from __future__ import annotations

import json
import re
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import given

from grader.models import LimitsRecord, Report
from grader.reports.json import from_json, report_schema, to_json
from tests import reports

CHECK_KEYS = [
    "id", "title", "status", "score", "max_score", "message", "hint", "expected", "actual", "ended", "reproduce",
    "file", "line", "reason",
]  # fmt: skip


def in_contract(report: Report) -> Report:
    """The report without what the document has no key for."""
    exercises = tuple(replace(exercise, seconds=0.0, bonus=False) for exercise in report.exercises)
    return replace(report, engine=replace(report.engine, images=()), exercises=exercises)


def test_the_keys_are_those_of_the_contract_in_its_order() -> None:
    document = json.loads(to_json(reports.every_status()))
    assert list(document) == ["schema", "student", "seed", "engine", "score", "max_score", "exercises"]
    assert document["schema"] == "grader/report/v1"
    assert list(document["engine"]) == ["name", "version", "builder", "tier"]
    assert list(document["exercises"][0]) == ["id", "title", "status", "score", "max_score", "checks"]
    assert list(document["exercises"][0]["checks"][0]) == CHECK_KEYS


def test_a_report_comes_back_as_it_was() -> None:
    report = reports.every_status()
    assert from_json(to_json(report)) == in_contract(report)


LIMITS = LimitsRecord(("run memory", "run CPU"), ("run disk",), ("build CPU",))


def test_what_was_found_out_about_limits_is_in_the_document_where_somebody_asked() -> None:
    report = reports.every_status()
    asked = replace(report, engine=replace(report.engine, limits=LIMITS))
    document = json.loads(to_json(asked))
    assert document["engine"]["limits"] == {
        "proved": ["run memory", "run CPU"], "waived": ["run disk"], "not_bounded": ["build CPU"],
    }  # fmt: skip
    jsonschema.validate(document, json.loads(report_schema()))
    assert from_json(to_json(asked)) == in_contract(asked)


def test_why_a_submission_was_refused_is_its_first_check() -> None:
    document = json.loads(to_json(reports.report_of("amira", reports.rejected_exercise())))
    check = document["exercises"][0]["checks"][0]
    assert (check["id"], check["status"], check["max_score"]) == ("submission", "failed", 0)
    assert "not an allowed base image" in check["message"]


def test_what_could_not_be_graded_has_no_score() -> None:
    document = json.loads(to_json(reports.report_of("amira", reports.ungraded_exercise())))
    assert document["exercises"][0]["score"] is None


def test_the_document_is_what_its_published_schema_says() -> None:
    jsonschema.validate(json.loads(to_json(reports.every_status())), json.loads(report_schema()))


@pytest.mark.parametrize(
    "change",
    [{"extra": 1}, {"schema": "grader/report/v2"}, {"score": "ten"}, {"exercises": [{}]}, {"seed": None}],
)
def test_another_document_is_refused(change: dict[str, object]) -> None:
    document = json.loads(to_json(reports.every_status())) | change
    with pytest.raises(ValueError, match="validation error"):
        from_json(json.dumps(document))


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_never_written(score: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(reports.filled_with("", score))


def test_a_text_of_many_megabytes_is_cut() -> None:
    assert len(to_json(reports.report_of("x" * 10_000_000))) < 100_000


@given(reports.hostile_text())
def test_whatever_students_write_comes_back_and_is_safe_to_print(text: str) -> None:
    report = reports.filled_with(text)
    written = to_json(report)
    written.encode()
    assert not re.search(r"[^\n\x20-\x7e\xa0-\uffff\U00010000-\U0010ffff]|[\u202a-\u202e\u2028\u2029\ufeff]", written)
    readable = report if text.isprintable() else reports.filled_with(re.sub("[\ud800-\udfff]", "\ufffd", text))
    assert from_json(written) == in_contract(readable)
