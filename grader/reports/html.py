"""Reports as pages: one for the class, one for each student. They need nothing but themselves.

No script, no request, no style but the page's own, which its Content-Security-Policy names by
digest. Whatever a template writes is sanitized and then escaped (`finalize`, `autoescape`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from grader.models import ExerciseReport, Report
from grader.reports import class_summary as summary
from grader.reports import wording as words
from grader.sanitize import safe_names, sanitize, sanitize_line


def class_page(title: str, reports: Sequence[Report]) -> str:
    """`report.html`: the whole class, with a link to `students/<safe_name>.html` for each student."""
    return _page(
        "class.html",
        title=title,
        reports=reports,
        names=safe_names(report.student for report in reports),
        figures=summary.figures(reports),
        exercises=summary.exercise_summaries(reports),
        failures=summary.most_failed(reports),
        ungraded=list(words.ungraded(reports)),
        engines=list(dict.fromkeys(note for report in reports for note in _notes(report) if note)),
    )


def _notes(report: Report) -> tuple[str, str]:
    return words.engine_note(report.engine, report.seed), words.limits_note(report.engine)


def student_page(report: Report) -> str:
    """`students/<safe_name>.html`: what one student is told, the same as `grader check` says."""
    return _page("student.html", report=report)


def _page(template: str, **values: Any) -> str:
    environment = _environment()
    style, _, _ = environment.loader.get_source(environment, "style.css") if environment.loader else ("", None, None)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = environment.get_template(template).render(style=Markup(style), style_digest=f"sha256-{digest}", **values)  # noqa: S704 - our own file
    return text.rstrip("\n") + "\n"


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
        "bonus": words.bonus_note,
        "check_points": words.check_points,
        "code": _code,
        "engine": lambda report: words.engine_note(report.engine, report.seed),
        "exercise": _exercise,
        "facts": words.facts,
        "line": sanitize_line,
        "next_step": words.next_step,
        "note": words.exercise_note,
        "number": words.number,
        "points": _points,
        "score": _score,
        "sign": words.SIGNS.__getitem__,
        "word": words.status_word,
    }
    return environment


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


def _points(scored: Report | ExerciseReport) -> str:
    return words.points(scored.score, scored.max_score)


def _score(exercise: ExerciseReport) -> str:
    return words.NO_SCORE if exercise.score is None else words.number(exercise.score)


def _exercise(report: Report, name: str) -> ExerciseReport | None:
    return next((exercise for exercise in report.exercises if exercise.id == name), None)
