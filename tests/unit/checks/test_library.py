"""What a run tells of the libraries that it loads, in fake worlds."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from grader.grading.exercise import grade_exercise
from grader.models import CheckVerdict, RunOutcome, RunRequest
from tests.worlds import NONCE, context, image, predictor, printed, probe_words, world


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "The exercise's folder has neither pyproject.toml nor poetry.lock."),
        ({"pyproject.toml": b""}, "The exercise's folder has no poetry.lock."),
    ],
)
def test_files_that_are_not_there(files: dict[str, bytes], told: str) -> None:
    given = context("3.2.P", {"Dockerfile": b"FROM x\n", **files})
    report = grade_exercise(given, world(image(), predictor))
    assert next(check.message for check in report.checks if check.id == "files") == told


def loaded_words(modules: str) -> str:
    return f"\ngrader-loaded {hashlib.sha256((NONCE + modules).encode()).hexdigest()} {modules}\n"


def loaded(stderr: str, modules: str = "[]", stdout: str = "hello\n") -> CheckVerdict:
    def program(request: RunRequest) -> RunOutcome:
        if dict(request.environment).get("PYTHONPATH"):
            return printed(stdout, stderr=stderr + loaded_words(modules))
        return predictor(request)

    report = grade_exercise(context("3.2.2"), world(image(), program))
    return next(check for check in report.checks if check.id == "loaded")


def test_a_file_of_ones_own_under_the_librarys_name_is_not_the_library() -> None:
    verdict = loaded("", '[["pandas", "/app/pandas.py", false]]')
    assert verdict.message == "When the script runs, pandas is /app/pandas.py, which is no installed package."
    assert "hides it" in verdict.hint


def test_where_python_has_a_folder_of_packages_it_is_told_there_and_not_by_a_variable() -> None:
    asked: list[RunRequest] = []

    def program(request: RunRequest) -> RunOutcome:
        asked.append(request)
        if request.replaced:
            return printed(probe_words(sites=["/venv/lib/python3.9/site-packages"]))
        words = loaded_words('[["pandas", "/venv/lib/pandas/__init__.py", true]]')
        return printed(words) if any(file.path.endswith(".pth") for file in request.files) else predictor(request)

    report = grade_exercise(context("3.2.2"), world(image(), program))
    assert next(check.status for check in report.checks if check.id == "loaded") == "passed"
    (run,) = (request for request in asked if any(file.path.endswith(".pth") for file in request.files))
    assert run.environment == ()
    assert run.files[-1].path == "/venv/lib/python3.9/site-packages/grader-loaded.pth"


PANDAS = ["pandas", "/lib/pandas/__init__.py", True]
MEAN = ["pandas.mean", "", True]
SCRIPT = "import pandas as pd\nprint(pd.Series([1]).mean())\n"


@pytest.mark.parametrize(
    ("script", "rows", "stderr", "told"),
    [
        (SCRIPT, [PANDAS, MEAN], "", ""),
        (SCRIPT, [PANDAS], "", "When the script runs, no mean of a pandas object is taken."),
        (SCRIPT.replace("mean()", "mean"), [PANDAS], "", "(.mean without () calculates nothing.)"),
        (SCRIPT, [["pandas", "/app/pandas.py", False], MEAN], "", "which is no installed package"),
        (SCRIPT, [], "", "When the script runs, pandas is not loaded."),
        ("print(1)\n", [PANDAS, MEAN], "", "sales_predictor.py does not import pandas."),
        ("print(\n", [PANDAS, MEAN], "", "cannot be read as Python: line 1"),
    ],
)
def test_a_mean_is_seen_in_a_run(script: str, rows: list[list[object]], stderr: str, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        watched = any(b"WATCHED = ['pandas']" in file.content for file in request.files)
        return printed("hello\n", stderr=loaded_words(json.dumps(rows)) + stderr) if watched else predictor(request)

    given = context("3.2.2", {"Dockerfile": b"FROM python:3.9\n", "sales_predictor.py": script.encode()})
    verdict = next(check for check in grade_exercise(given, world(image(), program)).checks if check.id == "source")
    assert told in verdict.message
    assert bool(verdict.message) == bool(told)


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("", "When the script runs, pandas is not loaded."),
        (
            "Traceback …\nModuleNotFoundError: No module named 'pandas'\n",
            "The script stopped before pandas was loaded. Python says: ModuleNotFoundError: No module named 'pandas'",
        ),
        ("Traceback …\nValueError: 1.5\n", "When the script runs, pandas is not loaded."),
    ],
)
def test_what_is_not_loaded(stderr: str, told: str) -> None:
    verdict = loaded(stderr)
    assert verdict.message == told
    assert "grader-loaded" not in verdict.actual
    assert not re.search(r"[0-9a-f]{64}", verdict.actual)
    assert "-e PYTHONPROFILEIMPORTTIME=1 " in verdict.reproduce
    assert verdict.reproduce.endswith(" 2>&1 | grep -wE 'pandas' || echo 'pandas is not loaded'")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("RUN pip install numpy==1.26.4", "numpy==1.26.4"),
        ("ARG NUMPY=1.26.4\nRUN pip install numpy==$NUMPY", "numpy==1.26.4"),
        ('ENV NUMPY_VERSION="1.26.4"\nRUN pip install "numpy==${NUMPY_VERSION}"', "numpy==1.26.4"),
        ("ARG POETRY=2.2.1\nRUN pip install poetry==$POETRY", ""),
        ("RUN V=$(python lock.py numpy) && pip install numpy==$V", ""),
    ],
)
def test_a_version_by_hand_is_found_also_where_a_variable_holds_it(lines: str, found: str) -> None:
    lock = b'[[package]]\nname = "numpy"\nversion = "1.26.4"\n'
    files = {"Dockerfile": f"FROM python:3.9\n{lines}\n".encode(), "pyproject.toml": b"", "poetry.lock": lock}
    report = grade_exercise(context("3.2.P", files), world(image(), predictor))
    verdict = next(check for check in report.checks if check.id == "no-pins")
    assert (verdict.status, verdict.actual) == ("failed" if found else "passed", found)
