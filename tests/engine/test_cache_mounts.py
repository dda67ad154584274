"""What `RUN --mount=type=cache` keeps is kept for the submission's own next build, and for nobody else's."""

from __future__ import annotations

import pytest

from grader.engine.build.context import make_job
from grader.engine.docker_engine import DockerEngine
from grader.models import BuildFailed, Built, MemoryFile
from grader.submissions.models import ExerciseFiles
from tests.engine.contexts import BASE, LIMITS, ignore

pytestmark = pytest.mark.engine


def built(engine: DockerEngine, digest: str, command: str) -> Built | BuildFailed:
    text = f"FROM {BASE}\nRUN --mount=type=cache,target=/kept {command}\n"
    files = ExerciseFiles("x", "x", (MemoryFile("Dockerfile", text.encode()),), digest)
    job = make_job(files, (), "cache")
    assert not isinstance(job, BuildFailed)
    return engine.build(job, LIMITS, ignore)


def test_caches_are_each_submissions_own(engine: DockerEngine) -> None:
    ada, eve = "a" * 64, "e" * 64
    assert isinstance(built(engine, eve, "date +%s%N > /kept/poison"), Built)
    assert isinstance(built(engine, eve, "test -s /kept/poison"), Built)
    assert isinstance(built(engine, ada, "test ! -e /kept/poison"), Built)
