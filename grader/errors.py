"""What can go wrong that is not the student's doing.

A student's failure is never an exception: it is a value (`grader.models.BuildFailed`, `grader.models.Exited` …). Exit
codes are those of DESIGN.md, "Commands and their contract".
"""

from __future__ import annotations

from typing import ClassVar


class GraderError(Exception):
    """A fault of the grader itself, or of one of the kinds below; the message says what, where and what to do."""

    exit_code: ClassVar[int] = 4


class UsageError(GraderError):
    """The command was called with something it cannot use, such as a folder that is no exercise."""

    exit_code: ClassVar[int] = 2


class SpecError(GraderError):
    """`exercises.yaml` has mistakes; `problems` holds one line for each, in file order."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class EnvironmentProblem(GraderError):  # noqa: N818 - EnvironmentError is a name of Python's own
    """This machine cannot grade now: no engine, no image, no room."""

    exit_code: ClassVar[int] = 3


class EngineError(EnvironmentProblem):
    """The engine is away, broke off in the middle, or answered what it must not."""


class ImageUnavailable(EnvironmentProblem):
    """A base image is neither local, nor to be pulled, nor to be built here."""


class ReferenceFailed(GraderError):  # noqa: N818 - says what happened
    """`reference/predictor.py` failed or answered nonsense: nothing can be graded."""
