"""What pydantic finds wrong with a course, as problems at their place in the text, each with what was expected."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from grader.course.models import BaseImage, Course, DrawnCases, Exercise, GivenCase, Limits
from grader.course.registry import CHECK_KINDS
from grader.course.types import AbsolutePath, Identifier, ImageName, ImagePattern, MinorVersion
from grader.course.yaml_source import MAX_QUOTED, Document, Path, Position, Problem, quoted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_NAMES = 50
"""Known names that are compared and listed; a hostile file could hold thousands, and a mistake in each."""

_UNKNOWN = "unexpected_keyword_argument"
_MISSING = "missing"

_PATTERNS: Mapping[str, str] = {
    get_args(annotation)[1].pattern: expected
    for annotation, expected in (
        (Identifier, "letters, digits, dots and dashes, not beginning with a dot"),
        (AbsolutePath, "an absolute path such as /app: letters, digits, . _ -, no .. and no / at its end"),
        (MinorVersion, 'a major and a minor version such as "3.9"'),
        (ImageName, "an image's name with its tag, such as sales-predictor:v1.0"),
        (ImagePattern, "an image's name such as python:3.9-slim, in which * stands for any characters"),
    )
}

_EXPECTED: Mapping[str, str] = {
    "string_type": "a text",
    "string_too_short": "a text",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "greater_than_equal": "a number of at least {ge:g}",
    "greater_than": "a number greater than {gt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "less_than": "a number less than {lt:g}",
    "too_short": "at least {min_length}",
}
"""What each of pydantic's errors expects, with its own figures put in."""


def validation_problems(errors: Iterable[ErrorDetails], document: Document) -> list[Problem]:
    """One problem for each error that is not the mere consequence of another."""
    found = [_Error.of(error, document) for error in errors]
    misspelt = {
        (*error.path[:-1], name)
        for error in found
        if error.kind == _UNKNOWN
        for name in difflib.get_close_matches(str(error.path[-1])[:MAX_QUOTED], error.owner.keys, n=1)
    }
    refused = {problem.position for problem in document.problems}
    problems = (
        Problem(error.position, error.message())
        for error in found
        if not (error.kind == _MISSING and error.path in misspelt)
        # Pydantic counts only the good items of a list; if it is long enough, their own errors say it all.
        and not (error.kind == "too_short" and error.length >= error.context["min_length"])
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


# ── what stands where ───────────────────────────────────────────────────────────────────


class _Owner(NamedTuple):
    """A mapping of the course: what it is called, and the class that it becomes, if that can be told."""

    name: str
    made: type | None

    @property
    def keys(self) -> list[str]:
        return [field.name for field in dataclasses.fields(self.made)] if dataclasses.is_dataclass(self.made) else []


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


def _owner(path: Path, document: Document) -> _Owner:
    name, made = _OWNERS.get(tuple("*" if isinstance(step, int) else step for step in path), ("this item", {}))
    return _Owner(name, made if isinstance(made, type) else made.get(str(document.at((*path, "kind")))))


# ── in words ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Error:
    """One error of pydantic: `path` leads to what is wrong (for a missing key, to where it would be)."""

    kind: str
    path: Path
    value: object
    context: Mapping[str, Any]
    document: Document

    @classmethod
    def of(cls, error: ErrorDetails, document: Document) -> _Error:
        path, value, kind = error["loc"], error["input"], error["type"]
        if path[2:3] in (("checks",), ("cases",)):  # after an item of these, pydantic inserts its kind
            path = path[:4] + path[5:]
        if kind.startswith("union_tag"):
            path, value = (*path, "kind"), value.get("kind")
        return cls(kind, path, value, error.get("ctx", {}), document)

    @property
    def position(self) -> Position:
        return self.document.keys[self.path] if self.kind == _UNKNOWN else place(self.path, self.document)

    @property
    def owner(self) -> _Owner:
        return _owner(self.path[:-1], self.document)

    @property
    def length(self) -> int:
        return len(self.value) if isinstance(self.value, list) else 0

    def message(self) -> str:
        """What is wrong, and what was expected."""
        if self.kind == "too_short" and self.path[-1:] == ("checks",):
            return "the exercise has no checks, so it would assert nothing; expected at least one"
        if self.kind in (_MISSING, _UNKNOWN, "union_tag_not_found"):
            return self._of_key()
        choices = self.context.get("expected_tags") or self.context.get("expected", "")
        known = re.findall(r"'([^']*)'", choices)
        if self.kind == "union_tag_invalid":
            wrong = str(self.value)[:MAX_QUOTED]
            kinds = sorted(known, key=lambda kind: -difflib.SequenceMatcher(None, wrong, kind).ratio())
            noun = self.owner.name.removeprefix("this ")
            return f"kind {self._found()}, which is no kind of {noun}; expected one of: {', '.join(kinds)}"
        if self.kind == "literal_error":
            near = did_you_mean(self.value, known) if isinstance(self.value, str) else ""
            expected = choices.replace("'", '"')
        else:
            near = ""
            pattern = self.context.get("pattern", f"otherwise ({self.kind})")
            expected = _EXPECTED.get(self.kind, "").format(**self.context) or _PATTERNS.get(pattern, pattern)
        return f"{self._name()} {self._found()}{near}; expected {expected}{self._advice(expected)}"

    def _of_key(self) -> str:
        key, owner = self.path[-1], self.owner
        if self.kind == _UNKNOWN:
            near, keys = did_you_mean(str(key), owner.keys), ", ".join(owner.keys)
            return f"the key {quoted(str(key))} is not known in {owner.name}{near}; expected one of: {keys}"
        if self.kind == _MISSING:
            expected = _type_name(get_type_hints(owner.made)[str(key)]) if owner.made else "a value"
        else:
            kinds = CHECK_KINDS if owner.name == "this check" else _CASE_KINDS
            expected = f"one of: {', '.join(kinds)}"
        return f"the key {quoted(str(key))} is missing in {owner.name}; expected {expected}"

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
                return f"has {self.length} item{'' if self.length == 1 else 's'}"
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
        if expected == "a mapping" and (keys := _owner(self.path, self.document).keys):
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
