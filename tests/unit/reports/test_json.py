from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given

import grader.reports
from grader.models import LimitsRecord, Report
from grader.reports.json import to_json
from tests import reports

CHECK_KEYS = [
    "id", "title", "status", "score", "max_score", "message", "hint", "expected", "actual", "ended", "reproduce",
    "file", "line", "reason",
]  # fmt: skip
SCHEMA = json.loads((Path(grader.reports.__file__).parent / "schema/report.schema.json").read_text(encoding="utf-8"))


def document_of(report: Report) -> dict[str, Any]:
    """What a program reads, which is what the published schema says."""
    document: dict[str, Any] = json.loads(to_json(report))
    jsonschema.validate(document, SCHEMA)
    return document


def test_the_keys_are_those_of_the_contract_in_its_order() -> None:
    limits = LimitsRecord(("run memory", "run CPU"), ("run disk",), ("build CPU",))
    report = reports.every_status()
    document = document_of(report)
    assert list(document) == ["schema", "student", "seed", "engine", "score", "max_score", "exercises"]
    assert document["schema"] == "grader/report/v1"
    assert list(document["engine"]) == ["name", "version", "builder", "tier"]
    assert list(document["exercises"][0]) == ["id", "title", "status", "score", "max_score", "checks"]
    assert list(document["exercises"][0]["checks"][0]) == CHECK_KEYS
    assert {one["status"]: one["score"] for one in document["exercises"]}["not_graded"] is None
    refused = next(one["checks"][0] for one in document["exercises"] if one["status"] == "rejected")
    assert (refused["id"], refused["status"], refused["max_score"]) == ("submission", "failed", 0)
    assert "not an allowed base image" in refused["message"]
    assert document_of(replace(report, engine=replace(report.engine, limits=limits)))["engine"]["limits"] == {
        "proved": ["run memory", "run CPU"], "waived": ["run disk"], "not_bounded": ["build CPU"],
    }  # fmt: skip


def test_the_published_schema_has_these_keys_and_no_others() -> None:
    objects = [SCHEMA, *(part for part in SCHEMA["$defs"].values() if part["type"] == "object")]
    assert all(part["additionalProperties"] is False for part in objects)
    assert list(SCHEMA["$defs"]["CheckDocument"]["properties"]) == CHECK_KEYS
    jsonschema.validators.validator_for(SCHEMA).check_schema(SCHEMA)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_never_written(score: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(reports.filled_with("", score))


def test_a_text_of_many_megabytes_is_cut() -> None:
    assert len(to_json(reports.report_of("x" * 10_000_000))) < 100_000


@given(reports.hostile_text())
def test_whatever_students_write_comes_back_and_is_safe_to_print(text: str) -> None:
    written = to_json(reports.filled_with(text))
    written.encode()
    assert not re.search(r"[^\n\x20-\x7e\xa0-\uffff\U00010000-\U0010ffff]|[\u202a-\u202e\u2028\u2029\ufeff]", written)
    readable = re.sub("[\ud800-\udfff]", "\ufffd", text)
    assert {one["checks"][-1]["message"] for one in document_of(reports.filled_with(text))["exercises"]} == {readable}
