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
from dataclasses import asdict
from typing import TextIO

from rich.console import Console as RichConsole
from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from grader.models import Doing, Emit, Event, ExerciseEnded, ExerciseStatus
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
        self, out: TextIO, err: TextIO, environ: Mapping[str, str], clock: Callable[[], float] = time.monotonic
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
        self._out.file.write(_encodable(text, self._out.encoding))
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
    def working(self, total: int | None = None, *, in_json: bool = False) -> Iterator[Emit]:
        """A listener that shows what is done and for how many seconds. It may be called from several threads.

        With a `total` of exercises, it says how many of them are done and how long the others take; a line stays of
        each, on a terminal only where marks are missing. With `in_json`, standard output gets an object in a line for
        each event, and nothing else is shown.
        """
        work = _Work(total, self._clock)
        live = self.live and not in_json

        def listen(event: Event) -> None:
            work.hear(event)
            if in_json:
                self.data(json.dumps(work.as_json(event)) + "\n")
            elif total is not None and isinstance(event, ExerciseEnded):
                report = event.report
                if not (live and report.status in _QUIET):
                    marks = f"{words.status_word(report.status)}, {words.points(report.score, report.max_score)}"
                    self.note(sanitize_line(f"{work.done} of {total}: {event.student} {report.id} {marks}"))

        if not live:
            yield listen
            return
        with Live(work, console=self._err, refresh_per_second=8, transient=True, redirect_stdout=False):
            yield listen


class _Work:
    """What is going on now, kept from events; rich asks it for its picture eight times a second."""

    def __init__(self, total: int | None, clock: Callable[[], float]) -> None:
        self.done = 0
        self._total = total
        self._clock = clock
        self._current: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._spinner = Spinner("line")
        self._began = clock()

    def hear(self, event: Event) -> None:
        """Take an event in. Safe to call from any thread."""
        with self._lock:
            if isinstance(event, ExerciseEnded):
                self._current.pop(event.student, None)
                self.done += 1
            else:
                what = event.what if isinstance(event, Doing) else "starting"
                self._current[event.student] = (f"{event.exercise}  {what}", self._clock())

    def seconds_left(self) -> float | None:
        """How long the rest takes if it goes on as until now; None before anything can be said."""
        if self._total is None or self.done < _TELLING:
            return None
        return (self._clock() - self._began) / self.done * max(self._total - self.done, 0)

    def as_json(self, event: Event) -> dict[str, object]:
        """What is told of an event that was taken in."""
        if not isinstance(event, ExerciseEnded):
            what = "doing" if isinstance(event, Doing) else "started"
            return {"student": event.student, "event": what, **asdict(event)}
        report, left = event.report, self.seconds_left()
        return {
            "student": event.student, "event": "ended", "exercise": report.id, "status": report.status.value,
            "score": report.score, "max_score": report.max_score, "seconds": report.seconds,
            "done": self.done, "total": self._total, "seconds_left": None if left is None else round(left),
        }  # fmt: skip

    def __rich__(self) -> RenderableType:
        with self._lock:
            current, done, now = dict(self._current), self.done, self._clock()
        rows = Table.grid(padding=(0, 1))
        for student, (what, since) in current.items():
            who = "" if self._total is None else f"{sanitize_line(student, 40)}  "
            text = Text(f"{who}{sanitize_line(what)}", no_wrap=True, overflow="ellipsis")
            rows.add_row(self._spinner, text, Text(f"{now - since:.0f} s", style="dim", justify="right"))
        if self._total is None:
            return rows
        left = self.seconds_left()
        bar = ProgressBar(self._total, done, width=30, complete_style="green", finished_style="green")
        above = Table.grid(padding=(0, 1))
        above.add_row(bar, f"{done} of {self._total} exercises graded{'' if left is None else f', {time_left(left)}'}")
        return Group(above, rows)


def time_left(seconds: float) -> str:
    """`about 3 min left`, in steps that do not pretend to know more."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute left"
    return f"about {minutes} min left" if minutes < 60 else f"about {minutes / 60:.1f} h left"  # noqa: PLR2004


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
        text.append(_encodable(sanitize_line(part, len(part)), console.encoding), _STYLES[style])
    text.rstrip()
    console.print(text, soft_wrap=True)


def _encodable(text: str, encoding: str) -> str:
    """`text` with what an encoding does not have in ASCII, so that writing it never fails."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_IN_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    return text
