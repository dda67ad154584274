"""A course about something else than the chapter: a shell script, judged by what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Grader

pytestmark = pytest.mark.engine
HELLO = Path(__file__).parents[1] / "courses" / "hello"


def test_the_course_proves_itself(grader: Grader) -> None:
    done = grader("selftest", "--engine", "host", GRADER_COURSE=str(HELLO))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Right solutions passed: 1 of 1. Wrong ones caught by the check they must fail: 2 of 2." in done.stderr
