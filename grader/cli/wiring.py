"""What a command opens: the engine, the base images, private engines, the session that gradings share.

A command says in one frozen bag (`GradingSettings`) what it grades and on what terms; `open_session` opens what that
needs and closes it again.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from grader.base_images.provider import BaseImages, base_of, plain_names
from grader.course.loader import CourseFolder
from grader.course.models import BaseImage, Exercise, Limits
from grader.course.oracle import expected_cases
from grader.engine.build.context import make_job
from grader.engine.docker_engine import DockerEngine, connect
from grader.engine.protocol import Sandbox
from grader.errors import EngineError, EnvironmentProblem, UsageError
from grader.grading.executor import Engines
from grader.grading.session import Session
from grader.models import BuildFailed, Built, Case, Emit, MemoryFile, ScriptSeen
from grader.submissions.models import ExerciseFiles

if TYPE_CHECKING:  # imported where one is made: most self-checks need no private engine, and its modules are many
    from grader.limits.probes import FewCores
    from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings
    from grader.sandbox.pool import PrivateSandboxes

Tier = Literal["private", "host"]
Whose = Literal["own", "known", "strangers"]
Say = Callable[[str], None]
"""Takes one line about what is done, for whoever started the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradingSettings:
    """What is graded, and on what terms.

    `tier` says which engine builds and runs. `whose` says whose work it is: the user's `own` (whose engine may then be
    looked at), `known` (the course's, or such as may be run behind the proxy), or `strangers`, whose commands are not
    run. `cases` are the expected answers, if they have been made already.
    """

    folder: CourseFolder
    exercises: Sequence[Exercise]
    seed: int
    tier: Tier = "host"
    whose: Whose = "known"
    cases: Mapping[str, tuple[Case, ...]] | None = None


@contextmanager
def open_engine() -> Iterator[DockerEngine]:
    """The engine, with everything of ours removed from it on the way out, also on Ctrl-C and SIGTERM."""
    signals = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if signals else None
    try:
        with connect(builder=os.environ.get("GRADER_BUILDER")) as engine:
            try:
                yield engine
            except KeyboardInterrupt:
                engine.cancel()
                raise
    finally:
        if signals:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def open_session(settings: GradingSettings, emit: Emit, say: Say) -> Iterator[Session]:
    """Everything that gradings share. A broken reference stops here, before any student's code runs.

    The engine is asked first: where none answers, that is said at once, and not after the reference has loaded its own
    libraries. It does so while a private engine starts, which takes as long.
    """
    with open_engine() as host, ThreadPoolExecutor(1) as beside, ExitStack() as stack:
        expected = beside.submit(
            lambda: settings.cases or _expected(settings.folder.predictor, tuple(settings.exercises), settings.seed)
        )
        opened = _Opened(settings, BaseSupply(settings.folder, host, say), stack)
        sandboxes = _no_sandboxes if settings.whose == "strangers" else opened.sandbox
        look = partial(_look_at, host) if settings.whose == "own" else None
        yield Session(
            settings.folder.course,
            settings.seed,
            expected.result(),
            Engines(opened.engine, sandboxes, look),
            opened.ensure_image,
            emit,
            stop=opened.stop,
            recover=opened.recover,
        )
        for warning in opened.engine.warnings:
            say(f"The engine warns: {warning}")


_expected = lru_cache(maxsize=1)(expected_cases)
"""The same figures have the same answers; `check --watch` asks again and again."""


def _look_at(host: DockerEngine) -> ScriptSeen:
    from grader.sandbox.engine_state import own_engine_seen

    return own_engine_seen(host.connection)


_RESTART_SECONDS = 60.0
"""How long an engine may be away that is started again; `systemctl restart docker` takes 2 to 15 s."""
_PRIVATE_SECONDS = 5.0
"""How long a private engine may be busy. Nobody starts one again that has ended: its container ends with it."""


class _Opened:
    """The engine that builds and runs, and a pool of sandboxes, made at the first request: most exercises need none.

    The engine is the user's own, for which nobody waits any more once it has not come back in all the time it is given;
    or one in a private engine, which is replaced once it has ended.
    """

    def __init__(self, settings: GradingSettings, supply: BaseSupply, stack: ExitStack) -> None:
        self._supply = supply
        self._stack = stack
        self._side_by_side = settings.whose != "own"
        self._lock = threading.Lock()
        self._pool_lock = threading.Lock()
        self._gone = False
        self._ready: set[tuple[str, str]] = set()
        self._pool: PrivateSandboxes | None = None
        self._private = ExitStack() if settings.tier == "private" else None
        self.engine = self._start(self._private) if self._private else supply.host
        stack.callback(self._close)

    def _start(self, private: ExitStack) -> DockerEngine:
        from grader.sandbox.nested_engine import start_private_engine

        supply = self._supply
        return private.enter_context(start_private_engine(supply.host, supply.settings(), supply.say)).engine

    def _close(self) -> None:
        if self._private is not None:
            self.engine.cancel()  # what it made goes with the private engine
            with self._lock:  # one that is just being started belongs to the stack then
                self._private.close()

    def stop(self) -> None:
        """End everything under way; from any thread."""
        self._supply.host.cancel()
        self.engine.cancel()
        self._stack.close()

    def recover(self) -> None:
        """Wait until the engine answers again, or start another private one. If that fails, the next use says why."""
        with self._lock:
            if self._gone or self.engine.comes_back(_PRIVATE_SECONDS if self._private else _RESTART_SECONDS):
                return
            if self._private is None:
                self._gone = True
                return
            self._supply.say("private engine: it has ended, starting another")
            with suppress(EngineError):
                self._private.close()
            with suppress(EnvironmentProblem):
                self.engine.move_to(self._start(self._private))

    def ensure_image(self, reference: str) -> str:
        """Make a base image present in the engine that builds, and say where it came from.

        Where the first builds on a base image run side by side, and the builder has nothing of it in its cache,
        BuildKit (seen in 20.10 and 26.1) may take their base for different ones. Then it finds nothing of those builds
        in its cache, however often they are built again. So each is built on once before.
        """
        origin = self._supply(reference)
        with self._lock:
            name = self.engine.info().name  # another one where the engine was renewed meanwhile
            if (reference, name) not in self._ready:
                if self.engine.image_labels(reference) is None:
                    self.engine.copy_image(self._supply.host.connection, reference)
                if self._side_by_side:
                    _build_on(self.engine, reference)
                self._ready.add((reference, name))
        return origin

    def sandbox(self) -> AbstractContextManager[Sandbox]:
        """A sandbox for one submission."""
        from grader.sandbox.pool import PrivateSandboxes

        supply = self._supply
        with self._pool_lock:
            supply.host.cancellation.check()
            if self._pool is None:
                images = supply.folder.course.images
                pool = PrivateSandboxes(supply.host, supply.settings(), images, supply=supply, say=supply.say)
                self._pool = self._stack.enter_context(closing(pool))
        return self._pool()


def _build_on(engine: DockerEngine, reference: str) -> None:
    files = (MemoryFile("Dockerfile", f"FROM {reference}\n".encode()),)
    job = make_job(ExerciseFiles("", "", files, ""), (), "base")
    made = None if isinstance(job, BuildFailed) else engine.build(job, Limits(), lambda _: None)
    if isinstance(made, Built):
        with suppress(EngineError):  # it goes at the end then, as do the images of the submissions
            engine.remove_image(made.image)


class TrialEngine(NamedTuple):
    """A private engine to try things in: `engines` to grade in, and how to leave it few cores for a while."""

    private: PrivateEngine
    engines: Engines
    few_cores: FewCores


@contextmanager
def trial_engine(folder: CourseFolder, host: DockerEngine, say: Say) -> Iterator[TrialEngine]:
    """A private engine of `SMALL_ENGINE`'s sizes with nothing but the base images in it."""
    from grader.limits.probes import SMALL_ENGINE, few_cores
    from grader.sandbox.nested_engine import start_private_engine
    from grader.sandbox.pool import PrivateSandbox

    supply = BaseSupply(folder, host, say)
    settings = replace(supply.settings(), **dict[str, Any](SMALL_ENGINE))
    with start_private_engine(host, settings, say) as private:
        sandbox = PrivateSandbox(private, settings.images[0], host.cancellation, folder.course.images, supply)
        engines = Engines(private.engine, lambda: nullcontext(sandbox))
        yield TrialEngine(private, engines, partial(few_cores, host.connection, private.container))


def host_engines(host: DockerEngine) -> Engines:
    """The user's own engine, and nowhere to run commands."""
    return Engines(host, _no_sandboxes)


def _no_sandboxes() -> AbstractContextManager[Sandbox]:
    raise EnvironmentProblem(NOT_RUN)


NOT_RUN = "Its commands were not run: this batch runs no commands of students on the engine that it uses."
"""Why an exercise is not graded whose commands nobody has allowed. Students read it, too."""


class BaseSupply:
    """Makes the course's base images present in the host engine, each once, and says of what private engines are made.

    Safe from several threads. `say` gets a line for each step.
    """

    def __init__(self, folder: CourseFolder, host: DockerEngine, say: Say) -> None:
        self.folder = folder
        self.host = host
        self.say = say
        self.images = BaseImages(host, say=say, cache=cache_folder(), environment=os.environ)
        self._lock = threading.Lock()
        self._origins: dict[str, str] = {}

    def __call__(self, reference: str) -> str:
        """Where the image came from. `ImageUnavailable` if it cannot be had."""
        with self._lock:
            if reference not in self._origins:
                self._origins[reference] = self.images.ensure(self.base(reference), reference).origin
            return self._origins[reference]

    def base(self, reference: str) -> BaseImage:
        """The base image that is meant. `UsageError` if the course has none of that name."""
        images = self.folder.course.images
        if base := base_of(reference, images):
            return base
        allowed = ", ".join(name for image in images for name in image.names)
        raise UsageError(f"{reference} is not among the course's base images: {allowed}")

    def settings(self) -> PrivateSettings:
        """The first name of each base image is made present; others are taken if they are there."""
        from grader.sandbox.nested_engine import PrivateSettings

        for image in self.folder.course.images:
            self(image.names[0])
        names = [name for image in self.folder.course.images for name in plain_names(image)]
        return PrivateSettings(tuple(name for name in names if self.host.image_labels(name) is not None), os.environ)


def cache_folder() -> Path:
    """Where locks and half-made images live between commands (XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "grader"
