"""A report for GitHub Actions: workflow commands that mark lines of files, the job's summary, a step's outputs.

The runner obeys any line of output that begins with `::`, also after spaces, and any line with
`##[`. So what is printed besides our own commands goes through `escaped_log`. Limits are GitHub's:
ten annotations of a kind for a step, 1 MiB for a summary.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words
from grader.reports.annotations import Annotation
from grader.sanitize import TEXT_LIMIT, sanitize, sanitize_line

ANNOTATION_LIMIT = 10
"""Annotations of one kind that GitHub shows for one step; more are dropped without a word."""
SUMMARY_LIMIT = 1024 * 1024
"""Bytes of one step's summary; GitHub drops a larger one whole."""
_COMMAND_START = re.compile(r"^(\s*)::", re.MULTILINE)


def workflow_commands(annotations: Sequence[Annotation]) -> tuple[str, ...]:
    """The annotations that GitHub shows, one a line without its newline."""
    shown: Counter[str] = Counter()
    commands = []
    for one in annotations:
        shown[one.level] += 1
        if shown[one.level] <= ANNOTATION_LIMIT:
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
