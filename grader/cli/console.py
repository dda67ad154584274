"""The terminal: the only module that imports rich. Writes styled lines, and shows what is being done.

Reports go to standard output, everything else to standard error, so that output can be piped.
Colours and the live display are for terminals only, and not with `TERM=dumb`; with `NO_COLOR` there
are no colours. Rich's markup is never used: a text is only ever a text, sanitized before.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from grader.models import Doing, Emit, Event, ExerciseEnded, ExerciseStarted, ExerciseStatus
from grader.reports import wording as words
from grader.reports.text import Line, Style
from grader.sanitize import sanitize, sanitize_line

_STYLES: dict[Style, str] = {
    "plain": "",
    "heading": "bold",
    "label": "dim",
    "command": "cyan",
    "faint": "dim",
    "passed": "green",
    "failed": "red",
    "blocked": "dim",
    "not_graded": "yellow",
}
_TELLING = 8
"""Exercises that must be done before it is said how long the others take."""
_QUIET = {ExerciseStatus.PASSED, ExerciseStatus.NOT_SUBMITTED}
_WIDEST = 100
"""Columns; longer lines of prose are hard to read."""

_IN_ASCII = str.maketrans({"✓": "+", "✗": "x", "·": "-", "–": "-"})
"""Our own signs, for terminals that cannot show them."""


class Console:
    """Where a command writes. `out` and `err` are text streams, `environ` the process's environment."""

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        environ: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._out = _rich(out, environ)
        self._err = _rich(err, environ)
        self._clock = clock

    @property
    def width(self) -> int:
        """Columns to lay text out for: the terminal's up to 100; 80 in a pipe, or what COLUMNS says."""
        return min(self._out.width, _WIDEST)

    @property
    def live(self) -> bool:
        """Whether progress can be shown in place, which needs a terminal at standard error."""
        return self._err.is_terminal

    def write(self, lines: Iterable[Line]) -> None:
        """Styled lines to standard output, none of them wrapped."""
        for line in lines:
            _print(self._out, line)

    def clear(self) -> None:
        """An empty screen, if standard output is a terminal."""
        self._out.clear()

    def data(self, text: str) -> None:
        """A document, such as JSON, to standard output: no style, no change, no newline added."""
        self._out.file.write(_encodable(text, self._out.file))
        self._out.file.flush()

    def page(self, markdown: str) -> None:
        """A page of Markdown to standard output, laid out for the terminal; in a pipe, its source."""
        if not self._out.is_terminal:
            self.data(markdown)
            return
        from rich.markdown import Markdown  # only here, since a third of what this module imports is for it

        self._out.print(Markdown(sanitize(markdown, len(markdown)), hyperlinks=False), width=self.width)

    def note(self, text: str, style: Style = "plain") -> None:
        """A message to standard error, which may have several lines. What is active in it is sanitized."""
        for line in sanitize(text, len(text)).split("\n"):
            _print(self._err, ((style, line),))

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show that something is waited for, until it has come."""
        if not self.live:
            self.note(text)
            yield
            return
        spinner = Spinner("line", Text(sanitize_line(text), style="dim"))
        with Live(spinner, console=self._err, refresh_per_second=8, transient=True, redirect_stdout=False):
            yield

    @contextmanager
    def checking(self) -> Iterator[Emit]:
        """A listener for `grader check`: one live line says what is done and for how many seconds."""
        with self._showing(_Work(None, self._clock)) as emit:
            yield emit

    @contextmanager
    def batching(self, total: int, *, in_json: bool = False) -> Iterator[Emit]:
        """A listener for `grader batch`: how many of `total` exercises are done, what each worker does, how long still.

        Where marks are missing, a line stays. With `in_json`, standard output gets an object in a line for each event,
        and nothing else is shown. It may be called from several threads.
        """
        work = _Work(total, self._clock)
        if in_json:
            yield lambda event: self.data(work.as_json(event))
            return
        with self._showing(work) as emit:
            yield emit

    @contextmanager
    def _showing(self, work: _Work) -> Iterator[Emit]:
        if not self.live:
            yield lambda event: self._log(work, event)
            return
        with Live(work, console=self._err, refresh_per_second=8, transient=True, redirect_stdout=False):
            yield lambda event: self._log(work, event, failures=True)

    def _log(self, work: _Work, event: Event, *, failures: bool = False) -> None:
        """An event as a plain line, where there is no terminal; on one, where marks are missing."""
        work.hear(event)
        text = work.line_for(event)
        if text and not (failures and isinstance(event, ExerciseEnded) and event.report.status in _QUIET):
            self.note(text)


# ── what is being done ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Current:
    exercise: str
    what: str
    since: float


class _Work:
    """What is going on now, kept from events; rich asks it for its picture eight times a second."""

    def __init__(self, total: int | None, clock: Callable[[], float]) -> None:
        self._total = total
        self._clock = clock
        self._done = 0
        self._current: dict[str, _Current] = {}
        self._lock = threading.Lock()
        self._spinner = Spinner("line")
        self._began = clock()

    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on as until now; None before anything can be said."""
        if self._total is None or self._done < _TELLING:
            return None
        return (self._clock() - self._began) / self._done * max(self._total - self._done, 0)

    def as_json(self, event: Event) -> str:
        """The event as an object in a line, after it is taken in."""
        self.hear(event)
        said: dict[str, object] = {"student": event.student}
        match event:
            case ExerciseStarted():
                said |= {"event": "started", "exercise": event.exercise}
            case Doing():
                said |= {"event": "doing", "exercise": event.exercise, "what": event.what}
            case ExerciseEnded(report=report):
                left = self.seconds_left()
                said |= {
                    "event": "ended", "exercise": report.id, "status": report.status.value,
                    "score": report.score, "max_score": report.max_score, "seconds": report.seconds,
                    "done": self._done, "total": self._total, "seconds_left": None if left is None else round(left),
                }  # fmt: skip
        return json.dumps(said) + "\n"

    def hear(self, event: Event) -> None:
        """Take an event in. Safe to call from any thread."""
        with self._lock:
            match event:
                case ExerciseStarted():
                    self._current[event.student] = _Current(event.exercise, "starting", self._clock())
                case Doing():
                    self._current[event.student] = _Current(event.exercise, event.what, self._clock())
                case ExerciseEnded():
                    self._current.pop(event.student, None)
                    self._done += 1

    def line_for(self, event: Event) -> str:
        """One line that tells an event, where there is no terminal; "" for those that are not worth a line of a log."""
        if self._total is None or not isinstance(event, ExerciseEnded):
            return ""
        report = event.report
        result = f"{words.status_word(report.status)}, {words.points(report.score, report.max_score)}"
        return f"{self._done} of {self._total}: {sanitize_line(event.student)} {sanitize_line(report.id)} {result}"

    def __rich__(self) -> RenderableType:
        with self._lock:
            current, done, now = dict(self._current), self._done, self._clock()
        rows = Table.grid(padding=(0, 1))
        for student, work in current.items():
            seconds = Text(f"{now - work.since:.0f} s", style="dim", justify="right")
            rows.add_row(self._spinner, self._row(student, work), seconds)
        return Group(*([] if self._total is None else [_bar(done, self._total, self.seconds_left())]), rows)

    def _row(self, student: str, work: _Current) -> Text:
        who = "" if self._total is None else f"{sanitize_line(student, 40)}  "
        return Text(
            f"{who}{sanitize_line(work.exercise)}  {sanitize_line(work.what)}", no_wrap=True, overflow="ellipsis"
        )


def _bar(done: int, total: int, left: float | None) -> RenderableType:
    row = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=total, completed=done, width=30, complete_style="green", finished_style="green")
    row.add_row(bar, Text(f"{done} of {total} exercises graded{'' if left is None else f', {time_left(left)}'}"))
    return row


def time_left(seconds: float) -> str:
    """`about 3 min left`, in steps that do not pretend to know more."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute left"
    return f"about {minutes} min left" if minutes < 60 else f"about {minutes / 60:.1f} h left"  # noqa: PLR2004


# ── streams ─────────────────────────────────────────────────────────────────────────────


def _rich(stream: TextIO, environ: Mapping[str, str]) -> RichConsole:
    """A rich console that interprets nothing in a text, and writes plain text but to a terminal."""
    terminal = stream.isatty() and environ.get("TERM") != "dumb"
    return RichConsole(
        file=stream,
        force_terminal=terminal,
        color_system="auto" if terminal else None,
        no_color=bool(environ.get("NO_COLOR")),
        force_jupyter=False,
        markup=False,
        emoji=False,
        highlight=False,
        _environ=environ,
    )


def _print(console: RichConsole, line: Line) -> None:
    text = Text()
    for style, part in line:
        text.append(_encodable(sanitize_line(part, len(part)), console.file), _STYLES[style])
    text.rstrip()
    console.print(text, soft_wrap=True)


def _encodable(text: str, stream: object) -> str:
    """`text` with what the stream's encoding does not have in ASCII, so that writing it never fails."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_IN_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    return text
