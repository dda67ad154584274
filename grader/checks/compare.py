"""Reading the prediction from output, and comparing it. Pure; the rules are those of EXERCISES.md, "Words"."""

from __future__ import annotations

import math
import re

LINE_FORM = "Predicted sales for next week: <number>"
"""The line, as students are shown it."""

_PREFIX = "Predicted sales for next week:"
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_LINE = re.compile(rf"\s*{_PREFIX}\s*(?P<number>{_NUMBER}|[+-]?(?:nan|inf(?:inity)?))\s*", re.IGNORECASE)
_ANY_NUMBER = re.compile(rf"(?<![\w.]){_NUMBER}")
_WITH_COMMA = re.compile(r"(?<![\w.,])[+-]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+,\d+)(?![\w,]|\.\d)")


def lines(output: bytes) -> list[str]:
    r"""Output as lines of text: UTF-8, undecodable bytes replaced, ended by \n, \r\n or \r."""
    return re.split(r"\r\n|\n|\r", output.decode("utf-8", errors="replace"))


def is_prediction_line(line: str) -> bool:
    """Whether a line has the form of the line, with a number, NaN or infinity in it."""
    return _prediction(line) is not None


def predicted(output: bytes) -> float | None:
    """The number of the last prediction line in standard output; NaN and infinities as such; None without a line."""
    found = [number for line in lines(output) if (number := _prediction(line)) is not None]
    return found[-1] if found else None


def agrees(actual: float, expected: float) -> bool:
    """Whether |actual - expected| <= 0.01 + 1e-6 * |expected| (EXERCISES.md, "The line"). NaN and inf never agree."""
    if not (math.isfinite(actual) and math.isfinite(expected)):
        return False
    return abs(actual - expected) <= 0.01 + 1e-6 * abs(expected)


def numbers(line: str) -> list[float]:
    """Every number that a line of text carries, in order."""
    return [float(match.group()) for match in _ANY_NUMBER.finditer(line)]


def with_comma(line: str) -> list[tuple[str, float]]:
    """Every number with commas in it (`5,210.61`, `5210,61`), as written and as meant: for a note, no verdict."""
    found = [match.group() for match in _WITH_COMMA.finditer(line)]
    decimals = [text for text in found if text.count(",") == 1 and "." not in text]
    return [(one, float(one.replace(",", ""))) for one in found] + [(o, float(o.replace(",", "."))) for o in decimals]


def without_series(found: list[float], series: list[float]) -> list[float]:
    """`found` without the places where all of `series` stands in a row: a list of the weeks carries no prediction."""
    starts = [at for at in range(len(found)) if series and found[at : at + len(series)] == series]
    return [number for at, number in enumerate(found) if not any(start <= at < start + len(series) for start in starts)]


def _prediction(line: str) -> float | None:
    match = _LINE.fullmatch(line)
    if match is None or not line.lstrip().startswith(_PREFIX):
        return None
    return float(match.group("number"))
