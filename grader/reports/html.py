"""Reports as pages: one for the class, one for each student. They need nothing but themselves.

A page makes no request, and has one style and one script of its own, which its Content-Security-Policy names by digest.
It says all that it has to say without the script, too. Whatever a template writes is sanitized and then escaped
(`finalize`, `autoescape`).
"""

from __future__ import annotations

import base64
import hashlib
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from operator import attrgetter
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from grader.course.registry import REASONS
from grader.grading.grades import Grade
from grader.models import CheckStatus, ExerciseReport, ExerciseStatus, Past, Report, Timing
from grader.reports import wording as words
from grader.sanitize import safe_names, sanitize, sanitize_line


@dataclass(frozen=True, slots=True)
class Background:
    """What pages say besides the reports: the course's title, the ISO time of grading ("" where none is known).

    `handbook` has the section (Markdown) that explains each reason. `grades` are the final marks, by student; without
    them, marks are the points. `groups` names the section or group of whoever is in one; it, `history` and `timings`
    are for the class only.
    """

    title: str = "Docker exercises"
    graded: str = ""
    handbook: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Past] = ()
    timings: Sequence[Timing] = ()
    grades: Mapping[str, Grade] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)


def class_page(reports: Sequence[Report], background: Background) -> str:
    """`report.html`: the whole class, with a link to `students/<safe_name>.html` for each student."""
    grades = background.grades
    shares = _shares_of(reports, grades)
    bars = _distribution(shares)
    notes = (note for one in reports for note in (words.engine_note(one), words.limits_note(one.engine)))
    return _page(
        "class",
        background=background,
        reports=reports,
        pages={name: f"students/{file}.html" for name, file in safe_names(one.student for one in reports).items()},
        marked={one.student: grade for one in reports if (grade := grades.get(one.student)) and grade.is_changed},
        figures=_figures(reports, shares),
        bars=bars,
        highest=max(bars.values()),
        progress=progress(background.history),
        exercises=_exercise_rows(reports),
        columns=[{one.id: one for one in report.exercises} for report in reports],
        checks=_failed_checks(reports),
        causes=_causes(reports),
        slow=_largest(background.timings, "seconds"),
        big=_largest(background.timings, "size"),
        ungraded=_ungraded_by_reason(reports),
        engines=[note for note in dict.fromkeys(notes) if note],
    )


def student_page(report: Report, background: Background) -> str:
    """`students/<safe_name>.html`: what one student is told; only of what was handed in, the first failure first."""
    grade = background.grades.get(report.student)
    handed = [one for one in report.exercises if one.status is not ExerciseStatus.NOT_SUBMITTED]
    reasons = [check.reason for one in handed for check in one.checks if check.status is CheckStatus.FAILED]
    return _page(
        "student",
        background=background,
        report=report,
        grade=grade if grade and grade.is_changed else None,
        exercises=sorted(
            (one for one in handed if one.status is not ExerciseStatus.PASSED),
            key=lambda one: one.status is ExerciseStatus.NOT_GRADED,
        ),
        passed=[one for one in handed if one.status is ExerciseStatus.PASSED],
        missing=[one for one in report.exercises if one.status is ExerciseStatus.NOT_SUBMITTED],
        first=next(((one, check) for one in handed for check in words.grouped(one)["failed"]), None),
        readings=list(dict.fromkeys(text for name in reasons if (text := background.handbook.get(name, "")))),
    )


# ── templates ───────────────────────────────────────────────────────────────────────────


def _page(kind: str, **values: Any) -> str:
    for name, file in (("style", "style.css"), ("script", f"{kind}.js")):
        values[name] = text = _source(file)
        values[f"{name}_digest"] = f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
    return _environment().get_template(f"{kind}.html").render(**values).rstrip("\n") + "\n"


@cache
def _source(name: str) -> Markup:
    text = files("grader.reports").joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704 - our own file


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("grader.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else sanitize(value),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "anchor": lambda exercise, check="": f"{exercise}/{check}" if check else exercise,
        "code": _code,
        "date": lambda iso: f"{datetime.fromisoformat(iso):%-d %B %Y, %H:%M} UTC",
        "reason": lambda check: REASONS[check.reason].code if check.reason in REASONS else "",
        "first_failed": lambda exercise: next((check.id for check in words.grouped(exercise)["failed"]), ""),
        "heading": lambda text: text.partition("\n")[0].lstrip("# "),
        "heat": _heat,
        "line": sanitize_line,
        "markdown": _markdown,
        "megabytes": lambda size: f"{size / 1e6:,.0f} MB",
        "number": words.number,
        "points": lambda scored: words.points(scored.score, scored.max_score),
        "word": words.status_word,
    }
    environment.globals["words"] = words
    return environment


def _code(text: str) -> Markup:
    """Text escaped, with what stands between two backticks as code."""
    return Markup(re.sub("`([^`]*)`", r"<code>\1</code>", str(escape(sanitize(text)))))  # noqa: S704 - escaped


_STEPS = (1.0, 0.7, 0.4, 0.01)
"""Shares of an exercise's points from which on a cell of the class's table has another colour."""
_SIGNS = {
    ExerciseStatus.NOT_SUBMITTED: ("absent", "·", "not handed in"),
    ExerciseStatus.NOT_GRADED: ("ungraded", "?", "not graded"),
    ExerciseStatus.REJECTED: ("refused", "×", "refused"),
}


def _heat(exercise: ExerciseReport) -> tuple[str, str, str]:
    """A cell of the class's table: its class, what it shows, and what only a screen reader says."""
    if exercise.status in _SIGNS:
        return _SIGNS[exercise.status]
    share = (exercise.score or 0.0) / exercise.max_score if exercise.max_score else 1.0
    return f"heat{sum(share >= step for step in _STEPS)}", words.number(exercise.score or 0.0), ""


@cache
def _markdown(text: str) -> Markup:
    """A section of the handbook below its heading. Links to other pages of it are their text: the page is alone."""
    body = re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text.partition("\n")[2])
    body = re.sub(r'(?m)^```(\w+) title="(.+)"$', r"`\2`:\n\n```\1", body)
    return Markup(MarkdownIt("commonmark", {"html": False}).enable("table").render(body))  # noqa: S704 - ours, no HTML in it


# ── what is counted of a class ─────────────────────────────────────────────────────────────

Row = dict[str, Any]
_BINS = 10
"""Bars of the distribution of scores; full marks have one more of their own."""
_SHOWN = 8
"""How many of the slowest builds and of the biggest images are named."""
_REFUSED = "The safety check refused what was handed in."


def _shares_of(reports: Iterable[Report], grades: Mapping[str, Grade]) -> list[float]:
    """Everyone's share of the points that could be graded; of the final mark, where somebody's is not just these."""
    if any(grade.is_changed for grade in grades.values()):
        return [one.score / one.max_score for one in grades.values() if one.score is not None and one.max_score > 0]
    return [report.score / report.max_score for report in reports if report.max_score > 0]


def _figures(reports: Sequence[Report], shares: Sequence[float]) -> dict[str, str]:
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


def _distribution(shares: Iterable[float]) -> dict[str, int]:
    """How many students have a share of the points from 0% to below 10%, and so on; the last bar is full marks."""
    counted = Counter(min(int(share * _BINS), _BINS) for share in shares)
    labels = [f"{100 * number // _BINS}–{100 * (number + 1) // _BINS}%" for number in range(_BINS)]
    return {label: counted[number] for number, label in enumerate((*labels, "full"))}


def _ungraded_by_reason(reports: Iterable[Report]) -> dict[str, list[tuple[str, str]]]:
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


def _exercise_rows(reports: Iterable[Report]) -> list[Row]:
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


def _failed_checks(reports: Iterable[Report]) -> list[Row]:
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


def _causes(reports: Iterable[Report]) -> list[Row]:
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


def _largest(timings: Iterable[Timing], measure: Literal["seconds", "size"]) -> list[Timing]:
    """The builds that took longest or made the biggest images, one for each student's exercise."""
    by_measure = attrgetter(measure)
    builds = [one for one in timings if one.kind in {"built", "build_failed"} and by_measure(one)]
    own = {(one.student, one.exercise): one for one in sorted(builds, key=by_measure)}
    return sorted(own.values(), key=by_measure, reverse=True)[:_SHOWN]
