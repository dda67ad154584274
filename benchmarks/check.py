"""What one `grader check` costs beside the docker commands that a student would type for the same, layers cached.

The commands are a build, and a `docker run` for each set of arguments that 3.1.4 tries; the grader's own probe comes on
top in `grader check`. Both take turns, since a machine is not always as busy; the ratio is of sums. Run it with the
project's Python: `.venv/bin/python benchmarks/check.py --rounds 5`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXERCISE = "3.1.4"
SOLUTION = ROOT / "reference/solutions" / EXERCISE / "entrypoint-with-the-script"
ARGUMENTS = ("100 120 110", "1.5 2.5 3.5", "10 20 60", "7 8 9.75", "", "100 120")
IMAGE = "grader-benchmark:check"


def write_commands(folder: Path) -> Path:
    """The script of docker commands."""
    script = folder / "commands.sh"
    runs = [f"docker run --rm {IMAGE} {words}".rstrip() for words in ARGUMENTS]
    script.write_text("\n".join([f"docker build -q -t {IMAGE} {folder / EXERCISE}", *runs]), encoding="utf-8")
    return script


def seconds_of(*words: str) -> float:
    """How long a command takes, whatever comes of it."""
    began = time.monotonic()
    subprocess.run(words, check=False, capture_output=True)
    return time.monotonic() - began


def main() -> None:
    """Measure in turns, and print each round and the ratio."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as for an ordinary user: else each start compiles all it imports
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    spent = [0.0, 0.0]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shutil.copytree(SOLUTION, folder / EXERCISE)
        script = write_commands(folder)
        check = (sys.executable, "-m", "grader", "check", str(folder / EXERCISE))
        for number in range(-1, rounds):  # the first round fills caches, and is not counted
            took = seconds_of(*check), seconds_of("bash", str(script))
            if number >= 0:
                spent = [spent[0] + took[0], spent[1] + took[1]]
                sys.stdout.write(f"grader check {took[0]:.2f} s, docker commands {took[1]:.2f} s\n")
        seconds_of("docker", "rmi", IMAGE)
    sys.stdout.write(f"grader check against the docker commands: {spent[0] / spent[1]:.2f}\n")


if __name__ == "__main__":
    main()
