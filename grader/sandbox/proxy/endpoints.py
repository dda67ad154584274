"""The tables: which requests of API 1.45 there are, what each may ask for, and what is said of the rest.

What the docker command and Compose need is here; the fields are those of
https://docs.docker.com/reference/api/engine/version/v1.45/. What is in no table is not passed on; `_WHY` and `_REASONS`
only say it in words that help.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from grader.sandbox.proxy.shape import (
    FROM_MINUS_1,
    NATURAL,
    Encoded,
    Json,
    Map,
    OneOf,
    Record,
    Refusal,
    Shape,
    Text,
    rebuilt,
)

T = TypeVar("T")
RESERVED = "grader-work"
"""How the names of volumes begin that are ours."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: what it is called in messages, and a pattern of its method and path, without the API's version.

    `query` has the shape of each parameter it takes, `body` that of its JSON body, if it has one. `upgrades` are the
    protocols that the connection may be hijacked for, "" meaning that it is not. `makes` is which quota a request
    counts against.
    """

    name: str
    pattern: str
    query: Mapping[str, Shape] = field(default_factory=dict)
    body: Shape | None = None
    makes: str = ""
    upgrades: tuple[str, ...] = ("",)


def _all(names: str, value: T) -> dict[str, T]:
    """The same for each of these names."""
    return dict.fromkeys(names.split(), value)


# ── why not ─────────────────────────────────────────────────────────────────────────────

_MACHINE = "it reaches the machine below the containers, which is not part of the exercise"
_WHY: Mapping[str, str] = {
    **_all("UTSMode UsernsMode CgroupParent Cgroup Sysctls StorageOpt Annotations", _MACHINE),
    **_all("Devices DeviceRequests DeviceCgroupRules", "containers of an exercise get no devices of the machine"),
    **_all("Ingress ConfigOnly ConfigFrom ClusterVolumeSpec", "it is for clusters"),
    **_all("fromSrc repo message changes", "`docker import` is not available here: build from the submission"),
    **_all("Options DriverOpts DriverConfig", "with options of a driver, any folder or disk could be mounted"),
    "Privileged": "a privileged container or process has the whole machine (`--privileged`)",
    "CapAdd": "containers of an exercise need no rights beyond the usual ones (`--cap-add`)",
    "Runtime": "containers run with the engine's own runtime (`--runtime`)",
    "OomKillDisable": "what takes too much memory is ended",
    "Subpath": "mount the whole volume",
    "remote": "what is fetched from elsewhere is not available: build a folder of the submission",
}


def _record(fields: Mapping[str, Shape], *needed: str) -> Record:
    return Record(fields, needed, _WHY)


# ── values that many have in common ─────────────────────────────────────────────────────

_ANY = Text()
_LABELS = Map(_ANY, _ANY)
_PLAIN = Text(r"[A-Za-z0-9 :./_,@+-]{0,200}")
_PLATFORM = Text(r"[a-z0-9/]{0,40}", "is not a platform (linux/amd64)")
_NAME = Text(r"/?[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", "is not a name that the engine takes")
VOLUME_NAME = Text(
    rf"(?!{RESERVED})(?:{_NAME.pattern}|)",
    f"is no name for a volume (those that begin with {RESERVED} are taken); give the volume another name",
)
_IMAGE = Text(r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,511}", "is not written as the name of an image (name:tag, or an id)")
_SIGNAL = Text(r"[A-Za-z0-9+-]{0,16}", "is not the name or number of a signal")
TARGET = Text(r"/[^\x00-\x1f\x7f:]{0,4095}", "is not the absolute path of a place in the container")
_PORT = Text(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:/(?:tcp|udp|sctp))?", "is not written as a port (80/tcp)")
_SHORT = Text(r"[A-Za-z0-9,-]{0,100}")
_ULIMITS: Shape = [_record({"Name": Text(r"[a-z]{1,20}"), **_all("Soft Hard", FROM_MINUS_1)}, "Name")]
_LOCAL = OneOf(("", "local"), "volumes here are local ones")
_ANOTHERS = r"container:[A-Za-z0-9][A-Za-z0-9_.-]*"
_OWN = "may be the container's own or another container's here, not the host's"
_NOT_THE_HOSTS = (
    "cannot be the host's network here (`--network host`), only one that a network can have as its name: containers of "
    "an exercise have a network of their own. Leave the option out, or use one made with `docker network create`"
)
_NETWORK_NAME = Text(r"(?!(?i:host)$)[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", _NOT_THE_HOSTS)
_NETWORK_MODE = Text(rf"{_ANOTHERS}|{_NETWORK_NAME.pattern}|", _NOT_THE_HOSTS)


def _address(value: Json, where: str) -> Json:
    """An address or subnet of a private range: others would take the engine's ways to the rest of the world."""
    try:
        if isinstance(value, str) and (not value or ipaddress.ip_interface(value).network.is_private):
            return value
    except ValueError:
        pass
    raise Refusal(f"{where} is an address or subnet of a private range (10.0.0.0/8, for instance), not {value!r}")


# ── containers ──────────────────────────────────────────────────────────────────────────

_MOUNT = _record(
    {
        "Type": OneOf(("bind", "volume", "tmpfs"), "other types reach the machine below the containers"),
        "Source": _ANY,
        "Target": TARGET,
        "ReadOnly": bool,
        "Consistency": OneOf(("", "default", "consistent", "cached", "delegated")),
        "BindOptions": _record({
            "Propagation": OneOf(("", "rprivate"), "mounts stay inside the container"),
            **_all("CreateMountpoint NonRecursive ReadOnlyNonRecursive ReadOnlyForceRecursive", bool),
        }),
        "VolumeOptions": _record({"NoCopy": bool, "Labels": _LABELS}),
        "TmpfsOptions": _record({"SizeBytes": NATURAL, "Mode": range(0o10000)}),
    },
    *("Type", "Target"),
)  # fmt: skip
_HOST_CONFIG = _record({
    **_all("Memory NanoCpus CpuShares CpuPeriod MemoryReservation ShmSize", NATURAL),
    **_all("MemorySwap PidsLimit CpuQuota", FROM_MINUS_1),
    **_all("AutoRemove PublishAllPorts ReadonlyRootfs Init", bool),
    **_all("Binds Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links VolumesFrom", [_ANY]),
    **_all("CpusetCpus CpusetMems", _SHORT),
    # Null is the usual protection. An empty list, elsewhere the same, here means that nothing is protected.
    **_all("MaskedPaths ReadonlyPaths", Text("(?!)", "protects the machine in /proc and /sys, so it stays")),
    "MemorySwappiness": range(-1, 101),
    "OomScoreAdj": range(1001),
    "Mounts": [_MOUNT],
    "Tmpfs": Map(TARGET, Text(r"[a-z]*(?:=[0-9a-z%]+)?(?:,[a-z]+(?:=[0-9a-z%]+)?)*")),
    "ContainerIDFile": _ANY,
    "ConsoleSize": [range(10_001)],
    "LogConfig": _record({
        "Type": OneOf(("", "json-file", "local", "none"), "other drivers send what is logged elsewhere"),
        "Config": Map(OneOf(("max-size", "max-file", "compress", "mode", "tag", "labels", "env")), _ANY),
    }),
    "NetworkMode": _NETWORK_MODE,
    "PortBindings": Map(_PORT, [_record(_all("HostIp HostPort", _ANY))]),
    "RestartPolicy": _record({
        "Name": OneOf(("", "no", "always", "on-failure", "unless-stopped")),
        "MaximumRetryCount": NATURAL,
    }),
    "CapDrop": [Text(r"[A-Za-z_]{1,40}", "is not the name of a capability")],
    "Ulimits": _ULIMITS,
    "CgroupnsMode": OneOf(("", "private"), _MACHINE),
    "IpcMode": Text(rf"private|shareable|none|{_ANOTHERS}|", _OWN),
    "PidMode": Text(rf"{_ANOTHERS}|", _OWN),
    "VolumeDriver": _LOCAL,
    "Isolation": OneOf(("", "default")),
    "SecurityOpt": [OneOf(
        ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"),
        "other options switch off what keeps the container in (`--security-opt`)",
    )],
})  # fmt: skip
_ENDPOINT = _record({
    "IPAMConfig": _record({**_all("IPv4Address IPv6Address", _ANY), "LinkLocalIPs": [_ANY]}),
    **_all("Links Aliases", [_ANY]),
    "MacAddress": _ANY,
})  # fmt: skip
_CONTAINER = _record(
    {
        **_all("Hostname Domainname User WorkingDir MacAddress", _ANY),
        **_all("AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce ArgsEscaped NetworkDisabled", bool),
        **_all("Env Cmd Entrypoint Shell", [_ANY]),
        "Image": _IMAGE,
        "Labels": _LABELS,
        "Healthcheck": _record({
            "Test": [_ANY],
            **_all("Interval Timeout StartPeriod StartInterval Retries", NATURAL),
        }),
        "Volumes": Map(TARGET, _record({})),
        "ExposedPorts": Map(_PORT, _record({})),
        "StopSignal": _SIGNAL,
        "StopTimeout": FROM_MINUS_1,
        "HostConfig": _HOST_CONFIG,
        "NetworkingConfig": _record({"EndpointsConfig": Map(_NETWORK_NAME, _ENDPOINT)}),
    },
    "Image",
)  # fmt: skip
_EXEC = _record({
    **_all("User DetachKeys WorkingDir", _ANY),
    **_all("Tty AttachStdin AttachStdout AttachStderr Detach", bool),
    **_all("Env Cmd", [_ANY]),
    "ConsoleSize": [range(10_001)],
})  # fmt: skip
_EXEC_START = _record({**_all("Detach Tty", bool), "ConsoleSize": [range(10_001)]})

# ── networks, volumes, builds ───────────────────────────────────────────────────────────

_SUBNET = _record({
    **_all("Subnet IPRange Gateway", _address),
    **_all("AuxiliaryAddresses AuxAddress", Map(_ANY, _address)),
})  # fmt: skip
_NETWORK = _record({
    "Name": _NETWORK_NAME,
    "Driver": OneOf(("", "bridge"), "other networks reach the machine below the containers"),
    "Scope": OneOf(("", "local")),
    "IPAM": _record({"Driver": OneOf(("", "default")), "Config": [_SUBNET]}),
    **_all("CheckDuplicate EnableIPv6 Internal Attachable", bool),
    "Labels": _LABELS,
})  # fmt: skip
_CONNECT = _record({"Container": _NAME, "EndpointConfig": _ENDPOINT})
_DISCONNECT = _record({"Container": _NAME, "Force": bool})
_VOLUME = _record({"Name": VOLUME_NAME, "Driver": _LOCAL, "Labels": _LABELS})
_ARGUMENT = Text(
    r"(?!(?i:BUILDKIT_)(?!INLINE_CACHE$))[^\x00]*",
    "changes how BuildKit builds, and other frontends than the Dockerfile's own are not available",
)
_SWITCH = OneOf(("", "0", "1", "false", "true", "False", "True"))
_DECIMAL = Text(r"(?:-?[0-9]{1,19})?", "is no number in digits")
LEFT_OUT = _all("rm forcerm pull cpuperiod cpushares memory cpuquota memswap cpusetcpus cpusetmems", _SHORT)
"""Parameters of a build that BuildKit does nothing with; and there is no registry with a newer base image."""
_BUILD: Mapping[str, Shape] = {
    **_all("q nocache", _SWITCH),
    **LEFT_OUT,
    "cachefrom": Encoded([_IMAGE]),
    "version": OneOf(("", "1"), "the proxy speaks no protocol of BuildKit's own"),
    "t": Text(r"(?:[A-Za-z0-9][A-Za-z0-9_.:/-]{0,511})?", "is not written as a name for an image (name:tag)"),
    "dockerfile": Text(
        r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[^\x00-\x1f\x7f]{0,400}", "is not a path inside the folder that is built"
    ),
    "target": Text(r"[A-Za-z0-9_.-]{0,200}"),
    "platform": _PLATFORM,
    "networkmode": _NETWORK_MODE,
    "buildargs": Encoded(Map(_ARGUMENT, _ANY)),
    "labels": Encoded(_LABELS),
    "ulimits": Encoded(_ULIMITS),
    "shmsize": _DECIMAL,
    "extrahosts": _PLAIN,
}

# ── parameters ──────────────────────────────────────────────────────────────────────────

_PARAMETERS: Mapping[str, Shape] = {
    **_all("all size digests shared-size stream one-shot follow stdin stdout stderr timestamps", _SWITCH),
    **_all("details logs v force link noprune verbose", _SWITCH),
    **_all("limit t h w keep-storage", _DECIMAL),
    # How the docker command writes a time, whatever was typed (`10m`, a date).
    **_all("since until", Text(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?)?", "is not in seconds since 1970")),
    "filters": Encoded(Map(Text(r"[a-z-]{1,40}!?", "is no filter"), object)),
    "name": _NAME,
    "platform": _PLATFORM,
    "signal": _SIGNAL,
    "detachKeys": _PLAIN,
    "tail": Text(r"(?:all|[0-9]{0,18})"),
    # The arguments go to a `ps` in the engine's own container.
    "ps_args": OneOf(("", "aux", "-ef", "-aux")),
    "condition": OneOf(("", "not-running", "next-exit", "removed")),
    "path": Text(r"[^\x00-\x1f\x7f]{1,4096}", "is not a path in a container"),
    **_all("fromImage repo", _IMAGE),
    "tag": Text(r"(?:[A-Za-z0-9_.-]{1,128}|[a-z0-9]{1,32}:[0-9a-f]{1,128})?", "is not written as a tag"),
    **_all("type scope", Text("[a-z-]{0,20}")),
}
_REPEATED = frozenset({"t", "extrahosts", "type"})
"""Parameters that may be there several times."""


def _query(names: str) -> Mapping[str, Shape]:
    return {name: _PARAMETERS[name] for name in names.split()}


# ── the table ───────────────────────────────────────────────────────────────────────────

_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_REFERENCE = (
    r"[A-Za-z0-9][A-Za-z0-9_.-]*(?::[0-9]{1,5}(?=/))?(?:/[A-Za-z0-9_.-]+)*"  # registry:5000/name
    r"(?::[A-Za-z0-9_.-]+)?(?:@[a-z0-9]+:[0-9a-f]+)?"  # :tag, @sha256:digest
)
_ONE = f"/containers/{_ID}"
_LOGS = "follow stdout stderr timestamps details since until tail"
_ATTACH = "stdin stdout stderr stream logs detachKeys"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("ping", "(GET|HEAD) /_ping"),
    Endpoint("version", "GET /version"),
    Endpoint("info", "GET /info"),
    Endpoint("disk usage", "GET /system/df", _query("type")),
    Endpoint("events", "GET /events", _query("since until filters")),
    # containers
    Endpoint("containers", "GET /containers/json", _query("all size limit filters")),
    Endpoint("container create", "POST /containers/create", _query("name platform"), _CONTAINER, makes="containers"),
    Endpoint("container prune", "POST /containers/prune", _query("filters")),
    # `docker inspect` asks for anything as a container first, also for `registry/name:tag`.
    Endpoint("container inspect", f"GET /containers/{_REFERENCE}/json", _query("size")),
    Endpoint("container changes", f"GET {_ONE}/changes"),
    Endpoint("container top", f"GET {_ONE}/top", _query("ps_args")),
    Endpoint("container stats", f"GET {_ONE}/stats", _query("stream one-shot")),
    Endpoint("container logs", f"GET {_ONE}/logs", _query(_LOGS)),
    # `docker cp` out of a container.
    Endpoint("container files", f"(GET|HEAD) {_ONE}/archive", _query("path")),
    Endpoint("container start", f"POST {_ONE}/start", _query("detachKeys")),
    Endpoint("container stop", f"POST {_ONE}/stop", _query("t signal")),
    Endpoint("container restart", f"POST {_ONE}/restart", _query("t signal")),
    Endpoint("container kill", f"POST {_ONE}/kill", _query("signal")),
    Endpoint("container pause", f"POST {_ONE}/pause"),
    Endpoint("container unpause", f"POST {_ONE}/unpause"),
    Endpoint("container rename", f"POST {_ONE}/rename", _query("name")),
    Endpoint("container resize", f"POST {_ONE}/resize", _query("h w")),
    Endpoint("container wait", f"POST {_ONE}/wait", _query("condition")),
    Endpoint("container attach", f"POST {_ONE}/attach", _query(_ATTACH), upgrades=("tcp",)),
    Endpoint("container remove", f"DELETE {_ONE}", _query("v force link")),
    Endpoint("exec create", f"POST {_ONE}/exec", body=_EXEC, makes="commands"),
    Endpoint("exec start", f"POST /exec/{_ID}/start", body=_EXEC_START, upgrades=("", "tcp")),
    Endpoint("exec resize", f"POST /exec/{_ID}/resize", _query("h w")),
    Endpoint("exec inspect", f"GET /exec/{_ID}/json"),
    # images
    Endpoint("images", "GET /images/json", _query("all digests shared-size filters")),
    Endpoint("image inspect", f"GET /images/{_REFERENCE}/json"),
    Endpoint("image history", f"GET /images/{_REFERENCE}/history"),
    # A pull is never passed on: an image that is here is up to date, and no other is to be had.
    Endpoint("image pull", "POST /images/create", _query("fromImage tag platform")),
    Endpoint("image prune", "POST /images/prune", _query("filters")),
    Endpoint("image tag", f"POST /images/{_REFERENCE}/tag", _query("repo tag"), makes="images"),
    Endpoint("image remove", f"DELETE /images/{_REFERENCE}", _query("force noprune")),
    # builds
    Endpoint("build", "POST /build", _BUILD, makes="builds"),
    Endpoint("build prune", "POST /build/prune", _query("all keep-storage filters")),
    # networks
    Endpoint("networks", "GET /networks", _query("filters")),
    Endpoint("network inspect", f"GET /networks/{_REFERENCE}", _query("verbose scope")),
    Endpoint("network create", "POST /networks/create", body=_NETWORK, makes="networks"),
    Endpoint("network prune", "POST /networks/prune", _query("filters")),
    Endpoint("network connect", f"POST /networks/(?!host/){_ID}/connect", body=_CONNECT),
    Endpoint("network disconnect", f"POST /networks/{_ID}/disconnect", body=_DISCONNECT),
    Endpoint("network remove", f"DELETE /networks/{_ID}"),
    # volumes
    Endpoint("volumes", "GET /volumes", _query("filters")),
    Endpoint("volume inspect", f"GET /volumes/{_REFERENCE}"),
    Endpoint("volume create", "POST /volumes/create", body=_VOLUME, makes="volumes"),
    Endpoint("volume prune", "POST /volumes/prune", _query("filters")),
    Endpoint("volume remove", f"DELETE /volumes/{_ID}", _query("force")),
    # The last thing that `docker inspect` asks for. There are none, so the answer is "not found".
    Endpoint("plugin inspect", f"GET /plugins/{_REFERENCE}/json"),
)

_REASONS = (
    (r"POST /(auth|images/.+/push)|GET /(images/search|distribution/.*)", "there is no registry here"),
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
_OLDEST, _NEWEST = (1, 24), (1, 45)
_VERSION = re.compile(r"^/v(\d{1,3})\.(\d{1,3})(?=/)")


def find_endpoint(method: str, path: str) -> Endpoint:
    """The endpoint that takes such a request. Raises `Refusal` if there is none, which says why for those known."""
    version = _VERSION.match(path)
    if version and not _OLDEST <= (int(version[1]), int(version[2])) <= _NEWEST:
        raise Refusal(f"the API version of {path[:40]} is not between 1.24 and 1.45, which this engine has")
    asked = f"{method} {without_version(path)}"
    for endpoint in ENDPOINTS:
        if re.fullmatch(endpoint.pattern, asked):
            return endpoint
    reason = next((reason for pattern, reason in _REASONS if re.fullmatch(pattern, asked)), None)
    raise Refusal(reason or f"{asked[:120]} is not available in this engine")


def without_version(path: str) -> str:
    """The path without the API's version before it."""
    return _VERSION.sub("", path)


def parameters(endpoint: Endpoint, query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The parameters of a request as they go on, in their order. Raises `Refusal`."""
    checked = []
    names = [name for name, _ in query]
    for name, value in query:
        if names.count(name) > 1 and name not in _REPEATED:
            raise Refusal(f"{name} may be there once in the query of a request")
        if name in endpoint.query:
            checked.append((name, str(rebuilt(endpoint.query[name], value, name))))
        elif value not in {"", "0", "false"}:
            why = f": {_WHY[name]}" if name in _WHY else ""
            raise Refusal(f"{name[:60]}={value[:60]} is not available here for {endpoint.name}{why}")
    return tuple(checked)
