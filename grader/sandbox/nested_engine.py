"""The private engine: a nested Docker engine in one container with caps, thrown away whole.

::

    image      grader-private:RECIPE       built once from Debian packages, kept     (engine_image)
    template   volume grader-template-…    base images loaded into it once, kept     (_make_template)
    engine     container + volumes         of each private engine, removed at its end
    helper     container                   what the grader does there, it does by way of it

The helper has the engine's socket, the workspace and nothing of the host. The grader runs programs in it: one end of
the tunnel to the engine, and the proxy before it. All goes through the API of the host engine, which may be anywhere.

The layers of the base images are mounted from the template, read-only, into the engine's own volume
(`nested/start.sh`). So starting costs no copy, and no submission sees what another one did.

What this bounds, and what it does not, stands in docs/safety.md: who may send any request to the private engine can
have rights that are close to root's. That is what the proxy before it is for.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import secrets
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from grader.base_images.provider import LABEL_BASE, LABEL_RECIPE
from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine, connect
from grader.engine.files import put_in, read_tar
from grader.engine.http import Connection, Refused, if_there
from grader.engine.ownership import Kind, Owner, labels, prune, remove_run, this_process
from grader.engine.run import ContainerRun, container_settings, split_frames
from grader.engine.tar import with_folders, write_tar
from grader.errors import EngineError, ImageUnavailable
from grader.failpoints import failpoint
from grader.models import MemoryFile, RunRequest
from grader.sandbox import tunnel
from grader.sandbox.engine_image import engine_image, image_name, recipe_digest

LABEL_IMAGES = "io.grader.template-images"
"""On a template volume: the ids of the base images in it, separated by commas."""

WORKSPACE_MB, WORKSPACE_FILES = 128, 20_000
"""MiB and files that a script's folder may hold: four and ten times what a submission may have.

It is a file system of its own, in memory, so that no disk fills up; bytes count as memory of whoever writes.
"""
_ENGINE_FILES = "/sockets/engine"
ENGINE_SOCKET = f"{_ENGINE_FILES}/engine.sock"
SCRIPT_FILES = "/sockets/script"
PROXY_FILES = "/opt/proxy"
"""Where the helper container has the nested engine's socket, what script containers see, and the proxy's program."""
DISK_IS_BOUNDED = f"{_ENGINE_FILES}/disk-is-bounded"
"""A file that is there unless the host has no loop devices."""

_BOOT = (
    "while :; do containerd --root /run/containerd/root --log-level warn; sleep 1; done & "
    "until [ -S /run/containerd/containerd.sock ]; do sleep 0.01; done; exec private-engine"
)
"""Docker's engine uses a containerd that is there; for one that it starts itself it waits a whole second."""
_START_SECONDS = 60.0
"""The longest wait for an engine that is up in half a second on an idle machine."""
_LOAD_SECONDS = 600.0
"""The longest wait for another grader that makes the image or the template."""
_CREATE_SECONDS = 5.0
"""The longest wait, after an interrupt, for a container that the engine was asked for."""
_LOCK = "grader-private-making"
_CONFLICT = 409
_COMPLETE = "-complete"
"""How the name of the volume ends that says that a template is complete."""
_HELPER = Limits(memory_mb=512, processes=1024)
"""For the tunnel and the proxy, whose threads count as processes: two for each connection."""
_FILE_LIMIT = 64 * 2**20
_STDOUT = 1


@dataclass(frozen=True, slots=True)
class PrivateSettings:
    """What private engines are made with.

    `images` are references of base images, all present in the host engine. `memory_mb` (MiB, no swap on top),
    `processes`, `disk_mb` (MiB) and `cores`, a part of the machine's, bound everything in the engine together.
    `environment` is where proxies and package archives are looked up when the engine's image is made.
    """

    images: tuple[str, ...]
    environment: Mapping[str, str]
    memory_mb: int = 4096
    processes: int = 2048
    disk_mb: int = 8192
    cores: float = 0.9


@dataclass(frozen=True, slots=True)
class PrivateEngine:
    """A running private engine, which `engine` talks to.

    `host` is the engine that it runs in, with two containers of it: `container` holds the nested engine, `helper` is
    beside it. `cpus` is how many cores everything in it has together; where control groups are of version 1, a
    container in it that may use more does not start.
    """

    engine: DockerEngine
    host: Connection
    run: str
    container: str
    helper: str
    cpus: float

    @property
    def workspace(self) -> str:
        """The folder of limited size that both containers have, at a path that nobody prints by chance."""
        return _workspace(self.run)

    def mount(self, name: str, target: str, *, read_only: bool = False) -> dict[str, object]:
        """The engine's `workspace` or `script` volume as an entry of `HostConfig.Mounts`."""
        return _mount(_volume_name(self.run, name), target, read_only=read_only)

    def check(self) -> None:
        """Raise `EngineError` if it has ended: its workspace is empty then, and no command is to blame."""
        state = self.host.call("GET", f"/containers/{self.container}/json").json["State"]
        if not state.get("Running"):
            raise EngineError(
                f"The private engine ended while commands were run (exit code {state.get('ExitCode')}), so what they "
                "came to says nothing."
            )


@contextmanager
def start_private_engine(
    host: DockerEngine, settings: PrivateSettings, say: Callable[[str], None]
) -> Iterator[PrivateEngine]:
    """Start a private engine in `host`, and remove it with all that is in it on the way out, also on an interrupt.

    What is not there yet (image, template) is made first, while `say` gets a line for each step. Raises
    `ImageUnavailable` if that cannot be done, and `EngineError` if no engine comes up, with the end of its log.
    """
    images = _image_ids(host.connection, settings.images)
    template = _template_name(images)
    if host.image_labels(image_name()) is None or not _is_complete(host.connection, template):
        with _alone(host.connection, settings.images[0], say):
            engine_image(host, settings.images[0], say=say, environment=settings.environment)
            if not _is_complete(host.connection, template):
                _make_template(host.connection, settings, say, template, images)
    with _running(host.connection, settings, template) as private:
        yield private


# ── what is made once ───────────────────────────────────────────────────────────────────


def _image_ids(host: Connection, references: Sequence[str]) -> dict[str, str]:
    """Return the ids of the images that the references stand for now."""
    found = {reference: host.find(f"/images/{reference}/json") for reference in sorted(references)}
    if missing := [reference for reference, image in found.items() if not image]:
        raise ImageUnavailable(f"{missing[0]} is not in the engine. Run `grader images`, then try again.")
    return {reference: str(image["Id"]) for reference, image in found.items()}


def _template_name(images: Mapping[str, str]) -> str:
    """Return a name that changes with the recipe, the references, and the images they stand for."""
    lines = [recipe_digest(), *(f"{reference} {image}" for reference, image in images.items())]
    return "grader-template-" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _is_complete(host: Connection, template: str) -> bool:
    """Whether there is such a template. A second volume, which is empty, says that it is complete."""
    return all(host.find(f"/volumes/{name}") for name in (template, template + _COMPLETE))


def _make_template(
    host: Connection, settings: PrivateSettings, say: Callable[[str], None], template: str, images: Mapping[str, str]
) -> None:
    """Load the base images into the template with an engine that ends afterwards."""
    held = ",".join(dict.fromkeys(images.values()))
    own = {LABEL_BASE: "private-template", LABEL_RECIPE: recipe_digest(), LABEL_IMAGES: held}
    _remove_template(host, template)  # half made, by a grader that was killed
    with _running(host, settings, template, made_with=own) as private:
        say(f"private engine: loading {len(settings.images)} base images into its template")
        for reference in settings.images:
            private.engine.copy_image(host, reference)
        host.call("POST", f"/containers/{private.container}/stop", parameters={"t": int(_START_SECONDS)}, seconds=90)
        code = host.call("GET", f"/containers/{private.container}/json").json["State"]["ExitCode"]
        if code != 0:
            log = _log(host, private.container)
            raise EngineError(f"The template of the private engine was not completed (exit code {code}). {log}")
    host.call("POST", "/volumes/create", json={"Name": template + _COMPLETE, "Labels": own})
    _remove_stale_templates(host)


def _remove_stale_templates(host: Connection) -> None:
    """Remove templates of another recipe, and those with a base image that the engine no longer has."""
    filters = json.dumps({"label": [f"{LABEL_BASE}=private-template"]})
    for volume in host.call("GET", "/volumes", parameters={"filters": filters}).json.get("Volumes") or ():
        known = volume.get("Labels") or {}
        held = str(known.get(LABEL_IMAGES, "")).split(",")
        if known.get(LABEL_RECIPE) != recipe_digest() or not all(host.find(f"/images/{one}/json") for one in held):
            with contextlib.suppress(Refused):  # a private engine is at work with it
                _remove_template(host, volume["Name"].removesuffix(_COMPLETE))


def _remove_template(host: Connection, template: str) -> None:
    """Remove a template, if it is there. `Refused` where a container has it; then all of it stays."""
    for name in (template, template + _COMPLETE):
        with if_there():
            host.call("DELETE", f"/volumes/{name}")


@contextmanager
def _alone(host: Connection, base: str, say: Callable[[str], None]) -> Iterator[None]:
    """Be the only one who makes image and template in this engine, which gives a container's name once.

    The container is never started. Where its owner was killed, it goes with what else that one has left.
    """
    run, has_told = _Run(secrets.token_hex(6), this_process(host)), False
    deadline = time.monotonic() + _LOAD_SECONDS
    try:
        while True:
            prune(host, everything=False)
            try:
                _create(host, _LOCK, {"Image": base, "Cmd": ["true"], "Labels": run.labels("container")})
                break
            except Refused as refused:
                if refused.status != _CONFLICT or time.monotonic() > deadline:
                    raise
            if not has_told:
                say("private engine: another grader is preparing it, waiting for it")
                has_told = True
            time.sleep(1)
        yield
    finally:
        remove_run(host, run.id)


# ── one engine ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Run:
    """The id in the names and labels of what belongs together, and whose it is."""

    id: str
    owner: Owner

    def labels(self, kind: Kind) -> dict[str, str]:
        return dict(labels(self.id, self.owner, kind))

    def volume(self, name: str, target: str, options: Mapping[str, str] | None = None) -> dict[str, object]:
        """The mount of one of the engine's own volumes, which is made with the first container that has it."""
        driver = {"Name": "local", "Options": dict(options or {})}
        return _mount(_volume_name(self.id, name), target, {"Labels": self.labels("volume"), "DriverConfig": driver})

    def workspace(self) -> dict[str, object]:
        size = f"size={WORKSPACE_MB}m,nr_inodes={WORKSPACE_FILES},mode=0755"
        return self.volume("workspace", _workspace(self.id), {"type": "tmpfs", "device": "tmpfs", "o": size})


def _workspace(run: str) -> str:
    # It has a folder of its own above it, so that `..` in a script is not the root of its container.
    return f"/exercise/{run}"


def _volume_name(run: str, name: str) -> str:
    return f"grader-private-{run}-{name}"


def _mount(
    name: str, target: str, options: Mapping[str, object] | None = None, *, read_only: bool = False
) -> dict[str, object]:
    # Without NoCopy the engine would fill a new volume with what the image has at that path.
    volume = {"NoCopy": True, **(options or {})}
    return {"Type": "volume", "Source": name, "Target": target, "ReadOnly": read_only, "VolumeOptions": volume}


@contextmanager
def _running(
    host: Connection, settings: PrivateSettings, template: str, made_with: Mapping[str, str] | None = None
) -> Iterator[PrivateEngine]:
    """An engine that answers, and its helper; containers and volumes are removed at the end.

    With labels for the template to be `made_with`, the engine fills it instead of using it.
    """
    run = _Run(secrets.token_hex(6), this_process(host))
    info = host.call("GET", "/info", seconds=10).json
    cpus = round((info.get("NCPU") or 1) * settings.cores, 2)
    has_new_cgroups = str(info.get("CgroupVersion")) == "2"
    mounts = [_mount(template, "/var/lib/docker", {"Labels": dict(made_with or {})})]
    if not made_with:
        mounts = [run.volume("data", "/volume"), _mount(template, "/template", read_only=True), run.workspace()]
    try:
        body = _nested(settings, run, mounts, cpus, "make" if made_with else "use", has_new_cgroups=has_new_cgroups)
        nested = _create(host, f"grader-private-{run.id}", body)
        failpoint("private-created")
        host.call("POST", f"/containers/{nested}/start")
        failpoint("private-started")
        # Started while the engine comes up, which takes as long.
        helper = _create(host, f"grader-private-{run.id}-helper", _helper(run))
        put_files(host, helper, PROXY_FILES, program_files())
        put_files(host, helper, SCRIPT_FILES, _tools())
        host.call("POST", f"/containers/{helper}/start")
        with _open_tunnel(host, helper) as opened:
            name = f"private-engine://{run.id}"
            engine = _wait_until_up(
                host, nested, lambda: connect(endpoint=name, open_stream=opened.open, tier="private", cpus=cpus)
            )
            failpoint("private-up")
            yield PrivateEngine(engine, host, run.id, nested, helper, cpus)
    finally:
        remove_run(host, run.id)
        failpoint("private-removed")


def _create(host: Connection, name: str, body: Mapping[str, Any]) -> str:
    """Create a container and return its id. On an interrupt the engine goes on creating it, so that is waited for."""
    try:
        return str(host.call("POST", "/containers/create", parameters={"name": name}, json=body).json["Id"])
    except EngineError:
        raise
    except BaseException:
        deadline = time.monotonic() + _CREATE_SECONDS
        with contextlib.suppress(EngineError):  # the interrupt is what is told
            while not host.find(f"/containers/{name}/json") and time.monotonic() < deadline:
                time.sleep(0.2)
        raise


def _nested(
    settings: PrivateSettings,
    run: _Run,
    mounts: Sequence[Mapping[str, object]],
    cpus: float,
    template: str,
    *,
    has_new_cgroups: bool,
) -> dict[str, object]:
    """The container of the nested engine, as in POST /containers/create."""
    return {
        "Image": image_name(),
        "Labels": run.labels("container"),
        "Env": [
            f"SOCKET={ENGINE_SOCKET}",
            f"BOUNDED={DISK_IS_BOUNDED}",
            f"TEMPLATE={template}",
            f"DISK_MB={settings.disk_mb}",
        ],
        "Cmd": ["sh", "-c", _BOOT],
        "Tty": True,  # one log, without the frames that tell stdout from stderr
        "HostConfig": {
            "Binds": [] if has_new_cgroups else ["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
            "Mounts": [run.volume("engine", _ENGINE_FILES), *mounts],
            "Tmpfs": {"/run": "exec,mode=755"},
            "Init": True,
            "NetworkMode": "bridge",
            "Memory": settings.memory_mb * 2**20,
            "MemorySwap": settings.memory_mb * 2**20,
            "PidsLimit": settings.processes,
            "NanoCpus": round(cpus * 100) * 10**7,  # whole hundredths of a core
            # `privileged` is refused where the host has not all capabilities; these are enough.
            "CapAdd": ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD"],
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            "CgroupnsMode": "private" if has_new_cgroups else "host",
            "DeviceCgroupRules": ["c 10:237 rwm", "b 7:* rwm"],  # loop devices, for a disk of limited size
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
        },
    }


def _helper(run: _Run) -> dict[str, Any]:
    """The helper container, as in POST /containers/create. It waits for programs to be started in it."""
    order = ContainerRun(
        image=image_name(),
        name="",
        request=RunRequest(args=("sleep", "infinity")),
        limits=_HELPER,
        labels=tuple(run.labels("container").items()),
        volume_labels=(),
        capabilities=(),
        names_localhost=False,
    )
    settings = container_settings(order) | {"StopSignal": "SIGKILL"}
    places = {"engine": _ENGINE_FILES, "script": SCRIPT_FILES, "proxy": PROXY_FILES}
    mounts = [run.workspace(), *(run.volume(name, place) for name, place in places.items())]
    settings["HostConfig"] |= {"Mounts": mounts, "ReadonlyRootfs": True, "Init": True, "NanoCpus": 0, "OomScoreAdj": 0}
    return settings


def _wait_until_up(host: Connection, container: str, connected: Callable[[], DockerEngine]) -> DockerEngine:
    """Wait for the engine's first answer."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(EngineError):
            return connected()
        state = host.find(f"/containers/{container}/json").get("State") or {}
        if not state.get("Running"):
            raise EngineError(
                f"The private engine ended before it answered (exit code {state.get('ExitCode')}). "
                + _log(host, container)
            )
        time.sleep(0.02)
    raise EngineError(f"The private engine did not answer within {_START_SECONDS:g} s. {_log(host, container)}")


def _log(host: Connection, container: str) -> str:
    """The end of what the engine in the container has said, for a message."""
    parameters = {"stdout": 1, "stderr": 1, "tail": 12}
    stream = host.stream("GET", f"/containers/{container}/logs", parameters=parameters, silence=10)
    with contextlib.closing(stream):
        text = b"".join(stream).decode(errors="replace")
    return "Its log ends:\n" + "\n".join(f"    {line.rstrip()}" for line in text.splitlines())


# ── what the helper is for ──────────────────────────────────────────────────────────────

_PROGRAM_PARTS = (
    *("*.py", "dockerfile/*.py", "dockerfile/*.yaml", "engine/*.py", "engine/build/*.py", "submissions/*.py"),
    "sandbox/proxy/*.py",
)
"""What of this package the proxy uses, and some more; nothing of a course, whose answers it must not have."""
_MAIN = b"""\
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from grader.sandbox.proxy.server import main

main()
"""


def program_files() -> Iterator[MemoryFile]:
    """The proxy's program, by paths below one folder: `python3 -ISB FOLDER/main.py SETTINGS.json` runs it.

    Our packages have no `__init__` there: what these import for the grader is not needed.
    """
    yield MemoryFile("main.py", _MAIN)
    package = Path(__file__).parents[1]
    for path in (path for part in _PROGRAM_PARTS for path in package.glob(part)):
        if path.name != "__init__.py":
            yield MemoryFile(f"{package.name}/{path.relative_to(package).as_posix()}", path.read_bytes())
    for library in ("e2b_dockerfile_utils", "h11", "yaml"):  # pure Python, without dependencies
        folder = Path(str(import_module(library).__file__)).parent
        for path in folder.rglob("*.py"):
            yield MemoryFile(f"{library}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def _tools() -> Iterator[MemoryFile]:
    """What stands before the image's own programs: for commands that were typed at a terminal, as root or not."""
    for tool in (Path(__file__).parent / "tools").iterdir():
        yield MemoryFile(f"bin/{tool.name}", tool.read_bytes(), 0o755)


@contextmanager
def _open_tunnel(host: Connection, helper: str) -> Iterator[tunnel.Tunnel]:
    """A tunnel to the engine's socket in the helper container. It ends with the block, or with the container."""
    source = Path(tunnel.__file__).read_text(encoding="utf-8")
    with start_program(host, helper, ("python3", "-I", "-S", "-c", source, ENGINE_SOCKET)) as stream:
        opened = tunnel.Tunnel(output_of(stream), stream.sendall)
        threading.Thread(target=opened.serve, daemon=True).start()
        try:
            yield opened
        finally:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)  # wakes the thread, which a close would not


def start_program(host: Connection, container: str, command: Sequence[str]) -> closing[socket.socket]:
    """Start a program in a running container. Its input is what is sent, its output comes in frames."""
    return closing(_start(host, container, command)[1])


def run_program(host: Connection, container: str, command: Sequence[str]) -> None:
    """Run a program in a running container to its end. `EngineError` unless it succeeds."""
    started, stream = _start(host, container, command)
    with closing(stream):
        printed = b"".join(data for _, data in split_frames(tunnel.pieces(stream)))
    code = host.call("GET", f"/exec/{started}/json").json["ExitCode"]
    if code != 0:
        said = printed.decode("utf-8", "replace").strip()
        raise EngineError(f"`{' '.join(command)}` in a container of the grader ended with code {code}: {said}")


def _start(host: Connection, container: str, command: Sequence[str]) -> tuple[str, socket.socket]:
    asked = {"Cmd": [*command], "AttachStdin": True, "AttachStdout": True, "AttachStderr": True}
    started = host.call("POST", f"/containers/{container}/exec", json=asked).json["Id"]
    return started, host.hijack(f"/exec/{started}/start", {"Detach": False, "Tty": False})


def output_of(stream: socket.socket) -> Iterator[bytes]:
    """What the program prints on its standard output, as it comes."""
    return (data for number, data in split_frames(tunnel.pieces(stream)) if number == _STDOUT)


def put_files(host: Connection, container: str, folder: str, files: Iterable[MemoryFile]) -> None:
    """Write files, with paths relative to a folder, into a container, in place of what is there, also of links."""
    put_in(host, container, write_tar(with_folders(files), modified=int(time.time())), folder)


def read_file(host: Connection, container: str, path: str) -> bytes:
    """Read a file of ours in a container."""
    with tarfile.open(fileobj=io.BytesIO(read_tar(host, container, path, _FILE_LIMIT)), mode="r:") as archive:
        member = archive.next()
        content = archive.extractfile(member) if member else None
        return content.read() if content else b""
