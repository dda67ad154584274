"""End to end: the command as users start it, on a real engine. Whatever it does, nothing of it may stay there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from grader.owner import OWNER_LABEL, Owner, is_dead

ROOT = Path(__file__).parents[2]
Grader = Callable[..., subprocess.CompletedProcess[str]]


def docker(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=120)


KINDS = ("container", "image", "volume", "network")


def made(kind: str) -> dict[str, Owner]:
    """What the engine holds with our labels, of one kind: id and owner."""
    listing = {"container": ["ps", "-aq"], "image": ["images", "-q"]}.get(kind, [kind, "ls", "-q"])
    found = docker(*listing, "--filter", f"label={OWNER_LABEL}").stdout.split()
    field = {"container": ".Config.Labels", "image": ".Config.Labels"}.get(kind, ".Labels")
    form = f'{{{{index {field} "{OWNER_LABEL}"}}}}'
    owners = {one: Owner.parse(docker(kind, "inspect", "-f", form, one).stdout.strip()) for one in found}
    return {one: owner for one, owner in owners.items() if owner}


def left() -> list[str]:
    """What graders have left that have ended. Other graders may be at work on this engine; theirs is theirs."""
    return [f"{kind} {one}" for kind in KINDS for one, owner in made(kind).items() if is_dead(owner)]


def made_by(pid: int) -> list[str]:
    """The containers that the grader with this process id has now."""
    return [one for one, owner in made("container").items() if owner.pid == pid]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = set(left())
    yield
    # What another run of these tests has just killed on this engine, it removes soon; what is ours to remove stays.
    deadline = time.monotonic() + 30
    while (found := set(left()) - before) and time.monotonic() < deadline:
        time.sleep(1)
    assert found == set()


@pytest.fixture
def grader(tmp_path: Path) -> Grader:
    """`grader` with arguments, in an empty folder, with no terminal."""

    def call(*words: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "grader", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )

    return call


@pytest.fixture
def solution(tmp_path: Path) -> Callable[..., Path]:
    """A copy of one of the reference's solutions, as a folder named by its exercise."""

    def copy(exercise: str, name: str, kind: str = "solutions", student: str = "me") -> Path:
        target = tmp_path / student / exercise
        shutil.copytree(ROOT / "reference" / kind / exercise / name, target)
        return target

    return copy
