"""`kill -9` of a batch at every named point: pruned and resumed, it is as if nothing had happened."""

from __future__ import annotations

import csv
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.cli.wiring import cache_folder
from grader.engine.ownership import Owner, is_dead
from tests.e2e.conftest import KINDS, ROOT, Grader, made, one_after_another, start_grader

pytestmark = [pytest.mark.engine, one_after_another, pytest.mark.timeout(900)]

FLOOD = "while True:\n    print('Predicted sales for next week:', 'x' * 1000)\n"
DOCKERFILE = 'FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'


def dockerfiles(folder: Path) -> None:
    """A right submission, one whose container has to be killed, and one that never meets the engine."""
    shutil.copytree(ROOT / "reference/solutions/3.1.4/entrypoint-with-the-script", folder / "ada/3.1.4")
    for student, dockerfile in (("grace", DOCKERFILE), ("linus", "FROM ubuntu\n")):
        (folder / student / "3.1.4").mkdir(parents=True)
        (folder / student / "3.1.4/Dockerfile").write_text(dockerfile, encoding="utf-8")
    (folder / "grace/3.1.4/sales_predictor.py").write_text(FLOOD, encoding="utf-8")


def commands(folder: Path) -> None:
    """Commands that run in a private engine, right and wrong."""
    shutil.copytree(ROOT / "reference/solutions/3.3.5/by-force", folder / "ada/3.3.5")
    shutil.copytree(ROOT / "reference/wrong/3.3.5/whole-system-pruned", folder / "grace/3.3.5")


def compose(folder: Path) -> None:
    """A Compose file."""
    shutil.copytree(ROOT / "reference/solutions/3.3.3/short-notation", folder / "ada/3.3.3")


World = tuple[Callable[[Path], None], tuple[str, ...]]
"""What makes a small class, and how it is graded."""
WORLDS: dict[str, World] = {
    "host": (dockerfiles, ("--exercise", "3.1.4", "--engine", "host")),
    "private": (commands, ("--exercise", "3.3.5")),
    "compose": (compose, ("--exercise", "3.3.3")),
}
VARIABLE = "GRADER_CRASH_AT"
POINTS = sorted(
    {
        point
        for path in (ROOT / "grader").rglob("*.py")
        for point in re.findall(r'\bfailpoint(?:\(|, )"([\w-]+)"', path.read_text(encoding="utf-8"))
    }
)
NEEDS_PRIVATE = ("private-", "sandbox-", "workspace-", "script-")
AGAIN = ("attempt-recorded:3", "verdict-committed:2", "build-progress:7", "container-created:5", "image-untagged:3")
"""Later times of points that are passed often: in the middle of the class, with verdicts in the journal already."""
FAST = ("image-made:2", "container-started:3", "verdict-uncommitted", "file-written:2")


@dataclass(frozen=True)
class Outcome:
    """What a batch has come to: the gradebook, and status and score of each row in the journal."""

    gradebook: bytes
    files: frozenset[str]
    rows: tuple[tuple[str, str, str, float | None], ...]


def outcome(out: Path) -> Outcome:
    with closing(sqlite3.connect(out / "journal.sqlite")) as journal:
        query = (
            "SELECT student, exercise, json_extract(report, '$.status'), json_extract(report, '$.score') "
            "FROM graded ORDER BY student, exercise"
        )
        rows = tuple(journal.execute(query).fetchall())
        assert journal.execute("SELECT count(*) FROM attempt").fetchone() == (0,)
    files = frozenset(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    return Outcome((out / "gradebook.csv").read_bytes(), files, rows)


def left_by(pid: int) -> list[str]:
    """What a grader that has ended left in the engine and on the disk. Other graders may be at work here."""
    notes = {str(note): Owner.parse(note.read_text()) for note in (cache_folder() / "engines").glob("*.owner")}
    owners = [*notes.items(), *(found for kind in KINDS for found in made(kind).items())]
    return [name for name, owner in owners if owner and owner.pid == pid and is_dead(owner)]


Grade = Callable[..., tuple[int, int, str]]
"""Gives how a batch ended: its process, exit code (negative: the signal), and what it said."""


@pytest.fixture
def grade(tmp_path: Path) -> Grade:
    """Grade the class of a world into a folder."""

    def run(world: World, out: Path, *more: str, **environment: str) -> tuple[int, int, str]:
        make, words = world
        submissions = tmp_path / "class"
        if not submissions.is_dir():
            make(submissions)
        words = ("batch", str(submissions), "--out", str(out), "--seed", "5", "--jobs", "2", *words, *more)
        with start_grader(*words, stderr=subprocess.PIPE, environment=environment) as process:
            _, said = process.communicate(timeout=300)
        return process.pid, process.returncode, said

    return run


@pytest.fixture(scope="session")
def known() -> dict[str, Outcome]:
    """What undisturbed batches have come to, by world."""
    return {}


@pytest.mark.parametrize(
    "point", [*FAST, *(pytest.param(one, marks=pytest.mark.long) for one in (*POINTS, *AGAIN) if one not in FAST)]
)
def test_killed_at_a_point(point: str, grade: Grade, grader: Grader, tmp_path: Path, known: dict[str, Outcome]) -> None:
    name = "compose" if point == "compose-up" else "private" if point.startswith(NEEDS_PRIVATE) else "host"
    if name not in known:
        _, code, said = grade(WORLDS[name], tmp_path / "undisturbed")
        assert code == 0, said
        known[name] = outcome(tmp_path / "undisturbed")
    out = tmp_path / "out"
    killed, code, said = grade(WORLDS[name], out, **{VARIABLE: point})
    assert code == -9, f"{point} was not reached: {said}"
    pruned = grader("prune")
    assert pruned.returncode == 0, pruned.stderr
    assert left_by(killed) == []
    resumed, code, said = grade(WORLDS[name], out, "--resume")
    assert code == 0, said
    assert left_by(resumed) == []
    assert outcome(out) == known[name]


def test_what_was_being_graded_is_told(grade: Grade, tmp_path: Path) -> None:
    """The intention is in the journal before the first object: `--resume` knows what was cut off."""
    _, code, said = grade(WORLDS["host"], tmp_path / "out", **{VARIABLE: "attempt-recorded"})
    assert code == -9, said
    with closing(sqlite3.connect(tmp_path / "out" / "journal.sqlite")) as journal:
        begun = journal.execute("SELECT student, exercise, number FROM attempt").fetchall()
        assert journal.execute("SELECT count(*) FROM graded").fetchone() == (0,)
    assert begun
    _, code, said = grade(WORLDS["host"], tmp_path / "out", "--resume")
    assert code == 0, said
    assert all(f"{student} {exercise}" in said for student, exercise, _ in begun)
    assert "graded anew" in said
    with (tmp_path / "out" / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
