"""Where requests meet the engine: one executor for each exercise of each submission."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self, TypeVar, assert_never

from grader.checks.base import NotChecked
from grader.course.models import Limits
from grader.engine.build.context import make_job
from grader.engine.protocol import Engine, Sandbox, Sandboxes
from grader.errors import EngineError
from grader.failpoints import failpoint
from grader.grading import network
from grader.models import (
    BuildFailed,
    BuildRequest,
    BuildStep,
    Built,
    ComposeRequest,
    ComposeSeen,
    MemoryFile,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.submissions.models import ExerciseFiles

T = TypeVar("T", bound=Observation)


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


@dataclass(frozen=True, slots=True)
class Engines:
    """Where gradings take place: the engine that builds and runs, and sandboxes for the students' own commands.

    `look` looks at the student's own engine; None where that is nobody's business (other people's submissions).
    `of_bases` is what was seen of base images, which is the same for all.
    """

    engine: Engine
    sandboxes: Sandboxes
    look: Callable[[], ScriptSeen] | None = None
    builds: BuildTurns = field(default_factory=BuildTurns)
    of_bases: dict[RunRequest, RunOutcome] = field(default_factory=dict)


class Executor:
    """Carries out requests on an engine, each once, and remembers what was seen.

    `seen` is everything observed so far. `bases` are the base images of the folder, on which it is tried whether the
    network works, where something fails as if it did not. Leaving the context removes the images that were built.
    """

    def __init__(
        self,
        engines: Engines,
        files: ExerciseFiles,
        limits: Limits,
        name: str,
        doing: Callable[[str], None],
        *,
        bases: Sequence[str] = (),
    ) -> None:
        self._engines = engines
        self._engine = engines.engine
        self._stack = ExitStack()
        self._sandbox: Sandbox | None = None
        self._files = files
        self._limits = limits
        self._name = name
        self._doing = doing
        self._bases = bases
        self.seen: dict[Request, Observation] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # whatever happens below, the sandbox is given back
            for observation in self.seen.values():
                if isinstance(observation, Built):
                    with suppress(
                        EngineError
                    ):  # what was seen holds; the engine's `close` tries again, and fails where that fails
                        self._engine.remove_image(observation.image)

    def __call__(self, request: Request) -> Observation:
        """What is seen when the request is carried out. `NotChecked` for a run of what did not build."""
        if request not in self.seen:
            self.seen[request] = self._carry_out(request)
        return self.seen[request]

    def _carry_out(self, request: Request) -> Observation:
        match request:
            case BuildRequest():
                return self._build(request)
            case RunRequest():
                return self._run(request)
            case ScriptRequest():
                return self._script(request)
            case ComposeRequest():
                return self._compose(request)
            case _:
                assert_never(request)

    def _build(self, request: BuildRequest) -> Built | BuildFailed:
        self._doing("building the image")
        job = make_job(self._files, request.replaced + _changed(self._files, request.changed), self._name)
        failpoint("context-made")
        if isinstance(job, BuildFailed):
            return job

        def build(seconds: float) -> Built | BuildFailed:
            return self._engine.build(job, replace(self._limits, build_seconds=seconds), self._step_begun)

        with self._engines.builds.turn(alone=bool(request.attempt or request.changed)):
            return self._fetching(build, self._limits.build_seconds)

    def _step_begun(self, step: BuildStep) -> None:
        self._doing(f"building: {step.name[:60]}")

    def _run(self, request: RunRequest) -> RunOutcome:
        if request.existing_image:  # in the engine where the student's commands left it
            self._doing(f"running {request.existing_image}")
            return (self._sandbox or self._engine).run(request.existing_image, request, self._limits)
        if request.base:
            if request not in self._engines.of_bases:
                self._doing(_description(request))
                self._engines.of_bases[request] = self._engine.run(request.base, request, self._limits)
            return self._engines.of_bases[request]
        built = self(request.build)
        if not isinstance(built, Built):
            raise NotChecked
        if request.further:
            return self._further(built.image, request)
        self._doing(_description(request))
        return self._engine.run(built.image, request, self._limits)

    def _further(self, image: str, request: RunRequest) -> RunOutcome:
        """What an exec shows; or a run, from the first exec on that did not do and was run after it."""
        plain = replace(request, further=False)
        execs = [one for one in self.seen if isinstance(one, RunRequest) and one.further]
        if plain not in self.seen and not any(replace(one, further=False) in self.seen for one in execs):
            self._doing(_description(plain))
            if outcome := self._engine.exec(image, request, self._limits):
                return outcome
        seen = self(plain)
        if not isinstance(seen, RunOutcome):
            raise TypeError(seen)
        return seen

    def _script(self, request: ScriptRequest) -> ScriptSeen:
        if self._files.content(request.file) is None:
            return self._engines.look() if self._engines.look else ScriptSeen("nothing")

        def script(seconds: float) -> ScriptSeen:
            self._doing(f"running {request.file}")
            limits = replace(self._limits, script_seconds=seconds)
            return self._own_sandbox().script(self._files, request, limits)

        return self._fetching(script, self._limits.script_seconds, in_sandbox=True)

    def _compose(self, request: ComposeRequest) -> ComposeSeen:
        def compose(seconds: float) -> ComposeSeen:
            self._doing("docker compose up" if request.replaced else "docker compose config")
            return self._own_sandbox().compose(self._files, request, replace(self._limits, build_seconds=seconds))

        return self._fetching(compose, self._limits.build_seconds, in_sandbox=True)

    def _own_sandbox(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = self._stack.enter_context(self._engines.sandboxes())
        return self._sandbox

    def _fetching(self, attempt: Callable[[float], T], limit: float, *, in_sandbox: bool = False) -> T:
        """Carry out what may fetch packages. Where it fails as if for want of the network, it is tried again.

        `attempt` is given the seconds that it may take: `limit` holds for all tries together. Each try gets another
        sandbox, since what the first one left is in the way of the next. Where the last one fails so too, and a probe
        of ours does not work either, it is nobody's fault, and an `EngineError`.
        """
        until = time.monotonic() + limit
        seen = attempt(limit)
        for _ in range(network.TRIES - 1):
            left = until - time.monotonic()
            if not network.signs(seen) or left < limit / 2:
                break
            self._doing("the network failed; trying once more")
            if in_sandbox:
                self._sandbox = None
                self._stack.close()
            again = attempt(left)
            if network.was_cut(again):  # by what was left of the time, which is not the student's
                break
            seen = again
        if suspected := network.suspicion(seen):
            self._doing("finding out whether the network works")
            if against := network.probe(self._engine, self._bases, self._limits, suspected.tools):
                raise network.nobodys_fault(suspected, against)
        return seen


def _changed(files: ExerciseFiles, path: str) -> tuple[MemoryFile, ...]:
    """The file with one more line; nothing for "".

    The line is new each time, whatever the seed: a builder that has met it in an earlier grading would find the
    whole build in its cache.
    """
    line = f"\n# {secrets.token_hex(8)}\n".encode()
    return (MemoryFile(path, (files.content(path) or b"") + line),) if path else ()


def _description(request: RunRequest) -> str:
    if request.entrypoint is not None:
        return f"looking into the image with {request.entrypoint[0]}"
    if request.replaced:
        return "finding out what runs the script"
    return f"running with {' '.join(request.args)}" if request.args else "running without arguments"
