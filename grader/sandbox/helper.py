"""The helper container beside a nested engine: what the grader does there, it does by way of this container.

It has the engine's socket, the workspace and no network, capability or file of the host. The grader runs programs in
it: one end of the tunnel to the engine, and the proxy before it. All goes through the API of the engine that runs it,
so that engine may be anywhere.
"""

from __future__ import annotations

import io
import socket
import tarfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from grader.engine.files import put_in, read_tar
from grader.engine.http import Connection
from grader.engine.run import split_frames
from grader.engine.tar import with_folders, write_tar
from grader.errors import EngineError
from grader.models import MemoryFile
from grader.sandbox import tunnel
from grader.sandbox.tunnel import Tunnel

_PIECE = 65_536
_STDOUT = 1
_FILE_LIMIT = 64 * 2**20


@contextmanager
def open_tunnel(host: Connection, helper: str, path: str) -> Iterator[Tunnel]:
    """A tunnel to the socket at `path` in the helper container. It ends with the block, or with the container."""
    source = Path(tunnel.__file__).read_text(encoding="utf-8")
    with start_program(host, helper, ("python3", "-I", "-S", "-c", source, path)) as stream:
        opened = Tunnel(output_of(stream), stream.sendall)
        threading.Thread(target=_serve, args=(opened,), daemon=True).start()
        try:
            yield opened
        finally:
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)  # wakes the thread, which a close would not


def _serve(opened: Tunnel) -> None:
    with suppress(EngineError):  # the helper has ended in the middle of a frame; its connections say so
        opened.serve()


def start_program(host: Connection, container: str, command: Sequence[str]) -> closing[socket.socket]:
    """Start a program in a running container. Its input is what is sent, its output comes in frames."""
    asked = {"Cmd": [*command], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
    started = host.call("POST", f"/containers/{container}/exec", json=asked).json["Id"]
    return closing(host.hijack(f"/exec/{started}/start", {"Detach": False, "Tty": False}))


def run_program(host: Connection, container: str, command: Sequence[str]) -> bytes:
    """Run a program in a running container to its end, and return what it printed. `EngineError` unless it succeeds."""
    asked = {"Cmd": [*command], "AttachStdout": True, "AttachStderr": True}
    started = host.call("POST", f"/containers/{container}/exec", json=asked).json["Id"]
    with closing(host.hijack(f"/exec/{started}/start", {"Detach": False, "Tty": False})) as stream:
        printed = b"".join(data for _, data in split_frames(_pieces(stream)))
    code = host.call("GET", f"/exec/{started}/json").json["ExitCode"]
    if code != 0:
        said = printed.decode("utf-8", "replace").strip()
        raise EngineError(f"`{' '.join(command)}` in a container of the grader ended with code {code}: {said}")
    return printed


def output_of(stream: socket.socket) -> Iterator[bytes]:
    """What the program prints on its standard output, as it comes."""
    return (data for number, data in split_frames(_pieces(stream)) if number == _STDOUT)


def _pieces(stream: socket.socket) -> Iterator[bytes]:
    return iter(lambda: stream.recv(_PIECE), b"")


def put_files(host: Connection, container: str, folder: str, files: Iterable[MemoryFile]) -> None:
    """Write files, with paths relative to a folder, into a container, in place of what is there, also of links."""
    put_in(host, container, write_tar(with_folders(files), modified=int(time.time())), folder)


def read_file(host: Connection, container: str, path: str) -> bytes:
    """Read a file of ours in a container."""
    packed = read_tar(host, container, path, _FILE_LIMIT)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as archive:
        member = archive.next()
        content = archive.extractfile(member) if member else None
        return content.read() if content else b""


def hardened(memory_mb: int, processes: int, mounts: Sequence[Mapping[str, object]]) -> dict[str, object]:
    """The `HostConfig` of a container that does the grader's own work, and needs no right for it."""
    return {
        "NetworkMode": "none",
        "ReadonlyRootfs": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": memory_mb * 2**20,
        "MemorySwap": memory_mb * 2**20,
        "PidsLimit": processes,
        "LogConfig": {"Type": "none"},
        "Mounts": [*mounts],
        "Init": True,
    }
