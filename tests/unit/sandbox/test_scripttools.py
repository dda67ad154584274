"""What stands before `docker` and `sudo` in the script container, so that what was typed at a terminal works."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / "grader" / "sandbox" / "tools"
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

DOCKER = [
    ("run -it sales", "run -i sales"),
    ("run -ti --rm -p 80:80 sales -t x", "run -i --rm -p 80:80 sales -t x"),
    ("run -itd --name x sales", "run -id --name x sales"),
    ("run -p80:80 -e A=1 --tty sales", "run -p80:80 -e A=1 sales"),
    ("run --memory 5m --tty=true sales", "run --memory 5m sales"),
    ("run --name -t sales", "run --name -t sales"),
    ("run --entrypoint python -it sales -c 1", "run --entrypoint python -i sales -c 1"),
    ("exec -it web bash", "exec -i web bash"),
    ("run", "run"),
    ("run -it", "run -i"),
    ("build -t sales .", "build -t sales ."),
    ("buildx build --load --progress=plain -t sales .", "build -t sales ."),
    ("builder build --progress plain --provenance false -f D .", "build -f D ."),
    ("buildx prune -f", "builder prune -f"),
]
SUDO = [
    ("docker ps -a", "docker ps -a"),
    ("-E docker ps", "docker ps"),
    ("-u root docker ps", "docker ps"),
    ("-n -- docker ps -a", "docker ps -a"),
    ("A=1 docker ps", "A=1 docker ps"),
    ("-i", ""),
]


def passed_on(tool: str, words: str, program: str, folder: Path) -> str:
    """What the tool passes on to the program that stands behind it."""
    shown = folder / "shown"
    shown.write_text('#!/bin/bash\necho "$@"\n', encoding="ascii")
    shown.chmod(0o755)
    source = (TOOLS / tool).read_text(encoding="utf-8")
    assert program in source
    (folder / tool).write_text(source.replace(program, str(shown)), encoding="utf-8")
    done = subprocess.run(["bash", folder / tool, *words.split()], capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).strip()


@pytest.mark.parametrize(("typed", "passed"), DOCKER)
def test_a_terminal_is_not_asked_for(typed: str, passed: str, tmp_path: Path) -> None:
    assert passed_on("docker", typed, "/usr/bin/docker", tmp_path) == passed


@pytest.mark.parametrize(("typed", "passed"), SUDO)
def test_nobody_has_to_be_root(typed: str, passed: str, tmp_path: Path) -> None:
    assert passed_on("sudo", typed, "env --", tmp_path) == passed
