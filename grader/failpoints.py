"""Named points at which a grader can be told to die, so that tests can show what is then left and what is lost.

`GRADER_CRASH_AT=image-made` kills this process, as `kill -9` does, when it gets there; `image-made:3` when it gets
there for the third time. The variable is read once, from the environment that the operator started the grader with:
nothing of a submission is ever in it. Unset, a point costs one comparison.
"""

from __future__ import annotations

import os
import threading

VARIABLE = "GRADER_CRASH_AT"
"""The environment variable that names the point."""

POINTS = (
    # a batch, one exercise of one student
    "batch-recorded",
    "submission-read",
    "attempt-recorded",
    "gate-passed",
    "bases-present",
    "context-made",
    "checks-done",
    "images-removed",
    "verdict-uncommitted",
    "verdict-committed",
    # a build
    "build-wanted",
    "build-requested",
    "build-telling",
    "build-told",
    "image-made",
    "image-untagged",
    # a run, also that of a script
    "container-wanted",
    "container-created",
    "files-put-in",
    "container-attached",
    "container-started",
    "container-killed",
    "output-read",
    "container-ended",
    "container-removed",
    # a private engine
    "private-folder-made",
    "private-volume-made",
    "private-created",
    "private-started",
    "private-up",
    "private-removed",
    # a sandbox, and commands in it
    "sandbox-taken",
    "workshop-made",
    "script-created",
    "script-ended",
    "compose-up",
    "workshop-removed",
    "sandbox-cleaned",
    # result files
    "file-written",
    "file-renamed",
)
"""All points, roughly in the order in which a batch gets to them."""


class _Fuse:
    """Counts how often one point is reached, from any thread."""

    def __init__(self, told: str) -> None:
        self.point, _, times = told.partition(":")
        self._left = int(times) if times.isdecimal() else 1
        self._lock = threading.Lock()

    def burn(self) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), 9)  # SIGKILL: no handler, no `finally`, no buffer is written


_fuse = _Fuse(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def failpoint(point: str) -> None:
    """The process has got to this point, one of `POINTS`; where it was told to, it ends here."""
    if _fuse is not None and _fuse.point == point:
        _fuse.burn()
