"""Running a submission's `commands.sh` against a private engine, in a container with nothing but that engine's socket.

The script container runs in the host engine, beside the private engine and not inside it: there, the script's own
`docker rm -f $(docker ps -aq)` would end it. It has no network, no capabilities, a read-only root file system, and a
copy of the submission's folder, at a path that means the same in the private engine: `-v "$PWD/data:/data"` works.
"""

from __future__ import annotations

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from grader.connection import Connection
from grader.model import MemoryFile, RunOutcome, RunRequest
from grader.owner import labels, this_process
from grader.private import PrivateEngine
from grader.privaterecipe import image_name
from grader.recorder import RecordedRequest, recorded
from grader.runner import (
    ContainerRun,
    _observe,  # attaching, deadline, output limit and how it ended; a public name is asked for
    container_settings,
    remove_container,
)
from grader.spec import Limits
from grader.watchdog import Cancellation

__all__ = ["ScriptOutcome", "run_script"]

_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """How the script ended, and the requests that it made to the private engine, in order."""

    outcome: RunOutcome
    requests: tuple[RecordedRequest, ...]
    lost: int = 0


def run_script(
    host: Connection,
    engine: PrivateEngine,
    files: tuple[MemoryFile, ...],
    limits: Limits,
    *,
    command: tuple[str, ...] = ("bash", "commands.sh"),
    cancellation: Cancellation | None = None,
) -> ScriptOutcome:
    """Run `command` in a new folder with `files`, and remove the folder and the container afterwards.

    What the script made in the private engine stays there. Of `limits`, `run_seconds`, `output_kb`, `memory_mb`,
    `processes` and `cpus` bound the script itself; what it starts is bounded by the private engine. Raises
    `EngineError` for faults that are not the script's, `Cancelled` when told to stop.
    """
    run = secrets.token_hex(6)
    folder = engine.folder / f"script-{run}"
    work = folder / "work"
    try:
        work.mkdir(parents=True)
        _write(files, work)
        with recorded(Path(engine.endpoint.removeprefix("unix://")), folder / "s") as recording:
            order = _order(run, command, limits)
            outcome = _run(host, order, _settings(order, folder), cancellation or Cancellation())
        return ScriptOutcome(outcome, recording.requests(), recording.lost)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(files: tuple[MemoryFile, ...], work: Path) -> None:
    """Write vetted files; their paths are relative and stay inside (that is what vetting is).

    Scripts get the line ends of Unix: to bash, the other half of an editor's CRLF is part of the last word.
    """
    for file in files:
        target = work / PurePosixPath(file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.content.replace(b"\r\n", b"\n") if file.path.endswith(".sh") else file.content)
        target.chmod(file.mode)


def _order(run: str, command: tuple[str, ...], limits: Limits) -> ContainerRun:
    ours = this_process()
    return ContainerRun(
        image=image_name(),
        name=f"grader-script-{run}",
        request=RunRequest(args=command, environment=(("HOME", "/tmp"), ("DOCKER_HOST", f"unix://{_SOCKET}"))),
        limits=limits,
        labels=labels(run, ours, "container"),
        volume_labels=labels(run, ours, "volume"),
        cpus=float(os.cpu_count() or 1),
    )


def _settings(order: ContainerRun, folder: Path) -> dict[str, Any]:
    """The settings of a hardened run, and what a script needs besides."""
    settings = container_settings(order)
    settings["WorkingDir"] = str(folder / "work")
    settings["User"] = f"{os.getuid()}:{os.getgid()}"  # without capabilities, only the owner can use folder and socket
    settings["HostConfig"] |= {
        "Binds": [f"{folder / 'work'}:{folder / 'work'}", f"{folder / 's'}:{_SOCKET}"],
        "ReadonlyRootfs": True,
        "Init": True,  # a shell does not pass on signals, and leaves zombies
    }
    return settings


def _run(host: Connection, order: ContainerRun, settings: dict[str, Any], cancellation: Cancellation) -> RunOutcome:
    cancellation.check()
    created = host.call("POST", "/containers/create", parameters={"name": order.name}, json=settings)
    container = created.json["Id"]
    try:
        return _observe(host, container, order, cancellation)
    finally:
        remove_container(host, container)
