"""What the page of a class says about all students together: figures, and rows of charts and tables as plain values."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Literal

from grader.course.registry import REASONS
from grader.grading.grades import Grade
from grader.models import CheckStatus, ExerciseReport, ExerciseStatus, Past, Report, Timing
from grader.reports import wording as words

Row = dict[str, Any]
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


def progress(history: Iterable[Past]) -> list[tuple[int, float]]:
    """How marks moved from attempt to attempt: how many made it, and everyone's mean share then, in percent.

    An attempt is work that differs from what was graded before it. Whoever made fewer attempts counts with the last
    one. A verdict on the same work replaces the one before.
    """
    shares: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for past in history:
        if past.digest and past.score is not None and past.max_score > 0:
            own = shares[past.student, past.exercise]
            if own and own[-1][0] == past.digest:
                own.pop()
            own.append((past.digest, past.score / past.max_score))
    most = max(map(len, shares.values()), default=0)
    after = [[own[min(number, len(own) - 1)][1] for own in shares.values()] for number in range(most)]
    made = [sum(len(own) > number for own in shares.values()) for number in range(most)]
    return [(count, 100 * statistics.mean(attempt)) for count, attempt in zip(made, after, strict=True)]


def exercise_rows(reports: Iterable[Report]) -> list[Row]:
    """Each exercise over all students: of those graded, how many have full points, as `percent`, too, and the mean."""
    found: dict[str, list[ExerciseReport]] = defaultdict(list)
    for report in reports:
        for exercise in report.exercises:
            found[exercise.id].append(exercise)
    rows = []
    for exercises in found.values():
        first, scores = exercises[0], [one.score for one in exercises if one.score is not None]
        passed = sum(exercise.status is ExerciseStatus.PASSED for exercise in exercises)
        rows.append(
            {
                "id": first.id,
                "title": first.title + words.bonus_note(first),
                "graded": len(scores),
                "passed": passed,
                "percent": round(100 * passed / len(scores)) if scores else 0,
                "mean": words.number(statistics.mean(scores)) if scores else words.NO_SCORE,
                "max_score": first.max_score,
            }
        )
    return rows


def failed_checks(reports: Iterable[Report]) -> list[Row]:
    """Every check that somebody failed and who, the worst pass rate first. Blocked checks were not carried out.

    `percent` of those who carried it out passed it; only who is right throughout makes 100.
    """
    titles: dict[tuple[str, str], str] = {}
    outcomes: dict[tuple[str, str], list[tuple[str, bool]]] = defaultdict(list)
    for report in reports:
        for exercise in report.exercises:
            for check in exercise.checks:
                if check.status in {CheckStatus.PASSED, CheckStatus.FAILED}:
                    key = exercise.id, check.id
                    titles.setdefault(key, check.title)
                    outcomes[key].append((report.student, check.status is CheckStatus.FAILED))
    rows = []
    for (exercise_id, check_id), seen in outcomes.items():
        if failed := [student for student, has_failed in seen if has_failed]:
            row = {"exercise": exercise_id, "id": check_id, "title": titles[exercise_id, check_id], "failed": failed}
            rows.append({**row, "carried_out": len(seen), "percent": 100 * (len(seen) - len(failed)) // len(seen)})
    return sorted(rows, key=lambda row: (len(row["failed"]) / -row["carried_out"], row["exercise"]))


def causes(reports: Iterable[Report]) -> list[Row]:
    """What went wrong by its reason: its code, what it is, how many students met it and where; most met first.

    `example` is a student, exercise and check, the last empty for what was refused as a whole; `said` is the first line
    of what that student was told.
    """
    found: dict[str, list[tuple[tuple[str, str, str], str]]] = defaultdict(list)
    for report in reports:
        for exercise in report.exercises:
            if exercise.status is ExerciseStatus.REJECTED:
                found[""].append(((report.student, exercise.id, ""), exercise.message))
            for check in exercise.checks:
                if check.status is CheckStatus.FAILED and check.reason:
                    found[check.reason].append(((report.student, exercise.id, check.id), check.message))
    rows = []
    for name, seen in found.items():
        code, what = (REASONS[name].code, REASONS[name].when) if name in REASONS else ("", name.replace("_", " "))
        students, exercises = ({place[at] for place, _ in seen} for at in (0, 1))
        (example, message), *_ = seen
        row = {"code": code, "what": what or _REFUSED, "students": len(students), "exercises": sorted(exercises)}
        rows.append({**row, "example": example, "said": message.strip().partition("\n")[0]})
    return sorted(rows, key=lambda row: (-row["students"], row["code"]))


def largest(timings: Iterable[Timing], measure: Literal["seconds", "size"]) -> list[Timing]:
    """The builds that took longest or made the biggest images, one for each student's exercise."""
    by_measure = attrgetter(measure)
    builds = [one for one in timings if one.kind in {"built", "build_failed"} and by_measure(one)]
    own = {(one.student, one.exercise): one for one in sorted(builds, key=by_measure)}
    return sorted(own.values(), key=by_measure, reverse=True)[:_SHOWN]
