"""Named points at which a grader can be made to die, so that tests can show what is then left and what is lost.

`GRADER_CRASH_AT=image-made` kills this process, as `kill -9` does, when it gets there; `image-made:3` when it gets
there for the third time. The variable is read once, from the environment that the operator started the grader with:
nothing of a submission is ever in it. Unset, a point costs one comparison.
"""

from __future__ import annotations

import itertools
import os

VARIABLE = "GRADER_CRASH_AT"
"""The environment variable that names the point."""

POINTS = (
    # a batch, one exercise of one student
    "batch-recorded",
    "submission-read",
    "attempt-recorded",
    "policy-passed",
    "bases-present",
    "context-made",
    "checks-done",
    "images-removed",
    "verdict-uncommitted",
    "verdict-committed",
    # a build
    "build-wanted",
    "build-requested",
    "build-progress",
    "build-reported",
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
    "private-created",
    "private-started",
    "private-up",
    "private-removed",
    # a sandbox, and commands in it
    "sandbox-taken",
    "workspace-made",
    "script-created",
    "script-ended",
    "compose-up",
    "workspace-removed",
    "sandbox-cleaned",
    # result files
    "file-written",
    "file-renamed",
)
"""All points, roughly in the order in which a batch gets to them."""


_POINT, _, _TIMES = os.environ.get(VARIABLE, "").partition(":")
_passes = itertools.count(1)


def failpoint(point: str) -> None:
    """The process has got to this point, one of `POINTS`; where it is the one to die at, it ends here."""
    if point == _POINT and next(_passes) == int(_TIMES or 1):
        os.kill(os.getpid(), 9)  # SIGKILL: no handler, no `finally`, no buffer is written
