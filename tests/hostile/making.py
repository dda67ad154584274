"""What submissions of the hostile corpus are made with: a right one, as a folder or an archive, to hide something in."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["DOCKERFILE", "EXERCISE", "MARK", "RIGHT", "SCRIPT", "member", "right", "tarred", "zipped"]

EXERCISE = "3.1.4"
DOCKERFILE = 'FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'
SCRIPT = (
    "import sys\n"
    "if len(sys.argv) < 4:\n"
    '    sys.exit("Usage: sales_predictor.py <week1> <week2> <week3>")\n'
    "weeks = [float(word) for word in sys.argv[1:]]\n"
    'print(f"Predicted sales for next week: {sum(weeks) / len(weeks)}")\n'
)
RIGHT = {"Dockerfile": DOCKERFILE, "sales_predictor.py": SCRIPT}
"""A right submission, small and without network, to hide something in."""
MARK = "/tmp/grader-hostile-mark"
"""A file of the machine that must not come into being."""


def right(into: Path, name: str, exercise: str = EXERCISE, files: Mapping[str, str | bytes] = RIGHT) -> Path:
    """A student's folder with a submission in it; the exercise's folder comes back."""
    target = into / name / exercise
    target.mkdir(parents=True)
    for file, content in files.items():
        (target / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return target


def zipped(into: Path, name: str, members: Mapping[str, bytes]) -> Path:
    """A zip with a right submission and these members besides."""
    path = into / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in RIGHT.items():
            archive.writestr(f"{EXERCISE}/{file}", text)
        for file, content in members.items():
            archive.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED, compresslevel=1)
    return path


def tarred(into: Path, name: str, members: list[tarfile.TarInfo], suffix: str = ".tar") -> Path:
    """A tar with a right submission and these members, all without content, besides."""
    path = into / f"{name}{suffix}"
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w", format=tarfile.GNU_FORMAT) as archive:
        for file, text in RIGHT.items():
            info = tarfile.TarInfo(f"{EXERCISE}/{file}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
        for info in members:
            archive.addfile(info)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A member of a tar, without content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info
