"""A page of what is said of each mistake in a folder of them: `scripts/mistakes.py FOLDER > docs/mistakes.md`.

FOLDER has a folder for each case, and in it one for the exercise, as a submission has. Each is checked for real, on the
engine that `docker` uses. `BEFORE` is what testers were told in the first version, where they wrote it down.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LINES = 10
SECONDS = 180
BEFORE = {
    "m02": "a name that does not exist is usually a spelling mistake",
    "m03": "the place was right, the hint was about something else",
    "m04": "the place was right, the hint was about something else",
    "m06": "Rejected: the safety check refused it",
    "m07": "Rejected: the safety check refused it",
    "m08": "Rejected: the safety check refused it",
    "m09": "the right cause, after many lines",
    "m15": "in the image the script is /app",
    "m16": "the container's command does not run sales_predictor.py",
    "m18": "FROM needs the name of an image, and after it nothing",
    "m22": "There is no file named Dockerfile",
    "m31": "the error three times, then: count the arguments first",
    "m33": "the exact error, without an explanation",
    "m37": "the error three times, then: count the arguments first",
    "m42": "the error three times, then: count the arguments first",
    "m43": "the error three times, then: count the arguments first",
    "m44": "the exact error, without an explanation",
    "x03": "still running after 10 seconds",
    "x05": "a wall of 40 lines, its last one cut",
    "x30": "a pip of another interpreter, a virtual environment…",
    "x34": "the container's command does not run sales_predictor.py",
    "p01": "Additional property service is not allowed",
    "p03": "yaml: line 4, for line 3",
    "p04": "Additional property service is not allowed",
    "p05": "yaml: line 4, for line 3",
}
"""By the beginning of a case's name."""


def said(case: Path) -> list[str]:
    """The first lines of what `grader check` says of a case."""
    command = [str(Path(sys.executable).with_name("grader")), "check", str(case)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    return [line.rstrip() for line in done.stdout.splitlines() if line.strip()][:LINES]


def main(folder: Path) -> None:
    """Print the page."""
    print("# What is said of mistakes\n")
    print(f"The first {LINES} lines of `grader check` for each case of a collection that testers handed in; made by")
    print("`scripts/mistakes.py`. “Before” is what the first version said, where a tester wrote it down.")
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        number, _, name = case.name.partition("-")
        print(f"\n## {number} {name.replace('-', ' ')}\n")
        if number in BEFORE:
            print(f"Before: {BEFORE[number]}\n")
        print("```text", *said(case), "```", sep="\n", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
