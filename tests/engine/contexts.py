"""Build contexts from dictionaries, for tests on the real engine."""

from __future__ import annotations

import os
from collections.abc import Callable

from grader.course.models import Limits
from grader.engine.protocol import BuildJob
from grader.engine.tar import write_tar
from grader.models import BuildFailed, BuildStep, Built, MemoryFile
from grader.sandbox.nested_engine import PrivateSettings
from tests.dockerfiles import dockerfile as read_dockerfile

BASE = "python:3.9-slim"
PRIVATE = PrivateSettings((BASE,), os.environ, memory_mb=1000, processes=400)
LIMITS = Limits(build_seconds=120, run_seconds=20, memory_mb=64)

Build = Callable[..., Built | BuildFailed]


def make_job(dockerfile: str, files: dict[str, bytes] | None = None) -> BuildJob:
    """A context with these files and this Dockerfile, whose FROM line is added unless it has one."""
    text = dockerfile if "FROM " in dockerfile else f"FROM {BASE}\n{dockerfile}"
    entries = {"Dockerfile": text.encode(), **(files or {})}
    context = write_tar([MemoryFile(name, content) for name, content in entries.items()], modified=0)
    return BuildJob(context, read_dockerfile(text), "test")


def ignore(_: BuildStep) -> None:
    """A listener that does not listen."""
