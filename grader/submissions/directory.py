"""Reading a folder that a stranger filled: every file once, nothing followed, nothing waited for.

Each folder is opened by its name in the folder above, never by a path, and never through a link. So
what is read is what lies there, even if somebody swaps a folder for a link meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from grader.submissions.budget import Budget, is_skipped, path_problem, permissions
from grader.submissions.models import Member

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_MAX_NAMES = 20_000
"""Names that are looked at in one folder."""

_CHUNK = 2**20
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"
"""The file by which Python knows a virtual environment (https://docs.python.org/3/library/venv.html)."""


def open_folder(path: str, within: int | None = None) -> int:
    """A file descriptor of a folder, which is no link. `OSError` if it is none or cannot be read."""
    return os.open(path, _FOLDER, dir_fd=within)


def open_file(path: Path) -> BinaryIO:
    """An ordinary file, opened for reading. `OSError` if it is a link, or none, or cannot be read."""
    descriptor = os.open(path, _FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no ordinary file")
    return os.fdopen(descriptor, "rb")


def names_in(folder: int) -> list[str]:
    """The names in a folder, sorted. `OSError` (EFBIG) if there are more than anyone has put there by hand."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in islice(entries, _MAX_NAMES + 1))
    if len(names) > _MAX_NAMES:
        raise OSError(errno.EFBIG, f"there are more than {_MAX_NAMES} files in it")
    return names


def entries_in(folder: int) -> tuple[list[str], list[str]]:
    """The names in a folder, sorted: of files, and of folders and links. Links are refused when they are opened."""
    modes = {name: os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode for name in names_in(folder)}
    folders = [name for name, mode in modes.items() if stat.S_ISDIR(mode) or stat.S_ISLNK(mode)]
    return [name for name, mode in modes.items() if stat.S_ISREG(mode) and not is_skipped(name)], folders


def subfolders(folder: int) -> list[str]:
    """The names of folders and links in a folder, sorted."""
    return entries_in(folder)[1]


def read_files(folder: int, budget: Budget, only: Container[str] | None = None) -> Iterator[Member]:
    """Every file below a folder, by name, or why one may not be graded. Ends early where `budget` is exceeded.

    Of the files and folders that stand in it directly, `only` names those that are read, if not all are.
    `OSError` if the folder itself cannot be read.
    """
    return _walk(folder, (), budget, only)


def _walk(folder: int, above: tuple[str, ...], budget: Budget, only: Container[str] | None = None) -> Iterator[Member]:
    names = [name for name in names_in(folder) if only is None or name in only]
    if above and _VIRTUAL_ENVIRONMENT in names:
        return
    for name in names:
        if budget.exceeded:
            return
        if not is_skipped(name):
            yield from _entry(folder, (*above, name), budget)


def _entry(folder: int, parts: tuple[str, ...], budget: Budget) -> Iterator[Member]:
    path = "/".join(parts)
    problem = path_problem(parts)
    if problem:
        yield Member(path, problem=problem)
        return
    try:
        mode = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            yield Member(path, problem=_KINDS.get(stat.S_IFMT(mode), "it is no ordinary file."))
        elif budget.add_file():
            opened = os.open(parts[-1], _FOLDER if stat.S_ISDIR(mode) else _FILE, dir_fd=folder)
            try:
                yield from _walk(opened, parts, budget) if stat.S_ISDIR(mode) else _read(opened, path, budget)
            finally:
                os.close(opened)
    except OSError as error:
        yield Member(path, problem=f"it cannot be read: {error.strerror}.")


_KINDS = {
    stat.S_IFLNK: "it is a link. Links are not followed; put the file itself there.",
    stat.S_IFIFO: "it is a pipe, no ordinary file.",
    stat.S_IFSOCK: "it is a socket, no ordinary file.",
}


def _read(file: int, path: str, budget: Budget) -> Iterator[Member]:
    """An open file, read until its end or one byte more than fits, whatever its size is said to be."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):  # it was a moment ago
        yield Member(path, problem="it was exchanged while it was read.")
        return
    left = budget.bytes_left()
    content = bytearray()
    while status.st_size <= left and len(content) <= left and (chunk := os.read(file, _CHUNK)):
        content += chunk
    if budget.add_bytes(max(len(content), status.st_size)):
        yield Member(path, bytes(content), permissions(status.st_mode))
