"""`grader batch` as users start it, where its folder is locked, read-only, full, or none: one message, no verdict lost.

The engine is a small Docker behind a socket.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.faultengine import FaultEngine, Reply, SmallDocker, as_json
from tests.worlds import ROOT, predictor

STUDENTS = ("ada", "grace", "linus", "zoe")
DOCKERFILE = 'FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'
PROGRAM = "import grader.batch.journal, grader.cli.main; grader.batch.journal._WAIT_SECONDS = 1; grader.cli.main.main()"


LIMITS = ("memory", "processes", "/tmp", "network", "privileges", "CPU")
WAIVED = tuple(word for limit in LIMITS for word in ("--waive", f"run {limit}"))
"""A small Docker keeps no limits."""


@dataclass
class Batch:
    """`grader batch` of four students with a small Docker; `meanwhile` is called when its third build begins."""

    folder: Path
    meanwhile: Callable[[], object] = lambda: None
    builds: int = 0

    def __call__(
        self, out: Path, *more: str, waived: Sequence[str] = WAIVED, stdout: int | None = subprocess.DEVNULL
    ) -> tuple[int, str]:
        self.builds = 0
        words = ("batch", str(self.folder / "class"), "--out", str(out), "--exercise", "3.1.4", "--seed", "5")
        done = self.run(self._fault, *words, "--engine", "host", "--jobs", "1", *waived, *more, stdout=stdout)
        assert "Traceback" not in done.stderr
        assert not list(self.folder.glob("grader-fault-*")), done.stderr
        return done.returncode, done.stderr

    def run(
        self, fault: Callable[[str], Reply | None], *words: str, stdout: int | None = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        """Run a command line with the small Docker, which has this fault."""
        environ = {
            **os.environ, "PYTHONPATH": str(ROOT), "DOCKER_HOST": f"unix://{self.folder}/engine.sock",
            "GRADER_BUILDER": "buildkit", "TMPDIR": str(self.folder), "XDG_STATE_HOME": str(self.folder),
        }  # fmt: skip
        with FaultEngine(self.folder / "engine.sock", SmallDocker(lambda _context, request: predictor(request), fault)):
            return subprocess.run(
                [sys.executable, "-c", PROGRAM, *words], env=environ, cwd=self.folder,
                stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
            )  # fmt: skip

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


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """Mounts a file system of its own at a new folder. The tests may run as root, whom no file mode stops."""
    place.mkdir()
    done = subprocess.run(["mount", *options, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    yield
    subprocess.run(["umount", str(place)], check=True)


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


@contextmanager
def a_file(out: Path) -> Iterator[None]:
    out.write_text("mine", encoding="utf-8")
    yield
    assert out.read_text(encoding="utf-8") == "mine"


def journal(out: Path, *, content: bytes = b"", version: int = 0) -> AbstractContextManager[object]:
    out.mkdir()
    (out / "journal.sqlite").write_bytes(content)
    if version:
        with closing(sqlite3.connect(out / "journal.sqlite")) as made:
            made.execute(f"PRAGMA user_version = {version}")
    return nullcontext()


@pytest.mark.parametrize(
    ("in_the_way", "parts"),
    [
        (a_file, ["/out' is a file"]),
        (lambda out: mounted(out, "-t", "tmpfs", "-o", "ro", "none"), ["Read-only file system", "another folder"]),
        (partial(journal, content=b"not a database, but long enough to be one" * 30), ["journal"]),
        (partial(journal, content=b"SQLite format 3\0" + b"\xff" * 4096), ["journal"]),
        (partial(journal, version=7), ["written by another version of grader"]),
    ],
    ids=["file", "read-only", "no database", "damaged", "another format"],
)
def test_what_stands_in_the_way_is_told_before_anything_is_graded(
    batch: Batch, tmp_path: Path, in_the_way: Callable[[Path], AbstractContextManager[object]], parts: list[str]
) -> None:
    with in_the_way(tmp_path / "out"):
        code, said = batch(tmp_path / "out")
    assert (code, batch.builds) == (2, 0)
    assert all(part in said for part in parts), said


def test_a_batch_does_not_start_without_a_limit_unless_it_is_waived(batch: Batch, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for waived, missing in (((), LIMITS), (WAIVED[2:], ("memory",))):
        code, said = batch(out, waived=waived)
        assert (code, batch.builds) == (3, 0)
        assert said.partition("without these limits: ")[2].split("\n")[0] == " ".join(
            f'--waive "run {limit}"' for limit in missing
        )
    assert batch(out, "--resume")[0] == 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert f"waived, not enforced: {', '.join(f'run {limit}' for limit in LIMITS)}" in page


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


def test_a_disk_that_gets_full(batch: Batch, tmp_path: Path) -> None:
    out = tmp_path / "mounted/out"

    def fill() -> None:
        with suppress(OSError), (out.parent / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)

    batch.meanwhile = fill
    with mounted(out.parent, "-t", "tmpfs", "-o", "size=2m", "none"):
        code, said = batch(out)
        assert code == 3, said
        assert "full" in said
        assert "--resume" in said
        assert len(verdicts(out)) >= 1
        (out.parent / "filler").unlink()
        goes_on(batch, out)


def test_it_is_said_where_hardly_anything_was_handed_in(batch: Batch, tmp_path: Path) -> None:
    code, said = batch(tmp_path / "out", "--exercise", "3.1.1", "--exercise", "3.1.2")
    assert code == 0, said
    assert "Mostly not submitted: 8 of 12 exercises" in said


def test_output_that_cannot_be_written(batch: Batch, tmp_path: Path) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        code, said = batch(tmp_path / "out", stdout=full.fileno())
    assert code == 3, said
    assert "No space left on device" in said
    assert set(verdicts(tmp_path / "out")) == set(STUDENTS)


def test_a_check_is_shown_although_the_engine_does_not_remove_what_was_made(batch: Batch) -> None:
    def busy(route: str) -> Reply | None:
        return as_json({"message": "device or resource busy"}, 500) if route == "GET /images/json" else None

    done = batch.run(busy, "check", str(batch.folder / "class/ada/3.1.4"))
    assert "10 / 10" in done.stdout, done.stderr
    assert "`grader prune`" in done.stderr
    assert done.returncode == 0
