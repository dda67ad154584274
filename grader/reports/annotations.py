"""What a platform shows beside a file's line: the same list for GitHub and GitLab, most useful first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words
from grader.sanitize import sanitize, sanitize_line

Level = Literal["error", "warning", "notice"]
Place = Callable[[str, str, int | None], tuple[str, int | None]]
"""(exercise's id, file, line) → the file as the repository names it and the line; `("", None)` if it is not there."""

_TEXT_LIMIT = 2_000
"""Characters of one annotation's text; more is not read beside a line."""


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
    handed_in = [one for one in report.exercises if one.status is not ExerciseStatus.NOT_SUBMITTED]
    failed = [
        (rank, exercise, check)
        for exercise in handed_in
        for rank, check in enumerate(_different(_checks(exercise, CheckStatus.FAILED)))
    ]
    errors = []
    for _, exercise, check in sorted(failed, key=lambda one: one[0]):
        text = "\n".join(part for part in (check.message, check.hint and f"Hint: {check.hint}") if part)
        file, line = place(exercise.id, check.file, check.line) if check.file else ("", None)
        title = f"{exercise.id} {exercise.title}: {check.title}"
        errors.append(_annotation("error", title, text, sanitize_line(file), line))
    return [*errors, *_not_graded(handed_in), *_absent(report)]


def _checks(exercise: ExerciseReport, status: CheckStatus) -> list[CheckVerdict]:
    return [check for check in words.checks_or_reason(exercise) if check.status is status]


def _different(checks: list[CheckVerdict]) -> list[CheckVerdict]:
    """The checks without those that say what one before them says."""
    return list({check.message or check.id: check for check in reversed(checks)}.values())[::-1]


def _not_graded(exercises: list[ExerciseReport]) -> list[Annotation]:
    """One warning for each cause, with the exercises that it keeps from being graded."""
    causes: dict[str, dict[str, None]] = {}
    for exercise in exercises:
        for check in _checks(exercise, CheckStatus.NOT_GRADED):
            causes.setdefault(check.message, {})[exercise.id] = None
    return [_annotation("warning", f"{', '.join(ids)}: not graded", cause) for cause, ids in causes.items()]


def _absent(report: Report) -> list[Annotation]:
    ids = [one.id for one in report.exercises if one.status is ExerciseStatus.NOT_SUBMITTED]
    return [_annotation("notice", "Not handed in", ", ".join(ids))] if ids else []


def _annotation(level: Level, title: str, text: str, file: str = "", line: int | None = None) -> Annotation:
    return Annotation(level, sanitize_line(title), sanitize(text, _TEXT_LIMIT), file, line)
