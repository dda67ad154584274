"""What is installed, loaded and used: locks of Poetry, versions by hand, and the libraries that a run loads."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.checks.packages import LockError, locked
from grader.grading.exercise import grade_exercise
from grader.models import CheckVerdict, RunOutcome, RunRequest
from tests.worlds import NONCE, context, image, predictor, printed, probe_words, world

PROJECT = b'[tool.poetry.dependencies]\npython = "^3.9"\nnumpy = "^1.26"\npandas = {version = "*", optional = true}\n'
PROJECT_621 = b'[project]\nname = "x"\ndependencies = ["numpy (>=1.26,<2)"]\n'


def package(name: str, version: str = "1", **more: str) -> str:
    rest = [f"{key} = {value}" for key, value in more.items()]
    return "\n".join([f'[[package]]\nname = "{name}"\nversion = "{version}"', *rest, ""])


def names(lock: str, project: bytes = PROJECT, python: str = "3.9.2") -> list[str]:
    return list(locked(lock.encode(), project, python))


@pytest.mark.parametrize(
    ("more", "python", "wanted"),
    [
        ({"groups": '["main"]'}, "3.9.2", True),
        ({"groups": '["dev"]'}, "3.9.2", False),
        ({"groups": '["main"]', "optional": "true"}, "3.9.2", False),  # an extra's
        ({"groups": '["main"]', "markers": '"python_version < \\"3.11\\""'}, "3.9.2", True),
        ({"groups": '["main"]', "markers": '"python_version < \\"3.11\\""'}, "3.11.2", False),
        ({"groups": '["main"]', "markers": '"sys_platform == \\"win32\\""'}, "3.9.2", False),
        ({"groups": '["main"]', "markers": "{main = \"os_name != 'nt'\", dev = 'x'}"}, "3.9.2", True),
        ({"groups": '["main"]', "markers": '"not a marker"'}, "3.9.2", True),
    ],
)  # fmt: skip
def test_a_new_lock_says_itself_what_is_wanted(more: dict[str, str], python: str, wanted: bool) -> None:
    lock = package("Foo_Bar", "1.26.4", **more) + package("pytest", groups='["dev"]')
    assert locked(lock.encode(), PROJECT, python) == ({"foo-bar": ["1.26.4"]} if wanted else {})


@pytest.mark.parametrize("project", [PROJECT, PROJECT_621])
def test_an_old_lock_is_followed_from_the_project(project: bytes) -> None:
    needs = """[package.dependencies]
six = "*"
colorama = {version = "*", markers = "sys_platform == 'win32'"}
extra = {version = "*", optional = true}
"""
    lock = package("numpy") + needs + "".join(map(package, ("six", "colorama", "extra", "pytest")))
    assert names(lock, project) == ["numpy", "six"]


@pytest.mark.parametrize(
    "lock",
    [b"[[", b"", b"\xff", b"package = 5", b"[[package]]\ngroups = 5", b"x = " + b"9" * 10_000, b"x = " + b"[" * 99_999],
)
def test_a_damaged_lock_is_told(lock: bytes) -> None:
    with pytest.raises(LockError, match=r"poetry\.lock"):
        locked(lock, PROJECT, "3.9.2")


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_any_bytes_give_an_answer_or_a_message(lock: bytes, project: bytes) -> None:
    with suppress(LockError):
        locked(lock, project, "3.9.2")


@pytest.mark.parametrize(
    ("wish", "wanted"),
    [
        ('python = "*"', True), ('python = "^3.8"', True), ('python = "^3.10"', False), ('python = "~3.9"', True),
        ('python = "~3.8"', False), ('python = ">=3.8,<3.12"', True), ('python = "3.8.* || 3.9.*"', True),
        ('python = "!=3.9.2"', False), ('python = "<3.9"', False), ('python = "= 3.9.2"', True),
        ('python = "latest"', True), ('platform = "win32"', False), ("markers = \"sys_platform == 'win32'\"", False),
    ],
)  # fmt: skip
def test_a_dependency_may_be_for_another_python_or_system(wish: str, wanted: bool) -> None:
    project = f'[tool.poetry.dependencies]\nnumpy = "*"\nsix = {{version = "*", {wish}}}\n'.encode()
    assert names(package("numpy") + package("six"), project) == (["numpy", "six"] if wanted else ["numpy"])


def loaded_words(modules: str) -> str:
    return f"\ngrader-loaded {hashlib.sha256((NONCE + modules).encode()).hexdigest()} {modules}\n"


def loaded(stderr: str, modules: str = "[]", stdout: str = "hello\n") -> CheckVerdict:
    def program(request: RunRequest) -> RunOutcome:
        if dict(request.environment).get("PYTHONPATH"):
            return printed(stdout, stderr=stderr + loaded_words(modules))
        return predictor(request)

    report = grade_exercise(context("3.2.2"), world(image(), program))
    return next(check for check in report.checks if check.id == "loaded")


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
        (SCRIPT, [["pandas", "/app/pandas.py", False], MEAN], "", "which is no installed package"),
        (SCRIPT, [], "", "When the script runs, pandas is not loaded."),
        ("print(1)\n", [PANDAS, MEAN], "", "sales_predictor.py does not import pandas."),
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
        ("ModuleNotFoundError: No module named 'x'", "stopped before pandas was loaded. Python says: ModuleNotFound"),
        ("ValueError: 1.5", "When the script runs, pandas is not loaded."),
    ],
)
def test_what_is_not_loaded(stderr: str, told: str) -> None:
    verdict = loaded(f"Traceback …\n{stderr}\n")
    assert told in verdict.message
    assert not re.search(r"grader-loaded|[0-9a-f]{64}", verdict.actual)
    assert "-e PYTHONPROFILEIMPORTTIME=1 " in verdict.reproduce
    assert verdict.reproduce.endswith(" 2>&1 | grep -wE 'pandas' || echo 'pandas is not loaded'")


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("RUN pip install numpy==1.26.4", "numpy==1.26.4"),
        ("ARG NUMPY=1.26.4\nRUN pip install numpy==$NUMPY", "numpy==1.26.4"),
        ('ENV NUMPY_VERSION="1.26.4"\nRUN pip install "numpy==${NUMPY_VERSION}"', "numpy==1.26.4"),
        ("RUN V=$(python lock.py numpy) && pip install numpy==$V", ""),
    ],
)
def test_a_version_by_hand_is_found_also_where_a_variable_holds_it(lines: str, found: str) -> None:
    lock = b'[[package]]\nname = "numpy"\nversion = "1.26.4"\n'
    files = {"Dockerfile": f"FROM python:3.9\n{lines}\n".encode(), "pyproject.toml": b"", "poetry.lock": lock}
    report = grade_exercise(context("3.2.P", files), world(image(), predictor))
    verdict = next(check for check in report.checks if check.id == "no-pins")
    assert (verdict.status, verdict.actual) == ("failed" if found else "passed", found)
