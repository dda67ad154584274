"""What pydantic found wrong with a course, as problems in our own words at their place in the text."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from grader.course.models import Course
from grader.course.registry import CHECK_KINDS, Check
from grader.course.types import AbsolutePath, Identifier, ImageName, ImagePattern, MinorVersion
from grader.course.yaml_source import MAX_QUOTED, Document, Path, Position, Problem, quoted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


@dataclasses.dataclass(frozen=True, slots=True)
class _Mistake:
    """One error of pydantic: `path` leads to what is wrong (for a missing key, to where it would be)."""

    kind: str
    path: Path
    value: object
    context: Mapping[str, Any]
    written: str

    @property
    def is_missing(self) -> bool:
        return self.kind.startswith("missing")

    @property
    def is_unknown(self) -> bool:
        return self.kind == "unexpected_keyword_argument"

    @property
    def items(self) -> int:
        return len(self.value) if isinstance(self.value, list) else 0


def shape_problems(errors: Iterable[ErrorDetails], document: Document) -> list[Problem]:
    """One problem for each error that is not the mere consequence of another."""
    refused = {problem.position for problem in document.problems}
    mistakes = [_mistake(error, document) for error in errors]
    misspelt = _misspelt(mistakes, document.data)
    problems = (
        Problem(_position(mistake, document), _words(mistake, document.data))
        for mistake in mistakes
        if not (mistake.is_missing and mistake.path in misspelt) and not _is_counted_by_items(mistake)
    )
    return [problem for problem in problems if problem.position not in refused]


def place(path: Path, document: Document) -> Position:
    """Where a value begins; for one that is absent, where the mapping or list begins that lacks it."""
    while path not in document.values:
        path = path[:-1]
    return document.values[path]


MAX_NAMES = 50
"""Known names that are compared and listed; a hostile file could hold thousands, and a mistake in each."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "title"?)`, or nothing where none of the first `MAX_NAMES` known words is near."""
    nearest = difflib.get_close_matches(word[:MAX_QUOTED], list(itertools.islice(known, MAX_NAMES)), n=1)
    return f" (did you mean {quoted(nearest[0])}?)" if nearest else ""


# ── which error, where ──────────────────────────────────────────────────────────────────


def _mistake(error: ErrorDetails, document: Document) -> _Mistake:
    path = _path(error["loc"], document.data)
    value = error["input"]
    context = error.get("ctx", {})
    if error["type"] == "union_tag_invalid":
        path, value = (*path, "kind"), value["kind"]
    if error["type"] == "union_tag_not_found":
        path = (*path, "kind")
    return _Mistake(error["type"], path, value, context, document.written.get(path, ""))


def _position(mistake: _Mistake, document: Document) -> Position:
    return document.keys[mistake.path] if mistake.is_unknown else place(mistake.path, document)


def _path(location: Iterable[str | int], data: object) -> Path:
    """Pydantic's location without the kinds: it inserts the one it chose wherever it chose from a union."""
    path: list[str | int] = []
    annotation: object = Course
    for step in location:
        if len(_variants(annotation)) > 1:
            annotation = _chosen(annotation, data)
        else:
            path.append(step)
            annotation, data = _inner(annotation, step), _step(data, step)
    return tuple(path)


def _step(data: object, step: str | int) -> object:
    if isinstance(data, dict) and isinstance(step, str):
        return data.get(step)
    if isinstance(data, list) and isinstance(step, int) and step < len(data):
        return data[step]
    return None


def _misspelt(mistakes: Sequence[_Mistake], data: object) -> set[Path]:
    """The paths of missing keys that are there after all, under a name that is nearly theirs."""
    missing = {mistake.path for mistake in mistakes if mistake.is_missing}
    found: set[Path] = set()
    for mistake in mistakes:
        if mistake.is_unknown:
            *parent, key = mistake.path
            nearest = difflib.get_close_matches(str(key)[:MAX_QUOTED], _known_keys(tuple(parent), data), n=1)
            found.update((*parent, name) for name in nearest)
    return missing & found


def _is_counted_by_items(mistake: _Mistake) -> bool:
    """Pydantic counts only the good items of a list; if it is long enough, their own errors say it all."""
    return mistake.kind == "too_short" and mistake.items >= mistake.context["min_length"]


# ── what belongs there ──────────────────────────────────────────────────────────────────


@functools.cache
def _hints(owner: type) -> Mapping[str, Any]:
    return get_type_hints(owner)


def _annotation(path: Path, data: object) -> object:
    """The annotation of what `path` leads to; on the way, unions are resolved by the `kind` in `data`."""
    annotation: object = Course
    for step in path:
        annotation = _inner(_chosen(annotation, data), step)
        data = _step(data, step)
    return annotation


def _known_keys(path: Path, data: object) -> list[str]:
    """The keys that the mapping at `path` may have."""
    value = functools.reduce(_step, path, data)
    annotation = _chosen(_annotation(path, data), value)
    return [field.name for field in dataclasses.fields(annotation)] if dataclasses.is_dataclass(annotation) else []


def _inner(annotation: object, step: str | int) -> object:
    """The annotation one step further; `X | None` is taken for X."""
    owner = _variants(annotation)[0]
    if isinstance(owner, type) and dataclasses.is_dataclass(owner):
        return _hints(owner).get(str(step))
    arguments = get_args(owner)
    return (arguments[1] if get_origin(owner) is dict else arguments[0]) if arguments else None


def _variants(annotation: object) -> list[Any]:
    """What a value of this annotation can be, besides None."""
    if annotation is Check:
        return list(CHECK_KINDS.values())
    if get_origin(annotation) not in (Union, types.UnionType):
        return [annotation]
    return [variant for variant in get_args(annotation) if variant is not types.NoneType]


def _chosen(annotation: object, data: object) -> object:
    """The variant of a union that the `kind` of `data` names, or None; any other annotation as it is."""
    variants = _variants(annotation)
    if len(variants) == 1:
        return variants[0]
    kind = _step(data, "kind")
    return next((variant for variant in variants if kind in _kinds_of(variant)), None)


def _kinds(union: object) -> list[str]:
    return [kind for variant in _variants(union) for kind in _kinds_of(variant)]


def _kinds_of(variant: type) -> tuple[str, ...]:
    return get_args(_hints(variant).get("kind"))


_NOUNS: Mapping[str, str] = {
    "images": "base image",
    "cases": "case",
    "exercises": "exercise",
    "checks": "check",
}
"""What an item of the list of that name is called."""


def _noun(path: Path) -> str:
    """What the mapping at `path` is called: `this check`, `limits`."""
    if not path:
        return "the course"
    name = next((step for step in reversed(path) if isinstance(step, str)), "")
    return f"this {_NOUNS.get(name, 'item')}" if isinstance(path[-1], int) else name


# ── in words ────────────────────────────────────────────────────────────────────────────

_PATTERNS: Mapping[str, str] = {
    get_args(annotation)[1].pattern: words
    for annotation, words in (
        (Identifier, "letters, digits, dots and dashes, not beginning with a dot"),
        (AbsolutePath, "an absolute path such as /app: letters, digits, . _ -, no .. and no / at its end"),
        (MinorVersion, 'a major and a minor version such as "3.9"'),
        (ImageName, "an image's name with its tag, such as sales-predictor:v1.0"),
        (ImagePattern, "an image's name such as python:3.9-slim, in which * stands for any characters"),
    )
}

_TYPES: Mapping[str, str] = {
    "string_type": "a text",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
}
"""What each of pydantic's type errors expects."""

_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("ge", "a number of at least"),
    "greater_than": ("gt", "a number greater than"),
    "less_than_equal": ("le", "a number of at most"),
    "less_than": ("lt", "a number less than"),
}


def _words(mistake: _Mistake, data: object) -> str:
    if mistake.kind in _TYPES:
        return _wrong_type(mistake, data)
    if mistake.kind in _BOUNDS:
        return _out_of_bounds(mistake, data)
    if mistake.is_missing:
        return _missing(mistake, data)
    return _OTHERS.get(mistake.kind, _other)(mistake, data)


def _out_of_bounds(mistake: _Mistake, _data: object) -> str:
    key, expected = _BOUNDS[mistake.kind]
    return f"{_name(mistake.path)}{_found(mistake)}; expected {expected} {mistake.context[key]:g}"


def _wrong_type(mistake: _Mistake, data: object) -> str:
    expected = _TYPES[mistake.kind]
    message = f"{_name(mistake.path)}{_found(mistake)}; expected {expected}"
    if expected == "a text" and mistake.written and mistake.value is not None:
        return f"{message}, so write it in quotes: {quoted(mistake.written)}"
    if expected.endswith("number") and isinstance(mistake.value, str) and _is_number(mistake.value):
        return f"{message}, so write it without quotes"
    if expected == "a list" and isinstance(mistake.value, str):
        return f"{message}, so write it in brackets: [{_clipped(mistake.value)}]"
    keys = _known_keys(mistake.path, data) if expected == "a mapping" else []
    return f"{message} with the keys {', '.join(keys)}" if keys else message


def _missing(mistake: _Mistake, data: object) -> str:
    *parent, key = mistake.path
    expected = _expected(_annotation(mistake.path, data))
    return f"the key {quoted(str(key))} is missing in {_noun(tuple(parent))}; expected {expected}"


def _expected(annotation: object) -> str:
    simple = {str: "a text", float: "a number", int: "a whole number", bool: "true or false"}
    if annotation in simple:
        return simple[annotation]
    if get_origin(annotation) is Literal:
        return _either(get_args(annotation))
    return "a list" if get_origin(annotation) is tuple else "a mapping"


def _unknown_key(mistake: _Mistake, data: object) -> str:
    *parent, key = mistake.path
    known = _known_keys(tuple(parent), data)
    return (
        f"the key {quoted(str(key))} is not known in {_noun(tuple(parent))}"
        f"{did_you_mean(str(key), known)}; expected one of: {', '.join(known)}"
    )


def _wrong_kind(mistake: _Mistake, data: object) -> str:
    kinds = _kinds(_annotation(mistake.path[:-1], data))
    wrong = str(mistake.value)[:MAX_QUOTED]
    nearest = sorted(kinds, key=lambda kind: -difflib.SequenceMatcher(None, wrong, kind).ratio())
    noun = _noun(mistake.path[:-1]).removeprefix("this ")
    return f"kind is {_seen(mistake)}, which is no kind of {noun}; expected one of: {', '.join(nearest)}"


def _no_kind(mistake: _Mistake, data: object) -> str:
    parent = mistake.path[:-1]
    kinds = _kinds(_annotation(parent, data))
    return f'the key "kind" is missing in {_noun(parent)}; expected one of: {", ".join(kinds)}'


def _too_short(mistake: _Mistake, _data: object) -> str:
    if mistake.path[-1:] == ("checks",):
        return "the exercise has no checks, so it would assert nothing; expected at least one"
    found = {0: "is empty", 1: "has 1 item"}.get(mistake.items, f"has {mistake.items} items")
    return f"{_name(mistake.path)}{found}; expected at least {mistake.context['min_length']}"


def _empty_text(mistake: _Mistake, _data: object) -> str:
    return f"{_name(mistake.path)}is empty; expected a text"


def _not_a_choice(mistake: _Mistake, data: object) -> str:
    choices = get_args(_chosen(_annotation(mistake.path, data), mistake.value))
    near = did_you_mean(mistake.value, map(str, choices)) if isinstance(mistake.value, str) else ""
    return f"{_name(mistake.path)}{_found(mistake)}{near}; expected {_either(choices)}"


def _not_matching(mistake: _Mistake, _data: object) -> str:
    pattern = mistake.context["pattern"]
    return f"{_name(mistake.path)}{_found(mistake)}; expected {_PATTERNS.get(pattern, pattern)}"


def _other(mistake: _Mistake, _data: object) -> str:
    return f"{_name(mistake.path)}{_found(mistake)}; expected otherwise ({mistake.kind.replace('_', ' ')})"


_OTHERS: Mapping[str, Callable[[_Mistake, object], str]] = {
    "unexpected_keyword_argument": _unknown_key,
    "union_tag_invalid": _wrong_kind,
    "union_tag_not_found": _no_kind,
    "too_short": _too_short,
    "string_too_short": _empty_text,
    "literal_error": _not_a_choice,
    "string_pattern_mismatch": _not_matching,
}


def _name(path: Path) -> str:
    """The key that a message is about, as its first words: `weeks, item 2 `."""
    if path and isinstance(path[-1], int):
        return f"{path[-2] if len(path) > 1 else 'the list'}, item {path[-1] + 1} "
    return f"{path[-1]} " if path else "the file "


def _found(mistake: _Mistake) -> str:
    if mistake.value is None:
        return "has no value" if mistake.path else "is empty"
    return f"is {_seen(mistake)}"


def _seen(mistake: _Mistake) -> str:
    value = mistake.value
    if isinstance(value, str):
        return f"the text {quoted(value)}"
    if isinstance(value, bool):
        return mistake.written
    if isinstance(value, int | float):
        return f"the number {mistake.written}"
    return "a list" if isinstance(value, list) else "a mapping"


def _either(choices: Sequence[Any]) -> str:
    words = [quoted(choice) if isinstance(choice, str) else str(choice) for choice in choices]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text) is not None


def _clipped(text: str) -> str:
    return quoted(text)[1:-1]
