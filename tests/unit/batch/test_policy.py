"""A teacher's files beside the results: read as they are meant, and each mistake told with file and line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grader.batch.policy import read_rules
from grader.errors import SpecError
from grader.grading.grades import Late, Override, Policy

EXERCISES = ("3.1.1", "3.1.4", "3.2.P")
PEOPLE = {
    "ada": {"name": "Ada King", "email": "ada@x.example", "submitted": "2026-03-02T10:00:00+00:00"},
    "grace": {"id": "102"},
}
FULL = """\
weights: {"3.1.1": 2}
bonus: ["3.2.p"]
drop_lowest: 1
scale: 40
round: 0.5
timezone: Europe/Vienna
late:
  due: 2026-03-01 23:59
  grace: 15 min
  per_day: 10%
  at_most: 0.5
  cut_off: 7 days
  extensions:
    Ada King: 3d
    "102": 2026-03-08
"""


def test_every_setting(tmp_path: Path) -> None:
    (tmp_path / "grading.yaml").write_text(FULL, encoding="utf-8")
    due = datetime(2026, 3, 1, 22, 59, tzinfo=UTC)
    assert read_rules(tmp_path, EXERCISES, PEOPLE).policy == Policy(
        weights={"3.1.1": 2},
        bonus=frozenset({"3.2.P"}),
        drop_lowest=1,
        scale=40,
        step=0.5,
        late=Late(
            due, timedelta(minutes=15), 0.1, 0.5, timedelta(days=7),
            {"ada": due + timedelta(days=3), "grace": datetime(2026, 3, 8, 22, 59, 59, tzinfo=UTC)},
        ),
    )  # fmt: skip


def test_no_files_are_no_rules(tmp_path: Path) -> None:
    rules = read_rules(tmp_path, EXERCISES, PEOPLE)
    assert (rules.policy, rules.overrides, rules.submitted) == (Policy(), (), {"ada": "2026-03-02T10:00:00+00:00"})


def test_marks_and_times_by_hand_name_a_student_in_any_way(tmp_path: Path) -> None:
    (tmp_path / "overrides.csv").write_text(
        "Student;Exercise;Score;Comment;Who\n"
        "Ada King;3.1.4;7,5;cut log;ts\n102;;20;agreed;\nada@x.example;;;well done;\n",
        encoding="utf-8",
    )
    (tmp_path / "times.csv").write_text(
        "Identifier,Email address,Last modified (submission)\n"
        'Participant 1,ada@x.example,"Monday, 2 March 2026, 9:00 AM"\n'
        "Participant 2,x@x,-\n",
        encoding="utf-8",
    )
    rules = read_rules(tmp_path, EXERCISES, PEOPLE)
    assert rules.overrides == (
        Override("ada", "3.1.4", 7.5, "cut log", "ts"),
        Override("grace", "", 20, "agreed"),
        Override("ada", "", None, "well done"),
    )
    assert rules.submitted == {"ada": "2026-03-02T09:00:00+00:00"}


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("grading.yaml", "scal: 100\n", 'grading.yaml:1:1: scal: there is no such setting; did you mean "scale"?'),
        ("grading.yaml", "scale: x\n", 'grading.yaml:1:1: scale: expected a valid number; found "x"'),
        ("grading.yaml", "scale: 0\n", "grading.yaml:1:1: scale: expected greater than 0"),
        ("grading.yaml", "late:\n  grace: 1d\n", "grading.yaml:1:1: late.due: is missing"),
        ("grading.yaml", "late:\n  due: soon\n", "grading.yaml:2:3: late.due: expected a date and time such as"),
        ("grading.yaml", "late:\n  due: 2026-03-01\n  per_day: 110%\n", "3:3: late.per_day: expected a share"),
        ("grading.yaml", "late:\n  due: 2026-03-01\n  grace: 5 years\n", "late.grace: expected a time span such as"),
        ("grading.yaml", "late: {due: 2026-03-01, extensions: {adda: 3d}}", '"adda" is no student of these res'),
        ("grading.yaml", 'weights: {"3.1.5": 2}\n', '"3.1.5" is no exercise of these results; did you mean "3.1.'),
        ("grading.yaml", "timezone: Mars\n", "grading.yaml:1:1: timezone: expected a zone such as Europe/Vienna"),
        ("grading.yaml", "scale: [\n", "grading.yaml:2:1: "),
        ("overrides.csv", "who,score\nada,1\n", "overrides.csv:1: has no column student"),
        ("overrides.csv", "student,score\nada,ten\n", 'overrides.csv:2: "ten" is no number of points'),
        ("overrides.csv", "student,score\nada,nan\n", "overrides.csv:2: "),
        ("overrides.csv", "student,score\nada,\n", "overrides.csv:2: has neither a score nor a comment"),
        ("overrides.csv", "student,score\n\nbob,1\n", 'overrides.csv:3: "bob" is no student of these results'),
        ("times.csv", "student,submitted\nada,yesterday\n", 'times.csv:2: "yesterday" is no date and time'),
    ],
)  # fmt: skip
def test_a_mistake_names_file_and_line_and_what_was_expected(
    tmp_path: Path, file: str, text: str, message: str
) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as raised:
        read_rules(tmp_path, EXERCISES, PEOPLE)
    assert message in str(raised.value)
