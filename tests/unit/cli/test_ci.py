"""`grader ci` and `grader gradescope`: a file's place in a repository, the autograder, no engine."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

from grader.cli.ci import _place
from grader.cli.main import run
from grader.course.models import Limits
from grader.submissions.models import Submission
from grader.submissions.reader import read_exercise
from tests.worlds import ROOT


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student's folder, on a machine where no engine answers."""
    (tmp_path / "work/3.1.4").mkdir(parents=True)
    (tmp_path / "work/3.1.4/Dockerfile").write_text("FROM python:3.9\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    return tmp_path / "work"


@pytest.mark.parametrize(
    ("folder", "workspace", "variable", "file", "line", "found"),
    [
        ("3.1.4", ".", "GITHUB_WORKSPACE", "Dockerfile", 2, ("3.1.4/Dockerfile", 2)),
        ("week-3/Exercise 3.1.4", ".", "CI_PROJECT_DIR", "Dockerfile", 1, ("week-3/Exercise 3.1.4/Dockerfile", 1)),
        (".", ".", "GITHUB_WORKSPACE", "Dockerfile", None, ("Dockerfile", None)),
        ("a/3.1.4", "a", "", "Dockerfile", 1, ("3.1.4/Dockerfile", 1)),
        ("3.1.4", ".", "GITHUB_WORKSPACE", "Dockerfile", 3, ("3.1.4/Dockerfile", None)),
        ("3.1.4", ".", "GITHUB_WORKSPACE", "compose.yaml", 1, ("", None)),
        ("3.1.4", "elsewhere", "GITHUB_WORKSPACE", "Dockerfile", 1, ("", None)),
    ],
    ids=["root", "below", "is the root", "git", "past the end", "no such file", "outside"],
)
def test_a_place_is_one_that_is_in_the_repository(
    tmp_path: Path, *, folder: str, workspace: str, variable: str, file: str, line: int | None, found: tuple[str, int]
) -> None:
    here = tmp_path / folder
    here.mkdir(parents=True, exist_ok=True)
    (tmp_path / workspace / ".git").mkdir(parents=True)
    (here / "Dockerfile").write_text("FROM python:3.9\nCMD []\n")
    submission = Submission("me", (read_exercise(here, "3.1.4", Limits()),))
    environment = {variable: str(tmp_path / workspace)} if variable else {}
    assert _place(submission, environment, "3.1.4", file, line) == found


def test_where_nothing_can_be_graded_the_files_say_why(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(work / "outputs"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(work / "summary.md"))
    assert run(["--course", str(ROOT), "ci"]) == 3
    results = json.loads((work / "grader-results/results.json").read_text())
    assert {one["status"] for one in results["exercises"]} == {"not_graded", "not_submitted"}
    suites = ET.parse(work / "grader-results/junit.xml").getroot()  # noqa: S314 - our own document
    assert suites.get("errors") == "1"
    assert "status=not_graded" in (work / "outputs").read_text()
    assert "nothing.sock" in (work / "summary.md").read_text().replace("\\", "")
    capsys.readouterr()
    assert run(["--course", str(ROOT), "check", "--format", "json"]) == 3
    assert json.loads(capsys.readouterr().out)["exercises"][0]["status"] == "not_graded"
    assert run(["--course", str(ROOT), "check", "--advice"]) == 3
    out = capsys.readouterr().out
    assert "not graded, only the files were looked at" in out
    assert "Advice for 3.1.4, which costs no points" in out


def test_the_autograder_has_its_scripts_and_the_course_and_writes_no_zeros(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "e.env").write_text("DOCKER_HOST=unix:///nowhere.sock\n", encoding="utf-8")
    words = ["--zip", str(tmp_path / "a.zip"), "--engine-env", str(tmp_path / "e.env"), "--exercise", "3.1.4"]
    assert run(["--course", str(ROOT), "gradescope", *words]) == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        archive.extractall(tmp_path / "source")
    assert modes == {
        "setup.sh": 0o755, "run_autograder": 0o755, "engine.env": 0o644,
        "course/exercises.yaml": 0o644, "course/reference/predictor.py": 0o644,
    }  # fmt: skip
    for name in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", str(tmp_path / "source" / name)], check=True)
    assert (tmp_path / "source/run_autograder").read_text(encoding="utf-8").splitlines()[-1] == (
        "exec grader --course /autograder/source/course gradescope --results /autograder/results --exercise 3.1.4"
    )
    words = ["gradescope", "--submission", str(work), "--results", str(tmp_path / "results")]
    assert run(["--course", str(tmp_path / "source/course"), *words]) == 3
    assert not (tmp_path / "results/results.json").exists()
    assert "nothing.sock" in capsys.readouterr().err
