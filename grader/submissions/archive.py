"""Reading a zip or tar that a stranger made: into memory, ordinary files only, nothing written anywhere.

Python's `zipfile` and `tarfile` know the formats; what is taken from them, and how much, is decided
here. `tarfile` is asked for one header at a time (`TarInfo.frombuf`), because its own reader follows
links among members and reads headers of any size; PAX headers are read by us.
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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, BinaryIO, TypeVar

from grader.submissions.budget import MEGABYTE, Budget, is_skipped, path_problem, permissions, shown
from grader.submissions.models import Member

READABLE = (".zip", ".tar", ".tar.gz", ".tgz")
"""Ends of the names of archives that can be read."""

UNREADABLE = (".rar", ".7z", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".gz", ".bz2", ".xz")
"""... and of those that are somebody's submission too, but cannot."""

_MAX_DIRECTORY = 4 * MEGABYTE
"""Bytes of a zip's list of members: `zipfile` reads it whole, and makes much more of it in memory."""

_MAX_LONG_NAME = 8 * 1024
_MAX_PAX = 64 * 1024
"""Bytes of the headers that hold a long name, and of those that hold anything about the next member."""

_BLOCK = tarfile.BLOCKSIZE
_CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why nothing of an archive is taken."""

    message: str


class _Damaged(Exception):  # noqa: N818 - internal; becomes an `Unreadable` before anyone sees it
    """The archive is not what its name says, or is cut off, or does what no honest one does."""


Place = Callable[[str], str | None]
"""Where a zip's member belongs: a path instead of the one that the zip gives it, or None to pass it over unread."""


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


# Whatever the two libraries make of nonsense, found by fuzzing and in their source.
_NONSENSE = (
    zipfile.BadZipFile,
    tarfile.HeaderError,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    RuntimeError,
    NotImplementedError,
)


def read_archive(
    stream: BinaryIO, suffix: str, budget: Budget, place: Place = lambda name: name, *, whole: bool = False
) -> tuple[Member, ...] | Unreadable:
    """All files of an archive but those that tools leave behind, in the archive's order.

    Reads no more than `budget` has. A path that leads out of the archive makes all of it `Unreadable`.
    Of a zip, what `place` gives no path is passed over, whatever may be wrong with it. With `whole`,
    nothing that tools leave behind is passed over, and folders are members too: so a build's context is read.
    """

    def read() -> tuple[Member, ...]:
        entries = _zip_entries(stream, place) if suffix.lower() == ".zip" else _tar_entries(stream, budget)
        return tuple(_members(entries, budget, whole=whole))

    members = _or_unreadable(read)
    if isinstance(members, Unreadable):
        return members
    return Unreadable(budget.exceeded) if budget.exceeded else _without_clashes(members)


def names_in_zip(stream: BinaryIO) -> tuple[str, ...] | Unreadable:
    """The paths that a zip gives its members, as they are: they may lead anywhere. Folders end in `/`."""

    def read() -> tuple[str, ...]:
        _check_directory(stream)
        with zipfile.ZipFile(stream) as archive:
            return tuple(_zip_name(info) for info in archive.infolist())

    return _or_unreadable(read)


T = TypeVar("T")


def _or_unreadable(read: Callable[[], T]) -> T | Unreadable:
    try:
        return read()
    except _Damaged as error:
        return Unreadable(str(error))
    except _NONSENSE:
        return Unreadable("the archive is damaged, or is not of the kind that its name says. Pack it again.")


def _members(entries: Iterator[_Entry], budget: Budget, *, whole: bool) -> Iterator[Member]:
    for entry in entries:
        parts = _parts(entry.name)
        if not budget.add_file():
            return
        is_folder = entry.kind == "folder"
        if not parts or (not whole and (is_folder or any(is_skipped(name) for name in parts))):
            continue
        path = "/".join(parts)
        problem = path_problem(parts)
        if is_folder and not problem:
            yield Member(path + "/", mode=permissions(entry.mode))
            continue
        if problem or entry.kind != "file":
            yield Member(path, problem=problem or f"it is {entry.kind}. Put an ordinary file there.")
            continue
        if entry.size > budget.bytes_left():  # so a bomb is not unpacked at all
            budget.add_bytes(entry.size)
            return
        content = entry.read()
        if not budget.add_bytes(len(content)):
            return
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

_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x07"
_END_SIZE = 22
_END_REACH = _END_SIZE + 65_535
_LOCATOR_SIZE = 20


def _zip_entries(stream: BinaryIO, place: Place) -> Iterator[_Entry]:
    _check_directory(stream)
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            name = place(_zip_name(info))
            if name is not None:
                yield _zip_entry(archive, info, name)


def _check_directory(stream: BinaryIO) -> None:
    """Refuse a zip whose list of members is huge, before `zipfile` reads it."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - _END_REACH))
    tail = stream.read(_END_REACH)
    stream.seek(0)
    if tail[-_END_SIZE:].startswith(_END) and tail.endswith(b"\0\0"):
        # As `zipfile` does: a record without a comment at the very end is the one. What looks like another one
        # before it is a member's content, and one student's file must not spoil the download of a class.
        tail = tail[-_END_SIZE - _LOCATOR_SIZE :]
        ends, locator = [len(tail) - _END_SIZE], tail[:-_END_SIZE]
    else:
        ends, locator = [match.start() for match in re.finditer(re.escape(_END), tail)], tail
    if _END_64 in locator:
        raise _Damaged("the archive is a zip of the kind for more than 4 GiB. Pack it again with fewer files.")
    for end in ends:
        if len(tail) - end >= _END_SIZE and struct.unpack_from("<L", tail, end + 12)[0] > _MAX_DIRECTORY:
            raise _Damaged("the archive has too many files. Hand in only what the exercises ask for.")


def _zip_name(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/")  # so does PowerShell 5 separate folders


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
            return _up_to(member, info.file_size)

    return _Entry(name, "folder" if name.endswith("/") else _kind(mode), mode, info.file_size, read)


def _kind(mode: int) -> str:
    match stat.S_IFMT(mode):
        case 0 | stat.S_IFREG:
            return "file"
        case stat.S_IFDIR:
            return "folder"
        case stat.S_IFLNK:
            return "a link"
        case _:
            return "no ordinary file"


def _up_to(stream: IO[bytes] | gzip.GzipFile, limit: int) -> bytes:
    chunks: list[bytes] = []
    while limit > 0 and (chunk := stream.read(min(_CHUNK, limit))):
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)


# ── tar ─────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _TarBytes:
    """The bytes of a tar, packed or not, which end after so many."""

    stream: IO[bytes] | gzip.GzipFile
    left: int

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes."""
        self.left -= size
        if self.left < 0:
            raise _Damaged("the archive holds too much. Hand in only what the exercises ask for.")
        data = _up_to(self.stream, size)
        if len(data) < size:
            raise _Damaged("the archive is cut off. Pack it again.")
        return data

    def skip(self, size: int) -> None:
        """Pass over the next `size` bytes."""
        while size > 0:
            self.exactly(min(size, _CHUNK))
            size -= _CHUNK

    def extension(self, size: int, limit: int) -> bytes:
        """What a header holds that belongs to the member after it."""
        if size > limit:
            raise _Damaged("the archive has a header that is far too long. Pack it again.")
        data = self.exactly(size)
        self.skip(-size % _BLOCK)
        return data


def _tar_entries(stream: BinaryIO, budget: Budget) -> Iterator[_Entry]:
    packed = stream.read(2) == b"\x1f\x8b"  # whatever it is called
    stream.seek(0)
    limit = budget.bytes_left() + 4 * _BLOCK * (budget.max_files + 1) + _MAX_PAX
    tar = _TarBytes(gzip.GzipFile(fileobj=stream) if packed else stream, limit)
    extensions: dict[bytes, bytes] = {}
    while (block := tar.exactly(_BLOCK)) != bytes(_BLOCK):
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if header.size < 0:
            raise _Damaged("the archive is damaged: a file in it is smaller than nothing. Pack it again.")
        match header.type:
            case tarfile.GNUTYPE_LONGNAME:
                extensions[b"path"] = tar.extension(header.size, _MAX_LONG_NAME).rstrip(b"\0")
            case tarfile.GNUTYPE_LONGLINK:
                tar.extension(header.size, _MAX_LONG_NAME)
            case tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE:
                extensions.update(_pax_records(tar.extension(header.size, _MAX_PAX)))
            case tarfile.XGLTYPE:
                tar.extension(header.size, _MAX_PAX)
            case _:
                yield from _tar_entry(tar, header, extensions)
                extensions = {}


def _pax_records(records: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The records, each `LENGTH KEY=VALUE` and a newline, all of which LENGTH counts."""
    while records.rstrip(b"\0"):
        match = re.match(rb"(\d{1,6}) ([^=]{1,200})=", records)
        length = int(match[1]) if match else 0
        if match is None or not match.end() < length <= len(records):
            raise _Damaged("the archive is damaged: a header in it cannot be read. Pack it again.")
        yield match[2], records[match.end() : length - 1]
        records = records[length:]


_TAR_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "a link",
    tarfile.LNKTYPE: "a link",
    tarfile.GNUTYPE_SPARSE: "a file with holes",
}


def _tar_entry(tar: _TarBytes, header: tarfile.TarInfo, extensions: Mapping[bytes, bytes]) -> Iterator[_Entry]:
    """The member, while its content comes next in the stream; then what is left of that is passed over."""
    kind = _TAR_KINDS.get(header.type, "no ordinary file")
    if any(key.startswith(b"GNU.sparse") for key in extensions):
        kind = "a file with holes"
    name = extensions.get(b"path", b"").decode("utf-8", "surrogateescape") or header.name
    size = header.size
    if written := extensions.get(b"size"):
        size = int(written) if re.fullmatch(rb"[0-9]{1,15}", written) else 0
    left = size = 0 if kind in {"a link", "folder"} else size

    def read() -> bytes:
        nonlocal left
        count, left = left, 0
        return tar.exactly(count)

    yield _Entry(name, "folder" if kind == "file" and name.endswith("/") else kind, header.mode, left, read)
    tar.skip(left + -size % _BLOCK)
