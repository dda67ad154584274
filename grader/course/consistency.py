"""What the shape of a course cannot say: names that must be unique, names that must exist, weights that must add up.

Works on the plain data and steps over whatever has another shape than it should: that is
reported elsewhere, and all mistakes are to be reported at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grader.course.models import folder_key
from grader.course.validation_messages import MAX_NAMES, did_you_mean, place
from grader.course.yaml_source import Document, Path, Problem, quoted
from grader.sanitize import sanitize_line

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

MAX_BUILDS_SHARE = 0.2
"""The part of an exercise's points that "it builds" may bring (EXERCISES.md, "Points": never more than 2 of 10)."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A value and how it was reached. Asked for what it does not hold, it answers with nothing."""

    document: Document
    path: Path = ()

    def __getitem__(self, key: str) -> _Node:
        return _Node(self.document, (*self.path, key))

    def __iter__(self) -> Iterator[_Node]:
        items = self.data if isinstance(self.data, list) else []
        return (_Node(self.document, (*self.path, index)) for index in range(len(items)))

    @property
    def data(self) -> object:
        return self.document.at(self.path)

    @property
    def text(self) -> str:
        return self.data if isinstance(self.data, str) else ""

    @property
    def number(self) -> float | None:
        return self.data if isinstance(self.data, int | float) and not isinstance(self.data, bool) else None

    def problem(self, message: str) -> Problem:
        return Problem(place(self.path, self.document), message)


def consistency_problems(document: Document, reasons: Collection[str] | None) -> list[Problem]:
    """Every mistake between the parts of a course. `reasons` are those a hint may be given for; None: any."""
    course = _Node(document)
    found = [
        *_twice(course["exercises"], "id", "exercise", folder_key),
        *_first_image_names(course),
        *_hint_reasons(course, reasons),
    ]
    for exercise in course["exercises"]:
        found += _twice(exercise["checks"], "id", "check")
        found += _twice(exercise["cases"], "name", "case")
        found += _weights(exercise)
        found += _needs(exercise)
        found += _case_names(exercise)
        for check in exercise["checks"]:
            found += _hint_reasons(check, reasons)
            found += _patterns(check)
    return found


def _twice(items: _Node, key: str, noun: str, same: Callable[[str], str] = str) -> Iterator[Problem]:
    """Names that were given before. Exercises may not share a way of calling their folders."""
    first: dict[str, _Node] = {}
    for item in items:
        name = item[key]
        earlier = first.setdefault(same(name.text), name)
        if name.text and earlier is not name:
            line = place(earlier.path, earlier.document).line
            text = f"the {noun} {quoted(name.text)} is there already, in line {line}; expected another {key}"
            yield name.problem(text)


def _first_image_names(course: _Node) -> Iterator[Problem]:
    for image in course["images"]:
        for name in list(image["names"])[:1]:
            if "*" in name.text:
                yield name.problem(f"{quoted(name.text)} is the name that students are told; expected one without *")


def _hint_reasons(owner: _Node, reasons: Collection[str] | None) -> Iterator[Problem]:
    hints = owner["hints"]
    known = sorted(reasons or ())
    for reason in hints.data if isinstance(hints.data, dict) and reasons is not None else ():
        if reason not in known:
            message = f"no check fails for the reason {quoted(reason)}{did_you_mean(reason, known)}"
            position = owner.document.keys[*hints.path, reason]
            yield Problem(position, f"{message}; expected one of: {', '.join(known)}")


def _weights(exercise: _Node) -> Iterator[Problem]:
    checks = exercise["checks"]
    weights = [check["weight"].number for check in checks]
    numbers = [weight for weight in weights if weight is not None]
    if not weights or len(numbers) < len(weights):
        return
    builds = [check["weight"] for check in checks if check["kind"].text == "builds"]
    if sum(numbers) <= 0:
        yield checks.problem("the weights of these checks add up to 0; expected at least one above 0")
    elif (share := sum(weight.number or 0 for weight in builds) / sum(numbers)) > MAX_BUILDS_SHARE + 1e-9:
        message = f"that it builds is worth {share:.1%} of the exercise; expected at most {MAX_BUILDS_SHARE:.0%}"
        yield builds[-1].problem(message)


def _needs(exercise: _Node) -> Iterator[Problem]:
    every = [check["id"].text for check in exercise["checks"]]
    for number, check in enumerate(exercise["checks"]):
        earlier, own = every[:number], every[number]
        for need in check["needs"]:
            if not need.text or need.text in earlier:
                continue
            if need.text in every:
                problem = "needs itself" if need.text == own else "comes later"
                yield need.problem(f"the check {quoted(need.text)} {problem}; expected the id of an earlier check")
            else:
                yield need.problem(_unknown("check", need.text, earlier))


def _case_names(exercise: _Node) -> Iterator[Problem]:
    known = [case["name"].text for case in exercise["cases"]]
    for check in exercise["checks"]:
        for name in (*check["cases"], check["case"], check["or_holds"]):
            if name.text and name.text not in known:
                yield name.problem(_unknown("case", name.text, known))
        if check["arguments"].data is True and not known:
            message = "the arguments are the weeks of a case, but the exercise has none; expected a list `cases`"
            yield check["arguments"].problem(message)


def _unknown(noun: str, name: str, known: list[str]) -> str:
    names = [one for one in dict.fromkeys(known) if one][:MAX_NAMES]
    choices = (
        f"one of: {', '.join(map(sanitize_line, names))}" if names else f"no name, since there is no {noun} to name"
    )
    return f"there is no {noun} {quoted(name)}{did_you_mean(name, names)}; expected {choices}"


def _patterns(check: _Node) -> Iterator[Problem]:
    pattern = check["pattern"]
    try:
        re.compile(pattern.text)
    except (re.error, OverflowError, RecursionError) as error:
        message = f"{quoted(pattern.text)} is not a regular expression ({error}); expected one in Python's syntax"
        yield pattern.problem(message)
