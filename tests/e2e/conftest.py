"""End to end: the command as users start it, on a real engine. Whatever it does, nothing of it may stay there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from grader.engine.ownership import OWNER_LABEL, Owner, is_dead

ROOT = Path(__file__).parents[2]
Grader = Callable[..., subprocess.CompletedProcess[str]]


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=120)


one_after_another = pytest.mark.xdist_group("graders die")
"""For tests in which graders are killed, and that have left what is there removed: `grader prune` is for all."""
_started: set[int] = set()

KINDS = ("container", "image", "volume", "network")


def made(kind: str) -> dict[str, Owner]:
    """What the engine holds with our labels, of one kind: id and owner."""
    listing = {"container": ["ps", "-aq"], "image": ["images", "-q"]}.get(kind, [kind, "ls", "-q"])
    found = {*docker(*listing, "--filter", f"label={OWNER_LABEL}").stdout.split()}
    if kind == "image":  # whoever was the first to need a private engine has made its image, which is kept
        found -= {*docker("images", "-q", "grader-private").stdout.split()}
    if not found:
        return {}
    name, labels = {"volume": (".Name", ".Labels"), "network": (".Id", ".Labels")}.get(kind, (".Id", ".Config.Labels"))
    form = f'{{{{{name}}}}} {{{{index {labels} "{OWNER_LABEL}"}}}}'
    # One call for all; what has gone since it was listed is told on standard error, and of no interest.
    lines = docker(kind, "inspect", "-f", form, *found).stdout.splitlines()
    return {one: owner for one, _, text in (line.partition(" ") for line in lines) if (owner := Owner.parse(text))}


def start(*command: str | Path, **options: Any) -> subprocess.Popen[Any]:
    """Start a process, with options as of `Popen`. What it leaves in the engine is looked for after the test."""
    process: subprocess.Popen[Any] = subprocess.Popen(command, **options)
    _started.add(process.pid)
    return process


def start_grader(*words: str, environment: Mapping[str, str] = os.environ, **options: Any) -> subprocess.Popen[str]:
    """Start `grader` with arguments and more of an environment, with no terminal; options are those of `Popen`."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT, **options}
    return start(sys.executable, "-m", "grader", *words, env=known, text=True, **options)


def until(happened: Callable[[], object], seconds: float = 120) -> None:
    """Wait until something has happened."""
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.02)


def left() -> list[str]:
    """What graders have left that these tests have started and that have ended. What is of others is theirs."""
    owners = ((f"{kind} {one}", owner) for kind in KINDS for one, owner in made(kind).items())
    return [name for name, owner in owners if owner.pid in _started and is_dead(owner)]


def made_by(pid: int) -> list[str]:
    """The containers that the grader with this process id has now."""
    return [one for one, owner in made("container").items() if owner.pid == pid]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    _started.clear()
    yield
    assert left() == []


@pytest.fixture
def grader(tmp_path: Path) -> Grader:
    """`grader` with arguments, in an empty folder, to its end."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}

    def call(*words: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {"XDG_STATE_HOME": str(tmp_path / "state"), **environment}
        with start_grader(*words, cwd=cwd, environment=known, **pipes) as process:
            try:
                printed, said = process.communicate(timeout=300)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(words, process.returncode, printed, said)

    return call


@pytest.fixture
def solution(tmp_path: Path) -> Callable[..., Path]:
    """A copy of one of the reference's solutions, as a folder named by its exercise."""

    def copy(exercise: str, name: str, kind: str = "solutions", student: str = "me") -> Path:
        target = tmp_path / student / exercise
        shutil.copytree(ROOT / "reference" / kind / exercise / name, target)
        return target

    return copy
