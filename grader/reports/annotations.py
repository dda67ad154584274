"""What a platform shows beside a file's line: the same list for GitHub and GitLab, most useful first.

GitLab's form: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format. GitHub's stands in `github`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from grader.models import CheckStatus, CheckVerdict, ExerciseStatus, Report
from grader.reports import wording as words
from grader.sanitize import sanitize, sanitize_line

Level = Literal["error", "warning", "notice"]
Place = Callable[[str, str, int | None], tuple[str, int | None]]
"""(exercise's id, file, line) → the file as the repository names it and the line; `("", None)` if it is not there."""

_TEXT_LIMIT = 2_000
"""Characters of one annotation's text; more is not read beside a line."""
_SEVERITY = {"error": "major", "warning": "minor", "notice": "info"}


@dataclass(frozen=True, slots=True)
class Annotation:
    """One remark. `file` is relative to the repository's root, "" for none; `line` counts from 1."""

    level: Level
    title: str
    text: str
    file: str = ""
    line: int | None = None


def annotated(report: Report, place: Place) -> list[Annotation]:
    """An error for each failed check, a warning for each cause of what is not graded, a notice of all that is absent.

    The first failed check of each exercise comes before the second of any: it is often their cause, and GitHub shows
    ten errors at most. One cause in an exercise is one error.
    """
    errors: list[tuple[int, Annotation]] = []
    ungraded: dict[str, dict[str, None]] = {}
    absent = [one.id for one in report.exercises if one.status is ExerciseStatus.NOT_SUBMITTED]
    for exercise in report.exercises:
        different: dict[str, CheckVerdict] = {}
        for check in words.checks_or_reason(exercise) if exercise.id not in absent else ():
            if check.status is CheckStatus.FAILED:
                different.setdefault(check.message or check.id, check)
            elif check.status is CheckStatus.NOT_GRADED:
                ungraded.setdefault(check.message, {})[exercise.id] = None
        for rank, check in enumerate(different.values()):
            text = "\n".join(part for part in (check.message, check.hint and f"Hint: {check.hint}") if part)
            file, line = place(exercise.id, check.file, check.line) if check.file else ("", None)
            title = f"{exercise.id} {exercise.title}: {check.title}"
            errors.append((rank, _annotation("error", title, text, sanitize_line(file), line)))
    return [
        *(one for _, one in sorted(errors, key=lambda ranked: ranked[0])),
        *(_annotation("warning", f"{', '.join(ids)}: not graded", cause) for cause, ids in ungraded.items()),
        *([_annotation("notice", "Not handed in", ", ".join(absent))] if absent else []),
    ]


def _annotation(level: Level, title: str, text: str, file: str = "", line: int | None = None) -> Annotation:
    return Annotation(level, sanitize_line(title), sanitize(text, _TEXT_LIMIT), file, line)


def code_quality(annotations: Sequence[Annotation]) -> str:
    """A Code Quality document for GitLab: the annotations that have a file, which every entry needs, as JSON text.

    A fingerprint is the same each time for the same remark.
    """
    entries = [
        {
            "description": f"{one.title}\n{one.text}",
            "check_name": one.title,
            "fingerprint": hashlib.sha256(f"{one.file}:{one.title}".encode()).hexdigest(),
            "severity": _SEVERITY[one.level],
            "location": {"path": one.file, "lines": {"begin": one.line or 1}},
        }
        for one in annotations
        if one.file
    ]
    return json.dumps(entries, indent=2) + "\n"
