"""Cases from a seed. The same seed gives the same figures on every machine and Python.

Figures come from SHA-256 of a counter, not from `random`, whose methods may change between
versions of Python. A drawn list is kept only if the usual mistakes (rounded weeks, the last
week, the median, an extreme, one week left out, a trend off by a week or never below 0, an answer
without its decimals) give visibly different answers, so that a wrong program cannot be right by luck.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, assert_never

from grader.course.models import DrawnCases, GivenCase
from grader.models import Case

if TYPE_CHECKING:
    from grader.course.models import CaseSpec, Exercise
    from grader.course.registry import Shape

_HIGHEST_CENTS = 2_000_000
"""20 000.00. EXERCISES.md allows 100 000; below this the tolerance stays under 0.03, so that
the mean of rounded figures can be told from the mean."""

_APART = 0.05
"""How far a mistaken answer must be from the right one; twice the largest tolerance, 0.03, and no
more, because the rounding errors of 52 weeks nearly cancel out."""


def draw_cases(exercise: Exercise, seed: int) -> tuple[Case, ...]:
    """The cases of an exercise in the order of the spec, without predictions yet."""
    return tuple(case for spec in exercise.cases for case in _cases(exercise.id, spec, seed))


def probe_nonce(exercise: str, seed: int) -> str:
    """A text that no submission can know: 32 hex digits, the same for the same seed."""
    return draw_text(seed, exercise, "probe")[:32]


def draw_text(seed: int, *labels: str) -> str:
    """64 hex digits that depend on the seed and the labels alone."""
    return hashlib.sha256("/".join((str(seed), *labels)).encode()).hexdigest()


def _cases(exercise: str, spec: CaseSpec, seed: int) -> Iterator[Case]:
    match spec:
        case GivenCase():
            yield Case(spec.name, spec.name, tuple(f"{week:g}" for week in spec.weeks))
        case DrawnCases():
            for number in range(1, spec.count + 1):
                name = spec.name if spec.count == 1 else f"{spec.name}-{number}"
                yield Case(spec.name, name, _telling_weeks(seed, f"{exercise}/{name}", spec))
        case _:
            assert_never(spec)


def _telling_weeks(seed: int, label: str, spec: DrawnCases) -> tuple[str, ...]:
    for attempt in itertools.count():
        drawn = [_cents(draw_text(seed, label, str(attempt), str(week))) for week in range(spec.length)]
        cents = _shaped(drawn, spec.shape)
        if spec.whole_last:
            cents[-1] -= cents[-1] % 100
        if _tells_mistakes_apart([value / 100 for value in cents], spec):
            last = f"{cents[-1] // 100}" if spec.whole_last else _written(cents[-1])
            return (*map(_written, cents[:-1]), last)
    raise AssertionError  # the loop above does not end otherwise


def _written(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _shaped(cents: list[int], shape: Shape) -> list[int]:
    return cents if shape == "noisy" else sorted(cents, reverse=shape == "falling")


def _cents(digest: str) -> int:
    return int(digest[:15], 16) % (_HIGHEST_CENTS + 1)


def _tells_mistakes_apart(weeks: list[float], spec: DrawnCases) -> bool:
    answers = [_mean(weeks), _trend(weeks, len(weeks)), weeks[-1]]
    if spec.shape == "falling" and answers[1] > -_APART:
        return False  # who takes a negative trend for 0 is wrong for every seed, or for none
    mistakes = _mistakes(weeks)
    if spec.whole_last:
        mistakes.append(_mean([*weeks[:-1], weeks[-1] // 10]))
    if spec.shape == "noisy" and len(weeks) >= _EXTREMES_FROM:
        mistakes += [max(weeks), min(weeks)]
    return (
        _all_apart(answers)
        and not any(_nearly_whole(answer) for answer in (answers[:-1] if spec.whole_last else answers))
        and all(abs(answer - mistake) > _APART for answer in answers for mistake in mistakes)
    )


def _nearly_whole(answer: float) -> bool:
    """Whether cutting off the decimals, or rounding them, hardly shows."""
    return abs(answer - round(answer)) <= _APART


_EXTREMES_FROM = 4
"""With three weeks, one of them is the largest, one the smallest and one the median, and the last one is among them."""


def _all_apart(answers: list[float]) -> bool:
    return all(abs(one - other) > _APART for one, other in itertools.combinations(answers, 2))


def _mistakes(weeks: list[float]) -> list[float]:
    return [
        _mean([round(week) for week in weeks]),
        _mean([int(week) for week in weeks]),
        statistics.median(weeks),
        _mean(weeks[1:]),
        _mean(weeks[:-1]),
        weeks[0],
        _trend(weeks, len(weeks) - 1),
        _trend(weeks, len(weeks) + 1),
    ]


def _mean(weeks: Sequence[float]) -> float:
    return math.fsum(weeks) / len(weeks)


def _trend(weeks: list[float], at: int) -> float:
    """The degree-1 least-squares line over weeks 0..n-1, at week `at`."""
    middle = (len(weeks) - 1) / 2
    mean = _mean(weeks)
    spread = math.fsum((index - middle) ** 2 for index in range(len(weeks)))
    slope = math.fsum((index - middle) * (week - mean) for index, week in enumerate(weeks)) / spread
    return mean + slope * (at - middle)
