r"""A report as JSON text and back: the schema `grader/report/v1`, whose keys are a contract.

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
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from grader.models import CheckStatus, CheckVerdict, EngineInfo, ExerciseReport, ExerciseStatus, LimitsRecord, Report
from grader.reports import wording as words
from grader.sanitize import UNSAFE, capped

_STRING_LIMIT = 65_536
_STRICT: dict[str, Any] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
"""Read by pydantic from `__pydantic_config__`: every key must be there, no other may."""


@dataclass(frozen=True, slots=True)
class LimitsDocument:
    """What was found out about limits before grading: those that held, those waived, and what nothing bounds."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    proved: Sequence[str]
    waived: Sequence[str]
    not_bounded: Sequence[str]


@dataclass(frozen=True, slots=True)
class EngineDocument:
    """Which engine graded. `limits` is not there where nobody asked."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    name: str
    version: str
    builder: str
    tier: str
    limits: LimitsDocument | None = None


@dataclass(frozen=True, slots=True)
class CheckDocument:
    """One check. `line` is a line of `file`, from 1, or null; `reason` is the name of why it failed."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    id: str
    title: str
    status: CheckStatus
    score: float
    max_score: float
    message: str
    hint: str
    expected: str
    actual: str
    ended: str
    reproduce: str
    file: str
    line: int | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExerciseDocument:
    """One exercise. `score` is null where it could not be graded."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    id: str
    title: str
    status: ExerciseStatus
    score: float | None
    max_score: float
    checks: Sequence[CheckDocument]


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """One student's report."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    schema: Literal["grader/report/v1"]
    student: str
    seed: int
    engine: EngineDocument
    score: float
    max_score: float
    exercises: Sequence[ExerciseDocument]


def to_json(report: Report) -> str:
    """The report as one JSON document, indented, ended by a newline.

    `ValueError` if a score is not a finite number, which is a fault of the grader.
    """
    document = asdict(_document(report))
    if report.engine.limits is None:
        del document["engine"]["limits"]
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
    return UNSAFE.sub(_escaped, text) + "\n"


def from_json(text: str | bytes) -> Report:
    """The report that `to_json` wrote. `ValueError` (pydantic's, with every mistake) for anything else."""
    from pydantic import TypeAdapter

    document = TypeAdapter(ReportDocument).validate_json(text)
    engine = document.engine
    return Report(
        student=document.student,
        seed=document.seed,
        engine=EngineInfo(engine.name, engine.version, engine.builder, engine.tier, limits=_limits_from(engine)),
        exercises=tuple(_exercise_from(exercise) for exercise in document.exercises),
        score=document.score,
        max_score=document.max_score,
    )


def report_schema() -> str:
    """The JSON Schema of the document, as JSON text: what is published as `report.schema.json`."""
    from pydantic import TypeAdapter

    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(ReportDocument).json_schema(mode="serialization"),
        "title": "grader/report/v1",
    }
    return json.dumps(schema, indent=2) + "\n"


def _document(report: Report) -> ReportDocument:
    engine = report.engine
    return ReportDocument(
        schema=report.schema,
        student=_text(report.student),
        seed=report.seed,
        engine=EngineDocument(
            name=_text(engine.name),
            version=_text(engine.version),
            builder=_text(engine.builder),
            tier=_text(engine.tier),
            limits=_limits(engine),
        ),
        score=report.score,
        max_score=report.max_score,
        exercises=[_exercise(exercise) for exercise in report.exercises],
    )


def _limits(engine: EngineInfo) -> LimitsDocument | None:
    found = engine.limits
    return LimitsDocument(found.proved, found.waived, found.not_bounded) if found else None


def _limits_from(engine: EngineDocument) -> LimitsRecord | None:
    found = engine.limits
    return LimitsRecord(tuple(found.proved), tuple(found.waived), tuple(found.not_bounded)) if found else None


def _exercise(exercise: ExerciseReport) -> ExerciseDocument:
    return ExerciseDocument(
        id=_text(exercise.id),
        title=_text(exercise.title),
        status=exercise.status,
        score=exercise.score,
        max_score=exercise.max_score,
        checks=[_check(check) for check in words.checks_or_reason(exercise)],
    )


def _check(check: CheckVerdict) -> CheckDocument:
    return CheckDocument(
        id=_text(check.id),
        title=_text(check.title),
        status=check.status,
        score=check.score,
        max_score=check.max_score,
        message=_text(check.message),
        hint=_text(check.hint),
        expected=_text(check.expected),
        actual=_text(check.actual),
        ended=_text(check.ended),
        reproduce=_text(check.reproduce),
        file=_text(check.file),
        line=check.line,
        reason=check.reason,
    )


def _exercise_from(document: ExerciseDocument) -> ExerciseReport:
    exercise = ExerciseReport(
        id=document.id,
        title=document.title,
        status=document.status,
        score=document.score,
        max_score=document.max_score,
        checks=tuple(CheckVerdict(**asdict(check)) for check in document.checks),
    )
    return words.reason_apart(exercise)


_SURROGATE = re.compile("[\ud800-\udfff]")


def _text(text: str) -> str:
    return _SURROGATE.sub("\ufffd", capped(text, _STRING_LIMIT))


def _escaped(match: re.Match[str]) -> str:
    """A character as JSON spells it: beyond U+FFFF as two UTF-16 units (RFC 8259, section 7)."""
    units = match[0].encode("utf-16-be")
    return "".join(f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))
