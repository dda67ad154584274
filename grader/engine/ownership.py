"""Whose is an object in the engine: labels, the owner's identity, what may be removed, and removing it.

Every container, image, volume and network that the grader makes carries three labels, so that a
later `grader prune` knows leftovers of a grader that died from the objects of one at work.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grader.engine.http import Connection, Refused, if_there
from grader.errors import EngineError

RUN_LABEL = "io.grader.run"
"""Which engine object (`DockerEngine`) made it: a random hex number."""
OWNER_LABEL = "io.grader.owner"
"""Which process made it: `Owner` as text."""
KIND_LABEL = "io.grader.kind"
"""What it is. A container that somebody starts from an image of ours inherits the image's, which says `image`."""
TAG_PREFIX = "grader.local/"
"""How the names of all images begin that are built here. No registry has that name (`.local` is never public)."""

Kind = Literal["container", "image", "volume", "network"]

_BOOT = "/proc/sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Owner:
    """One process among all of all machines: pids are used again, start times are not.

    `host` names the machine and its pid namespace, `boot` this start of the machine, `started` the process's
    start in the kernel's ticks since boot. `container` is the id of the container that it runs in, if that is one of
    the engine in which it owns something. What cannot be known here is "".
    """

    host: str
    boot: str
    pid: int
    started: str
    container: str = ""

    def __str__(self) -> str:
        known = f"{self.host}:{self.boot}:{self.pid}:{self.started}"
        return f"{known}:{self.container}" if self.container else known

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """The owner that a label names, or None if it is no label of ours."""
        parts = text.split(":")
        if len(parts) not in {4, 5} or not parts[2].isdecimal():
            return None
        return cls(parts[0], parts[1], int(parts[2]), *parts[3:])


def this_process(connection: Connection | None = None) -> Owner:
    """The process that asks, as an owner in the engine of `connection`. Reads /proc where there is one."""
    pid = os.getpid()
    container = _own_container(connection) if connection else ""
    return Owner(_host(), _read(_BOOT), pid, _start_time(pid) or "", container)


def _own_container(connection: Connection) -> str:
    """The id of the engine's container that this process runs in; Docker makes its beginning the host's name."""
    name = platform.node()
    container = connection.find(f"/containers/{name}/json") if re.fullmatch("[0-9a-f]{12}", name) else {}
    return str(container["Id"]) if container.get("Config", {}).get("Hostname") == name else ""


def is_dead(owner: Owner, connection: Connection | None = None) -> bool:
    """Whether this owner has provably ended, also in a container of that engine. False when it cannot be known."""
    if connection and owner.container:
        state = connection.find(f"/containers/{owner.container}/json").get("State", {})
        if not state.get("Running"):
            return True
    if owner.host != _host() or sys.platform == "win32":  # on Windows, os.kill would do more than ask
        return False  # another machine, or another pid namespace: it may well be alive
    if owner.boot != _read(_BOOT):
        return True  # this machine has been started again since
    started = _start_time(owner.pid)
    if started is not None:
        return started != owner.started
    try:
        os.kill(owner.pid, 0)
    except OSError as error:  # another one than this says that it is there, and somebody else's
        return isinstance(error, ProcessLookupError)
    return False


def _host() -> str:
    machine = _read("/etc/machine-id") or "unknown"
    namespace = 0
    with contextlib.suppress(OSError):
        namespace = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116 - a link whose target is no path
    return f"{platform.node().replace(':', '-')}-{machine[:12]}-{namespace}"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat (proc(5)), None if there is no such process, "" if it has ended and is not buried.

    The command's name before it may hold spaces and parentheses.
    """
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) <= 19:  # noqa: PLR2004 - the field's place behind the name
        return None
    return "" if fields[0] in {"Z", "X"} else fields[19]


def labels(run: str, owner: Owner, kind: Kind) -> tuple[tuple[str, str], ...]:
    """The labels of an object that `owner` makes in `run`."""
    return ((RUN_LABEL, run), (OWNER_LABEL, str(owner)), (KIND_LABEL, kind))


@dataclass(frozen=True, slots=True)
class Leftover:
    """An object of ours in the engine. `names` are those by which it is removed: its id, or an image's tags of ours."""

    kind: Kind
    id: str
    names: tuple[str, ...]
    labels: Mapping[str, str]

    @property
    def owner(self) -> Owner | None:
        """Whose it is; None if it is not ours, or only made from something of ours."""
        is_ours = self.labels.get(KIND_LABEL) == self.kind
        return Owner.parse(self.labels.get(OWNER_LABEL, "")) if is_ours else None


_REMOVAL_PAUSES = (0.2, 1.0, 0.0)
"""Seconds after a try to remove objects that failed."""

_LISTS: dict[Kind, tuple[str, dict[str, int]]] = {
    "container": ("/containers/json", {"all": 1}),
    "image": ("/images/json", {}),
    "volume": ("/volumes", {}),
    "network": ("/networks", {}),
}
"""Where each kind is listed. The order is that of removal: containers hold the others."""


def our_objects(connection: Connection, run: str | None = None) -> list[Leftover]:
    """Everything in the engine with our labels, in an order in which it can be removed; of one run, if given.

    An image that somebody has given names of their own, or has built on one of ours, has our labels too, and is theirs.
    """
    found = []
    for kind, (path, parameters) in _LISTS.items():
        labels = [f"{KIND_LABEL}={kind}", *([f"{RUN_LABEL}={run}"] if run else [])]
        listed = connection.call("GET", path, parameters={**parameters, "filters": json.dumps({"label": labels})}).json
        for one in (listed["Volumes"] if kind == "volume" else listed) or ():
            name = str(one.get("Id") or one.get("Name"))
            tags = [tag for tag in one.get("RepoTags") or () if not tag.startswith("<none>")]
            names = [tag for tag in tags if tag.startswith(TAG_PREFIX)] if tags else [name]
            if names:
                found.append(Leftover(kind, name, tuple(names), one.get("Labels") or {}))
    return found


def prune(connection: Connection, *, everything: bool) -> tuple[Leftover, ...]:
    """Remove what graders left that have ended, or with `everything` all of ours; what was found. `EngineError`."""

    def listed() -> list[Leftover]:
        owned = ((one, one.owner) for one in our_objects(connection))
        return [one for one, owner in owned if owner and (everything or is_dead(owner, connection))]

    return _remove_all(connection, listed)


def remove_run(connection: Connection, run: str) -> None:
    """Remove all objects of one run. `EngineError`."""
    _remove_all(connection, lambda: our_objects(connection, run))


def _remove_all(connection: Connection, listed: Callable[[], Sequence[Leftover]]) -> tuple[Leftover, ...]:
    """Try three times, since what holds an object may be going; a request that was interrupted may still make some."""
    found: dict[str, Leftover] = {}
    problems: list[Refused] = []
    for pause in _REMOVAL_PAUSES:
        try:
            now = listed()
            found |= {one.id: one for one in now}
            problems = [problem for one in now if (problem := _problem_of_removal(connection, one))]
        except Refused as refused:
            problems = [refused]
        if not problems:
            return tuple(found.values())
        time.sleep(pause)
    raise EngineError(
        "The engine did not remove all that the grader made: "
        + " ".join(str(problem) for problem in problems)
        + " Try `grader prune` later."
    )


def _problem_of_removal(connection: Connection, one: Leftover) -> Refused | None:
    """Remove it, and return why not; nothing happens if it is gone."""
    is_container = one.kind == "container"
    try:
        for name in one.names:
            with if_there(also_going=is_container):
                parameters = {"v": 1, "force": 1} if is_container else {}
                connection.call("DELETE", f"/{one.kind}s/{name}", parameters=parameters)
    except Refused as refused:
        return refused
    return None
