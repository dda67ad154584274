"""Folders of the submission's work in containers.

A bind mount names a path, and the engine goes there when the container *starts*. By then a script may have put a link
in its place that leads anywhere in the engine's own file system, so looking at the path beforehand proves nothing.
Instead, the work folder is made a volume, and a bind mount below it becomes a mount of that volume with `Subpath`
(API 1.45), which the engine resolves at the start, safely: a link that leads out of the volume is an error then.
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from grader.sandbox.proxy.container import NAME, TARGET
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.strictjson import Json

RESERVED = "grader-work-"
"""Names of volumes that begin like this are ours."""
_MODES = frozenset({"", "ro", "rw", "z", "Z", "nocopy", "rprivate", "cached", "delegated", "consistent"})
_PARTS = 3


@dataclass(frozen=True, slots=True)
class Placed:
    """A container's settings with its mounts in their final form.

    `work_is_used` says that the volume of the work folder has to be there, `folders` which folders below the work
    folder the engine would have made for bind mounts of paths that do not exist.
    """

    settings: dict[str, Json]
    work_is_used: bool = False
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Bind:
    source: str
    target: str
    read_only: bool
    is_made: bool


def work_volume(work: PurePosixPath) -> dict[str, Any]:
    """The body of `POST /volumes/create` for the work folder. Asking again for the same one changes nothing."""
    name = RESERVED + hashlib.sha256(str(work).encode()).hexdigest()[:12]
    return {"Name": name, "Driver": "local", "DriverOpts": {"type": "none", "o": "bind", "device": str(work)}}


def place(settings: dict[str, Json], work: PurePosixPath) -> Placed:
    """Put mounts of the work's volume in the place of bind mounts. Raises `Refusal` for folders outside the work."""
    host = cast("dict[str, Any]", settings.get("HostConfig") or {})
    volumes, binds = _split(cast("list[str]", host.get("Binds") or []))
    mounts: list[dict[str, Any]] = []
    for mount in host.get("Mounts") or []:
        if mount["Type"] == "bind":
            binds.append(_bind_of(mount))
        else:
            mounts.append(_checked(mount))
    below = [(bind, _below(bind.source, work)) for bind in binds]
    mounts += [_of_work(bind, path, work) for bind, path in below]
    own = {"Binds": volumes, "Mounts": mounts}
    changed = {name: value for name, value in host.items() if name not in own} | {
        name: value for name, value in own.items() if value
    }
    folders = tuple(path for bind, path in below if bind.is_made and path != ".")
    return Placed({**settings, "HostConfig": cast("Json", changed)}, bool(below), folders)


def _split(binds: list[str]) -> tuple[list[str], list[_Bind]]:
    """Named volumes as they were, and folders. Both come as `source:target:options`."""
    volumes, folders = [], []
    for bind in binds:
        source, target, options = _parts(bind)
        TARGET(target, f"the target of the mount {bind!r}")
        if source.startswith("/"):
            folders.append(_Bind(source, target, "ro" in options, is_made=True))
        else:
            _check_volume(source)
            volumes.append(bind)
    return volumes, folders


def _parts(bind: str) -> tuple[str, str, set[str]]:
    parts = bind.split(":")
    if not 1 < len(parts) <= _PARTS or not parts[0]:
        raise Refusal(f"the mount {bind!r} is not of the form source:target or source:target:options")
    options = {*parts[2].split(",")} if len(parts) == _PARTS else set()
    if unknown := options - _MODES:
        raise Refusal(f"the mount {bind!r} has the option {min(unknown)!r}, which is not available here")
    return parts[0], parts[1], options


def _check_volume(name: str) -> None:
    NAME(name, "the name of a volume")
    if name.startswith(RESERVED):
        raise Refusal(f"names of volumes that begin with {RESERVED} are taken; give the volume another name")


def _checked(mount: dict[str, Any]) -> dict[str, Any]:
    if mount["Type"] == "volume" and mount.get("Source"):
        _check_volume(mount["Source"])
    if mount["Type"] == "tmpfs" and mount.get("Source"):
        raise Refusal("a tmpfs mount has no source")
    return {name: value for name, value in mount.items() if name != "BindOptions"}


def _bind_of(mount: dict[str, Any]) -> _Bind:
    options = mount.get("BindOptions") or {}
    return _Bind(
        mount.get("Source") or "",
        mount["Target"],
        bool(mount.get("ReadOnly")),
        bool(options.get("CreateMountpoint")),
    )


def _below(source: str, work: PurePosixPath) -> str:
    """The path relative to the work folder, "." for the folder itself. Links are the engine's business."""
    if not source.startswith("/") or any(ord(character) < ord(" ") for character in source):
        raise Refusal(f"the source of a bind mount is an absolute path, not {source!r}")
    path = PurePosixPath(posixpath.normpath("/" + source.lstrip("/")))
    if not path.is_relative_to(work):
        raise Refusal(
            f"{source!r} cannot be mounted: containers of an exercise see only folders of the submission. "
            'Use a path below the current folder (`-v "$PWD/data:/data"`), or a named volume (`-v data:/data`)'
        )
    return str(path.relative_to(work))


def _of_work(bind: _Bind, path: str, work: PurePosixPath) -> dict[str, Any]:
    options: dict[str, Any] = {"NoCopy": True} | ({} if path == "." else {"Subpath": path})
    return {
        "Type": "volume",
        "Source": work_volume(work)["Name"],
        "Target": bind.target,
        "ReadOnly": bind.read_only,
        "VolumeOptions": options,
    }
