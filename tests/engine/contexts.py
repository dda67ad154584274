"""Build contexts from dictionaries, for tests on the real engine."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

from grader.course.models import Limits
from grader.engine.protocol import BuildJob
from grader.models import BuildFailed, BuildStep, Built
from tests.dockerfiles import dockerfile as read_dockerfile

BASE = "python:3.9-slim"
LIMITS = Limits(build_seconds=120, run_seconds=20, memory_mb=64)

Build = Callable[..., Built | BuildFailed]


def make_job(dockerfile: str, files: dict[str, bytes] | None = None) -> BuildJob:
    """A context with these files and this Dockerfile, whose FROM line is added unless it has one."""
    text = dockerfile if "FROM " in dockerfile else f"FROM {BASE}\n{dockerfile}"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in {"Dockerfile": text.encode(), **(files or {})}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return BuildJob(buffer.getvalue(), read_dockerfile(text), "test")


def ignore(_: BuildStep) -> None:
    """A listener that does not listen."""
