"""What an exercise's Compose file may ask for: the sections of the model that `docker compose config` prints.

A table for each section; a key that is in none is refused. Most of what is refused the proxy before the engine would
refuse too: here it is said before anything is built, all at once, and in words of the Compose file. Settings that do
no harm inside the private engine pass: `ports`, for one, since what is published there is reached from nowhere else.

The keys are those of https://docs.docker.com/reference/compose-file/ as Compose 2.26 prints them.
"""

from __future__ import annotations

from collections.abc import Mapping

from grader.sandbox.proxy.shape import (
    Check,
    Json,
    Refusal,
    listing,
    mapping,
    number,
    one_of,
    record,
    text,
    truth,
    unset,
)

MAX_REPLICAS = 4
"""Containers of one service. Exercises have one; with eight services, that is half of what the proxy lets be made."""

_TEXT = text()
_TEXTS = listing(_TEXT)


def _plain(value: Json, where: str) -> Json:
    """A text, a number, or true or false."""
    if isinstance(value, dict | list):
        raise Refusal(f"{where} is a single value, not a list or a mapping")
    return value


_LABELS = mapping(_TEXT, _plain, nulls=True)


def inside(value: Json, where: str) -> Json:
    """A path below the exercise's folder, which the model has as `.`."""
    known = isinstance(value, str) and (value == "." or value.startswith("./"))
    if not known or ".." in str(value).split("/"):
        raise Refusal(
            f"{where} leads out of the exercise's folder ({str(value)[:120]}). Only what is handed in with the Compose "
            "file can be used: write a path that begins with ./"
        )
    return value


def _mount(value: Json, where: str) -> Json:
    """One entry of a service's `volumes`; what a bind mount names has to be in the folder."""
    _MOUNT(value, where)
    if isinstance(value, dict) and value.get("type") == "bind":
        inside(value.get("source"), f"{where}.source")
    return value


_MOUNT = record(
    {
        "type": one_of("bind", "volume", "tmpfs", why="other types reach the machine below the containers"),
        "bind": record({
            "create_host_path": truth,
            "selinux": one_of("z", "Z"),
            "propagation": one_of("", "rprivate", why="mounts stay inside the container"),
        }),
        "volume": record({"nocopy": truth}),
        "tmpfs": record({"size": _plain, "mode": _plain}),
        **dict.fromkeys(("source", "target", "consistency"), _TEXT),
        "read_only": truth,
    },
    needed=("type",),
)  # fmt: skip

_SECRET_OF_SERVICE = record(dict.fromkeys(("source", "target", "uid", "gid", "mode"), _plain))
SECRET = record({"name": _TEXT, "file": inside, "labels": _LABELS}, needed=("file",))
"""A top-level secret or config: a file of the folder, and nothing from the environment or from elsewhere."""


def _no_host(value: Json, where: str) -> Json:
    if value == "host":
        raise Refusal(f"{where} cannot be the host's network. Leave it out: services have a network of their own")
    return _TEXT(value, where)


_EXTERNAL = "nothing was made before this file is brought up. Leave `external` out, and Compose makes it"
_DRIVER_OPTIONS = "with options of a driver, any folder, disk or network of the machine could be had. Leave them out"
_DRIVER = "other drivers reach the machine below the containers"

VOLUME: Mapping[str, Check] = {
    "name": _TEXT,
    "driver": one_of("", "local", why=_DRIVER),
    "driver_opts": unset(_DRIVER_OPTIONS),
    "external": unset(_EXTERNAL),
    "labels": _LABELS,
}
NETWORK: Mapping[str, Check] = {
    "name": _no_host,
    "driver": one_of("", "bridge", why=_DRIVER),
    "driver_opts": unset(_DRIVER_OPTIONS),
    "external": unset(_EXTERNAL),
    "ipam": record({
        "driver": one_of("", "default"),
        "config": listing(record(dict.fromkeys(("subnet", "gateway", "ip_range"), _TEXT)), most=4),
    }),
    **dict.fromkeys(("internal", "attachable", "enable_ipv6"), truth),
    "labels": _LABELS,
}  # fmt: skip

# ── build ───────────────────────────────────────────────────────────────────────────────


def _arguments(value: Json, where: str) -> Json:
    """Arguments of a build, but for those that tell BuildKit itself what to do (`BUILDKIT_SYNTAX` names a program)."""
    mapping(_TEXT, _plain, nulls=True)(value, where)
    if own := [name for name in value if name.upper().startswith("BUILDKIT_")] if isinstance(value, dict) else []:
        raise Refusal(f"{where}.{own[0][:60]} changes how images are built. Leave it out")
    return value


_OTHER_CACHE = "images are built from the exercise's folder alone. Leave it out"

BUILD: Mapping[str, Check] = {
    "context": inside,
    **dict.fromkeys(("dockerfile", "dockerfile_inline", "target", "isolation"), _TEXT),
    "args": _arguments,
    "labels": _LABELS,
    **dict.fromkeys(("no_cache", "pull"), truth),
    **dict.fromkeys(("tags", "platforms"), _TEXTS),
    "shm_size": _plain,
    "network": one_of("", "default", "none", why="a build has no other network"),
    **dict.fromkeys(("additional_contexts", "cache_from", "cache_to"), unset(_OTHER_CACHE)),
    "ssh": unset("there are no keys here. Leave it out"),
    "secrets": unset("there are no secrets here. Leave it out"),
    "privileged": unset("no build has special rights here. Leave it out"),
    "entitlements": unset("no build has special rights here. Leave it out"),
}

# ── services ────────────────────────────────────────────────────────────────────────────

_MACHINE = "it reaches the machine below the containers, which is no part of an exercise. Leave it out"
_RIGHTS = "a service needs no rights beyond the usual ones. Leave it out"
_DEVICES = "there are no devices for containers here. Leave it out"
_CALLED = "services find each other by their names. Leave it out"


def _own_or_service(*words: str) -> Check:
    known = "|".join(words)
    return text(rf"(?:{known})|service:[A-Za-z0-9_.-]+", says="may be the service's own or another service's, not")


def _replicas(value: Json, where: str) -> Json:
    try:
        return number(0, MAX_REPLICAS)(value, where)
    except Refusal:
        raise Refusal(
            f"{where} is {str(value)[:20]}; at most {MAX_REPLICAS} containers of a service are started"
        ) from None


_AMOUNTS = record(dict.fromkeys(("cpus", "memory", "pids"), _plain))
_DEPLOY = record(
    {
        "mode": one_of("", "replicated"),
        "replicas": _replicas,
        "resources": record({"limits": _AMOUNTS, "reservations": _AMOUNTS}),
        "restart_policy": record(dict.fromkeys(("condition", "delay", "max_attempts", "window"), _plain)),
        "labels": _LABELS,
        **dict.fromkeys(
            ("placement", "update_config", "rollback_config", "endpoint_mode"), unset("it is for clusters")
        ),
    }
)
_HEALTHCHECK = record({
    "test": _TEXTS,
    "disable": truth,
    **dict.fromkeys(("interval", "timeout", "retries", "start_period", "start_interval"), _plain),
})  # fmt: skip
_LOGGING = record({
    "driver": one_of("", "json-file", "local", why="what a service prints is read from its log, and sent nowhere else"),
    "options": mapping(one_of("max-size", "max-file", "compress"), _plain),
})  # fmt: skip
_PORT = record(dict.fromkeys(("mode", "host_ip", "target", "published", "protocol", "name", "app_protocol"), _plain))
_NEEDED = record({"condition": _TEXT, "required": truth, "restart": truth})
_PLUGGED = record(
    {
        "aliases": _TEXTS,
        "link_local_ips": _TEXTS,
        **dict.fromkeys(("ipv4_address", "ipv6_address", "mac_address", "priority"), _plain),
    }
)

_LIMITS = record(dict.fromkeys(("soft", "hard", "single"), number(-1)))


def _limit(value: Json, where: str) -> Json:
    return _LIMITS(value, where) if isinstance(value, dict) else _plain(value, where)


_HARMLESS: Mapping[str, Check] = {
    **dict.fromkeys(("command", "entrypoint", "profiles", "expose", "links", "tmpfs", "group_add", "cap_drop"), _TEXTS),
    **dict.fromkeys(("container_name", "image", "hostname", "domainname", "working_dir", "user"), _TEXT),
    **dict.fromkeys(("platform", "pull_policy", "restart", "stop_signal", "stop_grace_period", "mac_address"), _TEXT),
    **dict.fromkeys(("attach", "init", "read_only", "stdin_open", "tty"), truth),
    **dict.fromkeys(("cpus", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_shares", "cpuset"), _plain),
    **dict.fromkeys(("mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "pids_limit"), _plain),
    "shm_size": _plain,
    "environment": mapping(_TEXT, _plain, nulls=True),
    "labels": _LABELS,
    "depends_on": mapping(_TEXT, _NEEDED),
    "healthcheck": _HEALTHCHECK,
    "ports": listing(_PORT),
    "networks": mapping(_TEXT, _PLUGGED, nulls=True),
    "ulimits": mapping(_TEXT, _limit),
}

_FORBIDDEN: Mapping[str, Check] = {
    "privileged": unset("a privileged container has the whole machine. Leave it out"),
    **dict.fromkeys(("cap_add", "credential_spec", "use_api_socket"), unset(_RIGHTS)),
    **dict.fromkeys(("devices", "device_cgroup_rules", "gpus"), unset(_DEVICES)),
    **dict.fromkeys(
        ("uts", "userns_mode", "cgroup", "cgroup_parent", "sysctls", "runtime", "storage_opt"), unset(_MACHINE)
    ),
    **dict.fromkeys(("blkio_config", "annotations", "oom_kill_disable", "oom_score_adj"), unset(_MACHINE)),
    **dict.fromkeys(("cpu_rt_period", "cpu_rt_runtime", "isolation"), unset(_MACHINE)),
    **dict.fromkeys(("dns", "dns_opt", "dns_search", "extra_hosts", "external_links"), unset(_CALLED)),
    **dict.fromkeys(
        ("post_start", "pre_stop"), unset("commands besides that of the container are not run. Leave it out")
    ),
    "provider": unset("a provider is a program of the machine itself. Leave it out"),
    "develop": unset("it is for working on the files, not for running them. Leave it out"),
    "label_file": unset("write the labels into the Compose file"),
}

SERVICE: Mapping[str, Check] = {
    **_HARMLESS,
    **_FORBIDDEN,
    "build": record(BUILD),
    "deploy": _DEPLOY,
    "scale": _replicas,
    "logging": _LOGGING,
    "volumes": listing(_mount),
    "volumes_from": listing(text(r"(?!container:)[A-Za-z0-9_.:-]+", says="names a service of this file, not")),
    **dict.fromkeys(("secrets", "configs"), listing(_SECRET_OF_SERVICE)),
    "network_mode": _own_or_service("none", "bridge", "default"),
    "pid": _own_or_service(""),
    "ipc": _own_or_service("", "none", "private", "shareable"),
    "security_opt": listing(
        one_of(
            *("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"),
            why="other options switch off what keeps a container in. Leave it out",
        )
    ),
}
