"""`grader batch --scheduler`: a class graded by workers of a Dask scheduler, on a real engine."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Grader, left, made_by, start, start_grader, until
from tests.e2e.test_batch import marks

pytestmark = [pytest.mark.engine, pytest.mark.long]
_SETTINGS = {
    "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "false",
    "DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__STATUS__TASK_STREAM_LENGTH": "1",
}


@contextmanager
def dask(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """`dask …` until the block ends."""
    process = start(
        sys.executable, "-m", "dask", *words,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, **_SETTINGS, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler, and its two workers."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with ExitStack() as stack:
        stack.enter_context(dask("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"))
        until(lambda: listens(port))
        words = ("--nthreads", "1", "--nworkers", "1", "--no-nanny", "--no-dashboard")
        folders = [str(tmp_path / f"worker-{number}") for number in (1, 2)]
        workers = [
            stack.enter_context(dask("worker", address, *words, "--local-directory", folder)) for folder in folders
        ]
        yield address, workers


@pytest.fixture
def class_of_six(tmp_path: Path) -> Path:
    for kind, name in (
        ("solutions", "entrypoint-with-the-script"),
        ("wrong", "usage-exits-zero"),
        ("wrong", "command-instead-of-entrypoint"),
    ):
        for twin in "ab":
            source = ROOT / "reference" / kind / "3.1.4" / name
            shutil.copytree(source, tmp_path / "class" / f"{name}-{twin}" / "3.1.4")
    return tmp_path / "class"


def test_workers_give_the_marks_that_one_machine_gives_also_when_one_dies(
    grader: Grader, two_workers: tuple[str, list[subprocess.Popen[bytes]]], class_of_six: Path, tmp_path: Path
) -> None:
    address, (first, _) = two_workers
    words = ("batch", str(class_of_six), "--exercise", "3.1.4", "--seed", "5", "--engine", "host")
    batch = start_grader(
        *words, "--out", str(tmp_path / "many"), "--scheduler", address, stderr=subprocess.PIPE, environment=_SETTINGS
    )
    until(lambda: made_by(first.pid))
    first.send_signal(signal.SIGKILL)
    _, told = batch.communicate(timeout=240)
    assert batch.returncode == 0, told
    assert grader(*words, "--out", str(tmp_path / "alone")).returncode == 0
    assert marks(tmp_path / "many") == marks(tmp_path / "alone")
    assert grader("prune").returncode == 0
    assert grader("prune").returncode == 0
    assert left() == []


def test_without_workers_it_says_how_to_start_some(grader: Grader, class_of_six: Path, tmp_path: Path) -> None:
    words = ("batch", str(class_of_six), "--out", str(tmp_path / "out"), "--exercise", "3.1.4")
    nobody = grader(*words, "--scheduler", f"tcp://127.0.0.1:{free_port()}")
    assert (nobody.returncode, "dask scheduler" in nobody.stderr) == (3, True), nobody.stderr
    anybody = grader(*words, "--scheduler", "tcp://192.0.2.1:8786")
    assert (anybody.returncode, "tls://" in anybody.stderr) == (2, True), anybody.stderr
    both = grader(*words, "--scheduler", "tls://192.0.2.1:8786", "--jobs", "2")
    assert (both.returncode, "--nthreads" in both.stderr) == (2, True), both.stderr
