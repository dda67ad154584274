"""Similar submissions are found through other names and comments; what everybody has is no likeness."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.batch.journal import BatchInfo, Graded, Journal
from grader.batch.similarity import fingerprints, similar
from grader.cli.main import run
from grader.grading.session import Result
from grader.models import MemoryFile
from grader.submissions.models import ExerciseFiles
from tests import reports

STARTER = "import sys\n\nweeks = [float(word) for word in sys.argv[1:]]\nprint('Predicted sales for next week:', 0)\n"
OWN = """\
def smooth(values, factor):
    level = values[0]
    for value in values[1:]:
        level = factor * value + (1 - factor) * level
    if level < min(values) or level > max(values):
        raise SystemExit(3)
    return round(sum(sorted(values)[1:-1]) / max(len(values) - 2, 1), 4) if len(values) > 9 else level
"""
RENAMED = "# all mine\n" + OWN.replace("values", "w").replace("level", "result").replace("smooth", "f")
OTHER = (
    "total = 0\nfor index in range(len(weeks)):\n    total += weeks[index]\nprint(total / len(weeks) if weeks else 0)\n"
)


def prints(text: str) -> frozenset[int]:
    return fingerprints([MemoryFile("sales_predictor.py", text.encode()), MemoryFile("sales.txt", OWN.encode())])


def test_what_is_alike_beyond_the_starter_is_found_through_other_names_and_comments() -> None:
    handed = {"ada": STARTER + OWN, "bob": STARTER + RENAMED, "cyd": STARTER + OTHER, "dan": STARTER}
    (pair,) = similar({"3.1.4": {who: prints(text) for who, text in handed.items()}}, {"3.1.4": prints(STARTER)})
    assert (pair.first, pair.second, pair.share) == ("ada", "bob", 1)


@pytest.mark.parametrize(("size", "pairs"), [(2, 1), (12, 0)])
def test_what_many_of_the_class_have_is_no_likeness(size: int, pairs: int) -> None:
    everyone = {f"s{number}": prints(OWN) for number in range(size)}
    assert len(similar({"3.1.4": everyone}, {})) == pairs


def test_the_command_lists_pairs_and_says_what_that_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal.open(tmp_path, create=True) as journal:
        journal.begin(BatchInfo(1, "", "Course", "2026-01-01T00:00:00+00:00", reports.ENGINE), ())
        for student, text in (("ada", OWN), ("=bob", RENAMED), ("cyd", OTHER)):
            files = ExerciseFiles("3.1.1", "x", (MemoryFile("sales_predictor.py", text.encode()),), student)
            journal.record(Graded(student, Result(reports.passed_exercise(), student, {}, files)))
    assert run(["similar", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "common in the class: 1. Similar is not copied" in said.err
    assert (
        (tmp_path / "similar.csv").read_text(encoding="utf-8").splitlines()[1].startswith('"3.1.1","\'=bob","ada",100,')
    )


def test_status_reads_while_another_is_at_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal.open(tmp_path, create=True) as journal:
        journal.begin(BatchInfo(1, "", "Course", "2026-01-01T00:00:00+00:00", reports.ENGINE), ("ada", "bob"))
        journal.record(Graded("ada", Result(reports.passed_exercise(), "")))
        journal.begin_attempt("bob", "3.1.1")
        assert run(["status", str(tmp_path)]) == 0
    said = capsys.readouterr().err
    assert "1 of 2 exercises of 2 students have a verdict." in said
    assert "1 passed" in said
    assert "being graded: bob 3.1.1" in said
    assert run(["status", str(tmp_path), "--format", "json"]) == 0
    assert '"verdicts": {"passed": 1}' in capsys.readouterr().out
    assert run(["status", str(tmp_path), "--student", "eve"]) == 2
