"""The folder that scripts work in, on the area of a private engine: a file system of limited size.

The area is a volume of the host engine, mounted at the same path in the private engine and in script containers. It is
none of this machine's folders, so files are put into it through the engine's archive API, by way of a container that is
there for nothing else: what a link in the folder leads to is at most a file of that container's own.
"""

from __future__ import annotations

import io
import os
import secrets
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from grader.engine.files import has_path
from grader.engine.http import Connection
from grader.engine.ownership import labels, this_process
from grader.engine.run import remove_container
from grader.errors import EngineError
from grader.models import MemoryFile
from grader.sandbox.engine_image import image_name
from grader.sandbox.nested_engine import AREA, PrivateEngine

_WORK = "work"
_CLEARING_SECONDS = 60.0
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class WorkArea:
    """The area at `root`, and the container by way of which it is written to.

    `mount` is the area as an entry of `HostConfig.Mounts`, for containers in which commands run in `work`; `engine` the
    container of the private engine, which keeps the area mounted.
    """

    host: Connection
    keeper: str
    root: Path
    mount: Mapping[str, object]
    engine: str

    @property
    def work(self) -> Path:
        """The folder, by its path in the private engine and in script containers; this machine has none there."""
        return self.root / _WORK

    def put(self, files: Iterable[MemoryFile]) -> None:
        """Write vetted files, whose paths are relative, into `work`. They replace what is there, also a link.

        Scripts get the line ends of Unix: to bash, the other half of an editor's CRLF is part of the last word.
        """
        written = [
            MemoryFile(file.path, _unix(file) if file.path.endswith(".sh") else file.content, file.mode)
            for file in files
        ]
        folders = {PurePosixPath(), *(parent for file in written for parent in PurePosixPath(file.path).parents)}
        self._unpack(_archive(sorted(folders), written))

    def make_folder(self, path: PurePosixPath) -> None:
        """Make a folder below `work`, as the engine does for a bind mount, unless something is there.

        What stands in the way is for the engine to complain about, in words that students find elsewhere too.
        """
        parts = [path, *path.parents][:-1]  # without the work folder itself
        with suppress(EngineError):
            missing = [part for part in parts if not has_path(self.host, self.keeper, str(self.work / part))]
            if missing:
                self._unpack(_archive(sorted(missing), ()))

    def check(self) -> None:
        """Raise `EngineError` if the private engine has ended: its area is empty then, and no command is to blame."""
        state = self.host.call("GET", f"/containers/{self.engine}/json").json["State"]
        if not state.get("Running"):
            raise EngineError(
                f"The private engine ended while commands were run (exit code {state.get('ExitCode')}), so what they "
                "came to says nothing."
            )

    def _unpack(self, archive: bytes) -> None:
        self.host.call("PUT", f"/containers/{self.keeper}/archive", parameters={"path": str(self.root)}, data=archive)


@contextmanager
def work_area(host: Connection, engine: PrivateEngine) -> Iterator[WorkArea]:
    """The area of a private engine, with nothing in it. Only one may be open for an engine.

    What is left there at the end goes when it is next opened, or with the engine. Raises `EngineError`.
    """
    root = engine.folder / AREA
    mount = {"Type": "volume", "Source": engine.area, "Target": str(root), "VolumeOptions": {"NoCopy": True}}
    run = secrets.token_hex(6)
    created = host.call(
        "POST", "/containers/create", parameters={"name": f"grader-script-{run}-area"}, json=_keeper(run, root, mount)
    )
    area = WorkArea(host, str(created.json["Id"]), root, mount, engine.container)
    try:
        if has_path(host, area.keeper, str(area.work)):
            _clear(host, area.keeper)
        yield area
    finally:
        remove_container(host, area.keeper)


def _keeper(run: str, root: Path, mount: Mapping[str, object]) -> dict[str, Any]:
    """A container that, when it is started, empties the area: root's files too, following no link."""
    return {
        "Image": image_name(),
        "Entrypoint": [],
        "Cmd": ["find", str(root), "-mindepth", "1", "-delete"],
        "Labels": dict(labels(run, this_process(), "container")),
        "NetworkDisabled": True,  # as in `runner.container_settings`
        "HostConfig": {
            "NetworkMode": "none",
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "CapAdd": ["DAC_OVERRIDE", "FOWNER"],
            "SecurityOpt": ["no-new-privileges:true"],
            "Memory": 64 * _MEBIBYTE,
            "PidsLimit": 16,
            "LogConfig": {"Type": "none"},
            "Mounts": [mount],
        },
    }


def _clear(host: Connection, keeper: str) -> None:
    host.call("POST", f"/containers/{keeper}/start")
    ended = host.call("POST", f"/containers/{keeper}/wait", seconds=_CLEARING_SECONDS).json
    if ended.get("StatusCode") != 0:
        raise EngineError("The folder of the script before could not be emptied, so no script can be run there.")


def _unix(file: MemoryFile) -> bytes:
    return file.content.replace(b"\r\n", b"\n")


def _archive(folders: Iterable[PurePosixPath], files: Iterable[MemoryFile]) -> bytes:
    """A tar of folders and files in `work`, which belong to the user who grades, as whom scripts run."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for folder in folders:
            archive.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
        for file in files:
            entry = _entry(PurePosixPath(file.path), tarfile.REGTYPE, file.mode)
            entry.size = len(file.content)
            archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


def _entry(path: PurePosixPath, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(str(_WORK / path))
    entry.type, entry.mode, entry.mtime = kind, mode, int(time.time())
    entry.uid, entry.gid = os.getuid(), os.getgid()
    return entry
