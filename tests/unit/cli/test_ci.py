"""`grader ci`: where a repository's files are, and what is written where nothing could be graded."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from grader.cli.ci import _place
from grader.cli.main import run
from grader.course.models import Limits
from grader.submissions.models import Submission
from grader.submissions.reader import read_exercise

ROOT = Path(__file__).parents[3]


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
    work = tmp_path / folder
    work.mkdir(parents=True, exist_ok=True)
    (tmp_path / workspace / ".git").mkdir(parents=True)
    (work / "Dockerfile").write_text("FROM python:3.9\nCMD []\n")
    submission = Submission("me", (read_exercise(work, "3.1.4", Limits()),))
    environment = {variable: str(tmp_path / workspace)} if variable else {}
    assert _place(submission, environment, "3.1.4", file, line) == found


def test_where_nothing_can_be_graded_the_files_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "3.1.4"
    work.mkdir()
    (work / "Dockerfile").write_text("FROM python:3.9\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert run(["--course", str(ROOT), "ci"]) == 3
    results = json.loads((tmp_path / "grader-results" / "results.json").read_text())
    assert {one["status"] for one in results["exercises"]} == {"not_graded", "not_submitted"}
    suites = ET.parse(tmp_path / "grader-results" / "junit.xml").getroot()  # noqa: S314 - our own document
    assert suites.get("errors") == "1"
    assert "status=not_graded" in (tmp_path / "outputs").read_text()
    capsys.readouterr()
    assert run(["--course", str(ROOT), "check", "--format", "json"]) == 3
    assert json.loads(capsys.readouterr().out)["exercises"][0]["status"] == "not_graded"
    assert "nothing.sock" in (tmp_path / "summary.md").read_text().replace("\\", "")
