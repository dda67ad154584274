"""Final marks: what the checks gave, a teacher's policy and a teacher's own hand, with the reason of each step.

The steps, in this order: a mark set by hand for an exercise takes the place of the checks' score; what is late loses
its share; the lowest are dropped; what is left is summed by weight, scaled and rounded; a mark set by hand for the
whole takes the place of all that. A mark set by hand is never changed by lateness.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from grader.models import ExerciseReport, Report


@dataclass(frozen=True, slots=True)
class Late:
    """What lateness costs: nothing until `due` and `grace` after it, then `per_day` for each day that has begun.

    `per_day` and `at_most` are shares of the points that the checks gave. What comes `cut_off` after `due` or later has
    no points. `extensions` have a due time of their own for some students.
    """

    due: datetime
    grace: timedelta = timedelta()
    per_day: float = 0.0
    at_most: float = 1.0
    cut_off: timedelta | None = None
    extensions: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a course makes a mark of the exercises' points. As it stands here, the mark is their sum.

    `weights` multiply an exercise's points and its maximum; `bonus` names those that come on top of the maximum (None:
    as the course says). Of the others, `drop_lowest` do not count, or all but the `best_of` best. `scale` is what a
    full mark is called; `step` is what marks are rounded to, halves up.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    bonus: frozenset[str] | None = None
    drop_lowest: int = 0
    best_of: int | None = None
    scale: float | None = None
    step: float = 0.01
    late: Late | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """What a teacher says of a student's exercise, or of the whole where `exercise` is empty: a mark, a comment."""

    student: str
    exercise: str = ""
    score: float | None = None
    comment: str = ""
    who: str = ""


@dataclass(frozen=True, slots=True)
class ExerciseGrade:
    """One exercise in a final mark. `score` of `max_score` is what counts, None where nobody could grade it.

    `reasons` say why that is not what the checks gave, or why it does not count.
    """

    id: str
    score: float | None
    max_score: float
    counted: bool = True
    bonus: bool = False
    reasons: tuple[str, ...] = ()
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """A student's final mark: `score` of `max_score`, None where something could not be graded, which `missing` says.

    `earned` of `worth` is what the checks alone gave. `reasons` say what was done with the whole, `exercises` what was
    done with each. `submitted` is an ISO time in UTC.
    """

    student: str
    score: float | None
    max_score: float
    earned: float
    worth: float
    exercises: tuple[ExerciseGrade, ...] = ()
    reasons: tuple[str, ...] = ()
    comment: str = ""
    missing: str = ""
    submitted: str = ""
    late: str = ""

    @property
    def all_reasons(self) -> tuple[str, ...]:
        """Every step by which the mark differs from the checks' points, in words."""
        return (*(f"{one.id}: {reason}" for one in self.exercises for reason in one.reasons), *self.reasons)

    @property
    def short_reasons(self) -> tuple[str, ...]:
        """As `all_reasons`, with lateness told once and not for each exercise."""
        others = tuple(reason for reason in self.all_reasons if not (self.late and self.late in reason))
        return (self.late, *others) if self.late else others

    @property
    def comments(self) -> tuple[tuple[str, str], ...]:
        """What a teacher wrote by hand, each with what it is about: `3.1.4: `, or nothing for the whole."""
        said = (*((f"{one.id}: ", one.comment) for one in self.exercises), ("", self.comment))
        return tuple((where, text) for where, text in said if text)

    @property
    def all_comments(self) -> tuple[str, ...]:
        """The comments as far as no reason has them already."""
        reasons = "\n".join(self.all_reasons)
        return tuple(f"{where}{text}" for where, text in self.comments if f"({text})" not in reasons)

    @property
    def is_changed(self) -> bool:
        """Whether there is more to say of the mark than what the checks gave."""
        return bool(self.short_reasons or self.all_comments or self.max_score != self.worth)


def final_grades(
    reports: Sequence[Report],
    policy: Policy = Policy(),
    overrides: Iterable[Override] = (),
    submitted: Mapping[str, str] | None = None,
) -> tuple[Grade, ...]:
    """Everyone's final mark. `submitted` has ISO times by student; who has none there is not late."""
    known = {exercise.id: exercise for report in reports for exercise in report.exercises}
    by_hand = {(one.student, one.exercise): one for one in overrides}
    times = submitted or {}
    return tuple(_grade(one, known, policy, by_hand, times.get(one.student, "")) for one in reports)


def worth_of(reports: Sequence[Report], policy: Policy = Policy()) -> float:
    """The points of a full mark; bonus exercises count only where there are no others."""
    if policy.scale is not None:
        return policy.scale
    exercises = {exercise.id: exercise for report in reports for exercise in report.exercises}.values()
    counted = [_worth(one, policy) for one in exercises if not _is_bonus(one, policy)]
    if policy.best_of is not None or policy.drop_lowest:
        keep = len(counted) - policy.drop_lowest if policy.best_of is None else policy.best_of
        counted = sorted(counted, reverse=True)[: max(keep, 0)]
    return round(sum(counted or [_worth(one, policy) for one in exercises]), 2)


def _worth(exercise: ExerciseReport, policy: Policy) -> float:
    return exercise.max_score * policy.weights.get(exercise.id, 1.0)


def _is_bonus(exercise: ExerciseReport, policy: Policy) -> bool:
    return exercise.bonus if policy.bonus is None else exercise.id in policy.bonus


def _grade(
    report: Report,
    known: Mapping[str, ExerciseReport],
    policy: Policy,
    by_hand: Mapping[tuple[str, str], Override],
    submitted: str,
) -> Grade:
    student = report.student
    share, late = _lateness(policy.late, student, submitted)
    own = {one.id: one for one in report.exercises}
    all_known = (own.get(name) or replace(one, score=None) for name, one in known.items())
    exercises = [_exercise(one, policy, by_hand.get((student, one.id)), share, late) for one in all_known]
    exercises = _without_lowest(exercises, policy)
    ungraded = [one.id for one in exercises if one.score is None]
    missing = f"not graded: {', '.join(ungraded) or 'all of it'}" if ungraded or not exercises else ""
    total, worth, reasons = _total(exercises, policy)
    score = None if missing else total
    whole = by_hand.get((student, ""), Override(student))
    if whole.score is not None:
        reasons += (f"set by hand{_by(whole)}: {_number(score)} → {_number(whole.score)}",)
        score, missing = whole.score, ""
    return Grade(
        student, score, worth, report.score, report.max_score, tuple(exercises), reasons, whole.comment, missing,
        submitted, late,
    )  # fmt: skip


def _lateness(late: Late | None, student: str, submitted: str) -> tuple[float, str]:
    """The share of points that is left, and why in words."""
    if late is None or not submitted:
        return 1.0, ""
    due = late.extensions.get(student, late.due)
    by = datetime.fromisoformat(submitted) - due
    if by <= late.grace:
        return 1.0, ""
    days = math.ceil(by / timedelta(days=1))
    said = f"late by {days} day{'' if days == 1 else 's'}"
    if late.cut_off is not None and by > late.cut_off:
        return 0.0, f"{said}, after the cut-off: no points"
    lost = min(late.per_day * days, late.at_most, 1.0)
    return 1.0 - lost, f"{said}: −{_number(100 * lost)} %" if lost else f"{said}, at no cost"


def _exercise(
    report: ExerciseReport, policy: Policy, override: Override | None, share: float, late: str
) -> ExerciseGrade:
    weight = policy.weights.get(report.id, 1.0)
    score = report.score
    reasons: list[str] = []
    if override and override.score is not None:
        reasons.append(f"set by hand{_by(override)}: {_number(score)} → {_number(override.score)}")
        score = override.score
    elif score and share < 1:
        reasons.append(f"{late}, {_number(score)} → {_number(score * share)}")
        score *= share
    if weight != 1:
        reasons.append(f"counts × {_number(weight)}")
    return ExerciseGrade(
        report.id,
        None if score is None else score * weight,
        report.max_score * weight,
        bonus=_is_bonus(report, policy),
        reasons=tuple(reasons),
        comment=override.comment if override else "",
    )


def _without_lowest(exercises: Sequence[ExerciseGrade], policy: Policy) -> list[ExerciseGrade]:
    """The exercises, of which the lowest by their share of the maximum do not count; of equals, the later one."""
    drop, reason = policy.drop_lowest, "dropped as lowest"
    if policy.best_of is not None:
        able = [one for one in exercises if not one.bonus and (one.score is None or one.max_score > 0)]
        drop, reason = max(len(able) - policy.best_of, 0), f"not counted: only the best {policy.best_of} are"
    graded = [one for one in exercises if not one.bonus and one.score is not None and one.max_score > 0]
    ranked = sorted(graded, key=lambda one: ((one.score or 0.0) / one.max_score, -exercises.index(one)))
    dropped = {one.id for one in ranked[:drop]}
    return [
        replace(one, counted=False, reasons=(*one.reasons, reason)) if one.id in dropped else one for one in exercises
    ]


def _total(exercises: Iterable[ExerciseGrade], policy: Policy) -> tuple[float | None, float, tuple[str, ...]]:
    """The sum, its maximum, and what was done with it. What was not graded counts in neither."""
    counted = [one for one in exercises if one.counted and one.score is not None]
    total = sum(one.score or 0.0 for one in counted)
    worth = sum(one.max_score for one in counted if not one.bonus)
    reasons: list[str] = []
    if policy.scale is not None and worth:
        reasons.append(f"{_number(total)} of {_number(worth)} on a scale of {_number(policy.scale)}")
        total, worth = total * policy.scale / worth, policy.scale
    rounded = _rounded(total, policy.step)
    if abs(rounded - total) >= 0.005:  # noqa: PLR2004 - what two decimals show
        reasons.append(f"rounded from {_number(total)}")
    return rounded, round(worth, 2), tuple(reasons)


def _rounded(value: float, step: float) -> float:
    """To a multiple of the step, halves up, as people do; the value's own noise beyond nine decimals is none."""
    unit = Decimal(str(step))
    return float((Decimal(str(round(value, 9))) / unit).quantize(Decimal(1), ROUND_HALF_UP) * unit)


def _by(override: Override) -> str:
    who = f" by {override.who}" if override.who else ""
    return f"{who} ({override.comment})" if override.comment else who


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")
