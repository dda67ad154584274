"""Rosters as teachers have them: who is called what, whose submission is whose, and no ghost students."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.batch.roster import Roster, plan_batch, read_roster
from grader.errors import UsageError
from grader.submissions.lms import Handin


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
    assert tuple(found.people) == names
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
            "ada and Ada King may all be",
        ),
        ("", ["eve"], {"eve": "eve"}, ""),
        (CLASS, [], {"ak1": None, "gh2": None}, ""),
    ],
)
def test_whose_submission_it_is(
    tmp_path: Path, text: str, submissions: list[str], students: dict[str, str | None], note: str
) -> None:
    plan = plan_batch([Handin(Path(name), name) for name in submissions], roster(tmp_path, text), [])
    assert {name: one and one.student for name, one in plan.students.items()} == students
    notes = [line for line in plan.notes if "no column `student`" not in line]
    assert len(notes) == bool(note)
    assert all(note in line for line in notes)


CLASSROOM = "username,first_name,last_name,email,section,github_id\nada-k,Ada,King,ada@x.example,A,7\n"


@pytest.mark.parametrize(
    ("text", "student", "names", "columns"),
    [
        (CLASSROOM, "2-ada-k", ("lab-2-ada-k", "2-ada-k", "ada-k", "k"), {"login": "ada-k", "section": "A"}),
        ("student|GitHub User|Group\nada|ak7|g1\n", "AK7", (), {"github": "ak7", "group": "g1"}),
        ("Name,SID,Sections\nAda King,17,A\n", "Ada L. King", ("a@x", "17"), {"id": "17", "section": "A"}),
        ("identifier,github_username,github_id,name\na@x,ak,7,\n", "ak", (), {"id": "a@x", "github": "ak"}),
    ],
)
def test_a_student_is_found_by_any_name_that_roster_and_platform_have(
    tmp_path: Path, text: str, student: str, names: tuple[str, ...], columns: dict[str, str]
) -> None:
    plan = plan_batch([Handin(Path("x"), student, names)], roster(tmp_path, text), [])
    ((name, known),) = plan.people.items()
    assert list(plan.students) == [name]
    assert known.items() >= columns.items()


def test_who_is_not_on_the_roster_is_named_with_the_nearest_who_handed_in_nothing(tmp_path: Path) -> None:
    handins = [Handin(Path(name), name) for name in ("ada", "grace hoper", "zz")]
    plan = plan_batch(handins, roster(tmp_path, CLASS), [])
    assert plan.notes == ("Handed in, but not on the roster: grace hoper (nearest: gh2), zz. They are graded, too.",)
    with pytest.raises(UsageError, match=r"calls students ak1, gh2; the submissions are called eve, mallory"):
        plan_batch([Handin(Path(name), name) for name in ("eve", "mallory")], roster(tmp_path, CLASS), [])
    with pytest.raises(UsageError, match="Two submissions are named ada"):
        plan_batch([Handin(Path("a/ada"), "ada"), Handin(Path("b/ada"), "ada")], Roster(), [])
