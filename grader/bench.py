"""Where requests meet the engine: one bench for each exercise of each submission."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, assert_never

from grader.checks import NoImage
from grader.context import make_job
from grader.errors import EnvironmentProblem
from grader.model import (
    BuildFailed,
    BuildRequest,
    BuildStep,
    Built,
    ExerciseFiles,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
)
from grader.protocol import Engine
from grader.spec import Limits

__all__ = ["Bench", "NotObserved", "recall"]


class NotObserved(EnvironmentProblem):
    """A stored grading has no observation of what a check asks for now; it needs a new run."""


class Bench:
    """Carries out requests on an engine, each once, and remembers what was seen.

    `seen` is everything observed so far. Leaving the context removes the images that were built.
    """

    def __init__(
        self, engine: Engine, files: ExerciseFiles, limits: Limits, name: str, doing: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._files = files
        self._limits = limits
        self._name = name
        self._doing = doing
        self.seen: dict[Request, Observation] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for observation in self.seen.values():
            if isinstance(observation, Built):
                self._engine.remove_image(observation.image)

    def __call__(self, request: Request) -> Observation:
        """What is seen when the request is carried out. `NoImage` for a run of what did not build."""
        if request not in self.seen:
            self.seen[request] = self._carry_out(request)
        return self.seen[request]

    def _carry_out(self, request: Request) -> Observation:
        match request:
            case BuildRequest():
                return self._build(request)
            case RunRequest():
                return self._run(request)
            case _:
                assert_never(request)

    def _build(self, request: BuildRequest) -> Built | BuildFailed:
        self._doing("building the image")
        job = make_job(self._files, request.replaced, self._name)
        return job if isinstance(job, BuildFailed) else self._engine.build(job, self._limits, self._step_ended)

    def _run(self, request: RunRequest) -> RunOutcome:
        image = request.base
        if not image:
            made = self(request.build)
            if not isinstance(made, Built):
                raise NoImage
            image = made.image
        self._doing(_words(request))
        return self._engine.run(image, request, self._limits)

    def _step_ended(self, step: BuildStep) -> None:
        self._doing(f"building: {step.name[:60]}")


def recall(seen: Mapping[Request, Observation]) -> Callable[[Request], Observation]:
    """An observer that answers from what was stored, without an engine."""

    def observe(request: Request) -> Observation:
        if request in seen:
            return seen[request]
        if isinstance(request, RunRequest) and not isinstance(seen.get(request.build), Built):
            raise NoImage
        message = "What this check asks for was not observed when the submission was graded; grade it again."
        raise NotObserved(message)

    return observe


def _words(request: RunRequest) -> str:
    if request.entrypoint is not None:
        return f"looking into the image with {request.entrypoint[0]}"
    if request.replaced:
        return "running a probe in the script's place"
    return f"running with {' '.join(request.args)}" if request.args else "running without arguments"
