"""The journal of a batch: `journal.sqlite` in its result folder, the truth that all other files are made from.

Tables: `batch` (one row: format, seed, course digest, engine, when), `student` (everyone who must
appear, and what is known of them), `attempt` (what is being graded now, written before its first object is made in an
engine), `graded` (one final row for each student and exercise: the digest of what was graded, the report, as evidence
the files and what was observed of them, and a digest of what it was judged by), `history` (each score that was ever
given, so that progress can be shown), `mark` (the final marks as they were last written), `trail` (who or what changed
a score or a mark, and when) and `page` (of what a student's page was made). A verdict is committed together with the
end of its attempt; so attempts of an owner that is dead were cut off, and are made anew.

SQLite in WAL mode with full synchronisation; one connection, one writer, guarded by a lock, so that
worker threads may call it. Reports and observations are JSON.
"""

from __future__ import annotations

import fcntl
import functools
import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, TextIO

from pydantic import ConfigDict, TypeAdapter

from grader.engine.ownership import this_process
from grader.errors import EnvironmentProblem, UsageError
from grader.failpoints import failpoint
from grader.grading.scoring import Details
from grader.grading.session import Result
from grader.models import (
    CheckVerdict,
    EngineInfo,
    ExerciseReport,
    ExerciseStatus,
    Observation,
    Past,
    Request,
    Timing,
)
from grader.submissions.models import ExerciseFiles

_NAME = "journal.sqlite"
_LOCK = ".journal.lock"
_WAIT_SECONDS = 10.0
"""How long to wait for another process that holds the journal."""

_FORMAT = 6
"""`PRAGMA user_version` of a journal with this schema."""

_SCHEMA = """
CREATE TABLE batch (
    id INTEGER PRIMARY KEY CHECK (id = 1), seed INTEGER NOT NULL, course TEXT NOT NULL, title TEXT NOT NULL,
    started TEXT NOT NULL, engine TEXT NOT NULL, details TEXT NOT NULL, anonymous TEXT NOT NULL
) STRICT;
CREATE TABLE student (name TEXT PRIMARY KEY, person TEXT NOT NULL DEFAULT '{}') STRICT;
CREATE TABLE attempt (
    student TEXT NOT NULL REFERENCES student (name), exercise TEXT NOT NULL, number INTEGER NOT NULL,
    owner TEXT NOT NULL, PRIMARY KEY (student, exercise)
) STRICT;
CREATE TABLE graded (
    student TEXT NOT NULL REFERENCES student (name), exercise TEXT NOT NULL, digest TEXT NOT NULL,
    report TEXT NOT NULL, evidence TEXT NOT NULL, judged_by TEXT NOT NULL, PRIMARY KEY (student, exercise)
) STRICT;
CREATE TABLE history (
    at TEXT NOT NULL, student TEXT NOT NULL, exercise TEXT NOT NULL, digest TEXT NOT NULL,
    status TEXT NOT NULL, score REAL, max_score REAL NOT NULL
) STRICT;
CREATE TABLE mark (student TEXT PRIMARY KEY, mark TEXT NOT NULL) STRICT;
CREATE TABLE trail (
    at TEXT NOT NULL, student TEXT NOT NULL, exercise TEXT NOT NULL, what TEXT NOT NULL, was TEXT NOT NULL,
    becomes TEXT NOT NULL
) STRICT;
CREATE TABLE page (student TEXT PRIMARY KEY, digest TEXT NOT NULL) STRICT;
"""

_ENGINE: TypeAdapter[EngineInfo] = TypeAdapter(EngineInfo)
_REPORT: TypeAdapter[ExerciseReport] = TypeAdapter(ExerciseReport)


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """What all of a batch's gradings share. `course` is a digest of the spec, `started` an ISO time in UTC.

    `details` says how much of a failure students are told. `anonymous` is the secret key of the pseudonyms by which the
    files call students, if they do.
    """

    seed: int
    course: str
    title: str
    started: str
    engine: EngineInfo
    details: Details = "full"
    anonymous: str = ""


@dataclass(frozen=True, slots=True)
class Graded:
    """One final grading: whose, and the result with what it was concluded from."""

    student: str
    result: Result


@dataclass(frozen=True, slots=True)
class Attempt:
    """A grading that was begun and has no verdict: whose, and the process that does it (`Owner`)."""

    student: str
    exercise: str
    owner: str


@dataclass(frozen=True, slots=True)
class Trail:
    """A change of a score or, with no exercise, of a final mark: when (ISO, UTC), whose, `what` made it, from, to."""

    at: str
    student: str
    exercise: str
    what: str
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.student} {self.exercise}".strip() + f": {self.was} → {self.becomes}"


class Journal:
    """An open journal. Use it as a context manager; methods may be called from any thread."""

    def __init__(self, path: Path, connection: sqlite3.Connection, held: TextIO | None = None) -> None:
        self._path = path
        self._connection = connection
        self._held = held
        self._lock = threading.RLock()
        self._judged_by: Mapping[str, str] = {}

    @classmethod
    def open(cls, folder: Path, *, create: bool = False, only_read: bool = False) -> Self:
        """Open the journal in a result folder, or make it. `UsageError` if there is none or it is not ours.

        What is `only_read` can be opened while a grader is at work in the folder.
        """
        path = folder / _NAME
        if not create and not path.is_file():
            raise UsageError(f"{folder}: has no {_NAME}; it is not a result folder of `grader batch`.")
        with ExitStack() as stack:
            held = None if only_read else stack.enter_context(_lock_folder(folder))
            try:
                place = f"{path.absolute().as_uri()}?mode={'ro' if only_read else 'rwc'}"
                connection = sqlite3.connect(place, uri=True, timeout=_WAIT_SECONDS, check_same_thread=False)
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if not only_read:
                    for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                        connection.execute(f"PRAGMA {setting}")
                    if version == 0:
                        connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_FORMAT}; COMMIT;")
            except sqlite3.Error as error:
                message = f"{path}: cannot be used as a journal: {error}."
                raise UsageError(f"{message} Is another grader working on it, or is the disk full?") from error
            if version not in {0, _FORMAT}:
                raise UsageError(
                    f"{path}: written by another version of grader (format {version}, this one knows {_FORMAT}). "
                    "Use that version, or name another folder."
                )
            stack.pop_all()
        return cls(path, connection, held)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        if self._held:
            self._held.close()

    def begin(self, info: BatchInfo, students: Iterable[str], judged_by: Mapping[str, str] | None = None) -> None:
        """Record a new batch, or that the one in the journal goes on like this, with these students besides.

        `judged_by` has, for each exercise, a digest of what verdicts depend on besides the observations; it is stored
        with those that are recorded from now on.
        """
        self._judged_by = judged_by or self._judged_by
        engine = _ENGINE.dump_json(info.engine).decode()
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO batch VALUES (1, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET course = "
                "excluded.course, title = excluded.title, engine = excluded.engine, details = excluded.details, "
                "anonymous = excluded.anonymous",
                (info.seed, info.course, info.title, info.started, engine, info.details, info.anonymous),
            )
            connection.executemany("INSERT OR IGNORE INTO student (name) VALUES (?)", [(name,) for name in students])

    def know(self, people: Mapping[str, Mapping[str, str]]) -> None:
        """Record what is known of students, such as their section, besides what is known already."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO student VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET "
                "person = json_patch(person, excluded.person)",
                [(name, json.dumps(dict(person))) for name, person in people.items()],
            )

    def info(self) -> BatchInfo | None:
        """The batch's own row; None before `begin`."""
        columns = "seed, course, title, started, engine, details, anonymous"
        for seed, course, title, started, engine, details, anonymous in self._rows(f"SELECT {columns} FROM batch"):  # noqa: S608 - ours
            return BatchInfo(seed, course, title, started, _ENGINE.validate_json(engine), details, anonymous)
        return None

    def students(self) -> tuple[str, ...]:
        """Everyone who must appear in the results, sorted."""
        return tuple(name for (name,) in self._rows("SELECT name FROM student ORDER BY name"))

    def people(self) -> dict[str, dict[str, str]]:
        """What is known of each student: the roster's columns, and when the submission was handed in."""
        return {name: json.loads(person) for name, person in self._rows("SELECT name, person FROM student")}

    def begin_attempt(self, student: str, exercise: str) -> None:
        """Record that this is about to be graded, by this process; on return that is on the disk."""
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO student (name) VALUES (?)", (student,))
            connection.execute(
                "INSERT INTO attempt VALUES (?, ?, 1, ?) ON CONFLICT (student, exercise) "
                "DO UPDATE SET number = number + 1, owner = excluded.owner",
                (student, exercise, str(this_process())),
            )

    def attempts(self) -> tuple[Attempt, ...]:
        """What was begun and has no verdict yet, by student and exercise."""
        return tuple(
            Attempt(*row)
            for row in self._rows("SELECT student, exercise, owner FROM attempt ORDER BY student, exercise")
        )

    def record(self, graded: Graded) -> None:
        """Store one final grading and end its attempt; it replaces an earlier one of the same student and exercise."""
        student, result, report = graded.student, graded.result, graded.result.report
        stored = _REPORT.dump_json(report).decode()
        evidence = _evidence().dump_json((result.files, tuple(result.observations.items()))).decode()
        row = (student, report.id, result.digest, stored, evidence, self._judged_by.get(report.id, ""))
        past = (now(), student, report.id, result.digest, report.status.value, report.score, report.max_score)
        with self._writing() as connection:
            connection.execute("INSERT OR IGNORE INTO student (name) VALUES (?)", (student,))
            connection.execute("INSERT OR REPLACE INTO graded VALUES (?, ?, ?, ?, ?, ?)", row)
            connection.execute("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?, ?)", past)
            connection.execute("DELETE FROM attempt WHERE student = ? AND exercise = ?", (student, report.id))
            failpoint("verdict-uncommitted")
        failpoint("verdict-committed")

    def digests(self) -> dict[tuple[str, str], tuple[str, str]]:
        """For each (student, exercise) already graded: the digest of what was graded, and its status."""
        rows = self._rows("SELECT student, exercise, digest, json_extract(report, '$.status') FROM graded")
        return {(student, exercise): (digest, status) for student, exercise, digest, status in rows}

    def reports(self) -> dict[str, dict[str, ExerciseReport]]:
        """All final reports: student → exercise → report. Verdicts that are equal are one in memory."""
        found: dict[str, dict[str, ExerciseReport]] = {}
        once: dict[CheckVerdict, CheckVerdict] = {}
        for student, exercise, stored in self._rows("SELECT student, exercise, report FROM graded"):
            report = _REPORT.validate_json(stored)
            checks = tuple(once.setdefault(check, check) for check in report.checks)
            found.setdefault(student, {})[exercise] = replace(report, checks=checks)
        return found

    def history(self) -> tuple[Past, ...]:
        """Every verdict of a grading with an engine, oldest first."""
        return tuple(
            Past(at, student, exercise, digest, ExerciseStatus(status), score, max_score)
            for at, student, exercise, digest, status, score, max_score in self._rows(
                "SELECT * FROM history ORDER BY at, rowid"
            )
        )

    def timings(self) -> tuple[Timing, ...]:
        """How long each build, run, script and Compose took, by student and exercise; read without their output."""
        rows = self._rows(
            "SELECT student, exercise, json_extract(seen.value, '$[1].kind'), coalesce("
            "json_extract(seen.value, '$[1].seconds'), json_extract(seen.value, '$[1].outcome.seconds'), 0.0), "
            "coalesce(json_extract(seen.value, '$[1].size'), 0) "
            "FROM graded, json_each(evidence, '$[1]') AS seen ORDER BY student, exercise, seen.key"
        )
        return tuple(Timing(*row) for row in rows)

    def gradings(self, student: str | None = None, exercise: str | None = None) -> Iterator[Graded]:
        """All final gradings with what was observed, read student by student; or those of one student and exercise."""
        query = "SELECT digest, report, evidence FROM graded WHERE student = ? AND exercise = coalesce(?, exercise)"
        for name in self.students() if student is None else [student]:
            for digest, report, evidence in list(self._rows(query, name, exercise)):
                files, observations = _evidence().validate_json(evidence)
                yield Graded(name, Result(_REPORT.validate_json(report), digest, dict(observations), files))

    def judge_again(
        self, judge: Callable[[str, ExerciseReport, bool], ExerciseReport], judged_by: Mapping[str, str]
    ) -> None:
        """Put what `judge` makes of each report in its place; all of them or none.

        `judge` is given the student, the report, and whether it was judged by the same as now (`judged_by`, as in
        `begin`).
        """
        self._judged_by = judged_by
        query = "SELECT exercise, report, judged_by FROM graded WHERE student = ?"
        with self._writing() as connection:
            for name in self.students():
                for exercise, stored, by in list(self._rows(query, name)):
                    now = judged_by.get(exercise, "")
                    before = _REPORT.validate_json(stored)
                    after = judge(name, before, bool(now) and by == now)
                    if after != before or by != now:
                        connection.execute(
                            "UPDATE graded SET report = ?, judged_by = ? WHERE student = ? AND exercise = ?",
                            (_REPORT.dump_json(after).decode(), now, name, exercise),
                        )

    def note(self, entries: Iterable[Trail]) -> None:
        """Add to the trail."""
        with self._writing() as connection:
            connection.executemany("INSERT INTO trail VALUES (?, ?, ?, ?, ?, ?)", map(astuple, entries))

    def trail(self, student: str | None = None) -> tuple[Trail, ...]:
        """Every change of a score or a mark, oldest first; or one student's."""
        rows = self._rows("SELECT * FROM trail WHERE student = coalesce(?, student) ORDER BY at, rowid", student)
        return tuple(Trail(*row) for row in rows)

    def written(self, what: Literal["mark", "page"]) -> dict[str, str]:
        """The final marks as they were last written, in words, or of what each page was made (a digest); by student."""
        return dict(self._rows(f"SELECT * FROM {what}"))  # noqa: S608 - one of ours

    def write(self, what: Literal["mark", "page"], rows: Mapping[str, str]) -> None:
        """Store these marks or digests instead of all others."""
        with self._writing() as connection:
            connection.execute(f"DELETE FROM {what}")  # noqa: S608 - one of ours
            connection.executemany(f"INSERT INTO {what} VALUES (?, ?)", rows.items())  # noqa: S608

    def _rows(self, query: str, *values: str | None) -> Iterator[Any]:
        with self._lock, self._explained():
            yield from self._connection.execute(query, values)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._explained(), self._connection:
            yield self._connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What stands in the way of reading and writing is a matter of this machine: `EnvironmentProblem`."""
        try:
            yield
        except sqlite3.Error as error:
            raise EnvironmentProblem(
                f"{self._path}: cannot be read or written: {error}. All verdicts in it until now are kept. "
                "See whether the disk is full (`df`) or another program holds the file, then go on with --resume."
            ) from error


def now() -> str:
    """The time, as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@functools.cache
def _evidence() -> TypeAdapter[tuple[ExerciseFiles | None, tuple[tuple[Request, Observation], ...]]]:
    """Bytes travel as base64: what a container printed need not be text."""
    return TypeAdapter(
        tuple[ExerciseFiles | None, tuple[tuple[Request, Observation], ...]],
        config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"),
    )


def _lock_folder(folder: Path) -> TextIO:
    """One grader at a time works in a result folder. The kernel drops the lock when its holder dies."""
    try:
        held = (folder / _LOCK).open("w")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written to: {error.strerror}. Name another folder.") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        message = f"{folder}: another grader is working in this folder. Wait for it, or name another folder."
        raise UsageError(message) from error
    return held
