"""Compose, carried out: read the file, build the image, exchange a file, bring all up, watch it, bring it down."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grader.course.models import BaseImage, Limits
from grader.engine.http import Connection
from grader.engine.run import split_frames
from grader.failpoints import failpoint
from grader.models import (
    ComposeRequest,
    ComposeSeen,
    Exited,
    NotStarted,
    RunOutcome,
    ServiceSeen,
)
from grader.sandbox.compose_policy import examine, hidden
from grader.sandbox.workspace import Workspace
from grader.submissions.models import ExerciseFiles

PROJECT = "exercise"
"""The project's name, ours and always the same: each submission has an engine of its own."""
_COMPOSE = ("docker", "compose", "--ansi", "never", "--progress", "plain", "--project-name", PROJECT)
_EVERY_PROFILE = ("--profile", "*")
_LABEL = "com.docker.compose"
_CONFIG_SECONDS = 60.0
"""For reading a file, which takes half a second. More than a busy machine needs, since who exceeds it has failed."""
_UP_SECONDS = 20.0
"""What Compose itself may take besides the services, making a network and waiting for what others depend on."""
_DOWN_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class ComposeFiles:
    """A folder with a Compose file, and the base images that what it builds may begin with.

    `supply` makes those present that are needed. Raises `EnvironmentProblem` where it cannot.
    """

    files: ExerciseFiles
    images: Sequence[BaseImage]
    supply: Callable[[Sequence[str]], None] = lambda _: None

    def command(self, *words: str) -> tuple[str, ...]:
        """A command of Compose. It names its files, so that no other one is looked for (COMPOSE_FILE in `.env`)."""
        named = (word for name in self.files.compose_files for word in ("--file", name))
        return (*_COMPOSE, *named, *words)


def compose_up(
    workspace: Workspace, engine: Connection, submitted: ComposeFiles, request: ComposeRequest, limits: Limits
) -> ComposeSeen:
    """Read the file; with `replaced` also build, exchange those files, bring up, wait `run_seconds`, bring down.

    Nothing is built that the policy refuses. What is built is the student's own: files are exchanged after that.
    """
    if refused := hidden(submitted.files):
        return ComposeSeen(RunOutcome(NotStarted("refused by the policy")), refused=refused)
    configured = workspace.run(submitted.command(*_EVERY_PROFILE, "config", "--format", "json"), _CONFIG_SECONDS)
    if configured.ended != Exited(0):
        return ComposeSeen(configured)
    judged = examine(submitted.files, configured.stdout, submitted.images)
    if judged.refusals or not request.replaced:
        return ComposeSeen(configured, refused=judged.refusals)
    submitted.supply(judged.bases)
    built = workspace.run(submitted.command("build"), limits.build_seconds)
    if built.ended != Exited(0):
        return ComposeSeen(configured, built)
    workspace.put(request.replaced)
    began = time.monotonic()
    up = workspace.run(submitted.command("up", "--detach", "--no-build"), _UP_SECONDS + limits.run_seconds)
    failpoint("compose-up")
    services = _watched(engine, began + limits.run_seconds, limits)
    seconds = time.monotonic() - began
    down = workspace.run(
        submitted.command(*_EVERY_PROFILE, "down", "--volumes", "--remove-orphans", "--timeout", "1"), _DOWN_SECONDS
    )
    return ComposeSeen(configured, built, up, services, down, _left(engine), seconds)


def _watched(engine: Connection, deadline: float, limits: Limits) -> tuple[ServiceSeen, ...]:
    """Every container of the project once all have ended, or when the time is over."""
    while True:
        containers = [engine.call("GET", f"/containers/{one}/json").json for one in _of_project(engine)]
        going = [one for one in containers if one["State"]["Status"] in {"running", "restarting", "paused"}]
        if not going or time.monotonic() > deadline:
            return tuple(_service(engine, one, limits.output_kb * 1024) for one in containers)
        time.sleep(_POLL_SECONDS)


def _of_project(engine: Connection) -> list[str]:
    found = engine.call("GET", "/containers/json", parameters={"all": 1, "filters": _filters()}).json
    return sorted(str(one["Id"]) for one in found)


def _filters() -> str:
    return json.dumps({"label": [f"{_LABEL}.project={PROJECT}"]})


def _service(engine: Connection, container: Mapping[str, Any], limit: int) -> ServiceSeen:
    stdout, stderr = _printed(engine, container, limit)
    return ServiceSeen(
        service=str((container["Config"].get("Labels") or {}).get(f"{_LABEL}.service", "")),
        status=str(container["State"]["Status"]),
        code=int(container["State"].get("ExitCode") or 0),
        restarts=int(container.get("RestartCount") or 0),
        stdout=stdout,
        stderr=stderr,
    )


def _printed(engine: Connection, container: Mapping[str, Any], limit: int) -> tuple[bytes, bytes]:
    """Standard output and standard error so far, of at most `limit` bytes together.

    With `tty: true` both are one terminal's, which the engine sends as they are, without frames.
    """
    parts: dict[int, list[bytes]] = {1: [], 2: []}
    path = f"/containers/{container['Id']}/logs"
    stream = engine.stream("GET", path, parameters={"stdout": 1, "stderr": 1}, silence=30)
    with contextlib.closing(stream):
        pieces = ((1, piece) for piece in stream) if container["Config"].get("Tty") else split_frames(stream)
        for number, data in pieces:
            parts.get(number, []).append(data[:limit])
            limit -= len(data)
            if limit <= 0:
                break
    return b"".join(parts[1]), b"".join(parts[2])


def _left(engine: Connection) -> tuple[str, ...]:
    """What of the project is still there, in words."""
    containers = [f"container {one[:12]}" for one in _of_project(engine)]
    networks = engine.call("GET", "/networks", parameters={"filters": _filters()}).json
    volumes = engine.call("GET", "/volumes", parameters={"filters": _filters()}).json.get("Volumes") or ()
    return (
        *containers,
        *(f"network {one['Name']}" for one in networks),
        *(f"volume {one['Name']}" for one in volumes),
    )
