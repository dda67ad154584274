"""What `grader --help` costs beside the import of click, both measured in this run, as a ratio of CPU seconds.

The promise is at most 2.0. Run it with the project's Python: `.venv/bin/python benchmarks/startup.py`.
"""

from __future__ import annotations

import resource
import subprocess
import sys

ROUNDS = 15


def cheapest(*words: str) -> float:
    """The least user and system seconds of several runs: what is above it is other work on the machine."""
    return min(_once(words) for _ in range(ROUNDS))


def _once(words: tuple[str, ...]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure both and print the ratio."""
    click = cheapest("-c", "import click")
    shown = cheapest("-m", "grader", "--help")
    sys.stdout.write(
        f"import click {click * 1000:.0f} ms, grader --help {shown * 1000:.0f} ms, ratio {shown / click:.2f}\n"
    )


if __name__ == "__main__":
    main()
