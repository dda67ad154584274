"""What the grader costs beside the same work without it: `startup`, `check` or `batch`.

`startup` is `grader --help` beside the import of click; the promise is at most 2.0. `check` is `grader check` of 3.1.4,
layers cached, beside the docker commands that a student would type for it. `batch` is a class that hands in 3.1.4, each
student with a line of their own, so that nobody's image is another's: graded first, then everything that the journal
says was built and run is done again through the SDK by as many threads, and as shell commands one after the other.

Ways take turns, since a machine is not always as busy; ratios are of sums, and the first round, which fills caches, is
not counted. `.venv/bin/python benchmarks/cost.py batch --students 12 --rounds 3 --engine private`
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import docker

from grader.batch.journal import Journal
from grader.models import RunRequest

EXERCISE = "3.1.4"
SOLUTION = Path(__file__).parents[1] / "reference/solutions" / EXERCISE / "entrypoint-with-the-script"
ARGUMENTS = ("100 120 110", "1.5 2.5 3.5", "10 20 60", "7 8 9.75", "", "100 120")
IMAGE = "grader-benchmark"
GRADER = (sys.executable, "-m", "grader")

Student = tuple[Path, Sequence[RunRequest]]
"""A folder to build, and what is run of its image."""


def compare(ways: Mapping[str, Callable[[], object]], rounds: int) -> None:
    """Measure in turns; print each round, and the ratio of the first way to each other one."""
    spent = dict.fromkeys(ways, 0.0)
    for number in range(-1, rounds):
        for name, way in ways.items():
            began = time.monotonic()
            way()
            took = time.monotonic() - began
            spent[name] += took if number >= 0 else 0.0
            sys.stdout.write(f"{name} {took:.2f} s\n" if number >= 0 else "")
    ours, *others = spent
    sys.stdout.write("".join(f"{ours} against {name}: {spent[ours] / spent[name]:.2f}\n" for name in others))


def shell(*words: str) -> None:
    """A command, whatever comes of it."""
    subprocess.run(words, check=False, capture_output=True)


def check(made: Path, options: argparse.Namespace) -> None:
    """`grader check`, and the commands of a student."""
    folder = shutil.copytree(SOLUTION, made / EXERCISE)
    commands = [f"docker build -q -t {IMAGE} {folder}", *(f"docker run --rm {IMAGE} {words}" for words in ARGUMENTS)]
    ours = partial(shell, *GRADER, "check", str(folder))
    compare(
        {"grader check": ours, "docker commands": partial(shell, "bash", "-c", "\n".join(commands))}, options.rounds
    )
    shell("docker", "rmi", IMAGE)


def batch(made: Path, options: argparse.Namespace) -> None:
    """`grader batch`, and what its journal says was done."""
    folders = (made / str(number) for number in itertools.count())
    graded: list[Path] = []

    def grade() -> None:
        graded.append(grade_class(next(folders), options.students, options.engine, options.jobs))

    ways = {
        "grader batch": grade,
        "bare API": lambda: by_api(work_of(graded[-1]), options.jobs),
        "shell loop": lambda: by_shell(work_of(graded[-1])),
    }
    compare(ways, options.rounds)


def grade_class(folder: Path, students: int, engine: str, jobs: int) -> Path:
    """Make a class in a new folder and grade it; the folder, with submissions in `class` and results in `out`."""
    for number in range(students):
        target = folder / "class" / f"student-{number:02}" / EXERCISE
        shutil.copytree(SOLUTION, target)
        with (target / "sales_predictor.py").open("a", encoding="utf-8") as script:
            script.write(f"# {time.time()} {number}\n")
    words = ["--out", str(folder / "out"), "--exercise", EXERCISE, "--engine", engine, "--jobs", str(jobs)]
    subprocess.run([*GRADER, "batch", str(folder / "class"), *words], check=True, capture_output=True)
    return folder


def work_of(folder: Path) -> list[Student]:
    """What was run of each student's image, from the journal."""
    with Journal.open(folder / "out") as journal:
        return [
            (
                folder / "class" / graded.student / EXERCISE,
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
            container = client.containers.create(
                str(image.id),
                list(request.args),
                entrypoint=list(request.entrypoint) if request.entrypoint is not None else None,
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
    for folder, requests in students:
        shell("docker", "build", "-q", "-t", IMAGE, str(folder))
        for request in requests:
            program, *words = [*(request.entrypoint or ()), *request.args] or [""]
            instead = ["--entrypoint", program] if request.entrypoint else []
            shell("docker", "run", "--rm", "--network=none", *instead, IMAGE, *(words if instead else request.args))
        shell("docker", "rmi", IMAGE)


def main() -> None:
    """Measure what is asked for."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as for an ordinary user: else each start compiles all it imports
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["startup", "check", "batch"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--students", type=int, default=12, help="of a batch")
    parser.add_argument("--jobs", type=int, default=2, help="of a batch, and threads of the SDK")
    parser.add_argument("--engine", choices=["host", "private"], default="host", help="of a batch")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if options.what == "startup":
            click = partial(shell, sys.executable, "-c", "import click")
            compare({"grader --help": partial(shell, *GRADER, "--help"), "import click": click}, options.rounds)
        else:
            {"check": check, "batch": batch}[options.what](Path(made), options)


if __name__ == "__main__":
    main()
