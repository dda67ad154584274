"""Submissions that git cannot hold: bombs, pipes, links, odd names, archives that lie.

Each function writes one student's submission into the folder `into`, under `name` (and an ending, for an archive), and
gives the path of what it wrote.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

__all__ = ["a_pipe_for_a_dockerfile", "zip_slip"]

EXERCISE = "3.1.4"
RIGHT = {
    "Dockerfile": 'FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n',
    "sales_predictor.py": (
        "import sys\n"
        "if len(sys.argv) < 4:\n"
        '    sys.exit("Usage: sales_predictor.py <week1> <week2> <week3>")\n'
        "weeks = [float(word) for word in sys.argv[1:]]\n"
        'print(f"Predicted sales for next week: {sum(weeks) / len(weeks)}")\n'
    ),
}
"""A right submission, small and without network, to hide something in."""


def folder(into: Path, name: str) -> Path:
    """A student's folder with a right submission in it; the exercise's folder comes back."""
    target = into / name / EXERCISE
    target.mkdir(parents=True)
    for file, text in RIGHT.items():
        (target / file).write_text(text, encoding="utf-8")
    return target


def a_pipe_for_a_dockerfile(into: Path, name: str) -> Path:
    target = folder(into, name)
    (target / "Dockerfile").unlink()
    os.mkfifo(target / "Dockerfile")
    return into / name


def zip_slip(into: Path, name: str) -> Path:
    path = into / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in RIGHT.items():
            archive.writestr(f"{EXERCISE}/{file}", text)
        archive.writestr("../../escaped-by-zip-slip", "out")
    return path
