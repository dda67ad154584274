"""What a client says in a session, in answer to what BuildKit asks of it; each message is written anew, or refused.

In a session the engine makes the calls: https://github.com/moby/buildkit/tree/v0.13.1/session. Of those that clients
serve, a build in a private engine needs three: whether the client is there, the files of a folder
(https://github.com/tonistiigi/fsutil/blob/master/types/wire.proto), and a context that comes as a tar. It is asked for
no credentials, secrets, keys for ssh or places for results: to the engine, clients here have no such service.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from grader.sandbox.proxy.messages import Shape, decoded, encoded, integer, message, raw, skipped, string
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.shape import Check, ignored, number, record, text, unset
from grader.sandbox.proxy.strictjson import Json

_FILES = 20_000
"""Files and folders that one call may bring; as many as a script's own folder may have."""
_NAMES = 4 * 1024 * 1024
"""Characters of all their names together, which are kept as long as the call lasts."""
_COST = 256
"""Bytes that a message counts more than it has: short ones take time too. A small file takes three."""
_STAT, _DATA, _FIN, _ERR = 0, 2, 3, 4
_LINK, _FOLDER = 1 << 27, 1 << 31
_RIGHTS = 0o777 | 1 << 20 | 1 << 22 | 1 << 23
"""Who may read, write and execute; sticky; as the group, as the user. All as in Go's `fs.FileMode`."""
_UINT32 = 2**32 - 1

Rewrite = Callable[[bytes], bytes]
"""Takes the messages of one call in their order, and returns what is sent on. Raises `Refusal`."""


@dataclass(slots=True)
class Reply:
    """What a client answers to one call. `left` is how many bytes it may still have.

    `last` makes the message by which the engine hears why there are no more, where there is one for that.
    """

    rewrite: Rewrite
    limit: int
    left: int
    last: Callable[[str], bytes] | None

    def message(self, data: bytes) -> bytes:
        """The next message as it goes on. Raises `Refusal`."""
        self.left -= len(data) + _COST
        if self.left < 0:
            raise Refusal(_too_much(self.limit))
        return self.rewrite(data)


def reply(method: str, limit: int) -> Reply | None:
    """What is to be made of the answers to a call, of at most `limit` bytes; None if clients are not asked for that."""
    return Reply(METHODS[method](limit), limit, limit, _LAST.get(method)) if method in METHODS else None


def _too_much(limit: int) -> str:
    return (
        f"what a build takes from here may have at most {limit // 2**20} MiB and {_FILES} files. Name what it does not "
        "need in .dockerignore"
    )


# ── single messages ─────────────────────────────────────────────────────────────────────


def _as_it_is(value: Json, where: str) -> Json:  # noqa: ARG001 - a check has this signature
    return value


def _plain(shape: Shape, check: Check) -> Callable[[int], Rewrite]:
    """Messages of this shape, none of which depends on another one."""

    def rewrite(data: bytes) -> bytes:
        return encoded(shape, cast("dict[str, Json]", check(decoded(shape, data), "")))

    return lambda _limit: rewrite


# ── files ───────────────────────────────────────────────────────────────────────────────


def _path(value: Json, where: str) -> Json:
    """A path below the folder, in its only form."""
    parts = str(_NAME(value, where)).split("/")
    if {"", ".", ".."} & {*parts}:
        raise Refusal(f"{where} is not a path inside the folder that is built: {value!a}")
    return value


def _said(value: Json, where: str) -> Json:  # noqa: ARG001 - a check has this signature
    """What went wrong at the client; it is printed."""
    return re.sub(r"[\x00-\x1f\x7f]", " ", str(value)[:4096])


_NAME: Check = text(r"[^\x00-\x1f\x7f]{0,4096}", says="has a control character, or is too long")
_UNUSED: Check = unset("a build takes no devices")
_FILE_SHAPE: Shape = {
    1: ("path", string),
    2: ("mode", integer),
    3: ("uid", integer),
    4: ("gid", integer),
    5: ("size", integer),
    6: ("modTime", integer),
    7: ("linkname", string),
    8: ("devmajor", integer),
    9: ("devminor", integer),
    10: ("xattrs", skipped),
}
_PACKET: Shape = {1: ("type", integer), 2: ("stat", message(_FILE_SHAPE)), 3: ("ID", integer), 4: ("data", raw)}
_TYPE: Check = number(_STAT, _ERR)
_OWNER: Check = ignored(number(0, _UINT32))  # to a Dockerfile, all of a context is root's; so say the clients
_FILE: Check = record(
    {
        "path": _path,
        "mode": number(0, _UINT32),
        "uid": _OWNER,
        "gid": _OWNER,
        "size": number(0),
        "modTime": number(-(2**63)),
        "linkname": _NAME,
        "devmajor": _UNUSED,
        "devminor": _UNUSED,
    },
    needed=("path",),
)
_PACKETS: Mapping[int, Check] = {
    _STAT: record({"type": _TYPE, "stat": _FILE}),
    _DATA: record({"type": _TYPE, "ID": number(0, _UINT32), "data": _as_it_is}),
    _FIN: record({"type": _TYPE}),
    _ERR: record({"type": _TYPE, "data": _said}),
}


class _Folder:
    """The files of one folder, of at most `limit` bytes: first what there is, then the content that is asked for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kinds = {"": _FOLDER}  # of what is listed, by its path
        self._numbered: list[int] = []  # the same in the order of the list, by which content is asked for
        self._names = self._size = 0
        self._listed = False

    def rewrite(self, data: bytes) -> bytes:
        """The next packet as it goes on. Raises `Refusal`."""
        packet = decoded(_PACKET, data)
        kind = packet.get("type", _STAT)
        if not isinstance(kind, int) or kind not in _PACKETS:
            raise Refusal(f"in a session, files are sent by packets of type 0, 2, 3 or 4, not {kind}")
        checked = cast("dict[str, Json]", _PACKETS[kind](packet, ""))
        if kind == _STAT:
            self._list(cast("dict[str, Json] | None", checked.get("stat")))
        if kind == _DATA and self._numbered[(at := cast("int", checked.get("ID", 0))) : at + 1] != [0]:
            raise Refusal("there is no file of this number")
        return encoded(_PACKET, checked)

    def _list(self, stat: dict[str, Json] | None) -> None:
        """One more file, or the end of the list."""
        if self._listed:
            raise Refusal("the list of files goes on behind its end")
        if stat is None:
            self._listed = True
            return
        path, mode, link = str(stat["path"]), cast("int", stat.get("mode", 0)), str(stat.get("linkname", ""))
        self._names += len(path) + len(link)
        self._size += cast("int", stat.get("size", 0))
        if len(self._numbered) >= _FILES or self._names > _NAMES or self._size > self._limit:
            raise Refusal(_too_much(self._limit))
        self._place(path, mode, link)

    def _place(self, path: str, mode: int, link: str) -> None:
        """Where a file stands: in a folder of the list, once. A second name of a file has that file in the list."""
        kind = mode & ~_RIGHTS
        if kind not in {0, _LINK, _FOLDER}:
            raise Refusal(f"{path[:120]!a} is no file, folder or link: a build takes no devices, pipes or sockets")
        if path in self._kinds or self._kinds.get(path.rpartition("/")[0]) != _FOLDER:
            raise Refusal(f"{path[:120]!a} is there twice, or in no folder that is built")
        if link and (kind == _FOLDER or (kind == 0 and self._kinds.get(link) != 0)):
            raise Refusal(f"{path[:120]!a} is another name of something that is not built: {link[:120]!a}")
        self._kinds[path] = kind
        self._numbered.append(kind)


def _error(reason: str) -> bytes:
    return encoded(_PACKET, {"type": _ERR, "data": reason.encode().decode("latin-1")})


# ── the calls ───────────────────────────────────────────────────────────────────────────

_FILE_SYNC = "/moby.filesync.v1.FileSync/DiffCopy"
METHODS: Mapping[str, Callable[[int], Rewrite]] = {
    "/grpc.health.v1.Health/Check": _plain({1: ("status", integer)}, record({"status": number(0, 3)})),
    _FILE_SYNC: lambda limit: _Folder(limit).rewrite,
    # A tar as `docker build -` takes it: BuildKit unpacks it in a container, like the classic builder's.
    "/moby.upload.v1.Upload/Pull": _plain({1: ("data", raw)}, record({"data": _as_it_is})),
}
"""Every call that clients are asked to answer."""
_LAST: Mapping[str, Callable[[str], bytes]] = {_FILE_SYNC: _error}
"""BuildKit 0.13 often tells a build that its files were `canceled`, and no more, if their call ends with a status."""
