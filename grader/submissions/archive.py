"""Reading a zip or tar that a stranger made: into memory, ordinary files only, nothing written anywhere.

`zipfile` and `tarfile` know the formats; what is taken from them, and how much, is decided here. `tarfile` is asked
for one header at a time (`TarInfo.frombuf`): its own reader takes headers of any size, searches them in quadratic time,
and takes a damaged header for the end. So PAX headers are read by us.
Formats: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, and pax(1) of POSIX.
"""

from __future__ import annotations

import gzip
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

from grader.submissions.models import MEGABYTE, Budget, Member, is_skipped, path_problem, permissions, shown

READABLE = (".zip", ".tar", ".tar.gz", ".tgz")
"""Ends of the names of archives that can be read."""

UNREADABLE = (".rar", ".7z", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".gz", ".bz2", ".xz")
"""... and of those that are somebody's submission too, but cannot."""

_MAX_DIRECTORY = 4 * MEGABYTE
"""Bytes of a zip's list of members; and of what is read of a member at once."""

_MAX_HEADER = 64 * 1024
"""Bytes of a header of a tar, such as one with a long name."""

_BLOCK = tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why nothing of an archive is taken."""

    message: str


class _Damaged(Exception):  # noqa: N818 - internal; becomes an `Unreadable` before anyone sees it
    """The archive is not what its name says, or is cut off, or does what no honest one does."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a header says. `read` gives the content, at most `size` bytes whatever is packed, and may be called once."""

    name: str
    kind: str  # "file", "folder", or what else it is, in words
    mode: int
    size: int
    read: Callable[[], bytes]


def archive_suffix(name: str) -> str:
    """The part of a file's name that makes it an archive, readable or not (`.tar.gz`); empty for others."""
    lower = name.lower()
    suffixes = sorted((*READABLE, *UNREADABLE), key=len, reverse=True)
    return next((name[-len(suffix) :] for suffix in suffixes if lower.endswith(suffix)), "")


_NONSENSE = (
    zipfile.BadZipFile, tarfile.HeaderError, zlib.error, struct.error, EOFError, OSError, ValueError, OverflowError,
    RuntimeError,
)  # fmt: skip
"""Whatever the two libraries make of nonsense, found by fuzzing and in their source."""


def read_archive(
    stream: BinaryIO,
    suffix: str,
    budget: Budget,
    place: Callable[[str], str | None] = lambda name: name,
    *,
    whole: bool = False,
) -> tuple[Member, ...] | Unreadable:
    """All files of an archive but those that tools leave behind, in the archive's order.

    Reads no more than `budget` has. A path that leads out of the archive makes all of it `Unreadable`. Of a zip,
    `place` says where a member belongs; what it gives no path is passed over unread, whatever may be wrong with it.
    With `whole`, nothing that tools leave behind is passed over, and folders are members too: so a build's context is
    read.
    """
    if suffix.lower() not in READABLE:
        return Unreadable(f"{suffix} is not read here. Hand in a folder, or one of {', '.join(READABLE)}.")
    try:
        entries = _zip_entries(stream, place) if suffix.lower() == ".zip" else _tar_entries(stream, budget)
        members = tuple(_members(entries, budget, whole=whole))
    except _Damaged as error:
        return Unreadable(str(error))
    except _NONSENSE:
        return Unreadable("the archive is damaged, or is not of the kind that its name says. Pack it again.")
    return Unreadable(budget.exceeded) if budget.exceeded else _without_clashes(members)


def _members(entries: Iterator[_Entry], budget: Budget, *, whole: bool) -> Iterator[Member]:
    for entry in entries:
        parts = _parts(entry.name)
        if not budget.add(files=1):
            return
        is_folder = entry.kind == "folder"
        if not parts or (not whole and (is_folder or any(is_skipped(name) for name in parts))):
            continue
        path = "/".join(parts)
        if problem := path_problem(parts):
            yield Member(path, problem=problem)
        elif is_folder:
            yield Member(path + "/", mode=permissions(entry.mode))
        elif entry.kind != "file":
            yield Member(path, problem=f"it is {entry.kind}. Put an ordinary file there.")
        elif entry.size > budget.bytes_left():  # so a bomb is not unpacked at all
            budget.add(entry.size)
            return
        else:
            content = entry.read()
            budget.add(len(content))
            yield Member(path, content, permissions(entry.mode))


def _parts(name: str) -> tuple[str, ...]:
    """The names that a path is made of. Nothing that leads elsewhere is put right: it was made on purpose."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", name):
        message = f"the path {shown(name)!r} leads out of the archive. Pack it again."
        raise _Damaged(message)
    return tuple(parts)


def _without_clashes(members: tuple[Member, ...]) -> tuple[Member, ...]:
    """Members of one path, and files that are folders too: which one counts is anybody's guess."""
    count: dict[str, int] = {}
    folders: set[str] = set()
    for member in members:
        count[member.path] = count.get(member.path, 0) + (not member.path.endswith("/"))
        parts = member.path.split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    clash = {path for path, times in count.items() if times > 1 or path in folders}
    if not clash:
        return members
    problem = "the archive has it more than once. Pack it again."
    return tuple(replace(one, content=b"", problem=problem) if one.path in clash else one for one in members)


# ── zip ─────────────────────────────────────────────────────────────────────────────────


class _Zip:
    """The bytes of a zip for `zipfile`, which reads the list of members whole and makes much more of it in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell, self.seekable, self._read = stream.seek, stream.tell, stream.seekable, stream.read

    def read(self, size: int = -1) -> bytes:
        """As a file gives them, but for a list that is too long."""
        if size > _MAX_DIRECTORY:
            raise _Damaged("the archive has too many files. Hand in only what the exercises ask for.")
        return self._read(size)


def _zip_entries(stream: BinaryIO, place: Callable[[str], str | None]) -> Iterator[_Entry]:
    with zipfile.ZipFile(_Zip(stream)) as archive:
        for info in archive.infolist():
            name = place(info.filename.replace("\\", "/"))  # so does PowerShell 5 separate folders
            if name is not None:
                yield _zip_entry(archive, info, name)


_WINDOWS = {0, 10, 14}
"""Systems of a zip's entry (APPNOTE.TXT, 4.4.2.2): FAT, Windows, VFAT."""


def _zip_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> _Entry:
    if info.flag_bits & 0x1:
        raise _Damaged("the archive is encrypted. Pack it without a password.")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise _Damaged("the archive is packed by a method that is not common. Pack it as an ordinary zip.")
    if "\0" in info.orig_filename:
        raise _Damaged("the archive has a name with a zero byte in it. Pack it again.")
    # Windows knows no right to execute, and there docker sends every file as one that may be.
    mode = info.external_attr >> 16 | (0o755 if info.create_system in _WINDOWS else 0)

    def read() -> bytes:
        with archive.open(info) as member:
            return b"".join(iter(partial(member.read, _MAX_DIRECTORY), b""))

    kind = "folder" if name.endswith("/") else _KINDS.get(stat.S_IFMT(mode), "no ordinary file")
    return _Entry(name, kind, mode, info.file_size, read)


_KINDS = {0: "file", stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "a link"}


# ── tar ─────────────────────────────────────────────────────────────────────────────────


_TAR_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.GNUTYPE_SPARSE: "a file with holes",
    tarfile.GNUTYPE_LONGNAME: "a header",
    tarfile.GNUTYPE_LONGLINK: "a header",
    tarfile.XHDTYPE: "a header",
    tarfile.SOLARIS_XHDTYPE: "a header",
    tarfile.XGLTYPE: "a header",
}
"""What is taken as what; a header says something of the next member."""


def _tar_entries(stream: BinaryIO, budget: Budget) -> Iterator[_Entry]:
    packed = stream.read(2) == b"\x1f\x8b"  # whatever it is called
    stream.seek(0)
    limit = budget.bytes_left() + 4 * _BLOCK * (budget.max_files + 1) + _MAX_HEADER
    data = (gzip.GzipFile(fileobj=stream) if packed else stream).read(limit + 1)
    if len(data) > limit:
        budget.add(limit)
        return
    at = 0
    extensions: dict[bytes, bytes] = {}
    while (block := data[at : at + _BLOCK]) != bytes(_BLOCK):
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        kind = _TAR_KINDS.get(header.type, "no ordinary file")
        size = 0 if kind in {"a link", "folder"} else _tar_size(header, extensions)
        if kind == "a header" and size > _MAX_HEADER:
            raise _Damaged("the archive has a header that is far too long. Pack it again.")
        content = data[at + _BLOCK : at + _BLOCK + size]
        at += _BLOCK + size + -size % _BLOCK
        if at > len(data):
            raise _Damaged("the archive is cut off. Pack it again.")
        if kind == "a header":
            extensions.update(_extensions(header, content))
            continue
        name = extensions.get(b"path", b"").decode("utf-8", "surrogateescape") or header.name
        if any(key.startswith(b"GNU.sparse") for key in extensions):
            kind = "a file with holes"
        yield _Entry(
            name,
            "folder" if kind == "file" and name.endswith("/") else kind,
            header.mode,
            size,
            partial(bytes, content),
        )
        extensions = {}


def _tar_size(header: tarfile.TarInfo, extensions: Mapping[bytes, bytes]) -> int:
    if header.size < 0:
        raise _Damaged("the archive is damaged: a file in it is smaller than nothing. Pack it again.")
    if written := extensions.get(b"size"):
        return int(written) if re.fullmatch(rb"[0-9]{1,15}", written) else 0
    return header.size


def _extensions(header: tarfile.TarInfo, content: bytes) -> Iterable[tuple[bytes, bytes]]:
    """What a header says of the next member."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return [(b"path", content.rstrip(b"\0"))]
    return _pax_records(content) if header.type in {tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE} else ()


def _pax_records(records: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records, each `LENGTH KEY=VALUE` and a newline, all of which LENGTH counts."""
    while records.rstrip(b"\0"):
        match = re.match(rb"(\d{1,6}) ([^=]{1,200})=", records)
        length = int(match[1]) if match else 0
        if match is None or not match.end() < length <= len(records):
            raise _Damaged("the archive is damaged: a header in it cannot be read. Pack it again.")
        yield match[2], records[match.end() : length - 1]
        records = records[length:]
