"""Rosters as teachers have them: who is called what, whose submission is whose, and no ghost students."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.batch.roster import Roster, plan_batch, read_roster
from grader.errors import UsageError


def roster(folder: Path, text: str) -> Roster:
    path = folder / "roster.csv"
    path.write_text(text, encoding="utf-8")
    return read_roster(path)


@pytest.mark.parametrize(
    ("text", "names", "note"),
    [
        ("student\nada\ngrace\n", ("ada", "grace"), ""),
        ("ada\ngrace\n", ("ada", "grace"), ""),
        ("email,student\na@x,ada\n\nb@x, grace \n", ("ada", "grace"), ""),
        ("email;student\na@x;ada\nb@x;grace\n", ("ada", "grace"), ""),
        ("email\tStudent\na@x\tada\nb@x\tgrace\n", ("ada", "grace"), ""),
        ("\ufeffstudent,x\nada,1\n", ("ada",), ""),
        ("", (), ""),
        ("Name,Email\nAda King,a@x\nGrace Hopper,g@x\n", ("Ada King", "Grace Hopper"), "the column Name"),
        ("Name,Email\nAda King,a@x\nAda King,g@x\n", ("a@x", "g@x"), "the column Email"),
        ("Username;Full name\nada;Ada King\n", ("ada",), "the column Username"),
        ("ada,A\ngrace,B\n", ("ada", "grace"), "the first column, since no header names one"),
    ],
)
def test_separators_and_columns_are_found(tmp_path: Path, text: str, names: tuple[str, ...], note: str) -> None:
    found = roster(tmp_path, text)
    assert found.names == names
    assert len(found.notes) == bool(note)
    assert all(note in line for line in found.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("student\nada\nada\n", ":3: 'ada' already stands in line 2"),
        ("a,student\nx,\n", ":2: the student's name is missing"),
        ("Name\nAda King\nAda King\n", ":3: 'Ada King' already"),
    ],
)
def test_a_bad_roster_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        roster(tmp_path, text)


CLASS = "student,Name,Email\nak1,Ada King,ada@x.example\ngh2,Grace Hopper,grace@x.example\n"
PARTS = "First name;Last name;ID number\nAda;King;101\nGrace;Hopper;102\n"
TWINS = "ID number,Name\n101,Ada King\n102,Ada King\n103,Zoe\n"


@pytest.mark.parametrize(
    ("text", "submissions", "students", "note"),
    [
        (CLASS, ["ak1", "gh2"], {"ak1": "ak1", "gh2": "gh2"}, ""),
        (CLASS, ["Ada King", "grace"], {"ak1": "Ada King", "gh2": "grace"}, ""),
        (CLASS, ["ADA@X.example"], {"ak1": "ADA@X.example", "gh2": None}, ""),
        (PARTS, ["King, Ada", "grace  hopper"], {"101": "King, Ada", "102": "grace  hopper"}, ""),
        (CLASS, ["ada", "eve"], {"ak1": "ada", "eve": "eve", "gh2": None}, "not on the roster: eve. They are graded"),
        (TWINS, ["Ada King", "zoe"], {"101": None, "102": None, "103": "zoe", "Ada King": "Ada King"}, "101 or 102"),
        (
            CLASS,
            ["ada", "Ada King"],
            {"Ada King": "Ada King", "ada": "ada", "gh2": None},
            "ada and Ada King may all be this",
        ),
        ("", ["eve"], {"eve": "eve"}, ""),
        (CLASS, [], {"ak1": None, "gh2": None}, ""),
    ],
)
def test_whose_submission_it_is(
    tmp_path: Path, text: str, submissions: list[str], students: dict[str, str | None], note: str
) -> None:
    plan = plan_batch([Path(name) for name in submissions], lambda path: path.name, roster(tmp_path, text), [])
    assert {name: path and path.name for name, path in plan.students.items()} == students
    notes = [line for line in plan.notes if "no column `student`" not in line]
    assert len(notes) == bool(note)
    assert all(note in line for line in notes)


def test_a_roster_of_which_nobody_is_found_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"calls students ak1, gh2; the submissions are called eve, mallory"):
        plan_batch([Path("eve"), Path("mallory")], lambda path: path.name, roster(tmp_path, CLASS), [])


def test_two_submissions_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="Two submissions are named ada"):
        plan_batch([Path("a/ada"), Path("b/ada")], lambda path: path.name, Roster(), [])
