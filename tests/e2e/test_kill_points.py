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
    shutil.copytree(ROOT / "reference/solutions/3.1.4/entrypoint-with-the-script", folder / "ada" / "3.1.4")
    for student, dockerfile in (("grace", DOCKERFILE), ("linus", "FROM ubuntu\n")):
        (folder / student / "3.1.4").mkdir(parents=True)
        (folder / student / "3.1.4" / "Dockerfile").write_text(dockerfile, encoding="utf-8")
    (folder / "grace" / "3.1.4" / "sales_predictor.py").write_text(FLOOD, encoding="utf-8")


def commands(folder: Path) -> None:
    """Commands that run in a private engine, right and wrong."""
    for student, kind, name in (("ada", "solutions", "by-force"), ("grace", "wrong", "whole-system-pruned")):
        shutil.copytree(ROOT / "reference" / kind / "3.3.5" / name, folder / student / "3.3.5")


def compose(folder: Path) -> None:
    """A Compose file."""
    shutil.copytree(ROOT / "reference/solutions/3.3.3/short-notation", folder / "ada" / "3.3.3")


@dataclass(frozen=True)
class World:
    """A small class, and how it is graded."""

    submissions: Callable[[Path], None]
    words: tuple[str, ...]


WORLDS = {
    "host": World(dockerfiles, ("--exercise", "3.1.4", "--engine", "host")),
    "private": World(commands, ("--exercise", "3.3.5")),
    "compose": World(compose, ("--exercise", "3.3.3")),
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


def world_of(point: str) -> str:
    if point == "compose-up":
        return "compose"
    return "private" if point.startswith(NEEDS_PRIVATE) else "host"


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


@dataclass(frozen=True)
class Ended:
    """How a batch ended: its process, exit code (negative: the signal), and what it said."""

    pid: int
    code: int
    said: str


Grade = Callable[..., Ended]


@pytest.fixture
def grade(tmp_path: Path) -> Grade:
    """Grade the class of a world into a folder."""

    def run(world: World, out: Path, *more: str, **environment: str) -> Ended:
        submissions = tmp_path / "class"
        if not submissions.is_dir():
            world.submissions(submissions)
        words = ("batch", str(submissions), "--out", str(out), "--seed", "5", "--jobs", "2", *world.words, *more)
        with start_grader(*words, stderr=subprocess.PIPE, environment=environment) as process:
            _, said = process.communicate(timeout=300)
        return Ended(process.pid, process.returncode, said)

    return run


@pytest.fixture(scope="session")
def known() -> dict[str, Outcome]:
    """What undisturbed batches have come to, by world."""
    return {}


def undisturbed(name: str, grade: Grade, folder: Path, known: dict[str, Outcome]) -> Outcome:
    if name not in known:
        done = grade(WORLDS[name], folder)
        assert done.code == 0, done.said
        known[name] = outcome(folder)
    return known[name]


def killed_and_resumed(point: str, grade: Grade, grader: Grader, out: Path) -> Outcome:
    world = WORLDS[world_of(point)]
    killed = grade(world, out, **{VARIABLE: point})
    assert killed.code == -9, f"{point} was not reached: {killed}"
    pruned = grader("prune")
    assert pruned.returncode == 0, pruned.stderr
    assert left_by(killed.pid) == []
    resumed = grade(world, out, "--resume")
    assert resumed.code == 0, resumed.said
    assert left_by(resumed.pid) == []
    return outcome(out)


@pytest.mark.parametrize("point", FAST)
def test_killed_at_a_point(point: str, grade: Grade, grader: Grader, tmp_path: Path, known: dict[str, Outcome]) -> None:
    expected = undisturbed(world_of(point), grade, tmp_path / "undisturbed", known)
    assert killed_and_resumed(point, grade, grader, tmp_path / "out") == expected


@pytest.mark.long
@pytest.mark.parametrize("point", [*POINTS, *AGAIN])
def test_killed_at_every_point(
    point: str, grade: Grade, grader: Grader, tmp_path: Path, known: dict[str, Outcome]
) -> None:
    expected = undisturbed(world_of(point), grade, tmp_path / "undisturbed", known)
    assert killed_and_resumed(point, grade, grader, tmp_path / "out") == expected


def test_what_was_being_graded_is_told(grade: Grade, tmp_path: Path) -> None:
    """The intention is in the journal before the first object: `--resume` knows what was cut off."""
    killed = grade(WORLDS["host"], tmp_path / "out", **{VARIABLE: "attempt-recorded"})
    assert killed.code == -9, killed.said
    with closing(sqlite3.connect(tmp_path / "out" / "journal.sqlite")) as journal:
        begun = journal.execute("SELECT student, exercise, number FROM attempt").fetchall()
        assert journal.execute("SELECT count(*) FROM graded").fetchone() == (0,)
    assert begun
    resumed = grade(WORLDS["host"], tmp_path / "out", "--resume")
    assert resumed.code == 0, resumed.said
    assert all(f"{student} {exercise}" in resumed.said for student, exercise, _ in begun)
    assert "graded anew" in resumed.said
    with (tmp_path / "out" / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 3
