"""`grader batch`: a class on a real engine, interrupted, killed, and two at once."""

from __future__ import annotations

import csv
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Grader, left, made_by, one_after_another, start_grader, until

pytestmark = [pytest.mark.engine, one_after_another]


@pytest.fixture
def class_of_three(tmp_path: Path) -> Path:
    for student, kind, name in (
        ("ada", "solutions", "entrypoint-with-the-script"),
        ("grace", "wrong", "usage-exits-zero"),
        ("linus", "wrong", "command-instead-of-entrypoint"),
    ):
        shutil.copytree(ROOT / "reference" / kind / "3.1.4" / name, tmp_path / "class" / student / "3.1.4")
    return tmp_path / "class"


def marks(out: Path) -> list[tuple[str, ...]]:
    with (out / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


def test_a_class_with_a_roster(grader: Grader, class_of_three: Path, tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text("student\nada\ngrace\nlinus\nzoe\n", encoding="utf-8")
    out = tmp_path / "out"
    done = grader(
        "batch", str(class_of_three), "--out", str(out), "--exercise", "3.1.4", "--seed", "5",
        "--roster", str(tmp_path / "roster.csv"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    header, *rows = marks(out)
    scores = {row[0]: float(row[header.index("3.1.4")]) for row in rows}
    assert scores["ada"] == 10
    assert 0 < scores["linus"] < scores["grace"] < 10
    assert scores["zoe"] == 0
    assert {path.name for path in (out / "students").iterdir()} == {f"{name}.html" for name in scores}
    assert "no ENTRYPOINT" in (out / "students/linus.html").read_text(encoding="utf-8")
    again = grader("batch", str(class_of_three), "--out", str(out), "--exercise", "3.1.4")
    assert again.returncode == 2
    assert "--resume" in again.stderr
    before = (out / "gradebook.csv").read_bytes()
    regraded = grader("regrade", str(out), DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert regraded.returncode == 0, regraded.stderr
    assert (out / "gradebook.csv").read_bytes() == before


def test_killed_in_the_middle_then_pruned_then_resumed(grader: Grader, class_of_three: Path, tmp_path: Path) -> None:
    words = (
        "batch", str(class_of_three), "--out", str(tmp_path / "out"), "--exercise", "3.1.4", "--seed", "5",
        "--jobs", "2", "--engine", "host",  # where what a killed grader leaves lies among the user's own
    )  # fmt: skip
    process = start_grader(*words)
    until(lambda: made_by(process.pid))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert grader("prune").returncode == 0
    assert left() == []
    assert grader(*words, "--resume").returncode == 0
    assert grader(*words[:2], "--out", str(tmp_path / "undisturbed"), *words[4:]).returncode == 0
    assert marks(tmp_path / "out") == marks(tmp_path / "undisturbed")


@pytest.mark.parametrize("asked", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 3])
def test_an_interrupt_cleans_up(
    grader: Grader, class_of_three: Path, tmp_path: Path, asked: list[signal.Signals]
) -> None:
    """Also where Ctrl-C comes again while it cleans up: then nothing is left that cannot be pruned."""
    words = ("batch", str(class_of_three), "--out", str(tmp_path / "out"), "--exercise", "3.1.4", "--seed", "5")
    process = start_grader(*words)
    until(lambda: made_by(process.pid))
    for one in asked:
        process.send_signal(one)
        time.sleep(0.2)
    code = process.wait(timeout=60)
    if len(asked) == 1:
        assert code == 130
    else:
        assert code != 0
        assert grader("prune").returncode == 0
        assert grader(*words, "--resume").returncode == 0
    assert left() == []


def test_two_at_once_give_the_same_marks(grader: Grader, class_of_three: Path, tmp_path: Path) -> None:
    words = ("batch", str(class_of_three), "--exercise", "3.1.4", "--seed", "5", "--engine", "host")
    pair = [start_grader(*words, "--out", str(tmp_path / name)) for name in ("one", "two")]
    assert [process.wait(timeout=240) for process in pair] == [0, 0]
    assert grader(*words, "--out", str(tmp_path / "alone")).returncode == 0
    assert marks(tmp_path / "one") == marks(tmp_path / "two") == marks(tmp_path / "alone")
