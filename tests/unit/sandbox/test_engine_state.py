"""An engine's events are asked for by its own clock, which may be set meanwhile."""

from __future__ import annotations

import pytest

from grader.errors import EngineError
from grader.sandbox.engine_state import Moment, span

BEGAN = Moment(wall=1_000_000.0, steady=50.0)


def test_the_time_of_a_script_is_that_of_the_engines_clock() -> None:
    assert span(BEGAN, Moment(1_000_060.3, 110.0)) == (1_000_000.0, 1_000_060.3)


def test_an_engine_that_answers_late_has_not_set_its_clock() -> None:
    assert span(BEGAN, Moment(1_000_063.0, 110.0, latency=4.0)) == (1_000_000.0, 1_000_063.0)


@pytest.mark.parametrize("jump", [-3600.0, -2.0, 2.0, 3600.0])
def test_a_clock_that_was_set_is_no_result(jump: float) -> None:
    with pytest.raises(EngineError, match="clock"):
        span(BEGAN, Moment(1_000_010.0 + jump, 60.0))
