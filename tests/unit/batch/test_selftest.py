"""The selftest must notice when the grader and the reference disagree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from grader.batch.selftest import Expectation, Outcome, expectations, selection
from grader.checks import CHECK_KINDS, REASONS
from grader.errors import SpecError
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus
from tests.worlds import COURSE, ROOT

EXERCISE = COURSE.exercise("3.1.4")
WRONG = Expectation(EXERCISE, "x", Path("x"), fails="example", phrase="no ENTRYPOINT")
RIGHT = replace(WRONG, fails="", phrase="")


def report(*statuses: str, message: str = "the image has no entrypoint") -> ExerciseReport:
    checks = tuple(
        CheckVerdict(check.id, check.title, CheckStatus(status), 0, 1, message=message)
        for check, status in zip(EXERCISE.checks, statuses, strict=False)
    )
    passed = set(statuses) == {"passed"}
    return ExerciseReport("3.1.4", "t", ExerciseStatus.PASSED if passed else ExerciseStatus.FAILED, 0, 10, checks)


@pytest.mark.parametrize(
    ("expectation", "statuses", "agrees"),
    [
        (RIGHT, ["passed"] * 6, True),
        (RIGHT, ["passed", "failed"], False),
        (WRONG, ["passed", "passed", "failed", "blocked"], True),
        (WRONG, ["passed", "failed", "failed"], False),
        (WRONG, ["passed"] * 6, False),
    ],
)
def test_agreement(expectation: Expectation, statuses: list[str], agrees: bool) -> None:
    assert Outcome(expectation, report(*statuses)).agrees is agrees


def test_what_else_must_agree() -> None:
    named = Outcome(replace(WRONG, reason="cmd_replaced"), report("passed", "passed", "failed"))
    assert "must fail for cmd_replaced" in named.problem
    other = Outcome(WRONG, report("passed", "passed", "failed", message="something went wrong"))
    assert "no ENTRYPOINT" in other.problem
    failed, lacking = report("failed"), replace(RIGHT, requires="heredoc")
    assert Outcome(lacking, failed).untried, "what a machine lacks proves nothing, where it is declared"
    assert not Outcome(RIGHT, failed).agrees
    assert not Outcome(lacking, report("passed", "failed")).agrees, "only in the build"


def test_every_stored_solution_is_consistent_and_there_are_enough() -> None:
    found = expectations(ROOT / "reference", COURSE.exercises)
    for exercise in COURSE.exercises:
        mine = [one for one in found if one.exercise.id == exercise.id]
        assert sum(one.right for one in mine) >= 3, exercise.id
        assert sum(not one.right for one in mine) >= 6, exercise.id
        assert all(one.phrase for one in mine if not one.right), exercise.id


UNSHOWN = {
    "base_brings_it": "no base image of the course has a library",
    "build_failed": "what BuildKit fails at in no named way differs from engine to engine",
    "build_timed_out": "takes five minutes; the hostile corpus has it",
    "compose_down": "what it looks for is Compose's own doing",
    "compose_left": "the same",
    "file_baked_in": "the file's weeks are drawn anew",
    "needs_file": "its only reason is file_baked_in",
    "output_differs": "the course has no check of the kind",
    "output_matches": "the same",
    "unsupported": "what a builder does not know differs from engine to engine",
}
"""Kinds of check and reasons that no stored solution fails, and why; each has its unit tests."""


def test_the_selection_shows_every_kind_of_check_every_reason_and_each_exercise_twice() -> None:
    found = expectations(ROOT / "reference", COURSE.exercises)
    chosen = selection(found)
    shown = frozenset[str]().union(*(one.shows for one in chosen))
    mistakes = (ROOT / "tests/mistakes.yaml").read_text(encoding="utf-8")  # built by engine/test_mistakes.py
    shown |= {name for name, reason in REASONS.items() if f"code: {reason.code}\n" in mistakes}
    assert {*CHECK_KINDS, *REASONS} - shown == set(UNSHOWN)
    for exercise in COURSE.exercises:
        assert sum(one.right for one in chosen if one.exercise is exercise) == 2, exercise.id
    assert len(chosen) < len(found) / 4
    assert chosen == selection(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gone: {fails: builds}\n", "no such folder"),
        ("here: {fails: nothing}\n", "must be one of"),
        ("here: {fails: builds, reason: bad_luck}\n", "no reason 'bad_luck'"),
        ("- a\n", "expected a mapping"),
    ],
)
def test_an_inconsistent_reference_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "wrong/3.1.4/here").mkdir(parents=True)
    (tmp_path / "wrong/3.1.4/expect.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        expectations(tmp_path, [EXERCISE])
