"""What a large class costs: a real journal multiplied to 50, 200 and 800 students, then judged again and reported.

    grader batch examples/class --out /tmp/real                     # once: any real batch
    .venv/bin/python -m benchmarks.scale /tmp/real --students 50 200 800

The multiplied journals have as many students, each with files and observations of a real one and a comment of its own
in every file, so that no two are equal. For each size: seconds, of these seconds of a core, and peak memory of
`regrade` (after a change of every exercise's points), of `report` (every page anew) and of `batch --resume` with
nothing changed; and the bytes of journal and files.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from grader.api import open_course
from grader.batch.journal import Graded, Journal
from grader.batch.results import course_digest, judging_digests
from grader.submissions.models import ExerciseFiles, files_digest

ROOT = Path(__file__).parents[1]
MEGABYTE = 2**20


def grader(*words: str) -> tuple[float, float, float]:
    """Seconds, of these seconds of a core, and peak MiB of one command."""
    program = "import resource, sys; from grader.cli.main import run; code = run(sys.argv[1:]); "
    program += "used = resource.getrusage(resource.RUSAGE_SELF); "
    program += "print('peak', used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr); sys.exit(code)"
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    took = time.perf_counter() - began
    if done.returncode not in {0, 3}:
        sys.exit(f"grader {' '.join(words)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    core, peak = done.stderr.rpartition("peak ")[2].split()
    return took, float(core), int(peak) / 1024


def multiplied(real: Path, out: Path, students: int) -> None:
    """A journal of so many students, and the folder of submissions that it was made from."""
    with Journal.open(real) as journal:
        info, sources = journal.info(), list(journal.gradings())
    if info is None:
        sys.exit(f"{real} holds no batch")
    course = open_course(ROOT)
    info = replace(info, course=course_digest(course))
    by_student: dict[str, list[Graded]] = {}
    for one in sources:
        by_student.setdefault(one.student, []).append(one)
    originals = sorted(by_student.values(), key=len, reverse=True)
    (out / "results").mkdir(parents=True)
    names = [f"s{number:04d}" for number in range(students)]
    with Journal.open(out / "results", create=True) as journal:
        journal.begin(info, names, judging_digests(course, info.seed))
        for number, name in enumerate(names):
            for one in originals[number % len(originals)]:
                journal.record(copied(one, name, out / "class"))


def copied(one: Graded, name: str, folder: Path) -> Graded:
    """The grading as another student's, whose files carry the student's name, and are written to the disk."""
    if one.result.files is None:
        return Graded(name, one.result)
    own = tuple(
        replace(file, content=file.content + f"\n# {name}\n".encode())
        if file.path.endswith((".py", ".sh", "Dockerfile"))
        else file
        for file in one.result.files.files
    )
    for file in own:
        path = folder / name / one.result.files.exercise / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode)
    digest = files_digest(own)
    handed = ExerciseFiles(one.result.files.exercise, one.result.files.folder, own, digest)
    return Graded(name, replace(one.result, files=handed, digest=digest))


def changed_course(folder: Path) -> Path:
    """The course with twice the points for every exercise, so that every verdict changes."""
    shutil.copytree(ROOT / "reference", folder / "reference", ignore=shutil.ignore_patterns("solutions", "wrong"))
    shutil.copytree(ROOT / "starter", folder / "starter")
    text = (ROOT / "exercises.yaml").read_text(encoding="utf-8")
    (folder / "exercises.yaml").write_text(text.replace("\n    title:", "\n    points: 20\n    title:"), "utf-8")
    return folder


def main() -> None:
    """Print a table, a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("--students", type=int, nargs="+", default=[50, 200, 800])
    options = parser.parse_args()
    sys.stdout.write(f"{'students':>8} {'regrade':>24} {'report':>24} {'resume':>24} {'journal':>9} {'files':>9}\n")
    for students in options.students:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            multiplied(options.real, folder, students)
            results = folder / "results"
            course = changed_course(folder / "course")
            reported = grader("report", str(results))
            grader("batch", str(folder / "class"), "--out", str(results), "--engine", "host", "--resume")
            resumed = grader("batch", str(folder / "class"), "--out", str(results), "--engine", "host", "--resume")
            judged = grader("--course", str(course), "regrade", str(results))
            journal = (results / "journal.sqlite").stat().st_size / MEGABYTE
            files = sum(path.stat().st_size for path in results.rglob("*") if path.is_file()) / MEGABYTE - journal
            timed = [f"{took:6.1f} s {core:5.1f} s {peak:4.0f} MB" for took, core, peak in (judged, reported, resumed)]
            columns = " ".join(f"{one:>24}" for one in timed)
            sys.stdout.write(f"{students:>8} {columns} {journal:6.1f} MB {files:6.1f} MB\n")


if __name__ == "__main__":
    main()
