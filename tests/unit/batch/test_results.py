"""What is made from a journal alone: files, and verdicts judged again by a course that has changed."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from grader.batch.journal import BatchInfo, Graded, Journal
from grader.batch.results import course_digest, regrade, write_results
from grader.checks import REASONS
from grader.cli.main import run
from grader.course.loader import CourseFolder, open_course
from grader.grading.session import Result, grade_one
from grader.models import EngineInfo, RunOutcome, RunRequest
from tests import reports
from tests.fakes import FakeEngine
from tests.unit.grading.test_session import files, session
from tests.worlds import COURSE, ROOT, printed

EXERCISE = COURSE.exercise("3.1.4")


def course(folder: Path, change: Callable[[str], str] = lambda text: text) -> CourseFolder:
    """The course with a changed exercises.yaml."""
    (folder / "reference").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "reference/predictor.py", folder / "reference")
    text = (ROOT / "exercises.yaml").read_text(encoding="utf-8")
    (folder / "exercises.yaml").write_text(change(text), encoding="utf-8")
    return open_course(folder, os.environ, folder, REASONS)


def off_by_five(request: RunRequest) -> RunOutcome:
    if request.replaced or len(request.args) != 3:
        return FakeEngine().on_run(request)
    return printed(f"Predicted sales for next week: {sum(map(float, request.args)) / 3 + 5}\n")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Ada is right, Bob's numbers are wrong, Cyd has handed in nothing; students are told nothing of it."""
    out = tmp_path / "results"
    out.mkdir()
    before = course(tmp_path / "before")
    with Journal.open(out, create=True) as journal:
        engine = EngineInfo("fake", "1", "buildkit")
        info = BatchInfo(1, course_digest(before), "Course", "2026-01-01T00:00:00+00:00", engine, "none")
        journal.begin(info, ("ada", "bob", "cyd"))
        for student, handed, behave in (
            ("ada", files(), FakeEngine().on_run), ("bob", files(), off_by_five), ("cyd", None, FakeEngine().on_run),
        ):  # fmt: skip
            journal.record(Graded(student, grade_one(session(FakeEngine(on_run=behave)), student, EXERCISE, handed)))
    return out


def gradebook(out: Path) -> dict[str, list[str]]:
    with (out / "gradebook.csv").open(encoding="utf-8", newline="") as file:
        return {row[0]: row[1:] for row in csv.reader(file)}


HEAD = '  - id: "3.1.4"\n'


def doubled(text: str) -> str:
    """3.1.4 is worth 20 points."""
    return text.replace(HEAD, f"{HEAD}    points: 20\n")


def one_case_more(text: str) -> str:
    before, head, after = text.partition(HEAD)
    return before + head + after.replace("count: 3", "count: 4", 1)


def test_other_points_count_for_everyone_and_changes_are_listed(results: Path, tmp_path: Path) -> None:
    with Journal.open(results) as journal:
        assert not regrade(journal, course(tmp_path / "same"))
        changed = course(tmp_path / "changed", doubled)
        lines = [str(change) for change in regrade(journal, changed)]
        write_results(journal, changed, results)
    assert {name: row[-2] for name, row in gradebook(results).items() if name != "student"} == {
        "ada": "20", "bob": "20", "cyd": "20",
    }  # fmt: skip
    assert lines[0] == "ada 3.1.4: passed, 10 / 10 → passed, 20 / 20"
    assert lines[2] == "cyd 3.1.4: not submitted, 0 / 10 → not submitted, 0 / 20"


def test_what_was_not_observed_is_left_to_resume_which_then_goes_on(results: Path, tmp_path: Path) -> None:
    with Journal.open(results) as journal:
        changed = course(tmp_path / "changed", one_case_more)
        regrade(journal, changed)
        assert {student: found["3.1.4"].status for student, found in journal.reports().items()} == {
            "ada": "not_graded", "bob": "failed", "cyd": "not_submitted",
        }  # fmt: skip
        info = journal.info()
    assert info is not None
    assert info.course == course_digest(changed)


def test_what_cannot_change_a_verdict_is_not_judged_again(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_now(*_: object, **__: object) -> NoReturn:
        raise AssertionError

    with Journal.open(results) as journal:
        regrade(journal, course(tmp_path / "same"))
        judged = journal.reports()
    monkeypatch.setattr("grader.batch.results.grade_exercise", not_now)
    with Journal.open(results) as journal:
        hinted = course(
            tmp_path / "hinted",
            lambda text: doubled(text).replace("\n  wrong_number: >-\n    ", "\n  wrong_number: >-\n    New. "),
        )
        assert len(regrade(journal, hinted)) == 3
        again = journal.reports()["bob"]["3.1.4"]
        for before, after in zip(judged["bob"]["3.1.4"].checks, again.checks, strict=True):
            hint = f"New. {before.hint}" if before.reason == "wrong_number" else before.hint
            assert after == replace(before, score=2 * before.score, max_score=2 * before.max_score, hint=hint)
        assert [entry.what for entry in journal.trail("bob")] == ["judged again"]
    with Journal.open(results) as journal, pytest.raises(AssertionError):
        regrade(journal, course(tmp_path / "more", one_case_more))


def test_files_that_are_as_they_would_be_written_are_left(results: Path) -> None:
    assert run(["regrade", str(results)]) == 0
    paths = [path for path in results.rglob("*") if path.suffix in {".html", ".csv", ".xml"}]
    assert len(paths) == 7
    stamps = {path: path.stat().st_mtime_ns for path in paths}
    (results / "students/bob.html").unlink()
    assert run(["regrade", str(results)]) == 0
    changed = {path.name for path in paths if path.stat().st_mtime_ns != stamps[path]}
    assert changed == {"bob.html"}
    assert run(["report", str(results)]) == 0
    assert not [path for path in paths if path.stat().st_mtime_ns == stamps[path]]


def test_an_unrelated_course_is_refused(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course(tmp_path / "other", lambda text: text.replace(HEAD, HEAD.replace("3.1.4", "9.9")))
    assert run(["--course", str(tmp_path / "other"), "regrade", str(results)]) == 2
    assert "has none of the exercises of these results (3.1.4)" in capsys.readouterr().err


def test_what_students_are_told_is_kept_with_the_batch(results: Path) -> None:
    page = results / "students/bob.html"
    assert run(["regrade", str(results)]) == 0
    assert "110" not in page.read_text(encoding="utf-8").partition("docker run")[2]
    assert run(["report", str(results), "--details", "full"]) == 0
    assert "Expected" in page.read_text(encoding="utf-8")
    assert run(["regrade", str(results)]) == 0
    assert "Expected" in page.read_text(encoding="utf-8")
    assert run(["report", str(results), "--details", "none"]) == 0
    assert run(["regrade", str(results)]) == 0
    assert "Expected" not in page.read_text(encoding="utf-8")


def test_names_that_differ_in_case_have_files_of_their_own_and_what_could_not_be_graded_counts_nowhere(
    tmp_path: Path,
) -> None:
    with Journal.open(tmp_path, create=True) as journal:
        journal.begin(BatchInfo(1, "", "Course", "2026-01-01T00:00:00+00:00", reports.ENGINE), ("Ada", "ada", "bob"))
        for student in ("Ada", "ada", "bob"):
            for one in (reports.passed_exercise(), reports.ungraded_exercise()):
                journal.record(Graded(student, Result(one, "")))
        found = write_results(journal, course(tmp_path / "course"), tmp_path).reports
    assert {(report.score, report.max_score) for report in found} == {(10, 10)}
    assert gradebook(tmp_path)["ada"] == ["10", "", "10", "10", "3.2.2"]
    files = [path.name for path in (tmp_path / "students").iterdir()]
    assert len({name.casefold() for name in files}) == 3
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "100%" in page
    assert all(f'href="students/{name}"' in page for name in files)
