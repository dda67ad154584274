"""The commands around `grader check`: start, next, progress, submit, and what is kept between them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from grader.cli.check import _handed_in, _next_hint
from grader.cli.main import run
from grader.cli.progress import (
    Attempt,
    Kept,
    after_attempt,
    next_exercise,
    read_progress,
    state_file,
    what_changed,
    write_progress,
)
from grader.grading.session import digest_of
from grader.models import CheckStatus, ExerciseReport, ExerciseStatus
from grader.submissions.reader import Selection, find_target, read_submission
from tests import reports
from tests.worlds import COURSE, ROOT

Command = Callable[..., str]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and one for what is kept."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("GRADER_COURSE", str(ROOT))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def grader(capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line: what it printed. It has to end with `code`."""

    def command(*words: str, code: int = 0) -> str:
        assert run(words) == code
        done = capsys.readouterr()
        return done.out + done.err

    return command


def attempt(*exercises: ExerciseReport) -> None:
    """Keep a check of these exercises, of which each has its folder in the working directory."""
    folders = {exercise.id: str(Path(exercise.id).absolute()) for exercise in exercises}
    report = reports.report_of("ada", *exercises)
    write_progress(COURSE, after_attempt(read_progress(COURSE), report, folders))


def better() -> ExerciseReport:
    """`reports.failed_exercise` with its failed check mended, and one of the others broken."""
    builds, example, drawn, usage = reports.failed_exercise().checks
    mended = replace(example, status=CheckStatus.PASSED, score=4.0)
    return replace(
        reports.failed_exercise(), checks=(builds, mended, drawn, replace(usage, status=CheckStatus.FAILED)), score=6.0
    )


# ── start ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("here", "made", "go"),
    [
        (".", "3.1.4", "`cd 3.1.4`, `grader show 3.1.4`"),
        ("3.1.1", "3.1.4", "`cd ../3.1.4`"),
        ("3.1.1/deep", "3.1.4", "`cd ../../3.1.4`"),
        ("3.1.4", "3.1.4", "Next: `grader show 3.1.4`"),
        ("Exercise 3.1.4", "Exercise 3.1.4", "Next: `grader show"),
    ],
)
def test_start_fills_a_folder_that_lies_in_no_other_exercise(
    grader: Command, monkeypatch: pytest.MonkeyPatch, here: str, made: str, go: str
) -> None:
    home = Path.cwd()
    (home / here).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(home / here)
    assert go in grader("start", "3.1.4")
    assert [path.relative_to(home).parent.as_posix() for path in home.rglob("Dockerfile")] == [made]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("start", "3.1.4", "3.1.1/next"), "lies in the folder of 3.1.1"),
        (("check",), "Looked for a folder with one of these names"),
        (("show", "9.9"), "There is no exercise 9.9"),
        (("explain", "nothing"), "neither an exercise"),
        (("submit", "--exercise", "3.1.1", "--exercise", "3.1.2", "--anyway"), "There is no exercise's folder here."),
        (("--course", "course", "list"), "exercises.yaml:1:"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_way_out(grader: Command, words: tuple[str, ...], said: str) -> None:
    Path("course").mkdir()
    Path("course/exercises.yaml").write_text("titel: x\n", encoding="utf-8")
    assert said in grader(*words, code=2)
    assert [path.name for path in Path().iterdir()] == ["course"]


# ── progress ────────────────────────────────────────────────────────────────────────────


def test_progress_is_kept_where_the_platform_keeps_state() -> None:
    environment = {"XDG_STATE_HOME": "state", "LOCALAPPDATA": "local"}
    for platform, place in (("linux", "state"), ("win32", "local"), ("darwin", "Library/Application Support")):
        assert state_file(environment, platform).as_posix().endswith(f"{place}/grader/progress.json")


def test_attempts_are_kept_said_and_shown_on_a_map_that_fits_on_a_screen(grader: Command) -> None:
    attempt(reports.failed_exercise(), reports.passed_exercise(), reports.ungraded_exercise())
    before = read_progress(COURSE)
    assert {name for name, kept in before.items() if kept.attempts} == {"3.1.1", "3.1.4"}
    assert what_changed(before["3.1.4"], better()) == (
        "3 → 6 points, fixed: docker run sales-predictor 100 120 110 predicts 110, "
        "no longer passed: Without arguments it prints Usage and exits 1"
    )
    assert what_changed(before["3.1.4"], reports.failed_exercise()) == ""
    assert what_changed(Kept(), reports.failed_exercise()) == ""
    attempt(better())
    shown = grader("progress").splitlines()
    assert len(shown) == len(COURSE.exercises) + 3
    assert max(map(len, shown)) <= 80
    assert re.match(r"✓ 3\.1\.1 .+ 1 try, .+ \d\d:\d\d +10 / 10$", shown[1])
    assert re.match(r"✗ 3\.1\.4 .+ 2 tries, .+, 3 → 6 +6 / 10$", shown[4])
    assert shown[-2].split() == ["Total", "16", "/", "150"]
    assert shown[-1] == "Next: 3.1.4 (Pass the weeks as arguments): `grader next`."


@pytest.mark.parametrize("trouble", ["half a file", "a folder in its place", "no home"])
def test_what_is_kept_never_costs_a_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trouble: str) -> None:
    place = tmp_path / "state/grader/progress.json"
    place.parent.mkdir(parents=True)
    if trouble == "half a file":
        place.write_text('{"Docker', encoding="utf-8")
    elif trouble == "a folder in its place":
        place.mkdir()
    else:
        monkeypatch.delenv("XDG_STATE_HOME")
        monkeypatch.setattr(Path, "home", nowhere)
    assert set(read_progress(COURSE).values()) == {Kept()}
    if trouble != "half a file":
        write_progress(COURSE, {"3.1.1": Kept()})


def nowhere() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_next_goes_on_with_what_was_checked_last_and_comes_back_to_what_is_left(home: Path, grader: Command) -> None:
    def kept(at: int, score: float) -> Kept:
        return Kept(attempts=(Attempt(f"2026-11-28T12:00:{at:02}+00:00", score),), folder=str(home / "3.2.2"))

    assert "grader start 3.1.1" in grader("next")
    progress = {one.id: kept(number, 10.0) for number, one in enumerate(COURSE.exercises) if one.id != "3.1.2"}
    for changed, following in (({}, "3.1.2"), ({"3.2.2": kept(1, 3.0)}, "3.1.2"), ({"3.2.2": kept(40, 3.0)}, "3.2.2")):
        found = next_exercise(COURSE, {"3.1.2": Kept(), **progress, **changed})
        assert found is not None
        assert found.id == following
    write_progress(COURSE, {**progress, "3.2.2": kept(40, 3.0)})
    (home / "3.2.2").mkdir()
    shown = grader("next")
    assert "3 / 10" in shown
    assert "\n  cd 3.2.2\n" in shown
    write_progress(COURSE, {**progress, "3.1.2": kept(1, 10.0)})
    assert "grader submit" in grader("next")


def test_each_hint_that_is_asked_for_goes_a_step_further_until_the_failure_is_another() -> None:
    failed = replace(reports.failed_exercise(), checks=(replace(reports.failed_check(), reason="cmd_replaced"),))
    other = replace(failed, checks=(replace(failed.checks[0], reason="no_usage"),))
    progress = {"3.1.4": Kept()}
    asked = [(failed, False), (failed, True), (failed, True), (failed, False), (other, False), (other, True)]
    steps = [_next_hint(progress, reports.report_of("ada", one), more=more) for one, more in asked]
    assert steps == [0, 1, 2, 2, 0, 1]
    assert _next_hint(progress, reports.report_of("ada", reports.passed_exercise()), more=True) == 0


# ── watching ────────────────────────────────────────────────────────────────────────────


def test_only_a_change_of_what_is_handed_in_is_checked(home: Path) -> None:
    (home / "3.1.4").mkdir()
    (home / "3.1.4/Dockerfile").write_text("FROM python:3.9\nCOPY requirements.txt .\n", encoding="utf-8")
    counting = []
    for name in (
        *("Dockerfile", "sales_predictor.py", "helper.py", "requirements.txt"),
        *("prediction.txt", ".Dockerfile.swp", "Dockerfile~", "4913"),
    ):
        seen = _handed_in(find_target(Path("3.1.4"), COURSE, COURSE.exercises, every=False))
        (home / "3.1.4" / name).write_text("FROM python:3.9\nCOPY requirements.txt /\n", encoding="utf-8")
        if _handed_in(find_target(Path("3.1.4"), COURSE, COURSE.exercises, every=False)) != seen:
            counting.append(name)
    assert counting == ["Dockerfile", "sales_predictor.py", "helper.py", "requirements.txt"]


# ── submit ──────────────────────────────────────────────────────────────────────────────


def test_the_zip_has_a_folder_for_each_exercise_and_replaces_the_last_one(home: Path, grader: Command) -> None:
    grader("start", "3.1.4")
    grader("start", "3.1.2")
    attempt(replace(reports.failed_exercise(), status=ExerciseStatus.FAILED))
    said = grader("submit", "--name", "ada")
    assert "3.1.4   2 files, 3 points when you last checked it" in said
    assert "3.1.2   3 files, not checked yet" in said
    read = read_submission(home / "ada.zip", Selection(["3.1.2", "3.1.4"], ["3.1.2", "3.1.4"], COURSE.limits))
    work = find_target(home, COURSE, COURSE.exercises, every=False).submission
    assert [digest_of(one) for one in read.exercises] == [digest_of(one) for one in work.exercises]
    assert "it replaced the one before" in grader("submit", "--name", "ada")


def test_the_zip_of_one_exercise_does_not_lie_in_its_folder(
    home: Path, grader: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    grader("start", "3.1.4")
    monkeypatch.chdir(home / "3.1.4")
    for name in ("../ada", "a/b", ".ada", "a\\b"):
        assert "cannot be called so" in grader("submit", "--name", name, code=2)
    grader("submit")
    assert [path.name for path in home.glob("**/*.zip")] == ["work.zip"]


def test_what_is_missing_is_said_before_a_zip_is_made(home: Path, grader: Command) -> None:
    grader("start", "3.3.3")
    (home / "3.3.3/docker-compose.yml").unlink(missing_ok=True)
    assert "3.3.3: there is no file docker-compose.yml in " in grader("submit", code=2)
    assert list(home.glob("*.zip")) == []
    assert "3.3.3" in grader("submit", "--anyway", "--name", "ada")
    (home / "3.3.3/compose.yaml").write_text("services: {}\n", encoding="utf-8")
    assert "no file" not in grader("submit", "--name", "ada")
