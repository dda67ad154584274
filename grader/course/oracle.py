"""Expected answers, from the course's own `reference/predictor.py`, before any student's code runs.

The predictor is run once as a program: `{"series": [[…], …]}` on standard input,
`{"predictions": [{"average": …, "last": …, "trend": …}, …]}` on standard output. So a course
brings its own oracle with its own imports, and a broken one stops everything with exit code 4.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from grader.course.cases import draw_cases
from grader.course.models import Exercise
from grader.errors import ReferenceFailed
from grader.models import Case

_SECONDS = 60
"""More than importing pandas takes on the slowest of machines."""


def expected_cases(predictor: Path, exercises: Sequence[Exercise], seed: int) -> dict[str, tuple[Case, ...]]:
    """Each exercise's cases with their expected predictions, by exercise id.

    Raises `ReferenceFailed` where the predictor fails or answers what cannot be an answer.
    """
    drawn = {exercise.id: draw_cases(exercise, seed) for exercise in exercises}
    series = [[float(week) for week in case.weeks] for cases in drawn.values() for case in cases]
    answers = iter(_predictions(predictor, series) if series else ())
    return {
        identifier: tuple(replace(case, predictions=next(answers)) for case in cases)
        for identifier, cases in drawn.items()
    }


def _predictions(predictor: Path, series: list[list[float]]) -> list[tuple[tuple[str, float], ...]]:
    """The predictor's answers for each series, as (method, number) pairs."""
    question = json.dumps({"series": series})
    try:
        done = subprocess.run(
            [sys.executable, str(predictor)],
            input=question,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ReferenceFailed(f"{predictor}: could not be run: {error}") from error
    if done.returncode != 0:
        raise ReferenceFailed(f"{predictor}: exit code {done.returncode}: {done.stderr.strip()[-500:]}")
    try:
        answers = json.loads(done.stdout)["predictions"]
        found = [tuple((method, float(number)) for method, number in one.items()) for one in answers]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"{predictor}: its answer is not what was asked for ({error}): {done.stdout[:200]!r}"
        raise ReferenceFailed(message) from error
    if len(found) != len(series):
        raise ReferenceFailed(f"{predictor}: asked for {len(series)} predictions, got {len(found)}")
    for pairs in found:
        if not pairs or not all(math.isfinite(number) for _, number in pairs):
            raise ReferenceFailed(f"{predictor}: a prediction is missing or not finite: {dict(pairs)}")
    return found
