"""Who is in a class: names from a teacher's CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

from grader.errors import UsageError


def read_roster(path: Path) -> tuple[str, ...]:
    """Student names from a CSV file: the column `student`, else the first column.

    Raises `UsageError` with the line number where a name is missing or comes twice.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read as a roster: {error}"
        raise UsageError(message) from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = header.index("student") if "student" in header else 0
    names: dict[str, int] = {}
    for number, row in enumerate(rows[1 if "student" in header else 0 :], start=2 if "student" in header else 1):
        name = row[column].strip() if column < len(row) else ""
        if not any(cell.strip() for cell in row):
            continue
        if not name or name in names:
            problem = f"{name!r} already stands in line {names[name]}" if name else "the student's name is missing"
            message = f"{path}:{number}: {problem}"
            raise UsageError(message)
        names[name] = number
    return tuple(names)
