"""Where a course is found, and what an exercise starts with."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.course.loader import CourseFolder, find_course, start_exercise
from grader.errors import UsageError
from tests.worlds import COURSE, ROOT


def test_a_course_is_found_by_option_environment_and_upwards(tmp_path: Path) -> None:
    (tmp_path / "course/reference").mkdir(parents=True)
    (tmp_path / "course/exercises.yaml").write_text("", encoding="utf-8")
    (tmp_path / "course/below/it").mkdir(parents=True)
    course = (tmp_path / "course").resolve()
    assert find_course(tmp_path / "course", {}, tmp_path) == course
    assert find_course(None, {"GRADER_COURSE": str(course)}, tmp_path) == course
    assert find_course(None, {}, course / "below/it") == course
    assert find_course(None, {}, tmp_path) == ROOT
    with pytest.raises(UsageError, match="not a course"):
        find_course(tmp_path, {}, tmp_path)


def test_starting_copies_and_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "sales_predictor.py").write_text("mine", encoding="utf-8")
    copied, kept = start_exercise(CourseFolder(ROOT, COURSE), COURSE.exercise("3.1.4"), tmp_path)
    assert [path.name for path in kept] == ["sales_predictor.py"]
    assert "Dockerfile" in [path.name for path in copied]
    assert (tmp_path / "sales_predictor.py").read_text(encoding="utf-8") == "mine"
