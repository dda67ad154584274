"""The one boundary to a container engine. `grader.engine.docker_engine` fulfils it, tests with functions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from grader.course.models import Limits
from grader.dockerfile.parser import Dockerfile
from grader.models import (
    BuildFailed,
    BuildStep,
    Built,
    ComposeRequest,
    ComposeSeen,
    EngineInfo,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.submissions.models import ExerciseFiles

OnStep = Callable[[BuildStep], None]
"""Called for each step of a build as it ends, from the thread that builds."""


@dataclass(frozen=True, slots=True)
class BuildJob:
    """What the engine needs to build: a build context as a tar, and the Dockerfile in it.

    The Dockerfile stands in the tar under the name `Dockerfile`; it is given besides as it was parsed,
    so that steps can be matched with its lines. `name` is a readable part for tags and names
    (letters, digits, `-`), never taken from a student. Jobs with the same `caches` share what
    `RUN --mount=type=cache` keeps, others do not; "" stands for the engine's own.
    """

    context: bytes
    dockerfile: Dockerfile
    name: str
    caches: str = ""


class Engine(Protocol):
    """Builds images and runs containers. Raises `EngineError` for its own faults, never for a student's."""

    def info(self) -> EngineInfo:
        """Name, version, builder and tier."""
        ...

    def build(self, job: BuildJob, limits: Limits, on_step: OnStep) -> Built | BuildFailed:
        """Build an image; it carries our labels and stays until `remove_image` or `close`.

        `on_step` is told of each step when it begins.
        """
        ...

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        """Run one container from an image's id to its end, and remove it."""
        ...

    def exec(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome | None:
        """A further run of an image that `build` made, without a container of its own.

        None where a run may show something else, or where there can be no exec: then it takes a run.
        """
        ...

    def remove_image(self, image: str) -> None:
        """Remove an image that `build` made; nothing happens if it is gone."""
        ...

    def close(self) -> None:
        """Remove everything this engine object made and has not removed yet."""
        ...


class Sandbox(Protocol):
    """An engine in which one submission's own commands do as they like. What they leave there can be run."""

    def script(self, files: ExerciseFiles, request: ScriptRequest, limits: Limits) -> ScriptSeen:
        """Run the submission's script of docker commands, and see what it does. `EngineError` for our own faults."""
        ...

    def compose(self, files: ExerciseFiles, request: ComposeRequest, limits: Limits) -> ComposeSeen:
        """Let Compose read the folder's file and, if the request says so, bring it up and down."""
        ...

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        """Run one container of what the commands left; `image` is a name or an id."""
        ...


Sandboxes = Callable[[], AbstractContextManager[Sandbox]]
"""Gives a sandbox that nobody else has, and takes it back at the end of the block.

Entering raises `EnvironmentProblem` where there can be none."""
