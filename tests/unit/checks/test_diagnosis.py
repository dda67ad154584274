"""What Python says of an error, what it means, and the line of the submission that it is about: from real runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from grader.checks.base import Ran
from grader.checks.diagnosis import error_explained, place
from grader.models import Exited, RunOutcome, RunRequest
from tests.worlds import context, image, printed

SCRIPT = "sales_predictor.py"
ERRORS = [
    ("import sys\nweeks = [float(one) for one in sys.argv]\n", 2, "sys.argv[0], is the script's own name"),
    ("import sys\nprint(sum(sys.argv[1:]))\n", 2, "convert each with float()"),
    ("import sys\nprint(sys.argv[1] / 3)\n", 2, "convert each with float()"),
    ("\nprint(float('100\\n120'))\n", 2, "split it first"),
    ("print(float(''))\n", 1, "A line with nothing in it"),
    ("print(int('99.5'))\n", 1, "float() also those with decimals"),
    ("import os\n\nos.environ['PREDICTION_TYPE']\n", 3, "ENV in the Dockerfile sets it"),
    ("print('x: ' + 1.5)\n", 1, "an f-string, or str()"),
    ("open('out.txt', 'w').write(1.5)\n", 1, "an f-string, or str()"),
    ("{'sales': 1}['Sales']\n", 1, "capital letters are not the same"),
    ("open('output/prediction.txt')\n", 1, "begins in the working directory"),
    ("open('/app/output/prediction.txt')\n", 1, 'by open() with "w"'),
    ("import os\nos.mkdir('/tmp')\n", 2, "exist_ok=True"),
    ("print(np.mean([1]))\n", 1, "an import is missing"),
    ("weeks = [1]\nif weeks\n    print(1)\n", 2, "nothing of it has run"),
    ("def f():\nreturn 1\n", 2, "nothing of it has run"),
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


@pytest.mark.parametrize(
    "stderr",
    [
        "no such type\n",
        'Traceback …\n  File "/usr/lib/python3.9/json/decoder.py", line 3, in decode\nValueError: no\n',
        f'Traceback …\n  File "/app/{SCRIPT}", line 99, in main\nValueError: a line that the file does not have\n',
    ],
)
def test_a_place_that_was_not_handed_in_is_no_place(stderr: str) -> None:
    found = place(printed(code=1, stderr=stderr), context("3.1.4", {SCRIPT: b"print(1)\n"}))
    assert found == {"file": SCRIPT, "line": None}
