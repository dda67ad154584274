"""Final marks: each rule alone, and all of them together against sums done by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.grading.grades import Late, Override, Policy, final_grades, worth_of
from grader.models import ExerciseReport, ExerciseStatus, Report
from tests import reports

DUE = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)
DAY = timedelta(days=1)


def exercise(name: str, score: float | None, worth: float = 10, *, bonus: bool = False) -> ExerciseReport:
    status = ExerciseStatus.NOT_GRADED if score is None else ExerciseStatus.FAILED
    return ExerciseReport(name, "A title", status, score, worth, bonus=bonus)


ADA = reports.report_of("ada", exercise("a", 10), exercise("b", 5), exercise("c", 0), exercise("x", 4, bonus=True))
BOB = reports.report_of("bob", exercise("a", 8), exercise("b", None), exercise("c", 3))


@pytest.mark.parametrize(
    ("policy", "score", "worth", "reasons"),
    [
        (Policy(), 19, 30, ()),
        (Policy(weights={"a": 2, "c": 0}), 29, 30, ("a: counts × 2", "c: counts × 0")),
        (Policy(bonus=frozenset()), 19, 40, ()),
        (Policy(bonus=frozenset("a")), 19, 30, ()),
        (Policy(drop_lowest=1), 19, 20, ("c: dropped as lowest",)),
        (Policy(best_of=1), 14, 10, ("b: not counted: only the best 1 are", "c: not counted: only the best 1 are")),
        (Policy(scale=100), 63.33, 100, ("19 of 30 on a scale of 100",)),
        (Policy(scale=100, step=1), 63, 100, ("19 of 30 on a scale of 100", "rounded from 63.33")),
        (Policy(step=2), 20, 30, ("rounded from 19",)),
        (Policy(drop_lowest=9), 4, 0, ("a: dropped as lowest", "b: dropped as lowest", "c: dropped as lowest")),
    ],
)
def test_each_rule(policy: Policy, score: float, worth: float, reasons: tuple[str, ...]) -> None:
    (grade,) = final_grades([ADA], policy)
    assert (grade.score, grade.max_score, grade.all_reasons) == (score, worth, reasons)
    assert (grade.earned, grade.worth) == (19, 30)
    if worth:
        assert worth_of([ADA], policy) == worth


@pytest.mark.parametrize(
    ("late", "submitted", "score", "why"),
    [
        (Late(DUE, per_day=0.1), DUE, 19, ""),
        (Late(DUE, per_day=0.1), DUE + timedelta(seconds=1), 17.1, "late by 1 day: −10 %"),
        (Late(DUE, per_day=0.1, grace=timedelta(hours=1)), DUE + timedelta(hours=1), 19, ""),
        (Late(DUE, per_day=0.1, grace=timedelta(hours=1)), DUE + timedelta(hours=2), 17.1, "late by 1 day: −10 %"),
        (Late(DUE, per_day=0.1), DUE + 2 * DAY, 15.2, "late by 2 days: −20 %"),
        (Late(DUE, per_day=0.5), DUE + 9 * DAY, 0, "late by 9 days: −100 %"),
        (Late(DUE, per_day=0.5, at_most=0.5), DUE + 9 * DAY, 9.5, "late by 9 days: −50 %"),
        (Late(DUE, per_day=0.1, cut_off=DAY), DUE + DAY, 17.1, "late by 1 day: −10 %"),
        (Late(DUE, per_day=0.1, cut_off=DAY), DUE + 1.1 * DAY, 0, "late by 2 days, after the cut-off: no points"),
        (Late(DUE, per_day=0.1, extensions={"ada": DUE + 2 * DAY}), DUE + 3 * DAY, 17.1, "late by 1 day: −10 %"),
        (Late(DUE, per_day=0.1, extensions={"bob": DUE + 2 * DAY}), DUE + DAY, 17.1, "late by 1 day: −10 %"),
        (Late(DUE), DUE + DAY, 19, "late by 1 day, at no cost"),
        (Late(DUE, per_day=0.1), None, 19, ""),
    ],
)
def test_lateness(late: Late, submitted: datetime | None, score: float, why: str) -> None:
    times = {"ada": submitted.isoformat()} if submitted else {}
    (grade,) = final_grades([ADA], Policy(late=late), (), times)
    assert (grade.score, grade.late) == (score, why)


def test_a_mark_set_by_hand_is_final_and_carries_who_and_why() -> None:
    late = Policy(late=Late(DUE, per_day=0.5))
    hand = [Override("ada", "b", 9, "the log was cut", "ts"), Override("ada", "c", None, "see me")]
    times = {"ada": (DUE + DAY).isoformat()}
    (grade,) = final_grades([ADA], late, hand, times)
    assert grade.score == 5 + 9 + 0 + 2
    assert grade.exercises[1].reasons == ("set by hand by ts (the log was cut): 5 → 9",)
    assert grade.exercises[2].comment == "see me"
    (whole,) = final_grades([ADA], late, [*hand, Override("ada", "", 25, "agreed")], times)
    assert (whole.score, whole.comment) == (25, "agreed")
    assert whole.reasons[-1] == "set by hand (agreed): 16 → 25"


def test_what_could_not_be_graded_is_missing_until_somebody_sets_it() -> None:
    ada, bob = final_grades([ADA, BOB])
    assert (ada.score, bob.score, bob.missing) == (19, None, "not graded: b, x")
    assert final_grades([BOB], Policy(), [Override("bob", "b", 7)])[0].score == 18
    assert final_grades([BOB], Policy(), [Override("bob", "", 7)])[0].missing == ""


POINTS = st.integers(0, 1000).map(lambda cents: cents / 100)


@given(
    st.lists(POINTS, min_size=1, max_size=6), st.integers(0, 6), st.integers(0, 4), st.sampled_from([0.01, 0.5, 1.0])
)
def test_all_rules_together_by_another_way_of_reckoning(points: list[float], drop: int, days: int, step: float) -> None:
    report = reports.report_of("ada", *(exercise(str(index), score) for index, score in enumerate(points)))
    policy = Policy(drop_lowest=drop, scale=100, step=step, late=Late(DUE, per_day=0.2, at_most=0.6))
    times = {"ada": (DUE + days * DAY).isoformat()}
    (grade,) = final_grades([report], policy, (), times)
    kept = sorted(points, reverse=True)[: max(len(points) - drop, 0)]
    expected = sum(kept) * (1 - min(0.2 * days, 0.6)) * 100 / (10 * len(kept)) if kept else 0
    assert grade.score is not None
    assert grade.score == pytest.approx(expected, abs=step / 2 + 1e-6)
    assert abs(round(grade.score / step) * step - grade.score) < 1e-6


def test_without_rules_a_mark_is_the_sum_of_the_points() -> None:
    every: list[Report] = [report for report in reports.sample_class() if report.student != "李雷"]
    assert [(one.score, one.max_score) for one in final_grades(every)] == [(one.score, one.max_score) for one in every]
    assert [one.all_reasons for one in final_grades(every)] == [()] * len(every)
