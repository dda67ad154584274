"""The autograder for Gradescope: what is in the zip, and that its script ends as Gradescope expects."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from grader.cli.main import run


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    (tmp_path / "e.env").write_text("DOCKER_HOST=unix:///nowhere.sock\n", encoding="utf-8")
    words = ["--zip", str(tmp_path / "a.zip"), "--engine-env", str(tmp_path / "e.env"), "--exercise", "3.1.4"]
    assert run(["gradescope", *words]) == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
        archive.extractall(tmp_path / "source")
    assert names == [
        "setup.sh",
        "run_autograder",
        "engine.env",
        "course/exercises.yaml",
        "course/reference/predictor.py",
    ]
    assert (modes["setup.sh"], modes["run_autograder"], modes["engine.env"]) == (0o755, 0o755, 0o644)
    return tmp_path / "source"


def test_the_scripts_are_shell_and_call_the_grader_with_the_course_in_the_zip(unpacked: Path) -> None:
    for name in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", str(unpacked / name)], check=True)
    last = (unpacked / "run_autograder").read_text(encoding="utf-8").splitlines()[-1]
    assert last == (
        "exec grader --course /autograder/source/course gradescope --results /autograder/results --exercise 3.1.4"
    )


def test_without_an_engine_there_are_no_results_rather_than_a_zero(
    unpacked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    (tmp_path / "work/3.1.4").mkdir(parents=True)
    (tmp_path / "work/3.1.4/Dockerfile").write_text("FROM python:3.9\n", encoding="utf-8")
    words = ["gradescope", "--submission", str(tmp_path / "work"), "--results", str(tmp_path / "results")]
    assert run(["--course", str(unpacked / "course"), *words]) == 3
    assert not (tmp_path / "results/results.json").exists()
    assert "nowhere.sock" in capsys.readouterr().err
