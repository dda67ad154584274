"""The grader as an image: it grades where nothing is shared with the engine but the engine's API.

Built from the top-level Dockerfile, it reaches the engine through the mounted socket, or over TCP as it would a remote
one. The submission is copied into its container, so no folder is shared either.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from grader.base_images.provider import BaseImages, base_of
from grader.checks import REASONS
from grader.course.loader import open_course
from grader.course.models import Limits
from grader.engine.docker_engine import connect
from grader.engine.protocol import BuildJob
from grader.models import Built
from tests.dockerfiles import dockerfile
from tests.e2e.conftest import ROOT, docker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]  # its build downloads NumPy and pandas
SOCKET = Path("/var/run/docker.sock")
BASE = "python:3.11-slim"
COPIED = (
    *("Dockerfile", "LICENSE", "README.md", "exercises.yaml", "pyproject.toml", "requirements", "docs/handbook"),
    *("scripts", "starter", "reference", "grader"),
)
"""What the Dockerfile copies."""
RIGHT = {
    "3.1.2": "two-commands",
    "3.1.4": "entrypoint-with-the-script",
    "3.3.1": "tagged-afterwards",
    "3.3.3": "short-notation",
    "3.3.5": "one-by-one-in-a-loop",
}
WRONG = {
    "3.1.2": "another-folder-built",
    "3.1.4": "command-instead-of-entrypoint",
    "3.3.1": "tag-failed-and-nobody-noticed",
    "3.3.3": "mounted-where-nobody-reads",
    "3.3.5": "only-the-exited-ones",
}


@pytest.fixture(scope="module")
def grader_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image that the top-level Dockerfile makes, from a base image that knows the certificates of this machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for part in COPIED:
            archive.add(ROOT / part, part, filter=lambda entry: None if "__pycache__" in entry.name else entry)
    with connect() as engine:
        course = open_course(ROOT, os.environ, ROOT, REASONS).course
        images = BaseImages(engine, say=print, cache=tmp_path_factory.mktemp("cache"), environment=os.environ)
        base = base_of(BASE, course.images)
        assert base
        images.ensure(base, BASE)
        job = BuildJob(buffer.getvalue(), dockerfile((ROOT / "Dockerfile").read_bytes()), "grader")
        built = engine.build(job, Limits(build_seconds=800), lambda _step: None)
        assert isinstance(built, Built), built
        yield built.image


@pytest.fixture
def relay() -> Iterator[str]:
    """The engine of this machine at a TCP address of it, as in DOCKER_HOST."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def accept(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            threading.Thread(target=carry, args=(server.accept()[0],), daemon=True).start()


def carry(client: socket.socket) -> None:
    with client, socket.socket(socket.AF_UNIX) as engine:
        engine.connect(str(SOCKET))
        answers = threading.Thread(target=pump, args=(engine, client), daemon=True)
        answers.start()
        pump(client, engine)
        answers.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def grade(image: str, submission: Path, *options: str) -> tuple[int, dict[str, str]]:
    """Grade a folder that is copied into a container of the image: the exit code, and each exercise's status."""
    created = docker("create", *options, image, "check", "/submission", "--format", "json")
    assert created.returncode == 0, created.stderr
    container = created.stdout.strip()
    try:
        assert docker("cp", f"{submission}/.", f"{container}:/submission").returncode == 0
        command = ["docker", "start", "--attach", container]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
        report: dict[str, Any] = json.loads(done.stdout) if done.stdout else pytest.fail(done.stderr)
    finally:
        docker("rm", "--force", container)
    statuses = {one["id"]: one["status"] for one in report["exercises"] if one["id"] in RIGHT}
    assert "not_graded" not in statuses.values(), report
    return done.returncode, statuses


@pytest.mark.parametrize("over_tcp", [False, True], ids=["mounted socket", "TCP, as a user"])
@pytest.mark.parametrize(
    ("kind", "names", "code", "status"), [("solutions", RIGHT, 0, "passed"), ("wrong", WRONG, 1, "failed")]
)
def test_it_grades_wherever_the_engine_is(
    grader_image: str, relay: str, tmp_path: Path, *,
    over_tcp: bool, kind: str, names: dict[str, str], code: int, status: str,
) -> None:  # fmt: skip
    for exercise, name in names.items():
        shutil.copytree(ROOT / "reference" / kind / exercise / name, tmp_path / exercise)
    tcp = ("--network", "host", "--user", "1000:1000", "--env", f"DOCKER_HOST={relay}")
    options = tcp if over_tcp else ("--volume", f"{SOCKET}:{SOCKET}")
    assert grade(grader_image, tmp_path, *options) == (code, dict.fromkeys(names, status))
