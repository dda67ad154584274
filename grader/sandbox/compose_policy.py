"""The policy for Compose files: what Compose itself has read is judged before anything is built or brought up.

`hidden` looks at the file as it is written, for what Compose's own model of it no longer shows: other files that were
read for it. `examine` judges that model, which `docker compose config` prints, by the tables below, and the Dockerfiles
that it names by the policy for Dockerfiles. Pure: Compose runs elsewhere.

There is a table for each section; a key that is in none is refused, unless nothing is in it. Compose has seen to the
shape of all values already, so only those are looked at by which a file could ask for too much. Most of what is refused
the proxy before the engine would refuse too: here it is said before anything is built, all at once, and in words of the
Compose file. Settings that do no harm inside the private engine pass: `ports`, for one, since what is published there
is reached from nowhere else. The keys are those of https://docs.docker.com/reference/compose-file/ as Compose 2.26
prints them.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from grader.course.models import BaseImage
from grader.course.yaml_source import Document, Problem, TooLargeError, YamlError, decode, read_yaml
from grader.dockerfile import policy
from grader.dockerfile.image_names import is_allowed, normalised
from grader.dockerfile.parser import Dockerfile, Unparsable, parse
from grader.sandbox.proxy.shape import (
    Check,
    Fields,
    Json,
    Refusal,
    cannot_be_set,
    is_nothing,
    listing,
    mapping,
    number,
    one_of,
    record,
    text,
)
from grader.submissions.models import ExerciseFiles

MAX_SERVICES = 8
"""Services of one file, also networks and volumes. The exercise has one."""

MAX_REPLICAS = 4
"""Containers of one service. Exercises have one; with eight services, that is half of what the proxy lets be made."""

_SHOWN_AT_ONCE = 12
"""Refusals that are shown at once."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found, in sentences. With `refusals`, nothing may be built; with `unreadable`, nothing can be.

    Else `bases` are the base images that builds and services need.
    """

    refusals: tuple[str, ...] = ()
    unreadable: str = ""
    bases: tuple[str, ...] = field(default=(), compare=False)


# ── as it is written ────────────────────────────────────────────────────────────────────


def hidden(files: ExerciseFiles) -> tuple[str, ...]:
    """What is refused of the files as they are written: other files that Compose would read into them.

    So is what is larger or deeper than anybody writes: how long Compose takes for it depends on the machine. What
    cannot be read here is left to Compose, whose message is the better one; `examine` comes back to it.
    """
    found: list[str] = []
    for name in files.compose_files:
        read = _read(files, name)
        if read.too_large:
            found.append(f"{name}: {read.problem}")
        top = read.document.data if read.document else None
        found += [f"{name}: {problem}" for problem in _hidden_in(top)]
    return tuple(dict.fromkeys(found))[:_SHOWN_AT_ONCE]


class _Read(NamedTuple):
    """A file's data, and what about it is read by other programs in another way; "" if there is no such thing."""

    document: Document | None
    problem: str = ""
    too_large: bool = False


def _read(files: ExerciseFiles, name: str) -> _Read:
    try:
        document = read_yaml(decode(files.content(name) or b""), as_written=True)
    except YamlError as error:
        return _Read(None, _at_line(error.problem), isinstance(error, TooLargeError))
    problem = next(iter(document.problems), None)
    return _Read(document, _at_line(problem) if problem else "")


def _at_line(problem: Problem) -> str:
    return f"line {problem.position.line}: {problem.message}"


def _hidden_in(top: object) -> Iterator[str]:
    if any(_given(top, "include")):
        yield "include reads other Compose files. Write the services into this one."
    for services in _given(top, "services"):
        for name, service in services.items() if isinstance(services, dict) else ():
            where = f"services.{name[:60]}"
            for extended in _given(service, "extends"):
                if any(_given(extended, "file")):
                    yield f"{where}.extends.file reads another Compose file. Write the service into this one."
            if any(_given(service, "provider")):
                yield f"{where}.provider starts a program of the machine itself. Write a service that is a container."
            for key in ("env_file", "label_file"):
                for value in _given(service, key):
                    yield from _paths(value, f"{where}.{key}")


def _given(mapping: object, key: str) -> Iterator[Any]:
    """Every value that a mapping has for a key, itself or by `<<`, whichever of them would count."""
    if isinstance(mapping, list):
        for one in mapping:
            yield from _given(one, key)
    if isinstance(mapping, dict):
        if key in mapping:
            yield mapping[key]
        if "<<" in mapping:
            yield from _given(mapping["<<"], key)


def _paths(value: object, where: str) -> Iterator[str]:
    """Why a path, a list of paths, or the `path` of a mapping is refused."""
    if isinstance(value, list):
        for one in value:
            yield from _paths(one, where)
    elif isinstance(value, dict):
        for one in _given(value, "path"):
            yield from _paths(one, where)
    elif not _is_beside(str(value)):
        yield (
            f"{where} leads out of the exercise's folder, or may do so ({str(value)[:120]}). "
            "Write the path of a file beside the Compose file, without variables."
        )


def _is_beside(path: str) -> bool:
    return not path.startswith(("/", "~")) and "$" not in path and ".." not in path.split("/")


# ── as Compose has read it ──────────────────────────────────────────────────────────────


def examine(files: ExerciseFiles, model: bytes, images: Sequence[BaseImage]) -> Judged:
    """Judge what `docker compose config --format json` printed, with the folder's path as `.`."""
    name = files.compose_file
    for read in files.compose_files:
        problem = _read(files, read).problem
        if problem:
            return Judged((f"{read}: {problem}. Not every program reads this in the same way.",))
    try:
        top = cast("Mapping[str, Any]", _without_extensions(json.loads(model)))
        refused = [*_problems(top)]
    except (ValueError, AttributeError, RecursionError):
        return Judged((f"{name}: what Compose made of it cannot be read.",))
    if refused:
        return Judged(tuple(dict.fromkeys(f"{name}: {problem.rstrip('.')}." for problem in refused))[:_SHOWN_AT_ONCE])
    return _dockerfiles(files, name, top, images)


def _without_extensions(value: Json) -> Json:
    """Without the keys that Compose does nothing with (`x-…`)."""
    if isinstance(value, dict):
        return {key: _without_extensions(one) for key, one in value.items() if not key.startswith("x-")}
    return [_without_extensions(one) for one in value] if isinstance(value, list) else value


def _problems(top: Mapping[str, Any]) -> Iterator[str]:
    """Everything in the model that is not on the lists."""
    for key in top.keys() - {*_SECTIONS, "name", "version"}:
        yield f"{key[:60]} is not available in an exercise. Leave it out"
    for section, (table, why) in _SECTIONS.items():
        entries = top.get(section) or {}
        if len(entries) > MAX_SERVICES:
            yield f"there are {len(entries)} {section}; at most {MAX_SERVICES} are brought up"
        for name, details in entries.items():
            for key, value in (details or {}).items():
                where = f"{section}.{name[:60]}.{key[:60]}"
                if key in table:
                    yield from _refused(table[key], value, where)
                elif not is_nothing(value):
                    known = why.get(key)
                    leave = f"{where} is not available in an exercise. Leave it out"
                    yield cannot_be_set(where, value, known) if known else leave


def _refused(check: Check, value: Json, where: str) -> Iterator[str]:
    try:
        if value is not None:
            check(value, where)
    except Refusal as refusal:
        yield str(refusal)


# ── the Dockerfiles that it names ───────────────────────────────────────────────────────


def _dockerfiles(files: ExerciseFiles, name: str, top: Mapping[str, Any], images: Sequence[BaseImage]) -> Judged:
    """Each service's Dockerfile has to pass as the folder's own does, with the arguments that it is given."""
    bases: list[str] = []
    allowed = [name for image in images for name in image.names]
    for service, details in (top.get("services") or {}).items():
        build, image = details.get("build"), str(details.get("image") or "")
        if not build:
            bases += [normalised(image)] if is_allowed(image, allowed) else []
            continue
        where = f"{name}: services.{service[:60]}.build"
        path = _path(build)
        if path.startswith(("/", "..")):
            return Judged((f"{where}.dockerfile leads out of the exercise's folder ({path[:120]}).",))
        dockerfile = _dockerfile(files, build)
        if dockerfile is None:
            return Judged(unreadable=f"{where}: there is no {path[:120]} in the exercise's folder.")
        found = policy.judge_dockerfile(dockerfile, allowed)
        if found.refusals:
            return Judged(tuple(f"{where}: {refusal.message}" for refusal in found.refusals)[:_SHOWN_AT_ONCE])
        if isinstance(dockerfile, Unparsable):
            return Judged(unreadable=f"{where}: {dockerfile.message}")
        bases += found.bases
    return Judged(bases=tuple(dict.fromkeys(bases)))


def _dockerfile(files: ExerciseFiles, build: Mapping[str, Any]) -> Dockerfile | Unparsable | None:
    """What is built, of the vetted bytes; None if the folder has no such file, whatever else there may be."""
    arguments = {key: str(value) for key, value in (build.get("args") or {}).items() if value is not None}
    if inline := build.get("dockerfile_inline"):
        text = str(inline).replace("$$", "$")  # so that Compose could read its own model again
        return parse(text.encode("utf-8", "surrogateescape"), arguments, "dockerfile_inline")
    if str(build.get("dockerfile")).startswith("./") and build.get("context") != ".":
        return None  # an absolute path in the folder looks like this too, and would be another file
    path = _path(build)
    folder, last = posixpath.split(path)
    names = [path, posixpath.join(folder, "dockerfile")] if last == "Dockerfile" else [path]
    return next((found for one in names if (found := files.parsed(one, arguments))), None)


def _path(build: Mapping[str, Any]) -> str:
    """A Dockerfile is named from its context; an absolute path stays one, which no file of the folder has."""
    return posixpath.normpath(
        posixpath.join(str(build.get("context", ".")), str(build.get("dockerfile") or "Dockerfile"))
    )


# ── what a file may ask for ─────────────────────────────────────────────────────────────


def _anything(value: Json, where: str) -> Json:
    return value


def _all(names: str, check: Check = _anything) -> Fields:
    return dict.fromkeys(names.split(), check)


def _inside(value: Json, where: str) -> Json:
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
        _inside(value.get("source"), f"{where}.source")
    return value


_MOUNT = record(
    {
        "type": one_of("bind", "volume", "tmpfs", why="other types reach the machine below the containers"),
        "bind": record({
            **_all("create_host_path selinux"),
            "propagation": one_of("", "rprivate", why="mounts stay inside the container"),
        }),
        "volume": record(_all("nocopy")),
        **_all("source target consistency read_only tmpfs"),
    },
    needed=("type",),
)  # fmt: skip


def _arguments(value: Json, where: str) -> Json:
    """Arguments of a build, but for those that tell BuildKit itself what to do (`BUILDKIT_SYNTAX` names a program)."""
    if own := [name for name in value if name.upper().startswith("BUILDKIT_")] if isinstance(value, dict) else []:
        raise Refusal(f"{where}.{own[0][:60]} changes how images are built. Leave it out")
    return value


def _replicas(value: Json, where: str) -> Json:
    try:
        return number(0, MAX_REPLICAS)(value, where)
    except Refusal:
        raise Refusal(
            f"{where} is {str(value)[:20]}; at most {MAX_REPLICAS} containers of a service are started"
        ) from None


def _no_host(value: Json, where: str) -> Json:
    if value == "host":
        raise Refusal(f"{where} cannot be the host's network. Leave it out: services have a network of their own")
    return value


def _own_or_service(*words: str) -> Check:
    known = "|".join(words)
    return text(rf"(?:{known})|service:[A-Za-z0-9_.-]+", says="may be the service's own or another service's, not")


_DRIVER = "other drivers reach the machine below the containers"
_AMOUNTS = record(_all("cpus memory pids"))

_BUILD = record(
    {
        "context": _inside,
        "args": _arguments,
        "network": one_of("", "default", "none", why="a build has no other network"),
        **_all("dockerfile dockerfile_inline target isolation labels no_cache pull tags platforms shm_size"),
    },
    why={
        **dict.fromkeys(
            ("additional_contexts", "cache_from", "cache_to"),
            "images are built from the exercise's folder alone. Leave it out",
        ),
        **dict.fromkeys(("privileged", "entitlements"), "no build has special rights here. Leave it out"),
        "ssh": "there are no keys here. Leave it out",
        "secrets": "there are no secrets here. Leave it out",
    },
)
_SERVICE: Fields = {
    **_all("attach command container_name cpu_count cpu_percent cpu_period cpu_quota cpu_shares cpus cpuset"),
    **_all("cap_drop depends_on develop domainname entrypoint environment expose group_add healthcheck hostname"),
    **_all("image init labels links mac_address mem_limit mem_reservation mem_swappiness memswap_limit networks"),
    **_all("pids_limit platform ports profiles pull_policy read_only restart shm_size stdin_open"),
    **_all("stop_grace_period stop_signal tmpfs tty ulimits user working_dir secrets configs"),
    "build": _BUILD,
    "deploy": record(
        {
            "mode": one_of("", "replicated"),
            "replicas": _replicas,
            "resources": record({"limits": _AMOUNTS, "reservations": _AMOUNTS}),
            **_all("restart_policy labels"),
        },
        why=dict.fromkeys(("placement", "update_config", "rollback_config", "endpoint_mode"), "it is for clusters"),
    ),
    "scale": _replicas,
    "logging": record({
        "driver": one_of(
            *("", "json-file", "local"), why="what a service prints is read from its log, and sent nowhere else"
        ),
        "options": mapping(one_of("max-size", "max-file", "compress"), _anything),
    }),
    "volumes": listing(_mount),
    "volumes_from": listing(text(r"(?!container:)[A-Za-z0-9_.:-]+", says="names a service of this file, not")),
    "network_mode": _own_or_service("none", "bridge", "default"),
    "pid": _own_or_service(""),
    "ipc": _own_or_service("", "none", "private", "shareable"),
    "security_opt": listing(
        one_of(
            *("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"),
            why="other options switch off what keeps a container in. Leave it out",
        )
    ),
}  # fmt: skip
_MACHINE = "it reaches the machine below the containers, which is no part of an exercise. Leave it out"
_RIGHTS = "a service needs no rights beyond the usual ones. Leave it out"
_DEVICES = "there are no devices for containers here. Leave it out"
_CALLED = "services find each other by their names. Leave it out"
_COMMANDS = "commands besides that of the container are not run. Leave it out"
_WHY_NOT: Mapping[str, str] = {
    "privileged": "a privileged container has the whole machine. Leave it out",
    "provider": "a provider is a program of the machine itself. Leave it out",
    "label_file": "write the labels into the Compose file",
    **dict.fromkeys(("cap_add", "credential_spec", "use_api_socket"), _RIGHTS),
    **dict.fromkeys(("devices", "device_cgroup_rules", "gpus"), _DEVICES),
    **dict.fromkeys(("uts", "userns_mode", "cgroup", "cgroup_parent", "sysctls", "runtime", "storage_opt"), _MACHINE),
    **dict.fromkeys(("blkio_config", "annotations", "oom_kill_disable", "oom_score_adj"), _MACHINE),
    **dict.fromkeys(("cpu_rt_period", "cpu_rt_runtime", "isolation"), _MACHINE),
    **dict.fromkeys(("dns", "dns_opt", "dns_search", "extra_hosts", "external_links"), _CALLED),
    **dict.fromkeys(("post_start", "pre_stop"), _COMMANDS),
}
_NETWORK: Fields = {
    "name": _no_host,
    "driver": one_of("", "bridge", why=_DRIVER),
    **_all("ipam internal attachable enable_ipv6 labels"),
}
_VOLUME: Fields = {"driver": one_of("", "local", why=_DRIVER), **_all("name labels")}
_DRIVEN = {
    "driver_opts": "with a driver's options, any folder, disk or network of the machine could be had. Leave them out",
    "external": "nothing was made before this file is brought up. Leave `external` out, and Compose makes it",
}
_SECRET: Fields = {"file": _inside, **_all("name labels")}
"""A top-level secret or config: a file of the folder, and nothing from the environment or from elsewhere."""

_SECTIONS: Mapping[str, tuple[Fields, Mapping[str, str]]] = {
    "services": (_SERVICE, _WHY_NOT),
    "networks": (_NETWORK, _DRIVEN),
    "volumes": (_VOLUME, _DRIVEN),
    "secrets": (_SECRET, {}),
    "configs": (_SECRET, {}),
}
"""What each section's entries may say, and why not more."""
