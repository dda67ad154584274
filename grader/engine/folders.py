"""A folder mounted into a container: how it is filled, and how what was left there is read. Pure.

What a container wrote is read defensively: regular files only, no link followed, each at most
`FILE_LIMIT` bytes, at most `FILES_LIMIT` of them, and none of it needs to be text.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from collections.abc import Iterable, Iterator

from grader.models import FolderMount, MemoryFile

FILE_LIMIT = 1024 * 1024
"""Bytes that are read of one file."""
FILES_LIMIT = 200
"""Files that are read of one folder."""
FOLDER_LIMIT = 16 * 1024 * 1024
"""Bytes of the engine's tar of a folder that are read at all."""


def folder_archive(folder: FolderMount, modified: int) -> bytes:
    """A tar to be unpacked at /: the folder and its files, writable for whatever user the image runs as.

    `modified`, in seconds of Unix time, is when all of it was last written: to a log that turns over at midnight, a
    file without a time would be one of 1970.
    On a student's machine the folder belongs to the student, who makes it writable; here it belongs to nobody.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        root = tarfile.TarInfo(folder.path.strip("/"))
        root.type, root.mode, root.mtime = tarfile.DIRTYPE, 0o777, modified
        archive.addfile(root)
        for file in folder.files:
            entry = tarfile.TarInfo(posixpath.join(folder.path, file.path).lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(file.content), 0o666, modified
            archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def left_in(folder: FolderMount, archive: bytes) -> FolderMount:
    """The folder with the files that the engine's tar of it holds; a tar that was cut gives what it has."""
    return FolderMount(folder.path, tuple(sorted(_files(archive), key=lambda file: file.path)))


def _files(archive: bytes) -> Iterator[MemoryFile]:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            yield from _regular(opened, opened)
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return


def _regular(opened: tarfile.TarFile, members: Iterable[tarfile.TarInfo]) -> Iterator[MemoryFile]:
    count = 0
    for member in members:
        _, _, path = member.name.partition("/")  # the engine's tar begins with the folder's own name
        if not member.isreg() or not path or ".." in path.split("/"):
            continue
        content = opened.extractfile(member)
        if content is not None:
            yield MemoryFile(path, content.read(FILE_LIMIT), member.mode & 0o777)
            count += 1
        if count == FILES_LIMIT:
            return
