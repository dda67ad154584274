"""Cases from a seed. The same seed gives the same figures on every machine and Python.

Figures come from SHA-256 of a counter, not from `random`, whose methods may change between versions of Python. A drawn
list is kept only if the usual mistakes (rounded weeks, the last week, the median, an extreme, one week left out, a
trend off by a week or never below 0, an answer without its decimals) give visibly different answers, so that a wrong
program cannot be right by luck.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from grader.course.models import DrawnCases, GivenCase
from grader.models import Case

if TYPE_CHECKING:
    from grader.course.models import Exercise

_HIGHEST_CENTS = 2_000_000
"""20 000.00: the tolerance stays under 0.03, so that a mean of rounded figures can be told from the mean."""

_APART = 0.05
"""How far a mistaken answer must be from the right one; twice the largest tolerance, 0.03, and no
more, because the rounding errors of 52 weeks nearly cancel out."""


def draw_cases(exercise: Exercise, seed: int) -> tuple[Case, ...]:
    """The cases of an exercise in the order of the spec, without predictions yet."""
    cases: list[Case] = []
    for spec in exercise.cases:
        if isinstance(spec, GivenCase):
            cases.append(Case(spec.name, spec.name, tuple(f"{week:g}" for week in spec.weeks)))
            continue
        for number in range(1, spec.count + 1):
            name = spec.name if spec.count == 1 else f"{spec.name}-{number}"
            cases.append(Case(spec.name, name, _telling_weeks(seed, f"{exercise.id}/{name}", spec)))
    return tuple(cases)


def probe_nonce(exercise: str, seed: int) -> str:
    """A text that no submission can know: 32 hex digits, the same for the same seed."""
    return draw_text(seed, exercise, "probe")[:32]


def draw_text(seed: int, *labels: str) -> str:
    """64 hex digits that depend on the seed and the labels alone."""
    return hashlib.sha256("/".join((str(seed), *labels)).encode()).hexdigest()


def _telling_weeks(seed: int, label: str, spec: DrawnCases) -> tuple[str, ...]:
    for attempt in itertools.count():
        drawn = (draw_text(seed, label, str(attempt), str(week)) for week in range(spec.length))
        cents = [int(digits[:15], 16) % (_HIGHEST_CENTS + 1) for digits in drawn]
        if spec.shape != "noisy":
            cents.sort(reverse=spec.shape == "falling")
        if spec.whole_last:
            cents[-1] -= cents[-1] % 100
        if _tells_mistakes_apart([value / 100 for value in cents], spec):
            *weeks, last = (f"{value // 100}.{value % 100:02d}" for value in cents)
            return (*weeks, last.removesuffix(".00") if spec.whole_last else last)
    raise AssertionError  # the loop above does not end otherwise


def _tells_mistakes_apart(weeks: list[float], spec: DrawnCases) -> bool:
    mean, trend, last = answers = [_mean(weeks), _trend(weeks, len(weeks)), weeks[-1]]
    if spec.shape == "falling" and trend > -_APART:
        return False  # who takes a negative trend for 0 is wrong for every seed, or for none
    mistakes = [
        _mean([round(week) for week in weeks]),
        _mean([int(week) for week in weeks]),
        statistics.median(weeks),
        _mean(weeks[1:]),
        _mean(weeks[:-1]),
        weeks[0],
        _trend(weeks, len(weeks) - 1),
        _trend(weeks, len(weeks) + 1),
    ]
    if spec.whole_last:
        mistakes.append(_mean([*weeks[:-1], last // 10]))
    if spec.shape == "noisy" and len(weeks) >= _EXTREMES_FROM:
        mistakes += [max(weeks), min(weeks)]
    pairs = [*itertools.combinations(answers, 2), *itertools.product(answers, mistakes)]
    # Cutting off an answer's decimals, or rounding them, has to show, too.
    pairs += [(answer, round(answer)) for answer in ([mean, trend] if spec.whole_last else answers)]
    return all(abs(one - other) > _APART for one, other in pairs)


_EXTREMES_FROM = 4
"""With three weeks, one of them is the largest, one the smallest and one the median, and the last one is among them."""


def _mean(weeks: Sequence[float]) -> float:
    return math.fsum(weeks) / len(weeks)


def _trend(weeks: list[float], at: int) -> float:
    """The degree-1 least-squares line over weeks 0..n-1, at week `at`."""
    middle = (len(weeks) - 1) / 2
    mean = _mean(weeks)
    spread = math.fsum((index - middle) ** 2 for index in range(len(weeks)))
    slope = math.fsum((index - middle) * (week - mean) for index, week in enumerate(weeks)) / spread
    return mean + slope * (at - middle)
