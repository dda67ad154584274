"""Files at a path where an image declares a VOLUME: the engine has a volume there already, so none can be put in.

`docker run -v FILE:PATH` mounts the file in the volume's place. That takes a file of the engine's machine, and the
only place there that we can fill over the API is a volume of our own.
"""

from __future__ import annotations

import contextlib
import io
import posixpath
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from grader.engine.http import Connection, Refused
from grader.errors import EngineError
from grader.models import MemoryFile

_FOLDER = "/grader-files"


def in_volumes(files: Iterable[MemoryFile], volumes: Iterable[str]) -> tuple[MemoryFile, ...]:
    """Those of the files whose very path is one of an image's volumes. One below a volume can be put in as it is."""
    declared = {posixpath.normpath(path) for path in volumes}
    return tuple(file for file in files if file.path in declared)


def bind_files(
    connection: Connection, files: Sequence[MemoryFile], container: Mapping[str, Any], name: str, labels: dict[str, str]
) -> tuple[tuple[str, str], ...]:
    """Put the files into a new volume; for each its path in the container and where it is on the engine's machine.

    `container` is the body of a container's creation, of which one is made, not started, and removed again;
    `name` the name of the run. `EngineError` if the engine does not do it.
    """
    volume = connection.call("POST", "/volumes/create", json={"Name": _volume(name), "Labels": labels}).json
    try:
        _fill(connection, files, container, name)
    except BaseException:
        with contextlib.suppress(EngineError):  # what went wrong first is what is told
            unbind_files(connection, name)
        raise
    return tuple((file.path, f"{volume['Mountpoint']}/{index}") for index, file in enumerate(files))


def _fill(connection: Connection, files: Sequence[MemoryFile], container: Mapping[str, Any], name: str) -> None:
    host = container["HostConfig"]
    mount = {"Type": "volume", "Source": _volume(name), "Target": _FOLDER, "VolumeOptions": {"NoCopy": True}}
    body = {**container, "HostConfig": {**host, "Mounts": [*host["Mounts"], mount]}}
    holder = connection.call("POST", "/containers/create", parameters={"name": f"{name}-files"}, json=body).json["Id"]
    try:
        into = {"path": _FOLDER}
        connection.call("PUT", f"/containers/{holder}/archive", parameters=into, data=_archive(files))
    finally:
        connection.call("DELETE", f"/containers/{holder}", parameters={"v": 1, "force": 1})


def _archive(files: Sequence[MemoryFile]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for index, file in enumerate(files):
            entry = tarfile.TarInfo(str(index))
            entry.size, entry.mode = len(file.content), file.mode
            archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def binding(path: str, source: str) -> dict[str, Any]:
    """The mount of one such file, read-only."""
    return {"Type": "bind", "Source": source, "Target": path, "ReadOnly": True}


def unbind_files(connection: Connection, name: str) -> None:
    """Remove a run's volume with files; nothing happens if it is gone."""
    try:
        connection.call("DELETE", f"/volumes/{_volume(name)}", parameters={"force": 1})
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise


_NOT_FOUND = 404


def _volume(name: str) -> str:
    return f"{name}-files"
