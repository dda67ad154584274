"""`from grader import …`: few functions, which the commands are made of."""

from __future__ import annotations

import runpy
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest

import grader
from grader import check, open_course, open_results
from grader.batch.journal import BatchInfo, Graded, Journal
from grader.errors import UsageError
from grader.grading.session import Result
from grader.models import BuildRequest, Built, ImageConfig, Observation, Request, RunOutcome, RunRequest
from tests import reports
from tests.worlds import ROOT, printed


@pytest.fixture
def results(tmp_path: Path) -> Path:
    seen: dict[Request, Observation] = {
        BuildRequest(): Built("sha256:1", ImageConfig(), seconds=2.5, size=10**8),
        RunRequest(): RunOutcome(printed("110").ended, seconds=0.5),
    }
    with Journal.open(tmp_path, create=True) as journal:
        journal.begin(BatchInfo(7, "", "Docker", "2026-01-01T00:00:00+00:00", reports.ENGINE), ("nobody",))
        for student in reports.large_class(6)[0]:
            for one in student.exercises:
                journal.record(Graded(student.student, Result(one, "digest", seen)))
    return tmp_path


def test_results_are_tables_of_submissions_checks_runs_and_history(results: Path) -> None:
    found = open_results(results)
    students = reports.large_class(6)[0]
    assert (found.title, found.seed) == ("Docker", 7)
    assert len(found.submissions) == len(found.history) == 6 * 17
    totals = found.submissions.groupby("student")["score"].sum()
    assert totals.to_dict() == pytest.approx({one.student: one.score for one in students})
    verdicts = [check for one in students for exercise in one.exercises for check in exercise.checks]
    assert len(found.checks) == len(verdicts)
    assert found.checks["score"].sum() == pytest.approx(sum(check.score for check in verdicts))
    assert found.checks.query("status == 'failed'")["code"].str.fullmatch(r"[DFRPSC]\d{3}").all()
    assert found.runs.groupby("kind")["seconds"].sum().to_dict() == {"built": 2.5 * 102, "ran": 0.5 * 102}
    assert isinstance(found.history["at"].dtype, pd.DatetimeTZDtype)


def test_marks_are_those_of_the_teachers_files(results: Path) -> None:
    (results / "overrides.csv").write_text(
        "student,exercise,score,comment,who\nAda Abbas,,99,agreed,jp\n", encoding="utf-8"
    )
    marks = open_results(results).marks.set_index("student")
    assert len(marks) == 7
    assert marks.loc["Ada Abbas", "mark"] == 99
    assert "set by hand by jp (agreed)" in str(marks.loc["Ada Abbas", "reasons"])
    assert marks["mark"].isna().loc["nobody"]


def test_the_example_asks_three_questions_and_draws_two_plots(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["analyse_class.py", str(results)])
    runpy.run_path(str(ROOT / "examples/analyse_class.py"), run_name="__main__")
    said = capsys.readouterr().out
    for part in ("Docker: 6 students", "3.1.4 ", "points", "built    102     2.5  255.0"):
        assert part in said
    for plot, bars in (("hard.svg", 17), ("builds.svg", 17)):
        assert len(ET.parse(results / plot).findall("{http://www.w3.org/2000/svg}rect")) == bars  # noqa: S314 - ours


def test_what_is_looked_for_is_found_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not a result folder"):
        open_results(tmp_path)
    with pytest.raises(UsageError, match="Looked for"):
        check(tmp_path)
    with pytest.raises(UsageError, match="There is no exercise 9"):
        check(tmp_path, exercises=["9"])
    with pytest.raises(UsageError, match="not a course"):
        open_course(tmp_path)
    monkeypatch.setenv("GRADER_COURSE", str(ROOT))
    monkeypatch.chdir(tmp_path)
    assert [one.id for one in open_course().course.exercises][:2] == ["3.1.1", "3.1.2"]


def test_nothing_is_imported_before_it_is_used() -> None:
    with pytest.raises(AttributeError):
        _ = grader.nothing  # type: ignore[attr-defined] # that is the point
    program = "import sys, grader; assert not {'pandas', 'pydantic', 'docker', 'grader.api'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
