"""Reports as pages: one for the class, one for each student. They need nothing but themselves.

A page makes no request, and has one style and one script of its own, which its Content-Security-Policy names by digest.
It says all that it has to say without the script, too. Whatever a template writes is sanitized and then escaped
(`finalize`, `autoescape`).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from grader.course.registry import REASONS
from grader.grading.grades import Grade
from grader.models import CheckStatus, ExerciseReport, ExerciseStatus, Past, Report, Timing
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
    notes = (note for one in reports for note in (words.engine_note(one), words.limits_note(one.engine)))
    return _page(
        "class",
        background=background,
        reports=reports,
        pages={name: f"students/{file}.html" for name, file in safe_names(one.student for one in reports).items()},
        marked={one.student: grade for one in reports if (grade := grades.get(one.student)) and grade.is_changed},
        figures=summary.figures(reports, shares),
        bars=bars,
        highest=max(bars.values()),
        progress=summary.progress(background.history),
        exercises=summary.exercise_rows(reports),
        columns=[{one.id: one for one in report.exercises} for report in reports],
        checks=summary.failed_checks(reports),
        causes=summary.causes(reports),
        slow=summary.largest(background.timings, "seconds"),
        big=summary.largest(background.timings, "size"),
        ungraded=summary.ungraded_by_reason(reports),
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
