"""The workspace: a copy of a submission's folder in which its commands run, with the proxy before the nested engine.

Commands run in script containers beside the nested engine and not inside it: there, a script's own
`docker rm -f $(docker ps -aq)` would end them. A script container has no network, no capabilities, a read-only root
file system, the folder at the path that it has in the nested engine, so that `-v "$PWD/data:/data"` works, and the
socket that the proxy listens at.

The folder is a volume of limited size, mounted in the script containers, the nested engine, and the helper container,
by way of which files are put into it: what a link in it leads to is at most a file of that container's own. Since it is
a mount, no script can put a link in its place.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from grader.course.models import BaseImage, Limits
from grader.engine.ownership import labels, this_process
from grader.engine.run import ContainerRun, container_settings, observe, remove_container
from grader.engine.watchdog import Cancellation
from grader.errors import EngineError
from grader.failpoints import failpoint
from grader.models import MemoryFile, RunOutcome, RunRequest
from grader.sandbox.engine_image import image_name
from grader.sandbox.nested_engine import (
    ENGINE_SOCKET,
    PROXY_FILES,
    SCRIPT_FILES,
    PrivateEngine,
    output_of,
    put_files,
    read_file,
    run_program,
    start_program,
)
from grader.sandbox.proxy.interface import ProxySettings, Record, read_record

_SCRIPT_AT = "/run"
"""Where script containers have the folder of their socket. `/var/run`, where Docker's own is, leads there."""
_PREAMBLE = "preamble"
_ENVIRONMENT: tuple[tuple[str, str], ...] = (
    ("COMPOSE_BAKE", "false"),
    ("DOCKER_BUILDKIT", "0"),
    ("DOCKER_HOST", "unix:///var/run/docker.sock"),
    ("HOME", "/tmp"),
    ("PATH", f"{_SCRIPT_AT}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TERM", "xterm"),  # for `clear`, which is in many a history
)
_RECORD, _SETTINGS = "record", "settings.json"
_START = f"python3 -IS {PROXY_FILES}/main.py {PROXY_FILES}/{_SETTINGS} </dev/null & read _; kill $!; wait $!"
"""The proxy runs until a line comes, or the end of input."""
_PROXY_SECONDS = 30.0
"""The longest wait for the proxy to listen, or to end; either takes a fifth of a second."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder in which commands run, and the record of what they ask the engine. See `open_workspace`."""

    private: PrivateEngine
    limits: Limits
    cancellation: Cancellation

    def run(self, command: Sequence[str], seconds: float, *, preamble: str = "") -> RunOutcome:
        """Run one command, for at most `seconds`. What it prints names the folder as `.`.

        If it is bash, it runs the `preamble` first. Raises `EngineError` also where the private engine has ended.
        """
        environment = _ENVIRONMENT
        if preamble:
            environment = (*environment, ("BASH_ENV", f"{_SCRIPT_AT}/{_PREAMBLE}"))
            file = MemoryFile(_PREAMBLE, preamble.encode())
            put_files(self.private.host, self.private.helper, SCRIPT_FILES, [file])
        run, ours = secrets.token_hex(6), this_process(self.private.host)
        order = ContainerRun(
            image=image_name(),
            name=f"grader-script-{run}",
            request=RunRequest(args=tuple(command), environment=environment),
            limits=replace(self.limits, run_seconds=seconds),
            labels=labels(run, ours, "container"),
            volume_labels=labels(run, ours, "volume"),
            cpus=self.private.cpus,
            capabilities=(),
            names_localhost=False,  # its one way out is a socket, and the image has nothing that would look a name up
        )
        outcome = self._observed(order)
        self.private.check()
        stdout, stderr = (
            printed.replace(os.fsencode(self.private.workspace), b".") for printed in (outcome.stdout, outcome.stderr)
        )
        return replace(outcome, stdout=stdout, stderr=stderr)

    def put(self, files: Sequence[MemoryFile]) -> None:
        """Write vetted files into the folder. They replace what is there, also a link.

        Scripts get the line ends of Unix: to bash, the other half of an editor's CRLF is part of the last word.
        """
        written = (
            replace(file, content=file.content.replace(b"\r\n", b"\n")) if file.path.endswith(".sh") else file
            for file in files
        )
        put_files(self.private.host, self.private.helper, self.private.workspace, written)

    def record(self) -> Record:
        """What commands have asked the engine for so far."""
        return read_record(read_file(self.private.host, self.private.helper, f"{PROXY_FILES}/{_RECORD}"))

    def _observed(self, order: ContainerRun) -> RunOutcome:
        self.cancellation.check()
        host = self.private.host
        created = host.call("POST", "/containers/create", parameters={"name": order.name}, json=self._settings(order))
        container = created.json["Id"]
        failpoint("script-created")
        try:
            return observe(host, container, order, self.cancellation)
        finally:
            failpoint("script-ended")
            remove_container(host, container)

    def _settings(self, order: ContainerRun) -> dict[str, Any]:
        """The settings of a hardened run, and what a script needs besides."""
        settings = container_settings(order)
        settings["WorkingDir"] = self.private.workspace
        settings["HostConfig"] |= {
            "Mounts": [
                self.private.mount("workspace", self.private.workspace),
                self.private.mount("script", _SCRIPT_AT, read_only=True),
            ],
            "ReadonlyRootfs": True,
            "Init": True,  # a shell does not pass on signals, and leaves zombies
        }
        return settings


@contextmanager
def open_workspace(
    private: PrivateEngine,
    files: Sequence[MemoryFile],
    limits: Limits,
    cancellation: Cancellation | None = None,
    *,
    images: Sequence[BaseImage] = (),
) -> Iterator[Workspace]:
    """A workspace with `files` and nothing else in it. One at a time for an engine.

    `images` are what may be built from, besides what commands build themselves. The folder is of limited size, and in
    memory: who writes more than it holds is told that no space is left. What commands make in the private engine stays
    there. Of `limits`, `output_kb`, `memory_mb`, `processes` and `cpus` bound a command itself; what it starts is
    bounded by the private engine.
    """
    workspace = Workspace(private, limits, cancellation or Cancellation())
    settings = ProxySettings(
        listen=f"{SCRIPT_FILES}/docker.sock",
        engine=ENGINE_SOCKET,
        record=f"{PROXY_FILES}/{_RECORD}",
        workspace=private.workspace,
        images=tuple(name for image in images for name in image.names),
        context_mb=limits.context_mb,
        context_files=limits.context_files,
        cpus=private.cpus,
    )
    started_with = [MemoryFile(_SETTINGS, settings.to_json()), MemoryFile(_RECORD, b"")]
    put_files(private.host, private.helper, PROXY_FILES, started_with)
    with start_program(private.host, private.helper, ("sh", "-c", _START)) as stream:
        stream.settimeout(_PROXY_SECONDS)
        printed = output_of(stream)
        try:
            # By the nested engine's container, whose root may remove what others wrote; the proxy starts meanwhile.
            run_program(private.host, private.container, ("find", private.workspace, "-mindepth", "1", "-delete"))
            workspace.put(files)
            if next(printed, b"") != b"listening\n":
                raise EngineError("The proxy before the private engine did not start.")
            failpoint("workspace-made")
            yield workspace
        finally:
            with suppress(OSError, EngineError):  # the containers may have ended, and the proxy with them
                stream.sendall(b"\n")
                for _ in printed:
                    pass
            failpoint("workspace-removed")
