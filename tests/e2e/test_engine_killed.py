"""`kill -9` of the engine itself, a private one, in a build, a run, a script and Compose: all is graded again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, docker, made_by, start_grader, until
from tests.e2e.test_kill_points import left_by, outcome

pytestmark = [pytest.mark.engine, pytest.mark.private]

MOMENT = "4.531"
"""How long what is to be cut off sleeps: by this word its process is found."""


def build(student: Path) -> None:
    folder = solution(student, "3.1.4", "entrypoint-with-the-script")
    insert(folder / "Dockerfile", "ENTRYPOINT", f"RUN sleep {MOMENT}")


def run(student: Path) -> None:
    folder = solution(student, "3.1.4", "entrypoint-with-the-script")
    script = folder / "sales_predictor.py"
    wait = f"import subprocess, sys\nif len(sys.argv) == 1:\n    subprocess.run(['sleep', '{MOMENT}'])\n"
    script.write_text(wait + script.read_text(encoding="utf-8"), encoding="utf-8")


def script(student: Path) -> None:
    commands = solution(student, "3.3.5", "by-force") / "commands.sh"
    commands.write_text(f"sleep {MOMENT}\n" + commands.read_text(encoding="utf-8"), encoding="utf-8")


def compose(student: Path) -> None:
    folder = solution(student, "3.3.3", "short-notation")
    insert(folder / "Dockerfile", "CMD", f"RUN sleep {MOMENT}")


def solution(student: Path, exercise: str, name: str) -> Path:
    return Path(shutil.copytree(ROOT / "reference" / "solutions" / exercise / name, student / exercise))


def insert(file: Path, before: str, line: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert before in text
    file.write_text(text.replace(before, f"{line}\n{before}", 1), encoding="utf-8")


def processes(*words: str) -> list[int]:
    """Those whose command line has all these words, on this machine, in containers too."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if all(word in line for word in words):
            found.append(int(path.parent.name))
    return found


def newest_engine(grader: int) -> int:
    """The process of the private engine that this grader started last."""
    form = "{{.Created}} {{.Name}} {{.State.Pid}}"
    created = [docker("inspect", "-f", form, one).stdout.split() for one in made_by(grader)]
    *_, init = max(words for words in created if words and re.fullmatch("/grader-private-[0-9a-f]+", words[1]))
    (engine,) = (one for one in processes("dockerd") if parent(one) == int(init))
    return engine


def parent(process: int) -> int:
    """Field 4 of /proc/PID/stat."""
    return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


@pytest.mark.parametrize("submit", [build, run, script, compose], ids=lambda submit: str(submit.__name__))
def test_the_engine_is_killed(submit: Callable[[Path], None], tmp_path: Path) -> None:
    submit(tmp_path / "class" / "ada")
    words = ("batch", str(tmp_path / "class"), "--out", str(tmp_path / "out"), "--seed", "5")
    (exercise,) = (path.name for path in (tmp_path / "class" / "ada").iterdir())
    with start_grader(*words, "--exercise", exercise, stderr=subprocess.PIPE) as process:
        until(lambda: processes("sleep", MOMENT) or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        os.kill(newest_engine(process.pid), signal.SIGKILL)
        _, said = process.communicate(timeout=280)
    assert process.returncode == 0, said
    assert outcome(tmp_path / "out").rows == (("ada", exercise, "passed", 10),)
    assert left_by(process.pid) == []
