"""The requests that are passed on, each written anew from what is known; everything else is refused. Pure.

`plan` decides by the head which endpoint is meant and what body it takes, `Plan.with_json` by the decoded body.
Requests go on as API 1.45, that of the private engine (Docker 26.1), so a newer engine behind the proxy has no fields
or endpoints that these rules do not know.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from grader.dockerfile.image_names import normalised
from grader.sandbox.proxy.containers import bounded, place
from grader.sandbox.proxy.endpoints import Endpoint, find_endpoint
from grader.sandbox.proxy.http import Request
from grader.sandbox.proxy.settings import ProxySettings, Quota
from grader.sandbox.proxy.shape import LEFT_OUT, Refusal, read, written

API = "v1.45"
_OLDEST, _NEWEST = (1, 24), (1, 45)
_VERSION = re.compile(r"^/v(\d{1,3})\.(\d{1,3})(?=/)")
_TAR, _JSON = frozenset({"application/x-tar"}), frozenset({"application/json"})
_ANY_TYPE = frozenset({"", "text/plain", "application/json"})
"""The types that a body may be of, where there is none."""
Query = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that is in order as far as it has been read, as it goes on.

    `uses_workspace` and `folders` are as in `containers.Placed`. `makes` is what it counts for, by the quotas' names.
    """

    endpoint: Endpoint
    request: Request
    body: bytes = b""
    makes: Mapping[str, int] = field(default_factory=dict)
    uses_workspace: bool = False
    folders: tuple[str, ...] = ()

    def with_json(self, text: bytes, settings: ProxySettings) -> Plan:
        """The same with its body, if the endpoint takes one. Raises `Refusal`."""
        if self.endpoint.check is None:
            return self
        value = cast("dict[str, Any]", self.endpoint.check(read(text), ""))
        if self.endpoint.name == "exec start" and bool(value.get("Detach")) == bool(self.request.upgrade):
            raise Refusal("an exec that is not detached hijacks its connection (`Upgrade: tcp`), and no other does")
        if self.endpoint.name != "container create":
            return replace(self, body=written(value))
        host = bounded(settings.cpus, value.get("HostConfig") or {})
        placed = place({**value, "HostConfig": host}, settings.workspace)
        return replace(
            self,
            body=written(placed.settings),
            makes={"containers": 1, "volumes": _volumes(placed.settings)},
            uses_workspace=placed.uses_workspace,
            folders=placed.folders,
        )


def plan(request: Request, began: float) -> Plan:
    """Find the endpoint and check all of the head. Raises `Refusal` for anything that is not known and allowed.

    The engine's news from before `began`, in seconds since 1970, are other people's.
    """
    version = _VERSION.match(request.path)
    if version and not _OLDEST <= (int(version[1]), int(version[2])) <= _NEWEST:
        raise Refusal(f"the API version of {request.path[:40]} is not between 1.24 and 1.45, which this engine has")
    path = without_version(request.path)
    endpoint = find_endpoint(request.method, path)
    if request.upgrade not in endpoint.upgrades:
        way = f"for {request.upgrade[:20]}" if request.upgrade else "without `Upgrade`"
        raise Refusal(f"{request.method} {path[:80]} is not available {way}")
    if request.content_type not in (_TAR if endpoint.name == "build" else _JSON if endpoint.check else _ANY_TYPE):
        named = request.content_type[:80] or "(none given)"
        raise Refusal(f"the body of this request cannot be of the type {named}")
    query = _of_this_script(endpoint.name, _checked(request.query, endpoint), began)
    makes = {endpoint.makes: 1} if endpoint.makes else {}
    if endpoint.name == "build":
        makes["images"] = max(1, sum(name == "t" for name, _ in query))
    content_type = "application/json" if endpoint.check else ""
    onward = Request(request.method, f"/{API}{path}", query, content_type, request.upgrade)
    return Plan(endpoint, onward, makes=makes)


def without_version(path: str) -> str:
    """The path without the API's version before it."""
    return _VERSION.sub("", path)


def _checked(query: Query, endpoint: Endpoint) -> Query:
    names = [name for name, _ in query]
    checked = []
    for name, value in query:
        if name not in endpoint.query:
            raise Refusal(f"{name[:60]}={value[:60]} is not available here for {endpoint.name}")
        if names.count(name) > 1 and name not in endpoint.repeated:
            raise Refusal(f"{name} may be there once in the query of a request")
        result = endpoint.query[name](value, name)
        if result is not LEFT_OUT:
            checked.append((name, cast("str", result)))
    return tuple(checked)


_COUNTED = ("container", "image", "volume")


def _of_this_script(endpoint: str, query: Query, began: float) -> Query:
    """The query, so that it asks for nothing of scripts that used the engine before.

    An engine is used again after everything in it was removed. Its events of the last while stay, and so does the
    builder's cache, which calls a step by its command: the commands of other people's containers and Dockerfiles.
    """
    if endpoint == "disk usage":
        asked = tuple(value for name, value in query if name == "type" and value in _COUNTED)
        return tuple(("type", value) for value in asked or _COUNTED)
    if endpoint == "events":
        since = max(float(dict(query).get("since", 0)), began)
        return (("since", f"{since:.9f}"), *((name, value) for name, value in query if name != "since"))
    return query


# ── quotas ──────────────────────────────────────────────────────────────────────────────
# Memory, disk and processes are bounded by the private engine. What is counted here costs little of these, and yet
# slows an engine down for a long time (a thousand networks), or fills the record. An honest script makes a handful.


def _volumes(settings: Mapping[str, Any]) -> int:
    """Volumes that a container may bring along: each place where one is mounted."""
    host = settings.get("HostConfig") or {}
    mounts = [mount for mount in host.get("Mounts") or () if mount.get("Type") == "volume"]
    return len(mounts) + len(host.get("Binds") or ()) + len(settings.get("Volumes") or ())


_COUNTS = {"commands": "commands with `docker exec`", "images": "images and names of images"}


@dataclass(slots=True)
class Account:
    """What one script has asked for so far. From any thread."""

    quota: Quota
    _spent: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def charge(self, makes: Mapping[str, int]) -> None:
        """Count it, all or nothing. Raises `Refusal` if that would be more than the quota."""
        with self._lock:
            after = {kind: self._spent.get(kind, 0) + count for kind, count in makes.items()}
            for kind, count in after.items():
                most = getattr(self.quota, kind)
                if count > most and kind == "requests":
                    raise Refusal(
                        f"the script has made more than {most} requests to the engine. Does a loop in it never end?"
                    )
                if count > most:
                    raise Refusal(
                        f"at most {most} {_COUNTS.get(kind, kind)} can be made by one script, whether they are removed "
                        "again or not"
                    )
            self._spent.update(after)


# ── pulls ───────────────────────────────────────────────────────────────────────────────

_DIGEST = re.compile(r"[a-z0-9]+:[0-9a-f]+")


def pulled(query: Query) -> str:
    """The image that a pull asks for: `python:3.9`, also where the registry stands before it.

    All tags (`docker pull -a`) count as the latest. Raises `Refusal` where none is named.
    """
    asked = dict(query)
    if not asked.get("fromImage"):
        raise Refusal("a pull names an image (fromImage)")
    name, tag = asked["fromImage"], asked.get("tag")
    return normalised(f"{name}{'@' if _DIGEST.fullmatch(tag) else ':'}{tag}" if tag else name)


def not_here(name: str) -> Refusal:
    """What is said where the engine knows no such image."""
    return Refusal(
        f"there is no image {name[:200]} here, and no registry to fetch it from. What can be used are the base images "
        "of the exercise, and images that were built or tagged before. Is the name written right?"
    )
