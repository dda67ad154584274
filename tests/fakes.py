"""A fake engine: two functions. It is a `grader.engine.protocol.Engine`, so all above the engine runs for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from grader.course.models import Limits
from grader.engine.protocol import BuildJob, OnStep
from grader.models import BuildFailed, Built, EngineInfo, RunOutcome, RunRequest
from tests.worlds import image, predictor

Build = Callable[[BuildJob], Built | BuildFailed]
Run = Callable[[RunRequest], RunOutcome]


@dataclass
class FakeEngine:
    """Answers builds and runs by calling functions, and counts what it was asked."""

    on_build: Build = lambda _job: image()
    on_run: Run = predictor
    on_exec: Callable[[RunRequest], RunOutcome | None] = lambda _request: None
    builds: list[BuildJob] = field(default_factory=list)
    runs: list[RunRequest] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def info(self) -> EngineInfo:
        return EngineInfo("fake", "1", "buildkit")

    def build(self, job: BuildJob, limits: Limits, on_step: OnStep) -> Built | BuildFailed:
        self.builds.append(job)
        return self.on_build(job)

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        self.runs.append(request)
        return self.on_run(request)

    def exec(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome | None:
        return self.on_exec(request)

    def remove_image(self, image: str) -> None:
        self.removed.append(image)

    def close(self) -> None:
        pass
