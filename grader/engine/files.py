"""Files put into a container before it starts, and read out of it after its end: by the engine's archive calls alone.

What a container wrote is read defensively: regular files only, no link followed, each at most `FILE_LIMIT` bytes, at
most `FILES_LIMIT` of them, and none of it needs to be text.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import itertools
import json
import posixpath
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from grader.engine.http import Connection, Parameters, Refused
from grader.engine.tar import write_tar
from grader.engine.wording import is_blocked_path
from grader.models import FolderMount, MemoryFile

FILE_LIMIT = 1024 * 1024
"""Bytes that are read of one file."""
FILES_LIMIT = 200
"""Files that are read of one folder."""
FOLDER_LIMIT = 16 * 1024 * 1024
"""Bytes of the engine's tar of a folder that are read at all."""
_SILENCE = 30.0
"""Seconds without an answer after which the engine counts as hanging."""


def files_tar(files: Sequence[MemoryFile], folders: Sequence[FolderMount], modified: int) -> bytes:
    """A tar to be unpacked at /: folders with what is in them, then files with absolute paths. Pure.

    `modified`, in seconds of Unix time, is when all of it was last written: to a log that turns over at midnight, a
    file without a time would be one of 1970. Everything belongs to root, as with `docker cp`, but folders and what is
    in them may be written by whatever user the image runs as: on a student's machine they belong to the student.

    The engine makes missing folders, follows links to folders as the container would (it unpacks inside the
    container's root), and puts a file in the place of a link.
    """
    entries: list[MemoryFile] = []
    for folder in folders:
        entries.append(MemoryFile(f"{folder.path}/", b"", 0o777))
        entries += [MemoryFile(posixpath.join(folder.path, file.path), file.content, 0o666) for file in folder.files]
    return write_tar([*entries, *files], modified=modified)


def put_in(connection: Connection, container: str, archive: bytes, path: str = "/") -> None:
    """Unpack a tar in a container. `Refused` where that cannot be done."""
    connection.call("PUT", f"/containers/{container}/archive", parameters={"path": path}, data=archive)


def has_path(connection: Connection, container: str, path: str) -> bool:
    """Whether the container's file system has something at `path`, and no links in a circle or file on the way."""
    archive, parameters = f"/containers/{container}/archive", {"path": path}
    try:
        connection.call("HEAD", archive, parameters=parameters)
    except Refused as refused:
        if refused.gone:
            return False
    else:
        return True
    try:  # the answer to HEAD has no words, so the engine is asked again in a way that has
        connection.stream("GET", archive, parameters=parameters, silence=_SILENCE).close()
    except Refused as refused:
        if not is_blocked_path(refused.reason):
            raise
        return False
    return True


def read_folder(connection: Connection, container: str, folder: FolderMount) -> FolderMount:
    """The folder with what is in it now, of at most `FOLDER_LIMIT` bytes."""
    return files_of(folder, read_tar(connection, container, folder.path, FOLDER_LIMIT))


def read_tar(connection: Connection, container: str, path: str, limit: int) -> bytes:
    """The first `limit` bytes of the engine's tar of what is at `path`. `Refused` where nothing is."""
    stream = connection.stream("GET", f"/containers/{container}/archive", parameters={"path": path}, silence=_SILENCE)
    read = bytearray()
    with contextlib.closing(stream):
        for piece in stream:
            read += piece
            if len(read) > limit:
                break
    return bytes(read[:limit])


def files_of(folder: FolderMount, archive: bytes) -> FolderMount:
    """The folder with the files that the engine's tar of it holds; a tar that was cut gives what it has. Pure."""
    files = itertools.islice(_regular_files(archive), FILES_LIMIT)
    return FolderMount(folder.path, tuple(sorted(files, key=lambda file: file.path)))


def _regular_files(archive: bytes) -> Iterator[MemoryFile]:
    with (
        contextlib.suppress(tarfile.TarError, EOFError, OSError, ValueError),
        tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened,
    ):
        for member in opened:
            _, _, path = member.name.partition("/")  # the engine's tar begins with the folder's own name
            content = opened.extractfile(member) if member.isreg() else None
            if content and path and ".." not in path.split("/"):
                yield MemoryFile(path, content.read(FILE_LIMIT), member.mode & 0o777)


class MountedFiles:
    """Files that runs find mounted read-only, as with `docker run -v FILE:PATH:ro`. Thread-safe.

    They stand in one volume, each content once; the way into it is a container that is never started, of an empty
    image. An engine that mounts parts of volumes (API 1.45) does so; an older one binds the file from where the volume
    is on the engine's own machine. All of it is made with the first file, and goes with the labels that it carries.
    """

    def __init__(self, connection: Connection, repository: str, labels: Mapping[str, dict[str, str]]) -> None:
        """`repository` names the image, and its last part the volume; `labels` are those of an object, by its kind."""
        self._connection = connection
        self._repository = repository
        self._volume = repository.rpartition("/")[2]
        self._labels = labels
        self._lock = threading.Lock()
        self._present: set[str] = set()
        self._holder = ""
        self._place = ""

    def mounts(self, files: Sequence[MemoryFile]) -> tuple[dict[str, Any], ...]:
        """Put in what is not there yet; the mount of each file, for a container's creation. `EngineError`."""
        named = [replace(file, path=hashlib.sha256(b"%o:%b" % (file.mode, file.content)).hexdigest()) for file in files]
        with self._lock:
            if named and not (self._holder and has_path(self._connection, self._holder, _HELD_AT)):
                self._open()
            if new := {file.path: file for file in named if file.path not in self._present}:
                put_in(self._connection, self._holder, write_tar(new.values(), modified=int(time.time())), _HELD_AT)
                self._present |= new.keys()
        return tuple(self._mount(held.path, file.path) for held, file in zip(named, files, strict=True))

    def _mount(self, name: str, path: str) -> dict[str, Any]:
        mount = {"Target": path, "ReadOnly": True}
        if self._connection.api >= _MOUNTS_PARTS:
            options = {"NoCopy": True, "Subpath": name}
            return {"Type": "volume", "Source": self._volume, "VolumeOptions": options, **mount}
        return {"Type": "bind", "Source": f"{self._place}/{name}", **mount}

    def _open(self) -> None:
        """Make the volume and the way into it, also where somebody has removed them."""
        self._present.clear()
        image: Parameters = {
            "fromSrc": "-",
            "repo": self._repository,
            "tag": "1",
            "changes": [f"LABEL {name}={json.dumps(value)}" for name, value in self._labels["image"].items()],
        }
        self._connection.call("POST", "/images/create", parameters=image, data=write_tar((), modified=0))
        body = {"Name": self._volume, "Labels": self._labels["volume"]}
        self._place = str(self._connection.call("POST", "/volumes/create", json=body).json["Mountpoint"])
        holder = {
            "Image": f"{self._repository}:1",
            "Cmd": ["-"],
            "Labels": self._labels["container"],
            "NetworkDisabled": True,
            "HostConfig": {"Mounts": [{"Type": "volume", "Source": self._volume, "Target": _HELD_AT}]},
        }
        self._holder = str(self._connection.call("POST", "/containers/create", json=holder).json["Id"])


_HELD_AT = "/files"
_MOUNTS_PARTS = (1, 45)
"""The version of the API from which on parts of a volume can be mounted (Docker 26)."""


# ── the files in which the engine looks up users ────────────────────────────────────────
# It opens them itself, before it starts a container, as it would any file (moby, `getUser`). At a pipe it waits for
# ever, with the container locked: the start is never answered, and such a container cannot even be removed. Engine
# 20.10 opens them also for an archive of files (Go's `tar.FileInfoHeader`). So they are looked at first, by the one
# request that opens nothing.

_LINK = 1 << 27
_NO_FILE = 1 << 31 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19
"""The bits of Go's `fs.FileMode` for a folder, a device, a pipe, a socket, a character device, and what is unknown."""


def unreadable_users(connection: Connection, container: str) -> str:
    """Why the engine could not read a container's users: a sentence, "" where it can.

    A file that is missing is none to wait for. What cannot be looked at is left to the engine, which says why.
    """
    for path in ("/etc/passwd", "/etc/group"):
        mode, target = _stat(connection, container, path)
        if mode & _LINK:  # the target is where all links have led to
            mode, _ = _stat(connection, container, target)
        if mode & _NO_FILE:
            return f"{path} is no ordinary file, so the engine cannot look up the user who runs the command."
    return ""


def _stat(connection: Connection, container: str, path: str) -> tuple[int, str]:
    """Mode and, of a link, target of what is at `path`; 0 and "" if nothing is known of it.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerArchiveInfo
    """
    try:
        header = connection.call("HEAD", f"/containers/{container}/archive", parameters={"path": path}).path_stat
        stat = json.loads(base64.b64decode(header))
        return int(stat["mode"]), str(stat["linkTarget"])
    except (Refused, ValueError, KeyError, TypeError):
        return 0, ""
