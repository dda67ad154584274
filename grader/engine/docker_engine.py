"""An engine object: builds and runs under names and labels of its own, and removes all of it at its end."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import secrets
import threading
import time
from dataclasses import dataclass, replace
from typing import Any, Self

from grader.course.models import Limits
from grader.engine import ownership
from grader.engine.build.builders import BuilderName, BuildOrder, build_image, builder_of, unsupported
from grader.engine.files import MountedFiles
from grader.engine.holder import Holder, waiting_program
from grader.engine.http import Connection, OpenStream, open_connection
from grader.engine.images import Image, ImageStore, look_at, untag_image
from grader.engine.ownership import TAG_PREFIX
from grader.engine.protocol import BuildJob, OnStep
from grader.engine.run import MAX_VOLUMES, ContainerRun, run_container
from grader.engine.watchdog import Cancellation
from grader.errors import EngineError, UsageError
from grader.failpoints import failpoint
from grader.models import BuildFailed, Built, EngineInfo, Exited, NotStarted, RunOutcome, RunRequest

_PAUSE = 0.3
"""Seconds between two questions whether an engine is back."""
_DISK_RESERVE = 64 * 2**20
"""Bytes; with less than that free on the engine's disk, a failed build is nobody's fault."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the engine says of itself, for `grader doctor`. `warnings` are its own: limits that it cannot enforce.

    `free_bytes` is what is free at `root_dir`, which is on the engine's machine; None where that is not this one.
    """

    endpoint: str
    version: str
    api_version: str
    operating_system: str
    architecture: str
    cgroup_version: str
    cgroup_driver: str
    storage_driver: str
    root_dir: str
    memory_bytes: int
    rootless: bool
    warnings: tuple[str, ...]
    free_bytes: int | None


def connect(
    *,
    builder: str | None = None,
    tier: str = "host",
    endpoint: str | None = None,
    cpus: float = math.inf,
    open_stream: OpenStream | None = None,
) -> DockerEngine:
    """An engine object for the engine that `open_connection` finds.

    `builder` forces one of `BuilderName`; otherwise it is the engine's own. `cpus` are the cores that the engine has,
    where those are fewer than it says. Raises `EngineError` if no engine answers, and `UsageError` for an unknown
    builder.
    """
    names: dict[str | None, BuilderName | None] = {None: None, "buildkit": "buildkit", "classic": "classic"}
    if builder not in names:
        raise UsageError(f"There is no builder called {builder!r}. Known are: buildkit, classic.")
    return DockerEngine(open_connection(endpoint, open_stream), names[builder], tier, cpus)


class DockerEngine(ImageStore):
    """Docker as a `grader.engine.protocol.Engine`. Thread-safe; `close` (or `with`) removes all that it made."""

    def __init__(self, connection: Connection, builder: BuilderName | None, tier: str, cpus: float) -> None:
        super().__init__(connection)
        self._tier = tier
        self._run_id = secrets.token_hex(6)
        self._owner = ownership.this_process(connection)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._builder = builder or builder_of(connection.version)
        self._images: dict[str, Image] = {}
        self._warnings: dict[str, None] = {}
        self._files = self._mounted_files()
        self.cancellation = Cancellation()
        """Trips with `cancel`, so that what works beside this object can end with it."""
        self._version = str(connection.version.get("Version", ""))
        info = self._info()
        self._cpus = min(cpus, float(info.get("NCPU") or 1))
        self._waits = None if "Podman" in str(connection.version) else waiting_program(str(info.get("Architecture")))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.close()
        except EngineError:
            if kind is None:  # else what ends the block is the news, and often the reason for this one
                raise

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the engine warned of so far, each once, such as limits that it does not enforce."""
        return tuple(self._warnings)

    def info(self) -> EngineInfo:
        """Endpoint, version, builder and tier."""
        return EngineInfo(self.connection.endpoint, self._version, self._builder, self._tier)

    def facts(self) -> EngineFacts:
        """The engine's own account of itself. `EngineError` if it does not answer."""
        info = self._info()
        root = str(info.get("DockerRootDir") or "")
        return EngineFacts(
            endpoint=self.connection.endpoint,
            version=self._version,
            api_version=str(self.connection.version["ApiVersion"]),
            operating_system=str(info.get("OperatingSystem", "")),
            architecture=str(info.get("Architecture", "")),
            cgroup_version=str(info.get("CgroupVersion", "")),
            cgroup_driver=str(info.get("CgroupDriver", "")),
            storage_driver=str(info.get("Driver", "")),
            root_dir=root,
            memory_bytes=int(info.get("MemTotal") or 0),
            rootless=any("name=rootless" in option for option in info.get("SecurityOptions") or ()),
            warnings=tuple(str(warning) for warning in info.get("Warnings") or ()),
            free_bytes=_free_bytes(self.connection.endpoint, root),
        )

    def build(self, job: BuildJob, limits: Limits, on_step: OnStep) -> Built | BuildFailed:
        """As in `Engine`, under a tag of ours. Raises `Cancelled` after `cancel`."""
        if missing := unsupported(job.dockerfile, self._builder, self._version):
            return missing
        safe = re.sub(r"[^a-z0-9]+", "-", job.name.lower()).strip("-") or "image"
        tag = f"{TAG_PREFIX}{self._run_id}/{safe}:{next(self._numbers)}"
        order = BuildOrder(job, tag, self._labels("image"), limits, min(limits.cpus, self._cpus))
        began = time.monotonic()
        kept = False
        try:
            result = build_image(self.connection, self._builder, order, self.cancellation, on_step)
            self.cancellation.check()  # so `close` either sees the image or keeps it from staying
            kept = isinstance(result, Built)
        finally:
            if not kept:  # it may have been finished in the very moment when it was stopped
                with contextlib.suppress(EngineError):  # `close` or a later prune tries again
                    untag_image(self.connection, tag)
        seconds = time.monotonic() - began
        if isinstance(result, BuildFailed):
            if self._tier == "host":  # a private engine's disk is its own, and a full one is the build's own doing
                self._check_health()
            return replace(result, seconds=seconds)
        failpoint("image-made")
        # Looking into an image's /tmp costs a container, which only few Dockerfiles give a reason for.
        image = self._image(
            result.image,
            tag,
            look_into_tmp=b"tmp" in job.dockerfile.built,
            names_localhost=b"localhost" in job.context.lower(),
        )
        return replace(result, config=image.config, seconds=seconds, size=image.size)

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        """As in `Engine`. Raises `Cancelled` after `cancel`."""
        known = self._image(image)
        config, volumes = known.config, len(known.volumes)
        if not (request.args or request.entrypoint or config.entrypoint or config.command):
            return RunOutcome(NotStarted("The image has neither ENTRYPOINT nor CMD, so there is nothing to run."))
        if volumes > MAX_VOLUMES:
            many = f"The image declares {volumes} volumes (VOLUME); at most {MAX_VOLUMES} are made for a run."
            return RunOutcome(NotStarted(many))
        outcome = self._run_once(image, request, limits)
        if isinstance(outcome.ended, Exited) and not (outcome.stdout or outcome.stderr):
            # With the machine at its limit, an engine was seen to lose all that a short run had printed. What prints
            # nothing does so again.
            outcome = self._run_once(image, request, limits)
        return outcome

    def exec(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome | None:
        """As in `Engine`. What mounts files, replaces them, or has volumes to write to is run."""
        known = self._image(image)
        config = known.config
        plain = RunRequest(request.args, request.environment, build=request.build, further=request.further)
        command = (config.entrypoint or ()) + (request.args or config.command or ())
        if self._waits is None or known.volumes or not command or request != plain:
            return None
        holder = known.holder
        if holder is None:
            waits = RunRequest(files=(self._waits,), entrypoint=(self._waits.path,))
            made = Holder(self.connection, self._order(image, waits, limits))
            with self._lock:
                holder = known.holder = known.holder or made
        return holder.execute(command, request.environment, self.cancellation)

    def _run_once(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        outcome = run_container(self.connection, self._order(image, request, limits), self.cancellation, self._warn)
        self._image(image).has_started |= not isinstance(outcome.ended, NotStarted)
        return outcome

    def _order(self, image: str, request: RunRequest, limits: Limits) -> ContainerRun:
        known = self._image(image)
        return ContainerRun(
            image=image,
            name=f"grader-{self._run_id}-{next(self._numbers)}",
            request=request,
            limits=limits,
            labels=self._labels("container"),
            volume_labels=self._labels("volume"),
            volumes=known.volumes,
            cpus=self._cpus,
            tmp_is_empty=known.tmp_is_empty,
            users_are_known=known.has_started,
            names_localhost=known.names_localhost,
            mounted=self._files.mounts(request.files),
        )

    def _mounted_files(self) -> MountedFiles:
        labels = {kind: dict(self._labels(kind)) for kind in ("image", "volume", "container")}
        name = f"{TAG_PREFIX}grader-{self._run_id}-files-{next(self._numbers)}"
        return MountedFiles(self.connection, name, labels)

    def cancel(self) -> None:
        """End all builds and runs of this object at once; they, and all later ones, raise `Cancelled`."""
        self.cancellation.cancel()

    def comes_back(self, seconds: float) -> bool:
        """Whether the engine answers within so many seconds; it may just be started again. Raises `Cancelled`."""
        until = time.monotonic() + seconds
        while True:
            self.cancellation.check()
            with contextlib.suppress(EngineError):
                self.connection.call("GET", "/_ping", seconds=5)
                return True
            if time.monotonic() > until:
                return False
            time.sleep(_PAUSE)

    def move_to(self, other: DockerEngine) -> None:
        """Use another engine from now on; the old one is gone, with everything built in it."""
        with self._lock:
            self.connection = other.connection
            self._files = self._mounted_files()
            self._images.clear()

    def remove_image(self, image: str) -> None:
        """Take back the name that one `build` gave the image; the image goes with its last name."""
        with self._lock:
            known = self._images.get(image)
            tag = known.tags.pop() if known and known.tags else None
            holder = None
            if known and not known.tags:
                holder, known.holder = known.holder, None
                del self._images[image]
        if holder:
            holder.close()
        if tag:
            untag_image(self.connection, tag)
            failpoint("image-untagged")

    def close(self) -> None:
        """Remove all that this object made and is still there. Running builds and runs are cancelled first.

        Harmless when repeated. `EngineError` if something cannot be removed; a later `prune` tries again.
        """
        self.cancellation.cancel()
        with self._lock:
            images = list(self._images.values())
            self._images.clear()
        for image in images:
            if image.holder:
                image.holder.close()
        ownership.remove_run(self.connection, self._run_id)

    def prune(self, *, everything: bool = False) -> tuple[ownership.Leftover, ...]:
        """Remove what graders left that died on this machine, or with a container of this engine, and say what it was.

        With `everything`, all of ours, also of graders at work and of other machines' graders on this engine.
        """
        return ownership.prune(self.connection, everything=everything)

    def _info(self) -> dict[str, Any]:
        answer = self.connection.call("GET", "/info", seconds=10).json
        return answer if isinstance(answer, dict) else {}

    def _check_health(self) -> None:
        """Raise `EngineError` if a failed build may be the engine's fault: it is going down, or its disk is full."""
        info = self._info()  # an engine that is being stopped fails builds before it breaks connections
        free = _free_bytes(self.connection.endpoint, str(info.get("DockerRootDir") or ""))
        if free is not None and free < _DISK_RESERVE:
            raise EngineError(
                f"The engine's disk is full ({free // 2**20} MiB left at {info.get('DockerRootDir')}), so builds fail "
                "that should not. Make room (`docker system df` shows what takes it), then try again."
            )

    def _warn(self, warning: str) -> None:
        self._warnings[warning] = None

    def _labels(self, kind: ownership.Kind) -> tuple[tuple[str, str], ...]:
        return ownership.labels(self._run_id, self._owner, kind)

    def _image(self, image: str, tag: str = "", *, look_into_tmp: bool = True, names_localhost: bool = True) -> Image:
        known = self._images.get(image)
        if known is None:
            known = look_at(self.connection, image, dict(self._labels("container")) if look_into_tmp else None)
            known.names_localhost = names_localhost
        with self._lock:
            known = self._images.setdefault(image, known)
            known.tags += [tag] if tag else []
        return known


def _free_bytes(endpoint: str, root: str) -> int | None:
    """Bytes free at the engine's root folder, if that is a folder of this machine."""
    if not endpoint.startswith(("unix://", "http+unix://")) or not root:
        return None
    try:
        disk = os.statvfs(root)
    except (OSError, AttributeError):  # in a virtual machine (Docker Desktop), or on Windows
        return None
    return disk.f_bavail * disk.f_frsize
