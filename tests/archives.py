"""Archives for tests, as what stands in them and as bytes."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile

Content = bytes | str
Tree = dict[str, Content]
"""Paths and what the files hold."""


def a_zip(*members: tuple[str | zipfile.ZipInfo, Content], method: int = zipfile.ZIP_DEFLATED, link: str = "") -> bytes:
    """A zip of these members; the one called `link` is a link to what it holds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            kind = stat.S_IFLNK if name == link else stat.S_IFREG
            archive.writestr(zip_entry(name, kind | 0o644) if isinstance(name, str) else name, content, method)
    return buffer.getvalue()


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    """A member of a zip made on Unix, with these bits."""
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


def a_tar(*members: tuple[str | tarfile.TarInfo, Content], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in members:
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name) if isinstance(name, str) else name
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def zipped(tree: Tree, link: str = "") -> bytes:
    """A zip of a tree."""
    return a_zip(*tree.items(), link=link)


def tar_gz(tree: Tree) -> bytes:
    """A packed tar of a tree."""
    return gzip.compress(a_tar(*tree.items()))
