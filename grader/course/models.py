"""What `exercises.yaml` says, as frozen values. `grader.course.loader` reads them from text.

The docstrings below the fields are the descriptions an editor shows (`schema/exercises.schema.json`
is generated from these classes), so they are written for the author of a course.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import Field

from grader.course.registry import STRICT, Check, Figure, Identifier, ImagePattern, MinorVersion, Name, Shape


def folder_key(name: str) -> str:
    """What a folder is called, so far as it says which exercise it is.

    The same for `3.1.4`, `3_1_4`, `3-1-4`, `ex3.1.4` and `Exercise 3.1.4`, in any case.
    """
    number = re.sub(r"^(?:exercise|ex)[\s._-]*(?=\d)", "", name.strip().casefold())
    return re.sub(r"[\s._-]+", ".", number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one build or one run may use. A container that exceeds one is stopped."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    build_seconds: Annotated[float, Gt(0)] = 300
    """Seconds of wall time for one `docker build`."""
    run_seconds: Annotated[float, Gt(0)] = 10
    """Seconds of wall time for one `docker run`, counted from the start of its process."""
    script_seconds: Annotated[float, Gt(0)] = 300
    """Seconds of wall time for one commands.sh, builds included."""
    memory_mb: Annotated[int, Ge(16)] = 512
    """MiB of memory for one run; swap is off."""
    processes: Annotated[int, Ge(1)] = 128
    """Processes and threads alive at once in one run."""
    cpus: Annotated[float, Gt(0)] = 1.0
    """Cores for one run."""
    tmp_mb: Annotated[int, Ge(1)] = 64
    """MiB of /tmp in one run; counts as memory."""
    output_kb: Annotated[int, Ge(1)] = 1024
    """KiB of output (stdout and stderr together) of one run."""
    build_output_kb: Annotated[int, Ge(1)] = 256
    """KiB of the log of one build. BuildKit itself cuts a step's log at about 460; more could never be exceeded."""
    context_mb: Annotated[int, Ge(1)] = 32
    """MiB of files in one exercise's folder."""
    context_files: Annotated[int, Ge(1)] = 2000
    """Files in one exercise's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """A base image students may build FROM, and how to make it where no registry can be asked."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    names: Annotated[tuple[ImagePattern, ...], MinLen(1)]
    """References that are allowed; `*` stands for any characters. The first one is named to students."""
    python: MinorVersion
    """The version of Python it brings, in quotes: "3.9"."""
    release: Literal["bullseye", "bookworm", "trixie"]
    """The Debian release that ships that Python, to build the image from its packages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenCase:
    """Weeks that are printed in the exercise's text."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    kind: Literal["given"]
    name: Name
    """How checks refer to it."""
    weeks: Annotated[tuple[Figure, ...], MinLen(3)]
    """The weekly figures, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCases:
    """Weeks drawn from the seed when grading starts, the same for every student."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    kind: Literal["drawn"]
    name: Name
    """How checks refer to all of them together."""
    count: Annotated[int, Ge(1), Le(20)] = 1
    """How many lists to draw."""
    length: Annotated[int, Ge(3), Le(52)] = 3
    """How many weeks each list has."""
    shape: Shape = "noisy"
    """Whether they rise from week to week, fall, or go up and down."""
    whole_last: bool = False
    """Whether the last week is a whole number and written as one, so that to cut off its last digit shows."""


CaseSpec = Annotated[GivenCase | DrawnCases, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One exercise: what students read, what they hand in, and what proves it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    id: Identifier
    """The name of its folder in a submission. In quotes where it looks like a number."""
    title: Name
    """One line, without the id."""
    points: Annotated[float, Gt(0)] = 10
    """Points for all checks together."""
    bonus: bool = False
    """Whether its points come on top of the course's maximum."""
    text: Name
    """What is asked, what is given, how to try it by hand, what is checked. Markdown."""
    files: Annotated[tuple[Name, ...], MinLen(1)] = ("Dockerfile", "sales_predictor.py")
    """What a student hands in."""
    cases: tuple[CaseSpec, ...] = ()
    """Weekly figures for the checks to use."""
    checks: Annotated[tuple[Check, ...], MinLen(1)]
    """What proves it, in this order."""

    def check(self, identifier: str) -> Check | None:
        """The check with that id, or None."""
        return next((check for check in self.checks if check.id == identifier), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A whole `exercises.yaml`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    version: Literal[1]
    """The version of this format."""
    title: Name
    """The course's name, shown in reports."""
    script: Name = "sales_predictor.py"
    """The script that every exercise is about."""
    images: Annotated[tuple[BaseImage, ...], MinLen(1)]
    """The base images students may build FROM."""
    limits: Limits = field(default_factory=Limits)
    """What one build or one run may use."""
    hints: dict[str, Name] = field(default_factory=dict, hash=False)
    """What to tell a student when a check fails, by reason."""
    exercises: Annotated[tuple[Exercise, ...], MinLen(1)]
    """In the order of the chapter."""

    @property
    def image_patterns(self) -> tuple[str, ...]:
        """The names of all images that are allowed, with `*` for any characters."""
        return tuple(name for image in self.images for name in image.names)

    def exercise(self, identifier: str) -> Exercise:
        """The exercise with that id; `KeyError` if there is none."""
        return {exercise.id: exercise for exercise in self.exercises}[identifier]
