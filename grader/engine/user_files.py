"""The files of an image in which the engine looks up users, before it starts a container.

It opens them itself, as it would any file (moby, `getUser`). At a pipe it waits for ever, with the container locked:
the start is never answered, and such a container cannot even be removed. Engine 20.10 opens them also for an archive of
files (Go's `tar.FileInfoHeader`). So they are looked at first, by the one request that opens nothing.
"""

from __future__ import annotations

import base64
import json

from grader.engine.http import Connection, Refused

_FILES = ("/etc/passwd", "/etc/group")
_LINK = 1 << 27
_NO_FILE = 1 << 31 | 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19
"""The bits of Go's `fs.FileMode` for a folder, a device, a pipe, a socket, a character device, and what is unknown."""


def not_a_file(connection: Connection, container: str) -> str:
    """Why the engine could not read a container's users: a sentence, "" where it can.

    A file that is missing is none to wait for. What cannot be looked at is left to the engine, which says why.
    """
    for path in _FILES:
        mode, target = _stat(connection, container, path)
        if mode & _LINK:  # the target is where all links have led to
            mode, _ = _stat(connection, container, target)
        if mode & _NO_FILE:
            return f"{path} is no ordinary file, so the engine cannot look up the user who runs the command."
    return ""


def _stat(connection: Connection, container: str, path: str) -> tuple[int, str]:
    """Mode and, of a link, target of what is at `path`; 0 and "" if nothing can be told of it.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerArchiveInfo
    """
    try:
        told = connection.call("HEAD", f"/containers/{container}/archive", parameters={"path": path}).path_stat
        stat = json.loads(base64.b64decode(told))
        return int(stat["mode"]), str(stat["linkTarget"])
    except (Refused, ValueError, KeyError, TypeError):
        return 0, ""
