"""The tables: which requests of API 1.45 there are, what each may ask for, and what is said of the rest.

What the docker command and Compose need is here; the fields are those of
https://docs.docker.com/reference/api/engine/version/v1.45/. What is in no table is not passed on; `WHY` and `REASONS`
only say it in words that help. What can do no harm, whatever is in it, is left to the engine to complain about.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from grader.sandbox.proxy.shape import Encoded, Json, Map, Record, Refusal, Shape, Text

T = TypeVar("T")
RESERVED = "grader-work"
"""How the names of volumes begin that are ours."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Requests that are treated alike: a pattern of their method and path, without the API's version.

    `name` is for those that need more than the tables. `body` is the shape of the JSON, if it has one. `makes` is which
    quota a request counts against. `upgrades` are the protocols that the connection may be hijacked for, "" meaning
    that it is not.
    """

    pattern: str
    name: str = ""
    body: Shape | None = None
    makes: str = ""
    upgrades: tuple[str, ...] = ("",)


def _all(names: str, value: T) -> dict[str, T]:
    """The same for each of these names."""
    return dict.fromkeys(names.split(), value)


def _one_of(allowed: str, why: str = "") -> Text:
    """Nothing, or one of these words."""
    says = f"may be {allowed.replace(' ', ', ')} here" + (why and f" ({why})")
    return Text("|".join(["", *map(re.escape, allowed.split())]), says)


# ── why not ─────────────────────────────────────────────────────────────────────────────

_MACHINE = "it reaches the machine below the containers, which is not part of the exercise"
WHY: Mapping[str, str] = {
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
    return Record(fields, needed, WHY)


# ── values that many have in common ─────────────────────────────────────────────────────

_PLAIN = Text(r"[^\x00-\x1f\x7f]*", "has characters that nobody types")
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}"
VOLUME_NAME = Text(
    rf"(?!{RESERVED})(?:{_NAME})?",
    f"is no name for a volume (those that begin with {RESERVED} are taken); give the volume another name",
)
_IMAGE = Text(r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,511}", "is not written as the name of an image (name:tag, or an id)")
TARGET = Text(r"/[^\x00-\x1f\x7f:]{0,4095}", "is not the absolute path of a place in the container")
_LOCAL = _one_of("local", "volumes here are local ones")
_ANOTHERS = r"container:[A-Za-z0-9][A-Za-z0-9_.-]*"
_OWN = "may be the container's own or another container's here, not the host's"
_NOT_THE_HOSTS = (
    "cannot be the host's network here (`--network host`). Containers of an exercise have a network of their own: "
    "leave the option out, or name one made with `docker network create`"
)
_NETWORK_NAME = Text(rf"(?!(?i:host)$){_NAME}", _NOT_THE_HOSTS)
_NETWORK_MODE = Text(rf"{_ANOTHERS}|{_NETWORK_NAME.pattern}|", _NOT_THE_HOSTS)


def _address(value: Json, where: str) -> Json:
    """An address or subnet of a private range: others would take the engine's ways to the rest of the world."""
    try:
        if isinstance(value, str) and (not value or ipaddress.ip_interface(value).network.is_private):
            return value
    except ValueError:
        pass
    raise Refusal(f"{where} is an address or subnet of a private range (10.0.0.0/8, for instance), not {value!r}")


# ── bodies ──────────────────────────────────────────────────────────────────────────────

_MOUNT = _record(
    {
        "Type": _one_of("bind volume tmpfs", "other types reach the machine below the containers"),
        "Source": str,
        "Target": TARGET,
        "ReadOnly": bool,
        "Consistency": str,
        "BindOptions": _record({
            "Propagation": _one_of("rprivate", "mounts stay inside the container"),
            **_all("CreateMountpoint NonRecursive ReadOnlyNonRecursive ReadOnlyForceRecursive", bool),
        }),
        "VolumeOptions": _record({"NoCopy": bool, "Labels": object}),
        "TmpfsOptions": _record({"SizeBytes": int, "Mode": int}),
    },
    *("Type", "Target"),
)  # fmt: skip
_HOST_CONFIG = _record({
    **_all("Memory NanoCpus CpuShares CpuPeriod CpuQuota MemoryReservation MemorySwap MemorySwappiness PidsLimit", int),
    **_all("ShmSize CpusetCpus CpusetMems Ulimits ConsoleSize ContainerIDFile PortBindings RestartPolicy", object),
    **_all("AutoRemove PublishAllPorts ReadonlyRootfs Init", bool),
    **_all("Binds Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links VolumesFrom CapDrop", [str]),
    # Null is the usual protection. An empty list, elsewhere the same, here means that nothing is protected.
    **_all("MaskedPaths ReadonlyPaths", Text("(?!)", "protects the machine in /proc and /sys, so it stays")),
    "OomScoreAdj": range(1001),
    "Mounts": [_MOUNT],
    "Tmpfs": Map(TARGET, Text(r"[a-z]*(?:=[0-9a-z%]+)?(?:,[a-z]+(?:=[0-9a-z%]+)?)*")),
    "LogConfig": _record({
        "Type": _one_of("json-file local none", "other drivers send what is logged elsewhere"),
        "Config": Map(_one_of("max-size max-file compress mode tag labels env"), str),
    }),
    "NetworkMode": _NETWORK_MODE,
    "CgroupnsMode": _one_of("private", _MACHINE),
    "IpcMode": Text(rf"private|shareable|none|{_ANOTHERS}|", _OWN),
    "PidMode": Text(rf"{_ANOTHERS}|", _OWN),
    "VolumeDriver": _LOCAL,
    "Isolation": _one_of("default"),
    "SecurityOpt": [_one_of(
        "no-new-privileges no-new-privileges:true no-new-privileges=true",
        "other options switch off what keeps the container in (`--security-opt`)",
    )],
})  # fmt: skip
_ENDPOINT = _record({**_all("IPAMConfig MacAddress", object), **_all("Links Aliases", [str])})
_CONTAINER = _record(
    {
        **_all("Hostname Domainname User WorkingDir MacAddress StopSignal", str),
        **_all("AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce ArgsEscaped NetworkDisabled", bool),
        **_all("Env Cmd Entrypoint Shell", [str]),
        **_all("Labels Healthcheck ExposedPorts StopTimeout", object),
        "Image": _IMAGE,
        "Volumes": Map(TARGET, _record({})),
        "HostConfig": _HOST_CONFIG,
        "NetworkingConfig": _record({"EndpointsConfig": Map(_NETWORK_NAME, _ENDPOINT)}),
    },
    "Image",
)
_EXEC = _record({
    **_all("Tty AttachStdin AttachStdout AttachStderr Detach", bool),
    **_all("User DetachKeys WorkingDir Env Cmd ConsoleSize", object),
})  # fmt: skip
_SUBNET = _record({
    **_all("Subnet IPRange Gateway", _address),
    **_all("AuxiliaryAddresses AuxAddress", Map(str, _address)),
})  # fmt: skip
_NETWORK = _record({
    "Name": _NETWORK_NAME,
    "Driver": _one_of("bridge", "other networks reach the machine below the containers"),
    "IPAM": _record({"Driver": _one_of("default"), "Config": [_SUBNET]}),
    **_all("CheckDuplicate EnableIPv6 Internal Attachable", bool),
    **_all("Scope Labels", object),
})  # fmt: skip

# ── parameters ──────────────────────────────────────────────────────────────────────────

_ARGUMENT = Text(
    "(?!(?i:BUILDKIT_)(?!INLINE_CACHE$)).*",
    "changes how BuildKit builds, and other frontends than the Dockerfile's own are not available",
)
LEFT_OUT = _all("rm forcerm pull cpuperiod cpushares memory cpuquota memswap cpusetcpus cpusetmems cachefrom", _PLAIN)
"""Parameters of a build that BuildKit does nothing with; and there is no registry with a newer base image."""
BUILD: Mapping[str, Shape] = {
    **_all("q nocache target platform shmsize extrahosts", _PLAIN),
    **LEFT_OUT,
    "version": _one_of("1", "the proxy speaks no protocol of BuildKit's own"),
    "t": Text(rf"(?:{_IMAGE.pattern})?", "is not written as a name for an image (name:tag)"),
    "dockerfile": Text(
        r"(?!/)(?!(?:.*/)?\.\.(?:/|$))[^\x00-\x1f\x7f]{0,400}", "is not a path inside the folder that is built"
    ),
    "networkmode": _NETWORK_MODE,
    "buildargs": Encoded(Map(_ARGUMENT, str)),
    **_all("labels ulimits", Encoded(object)),
}
PARAMETERS: Mapping[str, Shape] = {
    **_all("all size digests shared-size stream one-shot follow stdin stdout stderr timestamps details logs", _PLAIN),
    **_all("v force link noprune verbose limit t h w keep-storage name platform signal detachKeys tail", _PLAIN),
    **_all("condition type scope", _PLAIN),
    # How the docker command writes a time, whatever was typed (`10m`, a date).
    **_all("since until", Text(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?)?", "is not in seconds since 1970")),
    "filters": Encoded(object),
    # The arguments go to a `ps` in the engine's own container.
    "ps_args": _one_of("aux -ef -aux"),
    "path": Text(r"[^\x00-\x1f\x7f]{1,4096}", "is not a path in a container"),
    **_all("fromImage repo", _IMAGE),
    "tag": Text(r"(?:[A-Za-z0-9_.-]{1,128}|[a-z0-9]{1,32}:[0-9a-f]{1,128})?", "is not written as a tag"),
}
"""Those of all other requests together: an engine does nothing with one that an endpoint does not have."""
REPEATED = frozenset({"t", "extrahosts", "type"})
"""Parameters that may be there several times."""

# ── requests ────────────────────────────────────────────────────────────────────────────

_ID = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_REFERENCE = (
    r"[A-Za-z0-9][A-Za-z0-9_.-]*(?::[0-9]{1,5}(?=/))?(?:/[A-Za-z0-9_.-]+)*"  # registry:5000/name
    r"(?::[A-Za-z0-9_.-]+)?(?:@[a-z0-9]+:[0-9a-f]+)?"  # :tag, @sha256:digest
)
_ONE = f"/containers/{_ID}"
ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("(GET|HEAD) /_ping|GET /(version|info|containers/json|images/json|networks|volumes)"),
    Endpoint("GET /system/df", "disk usage"),
    Endpoint("GET /events", "events"),
    Endpoint("POST /(containers|images|build|networks|volumes)/prune"),
    # `docker inspect` asks for anything as all of these, also for `registry/name:tag`. There are no plugins.
    Endpoint(f"GET /((containers|images|plugins)/{_REFERENCE}/json|(networks|volumes)/{_REFERENCE})"),
    Endpoint("POST /containers/create", "container create", _CONTAINER, "containers"),
    Endpoint(f"GET {_ONE}/(changes|top|stats|logs)|(GET|HEAD) {_ONE}/archive"),  # `docker cp` out of a container
    Endpoint(f"POST {_ONE}/(start|stop|restart|kill|pause|unpause|rename|resize|wait)"),
    Endpoint(f"POST {_ONE}/attach", upgrades=("tcp",)),
    Endpoint(f"POST {_ONE}/exec", body=_EXEC, makes="commands"),
    Endpoint(f"POST /exec/{_ID}/start", "exec start", _EXEC, upgrades=("", "tcp")),
    Endpoint(f"POST /exec/{_ID}/resize|GET /exec/{_ID}/json"),
    Endpoint(f"DELETE /((containers|networks|volumes)/{_ID}|images/{_REFERENCE})"),
    Endpoint(f"GET /images/{_REFERENCE}/history"),
    # A pull is never passed on: an image that is here is up to date, and no other is to be had.
    Endpoint("POST /images/create", "image pull"),
    Endpoint(f"POST /images/{_REFERENCE}/tag", makes="images"),
    Endpoint("POST /build", "build", makes="builds"),
    Endpoint("POST /networks/create", body=_NETWORK, makes="networks"),
    Endpoint(
        f"POST /networks/(?!host/){_ID}/(connect|disconnect)",
        body=_record({"Container": str, "Force": bool, "EndpointConfig": _ENDPOINT}),
    ),
    Endpoint(
        "POST /volumes/create",
        body=_record({"Name": VOLUME_NAME, "Driver": _LOCAL, "Labels": object}),
        makes="volumes",
    ),
)

REASONS = (
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
