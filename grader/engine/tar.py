"""The one writer of tars for an engine: build contexts, and files put into containers. Pure.

The format is GNU's, since BuildKit of Engine 20.10 takes a context that begins with a PAX header (what `tarfile` writes
for a time with a fraction) for the text of a Dockerfile. The same entries give the same bytes on every machine.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator

from grader.models import MemoryFile


def write_tar(entries: Iterable[MemoryFile], *, modified: int, user: int = 0, group: int = 0) -> bytes:
    """An uncompressed tar of these entries, in this order; a path that ends in `/` is a folder.

    `modified` is when all of them were last written, in seconds of Unix time; `user` and `group` are whom they belong
    to. Absolute paths are written without their first `/`.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.path.strip("/"))
            info.type = tarfile.DIRTYPE if entry.path.endswith("/") else tarfile.REGTYPE
            info.size, info.mode, info.mtime = len(entry.content), entry.mode, modified
            info.uid, info.gid = user, group
            archive.addfile(info, io.BytesIO(entry.content))
    return buffer.getvalue()


def with_folders(files: Iterable[MemoryFile]) -> Iterator[MemoryFile]:
    """The files by path, each after entries for the folders it is in."""
    made: set[str] = set()
    for file in sorted(files, key=lambda file: file.path.split("/")):
        parts = file.path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth]) + "/"
            if folder not in made:
                made.add(folder)
                yield MemoryFile(folder, b"", 0o755)
        yield file
