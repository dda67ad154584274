"""What a further case costs as an exec, beside a run of its own and beside the engine's bare API, side by side.

Each round does all three, since a machine is not always as busy; medians are compared. Run it with the project's
Python: `.venv/bin/python benchmarks/execs.py --rounds 15`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import docker

from grader.course.models import Limits
from grader.engine.build.context import make_job
from grader.engine.docker_engine import connect
from grader.models import Built, MemoryFile, RunRequest
from grader.submissions.models import ExerciseFiles

SOLUTION = Path(__file__).parents[1] / "reference/solutions/3.1.4/entrypoint-with-the-script"
ARGUMENTS = ("100", "120", "110")


def by_api(client: docker.DockerClient, image: str) -> None:
    """One container, as a script that uses the SDK would run it."""
    container = client.containers.create(image, list(ARGUMENTS), network_mode="none", mem_limit="512m")
    container.start()
    container.wait()
    container.logs()
    container.remove()


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main() -> None:
    """Measure in turns, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    files = tuple(MemoryFile(path.name, path.read_bytes()) for path in sorted(SOLUTION.iterdir()) if path.is_file())
    job = make_job(ExerciseFiles("3.1.4", "", files, ""), (), "benchmark")
    limits = Limits()
    with connect() as engine:
        built = engine.build(job, limits, lambda _: None)  # type: ignore[arg-type]  # a solution has a context
        if not isinstance(built, Built):
            raise SystemExit(built.message)
        further = RunRequest(ARGUMENTS, further=True)
        began = seconds_of(lambda: engine.exec(built.image, further, limits))
        client = docker.from_env()
        ways: dict[str, Callable[[], object]] = {
            "exec": lambda: engine.exec(built.image, further, limits),
            "run": lambda: engine.run(built.image, RunRequest(ARGUMENTS), limits),
            "bare API": lambda: by_api(client, built.image),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                took[name].append(seconds_of(way))
    exec_, run, bare = (statistics.median(seconds) for seconds in took.values())
    sys.stdout.write(
        f"exec {exec_:.3f} s (the first, with its container, {began:.3f}), run {run:.3f}, API {bare:.3f}\n"
    )
    sys.stdout.write(f"exec to run {exec_ / run:.2f}, run to bare API {run / bare:.2f}\n")


if __name__ == "__main__":
    main()
