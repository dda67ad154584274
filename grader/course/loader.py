"""Reads `exercises.yaml`. The one door for it: what comes out is a whole, consistent `Course`.

All mistakes of a file are reported at once, each as `exercises.yaml:LINE:COLUMN: what it is, and
what was expected`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from grader.course.consistency import consistency_problems
from grader.course.models import Course
from grader.course.validation_messages import validation_problems
from grader.course.yaml_source import MAX_BYTES, Problem, YamlError, decode, read_yaml
from grader.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path


def read_course(path: Path, reasons: Collection[str] | None = None) -> Course:
    """`load_course` of a file. Raises `SpecError` also where the file cannot be read."""
    try:
        with path.open("rb") as file:
            # One more byte than allowed is enough for the limit to be noticed.
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError((f"{path}: cannot be read ({error.strerror}); expected the course's file",)) from None
    return load_course(content, path.name, reasons)


def load_course(content: str | bytes, name: str = "exercises.yaml", reasons: Collection[str] | None = None) -> Course:
    """The course that `content` states; raises `SpecError` with every mistake in it, in file order.

    `name` is what messages call the file. `reasons` are the reasons that checks can give
    (`grader.checks.REASONS`): hints for others are mistakes. With None, hints are not checked.
    """
    try:
        document = read_yaml(decode(content) if isinstance(content, bytes) else content)
    except YamlError as error:
        raise _spec_error([error.problem], name) from None
    problems = [*document.problems, *consistency_problems(document, reasons)]
    try:
        # By way of JSON, because there a list may become a tuple where all else is strict.
        course = _adapter().validate_json(json.dumps(document.data, ensure_ascii=False), strict=True)
    except ValidationError as error:
        problems += validation_problems(error.errors(include_url=False), document)
        raise _spec_error(problems, name) from None
    if problems:
        raise _spec_error(problems, name)
    return course


def _spec_error(problems: list[Problem], name: str) -> SpecError:
    in_order = sorted(dict.fromkeys(problems), key=lambda problem: problem.position)
    return SpecError(tuple(f"{name}:{at.line}:{at.column}: {message}" for at, message in in_order))


@functools.cache
def _adapter() -> TypeAdapter[Course]:
    return TypeAdapter(Course)
