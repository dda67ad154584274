"""The grader as an image, for CI: built from the top-level Dockerfile, it grades through a mounted engine socket."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.course.models import Limits
from grader.engine.client import connect
from grader.engine.protocol import BuildJob
from grader.models import Built
from tests.dockerfiles import dockerfile
from tests.e2e.conftest import ROOT, docker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]  # its build downloads NumPy and pandas
SOCKET = Path("/var/run/docker.sock")


def context() -> bytes:
    """The repository as a build context: what the Dockerfile copies, and nothing else."""
    parts = ("Dockerfile", "LICENSE", "README.md", "exercises.yaml", "docs/handbook", "pyproject.toml", "requirements")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for part in (*parts, "scripts", "starter", "reference", "grader"):
            archive.add(ROOT / part, part, filter=lambda entry: None if "__pycache__" in entry.name else entry)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def grader_image() -> Iterator[str]:
    """Built through our own engine object, which removes it with everything of it at the end."""
    with connect() as engine:
        job = BuildJob(context(), dockerfile((ROOT / "Dockerfile").read_bytes()), "grader")
        built = engine.build(job, Limits(build_seconds=800), lambda _step: None)
        assert isinstance(built, Built), built
        yield built.image


@pytest.mark.skipif(not SOCKET.is_socket(), reason="the engine has no local socket to mount")
def test_it_grades_through_the_mounted_socket(grader_image: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "reference/solutions/3.1.4/entrypoint-with-the-script", tmp_path / "3.1.4")
    run = ("run", "--rm", "-v", f"{SOCKET}:{SOCKET}", "-v", f"{tmp_path}:/submission:ro", grader_image)
    done = docker(*run, "check", "/submission/3.1.4")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "10 / 10" in done.stdout
    wrong = ROOT / "reference/wrong/3.1.4/command-instead-of-entrypoint"
    shutil.copytree(wrong, tmp_path / "other/3.1.4")
    done = docker(*run, "check", "/submission/other")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no ENTRYPOINT" in done.stdout
