"""What a command opens: the engine, the base images, private engines, the session that gradings share.

A command says in one frozen bag (`GradingSettings`) what it grades and on what terms; `open_session` opens what that
needs and closes it again. What has a state of its own while it is open is a class here, named after what it holds.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from grader.base_images.provider import BaseImages, base_of
from grader.course.loader import CourseFolder
from grader.course.models import Exercise, Limits
from grader.course.oracle import expected_cases
from grader.engine.build.context import make_job
from grader.engine.docker_engine import DockerEngine, connect
from grader.engine.protocol import Sandbox
from grader.engine.watchdog import Cancellation
from grader.errors import EngineError, EnvironmentProblem, ImageUnavailable
from grader.grading.executor import Engines
from grader.grading.session import Session
from grader.models import BuildFailed, Built, Case, Emit, MemoryFile, ScriptSeen
from grader.submissions.models import ExerciseFiles

if TYPE_CHECKING:  # imported where one is made: most self-checks need no private engine, and its modules are many
    from grader.limits.probes import FewCores
    from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings
    from grader.sandbox.pool import PrivateSandboxes

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
    tier: Literal["private", "host"] = "host"
    whose: Literal["own", "known", "strangers"] = "known"
    cases: Mapping[str, tuple[Case, ...]] | None = None


@contextmanager
def open_engine() -> Iterator[DockerEngine]:
    """The engine, with everything of ours removed from it on the way out, also on Ctrl-C and SIGTERM."""
    with _termination_as_interrupt(), connect(builder=os.environ.get("GRADER_BUILDER")) as engine:
        try:
            yield engine
        except KeyboardInterrupt:
            engine.cancel()
            raise


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
        source = PrivateSource(settings.folder, host, BaseImageSupply(settings.folder, host, say), say)
        building: _HostEngine | _RenewableEngine = (
            stack.enter_context(_RenewableEngine(source)) if settings.tier == "private" else _HostEngine(host)
        )
        sandboxes = stack.enter_context(_LazySandboxes(source, allowed=settings.whose != "strangers"))
        look = partial(_look_at, host) if settings.whose == "own" else None
        yield Session(
            settings.folder.course,
            settings.seed,
            expected.result(),
            Engines(building.engine, sandboxes, look),
            _BuildBases(source, building.engine, side_by_side=settings.whose != "own"),
            emit,
            stop=partial(_stop, host, building.engine, stack),
            recover=building.recover,
        )
        for warning in building.engine.warnings:
            say(f"The engine warns: {warning}")


_expected = lru_cache(maxsize=1)(expected_cases)
"""The same figures have the same answers; `check --watch` asks again and again."""


def _look_at(engine: DockerEngine) -> ScriptSeen:
    """What is in the student's own engine."""
    from grader.sandbox.engine_state import own_engine_seen

    return own_engine_seen(engine.connection)


def _stop(host: DockerEngine, engine: DockerEngine, stack: ExitStack) -> None:
    host.cancel()
    engine.cancel()
    stack.close()


# ── the engine that builds and runs ─────────────────────────────────────────────────────

_RESTART_SECONDS = 60.0
"""How long an engine may be away that is started again; `systemctl restart docker` takes 2 to 15 s."""
_PRIVATE_SECONDS = 5.0
"""How long a private engine may be busy. Nobody starts one again that has ended: its container ends with it."""


class _HostEngine:
    """The user's own engine. Once it has not come back in all the time it is given, nobody waits for it any more."""

    def __init__(self, engine: DockerEngine) -> None:
        self.engine = engine
        self._gone = threading.Event()

    def recover(self) -> None:
        """Wait until the engine answers again."""
        if not self._gone.is_set() and not self.engine.comes_back(_RESTART_SECONDS):
            self._gone.set()


class _RenewableEngine:
    """An engine object in a private engine, which is replaced by another private engine when it has ended."""

    def __init__(self, source: PrivateSource) -> None:
        self._source = source
        self._settings = source.settings()
        self._lock = threading.Lock()
        self._private = ExitStack()
        self.engine = self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.cancel()  # what it made goes with the private engine
        with self._lock:  # one that is just being started belongs to the stack then
            self._private.close()

    def recover(self) -> None:
        """Start another private engine if this one has ended. If that fails, the next attempt fails and says why."""
        with self._lock, suppress(EnvironmentProblem):
            if not self.engine.comes_back(_PRIVATE_SECONDS):
                self._source.say("private engine: it has ended, starting another")
                with suppress(EngineError):
                    self._private.close()
                self.engine.move_to(self._start())

    def _start(self) -> DockerEngine:
        from grader.sandbox.nested_engine import start_private_engine

        source = self._source
        return self._private.enter_context(start_private_engine(source.host, self._settings, source.say)).engine


# ── private engines ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class PrivateSource:
    """What private engines are made from: the host engine, and its base images."""

    folder: CourseFolder
    host: DockerEngine
    supply: BaseImageSupply
    say: Say

    def settings(self) -> PrivateSettings:
        """The first name of each base image is made present in the host engine; others are taken if they are there."""
        from grader.sandbox.nested_engine import PrivateSettings

        names: list[str] = []
        for image in self.folder.course.images:
            self.supply(image.names[0])
            plain = [name for name in image.names if "*" not in name]
            names += [name for name in plain if self.host.image_labels(name) is not None]
        return PrivateSettings(tuple(names), os.environ)


class TrialEngine(NamedTuple):
    """A private engine to try things in: `engines` to grade in, and how to leave it few cores for a while."""

    private: PrivateEngine
    engine: DockerEngine
    engines: Engines
    few_cores: FewCores


@contextmanager
def trial_engine(folder: CourseFolder, host: DockerEngine, say: Say) -> Iterator[TrialEngine]:
    """A private engine of `SMALL_ENGINE`'s sizes with nothing but the base images in it."""
    from grader.limits.probes import SMALL_ENGINE, few_cores
    from grader.sandbox.nested_engine import start_private_engine
    from grader.sandbox.pool import PrivateSandbox

    source = PrivateSource(folder, host, BaseImageSupply(folder, host, say), say)
    settings = replace(source.settings(), **dict[str, Any](SMALL_ENGINE))
    with start_private_engine(host, settings, say) as private:
        images = folder.course.images
        sandbox = PrivateSandbox(private, settings.images[0], host.cancellation, images, source.supply)
        fewer = partial(few_cores, host.connection, private.container)
        engines = Engines(private.engine, lambda: nullcontext(sandbox))
        yield TrialEngine(private, private.engine, engines, fewer)


class _LazySandboxes:
    """Gives sandboxes, made at the first request: most exercises need none."""

    def __init__(self, source: PrivateSource, *, allowed: bool) -> None:
        self._source = source
        self._allowed = allowed
        self._cancellation = Cancellation()
        self._lock = threading.Lock()
        self._made: PrivateSandboxes | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._cancellation.cancel()
        if self._made:
            self._made.close()

    def __call__(self) -> AbstractContextManager[Sandbox]:
        """A sandbox for one submission. `EnvironmentProblem` where nobody's commands may be run."""
        if not self._allowed:
            raise EnvironmentProblem(NOT_RUN)
        from grader.sandbox.pool import PrivateSandboxes

        with self._lock:
            self._cancellation.check()
            if self._made is None:
                source = self._source
                self._made = PrivateSandboxes(
                    source.host,
                    source.settings(),
                    source.folder.course.images,
                    supply=source.supply,
                    say=source.say,
                )
        return self._made()


def _no_sandboxes() -> AbstractContextManager[Sandbox]:
    raise EnvironmentProblem(NOT_RUN)


def host_engines(host: DockerEngine) -> Engines:
    """The user's own engine, and nowhere to run commands."""
    return Engines(host, _no_sandboxes)


NOT_RUN = "Its commands were not run: this batch runs no commands of students on the engine that it uses."
"""Why an exercise is not graded whose commands nobody has allowed. Students read it, too."""


# ── base images ─────────────────────────────────────────────────────────────────────────


def base_images(engine: DockerEngine, say: Say) -> BaseImages:
    """What makes base images present in `engine`; `say` gets a line for each step."""
    return BaseImages(engine, say=say, cache=cache_folder(), environment=os.environ)


class BaseImageSupply:
    """Makes the course's base images present in an engine, each once. Safe from several threads."""

    def __init__(self, folder: CourseFolder, engine: DockerEngine, say: Say) -> None:
        self._folder = folder
        self._images = base_images(engine, say)
        self._lock = threading.Lock()
        self._origins: dict[str, str] = {}

    def __call__(self, reference: str) -> str:
        """Where the image came from. `ImageUnavailable` if it is not the course's or cannot be had."""
        with self._lock:
            if reference not in self._origins:
                base = base_of(reference, self._folder.course.images)
                if base is None:
                    spec = self._folder.root / "exercises.yaml"
                    raise ImageUnavailable(f"{reference} is not among the base images of {spec}.")
                self._origins[reference] = self._images.ensure(base, reference).origin
            return self._origins[reference]


class _BuildBases:
    """The base images in the engine that builds: what it does not hold is copied to it.

    Where builds run side by side, each is built on once before.

    Where the first builds on a base image run side by side, and the builder has nothing of it in its cache, BuildKit
    (seen in 20.10 and 26.1) may take their base for different ones. Then it finds nothing of those builds in its cache,
    however often they are built again.
    """

    def __init__(self, source: PrivateSource, engine: DockerEngine, *, side_by_side: bool) -> None:
        self._source = source
        self._engine = engine
        self._side_by_side = side_by_side
        self._lock = threading.Lock()
        self._ready: set[tuple[str, str]] = set()

    def __call__(self, reference: str) -> str:
        """Make it present, and say where it came from."""
        origin = self._source.supply(reference)
        with self._lock:
            name = self._engine.info().name  # another one where the engine was renewed meanwhile
            if (reference, name) not in self._ready:
                if self._engine.image_labels(reference) is None:
                    self._engine.copy_image(self._source.host.connection, reference)
                if self._side_by_side:
                    _build_on(self._engine, reference)
                self._ready.add((reference, name))
        return origin


def _build_on(engine: DockerEngine, reference: str) -> None:
    files = (MemoryFile("Dockerfile", f"FROM {reference}\n".encode()),)
    job = make_job(ExerciseFiles("", "", files, ""), (), "base")
    if not isinstance(job, BuildFailed):
        made = engine.build(job, Limits(), lambda _: None)
        if isinstance(made, Built):
            with suppress(EngineError):  # it goes at the end then, as do the images of the submissions
                engine.remove_image(made.image)


def cache_folder() -> Path:
    """Where locks and half-made images live between commands (XDG_CACHE_HOME)."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "grader"


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """SIGTERM ends a command like Ctrl-C does: everything is cleaned up first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
