"""What a path given to `grader check` is taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.errors import UsageError
from grader.submissions.models import ExerciseFiles
from grader.submissions.reader import find_target
from tests.worlds import COURSE

EVERY = COURSE.exercises


def folder(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "Dockerfile").write_text("FROM python:3.9\n", encoding="utf-8")
    return root


def ids(path: Path, wanted: tuple[str, ...] = (), *, every: bool = False) -> list[str]:
    exercises = [COURSE.exercise(name) for name in wanted] or list(EVERY)
    return [exercise.id for exercise in find_target(path, COURSE, exercises, every=every).exercises]


def test_an_exercises_own_folder(tmp_path: Path) -> None:
    assert ids(folder(tmp_path, "3.1.4") / "3.1.4") == ["3.1.4"]


@pytest.mark.parametrize("name", ["3.1.4", "Exercise 3.1.4", "ex3_1_4"])
def test_a_file_stands_for_its_folder(tmp_path: Path, name: str) -> None:
    target = find_target(folder(tmp_path, name) / name / "Dockerfile", COURSE, EVERY, every=True)
    assert [exercise.id for exercise in target.exercises] == ["3.1.4"]
    assert [type(one) for one in target.submission.exercises] == [ExerciseFiles]


@pytest.mark.parametrize("here", [".", "3.1.4", "3.1.5"])
def test_an_id_finds_its_folder_from_above_inside_and_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str
) -> None:
    monkeypatch.chdir(folder(tmp_path, "3.1.4", "3.1.5") / here)
    assert ids(Path("3.1.4")) == ["3.1.4"]


def test_a_submission_has_what_it_has(tmp_path: Path) -> None:
    assert ids(folder(tmp_path, "3.1.5", "3.1.4", "notes")) == ["3.1.4", "3.1.5"]


def test_with_every_exercise_the_absent_ones_count(tmp_path: Path) -> None:
    assert ids(folder(tmp_path, "3.1.4"), every=True) == [exercise.id for exercise in EVERY]


def test_any_folder_can_be_named_an_exercise(tmp_path: Path) -> None:
    target = find_target(folder(tmp_path, "work") / "work", COURSE, [COURSE.exercise("3.1.4")], every=True)
    assert target.submission.exercises[0].exercise == "3.1.4"


@pytest.mark.parametrize("name", ["nothing-there", "empty"])
def test_anything_else_says_what_was_looked_for(tmp_path: Path, name: str) -> None:
    folder(tmp_path, "empty")
    with pytest.raises(UsageError, match=r"3\.1\.4|no such folder"):
        ids(tmp_path / name)
