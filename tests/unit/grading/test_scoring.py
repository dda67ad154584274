"""Points: weights, totals, bonus, and what students may see."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.checks.build import Builds
from grader.course.models import Exercise
from grader.grading.scoring import Details, Outcome, for_student, score_exercise, with_totals
from grader.models import CheckStatus, EngineInfo, ExerciseReport, ExerciseStatus, Finding, Report
from tests.worlds import COURSE

WRONG = Finding(
    passed=False, message="seen", reason="no_line", expected="this", actual="that", reproduce="docker run x"
)
RIGHT = Finding(passed=True)


def exercise(*weights: float, points: float = 10) -> Exercise:
    checks = tuple(
        Builds(kind="builds", id=str(number), title="t", weight=weight) for number, weight in enumerate(weights)
    )
    return Exercise(id="x", title="x", text="x", points=points, checks=checks)


def scored(given_: Exercise, *passed: bool) -> ExerciseReport:
    ended: dict[bool, Outcome] = {True: (CheckStatus.PASSED, RIGHT), False: (CheckStatus.FAILED, WRONG)}
    return score_exercise(COURSE, given_, [ended[one] for one in passed])


def graded(given_: Exercise, *passed: bool) -> tuple[ExerciseStatus, float | None]:
    report = scored(given_, *passed)
    return report.status, report.score


def test_points_are_shares_of_the_weights() -> None:
    assert graded(exercise(2, 3, 5), True, True, False) == (ExerciseStatus.FAILED, 5.0)
    assert graded(exercise(1, 1, 1), True, False, True) == (ExerciseStatus.FAILED, 6.66)


@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=12))
def test_all_passed_is_exactly_full_points(weights: list[float]) -> None:
    assert graded(exercise(*weights), *[True] * len(weights)) == (ExerciseStatus.PASSED, 10)


@given(st.lists(st.tuples(st.floats(0.1, 9), st.booleans()), min_size=1, max_size=12))
def test_a_score_is_never_negative_nor_above_the_maximum(checks: list[tuple[float, bool]]) -> None:
    _, score = graded(exercise(*[weight for weight, _ in checks]), *[passed for _, passed in checks])
    assert score is not None
    assert 0 <= score <= 10.06  # each of at most 12 checks is rounded by half a hundredth at most


def test_bonus_adds_to_the_score_only_and_what_was_not_graded_to_neither() -> None:
    bonus = replace(scored(exercise(1), True), bonus=True)
    unknown = replace(bonus, bonus=False, score=None)
    counted = with_totals(report(scored(exercise(4, 6), True, False), bonus, unknown))
    assert (counted.score, counted.max_score) == (14.0, 10)


def report(*exercises: ExerciseReport) -> Report:
    return Report("ada", 1, EngineInfo("docker", "1", "buildkit"), exercises)


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        ("full", {"message": "seen", "expected": "this", "actual": "that"}),
        ("actual", {"expected": "", "actual": "that"}),
        ("none", {"message": "", "expected": "", "actual": "", "hint": "", "reproduce": ""}),
    ],
)
def test_details_hide_what_students_may_not_see(details: Details, shown: dict[str, str]) -> None:
    seen = for_student(report(scored(exercise(1), False)), details)
    (check,) = seen.exercises[0].checks
    assert {name: getattr(check, name) for name in shown} == shown
    assert check.status is CheckStatus.FAILED
