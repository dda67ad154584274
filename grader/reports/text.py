"""A report as plain text, for terminals and pipes: the first thing to do first, on one screen.

Nothing wider than the terminal is written, except commands to paste, which are never broken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from grader.checks.base import NOTE
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words
from grader.reports.lines import BLANK, Line, Segment, Style, cells, paragraph, spread, wrapped
from grader.sanitize import sanitize, sanitize_line

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
_UNFINISHED = (
    ExerciseStatus.FAILED,
    ExerciseStatus.REJECTED,
    ExerciseStatus.NOT_GRADED,
    ExerciseStatus.NOT_SUBMITTED,
)
"""What is shown first, where several exercises are not done."""

_LABEL_WIDTH = len("Expected")
_BODY = " " * 2
_EXCERPT_LIMIT = 2_000
"""Characters shown of what was expected, and of what was seen."""
_MESSAGE_LINES, _FACT_LINES, _HINT_LINES = 9, 5, 6
"""Lines of each part of a failure, unless all is asked for: together, a failing check fits on one screen."""
_SUMMARY_LINES = 10
_COMMON = 4
"""How many characters two values share at their ends before the place where they differ is marked."""
_NARROWEST = 40
_AGAIN = ", then run `grader check` again."

Source = Callable[[str, str, int], str]
"""Gives a line of a submitted file, from the exercise's id, the file's path and the line's number (from 1), or ""."""


def no_source(_exercise: str, _file: str, _line: int) -> str:
    """Where the submitted files are not at hand."""
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """How a report is shown.

    `width` is in terminal columns; what is narrower than 40 is treated as 40. `everything` shows every check in full,
    not just the first failure. `verbose` adds the engine, the builder and the seed. `source` gives lines to quote.
    `then` is what to do after full marks.
    """

    width: int = 80
    everything: bool = False
    verbose: bool = False
    source: Source = no_source
    then: str = ""


def report_lines(report: Report, options: TextOptions) -> tuple[Line, ...]:
    """What one student is told, from the first failure to what to do next."""
    width = max(options.width, _NARROWEST)
    lines: list[Line] = []
    first = min(
        (one for one in report.exercises if one.status in _UNFINISHED),
        key=lambda one: _UNFINISHED.index(one.status),
        default=None,
    )
    if options.everything:
        for exercise in report.exercises:
            lines += [*_whole_exercise(exercise, options, width), BLANK]
    elif len(report.exercises) == 1 or first:
        lines += _folded_exercise(first or report.exercises[0], options, width)
    if len(report.exercises) != 1:
        lines += [*([BLANK] if lines and not options.everything else []), *_summary(report, options, width), BLANK]
    if options.verbose:
        lines += paragraph("faint", sanitize_line(words.engine_note(report.engine, report.seed)), "", width)
    lines += paragraph("heading", f"Next: {_next_step(report, first, options)}", "", width)
    return tuple(lines)


def _next_step(report: Report, first: ExerciseReport | None, options: TextOptions) -> str:
    """What to do now, in one line."""
    failed = next((check for check in first.checks if check.status is CheckStatus.FAILED), None) if first else None
    unseen = next((check for check in first.checks if words.is_unseen(check)), None) if first else None
    if failed is None and unseen is not None:
        return f"see above why “{sanitize_line(unseen.title)}” was not checked{_AGAIN}"
    if first is None or failed is None or first.status is not ExerciseStatus.FAILED:
        return options.then if report.exercises and not first and options.then else words.next_step(report, _AGAIN)
    where = sanitize_line(words.place(failed)) or f"“{sanitize_line(failed.title)}”"
    return f"fix {where}{_AGAIN}"


# ── the first failure ───────────────────────────────────────────────────────────────────


def _folded_exercise(exercise: ExerciseReport, options: TextOptions, width: int) -> Iterator[Line]:
    """An exercise with its first failure in full, and a line for all that passed and all that waits."""
    yield from _heading(exercise, width)
    yield from _exercise_message(exercise, width)
    of = {status: [check for check in exercise.checks if check.status is status] for status in CheckStatus}
    failed = of[CheckStatus.FAILED]
    if failed:
        yield from paragraph("failed", f"✗ {sanitize_line(failed[0].title)}", "", width)
        yield from _failure(exercise, failed[0], options, width)
        yield BLANK
    unseen = [check for check in of[CheckStatus.BLOCKED] if words.is_unseen(check)]
    for check in of[CheckStatus.NOT_GRADED]:
        yield from paragraph("not_graded", f"? {sanitize_line(check.title)}", "", width)
        yield from paragraph("plain", sanitize(check.message), _BODY, width)
    for check in unseen:
        yield from paragraph("blocked", f"· {sanitize_line(check.title)}", "", width)
        yield from paragraph("plain", sanitize(check.message), _BODY, width)
    if of[CheckStatus.PASSED]:
        titles = " · ".join(sanitize_line(check.title) for check in of[CheckStatus.PASSED])
        yield (("passed", _cut(f"✓ {len(of[CheckStatus.PASSED])} passed: {titles}", width)),)
    for check in of[CheckStatus.PASSED]:
        if check.message.startswith(NOTE):
            yield from paragraph("plain", sanitize(check.message), _BODY, width)
    more, waiting = len(failed) - 1, len(of[CheckStatus.BLOCKED]) - len(unseen)
    folded = [f"{more} more failed"] if more > 0 else []
    folded += [f"{waiting} {'check waits' if waiting == 1 else 'checks wait'} for this one"] if waiting else []
    if folded:
        yield from paragraph("faint", f"{', '.join(folded)}: `grader check --all` shows everything", "", width)


def _failure(exercise: ExerciseReport, check: CheckVerdict, options: TextOptions, width: int) -> Iterator[Line]:
    """What is known of a failed check: what, where, expected beside actual, one hint, the command to try."""
    limits = (None, None, None) if options.everything else (_MESSAGE_LINES, _FACT_LINES, _HINT_LINES)
    yield from _clipped(list(paragraph("plain", sanitize(check.message), _BODY, width)), limits[0])
    hint = list(paragraph("plain", _hint(check), _BODY, width))
    if limits[2] is not None and len(hint) > limits[2]:
        hint[limits[2] - 1 :] = [(("faint", f"{_BODY}… {len(hint) - limits[2] + 1} lines more: --all"),)]
    for block in (
        [*_quoted(exercise, check, options.source, width), *_facts(check, width, limits[1])],
        [*hint, *_try_it(check)],
    ):
        if block:
            yield from (BLANK, *block)


def _quoted(exercise: ExerciseReport, check: CheckVerdict, source: Source, width: int) -> Iterator[Line]:
    """The place of the failure, and its line of the file with a caret under what is meant."""
    where = sanitize_line(words.place(check))
    if not where:
        return
    text = sanitize_line(source(exercise.id, check.file, check.line)) if check.line is not None else ""
    if not text.strip() or cells(where) > width // 2:
        yield from paragraph("label", f"Where     {where}", _BODY, width)
        return
    shown = _cut(text, width - len(_BODY) - cells(where) - 3)
    start, length = _meant(shown, check)
    yield (("label", f"{_BODY}{where} │ "), ("plain", shown))
    margin = " " * cells(where)
    yield (("label", f"{_BODY}{margin} │ "), ("failed", " " * cells(shown[:start]) + "^" * length))


def _meant(line: str, check: CheckVerdict) -> tuple[int, int]:
    """Where in the line the failure is, and how long: what the message quotes or a path it met, else the start."""
    parts = "\n".join((check.message, check.actual)).replace("“", "`").replace("”", "`").replace('"', "`").split("`")
    seen = [*parts[1::2], *(part for part in re.split(r"[\s'\"\[\],:]+", check.actual) if "/" in part)]
    word = max((part for part in seen if part and part in line and part != line.strip()), key=len, default="")
    start = line.index(word) if word else len(line) - len(line.lstrip())
    return start, max(cells(word), 1)


def _facts(check: CheckVerdict, width: int, limit: int | None) -> Iterator[Line]:
    """Expected, actual and how it ended, one below the other, with a mark where two short values differ."""
    facts = [(label, text) for label, text in words.facts(check) if label != "Where"]
    for label, value in facts:
        room = width - len(_BODY) - _LABEL_WIDTH - 2
        lines = wrapped(sanitize(value, _EXCERPT_LIMIT), room)
        lines = _clip(lines, limit)
        for index, part in enumerate(lines):
            yield (("label", f"{_BODY}{label if index == 0 else '':{_LABEL_WIDTH}}  "), ("plain", part))
        if label == "Actual" and len(lines) == 1:
            start, length = _difference(sanitize(check.expected.strip("\n")), lines[0])
            if length:
                indent = " " * (len(_BODY) + _LABEL_WIDTH + 2)
                yield (("plain", indent), ("failed", " " * cells(lines[0][:start]) + "^" * length))


def _difference(expected: str, actual: str) -> tuple[int, int]:
    """Where `actual` differs from `expected`, and over how many columns; 0 where they have little in common."""
    prefix = _shared(expected, actual)
    suffix = _shared(expected[prefix:][::-1], actual[prefix:][::-1])
    if "\n" in expected or expected == actual or prefix + suffix < _COMMON:
        return 0, 0
    return prefix, max(cells(actual[prefix : len(actual) - suffix]), 1)


def _shared(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    return next(
        (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right),
        min(len(one), len(other)),
    )


def _hint(check: CheckVerdict) -> str:
    hint = sanitize(check.hint).strip()
    return f"Hint: {hint}" if hint else ""


def _try_it(check: CheckVerdict) -> Iterator[Line]:
    """The commands, unwrapped. Where a text goes on over lines they are not indented: that would change the text."""
    # a tab typed into a shell asks it to complete a name
    command = sanitize(check.reproduce).strip("\n").replace("\t", "\\t")
    if not command:
        return
    yield (("label", f"{_BODY}Try it:"),)
    indent = "" if "<<" in command or any(line.count('"') % 2 for line in command.split("\n")) else _BODY
    for line in command.split("\n"):
        yield (("plain", indent), ("command", line))


def _clip(lines: list[str], limit: int | None) -> list[str]:
    """At most `limit` lines: the first two, and the last, which in a log hold the error."""
    if limit is None or len(lines) <= limit:
        return lines
    left_out = len(lines) - limit + 1
    return [*lines[:2], f"… {left_out} lines more: --all", *lines[len(lines) - limit + 3 :]]


def _clipped(lines: list[Line], limit: int | None) -> Iterator[Line]:
    if limit is None or len(lines) <= limit:
        yield from lines
        return
    yield from lines[:2]
    yield (("faint", f"{_BODY}… {len(lines) - limit + 1} lines more: --all"),)
    yield from lines[len(lines) - limit + 3 :]


def _cut(text: str, width: int) -> str:
    """The beginning of a text of one line, in at most `width` columns."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text}…" if width > 0 else ""


# ── everything ──────────────────────────────────────────────────────────────────────────


def _heading(exercise: ExerciseReport, width: int) -> Iterator[Line]:
    title = sanitize_line(exercise.title + words.bonus_note(exercise))
    label: Line = (("heading", f"{sanitize_line(exercise.id)}  "),)
    score = words.points(exercise.score, exercise.max_score)
    yield from spread(label, "heading", title, (_EXERCISE_STYLES[exercise.status], score), width)


def _exercise_message(exercise: ExerciseReport, width: int) -> Iterator[Line]:
    note = words.exercise_note(exercise)
    if note:
        style = _EXERCISE_STYLES[exercise.status]
        status = words.status_word(exercise.status).capitalize()
        yield from paragraph(style, f"{status}. {note}", "", width)
    if exercise.message:
        yield from paragraph("plain", sanitize(exercise.message), _BODY, width)
    if (note or exercise.message) and exercise.checks:
        yield BLANK


def _whole_exercise(exercise: ExerciseReport, options: TextOptions, width: int) -> Iterator[Line]:
    """An exercise with every check, in order."""
    yield from _heading(exercise, width)
    yield from _exercise_message(exercise, width)
    hints: set[str] = set()
    for check in exercise.checks:
        label: Line = ((_CHECK_STYLES[check.status], f"{words.SIGNS[check.status]} "),)
        word = "" if check.status is CheckStatus.PASSED else f"{words.status_word(check.status)}  "
        right: Segment = ("faint", f"{word}{words.check_points(check)}")
        yield from spread(label, "plain", sanitize_line(check.title), right, width)
        if check.status is not CheckStatus.FAILED:
            yield from paragraph("faint", sanitize(check.message), _BODY, width)
            continue
        seen_before = check.hint in hints
        hints.add(check.hint)
        yield from _failure(exercise, check if not seen_before else _without_hint(check), options, width)
        yield BLANK


def _without_hint(check: CheckVerdict) -> CheckVerdict:
    return replace(check, hint="the same as above." if check.hint else "")


# ── summaries ───────────────────────────────────────────────────────────────────────────


def class_lines(reports: Sequence[Report], width: int = 80) -> tuple[Line, ...]:
    """A table of all students, one line each, and every exercise that could not be graded."""
    width = max(width, _NARROWEST)
    return (*_class_table(reports, width), *_ungraded_list(reports, width))


def _summary(report: Report, options: TextOptions, width: int) -> Iterator[Line]:
    """The exercises and their points. Folded: what passed is a line, what was not handed in another."""
    yield (("heading", "Summary"),)
    folded = () if options.everything else (ExerciseStatus.PASSED, ExerciseStatus.NOT_SUBMITTED)
    rows = [exercise for exercise in report.exercises if exercise.status not in folded]
    shown = rows if options.everything else rows[:_SUMMARY_LINES]
    for exercise in shown:
        style = _EXERCISE_STYLES[exercise.status]
        score = words.points(exercise.score, exercise.max_score).rjust(len("10 / 10"))
        right: Segment = (style, f"{words.status_word(exercise.status)}  {score}")
        title = sanitize_line(exercise.title + words.bonus_note(exercise))
        label = f"  {sanitize_line(exercise.id):6} "
        yield from spread((("plain", label),), "plain", _cut(title, width - cells(label + right[1]) - 2), right, width)
    if len(rows) > len(shown):
        yield (("faint", f"  … {len(rows) - len(shown)} more: --all"),)
    for status in folded:
        ids = ", ".join(sanitize_line(exercise.id) for exercise in report.exercises if exercise.status is status)
        if ids:
            yield from paragraph(
                _EXERCISE_STYLES[status], f"{words.status_word(status).capitalize()}: {ids}", "  ", width
            )
    total = words.points(report.score, report.max_score)
    yield from spread((("heading", "  "),), "heading", "Total", ("heading", total), width)


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
    header: list[Segment] = [("heading", text) for text in ("Student", *map(sanitize_line, ids), "Score")]
    table = [header, *(_student_row(report, ids) for report in reports)]
    narrow = _too_wide(table, width)
    if narrow:
        table = [[row[0], row[-1]] for row in table]
    widths = [max(cells(text) for _, text in column) for column in zip(*table, strict=True)]
    for row in table:
        sized = enumerate(zip(row, widths, strict=True))
        yield tuple(_aligned(segment, size, column) for column, (segment, size) in sized)
    if not narrow and any(exercise.status in _CELLS for report in reports for exercise in report.exercises):
        yield from paragraph("faint", _LEGEND, "", width)


def _student_row(report: Report, ids: Sequence[str]) -> list[Segment]:
    found = {exercise.id: exercise for exercise in report.exercises}
    marks: list[Segment] = [_cell(found[name]) if name in found else ("faint", words.NO_SCORE) for name in ids]
    total = words.points(report.score, report.max_score)
    return [("plain", sanitize_line(report.student, 40)), *marks, ("heading", total)]


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
    yield BLANK
    yield (("not_graded", f"Not graded ({len(missing)}), not the students' fault:"),)
    for report, exercise in missing:
        text = f"{sanitize_line(report.student)} {sanitize_line(exercise.id)}: {sanitize_line(exercise.message)}"
        yield from paragraph("plain", text, "  ", width)
