#!/usr/bin/env python3
"""Autograder for Classroom 50: grades with `grader ci` and writes `result.json` (classroom50/result/v1).

Put it at CLASSROOM/autograders/ASSIGNMENT/autograder.py. It needs nothing but Python and Docker. Beside it may stand:

- `exercises.txt`: the ids of the assignment's exercises, one a line. Without it: all of the course.
- a course of your own: `exercises.yaml` with `starter/` and `reference/`. Without it: the one that comes with grader.

It exits 0 when everything was graded, whatever the score, and 1 where something could not be: then the platform reports
an infrastructure error and no student gets a zero for it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from datetime import datetime, timezone
from pathlib import Path

PACKAGE = os.environ.get("GRADER_PACKAGE", "docker-exercise-grader")
"""What pip installs: a version (`docker-exercise-grader==0.1.0`), or a wheel that stands beside this file."""
HUNDREDTHS = 100
"""The platform takes whole numbers: where any points are fractional, all are given in hundredths."""


def main() -> int:
    """Grade the checkout that is the working directory; 0, or 1 if something could not be graded."""
    bundle = Path(os.environ.get("CLASSROOM50_BUNDLE_DIR") or Path(__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        python = installed(Path(folder), bundle)
        results = graded(python, Path(folder), bundle)
    if results is None or any(one["status"] == "not_graded" for one in results["exercises"]):
        print("autograder: this could not be graded; the log above says why. It costs nobody points.")
        return 1
    result = to_result(results, os.environ)
    Path("result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


def installed(folder: Path, bundle: Path) -> Path:
    """The Python of a new environment with grader in it."""
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", PACKAGE], cwd=bundle, check=True)
    return python


def graded(python: Path, folder: Path, bundle: Path) -> dict | None:
    """The report of `grader ci` on the working directory; None if there is none."""
    shipped = [python, "-c", "import grader; print(grader.__path__[0] + '/_course')"]
    own = (bundle / "exercises.yaml").is_file()
    course = str(bundle) if own else subprocess.run(shipped, check=True, capture_output=True, text=True).stdout.strip()
    names = bundle / "exercises.txt"
    chosen = [f"--exercise={one}" for one in (names.read_text().split() if names.is_file() else [])]
    # The course is named, so that none in the student's repository is taken; what the platform tells us stays with us.
    environment = {key: value for key, value in os.environ.items() if key != "GITHUB_OUTPUT"}
    command = [python, "-m", "grader", "--course", course, "ci", "--exit-zero", "--out", str(folder / "out"), *chosen]
    subprocess.run(command, check=False, env=environment)
    report = folder / "out" / "results.json"
    return json.loads(report.read_text(encoding="utf-8")) if report.is_file() else None


def to_result(results: dict, environment: dict | os._Environ) -> dict:
    """A report (grader/report/v1) as the platform's result: a test for each exercise, points as whole numbers."""
    exercises = results["exercises"]
    fractional = any(one[key] % 1 for one in exercises for key in ("score", "max_score"))
    scale = HUNDREDTHS if fractional else 1
    tests = [
        {
            "test-name": f"{one['id']} {one['title']}" + (" (in hundredths of a point)" if fractional else ""),
            "passed": one["status"] == "passed",
            "score": round(one["score"] * scale),
            "max-score": round(one["max_score"] * scale),
            "message": next((check["message"] for check in one["checks"] if check["status"] == "failed"), ""),
        }
        for one in exercises
    ]
    instant = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "schema": "classroom50/result/v1",
        "classroom": environment["CLASSROOM"],
        "assignment": environment["ASSIGNMENT"],
        "submission": environment["SUBMISSION_TAG"],
        "commit": environment["COMMIT_URL"],
        "release": environment["RELEASE_URL"],
        "review": environment.get("REVIEW_URL") or environment["COMMIT_URL"],
        "datetime": committed() or instant,
        "graded_at": instant,
        "score": sum(one["score"] for one in tests),
        "max-score": sum(one["max-score"] for one in tests),
        "tests": tests,
    }


def committed() -> str:
    """When the graded commit was made, in UTC: the same at each regrade. "" where git does not say."""
    command = ["git", "-c", "safe.directory=*", "log", "-1", "--format=%ct"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = asked.stdout.strip()
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""


if __name__ == "__main__":
    sys.exit(main())
