"""Tests on the real engine: engine objects, and a look at what is left at their end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine, connect
from grader.engine.ownership import OWNER_LABEL, our_objects, this_process
from grader.models import BuildFailed, Built
from tests.engine.contexts import BASE, LIMITS, Build, ignore, make_job


@pytest.fixture
def connected() -> Iterator[Callable[..., DockerEngine]]:
    """Makes engine objects; at the end all are closed, and nothing of this process may be left in the engine."""
    with ExitStack() as stack:

        def make(builder: str | None = "buildkit") -> DockerEngine:
            return stack.enter_context(connect(builder=builder))

        yield make
        last = make()
    left = [one for one in our_objects(last._connection) if dict(one.labels).get(OWNER_LABEL) == str(this_process())]
    assert left == []


@pytest.fixture
def engine(connected: Callable[..., DockerEngine]) -> DockerEngine:
    """One engine object with the base image at hand."""
    made = connected()
    assert made.image_labels(BASE) is not None, f"{BASE} is missing: run `grader images` first"
    return made


@pytest.fixture
def build(engine: DockerEngine) -> Build:
    """Build a Dockerfile with files in its context."""

    def run(dockerfile: str, files: dict[str, bytes] | None = None, limits: Limits = LIMITS) -> Built | BuildFailed:
        return engine.build(make_job(dockerfile, files), limits, ignore)

    return run


@pytest.fixture
def made(build: Build) -> Callable[..., str]:
    """Build as `build` does what must build; the id of the image."""

    def run(dockerfile: str, files: dict[str, bytes] | None = None) -> str:
        built = build(dockerfile, files)
        assert isinstance(built, Built), built
        return built.image

    return run


@pytest.fixture
def image(made: Callable[..., str]) -> str:
    """The id of an image with nothing but Python in it, and python as its entrypoint."""
    return made('ENTRYPOINT ["python"]\n')
