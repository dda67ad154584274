"""What `grader batch` costs beside check50 with checks that type the same docker commands.

check50 (`pip install check50`, into an environment of its own: `--command` says where) grades one folder at a time. Its
checks build the image and run it with the arguments of 3.1.4, one `docker run` for each; it copies the folder for each
check and carries out checks side by side. Rounds alternate; the ratio is of sums. Run it with the project's Python:
`.venv/bin/python -m benchmarks.check50 --command env/bin/check50`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.cost import ARGUMENTS, EXERCISE, compare, grade_class, shell

IMAGE = "grader-benchmark-check50"
EXPECTED = "Predicted sales for next week: [0-9.]+"
PREDICTED = 4
"""So many of the sets of arguments have an answer."""
CHECKS = f"""
import re
import check50

@check50.check()
def builds():
    check50.run("docker build -q -t {IMAGE} .").exit(0)
"""
CASE = """
@check50.check(builds)
def case_{number}():
    out = check50.run("docker run --rm --network=none {image} {words}").stdout()
    if re.search({expected!r}, out) is None:
        raise check50.Failure("no prediction")
"""


def write_checks(folder: Path) -> Path:
    """A checks package: a build, and one check for each set of arguments."""
    cases = [
        CASE.format(number=number, image=IMAGE, words=words, expected=EXPECTED if number < PREDICTED else "")
        for number, words in enumerate(ARGUMENTS)
    ]
    folder.mkdir()
    (folder / "__init__.py").write_text("".join([CHECKS, *cases]), encoding="utf-8")
    (folder / ".cs50.yaml").write_text("check50: true\n", encoding="utf-8")
    return folder


def by_check50(command: str, checks: Path, students: Path) -> None:
    """Each student's folder, one after the other. Raises `SystemExit` where a check fails that should pass."""
    for folder in sorted(students.iterdir()):
        words = [command, "--offline", "--dev", "--output", "json", "--", str(checks)]
        done = subprocess.run(words, cwd=folder / EXERCISE, check=False, capture_output=True, text=True)
        if not all(one["passed"] for one in json.loads(done.stdout)["results"]):
            raise SystemExit(done.stdout + done.stderr)


def main() -> None:
    """Measure in turns, and print each round and the ratio."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as for an ordinary user
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="check50")
    parser.add_argument("--students", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=["host", "private"], default="host")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folders = (Path(made) / str(number) for number in itertools.count())
        checks = write_checks(Path(made) / "checks")
        graded: list[Path] = []

        def grade() -> None:
            graded.append(grade_class(next(folders), options.students, options.engine, os.cpu_count() or 1))

        check50 = partial(by_check50, options.command, checks)
        compare({"grader batch": grade, "check50": lambda: check50(graded[-1] / "class")}, options.rounds)
    shell("docker", "rmi", "-f", IMAGE)


if __name__ == "__main__":
    main()
