"""`exercises.yaml` becomes a `Course`, or a list of every mistake in it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from grader.checks import REASONS
from grader.checks.output import Predicts
from grader.checks.probe import ScriptRuns
from grader.course.handbook import explanation
from grader.course.loader import CourseFolder, find_course, load_course, read_course, start_exercise
from grader.course.models import GivenCase, Limits
from grader.course.yaml_source import MAX_BYTES
from grader.errors import SpecError, UsageError
from tests.worlds import COURSE, ROOT

SPECS = Path(__file__).parents[1] / "specs"
TEXT = (SPECS / "course.yaml").read_text(encoding="utf-8")
LINE = re.compile(r"exercises\.yaml:[1-9][0-9]*:[1-9][0-9]*: [^\n]+; expected [^\n]+")


def problems_in(text: str, reasons: Collection[str] = REASONS) -> tuple[str, ...]:
    try:
        load_course(text, reasons=reasons)
    except SpecError as error:
        return error.problems
    return ()


def shortened(problem: str) -> str:
    """Without the rest of a list of known names, which grows with each kind of check."""
    return re.sub(r"((?:one of:|with the keys) [^,\n]+),.*", r"\1, …", problem)


def test_a_course_is_read_whole() -> None:
    course = load_course(TEXT, reasons=REASONS)
    first, second = course.exercises
    assert course.limits == Limits(build_seconds=100.0, run_seconds=1.5, memory_mb=256)
    assert course.hints["crashed"] == "The last line of the error says what happened."
    assert course.images[0].names[3] == "localhost:5000/python:3.9"
    assert first.text == "Make an image.\n\nIt prints a prediction.\n"
    assert first.points == 10
    assert first.cases == (GivenCase(kind="given", name="example", weeks=(100.0, 120.5, 110.0)),)
    assert first.checks[1] == ScriptRuns(
        kind="script_runs", id="script", title="It runs", weight=1, needs=("builds",), hints={"crashed": "Look again."}
    )
    assert isinstance(first.checks[4], Predicts)
    assert (second.id, second.title, second.bonus) == ("3.1.P", "no", True)


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = (SPECS / "mistakes.yaml").read_text(encoding="utf-8")
    reported = problems_in(text, frozenset(["crashed", "no_dockerfile", "timed_out"]))
    expected = (SPECS / "mistakes.txt").read_text(encoding="utf-8").splitlines()
    assert [shortened(problem) for problem in reported] == expected


ONE_MISTAKE = [
    ("    text: Numbers as arguments.\n", "", '35:5: the key "text" is missing in this exercise; expected a text'),
    ("points: 5", "title: Yes", '37:5: the key "title" is given twice (first in line 36, again in line 37)'),
    ("points: 5", "points: !!int 5", "the tag"),
    ("memory_mb: 256", "memory_mb: 256.5", "is the number 256.5; expected a whole number"),
    ('id: "3.1.1"', 'id: "../3.1.1"', '20:9: id is the text "../3.1.1"; expected letters, digits, dots'),
    ("id: 3.1.P", "id: 3-1-1", '35:9: the exercise "3-1-1" is there already, in line 20'),
    ("path: /app,", "path: /app/..,", 'path is the text "/app/.."; expected an absolute path'),
    ("    text: Numbers as", "    txt: Numbers as", '39:5: the key "txt" is not known in this exercise (did you mean'),
]


@pytest.mark.parametrize(("old", "new", "part"), ONE_MISTAKE)
def test_one_mistake_is_one_line(old: str, new: str, part: str) -> None:
    assert TEXT.count(old) == 1
    (problem,) = problems_in(TEXT.replace(old, new))
    assert part in problem
    assert LINE.fullmatch(problem)


def test_builds_may_be_worth_a_fifth_and_no_more() -> None:
    load_course(TEXT.replace("It builds, weight: 2}", "It builds, weight: 2.0}"))
    (problem,) = problems_in(TEXT.replace("It builds, weight: 2}", "It builds, weight: 2.01}"))
    assert "that it builds is worth 20.1% of the exercise; expected at most 20%" in problem


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "1:1: the file is empty; expected a mapping with the keys version, title"),
        ("[]", "1:1: the file is a list; expected a mapping"),
        ("title: a: b", "1:9: a key begins where none can"),
    ],
)
def test_what_is_no_course_is_told_so(text: str, part: str) -> None:
    assert any(problem.startswith(f"exercises.yaml:{part}") for problem in problems_in(text))


def test_a_file_is_read_and_its_mistakes_carry_its_name(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(TEXT, encoding="utf-8")
    assert read_course(path) == load_course(TEXT)
    path.write_bytes(b"title: caf\xe9\n")
    with pytest.raises(SpecError, match=r"^other\.yaml:1:11: the byte 0xe9 is not UTF-8"):
        read_course(path)


def test_a_file_that_is_absent_or_too_large_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot be read \(Is a directory\)"):
        read_course(tmp_path)
    large = tmp_path / "exercises.yaml"
    large.write_text("#" * (MAX_BYTES + 100), encoding="utf-8")
    with pytest.raises(SpecError, match=f"expected at most {MAX_BYTES}"):
        read_course(large)


def test_no_hint_holds_the_line_to_write() -> None:
    """A hint asks the next question; what only has to be copied out of it teaches nothing."""
    checks = [check for exercise in COURSE.exercises for check in exercise.checks]
    hints = [hint for known in (COURSE.hints, *(check.hints for check in checks)) for hint in known.values()]
    files = [path for path in (ROOT / "reference" / "solutions").rglob("*") if path.is_file()]
    lines = {line.strip() for path in files for line in path.read_text("utf-8", errors="replace").splitlines()}
    told = [(line, hint) for line in lines for hint in hints if len(line) > len("docker compose up") and line in hint]
    assert len(hints) > 50
    assert told == []


# ── the folder ──────────────────────────────────────────────────────────────────────────


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


# ── the handbook ────────────────────────────────────────────────────────────────────────


def test_exercises_and_reasons_are_explained_for_a_terminal() -> None:
    reason = explanation(ROOT, "cmd_replaced")
    assert reason.startswith("## Arguments replace CMD\n")
    assert "`add.py`\n\n```python\nimport sys" in reason
    page = explanation(ROOT, "3.1.4")
    assert page.startswith("# CMD and ENTRYPOINT\n")
    assert reason in page
    assert "](" not in explanation(ROOT, "3.2.P")


def test_what_is_not_in_the_index_or_has_no_handbook_has_no_explanation(tmp_path: Path) -> None:
    assert explanation(ROOT, "9.9.9") == ""
    assert explanation(tmp_path, "3.1.4") == ""
