"""Are the verdicts the same each time? Grades the course's own solutions again and again, and compares.

    python benchmarks/determinism.py --run 7:2 --run 7:2 --run 7:1 --run 8:2 --exercise 3.2.4

Each `--run SEED:JOBS` is one whole `grader selftest`. Printed are its seconds, and every solution whose result differs
from the first run's. Exit code 1 if any does.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence

_ROW = re.compile(r"^(?P<exercise>\d\S*)  +(?P<solution>\S+)  +(?P<must>\S.*?)  +(?P<came>\S.*?)  +(?P<agrees>\S.*)$")


def verdicts(table: str) -> dict[str, str]:
    """What came out for each solution, from the table that `grader selftest` prints."""
    rows = (_ROW.match(line.rstrip()) for line in table.splitlines())
    return {f"{row['exercise']} {row['solution']}": f"{row['came']}, {row['agrees']}" for row in rows if row}


def selftest(seed: str, jobs: str, more: Sequence[str]) -> dict[str, str]:
    """One run; `more` are further arguments of `grader selftest`."""
    command = [sys.executable, "-m", "grader", "selftest", "--seed", seed, "--jobs", jobs, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = verdicts(done.stdout)
    if not found:
        raise SystemExit(f"{' '.join(command)} printed no table:\n{done.stderr}")
    return found


def differences(first: dict[str, str], other: dict[str, str]) -> list[str]:
    """One line for each solution with another result."""
    names = sorted({*first, *other})
    return [
        f"{name}: {first.get(name, 'not graded')} | {other.get(name, 'not graded')}"
        for name in names
        if first.get(name) != other.get(name)
    ]


def main() -> int:
    """Do the runs, print what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", action="append", required=True, metavar="SEED:JOBS")
    parser.add_argument("--exercise", action="append", default=[])
    parser.add_argument("--engine", default="host")
    options = parser.parse_args()
    more = ["--engine", options.engine, *(word for name in options.exercise for word in ("--exercise", name))]
    first: dict[str, str] = {}
    differ = False
    for run in options.run:
        seed, _, jobs = run.partition(":")
        began = time.monotonic()
        found = selftest(seed, jobs or "2", more)
        first = first or found
        different = differences(first, found)
        differ = differ or bool(different)
        disagree = [name for name, result in found.items() if not result.endswith(("ok", "not tried"))]
        sys.stdout.write(
            f"seed {seed}, {jobs} jobs: {len(found)} solutions, {time.monotonic() - began:.0f} s, "
            f"{len(different)} differ from the first run, {len(disagree)} disagree with what they must\n"
            + "".join(f"    {line}\n" for line in [*different, *disagree])
        )
        sys.stdout.flush()
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
