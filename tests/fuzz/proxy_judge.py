"""What the proxy may send on: one request, known, harmless, read in one way only.

What "harmless" means is written here anew, from the engine's API and not from the proxy's tables: the
places that may be asked for, and the settings that no container may have.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from http.client import parse_headers
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import parse_qsl

from grader.sandbox.proxy.http import Engine
from grader.sandbox.proxy.interface import ProxySettings
from grader.sandbox.proxy.rules import Plan, endpoint_of, plan, workspace_volume
from grader.sandbox.proxy.shape import Refusal
from tests.fuzz.harness import Found

SETTINGS = ProxySettings("", "", "", "/submission")
VOLUME = str(workspace_volume(SETTINGS.workspace)["Name"])


def judge(sent: bytes, on: Plan) -> None:
    """The request that goes on is one, is known, is harmless, and would be passed on again as it is."""
    head, end, body = written(on).partition(b"\r\n\r\n")
    shown = f"\n  sent {sent!r}\n  on   {head!r} {body!r}"
    method, path, query, headers = as_others_read(head + end)
    for problem in (
        *framing_problems(headers, body),
        *place_problems(method, path),
        *query_problems(query),
        *([] if on.endpoint.body is None else body_problems(path, body)),
    ):
        raise Found(problem + shown)
    again(on, shown)


def written(on: Plan) -> bytes:
    """The bytes that reach the engine."""
    sent: list[bytes] = []
    engine = Engine("")
    engine.socket.close()
    engine.socket = cast("Any", SimpleNamespace(connect=lambda _: None, sendall=sent.append))
    engine.send(on.request, on.body)
    return b"".join(sent)


def as_others_read(head: bytes) -> tuple[str, str, list[tuple[str, str]], list[tuple[str, str]]]:
    """A head as Python's library reads it: method, path, query, headers with names in lower case."""
    stream = io.BytesIO(head)
    method, target, version = stream.readline().decode("ascii").split(" ")
    path, _, query = target.partition("?")
    headers = [(name.lower(), value) for name, value in parse_headers(stream).items()]
    if version != "HTTP/1.1\r\n" or stream.read():
        raise Found(f"more than one head, or none: {head!r}")
    return method, path, parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)), headers


ALLOWED_HEADERS = {"host", "content-length", "content-type", "connection", "upgrade"}


def framing_problems(headers: list[tuple[str, str]], body: bytes) -> Iterator[str]:
    names = [name for name, _ in headers]
    strange = [one for one in names if one not in ALLOWED_HEADERS]
    twice = [one for one in {*names} if names.count(one) > 1]
    if strange or twice:
        yield f"headers that are unknown {strange} or there twice {twice}"
    values = dict(headers)
    if int(values.get("content-length", "0")) != len(body):
        yield f"{values.get('content-length')} bytes are announced and {len(body)} sent"
    if (values.get("connection"), values.get("host")) not in {("close", "docker"), ("Upgrade", "docker")}:
        yield "the connection is not closed"


NAME = r"[^/]+(?:/[^/]+)*"
PLACES = re.compile(
    r"(?:GET|HEAD) /v1\.45/(?:_ping|containers/[^/]+/archive)"
    r"|GET /v1\.45/(?:version|info|events|system/df|networks|volumes|(?:containers|images)/json)"
    rf"|GET /v1\.45/(?:(?:containers|images|plugins)/{NAME}/json|images/{NAME}/history|(?:networks|volumes)/{NAME})"
    r"|GET /v1\.45/(?:containers/[^/]+/(?:changes|top|stats|logs)|exec/[^/]+/json)"
    r"|POST /v1\.45/(?:build|(?:containers|images|build|networks|volumes)/prune|(?:containers|networks|volumes)/create)"
    r"|POST /v1\.45/containers/[^/]+/(?:start|stop|restart|kill|pause|unpause|rename|resize|wait|attach|exec)"
    rf"|POST /v1\.45/(?:exec/[^/]+/(?:start|resize)|images/{NAME}/tag|networks/(?!host/)[^/]+/(?:dis)?connect)"
    rf"|DELETE /v1\.45/(?:(?:containers|networks|volumes)/[^/]+|images/{NAME})"
)


def place_problems(method: str, path: str) -> Iterator[str]:
    if not PLACES.fullmatch(f"{method} {path}"):
        yield f"{method} {path} is nothing that the docker command needs"
    if {"", ".", ".."} & {*path[1:].split("/")} or not re.fullmatch(r"[\w/.:@~+-]+", path, re.ASCII):
        yield f"{path} can be read in two ways"


def query_problems(query: list[tuple[str, str]]) -> Iterator[str]:
    for name, value in query:
        if name.lower() in {"remote", "securityopt", "cgroupparent", "fromsrc", "outputs", "session"}:
            yield f"{name}={value} is sent on"
        if name.lower() == "networkmode" and value.lower() == "host":
            yield "a build gets the host's network"
        if re.search(r"[\x00-\x1f\x7f]", value):
            yield f"{name} has a control character: {value!r}"


EMPTY_ONLY = {
    *("privileged", "capadd", "devices", "devicerequests", "devicecgrouprules", "sysctls", "runtime", "utsmode"),
    *("usernsmode", "cgroupparent", "storageopt", "annotations", "driverconfig", "driveropts", "configfrom", "onbuild"),
    *("maskedpaths", "readonlypaths", "oomkilldisable", "clustervolumespec"),
}
NOT_THE_HOSTS = {"networkmode", "pidmode", "ipcmode", "cgroupnsmode"}


def body_problems(path: str, body: bytes) -> Iterator[str]:
    """What is dangerous in settings that go on, wherever it stands."""
    value = json.loads(body, object_pairs_hook=without_twins)
    yield from inside(value)
    host = value.get("HostConfig", {}) if path.endswith("/containers/create") else {}
    if "Binds" in host:
        yield f"what is mounted is not written anew: {host['Binds']}"
    for mount in host.get("Mounts", []):
        yield from mount_problems(mount)


def without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len({*names}) != len(names):
        raise Found(f"names are there twice: {names}")
    return dict(pairs)


TEXTS = {
    *("labels", "config", "extrahosts", "healthcheck", "exposedports", "portbindings", "restartpolicy", "ulimits"),
    *("ipamconfig", "env", "cmd", "user", "workingdir", "detachkeys", "consolesize", "cpusetcpus", "cpusetmems"),
    *("containeridfile", "macaddress", "stoptimeout", "shmsize", "scope"),
}
"""Where names are anybody's own words, or anything may stand without harm."""


def inside(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        for one in value:
            yield from inside(one)
    if not isinstance(value, dict):
        return
    for name, one in value.items():
        known = name.casefold()
        if known in EMPTY_ONLY and one not in (None, False, 0, "", [], {}):
            yield f"{name} is set: {one!r}"
        if known in NOT_THE_HOSTS and str(one).casefold().startswith(("host", "ns:")):
            yield f"{name} is the host's: {one!r}"
        if known == "endpointsconfig" and any(network.casefold() == "host" for network in one or ()):
            yield "an endpoint is in the host's network"
        if known == "securityopt" and any(not entry.startswith("no-new-privileges") for entry in one or ()):
            yield f"{name} is set: {one!r}"
        if known not in TEXTS:
            yield from inside(one)


def mount_problems(mount: dict[str, Any]) -> Iterator[str]:
    options = mount.get("VolumeOptions") or {}
    if mount["Type"] not in {"volume", "tmpfs"} or mount.get("BindOptions"):
        yield f"a mount of the machine's: {mount}"
    parts = str(options.get("Subpath", "")).split("/")
    ours = mount.get("Source") == VOLUME and options.get("NoCopy")
    if (options.get("Subpath") is not None and not ours) or ".." in parts or str(options.get("Subpath"))[:1] == "/":
        yield f"a part of a volume: {mount}"
    if str(mount.get("Source", "")).startswith(("/", ".", "grader-work-")) and not ours:
        yield f"a source that is no volume: {mount}"


def again(on: Plan, shown: str) -> None:
    """What goes on would be passed on again unchanged, but for mounts of the work, which nobody else may ask for."""
    if on.folders is not None:
        return
    try:
        kind = "application/x-tar" if on.endpoint.name == "build" else on.request.content_type
        second = replace(on.request, content_type=kind)
        rebuilt = plan(endpoint_of(second), second, on.body, SETTINGS, 0.0)
    except Refusal as refusal:
        raise Found(f"what is sent on would be refused: {refusal}{shown}") from refusal
    if rebuilt != on:
        raise Found(f"what is sent on would be sent on as {rebuilt}{shown}")
