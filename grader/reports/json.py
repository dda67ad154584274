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

from grader.models import EngineInfo, Report
from grader.reports import wording as words
from grader.sanitize import UNSAFE, capped

_STRING_LIMIT = 65_536


def to_json(report: Report) -> str:
    """The report as one JSON document, indented, ended by a newline.

    `ValueError` if a score is not a finite number, which is a fault of the grader.
    """
    document = {
        "schema": report.schema,
        "student": report.student,
        "seed": report.seed,
        "engine": _engine(report.engine),
        "score": report.score,
        "max_score": report.max_score,
        "exercises": [
            {
                "id": exercise.id,
                "title": exercise.title,
                "status": exercise.status,
                "score": exercise.score,
                "max_score": exercise.max_score,
                "checks": [asdict(check) for check in words.checks_or_reason(exercise)],
            }
            for exercise in report.exercises
        ],
    }
    text = json.dumps(_readable(document), ensure_ascii=False, allow_nan=False, indent=2)
    return UNSAFE.sub(_escaped, text) + "\n"


def _engine(engine: EngineInfo) -> dict[str, Any]:
    limits = {"limits": asdict(engine.limits)} if engine.limits else {}
    return {"name": engine.name, "version": engine.version, "builder": engine.builder, "tier": engine.tier, **limits}


def _readable(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value with each text in it cut to the limit, and without surrogates."""
    match value:
        case str():
            return _SURROGATE.sub("\ufffd", capped(value, _STRING_LIMIT))
        case dict():
            return {key: _readable(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_readable(inner) for inner in value]
        case _:
            return value


_SURROGATE = re.compile("[\ud800-\udfff]")


def _escaped(match: re.Match[str]) -> str:
    """A character as JSON spells it: beyond U+FFFF as two UTF-16 units (RFC 8259, section 7)."""
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))
