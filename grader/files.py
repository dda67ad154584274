"""Reading tables of the package, and writing result files: whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
from pathlib import Path
from typing import Any

from grader.errors import UsageError
from grader.failpoints import failpoint

_BEGUN = ".writing-"
"""How the name of a file begins that is not whole yet."""


@functools.cache
def read_table(path: Path) -> Any:  # noqa: ANN401 - whatever the table is made of
    """What a file of YAML beside its reader says."""
    import yaml  # here, as this module is imported for `--help`, too

    return yaml.safe_load(path.read_text(encoding="utf-8"))


def make_folder(path: Path) -> None:
    """Make a folder and those above it. `UsageError` if that cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"{path}: cannot be made a folder: {error.strerror}. Name another one."
        raise UsageError(message) from error


def write_whole(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Write a file, text as UTF-8, under a temporary name and rename it: nobody ever reads half of it.

    Unless it is `durable`, it may be empty after the machine has lost its power. Raises `UsageError` with the reason
    (no room, read-only) where it cannot be written.
    """
    make_folder(path.parent)
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=_BEGUN, delete=False) as file:
            temporary = Path(file.name)
            file.write(content if isinstance(content, bytes) else content.encode())
            file.flush()
            if durable:
                os.fsync(file.fileno())
        failpoint("file-written")
        temporary.chmod(0o644)
        temporary.replace(path)
        failpoint("file-renamed")
    except OSError as error:
        with contextlib.suppress(OSError):
            if temporary:
                temporary.unlink()
        message = f"{path}: cannot be written: {error.strerror}."
        raise UsageError(message) from error


def remove_half_written(folder: Path) -> None:
    """Remove what a process that was killed has left of `write_whole`, in a folder and those directly in it.

    Only for a folder in which nobody else writes now.
    """
    for place in (folder, *(entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink())):
        for file in place.glob(f"{_BEGUN}*"):
            with contextlib.suppress(OSError):  # a read-only folder is told of where it matters
                file.unlink()
