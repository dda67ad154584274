"""What a run of any program prints: a text, a pattern, an exit code."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from grader.checks.matches import OutputMatches
from grader.grading.exercise import grade_exercise
from grader.models import NotStarted, RunOutcome, RunRequest
from tests.worlds import context, image, printed, world


@pytest.mark.parametrize(
    ("asked", "outcome", "reason", "told"),
    [
        ({"text": "hello"}, printed("oh\nhello, you\n"), "", ""),
        ({"text": "hello"}, printed("Hello\n"), "output_differs", "No line of stdout has the text “hello”."),
        ({"text": "hello"}, printed(stderr="hello\n"), "output_differs", "No line of stdout"),
        ({"text": "hello", "stream": "stderr"}, printed(stderr="hello\n"), "", ""),
        ({"pattern": r"^\d+ files$"}, printed("3 files\n"), "", ""),
        ({"pattern": r"^\d+ files$"}, printed("no files\n"), "output_differs", r"a match of `^\d+ files$`"),
        ({"pattern": "late"}, printed("x" * 2000 + "late\n"), "output_differs", ""),
        ({"text": "hello"}, printed("hello\n", code=3), "exit_code", "the run exited 3, not 0"),
        ({"text": "usage", "exit_code": 2}, printed("usage: x\n", code=2), "", ""),
        ({"exit_code": 1}, printed(code=1), "", ""),
        ({"text": "x"}, RunOutcome(NotStarted("no such file")), "not_started", "did not start"),
    ],
)
def test_what_matches(asked: dict[str, Any], outcome: RunOutcome, reason: str, told: str) -> None:
    check = OutputMatches(
        kind="output_matches", id="x", title="x", weight=1, arguments=("1",), environment={"A": "b"}, **asked
    )
    given = context("3.1.1")
    given = replace(given, exercise=replace(given.exercise, checks=(check,)), course=replace(given.course, hints={}))
    given.course.hints.update({name: name for name in ("output_differs", "exit_code", "not_started")})
    asks = RunRequest(("1",), (("A", "b"),))
    (verdict,) = grade_exercise(given, world(image(), {asks: outcome}.__getitem__)).checks
    assert verdict.hint == reason
    assert told in verdict.message
