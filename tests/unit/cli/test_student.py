"""The commands around `grader check`: start, next, progress, submit, and what is kept between them."""

from __future__ import annotations

import re
import zipfile
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


def test_start_does_not_nest_where_it_is_told_to(grader: Command) -> None:
    said = grader("start", "3.1.4", "3.1.1/next", code=2)
    assert "lies in the folder of 3.1.1" in said
    assert not Path("3.1.1").exists()


def test_a_folder_that_is_no_exercise_is_told_what_was_looked_for(grader: Command) -> None:
    said = grader("check", code=2)
    assert "3.1.4" in said
    assert "--exercise" in said


# ── progress ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("platform", "place"),
    [
        ("linux", "state/grader/progress.json"),
        ("win32", "local/grader/progress.json"),
        ("darwin", "Library/Application Support/grader/progress.json"),
    ],
)
def test_progress_is_kept_where_the_platform_keeps_state(platform: str, place: str) -> None:
    environment = {"XDG_STATE_HOME": "state", "LOCALAPPDATA": "local"}
    assert state_file(environment, platform).as_posix().endswith(place)


def test_attempts_are_kept_and_what_changed_between_them_is_said() -> None:
    attempt(reports.failed_exercise(), reports.ungraded_exercise())
    before = read_progress(COURSE)
    assert {name for name, kept in before.items() if kept.attempts} == {"3.1.4"}
    changed = what_changed(before["3.1.4"], better())
    assert changed == (
        "3 → 6 points, fixed: docker run sales-predictor 100 120 110 predicts 110, "
        "no longer passed: Without arguments it prints Usage and exits 1"
    )
    assert what_changed(before["3.1.4"], reports.failed_exercise()) == ""
    assert what_changed(Kept(), reports.failed_exercise()) == ""
    attempt(better())
    assert [one.score for one in read_progress(COURSE)["3.1.4"].attempts] == [3.0, 6.0]


def test_the_map_has_a_line_for_each_exercise_and_fits_on_a_screen(grader: Command) -> None:
    attempt(reports.failed_exercise(), reports.passed_exercise())
    attempt(better())
    shown = grader("progress").splitlines()
    assert len(shown) == len(COURSE.exercises) + 3
    assert max(map(len, shown)) <= 80
    (first,) = (line for line in shown if "3.1.1" in line and "Next" not in line)
    assert first.startswith("✓ 3.1.1 ")
    assert re.search(r" 1 try, .+ \d\d:\d\d +10 / 10$", first)
    fourth = next(line for line in shown if "3.1.4" in line)
    assert ", 3 → 6 " in fourth
    assert fourth.endswith(" 6 / 10")
    assert shown[-2].split() == ["Total", "16", "/", "150"]
    assert shown[-1] == "Next: 3.1.4 (Pass the weeks as arguments): `grader next`."


def test_what_is_kept_never_costs_a_report(home: Path) -> None:
    place = state_file({"XDG_STATE_HOME": str(home.parent / "state")})
    place.parent.mkdir(parents=True)
    place.write_text('{"Docker', encoding="utf-8")
    assert set(read_progress(COURSE).values()) == {Kept()}
    place.unlink()
    place.mkdir()
    write_progress(COURSE, {"3.1.1": Kept()})
    assert set(read_progress(COURSE).values()) == {Kept()}


def test_a_user_without_a_home_has_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    write_progress(COURSE, {"3.1.1": Kept()})
    assert set(read_progress(COURSE).values()) == {Kept()}


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


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("Dockerfile", True),
        ("sales_predictor.py", True),
        ("helper.py", True),
        ("requirements.txt", True),
        ("prediction.txt", False),
        (".Dockerfile.swp", False),
        ("Dockerfile~", False),
        ("4913", False),
    ],
)
def test_only_a_change_of_what_is_handed_in_is_checked(home: Path, file: str, *, counts: bool) -> None:
    (home / "3.1.4").mkdir()
    (home / "3.1.4/Dockerfile").write_text("FROM python:3.9\nCOPY requirements.txt .\n", encoding="utf-8")
    seen = _handed_in(find_target(Path("3.1.4"), COURSE, COURSE.exercises, every=False))
    (home / "3.1.4" / file).write_text("FROM python:3.9\nCOPY requirements.txt /\n", encoding="utf-8")
    assert (_handed_in(find_target(Path("3.1.4"), COURSE, COURSE.exercises, every=False)) != seen) is counts


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
    with zipfile.ZipFile(home / "ada.zip") as archive:
        assert archive.namelist() == [
            "3.1.2/Dockerfile", "3.1.2/commands.sh", "3.1.2/sales_predictor.py",
            "3.1.4/Dockerfile", "3.1.4/sales_predictor.py",
        ]  # fmt: skip
    assert "it replaced the one before" in grader("submit", "--name", "ada")


def test_the_zip_of_one_exercise_does_not_lie_in_its_folder(
    home: Path, grader: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    grader("start", "3.1.4")
    monkeypatch.chdir(home / "3.1.4")
    grader("submit")
    assert [path.name for path in home.glob("**/*.zip")] == ["work.zip"]


def test_what_is_missing_is_said_before_a_zip_is_made(home: Path, grader: Command) -> None:
    grader("start", "3.3.3")
    (home / "3.3.3/docker-compose.yml").unlink(missing_ok=True)
    said = grader("submit", code=2)
    assert "3.3.3: there is no file docker-compose.yml in " in said
    assert list(home.glob("*.zip")) == []
    assert "3.3.3" in grader("submit", "--anyway", "--name", "ada")
    (home / "3.3.3/compose.yaml").write_text("services: {}\n", encoding="utf-8")
    assert "no file" not in grader("submit", "--name", "ada")


@pytest.mark.parametrize("name", ["../ada", "a/b", ".ada", "a\\b"])
def test_a_name_is_no_path(grader: Command, name: str) -> None:
    grader("start", "3.1.4")
    assert "cannot be called so" in grader("submit", "--name", name, code=2)
