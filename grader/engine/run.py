"""One run: `docker run --rm IMAGE args…`, with limits, observed from before its start to its end.

`DIFFERENCES` says what is not as with `docker run`, and why. Three settings are NOT used although they are common
hardening, because they change what a student's image does: an init process (it would start where the image's own
command cannot, and hide that), a read-only root file system (exercises write files), and a tmpfs over a declared VOLUME
or over a /tmp that has files in it (it would hide what the image has there).
"""

from __future__ import annotations

import contextlib
import json
import posixpath
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from grader.course.models import Limits
from grader.engine.files import files_tar, has_path, put_in, read_folder, unreadable_users
from grader.engine.http import Connection, Refused, Stream, if_there, parse_time
from grader.engine.watchdog import Cancellation, Reason, Watchdog
from grader.engine.wording import is_blocked_path, is_image_fault, plain_refusal
from grader.errors import EngineError
from grader.failpoints import failpoint
from grader.models import (
    Exited,
    NotStarted,
    OutOfMemory,
    OutputLimit,
    RunEnd,
    RunOutcome,
    RunRequest,
    TimedOut,
)

MAX_VOLUMES = 64
"""Volumes that an image may declare; each run makes all of them anew, and a Dockerfile can declare thousands."""
CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "NET_BIND_SERVICE",
)
"""Docker's default capabilities that a process may need inside its own container: an entrypoint that starts as root,
gives a folder to a user and becomes that user works. Of the default, five go: NET_RAW (forged packets), MKNOD
(devices), SYS_CHROOT, AUDIT_WRITE (the host's audit log) and SETFCAP (files that give capabilities)."""

DIFFERENCES: Mapping[str, str] = {
    "Hostname": "One name for all, so that no output depends on a container's id.",
    "NetworkDisabled": "Without a network all that the engine would set up is /etc/hosts, for 0.2 s of each run.",
    "Healthcheck": "Off: it would run the student's command beside the one that is observed.",
    "NetworkMode": "No network: the answer comes from the submission, and nothing leaves this machine. Loopback works.",
    "Memory": "Bounded, so that one submission cannot take the machine's memory (`limits.memory_mb`).",
    "MemorySwap": "No swap on top of the memory.",
    "PidsLimit": "Bounded, against fork bombs (`limits.processes`).",
    "NanoCpus": "Bounded, so that gradings side by side take equally long (`limits.cpus`).",
    "CapDrop": "All capabilities go, and `CAPABILITIES` come back: what a process needs inside its own container.",
    "CapAdd": "See `CapDrop`.",
    "SecurityOpt": "no-new-privileges: set-user-ID programs give no rights. `setpriv` and gosu as root work, sudo not.",
    "Tmpfs": "/tmp is in memory and bounded (`limits.tmp_mb`), unless the image has files there or a VOLUME.",
    "Mounts": "An image's VOLUMEs carry our labels, so that they are found and removed; folders are volumes.",
    "Ulimits": "At most 1024 open files, as in an ordinary shell, and no core dumps on the engine's disk.",
    "OomScoreAdj": "Where the machine is out of memory, a submission ends before the engine or the grader.",
    "LogConfig": "Output is read as it comes and bounded; the engine's disk gets none of it.",
    "AutoRemove": "The container is removed by us, after its end was looked at.",
}
"""Each field of a run that is not what `docker run` sends, and the reason. All else is Docker's default."""

Labels = tuple[tuple[str, str], ...]

_MIB = 2**20
_STDOUT, _STDERR = 1, 2
_SLACK = 30.0
"""Seconds that the engine may take to end a container after it was killed."""


@dataclass(frozen=True, slots=True)
class ContainerRun:
    """One container to run. `volumes` are the paths that the image declares with VOLUME.

    `cpus` is what the engine has: asking for more is refused. `tmp_is_empty` says whether the image has nothing in
    /tmp, so that a tmpfs hides nothing; `names_localhost`, whether what runs may look that name up; `users_are_known`,
    whether this image was run before, and so the engine could look up its users. `mounted` are the
    mounts of the request's files.
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
    users_are_known: bool = False
    capabilities: tuple[str, ...] = CAPABILITIES
    mounted: tuple[Mapping[str, Any], ...] = ()

    @property
    def folder_volumes(self) -> tuple[str, ...]:
        """The names of the volumes behind the mounted folders."""
        return tuple(f"{self.name}-folder-{index}" for index in range(len(self.request.folders)))


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
        "Healthcheck": {"Test": ["NONE"]},
        "NetworkDisabled": not run.names_localhost,
        "HostConfig": _host_config(run),
    }
    if run.request.entrypoint is not None:
        settings |= {"Entrypoint": list(run.request.entrypoint), "Cmd": list(run.request.args)}
    elif run.request.args:
        settings["Cmd"] = list(run.request.args)
    return settings


def _host_config(run: ContainerRun) -> dict[str, Any]:
    limits = run.limits
    memory = limits.memory_mb * _MIB
    return {
        "NetworkMode": "none",
        "Memory": memory,
        "MemorySwap": memory,
        "PidsLimit": limits.processes,
        "NanoCpus": round(min(limits.cpus, run.cpus) * 1e9),
        "CapDrop": ["ALL"],
        "CapAdd": list(run.capabilities),
        "SecurityOpt": ["no-new-privileges:true"],
        "Tmpfs": _tmpfs(run),
        "Mounts": _mounts(run),
        "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}, {"Name": "core", "Soft": 0, "Hard": 0}],
        "OomScoreAdj": 500,
        "LogConfig": {"Type": "none"},
        "AutoRemove": False,
    }


def _tmpfs(run: ContainerRun) -> dict[str, str]:
    """A /tmp of limited size, unless it would hide files that the image or the request has there."""
    hides = any(file.path.startswith("/tmp/") for file in run.request.files + run.request.replaced)
    if hides or not run.tmp_is_empty or "/tmp" in run.volumes:
        return {}
    return {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={run.limits.tmp_mb}m"}


def _mounts(run: ContainerRun) -> list[Mapping[str, Any]]:
    """The image's VOLUMEs, and the request's files and folders."""
    mounted = {folder.path for folder in run.request.folders} | {str(mount["Target"]) for mount in run.mounted}
    # A volume of a relative path (`VOLUME data`), which the engine has at /data, it takes from the image only.
    declared = dict.fromkeys(f"/{posixpath.normpath(path).lstrip('/')}" for path in run.volumes if path.startswith("/"))
    labels = dict(run.volume_labels)
    volumes = [
        {"Type": "volume", "Target": path, "VolumeOptions": {"Labels": labels}}
        for path in declared
        if path not in mounted
    ]
    # As with a folder of the host, what the image has at that path is hidden (`NoCopy`).
    folders = [
        {"Type": "volume", "Source": name, "Target": folder.path, "VolumeOptions": {"Labels": labels, "NoCopy": True}}
        for name, folder in zip(run.folder_volumes, run.request.folders, strict=True)
    ]
    return [*volumes, *run.mounted, *folders]


# ── the run ─────────────────────────────────────────────────────────────────────────────


def run_container(
    connection: Connection, run: ContainerRun, cancellation: Cancellation, warn: Callable[[str], None]
) -> RunOutcome:
    """Run to the end, and remove the container and its volumes whatever happens.

    `warn` is called with what the engine warns of, such as a limit that it will not enforce. Raises `EngineError`
    for everything that is not the image's or the process's own doing, `Cancelled` after `cancel`.
    """
    cancellation.check()
    failpoint("container-wanted")
    try:
        container = _create(connection, run, warn)
    except Refused as refused:
        if is_image_fault(refused.reason):
            return RunOutcome(NotStarted(plain_refusal(refused.reason)))
        raise
    failpoint("container-created")
    try:
        outcome = _run_created(connection, container, run, cancellation)
    except BaseException:
        with contextlib.suppress(EngineError):  # what went wrong first is what is reported
            _remove(connection, container, run)
        raise
    try:
        _remove(connection, container, run)
    except EngineError as problem:  # what was seen holds all the same; `close` tries again, and fails where that fails
        warn(str(problem))
    return outcome


def _create(connection: Connection, run: ContainerRun, warn: Callable[[str], None]) -> str:
    answer = connection.call("POST", "/containers/create", parameters={"name": run.name}, json=container_settings(run))
    for warning in answer.json.get("Warnings") or ():
        warn(str(warning))
    return str(answer.json["Id"])


def _run_created(connection: Connection, container: str, run: ContainerRun, cancellation: Cancellation) -> RunOutcome:
    """Put files in, start, observe, and read the mounted folders."""
    if not run.users_are_known and (unreadable := unreadable_users(connection, container)):
        return RunOutcome(NotStarted(unreadable))
    for file in run.request.replaced:
        if not has_path(connection, container, file.path):
            return RunOutcome(NotStarted(f"The image has no file {file.path}."))
    try:
        if run.request.replaced or run.request.folders:
            archive = files_tar(run.request.replaced, run.request.folders, int(time.time()))
            put_in(connection, container, archive)
    except Refused as refused:
        if is_blocked_path(refused.reason):
            return RunOutcome(NotStarted(plain_refusal(refused.reason)))
        raise
    failpoint("files-put-in")
    outcome = observe(connection, container, run, cancellation)
    return replace(outcome, folders=tuple(read_folder(connection, container, one) for one in run.request.folders))


def _remove(connection: Connection, container: str, run: ContainerRun) -> None:
    remove_container(connection, container)
    for name in run.folder_volumes:
        with if_there():
            connection.call("DELETE", f"/volumes/{name}", parameters={"force": 1})


def remove_container(connection: Connection, container: str) -> None:
    """Remove a container, running or not, with its anonymous volumes; nothing happens if it is gone or going."""
    with if_there(also_going=True):
        connection.call("DELETE", f"/containers/{container}", parameters={"v": 1, "force": 1})
        failpoint("container-removed")


def observe(connection: Connection, container: str, run: ContainerRun, cancellation: Cancellation) -> RunOutcome:
    """Start a container that was created, and watch it to its end: output, deadline, limits. It is not removed."""
    silence = run.limits.run_seconds + _SLACK
    attached = {"stream": 1, "stdout": 1, "stderr": 1}
    with contextlib.ExitStack() as streams:
        try:
            output = connection.stream("POST", f"/containers/{container}/attach", parameters=attached, silence=silence)
        except Refused as refused:  # Podman prepares the container already when it is attached to
            return RunOutcome(NotStarted(_image_fault(connection, container, refused)))
        streams.callback(output.close)
        end = connection.stream(
            "POST", f"/containers/{container}/wait", parameters={"condition": "next-exit"}, silence=silence
        )
        streams.callback(end.close)
        failpoint("container-attached")
        with cancellation.watch(lambda: _kill(connection, container)) as watchdog:
            if refusal := _start(connection, container):
                return RunOutcome(NotStarted(refusal))
            failpoint("container-started")
            began = time.monotonic()
            watchdog.start(run.limits.run_seconds)
            if watchdog.reason:  # cancelled before there was something to kill
                _kill(connection, container)
            stdout, stderr = read_output(output, run.limits.output_kb * 1024, watchdog)
            failpoint("output-read")
            for _ in end:
                pass
            seconds = time.monotonic() - began
            stopped = watchdog.reason
    failpoint("container-ended")
    return RunOutcome(_run_end(connection, container, stopped, run.limits), stdout, stderr, seconds)


def _start(connection: Connection, container: str) -> str:
    """Start it. "" if it has started, else why the image cannot be; `EngineError` if that is the engine's fault."""
    try:
        connection.call("POST", f"/containers/{container}/start")
    except Refused as refused:
        return _image_fault(connection, container, refused)
    return ""


def _image_fault(connection: Connection, container: str, refused: Refused) -> str:
    """Why the image cannot be started; raises what was refused where that is the engine's fault."""
    code = connection.call("GET", f"/containers/{container}/json").json["State"].get("ExitCode")
    if not is_image_fault(refused.reason, code):
        raise refused
    return plain_refusal(refused.reason)


def _kill(connection: Connection, container: str) -> None:
    """Kill it; best effort, since it may have ended meanwhile, and is removed by force in any case."""
    with contextlib.suppress(EngineError):
        connection.call("POST", f"/containers/{container}/kill", seconds=10)
    failpoint("container-killed")


def read_output(output: Stream, limit: int, watchdog: Watchdog) -> tuple[bytes, bytes]:
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
        raise EngineError("The engine announced the end of a container that still runs, so its output is not whole.")
    code = int(state["ExitCode"])
    out_of_memory = state.get("OOMKilled") or (code == _KILLED and _had_oom_event(connection, container, state))
    if out_of_memory and code:  # with code 0, only a child was killed, and the program coped
        return OutOfMemory(limits.memory_mb * _MIB)
    return Exited(code)


def _had_oom_event(connection: Connection, container: str, state: Mapping[str, Any]) -> bool:
    """Whether the engine has, or gets within 2 s, an out-of-memory event of a container that was killed.

    News of the kill and of the end reach the engine by two ways. Where the end comes first (1 run in 50 on
    Engine 20.10), `OOMKilled` stays false, and only the event says so, 0.1 s and more later.
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
