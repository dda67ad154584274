"""A result folder that is locked, read-only, full, or no folder: one clear message, and no verdict is lost.

`grader batch` as users start it; the engine is a small Docker behind a socket.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from grader.batch.journal import Journal
from grader.batch.roster import Plan
from grader.cli.batch import _doubts
from grader.cli.wiring import NOT_RUN
from grader.errors import UsageError
from grader.models import ExerciseReport, RunOutcome, RunRequest
from tests import reports
from tests.faultengine import FaultEngine, Reply, SmallDocker
from tests.worlds import COURSE, ROOT, predictor

STUDENTS = ("ada", "grace", "linus", "zoe")
DOCKERFILE = 'FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'


PROGRAM = "import grader.batch.journal, grader.cli.main; grader.batch.journal._WAIT_SECONDS = 1; grader.cli.main.main()"


def work(_context: bytes, request: RunRequest) -> RunOutcome:
    return predictor(request)


WAIVED = tuple(
    word
    for limit in ("memory", "processes", "CPU", "/tmp", "network", "privileges")
    for word in ("--waive", f"run {limit}")
)
"""A small Docker keeps no limits."""


@dataclass
class Batch:
    """`grader batch` of four students with a small Docker; `meanwhile` is called when its third build begins."""

    folder: Path
    meanwhile: Callable[[], object] = lambda: None
    builds: int = 0

    def __call__(self, out: Path, *more: str, stdout: int | None = subprocess.DEVNULL) -> tuple[int, str]:
        self.builds = 0
        with FaultEngine(self.folder / "engine.sock", SmallDocker(work, self._fault)):
            words = ("batch", str(self.folder / "class"), "--out", str(out), "--exercise", "3.1.4", "--seed", "5")
            done = subprocess.run(
                [sys.executable, "-c", PROGRAM, *words, "--engine", "host", "--jobs", "1", *WAIVED, *more],
                stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120, cwd=self.folder,
                env={
                    **os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": f"unix://{self.folder}/engine.sock",
                    "GRADER_BUILDER": "buildkit", "TMPDIR": str(self.folder),
                },
            )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert not list(self.folder.glob("grader-fault-*")), done.stderr
        return done.returncode, done.stderr

    def _fault(self, route: str) -> Reply | None:
        if route == "POST /build":
            self.builds += 1
            if self.builds == 3:  # one is of the base image alone
                self.meanwhile()
        return None


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    for student in STUDENTS:
        exercise = tmp_path / "class" / student / "3.1.4"
        exercise.mkdir(parents=True)
        (exercise / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
        (exercise / "sales_predictor.py").write_text(f"# {student}\n", encoding="utf-8")
    return Batch(tmp_path)


Mounts = Callable[..., Path]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounts]:
    """Mounts a file system of its own at a new folder. The tests may run as root, whom no file mode stops."""
    with ExitStack() as stack:

        def mount(*options: str) -> Path:
            place = tmp_path / "mounted"
            place.mkdir(exist_ok=True)
            done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
            stack.callback(subprocess.run, ["umount", str(place)], check=True)
            return place

        yield mount


def verdicts(out: Path) -> dict[str, str]:
    with closing(sqlite3.connect(out / "journal.sqlite")) as journal:
        return dict(journal.execute("SELECT student, report FROM graded").fetchall())


def goes_on(batch: Batch, out: Path) -> None:
    """With what stood in its way gone, the batch is finished, and what it had graded before stays as it is."""
    before = verdicts(out)
    batch.meanwhile = lambda: None
    code, said = batch(out, "--resume")
    assert code == 0, said
    assert batch.builds == len(STUDENTS) - len(before) + 1
    after = verdicts(out)
    assert set(after) == set(STUDENTS)
    assert {name: after[name] for name in before} == before
    assert (out / "report.html").is_file()
    assert list(out.rglob(".writing-*")) == []


# ── what makes results doubtful ──────────────────────────────────────────────────────────

PLAN = Plan({"amira": Path("amira"), "zoe": None}, [COURSE.exercise(name) for name in ("3.1.1", "3.2.1", "3.2.2")])
ABSENT = reports.missing_exercise()
COMMANDS = replace(reports.ungraded_exercise(), message=NOT_RUN)


@pytest.mark.parametrize(
    ("exercises", "trusted", "doubts"),
    [
        ([reports.passed_exercise(), ABSENT], True, []),
        ([ABSENT, ABSENT, reports.passed_exercise()], True, ["Mostly not submitted: 2 of 3 exercises"]),
        ([COMMANDS, reports.passed_exercise()], False, ["With --engine host, no commands of other people"]),
        ([COMMANDS, reports.passed_exercise()], True, []),
    ],
)
def test_an_instructor_reads_what_makes_results_doubtful(
    exercises: list[ExerciseReport], trusted: bool, doubts: list[str]
) -> None:
    graded = [reports.report_of("amira", *exercises), reports.report_of("zoe", *[ABSENT] * 9)]
    found = list(_doubts(graded, PLAN, trusted=trusted))
    assert [note[: len(doubt)] for note, doubt in zip(found, doubts, strict=True)] == doubts


# ── before anything is graded ───────────────────────────────────────────────────────────


def test_a_file_in_the_place_of_the_folder(batch: Batch, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    code, said = batch(tmp_path / "out")
    assert (code, batch.builds) == (2, 0)
    assert f"{tmp_path}/out" in said
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


def test_a_read_only_folder(batch: Batch, mounted: Mounts) -> None:
    out = mounted("-t", "tmpfs", "-o", "ro", "none")
    code, said = batch(out)
    assert (code, batch.builds) == (2, 0)
    assert "Read-only file system" in said
    assert "another folder" in said


def test_another_grader_is_at_work_in_it(batch: Batch, tmp_path: Path) -> None:
    with Journal.open(tmp_path, create=True):
        code, said = batch(tmp_path)
    assert (code, batch.builds) == (2, 0)
    assert "another grader" in said


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be one" * 30, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_journal_that_is_none(batch: Batch, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "journal.sqlite").write_bytes(content)
    code, said = batch(tmp_path)
    assert (code, batch.builds) == (2, 0)
    assert "journal" in said


# ── in the middle ───────────────────────────────────────────────────────────────────────


def test_a_journal_that_another_program_holds(batch: Batch, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ExitStack() as stack:

        def hold() -> None:
            other = stack.enter_context(closing(sqlite3.connect(out / "journal.sqlite", check_same_thread=False)))
            other.execute("BEGIN EXCLUSIVE")

        batch.meanwhile = hold
        code, said = batch(out)
    assert code == 3, said
    assert "database is locked" in said
    assert "--resume" in said
    assert len(verdicts(out)) == 1
    goes_on(batch, out)


def test_a_disk_that_gets_full(batch: Batch, mounted: Mounts) -> None:
    out = mounted("-t", "tmpfs", "-o", "size=2m", "none") / "out"

    def fill() -> None:
        with suppress(OSError), (out.parent / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)

    batch.meanwhile = fill
    code, said = batch(out)
    assert code == 3, said
    assert "full" in said
    assert "--resume" in said
    assert len(verdicts(out)) >= 1
    (out.parent / "filler").unlink()
    goes_on(batch, out)


def test_output_that_cannot_be_written(batch: Batch, tmp_path: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        code, said = batch(tmp_path / "out", stdout=full.fileno())
    assert code == 3, said
    assert "No space left on device" in said
    assert set(verdicts(tmp_path / "out")) == set(STUDENTS)


def test_a_journal_of_another_format_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "journal.sqlite")) as journal:
        journal.execute("PRAGMA user_version = 7")
    with pytest.raises(UsageError, match="written by another version of grader"):
        Journal.open(tmp_path)
