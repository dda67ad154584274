"""The requests that are passed on, each written anew from what is known; everything else is refused. Pure.

They go on as API 1.45, that of Docker 26.1, so a newer engine has no fields or endpoints that these rules do not know.

A bind mount names a path, and the engine goes there when the container *starts*. By then a script may have put a link
there that leads anywhere in the engine's own file system, so looking at the path beforehand proves nothing. Instead, a
bind mount below the workspace becomes a mount of a volume that is the workspace, with `Subpath`, which the engine
resolves at the start, safely: a link that leads out of the volume is an error then.
"""

from __future__ import annotations

import posixpath
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

from grader.dockerfile.image_names import normalised
from grader.sandbox.proxy import endpoints
from grader.sandbox.proxy.endpoints import RESERVED, TARGET, VOLUME_NAME, WHY, Endpoint
from grader.sandbox.proxy.http import Request
from grader.sandbox.proxy.interface import ProxySettings
from grader.sandbox.proxy.shape import Refusal, read, rebuilt, written

Query = tuple[tuple[str, str], ...]
Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that is in order, as it goes on.

    `makes` is what it counts for, by the quotas' names, `entry` what the record says of it besides. `folders` are
    folders of the workspace that Docker would make for bind mounts; it is None where nothing of the workspace is
    mounted.
    """

    endpoint: Endpoint
    request: Request
    body: bytes = b""
    makes: Mapping[str, int] = field(default_factory=dict)
    entry: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[str, ...] | None = None


_VERSION = re.compile(r"^/v(\d{1,3})\.(\d{1,3})(?=/)")


def without_version(path: str) -> str:
    """The path without the API's version before it."""
    return _VERSION.sub("", path)


def endpoint_of(request: Request) -> Endpoint:
    """Find the endpoint by the head of a request. Raises `Refusal`, which says why for those known."""
    version = _VERSION.match(request.path)
    if version and not (1, 24) <= (int(version[1]), int(version[2])) <= (1, 45):
        raise Refusal(f"the API version of {request.path[:40]} is not between 1.24 and 1.45, which this engine has")
    asked = f"{request.method} {without_version(request.path)}"
    endpoint = next((one for one in endpoints.ENDPOINTS if re.fullmatch(one.pattern, asked)), None)
    if endpoint is None:
        reason = next((reason for pattern, reason in endpoints.REASONS if re.fullmatch(pattern, asked)), None)
        raise Refusal(reason or f"{asked[:120]} is not available in this engine")
    if request.upgrade not in endpoint.upgrades:
        way = f"for {request.upgrade[:20]}" if request.upgrade else "without `Upgrade`"
        raise Refusal(f"{asked[:120]} is not available {way}")
    tar, json, other = {"application/x-tar"}, {"application/json"}, {"", "text/plain"}
    known = tar if endpoint.name == "build" else json if endpoint.body else json | other
    if request.content_type not in known:
        raise Refusal(f"the body of this request cannot be of the type {request.content_type[:80] or '(none given)'}")
    tuple(_parameters(endpoint, request.query))  # what is wrong with them is said before a body is read
    return endpoint


def _parameters(endpoint: Endpoint, query: Query) -> Iterator[tuple[str, str]]:
    known = endpoints.BUILD if endpoint.name == "build" else endpoints.PARAMETERS
    names = [name for name, _ in query]
    for name, value in query:
        if names.count(name) > 1 and name not in endpoints.REPEATED:
            raise Refusal(f"{name} may be there once in the query of a request")
        if name in known:
            yield name, str(rebuilt(known[name], value, name))
        elif value not in {"", "0", "false"}:
            why = f": {WHY[name]}" if name in WHY else ""
            raise Refusal(f"{name[:60]}={value[:60]} is not available here{why}")


def plan(endpoint: Endpoint, request: Request, body: bytes, settings: ProxySettings, began: float) -> Plan:
    """The request as it goes on, but for a build's context. Raises `Refusal` for what is not known and allowed.

    The engine's news from before `began`, in seconds since 1970, are other people's.
    """
    query = _of_this_script(endpoint.name, tuple(_parameters(endpoint, request.query)), began)
    content_type = "application/json" if endpoint.body else ""
    path = f"/v1.45{without_version(request.path)}"
    onward = Request(request.method, path, query, content_type, request.upgrade)
    makes = {endpoint.makes: 1} if endpoint.makes else {}
    if endpoint.name == "build":
        makes["images"] = max(1, sum(name == "t" for name, _ in query))
    if endpoint.body is None:
        return Plan(endpoint, onward, makes=makes)
    value = cast("Settings", rebuilt(endpoint.body, read(body), ""))
    if endpoint.name == "exec start" and bool(value.get("Detach")) == bool(request.upgrade):
        raise Refusal("an exec that is not detached hijacks its connection (`Upgrade: tcp`), and no other does")
    if endpoint.name != "container create":
        return Plan(endpoint, onward, written(value), makes)
    host, folders = _with_mounts(_with_cores(value.get("HostConfig") or {}, settings.cpus), settings.workspace)
    mounts = host.get("Mounts") or ()
    makes["volumes"] = sum(mount["Type"] == "volume" for mount in mounts) + len(value.get("Volumes") or ())
    entry = {"image": value["Image"], "command": value.get("Cmd"), "entrypoint": value.get("Entrypoint")}
    return Plan(endpoint, onward, written({**value, "HostConfig": host}), makes, entry, folders)


def _of_this_script(endpoint: str, query: Query, began: float) -> Query:
    """The query, so that it asks for nothing of scripts that used the engine before.

    An engine is used again after everything in it was removed. Its events of the last while stay, and so does the
    builder's cache, which calls a step by its command: the commands of other people's containers and Dockerfiles.
    """
    if endpoint == "disk usage":
        every = ("container", "image", "volume")
        asked = tuple(value for name, value in query if name == "type" and value in every)
        return tuple(("type", value) for value in asked or every)
    if endpoint == "events":
        since = max(float(dict(query).get("since") or 0), began)
        return (("since", f"{since:.9f}"), *((name, value) for name, value in query if name != "since"))
    return query


# ── containers ──────────────────────────────────────────────────────────────────────────


def _with_cores(host: Settings, cpus: float) -> Settings:
    """A container's `HostConfig` with at most so many cores (0: no bound).

    With more than its engine has, it would not start where control groups are of version 1.
    """
    period = host.get("CpuPeriod") or 100_000  # microseconds
    most = {"NanoCpus": int(cpus * 1e9), "CpuQuota": int(cpus * period)}
    return host | {name: least for name, least in most.items() if cpus and (host.get(name) or 0) > least}


def workspace_volume(workspace: str) -> Settings:
    """The body of `POST /volumes/create` for the workspace. Asking again changes nothing."""
    return {"Name": RESERVED, "Driver": "local", "DriverOpts": {"type": "none", "o": "bind", "device": workspace}}


def _with_mounts(host: Settings, workspace: str) -> tuple[Settings, tuple[str, ...] | None]:
    """Put mounts of the workspace's volume in the place of bind mounts. Raises `Refusal` for folders outside of it.

    Returns the folders as in `Plan` too.
    """
    mounts, folders = [], []
    for mount in (*map(_as_mount, host.get("Binds") or ()), *(host.get("Mounts") or ())):
        kept = {name: value for name, value in mount.items() if name != "BindOptions"}
        source = kept.get("Source") or ""
        if kept["Type"] == "bind":
            path = _below(source, workspace)
            folders += [path] if (mount.get("BindOptions") or {}).get("CreateMountpoint") and path != "." else []
            part = {} if path == "." else {"Subpath": path}
            kept |= {"Type": "volume", "Source": RESERVED, "VolumeOptions": {"NoCopy": True} | part}
        elif kept["Type"] == "tmpfs" and source:
            raise Refusal("a tmpfs mount has no source")
        else:
            rebuilt(VOLUME_NAME, source, "the name of a volume")
        mounts.append(kept)
    others = {name: value for name, value in host.items() if name not in {"Binds", "Mounts"}}
    uses_workspace = any(mount.get("Source") == RESERVED for mount in mounts)
    return others | ({"Mounts": mounts} if mounts else {}), tuple(folders) if uses_workspace else None


def _as_mount(bind: str) -> Settings:
    """What `source:target:options` means, as an entry of `Mounts`."""
    source, _, rest = bind.partition(":")
    target, _, given = rest.partition(":")
    options = {*given.split(",")}
    known = {"", "ro", "rw", "z", "Z", "nocopy", "rprivate", "cached", "delegated", "consistent"}
    if not source or options - known:
        raise Refusal(f"the mount {bind!r} is not of the form source:target or source:target:ro")
    rebuilt(TARGET, target, f"the target of the mount {bind!r}")
    mount = {"Source": source, "Target": target, "ReadOnly": "ro" in options}
    if source.startswith("/"):
        return {"Type": "bind", **mount, "BindOptions": {"CreateMountpoint": True}}
    return {"Type": "volume", **mount, "VolumeOptions": {"NoCopy": "nocopy" in options}}


def _below(source: str, folder: str) -> str:
    """The path relative to the workspace, "." for the folder itself. Links are the engine's business."""
    path = PurePosixPath(posixpath.normpath("/" + source.lstrip("/")))
    if not source.startswith("/") or not source.isprintable() or not path.is_relative_to(folder):
        raise Refusal(
            f"{source!r} cannot be mounted: containers of an exercise see only folders of the submission. "
            'Use a path below the current folder (`-v "$PWD/data:/data"`), or a named volume (`-v data:/data`)'
        )
    return str(path.relative_to(folder))


# ── quotas ──────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Account:
    """What one script has asked for so far, by the names of `interface.QUOTA`. From any thread."""

    quota: Mapping[str, int]
    _spent: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def charge(self, makes: Mapping[str, int]) -> None:
        """Count it, all or nothing. Raises `Refusal` if that would be more than the quota."""
        with self._lock:
            after = {kind: self._spent.get(kind, 0) + count for kind, count in makes.items()}
            for kind, count in after.items():
                if count > (most := self.quota[kind]):
                    raise Refusal(
                        f"the script has made more than {most} requests to the engine. Does a loop in it never end?"
                        if kind == "requests"
                        else f"at most {most} {kind} can be made by one script, whether they are removed again or not"
                    )
            self._spent.update(after)


# ── pulls ───────────────────────────────────────────────────────────────────────────────


def pulled(query: Query) -> str:
    """The image that a pull asks for: `python:3.9`, also where the registry stands before it.

    All tags (`docker pull -a`) count as the latest. Raises `Refusal` where none is named.
    """
    asked = dict(query)
    name, tag = asked.get("fromImage"), asked.get("tag")
    if not name:
        raise Refusal("a pull names an image (fromImage)")
    digest = tag and re.fullmatch(r"[a-z0-9]+:[0-9a-f]+", tag)
    return normalised(f"{name}{'@' if digest else ':'}{tag}" if tag else name)


def not_here(name: str) -> Refusal:
    """What is said where the engine knows no such image."""
    return Refusal(
        f"there is no image {name[:200]} here, and no registry to fetch it from. What can be used are the base images "
        "of the exercise, and images that were built or tagged before. Is the name written right?"
    )
