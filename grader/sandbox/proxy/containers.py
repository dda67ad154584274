"""The settings of containers: what may be asked for, and how folders of the workspace get into them.

Fields are those of API 1.45, `POST /containers/create` and `POST /containers/{id}/exec`:
https://docs.docker.com/reference/api/engine/version/v1.45/

A bind mount names a path, and the engine goes there when the container *starts*. By then a script may have put a link
in its place that leads anywhere in the engine's own file system, so looking at the path beforehand proves nothing.
Instead, the workspace is made a volume, and a bind mount below it becomes a mount of that volume with `Subpath` (API
1.45), which the engine resolves at the start, safely: a link that leads out of the volume is an error then.
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from grader.sandbox.proxy.settings import SharedFolder
from grader.sandbox.proxy.shape import (
    Check,
    Json,
    Refusal,
    ignored,
    listing,
    mapping,
    number,
    one_of,
    record,
    text,
    truth,
    unset,
)

_ANY = text()
_WORDS = listing(_ANY)
LABELS: Check = mapping(_ANY, _ANY)
NAME: Check = text(r"/?[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", says="is not a name that the engine takes")
IMAGE: Check = text(
    r"[A-Za-z0-9][A-Za-z0-9_.:@/-]{0,511}", says="is not written as the name of an image (name:tag, or an id)"
)
SIGNAL: Check = text(r"(?:[A-Za-z0-9+-]{1,16})?", says="is not the name or number of a signal")
TARGET: Check = text(r"/[^\x00-\x1f\x7f:]{0,4095}", says="is not the absolute path of a place in the container")
_CONTAINER_REFERENCE = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_SIZES = listing(number(0, 10_000), most=2)
_PORT = text(r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:/(?:tcp|udp|sctp))?", says="is not written as a port (80/tcp)")
_CAPABILITY = text(r"[A-Za-z_]{1,40}", says="is not the name of a capability")

ULIMITS: Check = listing(
    record({"Name": text(r"[a-z]{1,20}"), "Soft": number(-1), "Hard": number(-1)}, needed=("Name",))
)


def _network_mode(value: Json, where: str) -> Json:
    return no_host(text(rf"(?:container:)?{_CONTAINER_REFERENCE}|", says="is not a network")(value, where), where)


def no_host(value: Json, where: str) -> Json:
    """Any network but the host's. Raises `Refusal` for that."""
    if isinstance(value, str) and value.casefold() == "host":
        raise Refusal(
            f"{where} cannot be the host's network here (`--network host`): containers of an exercise have a network "
            "of their own. Leave the option out, or use a network made with `docker network create`"
        )
    return value


NETWORK_MODE: Check = _network_mode


def NETWORK(value: Json, where: str) -> Json:  # noqa: N802 - a check like the constants beside it
    """A network by name or id. The host's own is refused; by its id, the engine itself does not give it away."""
    return no_host(text(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}", says="is not a network")(value, where), where)


ENDPOINT: Check = record(
    {
        "IPAMConfig": record({"IPv4Address": _ANY, "IPv6Address": _ANY, "LinkLocalIPs": _WORDS}),
        "Links": _WORDS,
        "Aliases": _WORDS,
        "MacAddress": _ANY,
        # The engine fills in these; clients send what they have read before.
        **dict.fromkeys(
            ("NetworkID", "EndpointID", "Gateway", "IPAddress", "IPv6Gateway", "GlobalIPv6Address"), ignored(_ANY)
        ),
        **dict.fromkeys(("IPPrefixLen", "GlobalIPv6PrefixLen"), ignored(number(0, 128))),
        "DNSNames": ignored(_WORDS),
        "DriverOpts": unset("options of a network's driver reach the machine below the containers"),
    }
)

_VOLUME_OPTIONS: Check = record(
    {
        "NoCopy": truth,
        "Labels": LABELS,
        "Subpath": unset("mount the whole volume"),
        "DriverConfig": unset("with options of a volume's driver, any folder or disk of the machine could be mounted"),
    }
)
_MOUNT: Check = record(
    {
        "Type": one_of("bind", "volume", "tmpfs", why="other types reach the machine below the containers"),
        "Source": _ANY,
        "Target": TARGET,
        "ReadOnly": truth,
        "Consistency": ignored(one_of("", "default", "consistent", "cached", "delegated")),
        "BindOptions": record({
            "Propagation": ignored(one_of("", "rprivate", why="mounts stay inside the container")),
            "CreateMountpoint": truth,
            "NonRecursive": ignored(truth),
            "ReadOnlyNonRecursive": ignored(truth),
            "ReadOnlyForceRecursive": ignored(truth),
        }),
        "VolumeOptions": _VOLUME_OPTIONS,
        "TmpfsOptions": record({"SizeBytes": number(0), "Mode": number(0, 0o7777), "Options": unset()}),
    },
    needed=("Type", "Target"),
)  # fmt: skip

_MACHINE = "it reaches the machine below the containers, which is not part of the exercise"
_DEVICES = "containers of an exercise get no devices of the machine (`--device`, `--gpus`)"
_PACE = unset("the speed of disks is not limited by containers here")


def _private_or_of_container(*words: str) -> Check:
    known = "|".join(words)
    return text(
        rf"(?:{known})?|container:{_CONTAINER_REFERENCE}",
        says="may be the container's own or another container's here, not the host's",
    )


def _host_config() -> dict[str, Check]:
    amounts = ("Memory", "NanoCpus", "CpuShares", "CpuPeriod", "MemoryReservation", "ShmSize")
    return {
        **dict.fromkeys(amounts, number(0)),
        **dict.fromkeys(("MemorySwap", "PidsLimit", "CpuQuota"), number(-1)),
        **dict.fromkeys(("AutoRemove", "PublishAllPorts", "ReadonlyRootfs", "Init"), truth),
        **dict.fromkeys(("Dns", "DnsOptions", "DnsSearch", "ExtraHosts", "GroupAdd", "Links", "VolumesFrom"), _WORDS),
        **dict.fromkeys(("CpusetCpus", "CpusetMems"), text(r"[0-9,-]{0,100}")),
        "MemorySwappiness": number(-1, 100),
        "OomScoreAdj": number(0, 1000),
        "Binds": listing(_ANY),
        "Mounts": listing(_MOUNT),
        "Tmpfs": mapping(TARGET, text(r"[a-z]*(?:=[0-9a-z%]+)?(?:,[a-z]+(?:=[0-9a-z%]+)?)*")),
        "ContainerIDFile": ignored(_ANY),
        "ConsoleSize": _SIZES,
        "LogConfig": record({
            "Type": one_of("", "json-file", "local", "none", why="other drivers send what is logged elsewhere"),
            "Config": mapping(one_of("max-size", "max-file", "compress", "mode", "tag", "labels", "env"), _ANY),
        }),
        "NetworkMode": _network_mode,
        "PortBindings": mapping(_PORT, listing(record({"HostIp": _ANY, "HostPort": _ANY}))),
        "RestartPolicy": record({
            "Name": one_of("", "no", "always", "on-failure", "unless-stopped"),
            "MaximumRetryCount": number(0),
        }),
        "CapDrop": listing(_CAPABILITY),
        "Ulimits": ULIMITS,
        "CgroupnsMode": one_of("", "private", why=_MACHINE),
        "IpcMode": _private_or_of_container("private", "shareable", "none"),
        "PidMode": _private_or_of_container(),
        "VolumeDriver": one_of("", "local", why="volumes here are local ones"),
        "Isolation": ignored(one_of("", "default")),
        "SecurityOpt": listing(
            one_of(
                *("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"),
                why="other options switch off what keeps the container in (`--security-opt`)",
            )
        ),
        **_never(),
    }  # fmt: skip


def _never() -> dict[str, Check]:
    """Fields that clients send empty, each with what is said of them otherwise."""
    paces = ("BlkioWeight", "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps")
    others = ("UTSMode", "UsernsMode", "CgroupParent", "Cgroup", "Sysctls", "StorageOpt", "Annotations")
    windows = ("CpuCount", "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth", "CpuRealtimePeriod")
    return {
        **dict.fromkeys((*paces, "BlkioDeviceWriteIOps"), _PACE),
        **dict.fromkeys(others, unset(_MACHINE)),
        **dict.fromkeys((*windows, "CpuRealtimeRuntime", "KernelMemory", "KernelMemoryTCP"), unset()),
        **dict.fromkeys(("Devices", "DeviceRequests", "DeviceCgroupRules"), unset(_DEVICES)),
        "Privileged": unset("a privileged container has the whole machine (`--privileged`)"),
        "CapAdd": unset("containers of an exercise need no rights beyond the usual ones (`--cap-add`)"),
        "Runtime": unset("containers run with the engine's own runtime (`--runtime`)"),
        "OomKillDisable": unset("what takes too much memory is ended"),
        "MaskedPaths": _no_paths,
        "ReadonlyPaths": _no_paths,
    }


def _no_paths(value: Json, where: str) -> Json:  # noqa: ARG001 - a check has this signature
    # Null is the usual protection. An empty list, elsewhere the same, here means that nothing is protected.
    raise Refusal(f"{where} cannot be set here: it takes away what protects the machine's settings in /proc and /sys")


_HEALTHCHECK: Check = record(
    {
        "Test": _WORDS,
        **dict.fromkeys(("Interval", "Timeout", "StartPeriod", "StartInterval"), number(0)),
        "Retries": number(0, 1_000_000),
    }
)

CONTAINER: Check = record(
    {
        **dict.fromkeys(("Hostname", "Domainname", "User", "WorkingDir", "MacAddress"), _ANY),
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), truth),
        **dict.fromkeys(("ArgsEscaped", "NetworkDisabled"), truth),
        **dict.fromkeys(("Env", "Cmd", "Entrypoint", "Shell"), _WORDS),
        "Image": IMAGE,
        "Labels": LABELS,
        "Healthcheck": _HEALTHCHECK,
        "Volumes": mapping(TARGET, record({})),
        "ExposedPorts": mapping(_PORT, record({})),
        "StopSignal": SIGNAL,
        "StopTimeout": number(-1, 86_400),
        "OnBuild": unset(),
        "HostConfig": record(_host_config()),
        "NetworkingConfig": record({"EndpointsConfig": mapping(NETWORK, ENDPOINT, nulls=True)}),
    },
    needed=("Image",),
)

EXEC: Check = record(
    {
        **dict.fromkeys(("User", "DetachKeys", "WorkingDir"), _ANY),
        **dict.fromkeys(("Tty", "AttachStdin", "AttachStdout", "AttachStderr", "Detach"), truth),
        "Env": _WORDS,
        "Cmd": _WORDS,
        "ConsoleSize": _SIZES,
        "Privileged": unset("a privileged process has the whole machine (`docker exec --privileged`)"),
    },
    needed=("Cmd",),
)

EXEC_START: Check = record({"Detach": truth, "Tty": truth, "ConsoleSize": _SIZES})


# ── cores ───────────────────────────────────────────────────────────────────────────────

_PERIOD = 100_000
"""Microseconds; the engine's own where none is given."""


def bounded(cpus: float, host: dict[str, Any]) -> dict[str, Any]:
    """A container's `HostConfig` with at most so many cores (0: no bound), where it asks for more.

    Where control groups are of version 1, the kernel takes no quota for a group that is larger than that of the group
    above it, so the container would not start, with words that nobody understands. It gets what there is, as it would
    with version 2.
    """
    if not cpus:
        return host
    most = {"NanoCpus": int(cpus * 1e9), "CpuQuota": int(cpus * (host.get("CpuPeriod") or _PERIOD))}
    return host | {name: least for name, least in most.items() if (host.get(name) or 0) > least}


# ── mounts ──────────────────────────────────────────────────────────────────────────────

RESERVED = "grader-work-"
"""Names of volumes that begin like this are ours."""
_MODES = frozenset({"", "ro", "rw", "z", "Z", "nocopy", "rprivate", "cached", "delegated", "consistent"})


@dataclass(frozen=True, slots=True)
class Placed:
    """A container's settings with its mounts in their final form.

    `uses_workspace` says that the volume of the workspace has to be there, `folders` which folders in it Docker makes
    for bind mounts of paths that do not exist.
    """

    settings: dict[str, Any]
    uses_workspace: bool
    folders: tuple[str, ...]


def workspace_volume(workspace: SharedFolder) -> dict[str, Any]:
    """The body of `POST /volumes/create` for the workspace. Asking again for the same one changes nothing."""
    name = RESERVED + hashlib.sha256(workspace.engine.encode()).hexdigest()[:12]
    return {"Name": name, "Driver": "local", "DriverOpts": {"type": "none", "o": "bind", "device": workspace.engine}}


def place(settings: dict[str, Any], workspace: SharedFolder) -> Placed:
    """Put mounts of the workspace's volume in the place of bind mounts. Raises `Refusal` for folders outside of it."""
    host: dict[str, Any] = settings.get("HostConfig") or {}
    volumes: list[str] = []
    mounts: list[dict[str, Any]] = []
    folders: list[str] = []

    def add(source: str, target: str, *, read_only: bool, is_made: bool) -> None:
        path = _below(source, PurePosixPath(workspace.path))
        mounts.append({
            "Type": "volume",
            "Source": workspace_volume(workspace)["Name"],
            "Target": target,
            "ReadOnly": read_only,
            "VolumeOptions": {"NoCopy": True} | ({} if path == "." else {"Subpath": path}),
        })  # fmt: skip
        if is_made:
            folders.append(path)

    for bind in host.get("Binds") or ():
        source, target, options = _parts(bind)
        TARGET(target, f"the target of the mount {bind!r}")
        if source.startswith("/"):
            add(source, target, read_only="ro" in options, is_made=True)
        else:
            check_volume(source, "the name of a volume")
            volumes.append(bind)
    for mount in host.get("Mounts") or ():
        source = mount.get("Source") or ""
        if mount["Type"] == "bind":
            is_made = bool((mount.get("BindOptions") or {}).get("CreateMountpoint"))
            add(source, mount["Target"], read_only=bool(mount.get("ReadOnly")), is_made=is_made)
            continue
        if source and mount["Type"] == "tmpfs":
            raise Refusal("a tmpfs mount has no source")
        if source:
            check_volume(source, "the name of a volume")
        mounts.append({name: value for name, value in mount.items() if name != "BindOptions"})
    own = {name: value for name, value in {"Binds": volumes, "Mounts": mounts}.items() if value}
    others = {name: value for name, value in host.items() if name not in {"Binds", "Mounts"}}
    uses = any(mount.get("Source") == workspace_volume(workspace)["Name"] for mount in mounts)
    return Placed({**settings, "HostConfig": others | own}, uses, tuple(path for path in folders if path != "."))


def check_volume(value: Json, where: str) -> Json:
    """The name of a volume, which is not one of ours."""
    if str(value).startswith(RESERVED):
        raise Refusal(f"names of volumes that begin with {RESERVED} are taken; give the volume another name")
    return NAME(value, where)


def _parts(bind: str) -> tuple[str, str, set[str]]:
    """Source, target and options of `source:target:options`."""
    source, _, rest = bind.partition(":")
    target, _, options = rest.partition(":")
    if not source or not target or ":" in options:
        raise Refusal(f"the mount {bind!r} is not of the form source:target or source:target:options")
    if unknown := {*options.split(",")} - _MODES:
        raise Refusal(f"the mount {bind!r} has the option {min(unknown)!r}, which is not available here")
    return source, target, {*options.split(",")}


def _below(source: str, folder: PurePosixPath) -> str:
    """The path relative to the workspace, "." for the folder itself. Links are the engine's business."""
    if not source.startswith("/") or any(ord(character) < ord(" ") for character in source):
        raise Refusal(f"the source of a bind mount is an absolute path, not {source!r}")
    path = PurePosixPath(posixpath.normpath("/" + source.lstrip("/")))
    if not path.is_relative_to(folder):
        raise Refusal(
            f"{source!r} cannot be mounted: containers of an exercise see only folders of the submission. "
            'Use a path below the current folder (`-v "$PWD/data:/data"`), or a named volume (`-v data:/data`)'
        )
    return str(path.relative_to(folder))
