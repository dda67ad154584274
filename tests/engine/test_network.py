"""Builds that cannot fetch, on a real engine: what the network's fault is and what is not."""

from __future__ import annotations

import pytest

from grader.engine.docker_engine import DockerEngine
from grader.errors import EngineError
from grader.grading.executor import Engines, Executor
from grader.models import (
    BuildFailed,
    BuildRequest,
    Built,
    MemoryFile,
)
from grader.submissions.models import ExerciseFiles
from tests.engine.contexts import BASE, LIMITS, Build
from tests.unit.grading.test_executor import FakeSandboxes

pytestmark = pytest.mark.engine

NOWHERE = "http://127.0.0.1:9"
"""A port at which nothing listens."""
NOBODY = "http://index.invalid:3142"
"""A name that no server of names knows, as of any name where there is none (RFC 6761)."""


def graded(engine: DockerEngine, dockerfile: str, *, base: str = BASE) -> Built | BuildFailed:
    """What a build of the student's comes to."""
    files = ExerciseFiles("3.2.1", "folder", (MemoryFile("Dockerfile", f"FROM {base}\n{dockerfile}".encode()),), "d")
    with Executor(Engines(engine, FakeSandboxes()), files, LIMITS, "ex", lambda _: None, bases=(base,)) as observe:
        seen = observe(BuildRequest())
    assert isinstance(seen, Built | BuildFailed)
    return seen


@pytest.fixture
def cut_off(engine: DockerEngine, build: Build) -> str:
    """A base image whose pip and apt are sent to where nothing is, as if the network were down."""
    made = build(
        f"RUN pip config --global set global.index-url {NOWHERE}/simple && pip config --global set global.retries 1"
        f""" && echo 'Acquire::http::Proxy "{NOBODY}";' > /etc/apt/apt.conf.d/99proxy\n"""
    )
    assert isinstance(made, Built)
    name = f"grader-test-{made.image.removeprefix('sha256:')[:12]}:cut-off"
    engine.tag_image(made.image, name)
    return name


@pytest.mark.parametrize(
    "instruction",
    ["RUN pip install click\n", "RUN apt-get update && apt-get install -y rsync\n", "RUN pip install clikc\n"],
    ids=["pip", "apt", "misspelt besides"],
)
def test_without_a_network_nobody_is_blamed(engine: DockerEngine, cut_off: str, instruction: str) -> None:
    with pytest.raises(EngineError, match="network and the package index"):
        graded(engine, instruction, base=cut_off)


@pytest.mark.parametrize(
    ("instruction", "told"),
    [
        (f"RUN pip install --retries 0 --index-url {NOWHERE}/simple click\n", "(from versions: none)"),
        ("RUN pip install clikc-for-grader\n", "(from versions: none)"),
        ("RUN echo \"Temporary failure resolving 'deb'\" && exit 1\n", "Temporary failure"),
    ],
    ids=["an index that is none", "misspelt", "printed on purpose"],
)
def test_where_only_the_student_cannot_fetch_the_build_has_failed(
    engine: DockerEngine, instruction: str, told: str
) -> None:
    seen = graded(engine, instruction)
    assert isinstance(seen, BuildFailed)
    assert told in next(step.log for step in seen.steps if step.error)


def test_a_network_that_failed_once_is_no_matter(engine: DockerEngine) -> None:
    once = 'test -e /kept/failed || { touch /kept/failed; echo "Read timed out."; exit 1; }'
    assert isinstance(graded(engine, f"RUN --mount=type=cache,target=/kept {once}\n"), Built)
