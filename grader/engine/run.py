"""One run: `docker run --rm IMAGE args…`, with limits, observed from before its start to its end.

Settings that differ from `docker run`'s, and why, stand in `container_settings`. Three settings
are NOT used although they are common hardening, because they change what a student's image does:
an init process (it would start where the image's own command cannot, and hide that), a read-only
root file system (exercises write files), and a tmpfs over a declared VOLUME or over a /tmp that
has files in it (it would hide what the image has there).
"""

from __future__ import annotations

import contextlib
import io
import json
import posixpath
import re
import struct
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from grader.course.models import Limits
from grader.engine.bound_files import bind_files, binding, in_volumes, unbind_files
from grader.engine.folders import FOLDER_LIMIT, folder_archive, left_in
from grader.engine.http import Connection, Refused, Stream, parse_time
from grader.engine.user_files import not_a_file
from grader.engine.watchdog import Cancellation, Reason, Watchdog
from grader.errors import EngineError
from grader.failpoints import reached
from grader.models import (
    Exited,
    FolderMount,
    MemoryFile,
    NotStarted,
    OutOfMemory,
    OutputLimit,
    RunEnd,
    RunOutcome,
    RunRequest,
    TimedOut,
)

MAX_VOLUMES = 64
"""Volumes that an image may declare; each run makes all of them anew, and a Dockerfile has room for thousands."""

Labels = tuple[tuple[str, str], ...]

_MIB = 2**20
_STDOUT, _STDERR = 1, 2
_SLACK = 30.0
"""Seconds that the engine may take to end a container after it was killed."""


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """One container to run. `volumes` are the paths that the image declares with VOLUME.

    `cpus` is what the engine has: asking for more is refused. `tmp_is_empty` tells whether the image has
    nothing in /tmp, so that a tmpfs hides nothing; `names_localhost`, whether what runs may look that name up.
    `bound` are files in the place of such a volume: (path in the container, path on the engine's machine).
    """

    image: str
    name: str
    request: RunRequest
    limits: Limits
    labels: Labels
    volume_labels: Labels
    volumes: tuple[str, ...] = ()
    cpus: float = 1.0
    tmp_is_empty: bool = True
    names_localhost: bool = True
    bound: tuple[tuple[str, str], ...] = ()


# ── settings ────────────────────────────────────────────────────────────────────────────


def container_settings(run: ContainerRun) -> dict[str, Any]:
    """The body of `POST /containers/create`. Pure.

    Fields: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate
    """
    settings: dict[str, Any] = {
        "Image": run.image,
        "Env": [f"{name}={value}" for name, value in run.request.environment],
        "Labels": dict(run.labels),
        "Hostname": "container",
        "Tty": False,
        "OpenStdin": False,
        "Healthcheck": {"Test": ["NONE"]},
        # Without a network all that the engine sets up is /etc/hosts, in the time of the whole rest of a start (0.2 s).
        # Loopback is there in any case.
        "NetworkDisabled": not run.names_localhost,
        "HostConfig": _host_config(run),
    }
    if run.request.args:
        settings["Cmd"] = list(run.request.args)
    if run.request.entrypoint is not None:
        settings["Entrypoint"] = list(run.request.entrypoint)
        settings["Cmd"] = list(run.request.args)
    return settings


def _host_config(run: ContainerRun) -> dict[str, Any]:
    limits = run.limits
    memory = limits.memory_mb * _MIB
    return {
        "NetworkMode": "none",
        "Memory": memory,
        "MemorySwap": memory,  # memory and swap together: no swap
        "PidsLimit": limits.processes,
        "NanoCpus": round(min(limits.cpus, run.cpus) * 1e9),
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges:true"],
        "Tmpfs": _tmpfs(run),
        "Mounts": _mounts(run),
        "ShmSize": 16 * _MIB,
        "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}, {"Name": "core", "Soft": 0, "Hard": 0}],
        "OomScoreAdj": 500,  # a student's process goes before the engine or the grader
        "IpcMode": "private",
        "LogConfig": {"Type": "none"},  # we read the attached streams; the engine's disk gets nothing
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,  # its state is wanted after its end
    }


def _tmpfs(run: ContainerRun) -> dict[str, str]:
    """A /tmp of limited size, unless it would hide files that the image or the request has there."""
    hides = any(file.path.startswith("/tmp/") for file in run.request.files + run.request.replaced)
    if hides or not run.tmp_is_empty or "/tmp" in run.volumes:
        return {}
    return {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={run.limits.tmp_mb}m"}


def _mounts(run: ContainerRun) -> list[dict[str, Any]]:
    mounted = {folder.path for folder in run.request.folders} | {path for path, _ in run.bound}
    # A volume of a relative path (`VOLUME data`), which the engine has at /data, it takes from the image only.
    declared = dict.fromkeys(f"/{posixpath.normpath(path).lstrip('/')}" for path in run.volumes if path.startswith("/"))
    volumes = [_volume(path, run.volume_labels) for path in declared if path not in mounted]
    bound = [binding(path, source) for path, source in run.bound]
    return volumes + bound + [_folder(run, index) for index in range(len(run.request.folders))]


def _volume_name(run: ContainerRun, index: int) -> str:
    return f"{run.name}-folder-{index}"


def _folder(run: ContainerRun, index: int) -> dict[str, Any]:
    """The volume behind a mounted folder. As with a folder of the host, what the image has there is hidden."""
    options = {"Labels": dict(run.volume_labels), "NoCopy": True}
    name, target = _volume_name(run, index), run.request.folders[index].path
    return {"Type": "volume", "Source": name, "Target": target, "VolumeOptions": options}


def _volume(path: str, labels: Labels) -> dict[str, Any]:
    """The anonymous volume that `docker run` makes for a VOLUME, but with our labels, so that it can be found."""
    return {"Type": "volume", "Target": path, "VolumeOptions": {"Labels": dict(labels)}}


def files_archive(files: tuple[MemoryFile, ...], modified: int) -> bytes:
    """A tar of files with absolute paths, to be unpacked at /. Owned by root, as `docker cp` does it.

    `modified`, in seconds of Unix time, is when they were last written.

    The engine makes missing folders, follows links to folders as the container would (it unpacks inside the
    container's root), and puts a file in the place of a link.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode, modified
            archive.addfile(entry, io.BytesIO(file.content))
    return buffer.getvalue()


# ── the run ─────────────────────────────────────────────────────────────────────────────


def run_container(
    connection: Connection, run: ContainerRun, cancellation: Cancellation, warn: Callable[[str], None]
) -> RunOutcome:
    """Run to the end, and remove the container and its volumes whatever happens.

    `warn` is told what the engine warns of, such as a limit that it will not enforce. Raises `EngineError`
    for everything that is not the image's or the process's own doing, `Cancelled` when told to stop.
    """
    cancellation.check()
    reached("container-wanted")
    try:
        run = _with_bound_files(connection, run)
        container = _create(connection, run, warn)
    except Refused as refused:
        if run.bound:
            unbind_files(connection, run.name)
        if _IMAGES_FAULT.search(refused.reason):
            return RunOutcome(NotStarted(refused.reason))
        raise
    reached("container-created")
    try:
        outcome = _carry_out(connection, container, run, cancellation)
    except BaseException:
        with contextlib.suppress(EngineError):  # what went wrong first is what is told
            _remove(connection, container, run)
        raise
    try:
        _remove(connection, container, run)
    except EngineError as problem:  # what was seen holds all the same; `close` tries again, and fails where that fails
        warn(str(problem))
    return outcome


def _with_bound_files(connection: Connection, run: ContainerRun) -> ContainerRun:
    files = in_volumes(run.request.files, run.volumes)
    if not files:
        return run
    labels = dict(run.volume_labels)
    return replace(run, bound=bind_files(connection, files, container_settings(run), run.name, labels))


def _carry_out(connection: Connection, container: str, run: ContainerRun, cancellation: Cancellation) -> RunOutcome:
    if unreadable := not_a_file(connection, container):
        return RunOutcome(NotStarted(unreadable))
    for file in run.request.replaced:
        if not has_path(connection, container, file.path):
            return RunOutcome(NotStarted(f"The image has no file {file.path}."))
    try:
        _put_in(connection, container, run)
    except Refused as refused:
        if _NO_PLACE.search(refused.reason):
            return RunOutcome(NotStarted(refused.reason))
        raise
    reached("files-put-in")
    outcome = observe(connection, container, run, cancellation)
    folders = tuple(_left_in(connection, container, folder) for folder in run.request.folders)
    return replace(outcome, folders=folders)


def _remove(connection: Connection, container: str, run: ContainerRun) -> None:
    remove_container(connection, container)
    _remove_folders(connection, run)
    if run.bound:
        unbind_files(connection, run.name)


def has_path(connection: Connection, container: str, path: str) -> bool:
    """Whether the container's file system has something at `path`."""
    try:
        connection.call("HEAD", f"/containers/{container}/archive", parameters={"path": path})
    except Refused as refused:
        if refused.status == _NOT_FOUND:
            return False
        return _is_readable(connection, container, path)  # the answer to HEAD says no reason
    return True


def _is_readable(connection: Connection, container: str, path: str) -> bool:
    """Whether what is at `path` can be had; false where links go round in circles, or a file stands for a folder."""
    try:
        connection.stream("GET", f"/containers/{container}/archive", parameters={"path": path}, silence=_SLACK).close()
    except Refused as refused:
        if not _NO_PLACE.search(refused.reason):
            raise
        return False
    return True


def _put_in(connection: Connection, container: str, run: ContainerRun) -> None:
    """Put the request's files and the contents of its folders into the container, but for those that are bound."""
    now = int(time.time())
    archives = [folder_archive(folder, now) for folder in run.request.folders]
    bound = {path for path, _ in run.bound}
    files = tuple(file for file in run.request.files if file.path not in bound) + run.request.replaced
    if files:
        archives.append(files_archive(files, now))
    for archive in archives:
        connection.call("PUT", f"/containers/{container}/archive", parameters={"path": "/"}, data=archive)


_NO_PLACE = re.compile(
    r"not a directory$|too many levels of symbolic links$|too many links in "
    r"|(?:open|mkdir) /\S+: (?:no such file or directory|file exists)$|^Could not find the file / in container "
)
"""The engine's words where the image has something in the way: a file, links in a circle, a link to nowhere."""


def _left_in(connection: Connection, container: str, folder: FolderMount) -> FolderMount:
    """Read back what is in a mounted folder, of at most FOLDER_LIMIT bytes."""
    stream = connection.stream(
        "GET", f"/containers/{container}/archive", parameters={"path": folder.path}, silence=_SLACK
    )
    read = bytearray()
    try:
        for piece in stream:
            read += piece
            if len(read) > FOLDER_LIMIT:
                break
    finally:
        stream.close()
    return left_in(folder, bytes(read[:FOLDER_LIMIT]))


def _remove_folders(connection: Connection, run: ContainerRun) -> None:
    """Remove the volumes behind the mounted folders; nothing happens if they are gone."""
    for index in range(len(run.request.folders)):
        try:
            connection.call("DELETE", f"/volumes/{_volume_name(run, index)}", parameters={"force": 1})
        except Refused as refused:
            if refused.status != _NOT_FOUND:
                raise


def _create(connection: Connection, run: ContainerRun, warn: Callable[[str], None]) -> str:
    answer = connection.call("POST", "/containers/create", parameters={"name": run.name}, json=container_settings(run))
    for warning in answer.json.get("Warnings") or ():
        warn(str(warning))
    return str(answer.json["Id"])


def remove_container(connection: Connection, container: str) -> None:
    """Remove a container, running or not, with its anonymous volumes; nothing happens if it is gone or going."""
    try:
        connection.call("DELETE", f"/containers/{container}", parameters={"v": 1, "force": 1})
        reached("container-removed")
    except Refused as refused:
        if refused.status not in {_NOT_FOUND, _CONFLICT}:
            raise


_NOT_FOUND, _CONFLICT = 404, 409


def observe(connection: Connection, container: str, run: ContainerRun, cancellation: Cancellation) -> RunOutcome:
    """Start a container that was created, and watch it to its end: output, deadline, limits. It is not removed."""
    silence = run.limits.run_seconds + _SLACK
    attached = {"stream": 1, "stdout": 1, "stderr": 1}
    with contextlib.ExitStack() as streams:
        output = connection.stream("POST", f"/containers/{container}/attach", parameters=attached, silence=silence)
        streams.callback(output.close)
        end = connection.stream(
            "POST", f"/containers/{container}/wait", parameters={"condition": "next-exit"}, silence=silence
        )
        streams.callback(end.close)
        reached("container-attached")
        with cancellation.watch(lambda: _kill(connection, container)) as watchdog:
            if refusal := _start(connection, container):
                return RunOutcome(NotStarted(refusal))
            reached("container-started")
            began = time.monotonic()
            watchdog.start(run.limits.run_seconds)
            if watchdog.reason:  # cancelled before there was something to kill
                _kill(connection, container)
            stdout, stderr = _read_output(output, run.limits.output_kb * 1024, watchdog)
            reached("output-read")
            for _ in end:
                pass
            seconds = time.monotonic() - began
            stopped = watchdog.reason
    reached("container-ended")
    return RunOutcome(_run_end(connection, container, stopped, run.limits), stdout, stderr, seconds)


_NOT_EXECUTABLE = {126, 127}
"""What the engine sets as exit code when the command cannot be executed, or is not there (as a shell does)."""
_MACHINERY = re.compile("cgroup|mounting")
"""Words of the engine about its own work, which it reports with the same codes."""
_IMAGES_FAULT = re.compile(
    "unable to find user|unable to find group|no matching entries in|exec format error|uids and gids must be in range"
    r"|^Cannot mkdir: .* is not a directory$"  # WORKDIR is a file of the image
    r"|^invalid mount config for type \"volume\": |^Duplicate mount point: |^source .* is not directory$"  # VOLUME
    "|too many links in|too many levels of symbolic links"
    "|cannot be mounted because it is (?:not of type proc|inside /proc)"  # a VOLUME or /tmp that leads to /proc
    r"|not a directory: unknown: Are you trying to mount a directory onto a file \(or vice-versa\)\?",
    re.DOTALL,
)
"""The engine's words for other faults of an image: of its USER, VOLUMEs, folders. They come with no code of their own.

Seen in Engine 20.10 and 26.1. What is not among them counts as the engine's fault, and the exercise is not graded.
"""


def _start(connection: Connection, container: str) -> str:
    """Start it. "" if it has started, else why the image cannot be; `EngineError` if that is the engine's fault."""
    try:
        connection.call("POST", f"/containers/{container}/start")
    except Refused as refused:
        code = connection.call("GET", f"/containers/{container}/json").json["State"].get("ExitCode")
        machinery = _MACHINERY.search(refused.reason.partition("exec: ")[0])
        if (code in _NOT_EXECUTABLE and not machinery) or _IMAGES_FAULT.search(refused.reason):
            return refused.reason
        raise
    return ""


def _kill(connection: Connection, container: str) -> None:
    """Kill it; best effort, since it may have ended meanwhile, and is removed by force in any case."""
    with contextlib.suppress(EngineError):
        connection.call("POST", f"/containers/{container}/kill", seconds=10)
    reached("container-killed")


def _read_output(output: Stream, limit: int, watchdog: Watchdog) -> tuple[bytes, bytes]:
    """Both streams until their end, cut at `limit` bytes together; more than that trips the watchdog."""
    parts: dict[int, list[bytes]] = {_STDOUT: [], _STDERR: []}
    left = limit
    try:
        for stream, data in split_frames(output):
            parts.get(stream, []).append(data[:left])
            left -= len(data)
            if left < 0:
                output.close()  # first, since an attached reader that does not read holds up the container's end
                watchdog.trip("output_limit")
                break
    except EngineError:  # what was stopped by us may end in the middle
        if watchdog.reason is None:
            raise
    return b"".join(parts[_STDOUT]), b"".join(parts[_STDERR])


_HEADER = struct.Struct(">B3sL")
_PADDING = bytes(3)


def split_frames(pieces: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Attached output, taken apart: (1 for stdout or 2 for stderr, data), data as it arrives.

    Each frame is a header of 8 bytes, with the stream and the length, and the data:
    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
    `EngineError` for what is no frame, and where the last one is not whole.
    """
    buffer, stream, missing = b"", 0, 0
    for piece in pieces:
        buffer += piece
        while buffer:
            if missing:
                data, buffer = buffer[:missing], buffer[missing:]
                missing -= len(data)
                yield stream, data
            elif len(buffer) >= _HEADER.size:
                stream, padding, missing = _HEADER.unpack_from(buffer)
                if stream > _STDERR or padding != _PADDING:
                    raise EngineError("The engine sent something else than the output of a container.")
                buffer = buffer[_HEADER.size :]
            else:
                break
    if buffer or missing:
        raise EngineError("The engine broke off in the middle of a container's output.")


_KILLED = 128 + 9
"""The exit code of a process that was killed: 128 and the number of SIGKILL."""
_OOM_NEWS_SECONDS = 2.0


def _run_end(connection: Connection, container: str, stopped: Reason | None, limits: Limits) -> RunEnd:
    if stopped == "timed_out":
        return TimedOut(limits.run_seconds)
    if stopped == "output_limit":
        return OutputLimit(limits.output_kb * 1024)
    state = connection.call("GET", f"/containers/{container}/json").json["State"]
    if state.get("Running") or state.get("Dead"):
        raise EngineError("The engine told the end of a container that has not ended, so what it printed is not whole.")
    code = int(state["ExitCode"])
    out_of_memory = state.get("OOMKilled") or (code == _KILLED and _had_oom_event(connection, container, state))
    if out_of_memory and code:  # with code 0, only a child was killed, and the program coped
        return OutOfMemory(limits.memory_mb * _MIB)
    return Exited(code)


def _had_oom_event(connection: Connection, container: str, state: Mapping[str, Any]) -> bool:
    """Whether the engine has, or gets within 2 s, an out-of-memory event of a container that was killed.

    News of the kill and of the end reach the engine by two ways. Where the end comes first (1 run in 50 on
    Engine 20.10), `OOMKilled` stays false, and only the event tells, 0.1 s and more later.
    """
    ended = parse_time(str(state.get("FinishedAt"))) or time.time()
    parameters = {
        "since": f"{parse_time(str(state.get('StartedAt'))) or 0:.6f}",
        "until": f"{ended + _OOM_NEWS_SECONDS:.6f}",
        "filters": json.dumps({"container": [container], "event": ["oom"]}),
    }
    events = connection.stream("GET", "/events", parameters=parameters, silence=_SLACK)
    with contextlib.closing(events):
        return any(piece.strip() for piece in events)
