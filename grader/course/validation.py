"""The mistakes of a course, each at its place in the text: what pydantic finds, and what does not fit together."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from grader.course import registry
from grader.course.models import BaseImage, Course, DrawnCases, Exercise, GivenCase, Limits, folder_key
from grader.course.registry import CHECK_KINDS
from grader.course.yaml_source import MAX_QUOTED, MESSAGES, Document, Path, Position, Problem, quoted
from grader.files import read_table
from grader.sanitize import sanitize_line

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_NAMES = 50
"""Known names that are compared and listed; a hostile file could hold thousands, and a mistake in each."""

_UNKNOWN, _MISSING = "unexpected_keyword_argument", "missing"


def validation_problems(errors: Iterable[ErrorDetails], document: Document) -> list[Problem]:
    """One problem for each error that is not the mere consequence of another."""
    found = [_error(error, document) for error in errors]
    misspelt = {
        (*error.path[:-1], name)
        for error in found
        if error.kind == _UNKNOWN
        for name in difflib.get_close_matches(str(error.path[-1])[:MAX_QUOTED], _keys(error.path[:-1], document), n=1)
    }
    refused = {problem.position for problem in document.problems}
    problems = (
        Problem(document.keys[error.path] if error.kind == _UNKNOWN else place(error.path, document), error.message())
        for error in found
        if not (error.kind == _MISSING and error.path in misspelt)
        # Pydantic counts only the good items of a list; if it is long enough, their own errors say it all.
        and not (error.kind == "too_short" and len(error.value) >= error.context["min_length"])
    )
    return [problem for problem in problems if problem.position not in refused]


def place(path: Path, document: Document) -> Position:
    """Where a value begins; for one that is absent, where the mapping or list begins that lacks it."""
    while path not in document.values:
        path = path[:-1]
    return document.values[path]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "title"?)`, or nothing where none of the first `MAX_NAMES` known words is near."""
    nearest = difflib.get_close_matches(word[:MAX_QUOTED], list(itertools.islice(known, MAX_NAMES)), n=1)
    return f" (did you mean {quoted(nearest[0])}?)" if nearest else ""


_CASE_KINDS: Mapping[str, type] = {"given": GivenCase, "drawn": DrawnCases}

_OWNERS: Mapping[tuple[str, ...], tuple[str, type | Mapping[str, type]]] = {
    (): ("the course", Course),
    ("limits",): ("limits", Limits),
    ("images", "*"): ("this base image", BaseImage),
    ("exercises", "*"): ("this exercise", Exercise),
    ("exercises", "*", "cases", "*"): ("this case", _CASE_KINDS),
    ("exercises", "*", "checks", "*"): ("this check", CHECK_KINDS),
}
"""Where mappings stand in a course (`*`: any item), and what they are; where it depends on its kind, by that."""


def _owner(path: Path, document: Document) -> tuple[str, type | None]:
    """What a mapping of the course is called, and the class that it becomes, if that can be told."""
    name, made = _OWNERS.get(tuple("*" if isinstance(step, int) else step for step in path), ("this item", {}))
    return name, made if isinstance(made, type) else made.get(str(document.at((*path, "kind"))))


def _keys(path: Path, document: Document) -> list[str]:
    """The keys that this mapping may have."""
    made = _owner(path, document)[1]
    return [field.name for field in dataclasses.fields(made)] if dataclasses.is_dataclass(made) else []


def _error(error: ErrorDetails, document: Document) -> _Error:
    path, value, kind = error["loc"], error["input"], error["type"]
    if path[2:3] in (("checks",), ("cases",)):  # after an item of these, pydantic inserts its kind
        path = path[:4] + path[5:]
    if kind.startswith("union_tag"):
        path, value = (*path, "kind"), value.get("kind")
    return _Error(kind, path, value, error.get("ctx", {}), document)


@dataclass(frozen=True, slots=True)
class _Error:
    """One error of pydantic: `path` leads to what is wrong (for a missing key, to where it would be)."""

    kind: str
    path: Path
    value: Any
    context: Mapping[str, Any]
    document: Document

    def message(self) -> str:
        """What is wrong, and what was expected."""
        (owner, made), key = _owner(self.path[:-1], self.document), str(self.path[-1]) if self.path else ""
        choices = self.context.get("expected_tags") or self.context.get("expected", "")
        known, near = re.findall(r"'([^']*)'", choices), ""
        if self.kind == "too_short" and key == "checks":
            return "the exercise has no checks, so it would assert nothing; expected at least one"
        if self.kind == _UNKNOWN:
            keys = _keys(self.path[:-1], self.document)
            near, known_keys = did_you_mean(key, keys), ", ".join(keys)
            return f"the key {quoted(key)} is not known in {owner}{near}; expected one of: {known_keys}"
        if self.kind in (_MISSING, "union_tag_not_found"):
            kinds = CHECK_KINDS if owner == "this check" else _CASE_KINDS
            wanted = _type_name(get_type_hints(made)[key]) if made else f"one of: {', '.join(kinds)}"
            return f"the key {quoted(key)} is missing in {owner}; expected {wanted}"
        if self.kind == "union_tag_invalid":
            wrong = str(self.value)[:MAX_QUOTED]
            nearest = sorted(known, key=lambda kind: -difflib.SequenceMatcher(None, wrong, kind).ratio())
            noun = owner.removeprefix("this ")
            return f"kind {self._found()}, which is no kind of {noun}; expected one of: {', '.join(nearest)}"
        if self.kind == "literal_error":
            near = did_you_mean(self.value, known) if isinstance(self.value, str) else ""
            expected = choices.replace("'", '"')
        else:
            messages = read_table(MESSAGES)
            allowed = {get_args(getattr(registry, name))[1].pattern: name for name in messages["patterns"]}
            pattern = self.context.get("pattern", "")
            in_words = messages["expected"].get(self.kind) or messages["patterns"].get(allowed.get(pattern, ""))
            expected = (in_words or f"otherwise ({self.kind})").format(**self.context)
        return f"{self._name()} {self._found()}{near}; expected {expected}{self._advice(expected)}"

    def _name(self) -> str:
        """The key that a message is about: `weeks, item 2`."""
        if not self.path:
            return "the file"
        *above, last = self.path
        return f"{above[-1]}, item {last + 1}" if isinstance(last, int) else last

    def _found(self) -> str:
        written = self.document.written.get(self.path, "")
        match self.value:
            case None:
                return "has no value" if self.path else "is empty"
            case "" | [] if "too_short" in self.kind:
                return "is empty"
            case list() if self.kind == "too_short":
                return f"has {len(self.value)} item{'' if len(self.value) == 1 else 's'}"
            case str():
                return f"is the text {quoted(self.value)}"
            case int() | float():
                return f"is {written}" if isinstance(self.value, bool) else f"is the number {written}"
            case _:
                return "is a list" if isinstance(self.value, list) else "is a mapping"

    def _advice(self, expected: str) -> str:
        """How to write what was meant, where that can be told."""
        written = self.document.written.get(self.path, "")
        if expected == "a text" and written:
            return f", so write it in quotes: {quoted(written)}"
        if expected == "a mapping" and (keys := _keys(self.path, self.document)):
            return f" with the keys {', '.join(keys)}"
        if isinstance(self.value, str):
            if expected.endswith("number") and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", self.value):
                return ", so write it without quotes"
            if expected == "a list":
                return f", so write it in brackets: [{quoted(self.value)[1:-1]}]"
        return ""


def _type_name(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return " or ".join(quoted(one) if isinstance(one, str) else str(one) for one in get_args(annotation))
    simple: dict[object, str] = {str: "a text", float: "a number", int: "a whole number", bool: "true or false"}
    return simple.get(annotation) or ("a list" if get_origin(annotation) is tuple else "a mapping")


# ── between the parts of a course ───────────────────────────────────────────────────────
#
# This works on the plain data and steps over whatever has another shape than it should: that is reported above, and
# all mistakes are to be reported at once.

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
    found = [*_twice(course["exercises"], "id", "exercise", folder_key), *_hint_reasons(course, reasons)]
    for image in course["images"]:
        for name in list(image["names"])[:1]:
            if "*" in name.text:
                text = f"{quoted(name.text)} is the name that students are told; expected one without *"
                found.append(name.problem(text))
    for exercise in course["exercises"]:
        found += _twice(exercise["checks"], "id", "check")
        found += _twice(exercise["cases"], "name", "case")
        found += _weights(exercise)
        found += _names(exercise)
        for check in exercise["checks"]:
            found += _hint_reasons(check, reasons)
            pattern = check["pattern"]
            try:
                re.compile(pattern.text)
            except (re.error, OverflowError, RecursionError) as error:
                text = f"{quoted(pattern.text)} is not a regular expression ({error}); expected one in Python's syntax"
                found.append(pattern.problem(text))
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
    total = sum(weight or 0 for weight in weights)
    if not weights or None in weights:
        return
    builds = [check["weight"] for check in checks if check["kind"].text == "builds"]
    if total <= 0:
        yield checks.problem("the weights of these checks add up to 0; expected at least one above 0")
    elif (share := sum(weight.number or 0 for weight in builds) / total) > MAX_BUILDS_SHARE + 1e-9:
        message = f"that it builds is worth {share:.1%} of the exercise; expected at most {MAX_BUILDS_SHARE:.0%}"
        yield builds[-1].problem(message)


def _names(exercise: _Node) -> Iterator[Problem]:
    """Checks and cases that a check names, and that must be there, checks before it."""
    every = [check["id"].text for check in exercise["checks"]]
    cases = [case["name"].text for case in exercise["cases"]]
    for number, check in enumerate(exercise["checks"]):
        for need in check["needs"]:
            if need.text in every[number:] and need.text and need.text not in every[:number]:
                problem = "needs itself" if need.text == every[number] else "comes later"
                yield need.problem(f"the check {quoted(need.text)} {problem}; expected the id of an earlier check")
            else:
                yield from _unknown("check", need, every[:number])
        for name in (*check["cases"], check["case"], check["or_holds"]):
            yield from _unknown("case", name, cases)
        if check["arguments"].data is True and not cases:
            message = "the arguments are the weeks of a case, but the exercise has none; expected a list `cases`"
            yield check["arguments"].problem(message)


def _unknown(noun: str, name: _Node, known: list[str]) -> Iterator[Problem]:
    if name.text and name.text not in known:
        names = [one for one in dict.fromkeys(known) if one][:MAX_NAMES]
        none = f"no name, since there is no {noun} to name"
        choices = f"one of: {', '.join(map(sanitize_line, names))}" if names else none
        near = did_you_mean(name.text, names)
        yield name.problem(f"there is no {noun} {quoted(name.text)}{near}; expected {choices}")
