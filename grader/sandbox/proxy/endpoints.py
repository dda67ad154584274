"""The table of endpoints: what the docker command and Compose need of API 1.45, and what is said of the rest."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from grader.sandbox.proxy.containers import (
    CONTAINER,
    ENDPOINT,
    EXEC,
    EXEC_START,
    IMAGE,
    LABELS,
    NAME,
    NETWORK,
    NETWORK_MODE,
    SIGNAL,
    ULIMITS,
    check_volume,
)
from grader.sandbox.proxy.shape import (
    LEFT_OUT,
    Check,
    Json,
    Refusal,
    as_json,
    decimal,
    ignored,
    listing,
    mapping,
    one_of,
    record,
    switch,
    text,
    truth,
    unset,
)

Kind = Literal["none", "json", "tar"]
"""What body a request has."""

_ANY = text()
_PLAIN = text(r"[A-Za-z0-9 :./_,@+-]{0,200}")
_PLATFORM = text(r"[a-z0-9/]{0,40}", says="is not a platform (linux/amd64)")


def _nothing(value: Json, where: str) -> Json:
    raise Refusal(f"{where or 'the body'} is not taken here: {value!r}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint. `query` has a check for each parameter it takes, `check` is that of a JSON body.

    `upgrades` are the protocols that the connection may be hijacked for, "" meaning that it is not; `name` is what it
    is called in messages; `makes` is which quota a request counts against.
    """

    name: str
    method: str
    path: re.Pattern[str]
    query: Mapping[str, Check] = field(default_factory=dict)
    body: Kind = "none"
    check: Check = _nothing
    upgrades: tuple[str, ...] = ("",)
    repeated: frozenset[str] = frozenset()
    makes: str = ""


# ── parameters ──────────────────────────────────────────────────────────────────────────


def _filter_values(value: Json, where: str) -> Json:
    """Either form that the engine takes: `{"a": true}` or, from before API 1.22, `["a"]`."""
    check = listing(_ANY) if isinstance(value, list) else mapping(_ANY, truth)
    return check(value, where)


_FILTERS: Check = as_json(mapping(text(r"[a-z-]{1,40}!?", says="is no filter"), _filter_values))
_SINCE = text(r"[0-9]{1,12}(?:\.[0-9]{1,9})?", says="is not in seconds since 1970")
"""How the docker command writes a time, whatever was typed (`10m`, a date)."""
_INNER = text(r"[^\x00-\x1f\x7f]{1,4096}", says="is not a path in a container")
_LOG_TIMES = {"since": _PLAIN, "until": _PLAIN, "tail": text(r"(?:all|[0-9]{0,18})")}
_STOP = {"t": decimal(-1, 86_400), "signal": SIGNAL}
_RELATIVE = text(
    r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[^\x00-\x1f\x7f]{0,400}", says="is not a path inside the folder that is built"
)

_PULLED_TAG = text(r"(?:[A-Za-z0-9_.-]{1,128}|[a-z0-9]{1,32}:[0-9a-f]{1,128})?", says="is not written as a tag")
_IMPORT = "`docker import` is not available here: images are built from the submission"
_IMPORTED = {name: unset(_IMPORT) for name in ("fromSrc", "repo", "message", "changes")}


def _build_arguments(value: Json, where: str) -> Json:
    arguments = mapping(_ANY, _ANY, nulls=True)(value, where)
    for name in arguments if isinstance(arguments, dict) else ():
        if name.upper().startswith("BUILDKIT_") and name != "BUILDKIT_INLINE_CACHE":
            raise Refusal(
                f"{where}.{name[:60]} cannot be set here: it changes how BuildKit builds, and other frontends than the "
                "Dockerfile's own are not available"
            )
    return arguments


_BUILD: Mapping[str, Check] = {
    **dict.fromkeys(("q", "nocache"), switch),
    # BuildKit does nothing with these; and there is no registry with a newer base image, nor one with a cache.
    **dict.fromkeys(("rm", "forcerm", "pull"), ignored(switch)),
    **dict.fromkeys(("cpuperiod", "cpushares", "memory"), ignored(decimal(0))),
    **dict.fromkeys(("cpuquota", "memswap"), ignored(decimal(-1))),
    **dict.fromkeys(("cpusetcpus", "cpusetmems"), ignored(text(r"[0-9,-]{0,100}"))),
    "cachefrom": ignored(as_json(listing(IMAGE))),
    "squash": ignored(one_of("", "0", "false")),
    "version": ignored(one_of("", "1", why="the proxy speaks no protocol of BuildKit's own")),
    **dict.fromkeys(("cgroupparent", "isolation", "securityopt", "session", "buildid", "outputs"), unset()),
    "remote": unset("what is fetched from elsewhere is not available: build a folder of the submission"),
    "t": text(r"(?:[A-Za-z0-9][A-Za-z0-9_.:/-]{0,511})?", says="is not written as a name for an image (name:tag)"),
    "dockerfile": _RELATIVE,
    "target": text(r"[A-Za-z0-9_.-]{0,200}"),
    "platform": _PLATFORM,
    "networkmode": NETWORK_MODE,
    "buildargs": as_json(_build_arguments),
    "labels": as_json(LABELS),
    "ulimits": as_json(ULIMITS),
    "shmsize": decimal(0),
    "extrahosts": _PLAIN,
}

# ── bodies ──────────────────────────────────────────────────────────────────────────────


def _address(value: Json, where: str) -> Json:
    """An address or subnet of a private range: others would take the engine's ways to the rest of the world."""
    try:
        if isinstance(value, str) and (not value or ipaddress.ip_interface(value).network.is_private):
            return value
    except ValueError:
        pass
    raise Refusal(f"{where} is an address or subnet of a private range (10.0.0.0/8, for instance), not {value!r}")


_IPAM: Check = record(
    {
        "Driver": one_of("", "default"),
        "Options": unset(),
        "Config": listing(
            record(
                {
                    **dict.fromkeys(("Subnet", "IPRange", "Gateway"), _address),
                    **dict.fromkeys(("AuxiliaryAddresses", "AuxAddress"), mapping(_ANY, _address)),
                }
            ),
            most=8,
        ),
    }
)
_NETWORK: Check = record(
    {
        "Name": NETWORK,
        "Driver": one_of("", "bridge", why="other networks reach the machine below the containers"),
        "Scope": one_of("", "local"),
        "IPAM": _IPAM,
        **dict.fromkeys(("CheckDuplicate", "EnableIPv6", "Internal", "Attachable"), truth),
        **dict.fromkeys(("Ingress", "ConfigOnly", "ConfigFrom"), unset("it is for clusters")),
        "Options": unset("options of a network's driver reach the machine below the containers"),
        "Labels": LABELS,
    },
    needed=("Name",),
)
_VOLUME: Check = record(
    {
        "Name": lambda value, where: check_volume(value, where) if value else LEFT_OUT,
        "Driver": one_of("", "local", why="volumes here are local ones"),
        "DriverOpts": unset(
            "with options of a volume's driver, any folder or disk of the machine could be mounted (`--opt`)"
        ),
        "ClusterVolumeSpec": unset("it is for clusters"),
        "Labels": LABELS,
    }
)
_CONNECT: Check = record({"Container": NAME, "EndpointConfig": ENDPOINT}, needed=("Container",))
_DISCONNECT: Check = record({"Container": NAME, "Force": truth}, needed=("Container",))

# ── the table ───────────────────────────────────────────────────────────────────────────

_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_REFERENCE = (
    r"[A-Za-z0-9][A-Za-z0-9_.-]*(?::[0-9]{1,5}(?=/))?(?:/[A-Za-z0-9_.-]+)*"  # registry:5000/name
    r"(?::[A-Za-z0-9_.-]+)?(?:@[a-z0-9]+:[0-9a-f]+)?"  # :tag, @sha256:digest
)


def _get(name: str, path: str, query: Mapping[str, Check] | None = None, *, repeated: tuple[str, ...] = ()) -> Endpoint:
    return Endpoint(name, "GET", re.compile(path), query or {}, repeated=frozenset(repeated))


def _post(name: str, path: str, query: Mapping[str, Check] | None = None, makes: str = "") -> Endpoint:
    return Endpoint(name, "POST", re.compile(path), query or {}, makes=makes)


def _json(name: str, path: str, check: Check, query: Mapping[str, Check] | None = None, makes: str = "") -> Endpoint:
    return Endpoint(name, "POST", re.compile(path), query or {}, "json", check, makes=makes)


def _delete(name: str, path: str, *switches: str) -> Endpoint:
    return Endpoint(name, "DELETE", re.compile(path), dict.fromkeys(switches, switch))


_CONTAINER = f"/containers/{_ID}"
_WINDOW = {"h": decimal(0, 10_000), "w": decimal(0, 10_000)}
_STREAMS = dict.fromkeys(("stdin", "stdout", "stderr", "stream", "logs"), switch)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ping", "HEAD", re.compile("/_ping")),
    _get("ping", "/_ping"),
    _get("version", "/version"),
    _get("info", "/info"),
    _get("disk usage", "/system/df", {"type": text("[a-z-]{0,20}")}, repeated=("type",)),
    _get("events", "/events", {"since": _SINCE, "until": _PLAIN, "filters": _FILTERS}),
    # containers
    _get("containers", "/containers/json", {"all": switch, "size": switch, "limit": decimal(-1), "filters": _FILTERS}),
    _json("container create", "/containers/create", CONTAINER, {"name": NAME, "platform": _PLATFORM}, "containers"),
    _post("container prune", "/containers/prune", {"filters": _FILTERS}),
    # `docker inspect` asks for anything as a container first, also for `registry/name:tag`.
    _get("container inspect", f"/containers/{_REFERENCE}/json", {"size": switch}),
    _get("container changes", f"{_CONTAINER}/changes"),
    # The arguments go to a `ps` in the engine's own container.
    _get("container top", f"{_CONTAINER}/top", {"ps_args": one_of("", "aux", "-ef", "-aux")}),
    _get("container stats", f"{_CONTAINER}/stats", {"stream": switch, "one-shot": switch}),
    _get(
        "container logs",
        f"{_CONTAINER}/logs",
        {**dict.fromkeys(("follow", "stdout", "stderr", "timestamps", "details"), switch), **_LOG_TIMES},
    ),
    # `docker cp` out of a container.
    Endpoint("container files", "HEAD", re.compile(f"{_CONTAINER}/archive"), {"path": _INNER}),
    _get("container files", f"{_CONTAINER}/archive", {"path": _INNER}),
    _post("container start", f"{_CONTAINER}/start", {"detachKeys": _PLAIN}),
    _post("container stop", f"{_CONTAINER}/stop", _STOP),
    _post("container restart", f"{_CONTAINER}/restart", _STOP),
    _post("container kill", f"{_CONTAINER}/kill", {"signal": SIGNAL}),
    _post("container pause", f"{_CONTAINER}/pause"),
    _post("container unpause", f"{_CONTAINER}/unpause"),
    _post("container rename", f"{_CONTAINER}/rename", {"name": NAME}),
    _post("container resize", f"{_CONTAINER}/resize", _WINDOW),
    _post("container wait", f"{_CONTAINER}/wait", {"condition": one_of("", "not-running", "next-exit", "removed")}),
    Endpoint(
        "container attach",
        "POST",
        re.compile(f"{_CONTAINER}/attach"),
        {**_STREAMS, "detachKeys": _PLAIN},
        upgrades=("tcp",),
    ),
    _delete("container remove", _CONTAINER, "v", "force", "link"),
    _json("exec create", f"{_CONTAINER}/exec", EXEC, makes="commands"),
    Endpoint(
        "exec start", "POST", re.compile(f"/exec/{_ID}/start"), body="json", check=EXEC_START, upgrades=("", "tcp")
    ),
    _post("exec resize", f"/exec/{_ID}/resize", _WINDOW),
    _get("exec inspect", f"/exec/{_ID}/json"),
    # images
    _get(
        "images",
        "/images/json",
        {**dict.fromkeys(("all", "digests", "shared-size"), switch), "filters": _FILTERS},
    ),
    _get("image inspect", f"/images/{_REFERENCE}/json"),
    _get("image history", f"/images/{_REFERENCE}/history"),
    # A pull is never passed on: an image that is here is up to date, and no other is to be had.
    _post("image pull", "/images/create", {"fromImage": IMAGE, "tag": _PULLED_TAG, "platform": _PLATFORM, **_IMPORTED}),
    _post("image prune", "/images/prune", {"filters": _FILTERS}),
    _post("image tag", f"/images/{_REFERENCE}/tag", {"repo": IMAGE, "tag": text(r"[A-Za-z0-9_.-]{0,128}")}, "images"),
    _delete("image remove", f"/images/{_REFERENCE}", "force", "noprune"),
    # builds
    Endpoint(
        "build", "POST", re.compile("/build"), _BUILD, "tar", repeated=frozenset({"t", "extrahosts"}), makes="builds"
    ),
    _post("build prune", "/build/prune", {"all": switch, "keep-storage": decimal(0), "filters": _FILTERS}),
    # networks
    _get("networks", "/networks", {"filters": _FILTERS}),
    _get("network inspect", f"/networks/{_REFERENCE}", {"verbose": switch, "scope": text("[a-z]{0,10}")}),
    _json("network create", "/networks/create", _NETWORK, makes="networks"),
    _post("network prune", "/networks/prune", {"filters": _FILTERS}),
    _json("network connect", f"/networks/(?!host/){_ID}/connect", _CONNECT),
    _json("network disconnect", f"/networks/{_ID}/disconnect", _DISCONNECT),
    _delete("network remove", f"/networks/{_ID}"),
    # volumes
    _get("volumes", "/volumes", {"filters": _FILTERS}),
    _get("volume inspect", f"/volumes/{_REFERENCE}"),
    _json("volume create", "/volumes/create", _VOLUME, makes="volumes"),
    _post("volume prune", "/volumes/prune", {"filters": _FILTERS}),
    _delete("volume remove", f"/volumes/{_ID}", "force"),
    # The last thing that `docker inspect` asks for. There are none, so the answer is "not found".
    _get("plugin inspect", f"/plugins/{_REFERENCE}/json"),
)

_SAID = (
    (r"POST /auth", "`docker login` is not available here: there is no registry"),
    (r"POST /images/.+/push", "`docker push` is not available here: there is no registry"),
    (r"GET /images/search", "`docker search` is not available here: there is no registry"),
    (r"GET /distribution/.*", "there is no registry here to ask about images"),
    (r"POST /images/load", "`docker load` is not available here: images are built from the submission"),
    (r"GET /images/(.+/)?get", "`docker save` is not available here"),
    (r"POST /commit", "`docker commit` is not available here: make images with `docker build`"),
    (
        r"PUT /containers/.+/archive",
        "`docker cp` into a container is not available here: use COPY in the Dockerfile, or a volume",
    ),
    (
        r"POST /(grpc|session)",
        "BuildKit's own protocol is not available here. Use `docker build`, with `DOCKER_BUILDKIT=0` before it",
    ),
    (r"GET /containers/.+/export", "`docker export` is not available here"),
    (r"POST /containers/.+/update", "`docker update` is not available here: give the limits to `docker run`"),
    (r"(GET|POST|DELETE) /(swarm|nodes|services|tasks|secrets|configs)(/.*)?", "this engine is not part of a cluster"),
    (r"(GET|POST|DELETE) /plugins(/.*)?", "plugins are not available here"),
    (r"POST /networks/host/connect", "containers of an exercise do not get the host's network"),
)


def refusal_for(method: str, path: str) -> Refusal:
    """What is said of a request that no endpoint takes."""
    asked = f"{method} {path}"
    said = next((words for pattern, words in _SAID if re.fullmatch(pattern, asked)), None)
    return Refusal(said or f"{asked[:120]} is not available in this engine")
