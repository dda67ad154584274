"""`grader check`, `start`, `ci`: what a student sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from grader import check
from tests.e2e.conftest import ROOT, Grader

pytestmark = pytest.mark.engine
Solution = Callable[..., Path]


def test_the_beginners_mistake_is_explained(grader: Grader, tmp_path: Path) -> None:
    """In `starter/`'s copy of 3.1.4 the image has only a CMD: the chapter's own trap."""
    assert grader("start", "3.1.4").returncode == 0
    done = grader("check", "3.1.4")
    assert done.returncode == 1
    assert "no ENTRYPOINT" in done.stdout
    assert "docker run --rm sales-predictor 100 120 110" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert grader("check", "3.1.4", "--exit-zero").returncode == 0


def test_a_right_solution_has_full_marks_from_the_command_and_from_python(grader: Grader, solution: Solution) -> None:
    folder = solution("3.1.4", "entrypoint-with-the-script")
    done = grader("check", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "10 / 10" in done.stdout
    report = check(folder, exercises=["3.1.4"], seed=7)
    assert (report.score, report.max_score, report.seed) == (10, 10, 7)
    assert {one.status.value for one in report.exercises[0].checks} == {"passed"}


def test_what_was_graded_before_is_judged_the_same(grader: Grader, solution: Solution) -> None:
    """The builder still has all that it built the first time, when the same seed comes again."""
    folder = solution("3.3.L", "script-copied-before-the-installs", "wrong")
    told = [json.loads(grader("check", str(folder), "--seed", "7", "--format", "json").stdout) for _ in range(2)]
    assert [report["exercises"][0]["status"] for report in told] == ["failed", "failed"]
    assert [report["score"] for report in told] == [2, 2]


@pytest.mark.parametrize(
    ("exercise", "name"),
    [("3.1.4", "command-instead-of-entrypoint"), ("3.1.1", "python-3.11"), ("3.1.4", "usage-exits-zero")],
)
def test_what_is_told_to_try_shows_the_same_thing(grader: Grader, solution: Solution, exercise: str, name: str) -> None:
    """Every `reproduce` is pasted into a shell in the exercise's folder."""
    folder = solution(exercise, name, "wrong")
    report = json.loads(grader("check", str(folder), "--format", "json").stdout)
    failed = [check for check in report["exercises"][0]["checks"] if check["status"] == "failed"]
    assert failed
    name_here = f"grader-test-{os.getpid()}"  # the developer may have a sales-predictor of their own
    try:
        for check in failed:
            shell = subprocess.run(
                ["bash", "-c", check["reproduce"].replace("sales-predictor", name_here)],
                capture_output=True, text=True, cwd=folder, timeout=120, check=False,
                env={**os.environ, "DOCKER_BUILDKIT": "0"},
            )  # fmt: skip
            shown = shell.stdout + shell.stderr
            expected = (
                "executable file not found" if check["ended"] == "not_started" else check["actual"].splitlines()[0]
            )
            assert expected.replace("exit code ", "") in shown, check["reproduce"]
    finally:
        subprocess.run(["docker", "rmi", "-f", name_here], capture_output=True, check=False)


def test_no_engine_is_told_before_the_reference_has_been_waited_for(
    grader: Grader, solution: Solution, tmp_path: Path
) -> None:
    folder = solution("3.1.4", "entrypoint-with-the-script")
    (tmp_path / "course/reference").mkdir(parents=True)
    shutil.copy(ROOT / "exercises.yaml", tmp_path / "course")
    (tmp_path / "course/reference/predictor.py").write_text("raise SystemExit(1)", encoding="utf-8")
    words = ("--course", str(tmp_path / "course"), "check", str(folder))
    done = grader(*words, DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert done.returncode == 3
    assert "docker info" in done.stderr
    assert "Traceback" not in done.stderr
    assert grader(*words).returncode == 4


def test_ci_writes_what_ci_reads(grader: Grader, solution: Solution, tmp_path: Path) -> None:
    folder = solution("3.1.1", "misspelt-package", "wrong")
    summary = tmp_path / "summary.md"
    done = grader(
        "ci", str(folder.parent), "--exercise", "3.1.1", "--out", str(tmp_path / "out"),
        GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary),
    )  # fmt: skip
    assert done.returncode == 1
    (error,) = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert "file=me/3.1.1/Dockerfile,line=2" in error
    assert "num-py" in summary.read_text(encoding="utf-8").replace("\\", "")
    assert json.loads((tmp_path / "out/results.json").read_text(encoding="utf-8"))["score"] == 0
    assert "<failure" in (tmp_path / "out/junit.xml").read_text(encoding="utf-8")
