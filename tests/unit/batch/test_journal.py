"""What was seen comes back from the journal as it was, so that a batch can be judged again without an engine."""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from grader.batch.journal import BatchInfo, Graded, Journal
from grader.grading.exercise import grade_exercise
from grader.grading.session import Result
from grader.models import (
    BuildFailed,
    BuildRequest,
    Built,
    ComposeRequest,
    ComposeSeen,
    EngineInfo,
    Exited,
    ImageConfig,
    LimitsRecord,
    MemoryFile,
    Observation,
    Request,
    RunOutcome,
    ScriptRequest,
    ScriptSeen,
)
from grader.submissions.models import ExerciseFiles
from tests.worlds import context

INFO = BatchInfo(1, "digest", "Course", "2026-01-01T00:00:00+00:00", EngineInfo("fake", "1", "buildkit"))
REPORT = grade_exercise(context("3.3.5", {"commands.sh": b"x"}), lambda _: ScriptSeen("nothing"))

st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=30)
@given(st.dictionaries(st.from_type(Request), st.from_type(Observation), max_size=3))  # type: ignore[arg-type] # unions
def test_whatever_was_seen_comes_back_equal(seen: dict[Request, Observation]) -> None:
    files = ExerciseFiles("3.3.5", "folder", (MemoryFile("commands.sh", bytes(range(256)), 0o755),), "digest")
    result = Result(REPORT, "digest", seen, files)
    with tempfile.TemporaryDirectory() as folder:
        with Journal.open(Path(folder), create=True) as journal:
            journal.begin(INFO, ("ada",))
            journal.record(Graded("ada", result))
        with Journal.open(Path(folder)) as journal:
            (stored,) = journal.gradings()
    assert stored == Graded("ada", result)
    assert list(stored.result.observations) == list(seen)


def test_each_score_that_was_given_is_kept_and_how_long_everything_took(tmp_path: Path) -> None:
    done = RunOutcome(Exited(0), seconds=1.25)
    build = Built("sha256:1", ImageConfig(), seconds=3.5, size=130_000_000)
    seen: dict[Request, Observation] = {
        BuildRequest(): build,
        ScriptRequest(): ScriptSeen("script", done),
        ComposeRequest(): ComposeSeen(done, seconds=0.1 + 0.2),
    }
    with Journal.open(tmp_path, create=True) as journal:
        journal.begin(INFO, ("ada",))
        journal.record(Graded("ada", Result(REPORT, "first", {BuildRequest(): BuildFailed("no", seconds=1.5)})))
        journal.record(Graded("ada", Result(replace(REPORT, score=7.5), "second", seen)))
    with Journal.open(tmp_path) as journal:
        history, timings = journal.history(), journal.timings()
    assert [(one.student, one.exercise, one.digest, one.score, one.max_score) for one in history] == [
        ("ada", "3.3.5", "first", 0.0, 10.0), ("ada", "3.3.5", "second", 7.5, 10.0),
    ]  # fmt: skip
    assert [(one.kind, one.seconds, one.size) for one in timings] == [
        ("built", 3.5, 130_000_000), ("script_seen", 1.25, 0), ("compose_seen", 0.1 + 0.2, 0),
    ]  # fmt: skip


def test_what_was_found_out_about_limits_comes_back_and_is_not_missed_in_older_journals(tmp_path: Path) -> None:
    asked = replace(INFO, engine=replace(INFO.engine, limits=LimitsRecord(("run memory",), ("run disk",))))
    with Journal.open(tmp_path, create=True) as journal:
        journal.begin(asked, ("ada",))
    with Journal.open(tmp_path) as journal:
        assert journal.info() == asked
    with sqlite3.connect(tmp_path / "journal.sqlite") as database:
        database.execute("UPDATE batch SET engine = json_remove(engine, '$.limits')")
    database.close()
    with Journal.open(tmp_path) as journal:
        assert journal.info() == INFO
