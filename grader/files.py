"""Writing result files: whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from grader.errors import UsageError

__all__ = ["make_folder", "write_whole"]


def make_folder(path: Path) -> None:
    """Make a folder and those above it. `UsageError` if that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{path}: cannot be made a folder: {error.strerror}. Name another one."
        raise UsageError(message) from error


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name and rename it: nobody ever reads half of it.

    Raises `UsageError` with the reason (no room, read-only) where it cannot be written.
    """
    make_folder(path.parent)
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8", newline=""
        ) as file:
            temporary = Path(file.name)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            if temporary:
                temporary.unlink()
        message = f"{path}: cannot be written: {error.strerror}."
        raise UsageError(message) from error
