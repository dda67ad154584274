"""What the page of a class says about all students together: figures, charts and tables as plain values."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from grader.course.registry import REASONS
from grader.grading.grades import Grade
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Past, Report, Timing
from grader.reports import wording as words

_BINS = 10
"""Bars of the distribution of scores; full marks have one more of their own."""
_SHOWN = 8
"""How many of the slowest builds and of the biggest images are named."""
_REFUSED = "The safety check refused what was handed in."


def shares_of(reports: Iterable[Report], grades: Mapping[str, Grade]) -> list[float]:
    """Everyone's share of the points that could be graded; of the final mark, where somebody's is not just these."""
    if any(grade.is_changed for grade in grades.values()):
        return [one.score / one.max_score for one in grades.values() if one.score is not None and one.max_score > 0]
    return [report.score / report.max_score for report in reports if report.max_score > 0]


def figures(reports: Sequence[Report], shares: Sequence[float]) -> dict[str, str]:
    """Figures for the head of the page, by label."""
    if not shares:
        return {"Students": str(len(reports))}
    full = sum(report.score >= report.max_score > 0 and not any(words.ungraded([report])) for report in reports)
    nothing = sum(all(one.status is ExerciseStatus.NOT_SUBMITTED for one in report.exercises) for report in reports)
    return {
        "Students": str(len(reports)),
        "Mean": f"{statistics.mean(shares):.0%}",
        "Median": f"{statistics.median(shares):.0%}",
        "Full points": str(full),
        "Nothing handed in": str(nothing),
    }


def distribution(shares: Iterable[float]) -> dict[str, int]:
    """How many students have a share of the points from 0% to below 10%, and so on; the last bar is full marks."""
    counted = Counter(min(int(share * _BINS), _BINS) for share in shares)
    labels = [f"{100 * number // _BINS}–{100 * (number + 1) // _BINS}%" for number in range(_BINS)]
    return {label: counted[number] for number, label in enumerate((*labels, "full"))}


def ungraded_by_reason(reports: Iterable[Report]) -> dict[str, list[tuple[str, str]]]:
    """What was not graded: for each reason the (student, exercise) that it hit."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for report, exercise in words.ungraded(reports):
        found[exercise.message or "No reason is known."].append((report.student, exercise.id))
    return found


@dataclass(frozen=True, slots=True)
class Progress:
    """The mean share of the points, in percent, after everyone's attempt of this number; `made`: how many made it."""

    attempt: int
    made: int
    percent: float


def progress(history: Iterable[Past]) -> tuple[Progress, ...]:
    """How marks moved from attempt to attempt. An attempt is work that differs from what was graded before it.

    Whoever made fewer attempts counts with the last one. A verdict on the same work replaces the one before.
    """
    shares: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for past in history:
        if past.digest and past.score is not None and past.max_score > 0:
            own = shares[past.student, past.exercise]
            if own and own[-1][0] == past.digest:
                own.pop()
            own.append((past.digest, past.score / past.max_score))
    attempts = [[share for _, share in own] for own in shares.values()]
    return tuple(
        Progress(
            number,
            sum(len(own) >= number for own in attempts),
            100 * statistics.mean(own[min(number, len(own)) - 1] for own in attempts),
        )
        for number in range(1, max(map(len, attempts), default=0) + 1)
    )


@dataclass(frozen=True, slots=True)
class ExerciseSummary:
    """One exercise over all students. `mean` is of those graded, as text; `percent` the share with full points."""

    id: str
    title: str
    graded: int
    passed: int
    percent: int
    mean: str
    max_score: float


def exercise_summaries(reports: Iterable[Report]) -> list[ExerciseSummary]:
    """One summary for each exercise, in the order in which the reports name them."""
    found: dict[str, list[ExerciseReport]] = defaultdict(list)
    for report in reports:
        for exercise in report.exercises:
            found[exercise.id].append(exercise)
    return [_summary(exercises) for exercises in found.values()]


def _summary(exercises: Sequence[ExerciseReport]) -> ExerciseSummary:
    first = exercises[0]
    scores = [exercise.score for exercise in exercises if exercise.score is not None]
    passed = sum(exercise.status is ExerciseStatus.PASSED for exercise in exercises)
    percent = round(100 * passed / len(scores)) if scores else 0
    mean = words.number(statistics.mean(scores)) if scores else words.NO_SCORE
    title = first.title + words.bonus_note(first)
    return ExerciseSummary(first.id, title, len(scores), passed, percent, mean, first.max_score)


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """A check that somebody failed, over all students for whom it was carried out; `failed` names them."""

    exercise: str
    id: str
    title: str
    failed: tuple[str, ...]
    carried_out: int

    @property
    def percent(self) -> int:
        """Share of those who passed it; only who is right throughout makes 100."""
        return 100 * (self.carried_out - len(self.failed)) // self.carried_out


def failed_checks(reports: Iterable[Report]) -> list[CheckSummary]:
    """Every check that somebody failed, the worst pass rate first. Blocked checks were not carried out."""
    carried_out: dict[tuple[str, str], list[tuple[str, CheckVerdict]]] = defaultdict(list)
    for report in reports:
        for exercise in report.exercises:
            for check in exercise.checks:
                if check.status in {CheckStatus.PASSED, CheckStatus.FAILED}:
                    carried_out[exercise.id, check.id].append((report.student, check))
    found = []
    for (exercise_id, check_id), seen in carried_out.items():
        if failed := tuple(student for student, check in seen if check.status is CheckStatus.FAILED):
            found.append(CheckSummary(exercise_id, check_id, seen[0][1].title, failed, len(seen)))
    return sorted(found, key=lambda one: (len(one.failed) / -one.carried_out, one.exercise))


@dataclass(frozen=True, slots=True)
class Cause:
    """A mistake: the code of its reason, what it is, how many made it and where; and who is an example of it.

    `example` is student, exercise and check's id, the last empty for what was refused as a whole; `said` is the first
    line of what that student was told.
    """

    code: str
    what: str
    students: int
    exercises: tuple[str, ...]
    example: tuple[str, str, str]
    said: str


def causes(reports: Iterable[Report]) -> list[Cause]:
    """What went wrong by its reason, that which most students met first."""
    found: dict[str, list[tuple[tuple[str, str, str], str]]] = defaultdict(list)
    for report in reports:
        for exercise in report.exercises:
            if exercise.status is ExerciseStatus.REJECTED:
                found[""].append(((report.student, exercise.id, ""), exercise.message))
            for check in exercise.checks:
                if check.status is CheckStatus.FAILED and check.reason:
                    found[check.reason].append(((report.student, exercise.id, check.id), check.message))
    listed = []
    for name, seen in found.items():
        code, what = (REASONS[name].code, REASONS[name].when) if name in REASONS else ("", name.replace("_", " "))
        students, exercises = ({place[at] for place, _ in seen} for at in (0, 1))
        example, message = seen[0]
        said = message.strip().partition("\n")[0]
        listed.append(Cause(code, what or _REFUSED, len(students), tuple(sorted(exercises)), example, said))
    return sorted(listed, key=lambda cause: (-cause.students, cause.code))


def largest(timings: Iterable[Timing], measure: Literal["seconds", "size"]) -> list[Timing]:
    """The builds that took longest or made the biggest images, one for each student's exercise."""
    by_measure = attrgetter(measure)
    builds = [one for one in timings if one.kind in {"built", "build_failed"} and by_measure(one)]
    own = {(one.student, one.exercise): one for one in sorted(builds, key=by_measure)}
    return sorted(own.values(), key=by_measure, reverse=True)[:_SHOWN]
