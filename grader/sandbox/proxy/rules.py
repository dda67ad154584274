"""The requests that are passed on, each written anew from what is known; everything else is refused.

`plan` decides by the head which endpoint is meant and what body it takes, `Plan.rebuilt` by the decoded body. Both are
pure. Requests go on as API 1.45, that of the private engine (Docker 26.1), so a newer engine behind the guard has no
fields or endpoints that these rules do not know.

`docker build` with Buildx takes connections over for gRPC over HTTP/2: `/grpc` for calls to BuildKit, which are judged
one by one (`buildkit`), and `/session` for what BuildKit asks of the client, whose answers are judged one by one too
(`session`). Of what the client offers there, only that goes on which it will be asked for. `Policy.buildkit=False`
refuses both paths. The classic builder (`DOCKER_BUILDKIT=0`) goes through `POST /build`.

Neither way looks at the Dockerfile, which cannot ask for more than a RUN has. What it is built from, and what it
fetches, comes from wherever the engine has a network to.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import cast

from grader.sandbox.proxy.cores import build_held_to, held_to
from grader.sandbox.proxy.endpoints import ENDPOINTS, Endpoint, Kind, refusal_for
from grader.sandbox.proxy.http import Head
from grader.sandbox.proxy.mounts import RESERVED, place
from grader.sandbox.proxy.past import of_this_script
from grader.sandbox.proxy.quota import DEFAULT, Quota, asked_of
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.session import METHODS
from grader.sandbox.proxy.shape import LEFT_OUT
from grader.sandbox.proxy.strictjson import Json, read

API = "v1.45"
_OLDEST, _NEWEST = (1, 24), (1, 45)
CONTEXT_LIMIT = 256 * 1024 * 1024
"""Bytes of a build's context. Submissions are vetted to be far smaller; scripts may make files."""
_VERSION = re.compile(r"/v(\d{1,3})\.(\d{1,3})(?=/)")
_CONTENT_TYPES: Mapping[Kind, frozenset[str]] = {
    "none": frozenset({"", "text/plain", "application/json"}),
    "json": frozenset({"application/json"}),
    "tar": frozenset({"application/x-tar"}),
}
BUILDKIT = frozenset({"buildkit", "session"})
"""The endpoints that are BuildKit's connections."""
_METHOD = "x-docker-expose-session-grpc-method"
_SESSION = {
    "x-docker-expose-session-uuid": re.compile(r"[A-Za-z0-9]{1,64}"),
    "x-docker-expose-session-name": re.compile(r"[\x20-\x7e]{0,255}"),
    "x-docker-expose-session-sharedkey": re.compile(r"[\x20-\x7e]{0,400}"),
    _METHOD: re.compile(r"/[A-Za-z0-9_.]{1,120}/[A-Za-z0-9_]{1,60}"),
}


@dataclass(frozen=True, slots=True)
class Policy:
    """What the rules need to know: the submission's work folder, absolute, and whether BuildKit is let through.

    `quota` is how much may be asked for in all; it is the server that counts. `cpus` is how many cores the engine has.
    `caches` is the namespace of what `RUN --mount=type=cache` keeps. The engine's news from before `began`, in seconds
    since 1970, are other people's.
    """

    work: PurePosixPath
    buildkit: bool = True
    quota: Quota = DEFAULT
    cpus: float = math.inf
    caches: str = "guarded"
    began: float = 0.0


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A request as it is sent on. `body` is None where it is streamed (a build's context).

    `work_is_used` and `folders` are as in `mounts.Placed`: what has to be there before the request is sent. `makes` is
    how much of what is in `quota` is made by it.
    """

    head: Head
    body: bytes | None = b""
    work_is_used: bool = False
    folders: tuple[str, ...] = ()
    makes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A request whose head is in order. `head` is the one to send on, but for what the body decides."""

    policy: Policy
    endpoint: Endpoint
    head: Head
    upgrade: str

    @property
    def kind(self) -> Kind:
        """What body is to be read: none, JSON (for `rebuilt`), or a tar that is streamed."""
        return self.endpoint.body

    def rebuilt(self, body: bytes) -> Rebuilt:
        """The request to send on, from its whole body (b"" for a tar). Raises `Refusal`."""
        makes = asked_of(self.endpoint.name, self.head.query)
        if self.kind == "tar":
            head = _with(self.head, ("content-type", "application/x-tar"), ("connection", "close"))
            return Rebuilt(head, None, makes=makes)
        if self.kind == "none":
            return Rebuilt(_with(self.head, *_connection(self.upgrade)), makes=makes)
        value = self.endpoint.check(read(body), "")
        made = Rebuilt(self.head)
        if self.endpoint.name == "container create":
            placed = place(held_to(self.policy.cpus, cast("dict[str, Json]", value)), self.policy.work)
            value, made = placed.settings, replace(made, work_is_used=placed.work_is_used, folders=placed.folders)
        if self.endpoint.name == "exec start":
            _check_exec_start(cast("dict[str, Json]", value), self.upgrade)
        if self.endpoint.name == "volume create":
            _check_volume_name(cast("dict[str, Json]", value))
        data = json.dumps(value, separators=(",", ":")).encode()
        framing = (("content-type", "application/json"), ("content-length", str(len(data))))
        makes = asked_of(self.endpoint.name, self.head.query, value)
        return replace(made, head=_with(self.head, *framing, *_connection(self.upgrade)), body=data, makes=makes)


def plan(head: Head, policy: Policy) -> Plan:
    """Find the endpoint and check all of the head. Raises `Refusal` for anything that is not known and allowed."""
    path = _without_version(head.path)
    endpoint = next((one for one in ENDPOINTS if one.method == head.method and one.path.fullmatch(path)), None)
    if endpoint is None:
        raise refusal_for(head.method, path)
    if endpoint.name in BUILDKIT and not policy.buildkit:
        raise Refusal("BuildKit is not available here. Put `DOCKER_BUILDKIT=0` before the command")
    if head.upgrade not in endpoint.upgrades:
        way = f"for {head.upgrade}" if head.upgrade else "without `Upgrade`"
        raise Refusal(f"{head.method} {path[:80]} is not available {way}")
    query = _checked_query(head.query, endpoint)
    _check_body(head, endpoint)
    headers = _session(head) if endpoint.name in BUILDKIT else ()
    query = of_this_script(endpoint.name, query, policy.began)
    if endpoint.name == "build":
        query = build_held_to(policy.cpus, query)
    return Plan(
        policy, endpoint, Head(head.method, f"/{API}{path}", query, (("host", "docker"), *headers)), head.upgrade
    )


def _without_version(path: str) -> str:
    match = _VERSION.match(path)
    if match and not _OLDEST <= (int(match[1]), int(match[2])) <= _NEWEST:
        raise Refusal(f"the API version of {path[:40]} is not between 1.24 and 1.45, which this engine has")
    return path[match.end() :] if match else path


def _check_body(head: Head, endpoint: Endpoint) -> None:
    content_type = head.header("content-type").lower()
    if content_type not in _CONTENT_TYPES[endpoint.body]:
        raise Refusal(f"the body of this request cannot be of the type {content_type[:80] or '(none given)'}")
    if endpoint.body == "none" and (head.length or head.chunked):
        raise Refusal(f"{head.method} {head.path[:80]} has no body")


def _checked_query(query: tuple[tuple[str, str], ...], endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
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


def _session(head: Head) -> tuple[tuple[str, str], ...]:
    """The headers with which a client says what the engine may ask of it during a build."""
    found = tuple((name, value) for name, value in head.headers if name in _SESSION)
    for name, value in found:
        if not _SESSION[name].fullmatch(value):
            raise Refusal(f"the header {name} is not written as BuildKit's clients do")
    return tuple((name, value) for name, value in found if name != _METHOD or value in METHODS)


def _connection(upgrade: str) -> tuple[tuple[str, str], ...]:
    return (("connection", "Upgrade"), ("upgrade", upgrade)) if upgrade else (("connection", "close"),)


def _with(head: Head, *headers: tuple[str, str]) -> Head:
    # Go's server takes a POST without a length for one without a body, but its clients announce the 0.
    length = (("content-length", "0"),) if head.method == "POST" and not _announces(headers) else ()
    return replace(head, headers=(*head.headers, *length, *headers))


def _announces(headers: tuple[tuple[str, str], ...]) -> bool:
    return any(name == "content-length" or value == "application/x-tar" for name, value in headers)


def _check_exec_start(value: dict[str, Json], upgrade: str) -> None:
    if bool(value.get("Detach")) == bool(upgrade):
        raise Refusal("an exec that is not detached takes its connection over (`Upgrade: tcp`), and no other does")


def _check_volume_name(value: dict[str, Json]) -> None:
    if str(value.get("Name") or "").startswith(RESERVED):
        raise Refusal(f"names of volumes that begin with {RESERVED} are taken; give the volume another name")
