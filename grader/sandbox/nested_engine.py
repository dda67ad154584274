"""The private engine: a nested Docker engine in one container with caps, thrown away whole.

::

    image      grader-private:RECIPE       made once from Debian packages, kept      (privaterecipe)
    template   volume grader-template-…    base images loaded into it once, kept     (_template)
    engine     container + volume          one of each for each private engine, removed at its end

The template is never written to by a private engine: the layers of the base images are mounted from it, read-only, into
the engine's own volume (`privateengine/start.sh`). So starting costs no copy, and nothing that a submission does in its
engine can be seen in the next one.

This bounds accidents and keeps the operator's images, containers and credentials out of reach. It is no wall against
somebody who may send any request to the private engine: such a one can ask it for a container with the outer
container's own capabilities, which are close to root's. That is what the guard before it is for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal

from grader.base_images.provider import LABEL_BASE, LABEL_RECIPE
from grader.engine.http import Connection, Refused
from grader.engine.ownership import (
    Kind,
    Owner,
    is_dead,
    labels,
    leftovers,
    our_objects,
    remove_objects,
    remove_run,
    this_process,
)
from grader.engine.socket_request import ask
from grader.errors import EngineError, ImageUnavailable
from grader.failpoints import failpoint
from grader.sandbox.engine_image import engine_image, recipe_digest

LABEL_IMAGES = "io.grader.base_images.provider"
"""On a template volume: the ids of the base images in it, separated by commas."""

AREA = "area"
"""The folder, in that of a private engine, that its volume `area` is mounted at."""

AREA_MB, AREA_FILES = 128, 20_000
"""MiB and files that a script's folder may hold: four and ten times what a submission may have.

Bytes count as memory of whoever writes.
"""
_AREA_OPTIONS = f"size={AREA_MB}m,nr_inodes={AREA_FILES},mode=0700"

_START_SECONDS = 60.0
"""The longest wait for an engine that is up in half a second on an idle machine."""
_LOAD_SECONDS = 600.0
_TEMPLATE_ATTEMPTS = 3
_PATIENCE_SECONDS = 2.0
"""Waiting that nobody needs to be told of."""
_NO_TEMPLATE = 3
"""The exit code of `privateengine/start.sh` where the template is missing or half made."""
_SOCKET = "engine.sock"
_OWNER_NOTE = ".owner"
"""How the name of the file ends that stands beside a shared folder and says which process it belongs to."""
_SOCKET_PATH_LIMIT = 107
"""Bytes of a socket's path, sun_path in unix(7) without the final zero."""
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class PrivateSettings:
    """What private engines are made with.

    `images` are references of base images, all present in the host engine. `memory_mb` (MiB, no swap on top),
    `processes`, `disk_mb` (MiB) and `cores` bound everything in the engine together: the engine, its builds, its
    containers. `cores` is a part of those that the machine has, so that the grader, the guard and the host engine keep
    the rest.
    `cache` is a folder of the user's for locks, logs and working files; `environment` is where proxies and package
    archives are looked up when the engine's image is made.
    """

    images: tuple[str, ...]
    cache: Path
    environment: Mapping[str, str]
    memory_mb: int = 4096
    processes: int = 2048
    disk_mb: int = 8192
    cores: float = 0.9


@dataclass(frozen=True, slots=True)
class PrivateEngine:
    """A running private engine.

    `endpoint` is as in DOCKER_HOST. `folder` is mounted at the same path on the host and in the engine's container,
    so a bind mount below it means the same to both; only the user who grades may enter it. `area` is a volume of the
    host engine, of limited size, that is mounted in it as `AREA`: what scripts write goes there, and not to the host's
    disk. `disk_is_bounded` is false where the host has no loop devices. `cpus` is how many cores everything in it has
    together; where control groups are of version 1, a container in it that may use more does not start.
    """

    endpoint: str
    container: str
    version: str
    folder: Path
    disk_is_bounded: bool = False
    area: str = ""
    cpus: float = 1.0


@contextmanager
def start_private_engine(
    host: Connection, settings: PrivateSettings, say: Callable[[str], None]
) -> Iterator[PrivateEngine]:
    """Start a private engine, and remove it with all that is in it on the way out, also on an interrupt.

    `host` is the engine that the container runs in. What is not there yet (image, template) is made first, while `say`
    gets a line for each step. Raises `ImageUnavailable` if that cannot be done, and `EngineError` if no engine comes
    up, with the end of its log.
    """
    if not host.endpoint.startswith(("unix://", "http+unix://")):
        raise EngineError(
            f"A private engine shares a folder with the grader, so the engine it runs in must be on this machine; "
            f"{host.endpoint} is not. Grade on that machine, or set DOCKER_HOST to an engine of this one."
        )
    settings.cache.mkdir(parents=True, exist_ok=True)
    image, template = _prepare(host, settings, say)
    with contextlib.ExitStack() as stack:
        yield _enter(host, settings, say, _Order(image, template), stack)


def _enter(
    host: Connection,
    settings: PrivateSettings,
    say: Callable[[str], None],
    order: _Order,
    stack: contextlib.ExitStack,
) -> PrivateEngine:
    """Start the engine; where whoever made the template was killed before its end, it is made anew.

    A grader with another cache, and so another lock, may be making it now: that one is waited for.
    """
    made = unused = 0
    deadline = time.monotonic() + _LOAD_SECONDS
    while made < _TEMPLATE_ATTEMPTS and time.monotonic() < deadline:
        try:
            return stack.enter_context(_running(host, settings, order))
        except _TemplateIncompleteError:
            # The engine of a grader that was killed while it made the template may still run.
            remove_objects(host, leftovers(our_objects(host), is_dead, everything=False))
            unused = 0 if _is_mounted(host, order.template) else unused + 1
        if unused > 1:  # once may be between another grader's making of the volume and of the container that fills it
            _make_template(host, settings, say, order, again=True)
            made += 1
        else:
            time.sleep(_PATIENCE_SECONDS)
    raise EngineError(
        f"The volume {order.template} stays without base images. Remove it (`docker volume rm {order.template}`), "
        "then try again."
    )


def _is_mounted(host: Connection, volume: str) -> bool:
    """Whether a container that runs, or is about to, has this volume."""
    filters = json.dumps({"volume": [volume], "status": ["created", "running"]})
    return bool(host.call("GET", "/containers/json", parameters={"filters": filters}).json)


# ── what is made once ───────────────────────────────────────────────────────────────────


def _prepare(host: Connection, settings: PrivateSettings, say: Callable[[str], None]) -> tuple[str, str]:
    """Return the names of image and template; both exist then, but the template may be half made."""
    with _alone(settings.cache, say):
        image = engine_image(host, say=say, cache=settings.cache, environment=settings.environment)
    template = _template_name(_image_ids(host, settings.images))
    if not _exists(host, f"/volumes/{template}"):
        _make_template(host, settings, say, _Order(image, template))
    return image, template


def _image_ids(host: Connection, references: Sequence[str]) -> dict[str, str]:
    """Return the ids of the images that the references stand for now."""
    found: dict[str, str] = {}
    for reference in sorted(references):
        try:
            found[reference] = str(host.call("GET", f"/images/{reference}/json").json["Id"])
        except Refused as refused:
            if refused.status != _NOT_FOUND:
                raise
            raise ImageUnavailable(f"{reference} is not in the engine. Run `grader images`, then try again.") from None
    return found


def _template_name(images: Mapping[str, str]) -> str:
    """Return a name that changes with the recipe, the references, and the images they stand for."""
    lines = [recipe_digest(), *(f"{reference} {image}" for reference, image in images.items())]
    return "grader-template-" + hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _make_template(
    host: Connection, settings: PrivateSettings, say: Callable[[str], None], order: _Order, *, again: bool = False
) -> None:
    """Load the base images into the template with an engine that ends afterwards. Stale templates are removed.

    With `again`, an incomplete template is removed first.
    """
    with _alone(settings.cache, say):
        if again:
            # Refused where it is in use. Nobody makes it while we hold the lock, so it has been completed meanwhile.
            with contextlib.suppress(Refused):
                host.call("DELETE", f"/volumes/{order.template}")
        if _exists(host, f"/volumes/{order.template}"):
            return  # another grader has made it while this one waited
        say(f"private engine: loading {len(settings.images)} base images into its template")
        held = ",".join(dict.fromkeys(_image_ids(host, settings.images).values()))
        own = {LABEL_BASE: "private-template", LABEL_RECIPE: recipe_digest(), LABEL_IMAGES: held}
        host.call("POST", "/volumes/create", json={"Name": order.template, "Labels": own})
        with (
            tempfile.TemporaryFile(dir=settings.cache) as archive,
            _running(host, settings, replace(order, purpose="make")) as engine,
        ):
            _save_images(host, settings.images, archive)
            archive.seek(0)
            ask(engine.endpoint, "POST", "/images/load?quiet=1", archive, seconds=_LOAD_SECONDS)
            host.call("POST", f"/containers/{engine.container}/kill", parameters={"signal": "USR1"})
            ended = host.call("POST", f"/containers/{engine.container}/wait", seconds=_START_SECONDS).json
            if ended.get("StatusCode") != 0:
                raise EngineError(f"The template of the private engine was not completed. {_log(host, engine)}")
        _remove_stale_templates(host)


def _save_images(host: Connection, references: Sequence[str], archive: IO[bytes]) -> None:
    stream = host.stream("GET", "/images/get", parameters={"names": list(references)}, silence=_LOAD_SECONDS)
    with contextlib.closing(stream):
        for piece in stream:
            archive.write(piece)


def _remove_stale_templates(host: Connection) -> None:
    """Remove templates of another recipe, and those with a base image that the engine no longer has."""
    filters = json.dumps({"label": [f"{LABEL_BASE}=private-template"]})
    for volume in host.call("GET", "/volumes", parameters={"filters": filters}).json.get("Volumes") or ():
        known = volume.get("Labels") or {}
        held = str(known.get(LABEL_IMAGES, "")).split(",")
        if known.get(LABEL_RECIPE) != recipe_digest() or not all(_exists(host, f"/images/{one}/json") for one in held):
            with contextlib.suppress(Refused):  # a private engine is at work with it
                host.call("DELETE", f"/volumes/{volume['Name']}")


@contextmanager
def _alone(cache: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock under which image and template are made. The kernel frees it when its holder dies."""
    import fcntl  # not on Windows

    with (cache / "private.lock").open("w") as lock:
        patience = threading.Timer(
            _PATIENCE_SECONDS, say, ["private engine: another grader is preparing it, waiting for it"]
        )
        patience.daemon = True
        patience.start()
        fcntl.flock(lock, fcntl.LOCK_EX)
        patience.cancel()
        yield


def _exists(host: Connection, path: str) -> bool:
    try:
        host.call("GET", path)
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise
        return False
    return True


# ── one engine ──────────────────────────────────────────────────────────────────────────


class _TemplateIncompleteError(EngineError):
    """The template volume has no base images in it."""


@dataclass(frozen=True, slots=True)
class _Order:
    """Whether to start from a template or to make it."""

    image: str
    template: str
    purpose: Literal["use", "make"] = "use"


@contextmanager
def _running(host: Connection, settings: PrivateSettings, order: _Order) -> Iterator[PrivateEngine]:
    """A container with an engine in it that answers; container, volume and folder are removed at the end."""
    run = secrets.token_hex(6)
    with _shared_folder(settings.cache / "engines", run) as folder:
        try:
            yield _start(host, _container(host, settings, order, run, folder), run, folder)
        finally:
            remove_run(host, run)
            failpoint("private-removed")


@contextmanager
def _shared_folder(parent: Path, run: str) -> Iterator[Path]:
    """A new folder for this user alone. What graders left there that died on this machine is removed too."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_dead_folders(parent.parent)
    folder = parent.resolve() / run
    note = folder.with_suffix(_OWNER_NOTE)
    try:
        note.write_text(str(this_process()), encoding="ascii")  # before the folder, so that none is nobody's
        folder.mkdir(mode=0o700)
        failpoint("private-folder-made")
        if len(os.fsencode(folder / _SOCKET)) > _SOCKET_PATH_LIMIT:
            raise EngineError(f"{folder / _SOCKET} is too long for a socket. Set XDG_CACHE_HOME to a shorter path.")
        (folder / AREA).mkdir()  # else the engine makes it, as root
        yield folder
    finally:
        _remove_folder(folder)


def remove_dead_folders(cache: Path) -> None:
    """Remove the shared folders in `cache` (see `PrivateSettings`) of graders that died on this machine."""
    for note in (cache / "engines").glob(f"*{_OWNER_NOTE}"):
        with contextlib.suppress(OSError):  # its grader has just removed it
            owner = Owner.parse(note.read_text(encoding="ascii"))
            if owner is not None and is_dead(owner):
                _remove_folder(note.with_suffix(""))


def _remove_folder(folder: Path) -> None:
    """Remove a shared folder, then its note. What only root may remove stays, with the note, for root to remove."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        folder.with_suffix(_OWNER_NOTE).unlink(missing_ok=True)


def _start(host: Connection, body: Mapping[str, Any], run: str, folder: Path) -> PrivateEngine:
    created = host.call("POST", "/containers/create", parameters={"name": f"grader-private-{run}"}, json=body)
    container = created.json["Id"]
    failpoint("private-created")
    host.call("POST", f"/containers/{container}/start")
    failpoint("private-started")
    endpoint = f"unix://{folder / _SOCKET}"
    engine = PrivateEngine(endpoint, container, "", folder)
    version = _wait_until_up(host, engine)
    failpoint("private-up")
    bounded = (folder / "disk-is-bounded").exists()
    cpus = body["HostConfig"]["NanoCpus"] / 1e9
    return replace(engine, version=version, disk_is_bounded=bounded, area=_area_name(run), cpus=cpus)


def _container(host: Connection, settings: PrivateSettings, order: _Order, run: str, folder: Path) -> dict[str, Any]:
    """The settings of the container, as in POST /containers/create; its volume is made on the way."""
    ours = this_process()

    def own(kind: Kind) -> dict[str, str]:
        return dict(labels(run, ours, kind))

    if order.purpose == "make":
        mounts = [_volume(order.template, "/var/lib/docker")]
    else:
        data = f"grader-private-{run}"
        host.call("POST", "/volumes/create", json={"Name": data, "Labels": own("volume")})
        host.call("POST", "/volumes/create", json=_area(run, own("volume")))
        failpoint("private-volume-made")
        mounts = [
            _volume(data, "/volume"),
            _volume(order.template, "/template", read_only=True),
            _volume(_area_name(run), str(folder / AREA)),
        ]
    info = host.call("GET", "/info", seconds=10).json
    cgroups_are_new = str(info.get("CgroupVersion")) == "2"
    shared = [] if cgroups_are_new else ["/sys/fs/cgroup:/sys/fs/cgroup:rw"]
    return {
        "Image": order.image,
        "Labels": own("container"),
        "Env": [
            f"SOCKET={folder / _SOCKET}",
            f"GROUP={os.getgid()}",
            f"TEMPLATE={order.purpose}",
            f"DISK_MB={settings.disk_mb}",
        ],
        "Tty": True,  # one log, without the frames that tell stdout from stderr
        "HostConfig": {
            "Binds": [f"{folder}:{folder}", *shared],
            "Mounts": mounts,
            "Tmpfs": {"/run": "exec,mode=755"},
            "Init": True,
            "NetworkMode": "bridge",
            "Memory": settings.memory_mb * 2**20,
            "MemorySwap": settings.memory_mb * 2**20,
            "PidsLimit": settings.processes,
            "NanoCpus": round((info.get("NCPU") or 1) * settings.cores * 100) * 10**7,  # whole hundredths of a core
            # `privileged` is refused where the host has not all capabilities; these are enough.
            "CapAdd": ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD"],
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            "CgroupnsMode": "private" if cgroups_are_new else "host",
            "DeviceCgroupRules": ["c 10:237 rwm", "b 7:* rwm"],  # loop devices, for a disk of limited size
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
        },
    }


def _area_name(run: str) -> str:
    return f"grader-private-{run}-{AREA}"


def _area(run: str, own: Mapping[str, str]) -> dict[str, object]:
    """The volume for what scripts write: a file system of its own, in memory, so no disk of the host fills up."""
    options = f"{_AREA_OPTIONS},uid={os.getuid()},gid={os.getgid()}"
    return {
        "Name": _area_name(run),
        "Labels": own,
        "Driver": "local",
        "DriverOpts": {"type": "tmpfs", "device": "tmpfs", "o": options},
    }


def _volume(name: str, target: str, *, read_only: bool = False) -> dict[str, object]:
    # Without NoCopy the engine would fill a new volume with what the image has at that path.
    return {
        "Type": "volume",
        "Source": name,
        "Target": target,
        "ReadOnly": read_only,
        "VolumeOptions": {"NoCopy": True},
    }


def _wait_until_up(host: Connection, engine: PrivateEngine) -> str:
    """Wait for the engine's first answer, and return its version."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(EngineError):
            return str(json.loads(ask(engine.endpoint, "GET", "/version", seconds=_START_SECONDS)).get("Version", ""))
        state = host.call("GET", f"/containers/{engine.container}/json").json.get("State") or {}
        if not state.get("Running"):
            if state.get("ExitCode") == _NO_TEMPLATE:
                raise _TemplateIncompleteError("The template of the private engine is not complete.")
            raise EngineError(
                f"The private engine ended before it answered (exit code {state.get('ExitCode')}). {_log(host, engine)}"
            )
        time.sleep(0.05)
    raise EngineError(f"The private engine did not answer within {_START_SECONDS:g} s. {_log(host, engine)}")


def _log(host: Connection, engine: PrivateEngine) -> str:
    """The end of what the engine in the container has said, for a message."""
    parameters = {"stdout": 1, "stderr": 1, "tail": 12}
    stream = host.stream("GET", f"/containers/{engine.container}/logs", parameters=parameters, silence=10)
    with contextlib.closing(stream):
        text = b"".join(stream).decode(errors="replace")
    return "Its log ends:\n" + "\n".join(f"    {line.rstrip()}" for line in text.splitlines())
