"""commands.sh and Compose as users have them graded: in an engine of the grader's own, or by a look at the user's."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Grader, docker

pytestmark = pytest.mark.engine
Solution = Callable[..., Path]
NAME = "sales-predictor"


def statuses(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    (exercise,) = json.loads(done.stdout)["exercises"]
    return {check["id"]: check["status"] for check in exercise["checks"]}


@pytest.fixture
def bystander() -> Iterator[str]:
    """A container of the user's own that has nothing to do with any exercise."""
    made = docker("create", "python:3.9-slim", "true").stdout.strip()
    yield made
    assert docker("inspect", made).returncode == 0, "the grader has removed what is not its own"
    docker("rm", made)


@pytest.fixture
def own_image() -> Iterator[None]:
    """Takes care that the name is free, and removes what the test has made under it."""
    if docker("image", "inspect", NAME).returncode == 0:
        pytest.skip(f"this engine has an image {NAME} of somebody's already")
    yield
    docker("rm", "-f", *docker("ps", "-aq", "--filter", f"ancestor={NAME}").stdout.split())
    docker("rmi", "-f", NAME)


def test_a_script_that_removes_everything_meets_nothing_of_the_users(
    grader: Grader, solution: Solution, bystander: str
) -> None:
    """It is run in an engine of its own: `docker rm -f $(docker ps -aq)` and `system prune` are nothing to fear."""
    right = grader("check", str(solution("3.3.5", "by-force")), "--format", "json")
    assert right.returncode == 0, right.stdout + right.stderr
    wrong = grader("check", str(solution("3.3.5", "whole-system-pruned", "wrong", "other")), "--format", "json")
    assert statuses(wrong) == {"runs": "passed", "removed": "passed", "listed": "passed", "images": "failed"}
    assert docker("image", "inspect", "python:3.9-slim").returncode == 0
    assert docker("inspect", bystander).returncode == 0


@pytest.mark.usefixtures("own_image")
def test_without_a_script_the_users_own_engine_is_asked(grader: Grader, solution: Solution, bystander: str) -> None:
    folder = solution("3.1.2", "two-commands")
    (folder / "commands.sh").unlink()
    before = grader("check", str(folder), "--format", "json")
    assert statuses(before) == {"runs": "blocked", "image": "failed", "container": "blocked"}
    assert docker("build", "-q", "-t", NAME, str(folder)).returncode == 0
    built = grader("check", str(folder), "--format", "json")
    assert statuses(built) == {"runs": "blocked", "image": "passed", "container": "failed"}
    assert "110.0" in docker("run", NAME).stdout
    ran = grader("check", str(folder), "--format", "json")
    assert statuses(ran) == {"runs": "blocked", "image": "passed", "container": "passed"}
    assert "Hand one in" in ran.stdout
    clean_up = solution("3.3.5", "by-force")
    (clean_up / "commands.sh").unlink()
    left = grader("check", str(clean_up), "--format", "json")
    assert statuses(left) == {"runs": "blocked", "removed": "failed", "listed": "blocked", "images": "blocked"}
    assert bystander[:12] not in left.stdout


def test_other_peoples_commands_are_run_in_a_private_engine_only(
    grader: Grader, solution: Solution, tmp_path: Path
) -> None:
    solution("3.3.3", "short-notation", student="class/ada")
    words = ("batch", str(tmp_path / "class"), "--exercise", "3.3.3", "--seed", "5", "--out")
    refused = grader(*words, str(tmp_path / "host"), "--engine", "host")
    assert refused.returncode == 3
    assert "--accept-risk" in refused.stderr
    page = (tmp_path / "host" / "students" / "ada.html").read_text(encoding="utf-8")
    assert "could not be graded" in page
    assert "--" not in page.partition("<main>")[2]
    graded = grader(*words, str(tmp_path / "private"))
    assert graded.returncode == 0, graded.stderr
    with (tmp_path / "private" / "grades.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["status"], row["score"]) == ("passed", "10")
    again = grader("regrade", str(tmp_path / "private"))
    assert again.returncode == 0, again.stderr
    assert "0 of 1 students" in again.stderr
