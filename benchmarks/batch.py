"""What `grader batch` costs beside the same builds and runs by the engine's bare API, and by a loop of docker commands.

A class hands in 3.1.4, each student with a line of their own, so that nobody's image is another's. The batch is graded
first; then everything that its journal says was built and run is done again without a grader: through the SDK by as
many threads, and as shell commands one after the other. Rounds alternate, since a machine is not always as busy; the
ratios are of sums. Run it with the project's Python: `.venv/bin/python benchmarks/batch.py --students 12 --rounds 3`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import docker

from grader.batch.journal import Journal
from grader.models import RunRequest

ROOT = Path(__file__).parents[1]
EXERCISE = "3.1.4"
SOLUTION = ROOT / "reference/solutions" / EXERCISE / "entrypoint-with-the-script"

Student = tuple[Path, Sequence[RunRequest]]
"""A folder to build, and what is run of its image."""


def write_class(folder: Path, students: int, mark: str) -> None:
    """So many submissions, each with a line that no other has."""
    for number in range(students):
        target = folder / f"student-{number:02}" / EXERCISE
        shutil.copytree(SOLUTION, target)
        with (target / "sales_predictor.py").open("a", encoding="utf-8") as script:
            script.write(f"# {mark} {number}\n")


def batch(folder: Path, out: Path, tier: str, jobs: int) -> float:
    """Seconds that the command takes."""
    words = ["batch", str(folder), "--out", str(out), "--exercise", EXERCISE, "--engine", tier, "--jobs", str(jobs)]
    return seconds_of(lambda: subprocess.run([sys.executable, "-m", "grader", *words], check=True, capture_output=True))


def work_of(folder: Path, out: Path) -> list[Student]:
    """What was run of each student's image, from the journal."""
    with Journal.open(out) as journal:
        return [
            (
                folder / graded.student / EXERCISE,
                [request for request in graded.result.observations if isinstance(request, RunRequest)],
            )
            for graded in journal.gradings()
        ]


def by_api(students: Sequence[Student], jobs: int) -> None:
    """Build and run through the SDK, with the settings that the grader runs with, one container for each run.

    Images go at the end: the classic builder loses a parent that another thread removes.
    """
    client = docker.from_env()

    def one(student: Student) -> str:
        folder, requests = student
        image, _ = client.images.build(path=str(folder), rm=True)
        for request in requests:
            entrypoint = list(request.entrypoint) if request.entrypoint is not None else None
            container = client.containers.create(
                str(image.id),
                list(request.args),
                entrypoint=entrypoint,
                environment=dict(request.environment),
                network_mode="none",
                mem_limit="512m",
            )
            container.start()
            container.wait()
            container.logs()
            container.remove()
        return str(image.id)

    with ThreadPoolExecutor(jobs) as pool:
        for image in list(pool.map(one, students)):
            client.images.remove(image, force=True)


def by_shell(students: Sequence[Student]) -> None:
    """Build and run with docker commands, one after the other."""
    for number, (folder, requests) in enumerate(students):
        tag = f"grader-benchmark:{number}"
        shell("docker", "build", "-q", "-t", tag, str(folder))
        for request in requests:
            program, *words = [*(request.entrypoint or ()), *request.args] or [""]
            instead = ["--entrypoint", program] if request.entrypoint else []
            shell("docker", "run", "--rm", "--network=none", *instead, tag, *(words if instead else request.args))
        shell("docker", "rmi", tag)


def shell(*words: str) -> None:
    """A command, whatever comes of it."""
    subprocess.run(words, check=False, capture_output=True)


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def main() -> None:
    """Measure in turns, and print sums and ratios."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as for an ordinary user: else each start compiles all it imports
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-shell", action="store_true", help="leave out the shell loop, which takes longest")
    parser.add_argument("--engine", choices=["host", "private"], default="host")
    options = parser.parse_args()
    runs = 0
    spent: dict[str, float] = {}
    for number in range(-1, options.rounds):  # the first round prepares base images and engines, and is not counted
        with tempfile.TemporaryDirectory() as made:
            folder, out = Path(made) / "class", Path(made) / "out"
            write_class(folder, 1 if number < 0 else options.students, f"round {number} of {time.time()}")
            took = {"grader batch": batch(folder, out, options.engine, options.jobs)}
            students = work_of(folder, out)
            took["bare API"] = seconds_of(partial(by_api, students, options.jobs))
            if not options.no_shell:
                took["shell loop"] = seconds_of(partial(by_shell, students))
            runs = len(students[0][1])
        if number >= 0:
            spent = {name: spent.get(name, 0) + seconds for name, seconds in took.items()}
            sys.stdout.write(", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()) + "\n")
    sys.stdout.write(f"{options.students} students with a build and {runs} runs each, {options.engine}:\n")
    ours = spent.pop("grader batch")
    sys.stdout.write("".join(f"against the {name} {ours / seconds:.2f}\n" for name, seconds in spent.items()))


if __name__ == "__main__":
    main()
