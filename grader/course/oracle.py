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
from typing import Any

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
    answers = iter(predict(predictor, [case.weeks for cases in drawn.values() for case in cases]))
    return {
        identifier: tuple(replace(case, predictions=next(answers)) for case in cases)
        for identifier, cases in drawn.items()
    }


def predict(predictor: Path, series: Sequence[Sequence[str]]) -> list[tuple[tuple[str, float], ...]]:
    """The predictor's answers for each series of decimal texts, as (method, number) pairs."""
    if not series:
        return []
    question = json.dumps({"series": [[float(week) for week in weeks] for weeks in series]})
    answer = _run(predictor, question)
    try:
        predictions = json.loads(answer)["predictions"]
        found = [_checked(prediction) for prediction in predictions]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReferenceFailed(
            f"{predictor}: its answer is not what was asked for ({error}): {answer[:200]!r}"
        ) from error
    if len(found) != len(series):
        raise ReferenceFailed(f"{predictor}: asked for {len(series)} predictions, got {len(found)}")
    return found


def _checked(prediction: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    pairs = tuple((method, float(number)) for method, number in prediction.items())
    if not pairs or not all(math.isfinite(number) for _, number in pairs):
        message = f"a prediction is missing or not finite: {prediction}"
        raise ValueError(message)
    return pairs


def _run(predictor: Path, question: str) -> str:
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
    return done.stdout
