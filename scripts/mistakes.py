"""A page of what is said of each mistake in a folder of them: `scripts/mistakes.py FOLDER > docs/mistakes.md`.

FOLDER has a folder for each case, and in it one for the exercise, as a submission has. Each is checked for real, on the
engine that `docker` uses.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LINES = 10
SECONDS = 180


def said(case: Path) -> list[str]:
    """The first lines of what `grader check` says of a case."""
    command = [str(Path(sys.executable).with_name("grader")), "check", str(case)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    return [line.rstrip() for line in done.stdout.splitlines() if line.strip()][:LINES]


def main(folder: Path) -> None:
    """Print the page."""
    print("# What is said of mistakes\n")
    print(f"The first {LINES} lines of `grader check` for each case of a collection that testers handed in; made by")
    print("`scripts/mistakes.py`.")
    for case in sorted(path for path in folder.iterdir() if path.is_dir()):
        number, _, name = case.name.partition("-")
        print(f"\n## {number} {name.replace('-', ' ')}\n")
        print("```text", *said(case), "```", sep="\n", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
