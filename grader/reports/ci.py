"""A report for CI: remarks beside lines of files for GitHub and GitLab, GitHub's job summary and a step's outputs.

GitHub's runner obeys any line of output that begins with `::`, also after spaces, and any line with `##[`. So what is
printed besides our own commands goes through `escaped_log`. GitLab's form of remarks:
https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words
from grader.sanitize import TEXT_LIMIT, sanitize, sanitize_line

Level = Literal["error", "warning", "notice"]
Place = Callable[[str, str, int | None], tuple[str, int | None]]
"""(exercise's id, file, line) → the file as the repository names it and the line; `("", None)` if it is not there."""

_TEXT_LIMIT = 2_000
"""Characters of one annotation's text; more is not read beside a line."""
SUMMARY_LIMIT = 1024 * 1024
"""Bytes of one step's summary; GitHub drops a larger one whole."""
_COMMAND_START = re.compile(r"^(\s*)::", re.MULTILINE)
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


def workflow_commands(annotations: Sequence[Annotation]) -> tuple[str, ...]:
    """The annotations for GitHub, which shows the first ten of each level; one a line without its newline."""
    commands = []
    for one in annotations:
        properties = {"file": one.file, "line": str(one.line or ""), "title": one.title}
        written = ",".join(f"{name}={_property(value)}" for name, value in properties.items() if value)
        commands.append(f"::{one.level} {written}::{_data(one.text)}")
    return tuple(commands)


def _data(text: str) -> str:
    """As the toolkit escapes a command's message: per cent, CR and LF."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """As the toolkit escapes a command's property: besides, colon and comma."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def escaped_log(text: str, token: str) -> str:
    """`text` as a log may print it: no line of it is obeyed as a workflow command.

    `token` must be a text that a student cannot know, such as `secrets.token_hex(16)`. Commands
    are stopped until it comes again; beginnings of commands are broken with a backslash as well.
    """
    harmless = _COMMAND_START.sub(r"\1\\::", sanitize(text, len(text))).replace("##[", "#\\#[")
    return f"::stop-commands::{token}\n{harmless.rstrip()}\n::{token}::\n"


def step_outputs(report: Report) -> str:
    """The lines for `GITHUB_OUTPUT`: `score`, `max-score`, and `status` (passed, failed, not_graded)."""
    score, most = words.number(report.score), words.number(report.max_score)
    return f"score={score}\nmax-score={most}\nstatus={words.outcome(report)}\n"


# ── the summary ─────────────────────────────────────────────────────────────────────────

_MARKS = {
    ExerciseStatus.PASSED: "✅",
    ExerciseStatus.FAILED: "❌",
    ExerciseStatus.REJECTED: "⛔",
    ExerciseStatus.NOT_GRADED: "❔",
}
_PUNCTUATION = re.compile(r"([!\"#$%'()*+,\-./:;=?@\[\\\]^_`{|}~])")


def job_summary(report: Report, title: str) -> str:
    """Markdown for the job's summary, at most 1 MiB: a table, then what is wrong in each exercise, first things first.

    `title` is the course's. Where it would be too long, each text is cut shorter.
    """
    summaries = (_summary(report, title, limit) for limit in (TEXT_LIMIT, 800, 80, 0))
    return next(text for text in summaries if len(text.encode()) < SUMMARY_LIMIT)


def _summary(report: Report, title: str, limit: int) -> str:
    problems = [block for exercise in report.exercises for block in _problems(exercise, limit)]
    step, note = _escaped(words.next_step(report, ", then push again.")), _escaped(words.engine_note(report))
    return "\n".join((_table(report, title), *problems, f"**Next: {step}**\n\n<sub>{note}</sub>\n"))


def _table(report: Report, title: str) -> str:
    absent = [one.id for one in report.exercises if one.status is ExerciseStatus.NOT_SUBMITTED]
    rows = [
        f"| {_MARKS[one.status]} {words.status_word(one.status)} | {_escaped(one.id)} "
        f"| {_escaped(one.title + words.bonus_note(one))} | {words.points(one.score, one.max_score)} |"
        for one in report.exercises
        if one.id not in absent
    ]
    parts = [f"# {_escaped(title)}: {words.number(report.score)} of {words.number(report.max_score)} points"]
    if rows:
        parts.append("\n".join(("| Status | Exercise | Title | Points |", "| --- | --- | --- | ---: |", *rows)))
    if absent:
        parts.append(f"Not handed in: {_escaped(', '.join(absent))}")
    return "\n\n".join((*parts, ""))


def _problems(exercise: ExerciseReport, limit: int) -> Iterator[str]:
    """What is wrong in one exercise: the first problem in full, the others folded, what waits as a number."""
    if exercise.status in {ExerciseStatus.PASSED, ExerciseStatus.NOT_SUBMITTED}:
        return
    checks = words.checks_or_reason(exercise)
    problems = [check for check in checks if check.status in {CheckStatus.FAILED, CheckStatus.NOT_GRADED}]
    note = words.exercise_note(exercise)
    heading = f"## {_escaped(exercise.id)} {_escaped(exercise.title)}\n\n" + (f"{_escaped(note)}\n\n" if note else "")
    for check in problems[:1]:
        yield f"{heading}### {_escaped(check.title)}\n\n{_problem(check, limit)}"
    for check in problems[1:]:
        summary = f"<details><summary>{html.escape(sanitize_line(check.title))}</summary>"
        yield f"{summary}\n\n{_problem(check, limit)}\n</details>\n"
    waiting = sum(check.status is CheckStatus.BLOCKED for check in exercise.checks)
    if waiting:
        yield f"{waiting} more wait for {'this' if len(problems) == 1 else 'these'}.\n"


def _problem(check: CheckVerdict, limit: int) -> str:
    parts = [_prose(sanitize(check.message, limit))]
    for label, text in words.facts(check, further=True):
        inline, shown = label in {"Ended", "Where", "Hint"} and "\n" not in text, sanitize(text, limit)
        parts.append(f"{label}: {_prose(shown)}" if inline else f"{label}:\n\n{_fence(shown)}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _prose(text: str) -> str:
    """One line escaped; several lines, such as the end of a log, in a fence."""
    return _fence(text) if "\n" in text.strip() else _escaped(text.strip())


def _fence(text: str) -> str:
    """A block of code whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.strip(chr(10))}\n{fence}"


def _escaped(text: str) -> str:
    """One line of Markdown that shows `text` as it is.

    CommonMark lets a backslash escape any ASCII punctuation; `&`, `<` and `>` become entities.
    """
    return html.escape(_PUNCTUATION.sub(r"\\\1", sanitize_line(text)), quote=False)
