"""Running what a student typed against a private engine, in a container with nothing but that engine's socket.

The script container runs in the host engine, beside the private engine and not inside it: there, the script's own
`docker rm -f $(docker ps -aq)` would end it. It has no network, no capabilities, a read-only root file system, and a
copy of the submission's folder, at a path that means the same in the private engine: `-v "$PWD/data:/data"` works.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from grader.course.models import BaseImage, Limits
from grader.engine.http import Connection
from grader.engine.ownership import labels, this_process
from grader.engine.run import ContainerRun, container_settings, observe, remove_container
from grader.engine.watchdog import Cancellation
from grader.failpoints import failpoint
from grader.models import EngineRequest, FailedCommand, MemoryFile, RunOutcome, RunRequest
from grader.sandbox.engine_image import image_name
from grader.sandbox.nested_engine import PrivateEngine
from grader.sandbox.proxy.record import Record, read_record
from grader.sandbox.proxy.server import running
from grader.sandbox.proxy.settings import ProxySettings, Workspace
from grader.sandbox.workspace import WorkArea, work_area

_SOCKET = "/var/run/docker.sock"
_TRACED_AT = "/etc/script-trace"
_ENVIRONMENT = (
    ("BASH_ENV", _TRACED_AT),
    ("COMPOSE_BAKE", "false"),
    ("DOCKER_BUILDKIT", "0"),
    ("DOCKER_HOST", f"unix://{_SOCKET}"),
    ("HOME", "/tmp"),
    ("TERM", "xterm"),  # for `clear`, which is in many a history
)
_TOOLS = ("docker", "sudo")
"""Programs of ours that stand before those of the image: for commands that were typed at a terminal, as root or not."""


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """How the script ended, and the requests that it made to the private engine, in order."""

    outcome: RunOutcome
    requests: tuple[EngineRequest, ...]


@dataclass(frozen=True, slots=True)
class Workshop:
    """A copy of a submission's folder, in `area`, in which commands run; and the record of what they ask the engine.

    `folder` is this machine's, for the socket.
    """

    host: Connection
    folder: Path
    area: WorkArea
    limits: Limits
    cancellation: Cancellation

    def record(self) -> Record:
        """What commands have asked the engine for so far."""
        return read_record((self.folder / "record").read_bytes())

    def run(self, command: tuple[str, ...], seconds: float) -> RunOutcome:
        """Run one command, for at most `seconds`. What it prints names the folder as `.`, wherever it is.

        Raises `EngineError` also where the private engine has ended by then.
        """
        order = _order(secrets.token_hex(6), command, replace(self.limits, run_seconds=seconds))
        outcome = _run(self.host, order, self._settings(order), self.cancellation)
        self.area.check()
        return replace(outcome, stdout=self._anywhere(outcome.stdout), stderr=self._anywhere(outcome.stderr))

    def run_file(self, name: str, seconds: float) -> tuple[RunOutcome, tuple[FailedCommand, ...]]:
        """Run a shell script, as `run` does, and learn from the shell which of its commands failed, the first 20."""
        mark = secrets.token_hex(16)
        (self.folder / "trace").write_text(_TRACE.replace("@MARK@", mark), encoding="ascii")
        outcome = self.run(("bash", name), seconds)
        stderr, failed = failed_commands(outcome.stderr, mark)
        return replace(outcome, stderr=stderr), failed

    def put(self, files: tuple[MemoryFile, ...]) -> None:
        """Write vetted files into the folder, where they replace what is there."""
        self.area.put(files)

    def _anywhere(self, printed: bytes) -> bytes:
        return printed.replace(os.fsencode(self.area.work), b".").replace(os.fsencode(self.area.root), b"..")

    def _settings(self, order: ContainerRun) -> dict[str, Any]:
        """The settings of a hardened run, and what a script needs besides."""
        settings = container_settings(order)
        settings["WorkingDir"] = str(self.area.work)
        settings["User"] = f"{os.getuid()}:{os.getgid()}"  # without capabilities, only the owner can use the socket
        tools = [f"{self.folder / f'tool-{name}'}:/usr/local/bin/{name}:ro" for name in _TOOLS]
        settings["HostConfig"] |= {
            "Binds": [f"{self.folder / 's'}:{_SOCKET}", f"{self.folder / 'trace'}:{_TRACED_AT}:ro", *tools],
            "Mounts": [self.area.mount],
            "ReadonlyRootfs": True,
            "Init": True,  # a shell does not pass on signals, and leaves zombies
        }
        return settings


_TRACE = """\
unset BASH_ENV
trap 'printf "@MARK@ %d %d %s\\n" "$?" "$LINENO" "${BASH_COMMAND%%$'"'\\n'"'*}" >&2' ERR
"""
"""What bash reads before a script: to say each command that fails. For feedback only, since a script can undo it."""
_KEPT = 20


def failed_commands(stderr: bytes, mark: str) -> tuple[bytes, tuple[FailedCommand, ...]]:
    """Take the shell's news of failed commands out of what a script printed. Pure."""
    told = re.compile(rb"%b (\d{1,3}) (\d{1,6}) (.*)\n" % mark.encode())
    found = [
        FailedCommand(int(line), int(code), command.decode("utf-8", "replace"))
        for code, line, command in told.findall(stderr)
    ]
    return told.sub(b"", stderr), tuple(found[:_KEPT])


@contextmanager
def workshop(
    host: Connection,
    engine: PrivateEngine,
    files: tuple[MemoryFile, ...],
    limits: Limits,
    cancellation: Cancellation | None = None,
    *,
    images: Sequence[BaseImage] = (),
) -> Iterator[Workshop]:
    """An empty folder with `files`, and a socket to the engine. One at a time for an engine.

    `images` are what may be built from, besides what commands build themselves.

    The folder is of limited size, and in memory: who writes more than the area holds is told that no space is left.
    What commands make in the private engine stays there. Of `limits`, `output_kb`, `memory_mb`, `processes` and `cpus`
    bound a command itself; what it starts is bounded by the private engine.
    """
    folder = engine.folder / f"script-{secrets.token_hex(6)}"
    try:
        folder.mkdir()
        (folder / "trace").touch()
        _put_tools(folder)
        with (
            work_area(host, engine) as area,
            running(_settings(engine, folder, str(area.work), images, limits), area.make_folder),
        ):
            area.put(files)
            failpoint("workshop-made")
            yield Workshop(host, folder, area, limits, cancellation or Cancellation())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        failpoint("workshop-removed")


def _settings(
    engine: PrivateEngine, folder: Path, work: str, images: Sequence[BaseImage], limits: Limits
) -> ProxySettings:
    return ProxySettings(
        listen=str(folder / "s"),
        engine=engine.endpoint.removeprefix("unix://"),
        record=str(folder / "record"),
        workspace=Workspace(work, work),
        images=tuple(name for image in images for name in image.names),
        context_mb=limits.context_mb,
        context_files=limits.context_files,
        cpus=engine.cpus,
    )


def _put_tools(folder: Path) -> None:
    for name in _TOOLS:
        target = folder / f"tool-{name}"
        target.write_bytes((resources.files("grader.sandbox") / "tools" / name).read_bytes())
        target.chmod(0o755)


def run_script(
    host: Connection,
    engine: PrivateEngine,
    files: tuple[MemoryFile, ...],
    limits: Limits,
    *,
    command: tuple[str, ...] = ("bash", "commands.sh"),
    images: Sequence[BaseImage] = (),
    cancellation: Cancellation | None = None,
) -> ScriptOutcome:
    """Run `command` in a new folder with `files`, for at most `limits.script_seconds`.

    Raises `EngineError` for faults that are not the script's, `Cancelled` when told to stop.
    """
    with workshop(host, engine, files, limits, cancellation, images=images) as place:
        outcome = place.run(command, limits.script_seconds)
        return ScriptOutcome(outcome, place.record().requests)


def _order(run: str, command: tuple[str, ...], limits: Limits) -> ContainerRun:
    ours = this_process()
    return ContainerRun(
        image=image_name(),
        name=f"grader-script-{run}",
        request=RunRequest(args=command, environment=_ENVIRONMENT),
        limits=limits,
        labels=labels(run, ours, "container"),
        volume_labels=labels(run, ours, "volume"),
        cpus=float(os.cpu_count() or 1),
        capabilities=(),
        names_localhost=False,  # its one way out is a socket, and the image has no program that would look a name up
    )


def _run(host: Connection, order: ContainerRun, settings: dict[str, Any], cancellation: Cancellation) -> RunOutcome:
    cancellation.check()
    created = host.call("POST", "/containers/create", parameters={"name": order.name}, json=settings)
    container = created.json["Id"]
    failpoint("script-created")
    try:
        return observe(host, container, order, cancellation)
    finally:
        failpoint("script-ended")
        remove_container(host, container)
