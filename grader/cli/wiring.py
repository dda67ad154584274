"""Opening what grading needs: the engine, the base images, the expected answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from grader.base_images.provider import BaseImages, base_of
from grader.course.folder import CourseFolder
from grader.course.models import Exercise, Limits
from grader.course.oracle import expected_cases
from grader.engine.build.context import make_job
from grader.engine.client import connect
from grader.engine.docker_engine import DockerEngine
from grader.engine.protocol import Sandbox, Sandboxes
from grader.engine.store import copy_image
from grader.errors import EngineError, EnvironmentProblem, ImageUnavailable
from grader.events import Emit
from grader.grading.executor import Places
from grader.grading.session import Session
from grader.limits.meter import squeezed
from grader.limits.probes import SMALL_ENGINE, Sizes, Squeeze, Tier
from grader.models import BuildFailed, Built, Case, ExerciseFiles, MemoryFile
from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings, start_private_engine
from grader.sandbox.pool import OwnEngine, PrivateSandbox, PrivateSandboxes
from grader.sandbox.script import Workshop, workshop


@contextmanager
def open_engine() -> Iterator[DockerEngine]:
    """The engine, with everything of ours removed from it on the way out, also on Ctrl-C and SIGTERM."""
    with _termination_as_interrupt(), connect(builder=os.environ.get("GRADER_BUILDER")) as engine:
        try:
            yield engine
        except KeyboardInterrupt:
            engine.cancel()
            raise


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a session grades.

    `tier` says which engine builds and runs. `whose` says whose work it is: the user's `own` (whose engine may then be
    looked at), `known` (the course's, or such as may be run behind the guard), or `strangers`, whose commands are not.
    """

    tier: Tier = "host"
    whose: Literal["own", "known", "strangers"] = "known"


@contextmanager
def open_session(
    folder: CourseFolder,
    exercises: Sequence[Exercise],
    seed: int,
    emit: Emit,
    say: Callable[[str], None],
    *,
    terms: Terms = Terms(),
    cases: Mapping[str, tuple[Case, ...]] | None = None,
) -> Iterator[Session]:
    """Everything that gradings share. A broken reference stops here, before any student's code runs.

    The engine is asked first: where none answers, that is told at once, and not after the reference has loaded its own
    libraries.
    """
    with open_engine() as host, ExitStack() as stack:
        cases = cases or expected_cases(folder.predictor, exercises, seed)
        supply = image_supply(folder, host, say)
        nest = _Nest(folder, host, supply, say)
        engine, recover = host, _patience(host)
        if terms.tier == "private":
            engine, recover = stack.enter_context(_private_engine(nest))
        supply = _built_on_once(supply, host, engine)
        places = Places(engine, _sandboxes(nest, terms, stack), OwnEngine(host).look if terms.whose == "own" else None)

        def stop() -> None:
            host.cancel()
            engine.cancel()
            stack.close()

        yield Session(folder.course, seed, cases, places, supply, emit, stop=stop, recover=recover)
        for warning in engine.warnings:
            say(f"The engine warns: {warning}")


_RESTART_SECONDS = 60.0
"""How long an engine may be away that is started again; `systemctl restart docker` takes 2 to 15 s."""


def _patience(engine: DockerEngine) -> Callable[[], None]:
    """Waits until the engine answers. Once it has not in all that time, nobody waits for it any more."""
    gone = threading.Event()

    def wait() -> None:
        if not gone.is_set() and not engine.comes_back(_RESTART_SECONDS):
            gone.set()

    return wait


# ── private engines ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Nest:
    """What private engines are made from: the host engine, and its base images."""

    folder: CourseFolder
    host: DockerEngine
    supply: Callable[[str], str]
    say: Callable[[str], None]

    def settings(self) -> PrivateSettings:
        """The first name of each base image is made present in the host engine; others are taken if they are there."""
        names: list[str] = []
        for image in self.folder.course.images:
            self.supply(image.names[0])
            plain = [name for name in image.names if "*" not in name]
            names += [name for name in plain if self.host.image_labels(name) is not None]
        return PrivateSettings(tuple(names), cache_folder(), os.environ)


_PRIVATE_SECONDS = 5.0
"""How long a private engine may be busy. Nobody starts one again that has ended: its container ends with it."""


@contextmanager
def _private_engine(nest: _Nest) -> Iterator[tuple[DockerEngine, Callable[[], None]]]:
    """An engine object in a private engine, and what puts another private engine in the place of one that is gone."""
    settings = nest.settings()
    lock = threading.Lock()
    with ExitStack() as home:

        def start() -> DockerEngine:
            private = home.enter_context(start_private_engine(nest.host.connection, settings, nest.say))
            return _connected(private)

        engine = start()

        def renew() -> None:
            with lock, suppress(EnvironmentProblem):  # then the next attempt fails as the last one did, and says why
                if not engine.comes_back(_PRIVATE_SECONDS):
                    nest.say("private engine: it has ended, starting another")
                    with suppress(EngineError):
                        home.close()
                    engine.move_to(start())

        try:
            yield engine, renew
        finally:
            engine.cancel()  # what it made goes with the private engine
            with lock:  # one that is just being started has its place in `home` then
                pass


def _connected(private: PrivateEngine) -> DockerEngine:
    return connect(endpoint=private.endpoint, tier="private", cpus=private.cpus)


@dataclass(frozen=True, slots=True)
class TrialEngine:
    """A private engine to try things in: `places` to grade in, and a folder to run other commands in.

    `squeeze` leaves it fewer cores for a while.
    """

    private: PrivateEngine
    engine: DockerEngine
    places: Places
    workshop: Workshop
    squeeze: Squeeze


@contextmanager
def trial_engine(
    folder: CourseFolder, host: DockerEngine, say: Callable[[str], None], sizes: Sizes = SMALL_ENGINE
) -> Iterator[TrialEngine]:
    """A private engine of these sizes with nothing but the base images in it."""
    nest = _Nest(folder, host, image_supply(folder, host, say), say)
    settings = replace(nest.settings(), **asdict(sizes))
    with (
        start_private_engine(host.connection, settings, say) as private,
        _connected(private) as engine,
        workshop(host.connection, private, (), folder.course.limits, host.cancellation) as place,
    ):
        sandbox = PrivateSandbox(
            host.connection, private, engine, settings.images[0], host.cancellation, folder.course.images, nest.supply
        )
        squeeze = partial(squeezed, host.connection, private.container)
        yield TrialEngine(private, engine, Places(engine, lambda: nullcontext(sandbox)), place, squeeze)


def host_places(host: DockerEngine) -> Places:
    """The user's own engine, and nowhere to run commands."""

    def nowhere() -> AbstractContextManager[Sandbox]:
        raise EnvironmentProblem(_RISK)

    return Places(host, nowhere)


def _sandboxes(nest: _Nest, terms: Terms, stack: ExitStack) -> Sandboxes:
    """What gives sandboxes, made at the first request: most exercises need none."""
    lock = threading.Lock()
    made: list[PrivateSandboxes] = []

    def take() -> AbstractContextManager[Sandbox]:
        if terms.whose == "strangers":
            raise EnvironmentProblem(_RISK)
        with lock:
            if not made:
                sandboxes = PrivateSandboxes(
                    nest.host,
                    nest.settings(),
                    nest.folder.course.images,
                    connect=_connected,
                    supply=nest.supply,
                    say=nest.say,
                )
                made.append(sandboxes)
                stack.callback(sandboxes.close)
        return made[0]()

    return take


_RISK = (
    "Not graded: this exercise runs commands that the student wrote, and with `--engine host` no commands of other "
    "people are run. Leave `--engine host` out, so that they get an engine of their own behind a guard; or allow just "
    "that for these exercises with `--accept-risk`."
)


def _built_on_once(supply: Callable[[str], str], host: DockerEngine, engine: DockerEngine) -> Callable[[str], str]:
    """A supply for the engine that builds: what a private one does not hold yet is copied to it; each is built on once.

    Where the first builds on a base image run side by side, and the builder has nothing of it in its cache, BuildKit
    (seen in 20.10 and 26.1) may take their base for different ones. Then it finds nothing of those builds in its cache,
    however often they are built again.
    """
    lock = threading.Lock()
    ready: set[tuple[str, str]] = set()

    def ensure(reference: str) -> str:
        origin = supply(reference)
        with lock:
            target = engine.connection  # the engine may be renewed meanwhile
            if (reference, target.endpoint) not in ready:
                if engine.image_labels(reference) is None:
                    copy_image(host.connection, target, reference)
                _build_on(engine, reference)
                ready.add((reference, target.endpoint))
        return origin

    return ensure


def _build_on(engine: DockerEngine, reference: str) -> None:
    files = (MemoryFile("Dockerfile", f"FROM {reference}\n".encode()),)
    job = make_job(ExerciseFiles("", "", files, ""), (), "base")
    if not isinstance(job, BuildFailed):
        made = engine.build(job, Limits(), lambda _: None)
        if isinstance(made, Built):
            with suppress(EngineError):  # it goes at the end then, as do the images of the submissions
                engine.remove_image(made.image)


# ── base images ─────────────────────────────────────────────────────────────────────────


def base_images(engine: DockerEngine, say: Callable[[str], None]) -> BaseImages:
    """What makes base images present in `engine`; `say` gets a line for each step."""
    return BaseImages(engine, say=say, cache=cache_folder(), environment=os.environ)


def image_supply(folder: CourseFolder, engine: DockerEngine, say: Callable[[str], None]) -> Callable[[str], str]:
    """A function that makes a base image present, once, and says where it came from. Safe from several threads."""
    supply = base_images(engine, say)
    lock = threading.Lock()
    known: dict[str, str] = {}

    def ensure(reference: str) -> str:
        with lock:
            if reference not in known:
                base = base_of(reference, folder.course.images)
                if base is None:
                    raise ImageUnavailable(
                        f"{reference} is not among the base images of {folder.root / 'exercises.yaml'}."
                    )
                known[reference] = supply.ensure(base, reference).origin
            return known[reference]

    return ensure


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
