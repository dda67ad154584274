r"""A report as JSON text: the schema `grader/report/v1`, whose keys are a contract (`schema/report.schema.json`).

The document has the keys that DESIGN.md names, and `engine.limits` where limits were tried before
grading. An exercise's own message, such as why a submission was refused, is written as its first
check, `submission`, worth no points. Not in the document: the seconds an exercise took, whether it
is a bonus, and the origin of base images.

The text is strict UTF-8. What could steer a terminal stands in it as JSON's own `\u` escapes, so
it is safe to print and still the same text to a program. Surrogates, which are no text, become
U+FFFD, and texts are cut at 64 Ki characters.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from grader.models import Report
from grader.reports import wording as words
from grader.sanitize import UNSAFE, capped

_STRING_LIMIT = 65_536
_SURROGATE = re.compile("[\ud800-\udfff]")


def to_json(report: Report) -> str:
    """The report as one JSON document, indented, ended by a newline.

    `ValueError` if a score is not a finite number, which is a fault of the grader.
    """
    engine = {key: value for key, value in asdict(report.engine).items() if key != "images" and value is not None}
    document = {
        "schema": report.schema,
        "student": report.student,
        "seed": report.seed,
        "engine": engine,
        "score": report.score,
        "max_score": report.max_score,
        "exercises": [
            {
                **{key: getattr(exercise, key) for key in ("id", "title", "status", "score", "max_score")},
                "checks": [asdict(check) for check in words.checks_or_reason(exercise)],
            }
            for exercise in report.exercises
        ],
    }
    text = json.dumps(_cut(document), ensure_ascii=False, allow_nan=False, indent=2)
    return UNSAFE.sub(_escaped, _SURROGATE.sub("\ufffd", text)) + "\n"


def _cut(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value with each text in it cut to the limit."""
    if isinstance(value, str):
        return capped(value, _STRING_LIMIT)
    if isinstance(value, dict):
        return {key: _cut(inner) for key, inner in value.items()}
    return [_cut(inner) for inner in value] if isinstance(value, list | tuple) else value


def _escaped(match: re.Match[str]) -> str:
    """A character as JSON spells it: beyond U+FFFF as two UTF-16 units (RFC 8259, section 7)."""
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
