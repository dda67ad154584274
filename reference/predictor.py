"""The oracle: what a right `sales_predictor.py` predicts for next week.

Weekly sales figures go in, oldest first, and one number comes out, by one of three methods:
`average`, `last` and `trend`. Every expected value of the course is computed here, at grading
time; no exercise carries a stored answer.

Two ways to use it:

    python reference/predictor.py 100 120 110 --type trend      one series, by hand
    python reference/predictor.py < request.json                many series, all methods

The second reads `{"series": [[100, 120, 110], ...]}` and writes
`{"predictions": [{"average": 110.0, "last": 110.0, "trend": 120.0}, ...]}`, in the order of
the series. Numbers are written so that reading them gives back exactly the same value.

It needs nothing but Python: to load pandas takes longer than all else that `grader check` does by itself.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

__all__ = ["PREDICTORS", "BadInputError", "answer", "average", "checked_weeks", "last", "predictions", "trend"]

Weeks = Sequence[float]

FEWEST_WEEKS: Final = 3
MOST_WEEKS: Final = 52
LOWEST_FIGURE: Final = 0.0
HIGHEST_FIGURE: Final = 100_000.0
BAD_INPUT: Final = 2
"""Exit code for input that cannot be used, as argparse has it."""


class BadInputError(ValueError):
    """The input is not what the contract allows. The message says where and what was expected."""


def average(weeks: Weeks) -> float:
    """The mean of all weeks given.

    For the n figures y_0 … y_(n-1) this is (y_0 + … + y_(n-1)) / n, in the figures' own unit.
    """
    return math.fsum(weeks) / len(weeks)


def last(weeks: Weeks) -> float:
    """The last week repeated: y_(n-1)."""
    return float(weeks[-1])


def trend(weeks: Weeks) -> float:
    """The value at the next week of a straight line fitted to all weeks.

    The line is the degree-1 least-squares fit through the points (0, y_0) … (n-1, y_(n-1)),
    evaluated at week n, the first week that is not in the data. With the means x' = (n-1)/2
    and y', its slope is

        b = sum((x - x') * (y - y')) / sum((x - x')**2)

    and its value at n is y' + b * (n - x'). Equal, to rounding, to
    `numpy.polyval(numpy.polyfit(range(n), weeks, 1), n)`. Needs two weeks or more.
    """
    middle, mean = (len(weeks) - 1) / 2, average(weeks)
    from_middle = [position - middle for position in range(len(weeks))]
    above = math.fsum(distance * (sales - mean) for distance, sales in zip(from_middle, weeks, strict=True))
    slope = above / math.fsum(distance * distance for distance in from_middle)
    return mean + slope * (len(weeks) - middle)


PREDICTORS: Final[Mapping[str, Callable[[Weeks], float]]] = MappingProxyType(
    {"average": average, "last": last, "trend": trend},
)
"""Every method by the name that students use for it."""


def predictions(weeks: Weeks) -> dict[str, float]:
    """What every method predicts for the week after `weeks`, by the method's name."""
    return {name: predict(weeks) for name, predict in PREDICTORS.items()}


# ── reading ─────────────────────────────────────────────────────────────────────────────


def checked_weeks(figures: object, where: str) -> list[float]:
    """`figures` as weeks: 3 to 52 numbers, each from 0 to 100 000.

    Raises BadInputError, whose message begins with `where`, for anything else.
    """
    if not isinstance(figures, list) or not FEWEST_WEEKS <= len(figures) <= MOST_WEEKS:
        found = f"{len(figures)} of them" if isinstance(figures, list) else shown(figures)
        message = f"{where}: expected a list of {FEWEST_WEEKS} to {MOST_WEEKS} weekly figures, found {found}"
        raise BadInputError(message)
    return [checked_figure(figure, f"{where}, week {week}") for week, figure in enumerate(figures)]


def checked_figure(figure: object, where: str) -> float:
    """`figure` as a float; raises BadInputError if it is no number from 0 to 100 000."""
    # bool is an int to Python, and an int of hundreds of digits has no float: so this order.
    if isinstance(figure, bool) or not isinstance(figure, int | float) or not LOWEST_FIGURE <= figure <= HIGHEST_FIGURE:
        message = f"{where}: expected a number from {LOWEST_FIGURE:.0f} to {HIGHEST_FIGURE:.0f}, found {shown(figure)}"
        raise BadInputError(message)
    return float(figure)


def shown(value: object) -> str:
    """`value` as it stands in a message: in JSON's notation, at most 60 characters of it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004  a width, not a rule


def answer(request: str | bytes) -> str:
    """The JSON document that answers the JSON document `request`.

    Raises BadInputError if `request` is not of the form `{"series": [[number, ...], ...]}`.
    """
    try:
        document = json.loads(request)
    except ValueError as error:  # not JSON, not UTF-8, or a number too long to read
        message = f"standard input is not JSON: {error}"
        raise BadInputError(message) from error
    if not isinstance(document, dict) or set(document) != {"series"} or not isinstance(document["series"], list):
        message = f'standard input: expected {{"series": [[number, ...], ...]}}, found {shown(document)}'
        raise BadInputError(message)
    series = [checked_weeks(weeks, f"standard input: series {index}") for index, weeks in enumerate(document["series"])]
    return json.dumps({"predictions": [predictions(weeks) for weeks in series]})


def number(argument: str) -> float:
    """A command-line argument as a figure; argparse turns the ValueError into exit code 2."""
    figure = float(argument)
    if not math.isfinite(figure):
        raise ValueError(argument)
    return figure


# ── the command ─────────────────────────────────────────────────────────────────────────


def command_line() -> argparse.ArgumentParser:
    """What can be given on the command line."""
    parser = argparse.ArgumentParser(
        description="Predict next week's sales. Without figures, reads a JSON document from standard input.",
        epilog='Example of such a document: {"series": [[100, 120, 110], [5, 7.5, 6, 8]]}',
    )
    parser.add_argument("weeks", nargs="*", type=number, metavar="FIGURE", help="weekly sales, oldest first")
    parser.add_argument("--type", choices=list(PREDICTORS), default="average", help="method, for FIGUREs")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0, or 2 for bad input."""
    options = command_line().parse_args(arguments)
    try:
        if options.weeks:
            prediction = PREDICTORS[options.type](checked_weeks(options.weeks, "arguments"))
            sys.stdout.write(f"Predicted sales for next week: {prediction!r}\n")
        else:
            sys.stdout.write(answer(sys.stdin.buffer.read()) + "\n")
    except BadInputError as error:
        sys.stderr.write(f"predictor: {error}\n")
        return BAD_INPUT
    return 0


if __name__ == "__main__":
    sys.exit(main())
