"""What is wrong with this machine, and the command that mends it: from facts to findings, without asking anything.

`grader.cli.doctor` gathers the facts and shows the findings. Written for people who have never run Docker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from grader.engine.docker_engine import EngineFacts

_GIB = 2**30
_ROOM_NEEDED = 5 * _GIB
"""Base images, a class's layers and the builder's cache, with room to spare."""
_MEMORY_NEEDED = 2 * _GIB
"""A run may have 512 MiB, and installing pandas takes as much again."""
_OLDEST, _HEREDOCS_SINCE = (1, 41), (1, 42)
"""API versions of Docker 20.10, the first that the grader is made for, and of Docker 23, the first to know heredocs.

Not the engine's own version, since Podman, whose versions are its own, says which API it has: 1.41.
"""
_ARM = {"arm64", "aarch64"}

Problem = Literal["", "missing", "denied", "refused", "silent", "unknown context"]
"""Why no engine answers: no socket, one that this user may not open, that nobody listens at, or that stays silent."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it stands, what was seen, and the command or step that mends it ("" where none does)."""

    name: str
    state: Literal["ok", "warning", "FAILS"]
    seen: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """This machine and this user, as far as they bear on reaching an engine.

    `system` is as `platform.system()` says it, `docker` and `dockerd` whether command and engine are installed,
    `member` whether the group `docker` names the user. `endpoint` is where the engine is looked for, `chosen_by` what
    says so (`DOCKER_HOST`, the name of a context, "" for Docker's default), `problem` why none answers there. `others`
    are endpoints that do answer, by the name of their context.
    """

    system: str = "Linux"
    wsl: bool = False
    systemd: bool = True
    apt: bool = True
    docker: bool = True
    dockerd: bool = True
    member: bool = False
    endpoint: str = "unix:///var/run/docker.sock"
    chosen_by: str = ""
    problem: Problem = ""
    others: Mapping[str, str] = field(default_factory=dict)
    proxies: tuple[str, ...] = ()
    """The variables of this terminal's environment that name a proxy."""


# ── no engine answers ───────────────────────────────────────────────────────────────────


def no_engine(machine: MachineFacts) -> Finding:
    """Why no engine answers at the endpoint, and what to do about the likeliest cause."""
    where = f"no engine answers at {machine.endpoint}"
    remote = not machine.endpoint.startswith("unix://")
    if machine.problem == "unknown context":
        seen, mend = f"the context {machine.chosen_by} does not exist", "docker context use default"
    elif machine.others:
        seen, mend = _elsewhere(machine, where)
    elif remote and machine.chosen_by == "DOCKER_HOST":
        seen, mend = f"{where}, which DOCKER_HOST names: {_AWAY}", "unset DOCKER_HOST"
    elif remote:
        seen, mend = f"{where}, of the context {machine.chosen_by}: {_AWAY}", "docker context use default"
    elif machine.problem == "denied":
        seen, mend = _denied(machine)
    elif machine.problem == "silent":
        seen, mend = f"the engine at {machine.endpoint} takes requests and does not answer", _restart(machine)
    elif not machine.dockerd:
        seen, mend = _not_installed(machine)
    else:
        seen, mend = f"Docker is installed, but not running ({where})", _start(machine)
    return Finding("engine", "FAILS", seen, mend)


_AWAY = "that machine is off, out of reach, or its engine is not running"


def _elsewhere(machine: MachineFacts, where: str) -> tuple[str, str]:
    name, endpoint = next(iter(machine.others.items()))
    by = "DOCKER_HOST" if machine.chosen_by == "DOCKER_HOST" else f"the context {machine.chosen_by or 'default'}"
    seen = f"{where}, which {by} names; one answers at {endpoint}"
    leave = "unset DOCKER_HOST" if machine.chosen_by == "DOCKER_HOST" else ""
    use = "" if name == "default" and leave else f"docker context use {name}"
    return seen, " && ".join(step for step in (leave, use) if step)


def _denied(machine: MachineFacts) -> tuple[str, str]:
    refused = f"this user may not talk to the engine at {machine.endpoint}"
    if machine.member:
        return f"{refused}: the group docker has the user, but not yet in this login", "newgrp docker, or log in again"
    return f"{refused}: not in the group docker", "sudo usermod -aG docker $USER, then log in again"


def _not_installed(machine: MachineFacts) -> tuple[str, str]:
    seen = "Docker is not installed" if not machine.docker else "the docker command is here, but no engine is"
    if machine.system == "Windows":
        return f"{seen}; the grader runs in WSL, not in Windows itself", "wsl --install, then Docker Desktop"
    if machine.system == "Darwin":
        return seen, "brew install --cask docker (or docs.docker.com/desktop), then open -a Docker"
    install = "sudo apt-get install docker.io" if machine.apt else "see docs.docker.com/engine/install"
    if machine.wsl:
        switch = "Settings, Resources, WSL integration"
        return seen, f"start Docker Desktop in Windows and turn on this distribution ({switch}); or {install}"
    return seen, install


def _start(machine: MachineFacts) -> str:
    if machine.system == "Darwin":
        return "open -a Docker"
    if machine.wsl and not machine.systemd:
        return "sudo service docker start"
    return "sudo systemctl enable --now docker" if machine.systemd else "sudo service docker start"


def _restart(machine: MachineFacts) -> str:
    if machine.system == "Darwin":
        return "quit Docker Desktop, then: open -a Docker"
    return "sudo systemctl restart docker" if machine.systemd else "sudo service docker restart"


# ── an engine answers ───────────────────────────────────────────────────────────────────


def engine_findings(engine: EngineFacts, builder: str, machine: MachineFacts) -> Iterator[Finding]:
    """What the engine's account of itself says of its fitness to grade. `builder` is the one that builds there."""
    yield _version(engine, builder, machine)
    if machine.problem == "unknown context":
        seen = f"{machine.chosen_by} does not exist, so the docker command finds no engine"
        yield Finding("context", "warning", seen, "docker context use default")
    yield _builder(builder)
    yield _disk(engine)
    yield from _memory(engine)
    if engine.architecture in _ARM:
        yield Finding(
            "processor",
            "warning",
            f"{engine.architecture}, such as Apple silicon: packages without a wheel for it are compiled, which takes "
            "minutes or fails where it does not on a machine with an Intel or AMD processor",
        )
    limits = f"cgroup v{engine.cgroup_version} ({engine.cgroup_driver}), storage {engine.storage_driver}"
    if engine.storage_driver == "vfs":
        yield Finding("limits by", "warning", f"{limits}, which copies every layer whole: slow, and soon out of space")
    else:
        yield Finding("limits by", "ok", limits)
    if engine.rootless:
        yield Finding("rootless", "warning", "the engine has a user's rights, which may not do to bound what it runs")
    for warning in engine.warnings:
        yield Finding("the engine says", "warning", warning)


def _version(engine: EngineFacts, builder: str, machine: MachineFacts) -> Finding:
    update = "update Docker Desktop" if is_desktop(engine) else "see docs.docker.com/engine/install for a newer one"
    seen = f"{engine.version} (API {engine.api_version}) at {engine.endpoint}, {engine.operating_system}"
    if machine.wsl:
        seen += ", from WSL"
    api = tuple(map(int, re.findall(r"\d+", engine.api_version)[:2]))
    if api and api < _OLDEST:
        return Finding("engine", "FAILS", f"{seen}: too old, Docker 20.10 is the first that will do", update)
    if builder == "buildkit" and api and api < _HEREDOCS_SINCE:
        return Finding("engine", "warning", f"{seen}; it knows no heredocs (RUN <<EOF), which need Docker 23", update)
    return Finding("engine", "ok", seen)


def _builder(builder: str) -> Finding:
    if builder == "buildkit":
        return Finding("builder", "ok", builder)
    seen = f"{builder}, such as Podman's: it is another one than Docker's, and may take a Dockerfile for right or wrong"
    return Finding("builder", "warning", f"{seen} that Docker does not", "see docs/engines.md for what holds there")


def _disk(engine: EngineFacts) -> Finding:
    if engine.free_bytes is None:
        where = "the virtual machine of Docker Desktop" if is_desktop(engine) else "another machine"
        return Finding("disk", "warning", f"the engine is in {where}; its free space is not known", "docker system df")
    seen = f"{engine.free_bytes / _GIB:.1f} GiB free at {engine.root_dir}, needs {_ROOM_NEEDED // _GIB}"
    if engine.free_bytes > _ROOM_NEEDED:
        return Finding("disk", "ok", seen)
    return Finding("disk", "FAILS", seen, "docker system prune (removes stopped containers and unused layers)")


def _memory(engine: EngineFacts) -> Iterator[Finding]:
    if 0 < engine.memory_bytes < _MEMORY_NEEDED:
        mend = "Docker Desktop: Settings, Resources, Memory" if is_desktop(engine) else ""
        seen = f"the engine has {engine.memory_bytes / _GIB:.1f} GiB; installing pandas needs {_MEMORY_NEEDED // _GIB}"
        yield Finding("memory", "warning", seen, mend)


def packages(tool: str, tier: str, against: str, machine: MachineFacts) -> Finding:
    """Whether a build can fetch packages with `tool`; `against` says why not. Most exercises can do without apt."""
    name = f"packages by {tool} ({tier})"
    if not against:
        return Finding(name, "ok", "a build can fetch the list of them")
    mend = "docker run --rm python:3.9-slim pip download pip says more"
    if machine.proxies:
        against += f" ({', '.join(machine.proxies)} of this terminal is not handed to builds)"
        mend = (
            'pip config set global.proxy "$HTTPS_PROXY", then remove the base image (docker rmi) and run `grader '
            "images`: an image made here has pip's settings"
        )
    return Finding(name, "FAILS" if tool == "pip" else "warning", against, mend)


def is_desktop(engine: EngineFacts) -> bool:
    """Whether the engine is Docker Desktop's, in a virtual machine."""
    return "Docker Desktop" in engine.operating_system
