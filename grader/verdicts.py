"""What is concluded and told: findings, verdicts, reports. All frozen, none with behaviour of its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

__all__ = [
    "CheckStatus",
    "CheckVerdict",
    "EngineInfo",
    "ExerciseReport",
    "ExerciseStatus",
    "Finding",
    "LimitsRecord",
    "Report",
]


class CheckStatus(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"
    NOT_GRADED = "not_graded"


class ExerciseStatus(StrEnum):
    """What became of one exercise. `passed` is full points."""

    PASSED = "passed"
    FAILED = "failed"
    REJECTED = "rejected"
    NOT_SUBMITTED = "not_submitted"
    NOT_GRADED = "not_graded"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check concludes from observations, before points are given.

    `reason` is a short code (`wrong_number`) that names the hint to show. `reproduce` is a
    shell command for the exercise's folder. `line` is a line of `file`, from 1.
    """

    passed: bool
    message: str = ""
    reason: str = ""
    expected: str = ""
    actual: str = ""
    ended: str = ""
    reproduce: str = ""
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """One check's line in a report. Scores are points of the exercise's scale."""

    id: str
    title: str
    status: CheckStatus
    score: float
    max_score: float
    message: str = ""
    hint: str = ""
    expected: str = ""
    actual: str = ""
    ended: str = ""
    reproduce: str = ""
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ExerciseReport:
    """One exercise's part of a report. `score` is None when it could not be graded."""

    id: str
    title: str
    status: ExerciseStatus
    score: float | None
    max_score: float
    checks: tuple[CheckVerdict, ...] = ()
    message: str = ""
    seconds: float = 0.0
    bonus: bool = False


@dataclass(frozen=True, slots=True)
class LimitsRecord:
    """What was found out about limits before grading, by name (`run memory`).

    `proved` held when it was tried to break them, `waived` did not and the operator graded all the same, and for
    `not_bounded` there is no limit in this tier.
    """

    proved: tuple[str, ...]
    waived: tuple[str, ...] = ()
    not_bounded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Which engine graded. `tier` is `host` (the caller's own engine) or `private`."""

    name: str
    version: str
    builder: str
    tier: str = "host"
    images: tuple[tuple[str, str], ...] = ()
    """Where base images came from: (reference, origin)."""
    limits: LimitsRecord | None = None
    """What was found out about its limits; None where nobody asked (`check`)."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one student is told. `schema` names the published JSON Schema."""

    student: str
    seed: int
    engine: EngineInfo
    exercises: tuple[ExerciseReport, ...]
    score: float = 0.0
    max_score: float = 0.0
    schema: Literal["grader/report/v1"] = field(default="grader/report/v1")
