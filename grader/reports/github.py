"""A report for GitHub Actions: workflow commands that mark lines of files, and the job's summary.

The runner obeys any line of output that begins with `::`, also after spaces, and any line with
`##[`. So what is printed besides our own commands goes through `escaped_log`. Limits are GitHub's:
ten annotations of a kind for a step, 1 MiB for a summary.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping

from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words
from grader.sanitize import sanitize, sanitize_line

ANNOTATION_LIMIT = 10
"""Annotations of one kind that GitHub shows for one step; more are dropped without a word."""

SUMMARY_LIMIT = 1024 * 1024
"""Bytes of one step's summary; GitHub drops a larger one whole."""

_ANNOTATION_TEXT_LIMIT = 2_000


def workflow_commands(report: Report, folders: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Annotations, one a line without its newline: errors for the student, warnings for faults of ours.

    `folders` gives, for an exercise's id, its folder in the repository (`week-3/3.1.4`), so that
    GitHub finds the file; an exercise without one is taken to be in the repository's root. As GitHub shows only ten,
    what was handed in comes first.
    """
    folders = folders or {}
    errors: list[str] = []
    warnings: list[str] = []
    for exercise in sorted(report.exercises, key=lambda one: one.status is ExerciseStatus.NOT_SUBMITTED):
        for check in words.checks_or_reason(exercise):
            command = _command(exercise, check, folders.get(exercise.id, ""))
            if check.status is CheckStatus.FAILED:
                errors.append(f"::error {command}")
            elif check.status is CheckStatus.NOT_GRADED:
                warnings.append(f"::warning {command}")
    return (*errors[:ANNOTATION_LIMIT], *warnings[:ANNOTATION_LIMIT])


def escaped_log(text: str, token: str) -> str:
    """`text` as a log may print it: no line of it is obeyed as a workflow command.

    `token` must be a text that a student cannot know, such as `secrets.token_hex(16)`. Commands
    are stopped until it comes again; beginnings of commands are broken with a backslash as well.
    """
    harmless = _COMMAND_START.sub(r"\1\\::", sanitize(text, len(text))).replace("##[", "#\\#[")
    return f"::stop-commands::{token}\n{harmless.rstrip()}\n::{token}::\n"


def job_summary(report: Report) -> str:
    """Markdown for the job's summary: a table of exercises, then what is wrong in each. At most 1 MiB."""
    blocks = list(_blocks(report))
    room = SUMMARY_LIMIT - 1000 - sum(len(block.encode()) for block in (blocks[0], blocks[-1]))
    shown: list[str] = []
    for block in blocks[1:-1]:
        room -= len(block.encode()) + 1
        if room < 0:
            shown.append(f"{len(blocks) - 2 - len(shown)} more are not shown here, for want of room.\n")
            break
        shown.append(block)
    return "\n".join((blocks[0], *shown, blocks[-1]))


# ── workflow commands ───────────────────────────────────────────────────────────────────

_COMMAND_START = re.compile(r"^(\s*)::", re.MULTILINE)


def _command(exercise: ExerciseReport, check: CheckVerdict, folder: str) -> str:
    properties = [("title", f"{exercise.id} {exercise.title}: {check.title}")]
    if check.file:
        position = [("line", str(check.line))] if check.line is not None else []
        properties = [("file", f"{folder}/{check.file}" if folder else check.file), *position, *properties]
    written = ",".join(f"{name}={_property(sanitize_line(value))}" for name, value in properties)
    message = "\n".join(text for text in (check.message, check.hint and f"Hint: {check.hint}") if text)
    return f"{written}::{_data(sanitize(message, _ANNOTATION_TEXT_LIMIT))}"


def _data(text: str) -> str:
    """As the toolkit escapes a command's message: per cent, CR and LF."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """As the toolkit escapes a command's property: besides, colon and comma."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# ── the summary ─────────────────────────────────────────────────────────────────────────


def _blocks(report: Report) -> Iterator[str]:
    """The parts of the summary, each ended by a newline: table, one for each problem, the end."""
    yield _table(report)
    problems = 0
    for exercise in report.exercises:
        for check in words.checks_or_reason(exercise):
            if check.status in {CheckStatus.FAILED, CheckStatus.NOT_GRADED}:
                problems += check.status is CheckStatus.FAILED
                yield _problem(exercise, check)
    more = f"{ANNOTATION_LIMIT} of {problems} problems are shown as annotations; all are in this summary.\n\n"
    note = _escaped(words.engine_note(report.engine, report.seed))
    step = _escaped(words.next_step(report, ", then push again."))
    yield f"{more if problems > ANNOTATION_LIMIT else ''}**Next: {step}**\n\n{note}\n"


def _table(report: Report) -> str:
    rows = [
        f"| {_escaped(exercise.id)} | {_escaped(exercise.title + words.bonus_note(exercise))} "
        f"| {words.status_word(exercise.status)} | {words.points(exercise.score, exercise.max_score)} |"
        for exercise in report.exercises
    ]
    heading = f"# {_escaped(report.student)}: {words.points(report.score, report.max_score)}"
    columns = "| Exercise | Title | Status | Points |\n| --- | --- | --- | ---: |"
    return "\n".join((heading, "", columns, *rows, ""))


def _problem(exercise: ExerciseReport, check: CheckVerdict) -> str:
    where = words.place(check)
    parts = [
        f"## {_escaped(exercise.id)}: {_escaped(check.title)}",
        _prose(words.exercise_note(exercise)) if exercise.status is not ExerciseStatus.FAILED else "",
        _prose(check.message),
        f"Where: {_escaped(where)}" if where else "",
        _labelled("Expected:", check.expected),
        _labelled("Actual:", check.actual),
        _labelled("Hint:", check.hint, prose=True),
        _labelled("Try it:", check.reproduce),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _labelled(label: str, text: str, *, prose: bool = False) -> str:
    if not text:
        return ""
    return f"{label} {_prose(text)}" if prose and "\n" not in text else f"{label}\n\n{_fence(sanitize(text))}"


def _prose(text: str) -> str:
    """One line escaped; several lines, such as the end of a log, in a fence."""
    text = sanitize(text).strip()
    return _fence(text) if "\n" in text else _escaped(text)


def _fence(text: str) -> str:
    """A block of code whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.strip(chr(10))}\n{fence}"


_PUNCTUATION = re.compile(r"([!\"#$%'()*+,\-./:;=?@\[\\\]^_`{|}~])")


def _escaped(text: str) -> str:
    """One line of Markdown that shows `text` as it is.

    CommonMark lets a backslash escape any ASCII punctuation; `&`, `<` and `>` become entities.
    """
    return html.escape(_PUNCTUATION.sub(r"\\\1", sanitize_line(text)), quote=False)
