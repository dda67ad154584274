"""The line and its number, as EXERCISES.md defines them; and what Python says of an error, from real runs."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from grader.checks.base import Ran
from grader.checks.compare import agrees, numbers, predicted, with_comma, without_series
from grader.checks.diagnosis import error_explained, place
from grader.models import Exited, RunOutcome, RunRequest
from tests.worlds import context, image

SCRIPT = "sales_predictor.py"
ERRORS = [
    ("import sys\nweeks = [float(one) for one in sys.argv]\n", 2, "sys.argv[0], is the script's own name"),
    ("import sys\nprint(sum(sys.argv[1:]))\n", 2, "convert each with float()"),
    ("\nprint(float('100\\n120'))\n", 2, "split it first"),
    ("print(float(''))\n", 1, "A line with nothing in it"),
    ("print(int('99.5'))\n", 1, "float() also those with decimals"),
    ("import os\n\nos.environ['PREDICTION_TYPE']\n", 3, "ENV in the Dockerfile sets it"),
    ("print('x: ' + 1.5)\n", 1, "an f-string, or str()"),
    ("open('output/prediction.txt')\n", 1, "begins in the working directory"),
    ("open('/app/output/prediction.txt')\n", 1, 'by open() with "w"'),
    ("print(np.mean([1]))\n", 1, "an import is missing"),
    ("weeks = [1]\nif weeks\n    print(1)\n", 2, "nothing of it has run"),
    ("raise PermissionError(13, 'Permission denied', '/app/output/prediction.txt')\n", 1, "see USER"),
    ("import helper\nhelper.fails()\n", ("helper.py", 2), "ZeroDivisionError: division by zero"),
]


@pytest.mark.parametrize(("script", "where", "meaning"), ERRORS, ids=[row[0].splitlines()[-1][:40] for row in ERRORS])
def test_an_error_of_python_is_explained_and_has_its_line(
    tmp_path: Path, script: str, where: int | tuple[str, int], meaning: str
) -> None:
    files = {SCRIPT: script.encode(), "helper.py": b"def fails():\n    1 / 0\n"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    ran = subprocess.run([sys.executable, SCRIPT, "100", "120"], cwd=tmp_path, capture_output=True, check=False)
    outcome = RunOutcome(Exited(ran.returncode), ran.stdout, ran.stderr)
    given = context("3.1.4", files)
    found = place(outcome, given)
    assert meaning in error_explained(Ran(given, image(), RunRequest(), outcome))
    assert (found["file"], found["line"]) == ((SCRIPT, where) if isinstance(where, int) else where)


LINE = "Predicted sales for next week: "


@pytest.mark.parametrize("number", ["110", "110.0", "110.00", "+110", "1.1e2", "110."])
def test_the_number_is_read_not_the_text(number: str) -> None:
    assert predicted(f"{LINE}{number}\n".encode()) == 110


@pytest.mark.parametrize(
    ("output", "number"),
    [
        (f"hello\n{LINE}1\nbye\n", 1),
        (f"{LINE}1\n{LINE}2\n", 2),
        (f"  {LINE}  1  ", 1),
        (f"{LINE}-3.5", -3.5),
        ("", None),
        (f"{LINE}\n", None),
        (f"{LINE}110 units\n", None),
        (f"{LINE}1,234.5\n", None),
        (f"INFO {LINE}110\n", None),
        ("predicted sales for next week: 110\n", None),
    ],
)
def test_the_last_line_of_the_form_counts(output: str, number: float | None) -> None:
    assert predicted(output.encode()) == number


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "Infinity"])
def test_nan_and_inf_are_read_and_never_agree(text: str) -> None:
    number = predicted(f"{LINE}5\n{LINE}{text}\n".encode())
    assert number is not None
    assert not agrees(number, 5)
    assert not agrees(number, math.nan)
    assert not agrees(number, math.inf)


@pytest.mark.parametrize(
    ("actual", "expected", "same"),
    [
        (110, 110, True),
        (110.01, 110, True),
        (110.02, 110, False),
        (1_000_000, 1_000_001, True),
        (1_000_000, 1_000_002, False),
        (-110, 110, False),
    ],
)
def test_tolerance(actual: float, expected: float, same: bool) -> None:
    assert agrees(actual, expected) is same


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("log: 110.0", [110]),
        ("prediction=110.57.", [110.57]),
        ("[100, 120, 110] -> 110", [100, 120, 110, 110]),
        ("110.5units", [110.5]),
        ("1e3", [1000]),
    ],
)
def test_numbers_of_a_line(line: str, found: list[float]) -> None:
    assert numbers(line) == found


def test_a_listing_of_the_weeks_is_not_a_prediction() -> None:
    assert without_series([100, 120, 110], [100, 120, 110]) == []
    assert without_series([100, 120, 110, 110], [100, 120, 110]) == [110]
    assert without_series([120, 110], [100, 120, 110]) == [120, 110]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("Predicted: 5,210.61", [("5,210.61", 5210.61)]),
        ("1,234,567 and -3,4", [("1,234,567", 1234567), ("-3,4", -34), ("-3,4", -3.4)]),
        ("1,2345", [("1,2345", 12345), ("1,2345", 1.2345)]),
        ("5210.61, 3", []),
    ],
)
def test_numbers_with_commas(line: str, found: list[tuple[str, float]]) -> None:
    assert with_comma(line) == found
