"""Deadlines of our own, and cancelling what is under way: the SDK's timeouts bound silence, not duration."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

from grader.errors import EngineError, GraderError

Reason = Literal["timed_out", "output_limit", "cancelled"]

_CANCELLED = "Stopped, because grading was cancelled."


class Cancelled(GraderError):  # noqa: N818 - nothing went wrong
    """Somebody called `DockerEngine.cancel` (Ctrl-C in a batch): this is no result, and nobody's fault."""

    exit_code: ClassVar[int] = 130


class Watchdog:
    """Stops one build or run: calls `stop` once, for the first reason that comes up.

    `reason` is that reason, or None. After `finish` no reason is accepted any more.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.reason: Reason | None = None
        self._stop = stop
        self._lock = threading.Lock()
        self._finished = False
        self._timer = threading.Timer(0, self.trip, ("timed_out",))
        self._timer.daemon = True

    def start(self, seconds: float) -> None:
        """Count `seconds` from now, then trip with `timed_out`, from a thread of its own. Once at most."""
        self._timer.interval = seconds
        self._timer.start()

    def trip(self, reason: Reason) -> None:
        """Stop for this reason, unless stopped or finished already. From any thread."""
        with self._lock:
            if self.reason is not None or self._finished:
                return
            self.reason = reason
        self._stop()

    def finish(self) -> None:
        """It has ended; the deadline is off."""
        with self._lock:
            self._finished = True
        self._timer.cancel()


class Cancellation:
    """All watchdogs of one engine object, to be tripped together by `cancel`."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._watchdogs: set[Watchdog] = set()

    @contextmanager
    def watch(self, stop: Callable[[], None]) -> Iterator[Watchdog]:
        """A watchdog for the time of the `with` block, which raises `Cancelled` if `cancel` was called by its end."""
        watchdog = Watchdog(stop)
        with self._lock:
            self.check()
            self._watchdogs.add(watchdog)
        try:
            yield watchdog
        except EngineError as error:  # what is cut off in the middle fails; that failure is not the news
            if watchdog.reason == "cancelled":
                raise Cancelled(_CANCELLED) from error
            raise
        finally:
            watchdog.finish()
            with self._lock:
                self._watchdogs.discard(watchdog)
        if watchdog.reason == "cancelled":
            raise Cancelled(_CANCELLED)

    def check(self) -> None:
        """Raise `Cancelled` if `cancel` was called."""
        if self._cancelled.is_set():
            raise Cancelled(_CANCELLED)

    def cancel(self) -> None:
        """End everything under way, and let nothing new begin. From any thread, any number of times."""
        with self._lock:
            self._cancelled.set()
            watchdogs = tuple(self._watchdogs)
        for watchdog in watchdogs:
            watchdog.trip("cancelled")
