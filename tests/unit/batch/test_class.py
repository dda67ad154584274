"""A class of 120 × 17 with late work, extensions, marks by hand and two sections, through every output.

Nothing here is reckoned by the grader's own code: `by_hand` goes from the plain figures to the marks by itself.
"""

from __future__ import annotations

import csv
import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import pytest

from grader.batch.journal import BatchInfo, Graded, Journal
from grader.batch.results import course_digest
from grader.cli.main import run
from grader.course.loader import CourseFolder
from grader.grading.session import Result
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, ExerciseStatus
from grader.sanitize import safe_name
from tests import reports
from tests.worlds import COURSE, ROOT

DUE = datetime(2026, 3, 1, 22, 59, tzinfo=UTC)  # 23:59 in Vienna
GRADING = """\
weights: {"3.3.2": 2}
bonus: ["3.2.P", "3.3.L"]
drop_lowest: 2
scale: 40
round: 0.5
timezone: Europe/Vienna
late: {due: 2026-03-01 23:59, grace: 30m, per_day: 10%, cut_off: 5d, extensions: {s003: 2d, s004: 2026-03-05 23:59}}
"""
OVERRIDES = (
    "student,exercise,score,comment,who\ns005,3.1.4,10,log was cut,ts\ns006,,31.5,agreed,ts\ns007,,,well done,ts\n"
)
IDS = [exercise.id for exercise in COURSE.exercises]
CAUGHT = (0, 2, 4.5, 7.25, 10)


def drawn() -> tuple[dict[str, dict[str, float]], dict[str, datetime]]:
    """Everyone's points, and when they handed in: half in time, the others up to eight days late."""
    draw = random.Random(7)
    names = [f"s{number:03d}" for number in range(120)]
    points = {name: {one: draw.choice(CAUGHT) for one in IDS} for name in names}
    times = {
        name: DUE + timedelta(minutes=draw.choice([-600, -1, 29, 31, 60 * 20, 60 * 60, 60 * 24 * 8])) for name in names
    }
    return points, times


POINTS, TIMES = drawn()


def by_hand(name: str) -> float:
    """The mark, from the figures and the rules as the teacher wrote them."""
    if name == "s006":
        return 31.5
    due = {"s003": DUE + timedelta(days=2), "s004": DUE + timedelta(days=4)}.get(name, DUE)
    late = TIMES[name] - due
    keep = Fraction(1)
    if late > timedelta(minutes=30):
        keep = Fraction(0) if late > timedelta(days=5) else 1 - Fraction(-(-late // timedelta(days=1)), 10)
    have = {one: Fraction(str(score)) * keep for one, score in POINTS[name].items()}
    if name == "s005":
        have["3.1.4"] = Fraction(10)
    regular = sorted(one for one in IDS if one not in {"3.2.P", "3.3.L"})
    dropped = sorted(regular, key=lambda one: (have[one], -IDS.index(one)))[:2]
    weight = {one: 2 if one == "3.3.2" else 1 for one in IDS}
    counted = [one for one in IDS if one not in dropped]
    total = sum(have[one] * weight[one] for one in counted)
    worth = sum(10 * weight[one] for one in counted if one in regular)
    mark = total * 40 / worth
    halves = int(mark * 2 + Fraction(1, 2))
    return halves / 2


MARKS = {name: by_hand(name) for name in POINTS}


def verdict(exercise: str, score: float) -> ExerciseReport:
    full = score == 10
    status = CheckStatus.PASSED if full else CheckStatus.FAILED
    check = CheckVerdict("synthetic", "It predicts", status, score, 10, message="" if full else "It printed 7.")
    known = COURSE.exercise(exercise)
    passed = ExerciseStatus.PASSED if full else ExerciseStatus.FAILED
    return ExerciseReport(exercise, known.title, passed, score, 10, (check,), seconds=1, bonus=known.bonus)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("class") / "results"
    out.mkdir()
    digest = course_digest(CourseFolder(ROOT, COURSE))
    with Journal.open(out, create=True) as journal:
        journal.begin(BatchInfo(1, digest, "Course", "2026-03-10T00:00:00+00:00", reports.ENGINE), POINTS)
        people = {
            name: {"section": "AB"[number % 2], "email": f"{name}@x.example", "submitted": TIMES[name].isoformat()}
            for number, name in enumerate(POINTS)
        }
        journal.know(people)
        for name, points in POINTS.items():
            for exercise, score in points.items():
                journal.record(Graded(name, Result(verdict(exercise, score), "digest")))
    for file, text in (("g.yaml", GRADING), ("o.csv", OVERRIDES)):
        (out.parent / file).write_text(text, encoding="utf-8")
    words = ["report", str(out), "--grading", str(out.parent / "g.yaml"), "--overrides", str(out.parent / "o.csv")]
    assert run(words) == 0
    return out


def table(path: Path) -> dict[str, Mapping[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {next(iter(row.values())): row for row in csv.DictReader(file)}


def test_gradebook_and_pages(results: Path) -> None:
    assert len(set(MARKS.values())) > 20, "the rules of this class matter"
    rows = table(results / "gradebook.csv")
    assert {name: float(row["final"]) for name, row in rows.items()} == MARKS
    assert {row["final_max"] for row in rows.values()} == {"40"}
    assert {name: {one: float(row[one]) for one in IDS} for name, row in rows.items()} == POINTS
    assert [rows[name]["section"] for name in ("s000", "s001")] == ["A", "B"]
    assert "3.1.4: set by hand by ts (log was cut): " in rows["s005"]["why"]
    assert rows["s006"]["why"].endswith("→ 31.5")
    assert rows["s007"]["comment"] == "well done"
    for name, row in rows.items():
        due = DUE + timedelta(days={"s003": 2, "s004": 4}.get(name, 0), minutes=30)
        assert ("late by" in row["why"]) == (TIMES[name] > due and any(POINTS[name].values())), name
    for name in ("s003", "s005", "s006", "s007", "s020"):
        page = (results / f"students/{safe_name(name)}.html").read_text(encoding="utf-8")
        assert f"Mark: {MARKS[name]:g} of 40" in page, name
    page = (results / "report.html").read_text(encoding="utf-8")
    assert page.count("/ 40") >= 120
    assert len(page) < 2_000_000


def test_regrade_keeps_what_a_hand_has_set_and_says_whose_mark_changes(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["regrade", str(results)]) == 0
    assert "Final mark of" not in capsys.readouterr().err
    rules = results / "grading.yaml"
    rules.write_text(GRADING.replace("drop_lowest: 2\n", ""), encoding="utf-8")
    assert run(["regrade", str(results)]) == 0
    said = capsys.readouterr().err
    assert "Final mark of s000: " in said
    assert "Final mark of s006" not in said.replace("Final mark of s006: 31.5 / 40 (", "")
    assert float(table(results / "gradebook.csv")["s006"]["final"]) == 31.5
    rules.write_text(GRADING, encoding="utf-8")
    assert run(["report", str(results)]) == 0
    assert {name: float(row["final"]) for name, row in table(results / "gradebook.csv").items()} == MARKS


def test_without_names_no_file_has_one_and_they_come_back(results: Path) -> None:
    names = re.compile(r"\bs\d{3}\b")
    assert run(["report", str(results), "--anonymous"]) == 0
    files = [results / name for name in ("report.html", "grades.csv", "gradebook.csv", "junit.xml")]
    for path in (*files, *(results / "students").iterdir()):
        assert not names.search(path.name)
        assert not names.search(path.read_text(encoding="utf-8")), path
    pseudonyms = {row["student"]: name for name, row in table(results / "pseudonyms.csv").items()}
    rows = table(results / "gradebook.csv")
    assert {name: float(rows[pseudonyms[name]]["final"]) for name in MARKS} == MARKS
    assert run(["report", str(results)]) == 0
    assert {row["student"]: name for name, row in table(results / "pseudonyms.csv").items()} == pseudonyms
    assert run(["report", str(results), "--named"]) == 0
    assert sorted(path.stem for path in (results / "students").iterdir()) == sorted(MARKS)
    assert not (results / "pseudonyms.csv").exists()


def test_a_mistake_in_the_teacher_s_files_changes_nothing(results: Path) -> None:
    before = (results / "gradebook.csv").read_bytes()
    (results / "grading.yaml").write_text(GRADING.replace("scale", "scal"), encoding="utf-8")
    assert run(["report", str(results)]) == 2
    assert (results / "gradebook.csv").read_bytes() == before
