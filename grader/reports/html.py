"""Reports as pages: one for the class, one for each student. They need nothing but themselves.

A page makes no request, and has one style and one script of its own, which its Content-Security-Policy names by digest.
It says all that it has to say without the script, too. Whatever a template writes is sanitized and then escaped
(`finalize`, `autoescape`).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from grader.course.registry import REASONS
from grader.grading.grades import Grade
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Past, Report, Timing
from grader.reports import class_summary as summary
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
    shares = summary.shares_of(reports, grades)
    bars = summary.distribution(shares)
    return _page(
        "class",
        background=background,
        reports=reports,
        pages={name: f"students/{file}.html" for name, file in safe_names(one.student for one in reports).items()},
        marked={one.student: grade for one in reports if (grade := grades.get(one.student)) and grade.is_changed},
        figures=summary.figures(reports, shares),
        bars=bars,
        highest=max(count for _, count in bars),
        progress=summary.progress(background.history),
        exercises=summary.exercise_summaries(reports),
        columns=[{one.id: one for one in report.exercises} for report in reports],
        checks=summary.failed_checks(reports),
        causes=summary.causes(reports),
        slow=summary.slowest_builds(background.timings),
        big=summary.biggest_images(background.timings),
        ungraded=_by_reason(reports),
        engines=list(dict.fromkeys(note for report in reports for note in _notes(report) if note)),
    )


def _by_reason(reports: Iterable[Report]) -> dict[str, list[tuple[str, str]]]:
    """What was not graded: for each reason the (student, exercise) that it hit."""
    found: dict[str, list[tuple[str, str]]] = {}
    for report, exercise in words.ungraded(reports):
        found.setdefault(exercise.message or "No reason is known.", []).append((report.student, exercise.id))
    return found


def _notes(report: Report) -> tuple[str, str]:
    return words.engine_note(report.engine, report.seed), words.limits_note(report.engine)


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
        first=next(((one, check) for one in handed for check in one.checks if _is_failed(check)), None),
        readings=list(dict.fromkeys(text for name in reasons if (text := background.handbook.get(name, "")))),
    )


def _is_failed(check: CheckVerdict) -> bool:
    return check.status is CheckStatus.FAILED


# ── templates ───────────────────────────────────────────────────────────────────────────


def _page(kind: str, **values: Any) -> str:
    environment = _environment()
    style, script = _source("style.css"), _source(f"{kind}.js")
    text = environment.get_template(f"{kind}.html").render(
        style=style, style_digest=_digest(style), script=script, script_digest=_digest(script), **values
    )
    return text.rstrip("\n") + "\n"


@cache
def _source(name: str) -> Markup:
    environment = _environment()
    assert environment.loader is not None  # noqa: S101 - it was given one
    return Markup(environment.loader.get_source(environment, name)[0])  # noqa: S704 - our own file


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("grader.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_sanitized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "anchor": _anchor,
        "bonus": words.bonus_note,
        "check_points": words.check_points,
        "code": _code,
        "date": _date,
        "reason": lambda check: REASONS[check.reason].code if check.reason in REASONS else "",
        "engine": lambda report: words.engine_note(report.engine, report.seed),
        "facts": words.facts,
        "first_failed": lambda exercise: next((check.id for check in exercise.checks if _is_failed(check)), ""),
        "folded": _folded,
        "heading": lambda text: text.partition("\n")[0].lstrip("# "),
        "heat": _heat,
        "line": sanitize_line,
        "markdown": _markdown,
        "megabytes": lambda size: f"{size / 1e6:,.0f} MB",
        "note": words.exercise_note,
        "number": words.number,
        "mark": lambda grade: words.points(grade.score, grade.max_score),
        "problems": _problems,
        "points": lambda scored: words.points(scored.score, scored.max_score),
        "sign": words.SIGNS.__getitem__,
        "unseen": words.is_unseen,
        "word": words.status_word,
    }
    return environment


def _folded(exercise: ExerciseReport) -> list[tuple[str, list[CheckVerdict]]]:
    """The checks that stand folded below the failed ones: (what became of them, which)."""
    groups: dict[str, list[CheckVerdict]] = {
        "failed for the same cause": [],
        "not carried out": [],
        "waiting for it": [],
        "not graded": [],
        "passed": [],
    }
    for check in exercise.checks:
        if words.is_unseen(check):
            groups["not carried out"].append(check)
        elif check.status is CheckStatus.BLOCKED:
            groups["waiting for it"].append(check)
        elif check.status is CheckStatus.FAILED:
            if words.has_same_cause(exercise, check):
                groups["failed for the same cause"].append(check)
        else:
            groups[words.status_word(check.status)].append(check)
    return [(what, checks) for what, checks in groups.items() if checks]


def _problems(exercise: ExerciseReport) -> list[CheckVerdict]:
    """The failed checks, each cause once."""
    failed = (check for check in exercise.checks if check.status is CheckStatus.FAILED)
    return [check for check in failed if not words.has_same_cause(exercise, check)]


def _sanitized(value: object) -> object:
    """What a template writes: text without anything active in it; markup of ours as it is."""
    return sanitize(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _code(text: str) -> Markup:
    """Text escaped, with what stands between two backticks as code."""
    parts = sanitize(text).split("`")
    if len(parts) % 2 == 0:
        return escape("`".join(parts))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part) for index, part in enumerate(parts)
    )


def _anchor(exercise: str, check: str = "") -> str:
    """Where a student's page has an exercise, or a check of it."""
    return f"{exercise}/{check}" if check else exercise


def _date(iso: str) -> str:
    """`28 November 2026, 17:22 UTC` of an ISO time in UTC."""
    return f"{datetime.fromisoformat(iso):%-d %B %Y, %H:%M} UTC" if iso else ""


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
