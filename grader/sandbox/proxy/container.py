"""The settings of containers: which may be asked for, in their own words, and how folders of the work get into them.

Fields are those of API 1.45, `POST /containers/create` and `POST /containers/{id}/exec`:
https://docs.docker.com/reference/api/engine/version/v1.45/
"""

from __future__ import annotations

from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.shape import Check, ignored, listing, mapping, number, one_of, record, text, truth, unset
from grader.sandbox.proxy.strictjson import Json

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
