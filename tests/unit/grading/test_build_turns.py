"""Builds run side by side, unless one has to run alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError

import pytest

from grader.grading.build_turns import BuildTurns


@pytest.mark.parametrize(
    ("one", "other", "together"), [(False, False, True), (False, True, False), (True, True, False)]
)
def test_two_builds_meet_only_if_neither_runs_alone(one: bool, other: bool, together: bool) -> None:
    turns = BuildTurns()
    inside = Barrier(2)

    def meets(alone: bool) -> bool:
        with turns.turn(alone=alone):
            try:
                inside.wait(5 if together else 0.2)
            except BrokenBarrierError:
                return False
            return True

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(meets, [one, other])) == {together}


def test_a_turn_ends_also_with_an_error() -> None:
    turns = BuildTurns()
    for alone in (True, False, True):
        with pytest.raises(ValueError, match="x"), turns.turn(alone=alone):
            raise ValueError("x")
