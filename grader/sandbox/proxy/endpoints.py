"""The table of endpoints: what the docker command and Compose need of API 1.45, and what is said of the rest."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

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

_ANY = text()
_PLAIN = text(r"[A-Za-z0-9 :./_,@+-]{0,200}")
_PLATFORM = text(r"[a-z0-9/]{0,40}", says="is not a platform (linux/amd64)")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: what it is called in messages, and a pattern of its method and path, without the API's version.

    `query` has a check for each parameter it takes, of which those in `repeated` may be there several times. `check` is
    that of its JSON body, if it has one. `upgrades` are the protocols that the connection may be hijacked for, ""
    meaning that it is not. `makes` is which quota a request counts against.
    """

    name: str
    pattern: str
    query: Mapping[str, Check] = field(default_factory=dict)
    check: Check | None = None
    upgrades: tuple[str, ...] = ("",)
    repeated: tuple[str, ...] = ()
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


def _switches(*names: str) -> Mapping[str, Check]:
    return dict.fromkeys(names, switch)


_CONTAINER = f"/containers/{_ID}"
_WINDOW = {"h": decimal(0, 10_000), "w": decimal(0, 10_000)}
_STREAMS = _switches("stdin", "stdout", "stderr", "stream", "logs")

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ping", "(GET|HEAD) /_ping"),
    Endpoint("version", "GET /version"),
    Endpoint("info", "GET /info"),
    Endpoint("disk usage", "GET /system/df", {"type": text("[a-z-]{0,20}")}, repeated=("type",)),
    Endpoint("events", "GET /events", {"since": _SINCE, "until": _PLAIN, "filters": _FILTERS}),
    # containers
    Endpoint(
        "containers", "GET /containers/json", {**_switches("all", "size"), "limit": decimal(-1), "filters": _FILTERS}
    ),
    Endpoint(
        "container create",
        "POST /containers/create",
        {"name": NAME, "platform": _PLATFORM},
        check=CONTAINER,
        makes="containers",
    ),
    Endpoint("container prune", "POST /containers/prune", {"filters": _FILTERS}),
    # `docker inspect` asks for anything as a container first, also for `registry/name:tag`.
    Endpoint("container inspect", f"GET /containers/{_REFERENCE}/json", _switches("size")),
    Endpoint("container changes", f"GET {_CONTAINER}/changes"),
    # The arguments go to a `ps` in the engine's own container.
    Endpoint("container top", f"GET {_CONTAINER}/top", {"ps_args": one_of("", "aux", "-ef", "-aux")}),
    Endpoint("container stats", f"GET {_CONTAINER}/stats", _switches("stream", "one-shot")),
    Endpoint(
        "container logs",
        f"GET {_CONTAINER}/logs",
        {**_switches("follow", "stdout", "stderr", "timestamps", "details"), **_LOG_TIMES},
    ),
    # `docker cp` out of a container.
    Endpoint("container files", f"(GET|HEAD) {_CONTAINER}/archive", {"path": _INNER}),
    Endpoint("container start", f"POST {_CONTAINER}/start", {"detachKeys": _PLAIN}),
    Endpoint("container stop", f"POST {_CONTAINER}/stop", _STOP),
    Endpoint("container restart", f"POST {_CONTAINER}/restart", _STOP),
    Endpoint("container kill", f"POST {_CONTAINER}/kill", {"signal": SIGNAL}),
    Endpoint("container pause", f"POST {_CONTAINER}/pause"),
    Endpoint("container unpause", f"POST {_CONTAINER}/unpause"),
    Endpoint("container rename", f"POST {_CONTAINER}/rename", {"name": NAME}),
    Endpoint("container resize", f"POST {_CONTAINER}/resize", _WINDOW),
    Endpoint(
        "container wait", f"POST {_CONTAINER}/wait", {"condition": one_of("", "not-running", "next-exit", "removed")}
    ),
    Endpoint("container attach", f"POST {_CONTAINER}/attach", {**_STREAMS, "detachKeys": _PLAIN}, upgrades=("tcp",)),
    Endpoint("container remove", f"DELETE {_CONTAINER}", _switches("v", "force", "link")),
    Endpoint("exec create", f"POST {_CONTAINER}/exec", check=EXEC, makes="commands"),
    Endpoint("exec start", f"POST /exec/{_ID}/start", check=EXEC_START, upgrades=("", "tcp")),
    Endpoint("exec resize", f"POST /exec/{_ID}/resize", _WINDOW),
    Endpoint("exec inspect", f"GET /exec/{_ID}/json"),
    # images
    Endpoint(
        "images",
        "GET /images/json",
        {**_switches("all", "digests", "shared-size"), "filters": _FILTERS},
    ),
    Endpoint("image inspect", f"GET /images/{_REFERENCE}/json"),
    Endpoint("image history", f"GET /images/{_REFERENCE}/history"),
    # A pull is never passed on: an image that is here is up to date, and no other is to be had.
    Endpoint(
        "image pull",
        "POST /images/create",
        {"fromImage": IMAGE, "tag": _PULLED_TAG, "platform": _PLATFORM, **_IMPORTED},
    ),
    Endpoint("image prune", "POST /images/prune", {"filters": _FILTERS}),
    Endpoint(
        "image tag",
        f"POST /images/{_REFERENCE}/tag",
        {"repo": IMAGE, "tag": text(r"[A-Za-z0-9_.-]{0,128}")},
        makes="images",
    ),
    Endpoint("image remove", f"DELETE /images/{_REFERENCE}", _switches("force", "noprune")),
    # builds
    Endpoint("build", "POST /build", _BUILD, repeated=("t", "extrahosts"), makes="builds"),
    Endpoint("build prune", "POST /build/prune", {"all": switch, "keep-storage": decimal(0), "filters": _FILTERS}),
    # networks
    Endpoint("networks", "GET /networks", {"filters": _FILTERS}),
    Endpoint("network inspect", f"GET /networks/{_REFERENCE}", {"verbose": switch, "scope": text("[a-z]{0,10}")}),
    Endpoint("network create", "POST /networks/create", check=_NETWORK, makes="networks"),
    Endpoint("network prune", "POST /networks/prune", {"filters": _FILTERS}),
    Endpoint("network connect", f"POST /networks/(?!host/){_ID}/connect", check=_CONNECT),
    Endpoint("network disconnect", f"POST /networks/{_ID}/disconnect", check=_DISCONNECT),
    Endpoint("network remove", f"DELETE /networks/{_ID}"),
    # volumes
    Endpoint("volumes", "GET /volumes", {"filters": _FILTERS}),
    Endpoint("volume inspect", f"GET /volumes/{_REFERENCE}"),
    Endpoint("volume create", "POST /volumes/create", check=_VOLUME, makes="volumes"),
    Endpoint("volume prune", "POST /volumes/prune", {"filters": _FILTERS}),
    Endpoint("volume remove", f"DELETE /volumes/{_ID}", _switches("force")),
    # The last thing that `docker inspect` asks for. There are none, so the answer is "not found".
    Endpoint("plugin inspect", f"GET /plugins/{_REFERENCE}/json"),
)

_REASONS = (
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


def find_endpoint(method: str, path: str) -> Endpoint:
    """The endpoint that takes such a request. Raises `Refusal` if there is none, which says why for those known."""
    asked = f"{method} {path}"
    for endpoint in ENDPOINTS:
        if re.fullmatch(endpoint.pattern, asked):
            return endpoint
    reason = next((reason for pattern, reason in _REASONS if re.fullmatch(pattern, asked)), None)
    raise Refusal(reason or f"{asked[:120]} is not available in this engine")
