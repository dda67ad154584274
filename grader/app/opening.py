"""Opening what grading needs: the engine, the base images, the expected answers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from grader.course import CourseFolder
from grader.engine import DockerEngine, connect
from grader.errors import ImageUnavailable
from grader.events import Emit
from grader.images import BaseImages, base_of
from grader.reference import expected_cases
from grader.session import Session
from grader.spec import Exercise

__all__ = ["base_images", "image_supply", "open_engine", "open_session"]


@contextmanager
def open_engine(tier: str = "host") -> Iterator[DockerEngine]:
    """The engine, with everything of ours removed from it on the way out, also on Ctrl-C and SIGTERM."""
    with _termination_as_interrupt(), connect(builder=os.environ.get("GRADER_BUILDER"), tier=tier) as engine:
        try:
            yield engine
        except KeyboardInterrupt:
            engine.cancel()
            raise


@contextmanager
def open_session(
    folder: CourseFolder, exercises: Sequence[Exercise], seed: int, emit: Emit, say: Callable[[str], None]
) -> Iterator[Session]:
    """Everything that gradings share. Expected answers come first: a broken reference stops here."""
    cases = expected_cases(folder.predictor, exercises, seed)
    with open_engine() as engine:
        yield Session(folder.course, seed, cases, engine, image_supply(folder, engine, say), emit)
        for warning in engine.warnings:
            say(f"The engine warns: {warning}")


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
