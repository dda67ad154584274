"""A batch with a fake engine: everyone appears, nothing is lost, what is done stays done."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import pytest

from grader.batch.journal import BatchInfo, Journal
from grader.batch.results import reports_in
from grader.batch.roster import Plan, Roster, plan_batch
from grader.batch.run import run_batch
from grader.errors import EngineError, UsageError
from grader.models import EngineInfo, RunOutcome, RunRequest
from grader.submissions.lms import Handin
from grader.submissions.models import Submission
from tests.fakes import FakeEngine
from tests.unit.grading.test_session import files, session
from tests.worlds import COURSE

EXERCISES = [COURSE.exercise("3.1.4")]
INFO = BatchInfo(1, "digest", "Course", "2026-01-01T00:00:00+00:00", EngineInfo("fake", "1", "buildkit"))


def read(handin: Handin) -> Submission:
    """Each student's own bytes: the digest differs."""
    return Submission(handin.student, (replace(files(), digest=handin.student),))


def plan(*students: str, absent: tuple[str, ...] = ()) -> Plan:
    roster = Roster({name: {} for name in absent})
    return plan_batch([Handin(Path(name), name) for name in students], roster, EXERCISES)


def graded(folder: Path, given: Plan, engine: FakeEngine, jobs: int = 2) -> Journal:
    with Journal.open(folder, create=True) as journal:
        journal.begin(INFO, tuple(given.students))
        run_batch(session(engine), given, journal, read, jobs)
    return Journal.open(folder)


def test_everyone_of_the_roster_appears(tmp_path: Path) -> None:
    with graded(tmp_path, plan("ada", "grace", absent=("ada", "zoe")), FakeEngine()) as journal:
        reports = {report.student: report for report in reports_in(journal, COURSE)}
    assert sorted(reports) == ["ada", "grace", "zoe"]
    assert reports["ada"].score == 10
    assert reports["zoe"].exercises[0].status == "not_submitted"


def test_what_is_graded_and_unchanged_is_not_graded_again(tmp_path: Path) -> None:
    graded(tmp_path, plan("ada"), FakeEngine()).__exit__()
    again = FakeEngine()
    with graded(tmp_path, plan("ada", "grace"), again) as journal:
        assert len(again.builds) == 1
        assert len(reports_in(journal, COURSE)) == 2


def test_what_could_not_be_graded_is_tried_again(tmp_path: Path) -> None:
    def away(_request: RunRequest) -> RunOutcome:
        raise EngineError("gone")

    with graded(tmp_path, plan("ada"), FakeEngine(on_run=away)) as journal:
        assert reports_in(journal, COURSE)[0].exercises[0].status == "not_graded"
    with graded(tmp_path, plan("ada"), FakeEngine()) as journal:
        assert reports_in(journal, COURSE)[0].score == 10


@pytest.mark.parametrize(
    ("fault", "at", "done"), [(KeyboardInterrupt, range(13, 99), ["ada"]), (RecursionError, [1], ["bob", "cyd"])]
)
def test_an_interrupt_keeps_what_was_done_and_a_fault_over_one_submission_does_not_end_the_others(
    tmp_path: Path, fault: type[BaseException], at: Container[int], done: list[str]
) -> None:
    runs = 0

    def faulty(request: RunRequest) -> RunOutcome:
        nonlocal runs
        runs += 1
        if runs in at:
            raise fault
        return FakeEngine().on_run(request)

    with pytest.raises(fault):
        graded(tmp_path, plan("ada", "bob", "cyd"), FakeEngine(on_run=faulty), jobs=1)
    with Journal.open(tmp_path) as journal:
        assert sorted(name for name, _ in journal.digests()) == done


def test_one_grader_at_a_time_in_a_folder_that_has_a_journal(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a result folder"):
        Journal.open(tmp_path)
    with Journal.open(tmp_path, create=True), pytest.raises(UsageError, match="another grader"):
        Journal.open(tmp_path, create=True)
