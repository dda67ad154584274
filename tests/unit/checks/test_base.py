"""What checks have in common: shell lines that a student can run, places in the Dockerfile, ways that may be right."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest

from grader.checks.base import docker_run, sales_file
from grader.grading.exercise import grade_exercise
from grader.models import Case, FolderMount, RunOutcome, RunRequest
from tests.worlds import context, image, nonce_in, printed, probe_words, world

LINE = "Predicted sales for next week: "


# ── shell lines ─────────────────────────────────────────────────────────────────────────


def put_by(line: str) -> bytes:
    """What the line that writes the file puts into it."""
    (command,) = re.findall(r"^(?:printf|echo) .*(?= > try-)", line, re.MULTILINE | re.DOTALL)
    return subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout


@pytest.mark.parametrize("untidy", [False, True])
@pytest.mark.parametrize("weeks", [("100", "120.5", "110"), ("-5", "7", "9")])
def test_the_shell_line_makes_the_file_byte_for_byte(weeks: tuple[str, ...], untidy: bool) -> None:
    file = sales_file("/app/sales.txt", Case("first", "first", weeks), untidy=untidy)
    assert put_by(docker_run(RunRequest(files=(file,)))) == file.content


def test_each_command_is_a_line_that_bash_zsh_and_powershell_take() -> None:
    file = sales_file("/app/sales.txt", Case("first", "first", ("100", "120")), untidy=False)
    request = RunRequest(("a b",), (("TYPE", "x y"),), files=(file,), folders=(FolderMount("/app/logs"),))
    mounts = """-v "$PWD/try-sales.txt:/app/sales.txt:ro" -v "$PWD/try-logs:/app/logs\""""
    run = ['echo "100', '120" > try-sales.txt', "mkdir -p try-logs"]
    run.append(f"docker run --rm {mounts} -e 'TYPE=x y' sales-predictor 'a b'")
    assert docker_run(request).splitlines() == ["docker build -q -t sales-predictor .", *run]
    assert docker_run(request, request).splitlines() == ["docker build -q -t sales-predictor .", *run, *run]


# ── places ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("dockerfile", "keyword", "line"),
    [
        ("FROM x\nCMD a\nCMD b\n", "CMD", 3),
        ("FROM x AS y\nENV A=1\nFROM z\n", "ENV", None),
        ("FROM x AS y\nENV A=1\nFROM z\nENV A=2\n", "ENV", 4),
        ("FROM x AS y\nFROM z\n", "FROM", 2),
        ("FROM x\n", "CMD", None),
    ],
)
def test_only_the_last_stage_makes_the_image(dockerfile: str, keyword: str, line: int | None) -> None:
    assert context("3.1.1", {"Dockerfile": dockerfile.encode()}).line_of(keyword) == line


# ── what was given, and the ways to give it ─────────────────────────────────────────────


@pytest.mark.parametrize(
    ("with_file", "with_arguments", "told"),
    [
        (printed(code=1, stderr="no such file\n"), printed("Usage: x\n", code=1), "no such file"),
        (printed(code=1, stderr="no such file\n"), printed(f"{LINE}1\n"), "is 1, not"),
        (printed(f"{LINE}2\n"), printed(f"{LINE}1\n"), "is 2, not"),
    ],
)
def test_of_two_ways_the_first_is_told_unless_only_the_other_prints_a_line(
    with_file: RunOutcome, with_arguments: RunOutcome, told: str
) -> None:
    def program(request: RunRequest) -> RunOutcome:
        if request.replaced:
            return printed(probe_words(nonce=nonce_in(request)))
        return replace(with_arguments if request.args else with_file, folders=request.folders)

    report = grade_exercise(context("3.2.5"), world(image(), program))
    assert told in next(check.message for check in report.checks if check.id == "prints")
