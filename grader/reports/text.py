"""A report as plain text, for terminals and pipes.

A line is a tuple of (style, text) segments: data, which `grader.cli.console` may colour. Nothing
wider than `width` columns is written, except commands to paste, which are never broken.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words
from grader.sanitize import inert, inert_line

Style = Literal["plain", "heading", "label", "command", "faint", "passed", "failed", "blocked", "not_graded"]
Segment = tuple[Style, str]
Line = tuple[Segment, ...]

_SIGNS = {
    CheckStatus.PASSED: "✓",
    CheckStatus.FAILED: "✗",
    CheckStatus.BLOCKED: "·",
    CheckStatus.NOT_GRADED: "?",
}
_EXERCISE_STYLES: dict[ExerciseStatus, Style] = {
    ExerciseStatus.PASSED: "passed",
    ExerciseStatus.FAILED: "failed",
    ExerciseStatus.REJECTED: "failed",
    ExerciseStatus.NOT_SUBMITTED: "blocked",
    ExerciseStatus.NOT_GRADED: "not_graded",
}
_CHECK_STYLES: dict[CheckStatus, Style] = {
    CheckStatus.PASSED: "passed",
    CheckStatus.FAILED: "failed",
    CheckStatus.BLOCKED: "blocked",
    CheckStatus.NOT_GRADED: "not_graded",
}

_WORD_WIDTH = len("not graded")
_LABEL_WIDTH = len("Expected")
_BODY = " " * 4
_EXCERPT_LIMIT = 2_000
"""Characters shown of what was expected, and of what was seen."""

_NARROWEST = 40
_BLANK: Line = ()


def plain(lines: Iterable[Line]) -> str:
    """The lines as text without styles, each ended by a newline."""
    return "".join("".join(text for _, text in line).rstrip() + "\n" for line in lines)


def report_lines(report: Report, width: int = 80) -> tuple[Line, ...]:
    """All that one student is told, from the first exercise to what to do next.

    `width` is in terminal columns; what is narrower than 40 is treated as 40.
    """
    width = max(width, _NARROWEST)
    lines: list[Line] = []
    for exercise in report.exercises:
        lines += [*_exercise(exercise, width), _BLANK]
    if len(report.exercises) != 1:
        lines += [*_summary(report, width), _BLANK]
    lines += _paragraph("heading", words.next_step(report), "", width)
    lines += _paragraph("faint", inert_line(words.engine_note(report.engine, report.seed)), "", width)
    return tuple(lines)


def class_lines(reports: Sequence[Report], width: int = 80) -> tuple[Line, ...]:
    """A table of all students, one line each, and every exercise that could not be graded."""
    width = max(width, _NARROWEST)
    return (*_class_table(reports, width), *_ungraded_list(reports, width))


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> tuple[Line, ...]:
    """A table with aligned columns, as wide as its content: nothing of it is cut or wrapped."""
    table = [tuple(header), *(tuple(inert_line(cell) for cell in row) for row in rows)]
    widths = [max(cells(cell) for cell in column) for column in zip(*table, strict=True)]
    return tuple(
        tuple(
            ("plain" if number else "heading", cell + " " * (width - cells(cell) + 2))
            for cell, width in zip(row, widths, strict=True)
        )
        for number, row in enumerate(table)
    )


# ── one exercise ────────────────────────────────────────────────────────────────────────


def _exercise(exercise: ExerciseReport, width: int) -> Iterator[Line]:
    title = inert_line(exercise.title + words.bonus_note(exercise))
    label: Line = (("heading", f"{inert_line(exercise.id)}  "),)
    score = words.points(exercise.score, exercise.max_score)
    yield from _row(label, "heading", title, (_EXERCISE_STYLES[exercise.status], score), width)
    yield _BLANK
    yield from _exercise_message(exercise, width)
    told: set[str] = set()
    for check in exercise.checks:
        yield from _check(check, width, told)


def _exercise_message(exercise: ExerciseReport, width: int) -> Iterator[Line]:
    note = words.exercise_note(exercise)
    if note:
        style = _EXERCISE_STYLES[exercise.status]
        yield from _paragraph(style, f"{words.status_word(exercise.status).capitalize()}. {note}", "  ", width)
    if exercise.message:
        yield from _paragraph("plain", inert(exercise.message), "  ", width)
    if (note or exercise.message) and exercise.checks:
        yield _BLANK


def _check(check: CheckVerdict, width: int, told: set[str]) -> Iterator[Line]:
    style = _CHECK_STYLES[check.status]
    word = f"  {_SIGNS[check.status]} {words.status_word(check.status):{_WORD_WIDTH}}  "
    score = words.check_points(check)
    yield from _row(((style, word),), "plain", inert_line(check.title), ("faint", score), width)
    if check.status is CheckStatus.FAILED:
        yield from _failed(check, width, told)
    else:
        yield from _paragraph("faint", inert(check.message), _BODY, width)


def _failed(check: CheckVerdict, width: int, told: set[str]) -> Iterator[Line]:
    """What is known of a failed check. `told` holds the hints given so far; each is given once."""
    yield from _paragraph("plain", inert(check.message), _BODY, width)
    facts = list(_facts(check, width))
    hint = _hint(check, told)
    for block in (facts, list(_paragraph("plain", hint, _BODY, width)), list(_try_it(check))):
        if block:
            yield from (_BLANK, *block)
    yield _BLANK


def _hint(check: CheckVerdict, told: set[str]) -> str:
    hint = inert(check.hint).strip()
    if not hint:
        return ""
    if hint in told:
        return "Hint: the same as above."
    told.add(hint)
    return f"Hint: {hint}"


def _facts(check: CheckVerdict, width: int) -> Iterator[Line]:
    for label, value in words.facts(check):
        text = inert(value, _EXCERPT_LIMIT)
        for index, part in enumerate(_wrapped(text, width - len(_BODY) - _LABEL_WIDTH - 2)):
            shown = label if index == 0 else ""
            yield (("label", f"{_BODY}{shown:{_LABEL_WIDTH}}  "), ("plain", part))


def _try_it(check: CheckVerdict) -> Iterator[Line]:
    """The command, unwrapped. One of several lines is not indented: that could change what it means."""
    # a tab typed into a shell asks it to complete a name
    command = inert(check.reproduce).strip("\n").replace("\t", "\\t")
    if not command:
        return
    yield (("label", f"{_BODY}Try it:"),)
    indent = "" if "\n" in command else _BODY
    for line in command.split("\n"):
        yield (("plain", indent), ("command", line))


# ── summaries ───────────────────────────────────────────────────────────────────────────


def _summary(report: Report, width: int) -> Iterator[Line]:
    yield (("heading", "Summary"),)
    for exercise in report.exercises:
        style = _EXERCISE_STYLES[exercise.status]
        title = inert_line(exercise.title + words.bonus_note(exercise))
        score = words.points(exercise.score, exercise.max_score).rjust(len("10 / 10"))
        right: Segment = (style, f"{words.status_word(exercise.status)}  {score}")
        yield from _row((("plain", f"  {inert_line(exercise.id):6} "),), "plain", title, right, width)
    total = words.points(report.score, report.max_score)
    yield from _row((("heading", "  "),), "heading", "Total", ("heading", total), width)


_CELLS: dict[ExerciseStatus, str] = {
    ExerciseStatus.REJECTED: "rejected",
    ExerciseStatus.NOT_SUBMITTED: "none",
    ExerciseStatus.NOT_GRADED: "ungraded",
}
_LEGEND = (
    "rejected: refused by the safety check · none: not submitted · "
    "ungraded: could not be graded, not the student's fault, not counted"
)


def _cell(exercise: ExerciseReport) -> Segment:
    score = "" if exercise.score is None else words.number(exercise.score)
    return _EXERCISE_STYLES[exercise.status], _CELLS.get(exercise.status, score)


def _class_table(reports: Sequence[Report], width: int) -> Iterator[Line]:
    ids = list(dict.fromkeys(exercise.id for report in reports for exercise in report.exercises))
    header: list[Segment] = [("heading", text) for text in ("Student", *map(inert_line, ids), "Score")]
    table = [header, *(_student_row(report, ids) for report in reports)]
    narrow = _too_wide(table, width)
    if narrow:
        table = [[row[0], row[-1]] for row in table]
    widths = [max(cells(text) for _, text in column) for column in zip(*table, strict=True)]
    for row in table:
        sized = enumerate(zip(row, widths, strict=True))
        yield tuple(_aligned(segment, size, column) for column, (segment, size) in sized)
    if not narrow and any(exercise.status in _CELLS for report in reports for exercise in report.exercises):
        yield from _paragraph("faint", _LEGEND, "", width)


def _student_row(report: Report, ids: Sequence[str]) -> list[Segment]:
    found = {exercise.id: exercise for exercise in report.exercises}
    marks: list[Segment] = [_cell(found[name]) if name in found else ("faint", words.NO_SCORE) for name in ids]
    total = words.points(report.score, report.max_score)
    return [("plain", inert_line(report.student, 40)), *marks, ("heading", total)]


def _too_wide(rows: Sequence[Sequence[Segment]], width: int) -> bool:
    columns = zip(*rows, strict=True)
    return sum(max(cells(text) for _, text in column) + 2 for column in columns) > width + 2


def _aligned(segment: Segment, width: int, column: int) -> Segment:
    style, text = segment
    padding = " " * (width - cells(text))
    return style, (f"  {padding}{text}" if column else text + padding)


def _ungraded_list(reports: Sequence[Report], width: int) -> Iterator[Line]:
    missing = list(words.ungraded(reports))
    if not missing:
        return
    yield _BLANK
    yield (("not_graded", f"Not graded ({len(missing)}), not the students' fault:"),)
    for report, exercise in missing:
        text = f"{inert_line(report.student)} {inert_line(exercise.id)}: {inert_line(exercise.message)}"
        yield from _paragraph("plain", text, "  ", width)


# ── layout ──────────────────────────────────────────────────────────────────────────────


def cells(text: str) -> int:
    """How many terminal columns `text` takes: East Asian wide characters take two, accents none."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(character) for character in text)


def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in {"W", "F"} else 1


_WIDE = 2


def _row(label: Line, style: Style, text: str, right: Segment, width: int) -> Iterator[Line]:
    """`label` and `text` at the left, `right` at the right edge; long text goes on below itself."""
    indent = sum(cells(part) for _, part in label)
    room = max(width - indent - cells(right[1]) - 2, 5)
    first, *others = _wrapped(text, room) or [""]
    gap = " " * max(width - indent - cells(first) - cells(right[1]), 2)
    yield (*label, (style, first), ("plain", gap), right)
    for other in others:
        yield (("plain", " " * indent), (style, other))


def _paragraph(style: Style, text: str, indent: str, width: int) -> Iterator[Line]:
    for line in _wrapped(text.strip("\n"), width - len(indent)):
        yield (("plain", indent), (style, line))


def _wrapped(text: str, width: int) -> list[str]:
    """The lines of `text`, each broken to `width`. No lines for no text."""
    if not text.strip():
        return []
    return [part for line in text.split("\n") for part in _fill(line.expandtabs(4), max(width, 5))]


def _fill(line: str, width: int) -> list[str]:
    # textwrap counts characters. Wide ones are counted twice with the help of a NUL, which inert text never has.
    wide = "".join(f"{character}\0" if _cells_of(character) == _WIDE else character for character in line)
    limit = width if len(wide) == len(line) else width - 1
    # what goes on from an indented line, as in a log, stays under it
    indent = line[: min(len(line) - len(line.lstrip()), limit // 2)]
    wrapped = textwrap.wrap(wide, limit, break_on_hyphens=False, subsequent_indent=indent)
    return [part.replace("\0", "") for part in wrapped] or [""]
