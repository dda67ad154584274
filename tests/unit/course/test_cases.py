"""Cases are the same for the same seed on every machine, and tell the usual mistakes apart."""

import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.checks.build import Builds
from grader.checks.compare import agrees
from grader.course.cases import draw_cases, probe_nonce
from grader.course.models import DrawnCases, Exercise, GivenCase

CHECK = Builds(kind="builds", id="builds", title="builds", weight=1)


def exercise(*cases: GivenCase | DrawnCases) -> Exercise:
    return Exercise(id="x", title="x", text="x", cases=cases, checks=(CHECK,))


def test_the_same_seed_gives_these_very_figures() -> None:
    """Written down, so that another machine, Python or version of ours would be noticed."""
    drawn = draw_cases(exercise(DrawnCases(kind="drawn", name="drawn", count=2, length=3)), 1)
    assert [(case.group, case.name, case.weeks) for case in drawn] == [
        ("drawn", "drawn-1", ("11785.79", "17191.70", "180.91")),
        ("drawn", "drawn-2", ("125.16", "3946.84", "10181.68")),
    ]


def test_given_weeks_are_as_written() -> None:
    (case,) = draw_cases(exercise(GivenCase(kind="given", name="example", weeks=(100, 120.5, 110))), 1)
    assert case.weeks == ("100", "120.5", "110")


@given(st.integers(0, 2**31), st.sampled_from([3, 4, 12, 52]))
def test_figures_are_in_range_and_mistakes_show(seed: int, length: int) -> None:
    (case,) = draw_cases(exercise(DrawnCases(kind="drawn", name="drawn", length=length)), seed)
    weeks = [float(week) for week in case.weeks]
    mean = statistics.fmean(weeks)
    assert len(weeks) == length
    assert all(0 <= week <= 100_000 for week in weeks)
    assert not any(agrees(round(answer), answer) for answer in (mean, weeks[-1]))
    mistakes = [
        statistics.fmean(round(week) for week in weeks),
        statistics.fmean(int(week) for week in weeks),
        statistics.median(weeks),
        weeks[-1],
        statistics.fmean(weeks[:-1]),
    ]
    assert not any(agrees(mistake, mean) for mistake in mistakes)


@pytest.mark.parametrize("other", [("y", 1), ("x", 2)])
def test_nonces_differ_by_exercise_and_seed(other: tuple[str, int]) -> None:
    assert probe_nonce("x", 1) == probe_nonce("x", 1)
    assert probe_nonce("x", 1) != probe_nonce(*other)


@given(st.integers(0, 2**31), st.sampled_from([3, 12]))
def test_weeks_rise_or_fall_where_that_is_asked(seed: int, length: int) -> None:
    rising = DrawnCases(kind="drawn", name="drawn", length=length, shape="rising")
    for spec, backwards in ((rising, False), (replace(rising, shape="falling"), True)):
        (case,) = draw_cases(exercise(spec), seed)
        weeks = [float(week) for week in case.weeks]
        assert weeks == sorted(weeks, reverse=backwards)


@given(st.integers(0, 2**31), st.sampled_from([3, 8]))
def test_a_whole_last_week_shows_whether_its_last_digit_is_cut_off(seed: int, length: int) -> None:
    (case,) = draw_cases(exercise(DrawnCases(kind="drawn", name="drawn", length=length, whole_last=True)), seed)
    *others, last = case.weeks
    cut = [float(week) for week in (*others, last[:-1] or "0")]
    assert last.isdigit()
    assert not agrees(statistics.fmean(cut), statistics.fmean(map(float, case.weeks)))
