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
from functools import partial
from typing import TypeVar

from grader.sandbox.proxy.shape import (
    LEFT_OUT,
    Check,
    Fields,
    Json,
    Refusal,
    as_json,
    decimal,
    ignored,
    listing,
    mapping,
    number,
    one_of,
    record,
    switch,
    text,
    truth,
)

T = TypeVar("T")
RESERVED = "grader-work"
"""How the names of volumes begin that are ours."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: what it is called in messages, and a pattern of its method and path, without the API's version.

    `query` has a check for each parameter it takes, of which those in `repeated` may be there several times. `check` is
    that of its JSON body, if it has one. `upgrades` are the protocols that the connection may be hijacked for, ""
    meaning that it is not. `makes` is which quota a request counts against.
    """

    name: str
    pattern: str
    query: Fields = field(default_factory=dict)
    check: Check | None = None
    upgrades: tuple[str, ...] = ("",)
    repeated: tuple[str, ...] = ()
    makes: str = ""


def _all(names: str, value: T) -> dict[str, T]:
    """The same for each of these names."""
    return dict.fromkeys(names.split(), value)


# ── why not ─────────────────────────────────────────────────────────────────────────────

_CLUSTERS = "it is for clusters"
_DEVICES = "containers of an exercise get no devices of the machine (`--device`, `--gpus`)"
_IMPORT = "`docker import` is not available here: images are built from the submission"
_MACHINE = "it reaches the machine below the containers, which is not part of the exercise"

_WHY: Mapping[str, str] = {
    **_all("UTSMode UsernsMode CgroupParent Cgroup Sysctls StorageOpt Annotations", _MACHINE),
    **_all("Devices DeviceRequests DeviceCgroupRules", _DEVICES),
    **_all("Ingress ConfigOnly ConfigFrom ClusterVolumeSpec", _CLUSTERS),
    **_all("fromSrc repo message changes", _IMPORT),
    "Privileged": "a privileged container or process has the whole machine (`--privileged`)",
    "CapAdd": "containers of an exercise need no rights beyond the usual ones (`--cap-add`)",
    "Runtime": "containers run with the engine's own runtime (`--runtime`)",
    "OomKillDisable": "what takes too much memory is ended",
    "Subpath": "mount the whole volume",
    "DriverConfig": "with options of a volume's driver, any folder or disk of the machine could be mounted",
    "DriverOpts": "options of a driver reach the machine: any folder or disk could be mounted (`--opt`)",
    "Options": "options of a network's driver reach the machine below the containers",
    "remote": "what is fetched from elsewhere is not available: build a folder of the submission",
}
_record = partial(record, why=_WHY)

# ── values that many have in common ─────────────────────────────────────────────────────

_ANY = text()
_PLAIN = text(r"[A-Za-z0-9 :./_,@+-]{0,200}")
_WORDS = listing(_ANY)
_LABELS = mapping(_ANY, _ANY)
_PLATFORM = text(r"[a-z0-9/]{0,40}", says="is not a platform (linux/amd64)")
_NAME = text(r"/?[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", says="is not a name that the engine takes")
_IMAGE = text(
    r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,511}", says="is not written as the name of an image (name:tag, or an id)"
)
_SIGNAL = text(r"(?:[A-Za-z0-9+-]{1,16})?", says="is not the name or number of a signal")
TARGET: Check = text(r"/[^\x00-\x1f\x7f:]{0,4095}", says="is not the absolute path of a place in the container")
_SIZES = listing(number(0, 10_000))
_PORT = text(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:/(?:tcp|udp|sctp))?", says="is not written as a port (80/tcp)")
_CPUS = text(r"[0-9,-]{0,100}")
_CONTAINER_REFERENCE = r"container:[A-Za-z0-9][A-Za-z0-9_.-]*"
_LOCAL = one_of("", "local", why="volumes here are local ones")
_ULIMITS = listing(_record({"Name": text(r"[a-z]{1,20}"), **_all("Soft Hard", number(-1))}, needed=("Name",)))


def volume_name(value: Json, where: str) -> Json:
    """The name of a volume, which is not one of ours. Raises `Refusal`."""
    if str(value).startswith(RESERVED):
        raise Refusal(f"names of volumes that begin with {RESERVED} are taken; give the volume another name")
    return _NAME(value, where)


def _network(pattern: str = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}") -> Check:
    """A network by name or id. The host's own is refused; by its id, the engine itself does not give it away."""
    check = text(pattern, says="is not a network")

    def checked(value: Json, where: str) -> Json:
        if isinstance(value, str) and value.casefold() == "host":
            raise Refusal(
                f"{where} cannot be the host's network here (`--network host`): containers of an exercise have a "
                "network of their own. Leave the option out, or use a network made with `docker network create`"
            )
        return check(value, where)

    return checked


_NETWORK_MODE = _network(rf"{_CONTAINER_REFERENCE}|[A-Za-z0-9][A-Za-z0-9_.-]*|")


def _namespace(*words: str) -> Check:
    """A namespace of the container's own, one of these, or another container's."""
    known = "|".join((*words, _CONTAINER_REFERENCE, ""))
    return text(known, says="may be the container's own or another container's here, not the host's")


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
        "Type": one_of("bind", "volume", "tmpfs", why="other types reach the machine below the containers"),
        "Source": _ANY,
        "Target": TARGET,
        "ReadOnly": truth,
        "Consistency": one_of("", "default", "consistent", "cached", "delegated"),
        "BindOptions": _record({
            "Propagation": one_of("", "rprivate", why="mounts stay inside the container"),
            **_all("CreateMountpoint NonRecursive ReadOnlyNonRecursive ReadOnlyForceRecursive", truth),
        }),
        "VolumeOptions": _record({"NoCopy": truth, "Labels": _LABELS}),
        "TmpfsOptions": _record({"SizeBytes": number(0), "Mode": number(0, 0o7777)}),
    },
    needed=("Type", "Target"),
)  # fmt: skip


def _no_paths(value: Json, where: str) -> Json:  # noqa: ARG001 - a check has this signature
    # Null is the usual protection. An empty list, elsewhere the same, here means that nothing is protected.
    raise Refusal(f"{where} cannot be set here: it takes away what protects the machine's settings in /proc and /sys")


_HOST_CONFIG = _record({
    **_all("Memory NanoCpus CpuShares CpuPeriod MemoryReservation ShmSize", number(0)),
    **_all("MemorySwap PidsLimit CpuQuota", number(-1)),
    **_all("AutoRemove PublishAllPorts ReadonlyRootfs Init", truth),
    **_all("Binds Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links VolumesFrom", _WORDS),
    **_all("CpusetCpus CpusetMems", _CPUS),
    **_all("MaskedPaths ReadonlyPaths", _no_paths),
    "MemorySwappiness": number(-1, 100),
    "OomScoreAdj": number(0, 1000),
    "Mounts": listing(_MOUNT),
    "Tmpfs": mapping(TARGET, text(r"[a-z]*(?:=[0-9a-z%]+)?(?:,[a-z]+(?:=[0-9a-z%]+)?)*")),
    "ContainerIDFile": ignored(_ANY),
    "ConsoleSize": _SIZES,
    "LogConfig": _record({
        "Type": one_of("", "json-file", "local", "none", why="other drivers send what is logged elsewhere"),
        "Config": mapping(one_of("max-size", "max-file", "compress", "mode", "tag", "labels", "env"), _ANY),
    }),
    "NetworkMode": _NETWORK_MODE,
    "PortBindings": mapping(_PORT, listing(_record(_all("HostIp HostPort", _ANY)))),
    "RestartPolicy": _record({
        "Name": one_of("", "no", "always", "on-failure", "unless-stopped"),
        "MaximumRetryCount": number(0),
    }),
    "CapDrop": listing(text(r"[A-Za-z_]{1,40}", says="is not the name of a capability")),
    "Ulimits": _ULIMITS,
    "CgroupnsMode": one_of("", "private", why=_MACHINE),
    "IpcMode": _namespace("private", "shareable", "none"),
    "PidMode": _namespace(),
    "VolumeDriver": _LOCAL,
    "Isolation": ignored(one_of("", "default")),
    "SecurityOpt": listing(
        one_of(
            *("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"),
            why="other options switch off what keeps the container in (`--security-opt`)",
        )
    ),
})  # fmt: skip
_ENDPOINT = _record({
    "IPAMConfig": _record({**_all("IPv4Address IPv6Address", _ANY), "LinkLocalIPs": _WORDS}),
    **_all("Links Aliases", _WORDS),
    "MacAddress": _ANY,
    # The engine fills in these; clients send what they have read before.
    **_all("NetworkID EndpointID Gateway IPAddress IPv6Gateway GlobalIPv6Address", ignored(_ANY)),
    **_all("IPPrefixLen GlobalIPv6PrefixLen", ignored(number(0, 128))),
    "DNSNames": ignored(_WORDS),
})  # fmt: skip
_CONTAINER = _record(
    {
        **_all("Hostname Domainname User WorkingDir MacAddress", _ANY),
        **_all("AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce ArgsEscaped NetworkDisabled", truth),
        **_all("Env Cmd Entrypoint Shell", _WORDS),
        "Image": _IMAGE,
        "Labels": _LABELS,
        "Healthcheck": _record({
            "Test": _WORDS,
            **_all("Interval Timeout StartPeriod StartInterval", number(0)),
            "Retries": number(0, 1_000_000),
        }),
        "Volumes": mapping(TARGET, _record({})),
        "ExposedPorts": mapping(_PORT, _record({})),
        "StopSignal": _SIGNAL,
        "StopTimeout": number(-1, 86_400),
        "HostConfig": _HOST_CONFIG,
        "NetworkingConfig": _record({"EndpointsConfig": mapping(_network(), _ENDPOINT, nulls=True)}),
    },
    needed=("Image",),
)  # fmt: skip
_EXEC = _record(
    {
        **_all("User DetachKeys WorkingDir", _ANY),
        **_all("Tty AttachStdin AttachStdout AttachStderr Detach", truth),
        **_all("Env Cmd", _WORDS),
        "ConsoleSize": _SIZES,
    },
    needed=("Cmd",),
)
_EXEC_START = _record({**_all("Detach Tty", truth), "ConsoleSize": _SIZES})

# ── networks, volumes, builds ───────────────────────────────────────────────────────────

_SUBNET = _record({
    **_all("Subnet IPRange Gateway", _address),
    **_all("AuxiliaryAddresses AuxAddress", mapping(_ANY, _address)),
})  # fmt: skip
_NETWORK = _record(
    {
        "Name": _network(),
        "Driver": one_of("", "bridge", why="other networks reach the machine below the containers"),
        "Scope": one_of("", "local"),
        "IPAM": _record({"Driver": one_of("", "default"), "Config": listing(_SUBNET)}),
        **_all("CheckDuplicate EnableIPv6 Internal Attachable", truth),
        "Labels": _LABELS,
    },
    needed=("Name",),
)
_CONNECT = _record({"Container": _NAME, "EndpointConfig": _ENDPOINT}, needed=("Container",))
_DISCONNECT = _record({"Container": _NAME, "Force": truth}, needed=("Container",))
_VOLUME = _record({
    "Name": lambda value, where: volume_name(value, where) if value else LEFT_OUT,
    "Driver": _LOCAL,
    "Labels": _LABELS,
})  # fmt: skip


def _build_arguments(value: Json, where: str) -> Json:
    arguments = mapping(_ANY, _ANY, nulls=True)(value, where)
    for name in arguments if isinstance(arguments, dict) else ():
        if name.upper().startswith("BUILDKIT_") and name != "BUILDKIT_INLINE_CACHE":
            raise Refusal(
                f"{where}.{name[:60]} cannot be set here: it changes how BuildKit builds, and other frontends than the "
                "Dockerfile's own are not available"
            )
    return arguments


_BUILD: Fields = {
    **_all("q nocache", switch),
    # BuildKit does nothing with these; and there is no registry with a newer base image, nor one with a cache.
    **_all("rm forcerm pull", ignored(switch)),
    **_all("cpuperiod cpushares memory", ignored(decimal(0))),
    **_all("cpuquota memswap", ignored(decimal(-1))),
    **_all("cpusetcpus cpusetmems", ignored(_CPUS)),
    "cachefrom": ignored(as_json(listing(_IMAGE))),
    "version": ignored(one_of("", "1", why="the proxy speaks no protocol of BuildKit's own")),
    "t": text(r"(?:[A-Za-z0-9][A-Za-z0-9_.:/-]{0,511})?", says="is not written as a name for an image (name:tag)"),
    "dockerfile": text(
        r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[^\x00-\x1f\x7f]{0,400}", says="is not a path inside the folder that is built"
    ),
    "target": text(r"[A-Za-z0-9_.-]{0,200}"),
    "platform": _PLATFORM,
    "networkmode": _NETWORK_MODE,
    "buildargs": as_json(_build_arguments),
    "labels": as_json(_LABELS),
    "ulimits": as_json(_ULIMITS),
    "shmsize": decimal(0),
    "extrahosts": _PLAIN,
}

# ── parameters ──────────────────────────────────────────────────────────────────────────


def _filter_values(value: Json, where: str) -> Json:
    """Either form that the engine takes: `{"a": true}` or, from before API 1.22, `["a"]`."""
    check = listing(_ANY) if isinstance(value, list) else mapping(_ANY, truth)
    return check(value, where)


_SECONDS = text(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?)?", says="is not in seconds since 1970")
"""How the docker command writes a time, whatever was typed (`10m`, a date)."""
_PARAMETERS: Fields = {
    **_all("all size digests shared-size stream one-shot follow stdin stdout stderr timestamps", switch),
    **_all("details logs v force link noprune verbose", switch),
    **_all("limit t", decimal(-1)),
    **_all("h w", decimal(0, 10_000)),
    **_all("since until", _SECONDS),
    "filters": as_json(mapping(text(r"[a-z-]{1,40}!?", says="is no filter"), _filter_values)),
    "name": _NAME,
    "platform": _PLATFORM,
    "signal": _SIGNAL,
    "detachKeys": _PLAIN,
    "tail": text(r"(?:all|[0-9]{0,18})"),
    # The arguments go to a `ps` in the engine's own container.
    "ps_args": one_of("", "aux", "-ef", "-aux"),
    "condition": one_of("", "not-running", "next-exit", "removed"),
    "path": text(r"[^\x00-\x1f\x7f]{1,4096}", says="is not a path in a container"),
    **_all("fromImage repo", _IMAGE),
    "tag": text(r"(?:[A-Za-z0-9_.-]{1,128}|[a-z0-9]{1,32}:[0-9a-f]{1,128})?", says="is not written as a tag"),
    "keep-storage": decimal(0),
    **_all("type scope", text("[a-z-]{0,20}")),
}


def _query(names: str) -> Fields:
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
    Endpoint("disk usage", "GET /system/df", _query("type"), repeated=("type",)),
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
    Endpoint("exec create", f"POST {_ONE}/exec", check=_EXEC, makes="commands"),
    Endpoint("exec start", f"POST /exec/{_ID}/start", check=_EXEC_START, upgrades=("", "tcp")),
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
    Endpoint("build", "POST /build", _BUILD, repeated=("t", "extrahosts"), makes="builds"),
    Endpoint("build prune", "POST /build/prune", _query("all keep-storage filters")),
    # networks
    Endpoint("networks", "GET /networks", _query("filters")),
    Endpoint("network inspect", f"GET /networks/{_REFERENCE}", _query("verbose scope")),
    Endpoint("network create", "POST /networks/create", check=_NETWORK, makes="networks"),
    Endpoint("network prune", "POST /networks/prune", _query("filters")),
    Endpoint("network connect", f"POST /networks/(?!host/){_ID}/connect", check=_CONNECT),
    Endpoint("network disconnect", f"POST /networks/{_ID}/disconnect", check=_DISCONNECT),
    Endpoint("network remove", f"DELETE /networks/{_ID}"),
    # volumes
    Endpoint("volumes", "GET /volumes", _query("filters")),
    Endpoint("volume inspect", f"GET /volumes/{_REFERENCE}"),
    Endpoint("volume create", "POST /volumes/create", check=_VOLUME, makes="volumes"),
    Endpoint("volume prune", "POST /volumes/prune", _query("filters")),
    Endpoint("volume remove", f"DELETE /volumes/{_ID}", _query("force")),
    # The last thing that `docker inspect` asks for. There are none, so the answer is "not found".
    Endpoint("plugin inspect", f"GET /plugins/{_REFERENCE}/json"),
)

_NO_REGISTRY = "`docker {}` is not available here: there is no registry"
_REASONS = (
    (r"POST /auth", _NO_REGISTRY.format("login")),
    (r"POST /images/.+/push", _NO_REGISTRY.format("push")),
    (r"GET /images/search", _NO_REGISTRY.format("search")),
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


def parameters(endpoint: Endpoint, query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The parameters of a request as they go on, in their order. Raises `Refusal`."""
    checked = []
    names = [name for name, _ in query]
    for name, value in query:
        if names.count(name) > 1 and name not in endpoint.repeated:
            raise Refusal(f"{name} may be there once in the query of a request")
        if name in endpoint.query:
            result = endpoint.query[name](value, name)
            checked += [(name, str(result))] if result is not LEFT_OUT else []
        elif value not in {"", "0", "false"}:
            why = f": {_WHY[name]}" if name in _WHY else ""
            raise Refusal(f"{name[:60]}={value[:60]} is not available here for {endpoint.name}{why}")
    return tuple(checked)
