"""Whose turn it is to build: most builds run side by side, some have to run alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class BuildTurns:
    """Turns of the builds on one engine.

    BuildKit shares a step between builds that run at the same time, and then builds what follows it anew, whatever its
    cache holds. So a build that is to show what is cached (3.3.L) runs while no other does.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._side_by_side = 0
        self._alone = False
        self._waiting = 0

    @contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Wait for a turn, and hold it. Whoever waits to run alone comes before builds that have not begun."""
        with self._changed:
            self._waiting += alone
            try:
                self._changed.wait_for(lambda: self._is_free(alone=alone))
            finally:
                self._waiting -= alone
            self._alone = alone
            self._side_by_side += not alone
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._side_by_side -= not alone
                self._changed.notify_all()

    def _is_free(self, *, alone: bool) -> bool:
        return not self._alone and not (self._side_by_side if alone else self._waiting)
