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

from grader.models import MemoryFile, Refusal
from grader.submissions.budget import Room, is_skipped, path_problem, permissions, shown

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


def subfolders(folder: int) -> list[str]:
    """The names of folders in a folder, sorted, and of links, which are refused when they are opened."""
    wanted = (stat.S_IFDIR, stat.S_IFLNK)
    return [name for name in names_in(folder) if stat.S_IFMT(_stat(folder, name).st_mode) in wanted]


def read_files(folder: int, room: Room, only: Container[str] | None = None) -> Iterator[MemoryFile | Refusal]:
    """Every file below a folder, by name, or why one may not be graded. Ends early where `room` does.

    Of the files and folders that stand in it directly, `only` names those that are read, if not all are.
    `OSError` if the folder itself cannot be read.
    """
    return _walk(folder, (), room, only)


def _walk(
    folder: int, above: tuple[str, ...], room: Room, only: Container[str] | None = None
) -> Iterator[MemoryFile | Refusal]:
    names = [name for name in names_in(folder) if only is None or name in only]
    if above and _VIRTUAL_ENVIRONMENT in names:
        return
    for name in names:
        if room.spent:
            return
        if not is_skipped(name):
            yield from _entry(folder, (*above, name), room)


def _entry(folder: int, parts: tuple[str, ...], room: Room) -> Iterator[MemoryFile | Refusal]:
    path = "/".join(parts)
    problem = path_problem(parts)
    if problem:
        yield _refusal(path, problem)
        return
    try:
        mode = _stat(folder, parts[-1]).st_mode
        if stat.S_ISDIR(mode):
            if room.take_file():
                yield from _within(folder, parts, room)
        elif stat.S_ISREG(mode):
            yield from _read(folder, path, parts[-1], room)
        else:
            yield _refusal(path, _KINDS.get(stat.S_IFMT(mode), "it is no ordinary file."))
    except OSError as error:
        yield _refusal(path, f"it cannot be read: {error.strerror}.")


_KINDS = {
    stat.S_IFLNK: "it is a link. Links are not followed; put the file itself there.",
    stat.S_IFIFO: "it is a pipe, no ordinary file.",
    stat.S_IFSOCK: "it is a socket, no ordinary file.",
}


def _within(folder: int, parts: tuple[str, ...], room: Room) -> Iterator[MemoryFile | Refusal]:
    below = open_folder(parts[-1], folder)
    try:
        yield from _walk(below, parts, room)
    finally:
        os.close(below)


def _read(folder: int, path: str, name: str, room: Room) -> Iterator[MemoryFile | Refusal]:
    if not room.take_file():
        return
    file = os.open(name, _FILE, dir_fd=folder)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):  # it was a moment ago
            yield _refusal(path, "it was exchanged while it was read.")
            return
        left = room.bytes_left()
        content = _content(file, left) if status.st_size <= left else None
        if content is None:
            room.take_bytes(left + 1)
        elif room.take_bytes(len(content)):
            yield MemoryFile(path, content, permissions(status.st_mode))
    finally:
        os.close(file)


def _content(file: int, limit: int) -> bytes | None:
    """What an open file holds; None if that is more than `limit` bytes, whatever its size was said to be."""
    chunks: list[bytes] = []
    left = limit
    while chunk := os.read(file, min(_CHUNK, left + 1)):
        left -= len(chunk)
        if left < 0:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _stat(folder: int, name: str) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _refusal(path: str, problem: str) -> Refusal:
    return Refusal(f"{shown(path)}: {problem}", shown(path))
