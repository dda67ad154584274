"""Tests on the real engine: engine objects, and a look at what is left at their end."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine, connect
from grader.engine.ownership import OWNER_LABEL, our_objects, this_process
from grader.models import BuildFailed, Built
from grader.sandbox.nested_engine import PrivateEngine, start_private_engine
from tests.engine.contexts import BASE, LIMITS, PRIVATE, Build, ignore, make_job


@pytest.fixture(scope="module")
def host() -> Iterator[DockerEngine]:
    """The engine of this machine, if containers in it may do the first thing that a nested engine does: mount."""
    rights = ("--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined")
    mount = ("docker", "run", "--rm", "--network=none", *rights, BASE, "mount", "-t", "tmpfs", "none", "/mnt")
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no engine can run in a container here: {tried.stderr}")
    with connect(builder="buildkit") as engine:
        yield engine
        assert left_in(engine) == []


@pytest.fixture(scope="module")
def private(host: DockerEngine) -> Iterator[PrivateEngine]:
    """A private engine for all tests of a module."""
    with start_private_engine(host, PRIVATE, print) as engine:
        yield engine


def left_in(engine: DockerEngine) -> list[object]:
    """What this process has left in the engine."""
    ours = str(this_process())
    return [one for one in our_objects(engine.connection) if dict(one.labels).get(OWNER_LABEL) == ours]


@pytest.fixture
def connected() -> Iterator[Callable[..., DockerEngine]]:
    """Makes engine objects; at the end all are closed, and nothing of this process may be left in the engine."""
    with ExitStack() as stack:

        def make(builder: str | None = "buildkit") -> DockerEngine:
            return stack.enter_context(connect(builder=builder))

        yield make
        last = make()
    assert left_in(last) == []


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
