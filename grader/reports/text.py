"""A report as plain text, for terminals and pipes: the first thing to do first, on one screen.

A line is a tuple of (style, text) segments: data, which `grader.cli.console` may colour. Nothing wider than the
terminal is written, except commands to paste, which are never broken.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Literal

from grader.checks.base import NOTE
from grader.course.registry import REASONS
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus, Report
from grader.reports import wording as words
from grader.sanitize import sanitize, sanitize_line

Style = Literal["plain", "heading", "label", "command", "faint", "passed", "failed", "blocked", "not_graded"]
Segment = tuple[Style, str]
Line = tuple[Segment, ...]

BLANK: Line = ()
_STYLES: dict[CheckStatus | ExerciseStatus, Style] = {
    CheckStatus.PASSED: "passed",
    CheckStatus.FAILED: "failed",
    CheckStatus.BLOCKED: "blocked",
    CheckStatus.NOT_GRADED: "not_graded",
    ExerciseStatus.REJECTED: "failed",
    ExerciseStatus.NOT_SUBMITTED: "blocked",
}
_UNFINISHED = (ExerciseStatus.FAILED, ExerciseStatus.REJECTED, ExerciseStatus.NOT_GRADED, ExerciseStatus.NOT_SUBMITTED)
"""What is shown first, where several exercises are not done."""
_BODY = "  "
_LABEL_WIDTH = len("Expected")
_EXCERPT_LIMIT = 2_000
_MESSAGE_LINES, _FACT_LINES, _SUMMARY_LINES = 7, 4, 10
"""Lines of each part, unless all is asked for: together, a failing check fits on one screen."""
_NUDGE = 180
"""Characters of the first step of a hint: whole sentences, at least one."""
_COMMON = 4
"""How many characters two values share at their ends before the place where they differ is marked."""
_NARROWEST = 40
_AGAIN = ", then run `grader check` again."


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """How a report is shown.

    `width` is in terminal columns; what is narrower than 40 is treated as 40. `everything` shows every check in full,
    not just the first failure. `verbose` adds the engine, the builder and the seed. `source` gives a line to quote,
    from the exercise's id, the file's path and the line's number (from 1), or "". `hint_step` is how much of the hint
    is shown (see `hint_steps`), `changed` what is different from the last check, by the exercise's id, `then` what to
    do after full marks.
    """

    width: int = 80
    everything: bool = False
    verbose: bool = False
    source: Callable[[str, str, int], str] = lambda _exercise, _file, _line: ""
    hint_step: int = 0
    changed: Mapping[str, str] = field(default_factory=dict)
    then: str = ""


def report_lines(report: Report, options: TextOptions) -> tuple[Line, ...]:
    """What one student is told, from the first failure to what to do next."""
    options = replace(options, width=max(options.width, _NARROWEST))
    width = options.width
    lines: list[Line] = []
    first = first_unfinished(report)
    if options.everything:
        for exercise in report.exercises:
            lines += [*_whole_exercise(exercise, options), BLANK]
    elif len(report.exercises) == 1 or first:
        lines += _folded_exercise(first or report.exercises[0], options)
    if len(report.exercises) != 1:
        lines += [*([BLANK] if lines and not options.everything else []), *_summary(report, options), BLANK]
    if options.verbose:
        lines += paragraph("faint", sanitize_line(words.engine_note(report)), "", width)
    lines += paragraph("heading", f"Next: {_next_step(report, first, options.then)}", "", width)
    return tuple(lines)


def first_unfinished(report: Report) -> ExerciseReport | None:
    """The exercise that is shown in full: the first of those that can best be mended."""
    unfinished = [exercise for exercise in report.exercises if exercise.status in _UNFINISHED]
    return min(unfinished, key=lambda exercise: _UNFINISHED.index(exercise.status), default=None)


def first_failed(exercise: ExerciseReport | None) -> CheckVerdict | None:
    """The check of an exercise that is shown in full."""
    return next((check for check in exercise.checks if check.status is CheckStatus.FAILED), None) if exercise else None


def _next_step(report: Report, first: ExerciseReport | None, then: str) -> str:
    """What to do now, in one line."""
    if first is None:
        return (report.exercises and then) or words.next_step(report, _AGAIN)
    failed = first_failed(first)
    if first.status is ExerciseStatus.FAILED and failed:
        return f"fix {sanitize_line(words.place(failed)) or 'what is said above'}{_AGAIN}"
    unseen = next((check for check in first.checks if words.is_unseen(check)), None)
    if unseen and not failed:
        return f"see above why “{sanitize_line(unseen.title)}” was not checked{_AGAIN}"
    return words.next_step(report, _AGAIN)


# ── the first failure ───────────────────────────────────────────────────────────────────


def _folded_exercise(exercise: ExerciseReport, options: TextOptions) -> Iterator[Line]:
    """An exercise with its first failure in full, and a line for all that passed and all that waits."""
    width = options.width
    yield from _heading(exercise, options)
    groups = words.grouped(exercise)
    for check in groups["failed"][:1]:
        yield from (*_title(check, options), *_failure(exercise, check, options), BLANK)
    for check in (*groups["not graded"], *groups["not carried out"]):
        title = f"{words.SIGNS[check.status]} {sanitize_line(check.title)}"
        yield from paragraph(_STYLES[check.status], title, "", width)
        yield from paragraph("plain", sanitize(check.message), _BODY, width)
    if passed := groups["passed"]:
        titles = " · ".join(sanitize_line(check.title) for check in passed)
        yield (("passed", _cut(f"✓ {len(passed)} passed: {titles}", width)),)
    for check in passed:
        if check.message.startswith(NOTE):
            yield from paragraph("plain", sanitize(check.message), _BODY, width)
    more = len(groups["failed"]) - 1
    waiting = len(groups["waiting for it"]) + len(groups["failed for the same cause"])
    folded = [f"{more} more failed"] if more > 0 else []
    folded += [f"{waiting} {'check waits' if waiting == 1 else 'checks wait'} for this one"] if waiting else []
    if folded:
        yield from paragraph("faint", f"{', '.join(folded)}: `grader check --all` shows everything", "", width)


def _title(check: CheckVerdict, options: TextOptions) -> Iterator[Line]:
    """A check's sign and title; at the right the code of the reason, which `grader explain` takes, and its points."""
    code = REASONS[check.reason].code if check.reason in REASONS else ""
    status = "" if check.status is CheckStatus.PASSED else words.status_word(check.status)
    points = (status, words.check_points(check)) if options.everything else ()
    label: Line = ((_STYLES[check.status], f"{words.SIGNS[check.status]} "),)
    style: Style = "plain" if options.everything else _STYLES[check.status]
    right = "  ".join(part for part in (code, *points) if part)
    yield from spread(label, style, sanitize_line(check.title), ("faint", right), options.width)


def _failure(exercise: ExerciseReport, check: CheckVerdict, options: TextOptions) -> Iterator[Line]:
    """What is known of a failed check: what, where, expected beside actual, one hint, the command to try."""
    whole = options.everything
    message = list(paragraph("plain", sanitize(check.message), _BODY, options.width))
    yield from message if whole else _clip(message, _MESSAGE_LINES, (("faint", _BODY),))
    hint = hint_steps(check)[: max(options.hint_step, 3 if whole else 0) + 1][-1]
    for block in (
        [*_quoted(exercise, check, options), *_facts(check, options)],
        [*paragraph("plain", sanitize(hint), _BODY, options.width), *_try_it(check)],
    ):
        yield from (BLANK, *block) if block else ()


def hint_steps(check: CheckVerdict) -> list[str]:
    """What `--hint` gives, one step after the other: a nudge, the whole hint, and where the handbook explains it."""
    hint = check.hint.strip()
    sentences = re.split(r"(?<=[.?!:])\s+(?=[A-Z`“])", hint)
    nudge = sentences[0]
    for sentence in sentences[1:]:
        if len(nudge) + len(sentence) > _NUDGE:
            break
        nudge += f" {sentence}"
    steps = [f"Hint: {text}" for text in dict.fromkeys((nudge, hint)) if text] or [""]
    if check.reason in REASONS:
        steps.append(f"{steps[-1]}\nThe handbook explains it: `grader explain {REASONS[check.reason].code}`".strip())
    return [*(f"{step} (More: --hint)".strip() for step in steps[:-1]), steps[-1]]


def _quoted(exercise: ExerciseReport, check: CheckVerdict, options: TextOptions) -> Iterator[Line]:
    """The place of the failure, and its line of the file with a caret under what is meant."""
    if check.line is None and not options.everything:  # the last line names the file
        return
    where = sanitize_line(words.place(check))
    text = "" if check.line is None else sanitize_line(options.source(exercise.id, check.file, check.line))
    if not text.strip() or cells(where) > options.width // 2:
        yield from paragraph("label", f"Where     {where}" if where else "", _BODY, options.width)
        return
    shown = _cut(text, options.width - len(_BODY) - cells(where) - 3)
    start, length = _meant(shown, check)
    yield (("label", f"{_BODY}{where} │ "), ("plain", shown))
    yield (("label", f"{_BODY}{' ' * cells(where)} │ "), ("failed", " " * cells(shown[:start]) + "^" * length))


def _meant(line: str, check: CheckVerdict) -> tuple[int, int]:
    """Where in the line the failure is, and how long: what the message quotes or a path it met, else its first word."""
    quoted = re.split('[`“”"]', f"{check.message}\n{check.actual}")[1::2]
    paths = [part for part in re.split(r"[\s'\"\[\],:]+", check.actual) if "/" in part]
    word = max((part for part in quoted + paths if part and part in line and part != line.strip()), key=len, default="")
    word = word or next(iter(line.split()), "")
    return line.index(word), max(cells(word), 1)


def _facts(check: CheckVerdict, options: TextOptions) -> Iterator[Line]:
    """Expected and actual, one below the other, with a mark where two short values differ; and how it ended."""
    room = options.width - len(_BODY) - _LABEL_WIDTH - 2
    margin = " " * (len(_BODY) + _LABEL_WIDTH + 2)
    told = set() if options.everything else _told(check)
    for label, value in words.facts(check):
        if label == "Where" or label in told:
            continue
        lines: list[Line] = [(("plain", part),) for part in wrapped(sanitize(value, _EXCERPT_LIMIT), room)]
        lines = lines if options.everything else _clip(lines, _FACT_LINES, ())
        for index, line in enumerate(lines):
            yield (("label", f"{_BODY}{label if index == 0 else '':{_LABEL_WIDTH}}  "), *line)
        if label == "Actual" and len(lines) == 1:
            text = lines[0][0][1]
            start, length = _difference(sanitize(check.expected.strip("\n")), text)
            if length:
                yield (("plain", margin), ("failed", " " * cells(text[:start]) + "^" * length))


def _told(check: CheckVerdict) -> set[str]:
    """The facts that the message has already: how it ended, and what it quotes of the end of standard error."""
    _, separator, error = check.actual.strip().rpartition("(stderr) ")
    quoted = separator and " ".join(error.split()) in " ".join(check.message.split())
    return {"Ended", *(["Actual"] if quoted else [])} if check.message else set()


def _difference(expected: str, actual: str) -> tuple[int, int]:
    """Where `actual` differs from `expected`, and over how many columns; 0 where they have little in common."""
    prefix = _shared(expected, actual)
    suffix = _shared(expected[prefix:][::-1], actual[prefix:][::-1])
    if "\n" in expected or expected == actual or prefix + suffix < _COMMON:
        return 0, 0
    return prefix, max(cells(actual[prefix : len(actual) - suffix]), 1)


def _shared(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _try_it(check: CheckVerdict) -> Iterator[Line]:
    """The commands, unwrapped. Where a text goes on over lines they are not indented: that would change the text."""
    # a tab typed into a shell asks it to complete a name
    lines = sanitize(check.reproduce).strip("\n").replace("\t", "\\t").splitlines()
    if lines:
        yield (("label", f"{_BODY}Try it:"),)
    indent = "" if any("<<" in line or line.count('"') % 2 for line in lines) else _BODY
    yield from ((("plain", indent), ("command", line)) for line in lines)


def _clip(lines: list[Line], limit: int, margin: Line) -> list[Line]:
    """At most `limit` lines: the first two, and the last, which in a log hold the error."""
    if len(lines) <= limit:
        return lines
    left_out: Line = (*margin, ("faint", f"… {len(lines) - limit + 1} lines more: --all"))
    return [*lines[:2], left_out, *lines[len(lines) - limit + 3 :]]


# ── everything, and several exercises ───────────────────────────────────────────────────


def _heading(exercise: ExerciseReport, options: TextOptions) -> Iterator[Line]:
    """An exercise's title and points, and what is said of it as a whole."""
    style = _STYLES[exercise.status]
    label: Line = (("heading", f"{sanitize_line(exercise.id)}  "),)
    title = sanitize_line(exercise.title + words.bonus_note(exercise))
    yield from spread(label, "heading", title, (style, words.points(exercise.score, exercise.max_score)), options.width)
    if changed := options.changed.get(exercise.id):
        yield (("faint", _cut(sanitize_line(changed, len(changed)), options.width)),)
    if note := words.exercise_note(exercise):
        yield from paragraph(style, f"{words.status_word(exercise.status).capitalize()}. {note}", "", options.width)
    yield from paragraph("plain", sanitize(exercise.message), _BODY, options.width)
    if (note or exercise.message) and exercise.checks:
        yield BLANK


def _whole_exercise(exercise: ExerciseReport, options: TextOptions) -> Iterator[Line]:
    """An exercise with every check, in order; a cause and a hint that were told before are not repeated."""
    yield from _heading(exercise, options)
    same = words.grouped(exercise)["failed for the same cause"]
    hints: set[str] = set()
    for check in exercise.checks:
        yield from _title(check, options)
        if check.status is not CheckStatus.FAILED:
            yield from paragraph("faint", sanitize(check.message), _BODY, options.width)
        elif check in same:
            text = f"The cause is that of the failure above, in {sanitize_line(words.place(check))}."
            yield from (*paragraph("plain", text, _BODY, options.width), BLANK)
        else:
            again = check.hint in hints
            hints.add(check.hint)
            shown = replace(check, hint="the same as above.", reason="") if again and check.hint else check
            yield from (*_failure(exercise, shown, options), BLANK)


def _summary(report: Report, options: TextOptions) -> Iterator[Line]:
    """The exercises and their points. Folded: what passed is a line, what was not handed in another."""
    width = options.width
    yield (("heading", "Summary"),)
    folded = () if options.everything else (ExerciseStatus.PASSED, ExerciseStatus.NOT_SUBMITTED)
    rows = [exercise for exercise in report.exercises if exercise.status not in folded]
    shown = rows if options.everything else rows[:_SUMMARY_LINES]
    for exercise in shown:
        score = words.points(exercise.score, exercise.max_score).rjust(len("10 / 10"))
        right: Segment = (_STYLES[exercise.status], f"{words.status_word(exercise.status)}  {score}")
        label = f"  {sanitize_line(exercise.id):6} "
        title = _cut(sanitize_line(exercise.title + words.bonus_note(exercise)), width - cells(label + right[1]) - 2)
        yield from spread((("plain", label),), "plain", title, right, width)
    if len(rows) > len(shown):
        yield (("faint", f"  … {len(rows) - len(shown)} more: --all"),)
    for status in folded:
        ids = ", ".join(sanitize_line(exercise.id) for exercise in report.exercises if exercise.status is status)
        text = f"{words.status_word(status).capitalize()}: {ids}" if ids else ""
        yield from paragraph(_STYLES[status], text, "  ", width)
    yield from spread(
        (("heading", "  "),), "heading", "Total", ("heading", words.points(report.score, report.max_score)), width
    )


# ── a class ─────────────────────────────────────────────────────────────────────────────

_CELLS: dict[ExerciseStatus, str] = {
    ExerciseStatus.REJECTED: "rejected",
    ExerciseStatus.NOT_SUBMITTED: "none",
    ExerciseStatus.NOT_GRADED: "ungraded",
}
_LEGEND = (
    "rejected: refused by the safety check · none: not submitted · "
    "ungraded: could not be graded, not the student's fault, not counted"
)


def class_lines(reports: Sequence[Report], width: int = 80) -> tuple[Line, ...]:
    """A table of all students, one line each, and every exercise that could not be graded.

    Where the table is too wide, it has each student's total only.
    """
    ids = list(dict.fromkeys(exercise.id for report in reports for exercise in report.exercises))
    width = max(width, _NARROWEST)
    lines = _class_table(reports, ids)
    if lines and sum(cells(text) for _, text in lines[0]) > width:
        lines = _class_table(reports, [])
    elif any(exercise.status in _CELLS for report in reports for exercise in report.exercises):
        lines += paragraph("faint", _LEGEND, "", width)
    if missing := list(words.ungraded(reports)):
        lines += [BLANK, (("not_graded", f"Not graded ({len(missing)}), not the students' fault:"),)]
    for report, exercise in missing:
        text = f"{sanitize_line(report.student)} {sanitize_line(exercise.id)}: {sanitize_line(exercise.message)}"
        lines += paragraph("plain", text, "  ", width)
    return tuple(lines)


def _class_table(reports: Sequence[Report], ids: Sequence[str]) -> list[Line]:
    rows: list[list[Segment]] = []
    for report in reports:
        marks: dict[str, Segment] = {
            one.id: (_STYLES[one.status], _CELLS.get(one.status) or words.number(one.score or 0))
            for one in report.exercises
        }
        total: Segment = ("heading", words.points(report.score, report.max_score))
        own = (marks.get(name, ("faint", words.NO_SCORE)) for name in ids)
        rows.append([("plain", sanitize_line(report.student, 40)), *own, total])
    return _table(("Student", *map(sanitize_line, ids), "Score"), rows, right=True)


# ── lines ───────────────────────────────────────────────────────────────────────────────


def plain(lines: Iterable[Line]) -> str:
    """The lines as text without styles, each ended by a newline."""
    return "".join("".join(text for _, text in line).rstrip() + "\n" for line in lines)


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[Line]:
    """A table with aligned columns, as wide as its content: nothing of it is cut or wrapped."""
    return _table(header, [[("plain", sanitize_line(cell)) for cell in row] for row in rows], right=False)


def _table(header: Sequence[str], rows: Sequence[Sequence[Segment]], *, right: bool) -> list[Line]:
    """Columns two blanks apart: all at the left, or all but the first at the right."""
    heads: list[Segment] = [("heading", name) for name in header]
    widths = [max(cells(text) for _, text in column) for column in zip(heads, *rows, strict=True)]

    def padded(at: int, style: Style, text: str) -> Segment:
        gap, padding = "  " if at else "", " " * (widths[at] - cells(text))
        return style, gap + (padding + text if right and at else text + padding)

    return [tuple(padded(at, *segment) for at, segment in enumerate(row)) for row in (heads, *rows)]


def cells(text: str) -> int:
    """How many terminal columns `text` takes: East Asian wide characters take two, accents none."""
    if text.isascii():
        return len(text)
    shown = [character for character in text if unicodedata.category(character) not in {"Mn", "Me", "Cf"}]
    return len(shown) + sum(unicodedata.east_asian_width(character) in {"W", "F"} for character in shown)


def _cut(text: str, width: int) -> str:
    """The beginning of a text of one line, in at most `width` columns."""
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[:-1]
    return f"{text}…" if width > 0 else ""


def spread(label: Line, style: Style, text: str, right: Segment, width: int) -> Iterator[Line]:
    """`label` and `text` at the left, `right` at the right edge; long text goes on below itself."""
    indent = sum(cells(part) for _, part in label)
    room = max(width - indent - cells(right[1]) - 2, 5)
    first, *others = wrapped(text, room) or [""]
    gap = " " * max(width - indent - cells(first) - cells(right[1]), 2)
    yield (*label, (style, first), ("plain", gap), right)
    for other in others:
        yield (("plain", " " * indent), (style, other))


def paragraph(style: Style, text: str, indent: str, width: int) -> Iterator[Line]:
    """The text broken to `width`, each line after `indent`."""
    return ((("plain", indent), (style, line)) for line in wrapped(text.strip("\n"), width - len(indent)))


def wrapped(text: str, width: int) -> list[str]:
    """The lines of `text`, each broken to `width`. No lines for no text."""
    if not text.strip():
        return []
    return [part for line in text.split("\n") for part in _fill(line.expandtabs(4), max(width, 5))]


def _fill(line: str, width: int) -> list[str]:
    # textwrap counts characters. Wide ones are counted twice with the help of a NUL, which sanitized text never has.
    wide = "".join(f"{character}\0" if cells(character) > 1 else character for character in line)
    limit = width if len(wide) == len(line) else width - 1
    # what goes on from an indented line, as in a log, stays under it
    indent = line[: min(len(line) - len(line.lstrip()), limit // 2)]
    filled = textwrap.wrap(wide, limit, break_on_hyphens=False, subsequent_indent=indent)
    return [part.replace("\0", "") for part in filled] or [""]
