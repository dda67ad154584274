"""What is wrong with this machine, and the command that mends it: from facts to findings, without asking anything.

`grader.cli.machine` gathers the facts and shows the findings; `doctor.yaml` has the texts, for people who have never
run Docker.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from grader.engine.docker_engine import EngineFacts
from grader.files import read_table

_GIB = 2**30
_TABLES = read_table(Path(__file__).with_suffix(".yaml"))

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
    are endpoints that do answer, by the name of their context; `proxies` the variables of the terminal that name one.
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


def no_engine(machine: MachineFacts) -> Finding:
    """Why no engine answers at the endpoint, and what to do about the likeliest cause."""
    by_variable = machine.chosen_by == "DOCKER_HOST"
    other_context, other_endpoint = next(iter(machine.others.items()), ("", ""))
    facts = dataclasses.asdict(machine) | {
        "nobody": f"no engine answers at {machine.endpoint}",
        "remote": not machine.endpoint.startswith("unix://"),
        "by_variable": by_variable,
        "names_it": "DOCKER_HOST" if by_variable else f"the context {machine.chosen_by or 'default'}",
        "answers_elsewhere": bool(machine.others),
        "other_context": other_context,
        "other_endpoint": other_endpoint,
        "bare": "the docker command is here, but no engine is" if machine.docker else "Docker is not installed",
        "install": "sudo apt-get install docker.io" if machine.apt else "see docs.docker.com/engine/install",
    }
    return next(_findings("no_engine", facts, name="engine", state="FAILS"))


def engine_findings(engine: EngineFacts, builder: str, machine: MachineFacts) -> Iterator[Finding]:
    """What the engine's account of itself says of its fitness to grade. `builder` is the one that builds there."""
    api, needs = list(map(int, re.findall(r"\d+", engine.api_version)[:2])), _TABLES["needs"]
    desktop = "Docker Desktop" in engine.operating_system
    free = (engine.free_bytes or 0) / _GIB
    seen = f"{engine.version} (API {engine.api_version}) at {engine.endpoint}, {engine.operating_system}"
    facts = dataclasses.asdict(machine) | dataclasses.asdict(engine) | {
        "engine": f"{seen}, from WSL" if machine.wsl else seen,
        "update": "update Docker Desktop" if desktop else "see docs.docker.com/engine/install for a newer one",
        "needs": needs,
        "too_old": bool(api) and api < needs["api"],
        "heredocs": builder != "buildkit" or not api or api >= needs["heredocs"],
        "builder": builder,
        "desktop": desktop,
        "elsewhere": "the virtual machine of Docker Desktop" if desktop else "another machine",
        "free": "unknown" if engine.free_bytes is None else "enough" if free > needs["room_gib"] else "too little",
        "free_gib": free,
        "little_memory": 0 < engine.memory_bytes < needs["memory_gib"] * _GIB,
        "memory_gib": engine.memory_bytes / _GIB,
        "arm": engine.architecture in {"arm64", "aarch64"},
        "limits": f"cgroup v{engine.cgroup_version} ({engine.cgroup_driver}), storage {engine.storage_driver}",
    }  # fmt: skip
    yield from _findings("engine", facts)
    for warning in engine.warnings:
        yield Finding("the engine says", "warning", warning)


def packages(tool: str, tier: str, against: str, machine: MachineFacts) -> Finding:
    """Whether a build can fetch packages with `tool`; `against` says why not. Most exercises can do without apt."""
    facts = {"tool": tool, "against": against, "proxies": ", ".join(machine.proxies)}
    return next(_findings("packages", facts, name=f"packages by {tool} ({tier})"))


def _findings(table: str, facts: Mapping[str, Any], **same: str) -> Iterator[Finding]:
    """The rows of a table that hold, of those with one name the first."""
    names = set()
    for row in _TABLES[table]:
        one = {"mend": "", **row, **same}
        if one["name"] not in names and all(facts[fact] == value for fact, value in row["when"].items()):
            names.add(one["name"])
            yield Finding(one["name"], one["state"], one["seen"].format(**facts), one["mend"].format(**facts))
