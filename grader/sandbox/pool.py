"""Sandboxes: private engines in which a submission's own commands do as they like, one submission at a time.

An engine is used again after everything in it was removed, if it then holds exactly what it held at its start; else
it is thrown away. What stays is the builder's cache, which is addressed by content.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from grader.course.models import BaseImage, Limits
from grader.dockerfile.image_names import is_allowed, is_called, normalised
from grader.dockerfile.parser import parse
from grader.dockerfile.policy import examine
from grader.engine.docker_engine import DockerEngine
from grader.engine.http import Connection
from grader.engine.images import copy_image
from grader.engine.protocol import Sandbox
from grader.engine.watchdog import Cancellation
from grader.errors import EngineError, ImageUnavailable
from grader.failpoints import failpoint
from grader.models import (
    ComposeRequest,
    ComposeSeen,
    EngineState,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.sandbox.compose import ComposeFiles, compose_up
from grader.sandbox.engine_state import Moment, containers_ended, engine_state, settled, span
from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings, start_private_engine
from grader.sandbox.script import workshop
from grader.submissions.models import ExerciseFiles

Supply = Callable[[str], object]
"""Makes a base image present in the host engine. Raises `ImageUnavailable` and `EngineError`."""

Connect = Callable[[PrivateEngine], DockerEngine]
"""Makes an engine object for a private engine."""

_GIVING_BACK_SECONDS = 30.0
"""What those at work may take to give their engines back, once they have been told to stop."""
_PREPARED_IMAGE = "sales-predictor"
_REFUSALS_KEPT = 20


@dataclass(frozen=True, slots=True)
class PrivateSandbox:
    """One private engine with nothing but base images in it, for one submission.

    `base` is one of them, to make containers of; `images` are those that a course allows. Names of base images that are
    only patterns there cannot be made present ahead: `supply` makes one present in the host engine, and it is copied.
    """

    host: Connection
    private: PrivateEngine
    engine: DockerEngine
    base: str
    cancellation: Cancellation
    images: Sequence[BaseImage]
    supply: Supply

    def script(self, files: ExerciseFiles, request: ScriptRequest, limits: Limits) -> ScriptSeen:
        """As in `Sandbox`."""
        if files.content(request.file) is None:
            return ScriptSeen("nothing")
        nested = self.engine.connection
        self._provide(bases_in(files, self.images))
        for named in images_named(files.content(request.file) or b"", self.images):
            with suppress(ImageUnavailable):  # what is not to be had is for the script to be told
                self._provide([named])
        prepared = _prepare(nested, self.base) if request.prepared else ()
        before, began = engine_state(nested), Moment.now()
        with workshop(self.host, self.private, files.files, limits, self.cancellation, images=self.images) as place:
            outcome, failed = place.run_file(request.file, limits.script_seconds)
            record = place.record()
        refused = tuple(dict.fromkeys(record.refusals))[:_REFUSALS_KEPT]
        settled(nested, limits.run_seconds, besides=prepared)
        ended = containers_ended(nested, *span(began, Moment.now()))
        return ScriptSeen("script", outcome, record.requests, before, engine_state(nested), ended, failed, refused)

    def compose(self, files: ExerciseFiles, request: ComposeRequest, limits: Limits) -> ComposeSeen:
        """As in `Sandbox`."""
        submitted = ComposeFiles(files, self.images, self._provide)
        with workshop(self.host, self.private, files.files, limits, self.cancellation, images=self.images) as place:
            seen = compose_up(place, self.engine.connection, submitted, request, limits)
        # Compose fails also where the engine has gone away, which is not the file's doing, and is told here.
        self.engine.connection.call("GET", "/_ping", seconds=10)
        return seen

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        """As in `Sandbox`."""
        return self.engine.run(image, request, limits)

    def _provide(self, references: Sequence[str]) -> None:
        for reference in references:
            if self.engine.image_labels(reference) is None:
                self.supply(reference)
                copy_image(self.host, self.engine.connection, reference)


def bases_in(files: ExerciseFiles, images: Sequence[BaseImage]) -> tuple[str, ...]:
    """The base images that the folder's Dockerfiles need, whatever these are called."""
    dockerfiles = [file for file in files.files if "dockerfile" in PurePosixPath(file.path).name.lower()]
    allowed = [name for image in images for name in image.names]
    return tuple(dict.fromkeys(base for file in dockerfiles for base in examine(parse(file.content), allowed).bases))


def images_named(script: bytes, images: Sequence[BaseImage]) -> tuple[str, ...]:
    """What a script may mean to run or pull without a Dockerfile: words that name base images of the course.

    Only the first few, since each may have to be made: nobody works with more.
    """
    allowed = tuple(name for image in images for name in image.names)
    words = dict.fromkeys(word.decode("ascii", "replace") for word in _WORD.findall(script))
    return tuple(normalised(word) for word in words if is_allowed(word, allowed))[:_IMAGES_NAMED]


_WORD = re.compile(rb"""[^\s"'`;&|()<>$=]{1,200}:[A-Za-z0-9_.-]{1,128}(?=[\s"'`;&|()<>]|$)""")
_IMAGES_NAMED = 3


@dataclass(frozen=True, slots=True)
class OwnEngine:
    """The student's own engine, looked at where there is no script; nothing but images named `prefix*` counts."""

    engine: DockerEngine
    prefix: str = _PREPARED_IMAGE

    def look(self) -> ScriptSeen:
        """What is there now, and which containers of those images ended lately."""
        connection = self.engine.connection
        now = engine_state(connection, self._counts)
        ended = [
            one
            for one in containers_ended(connection, 1, time.time())
            if self._counts(one.image) or any(is_called(one.image, image) for image in now.images)
        ]
        return ScriptSeen("own_engine", after=now, ended=tuple(ended))

    def _counts(self, image: str) -> bool:
        return image.startswith(self.prefix)


class PrivateSandboxes:
    """Gives sandboxes, each to one taker at a time. Thread-safe; `close` removes all their engines."""

    def __init__(
        self,
        host: DockerEngine,
        settings: PrivateSettings,
        images: Sequence[BaseImage],
        *,
        connect: Connect,
        supply: Supply,
        say: Callable[[str], None],
    ) -> None:
        self._host = host
        self._settings = settings
        self._images = images
        self._connect = connect
        self._supply = supply
        self._say = say
        self._lock = threading.Condition()
        self._cancellation = Cancellation()
        self._idle: list[tuple[PrivateSandbox, EngineState, ExitStack]] = []
        self._busy: list[DockerEngine] = []

    @contextmanager
    def __call__(self) -> Iterator[Sandbox]:
        """A sandbox for one submission, clean at the beginning."""
        sandbox, pristine, stack = self._take()
        clean = False
        try:
            failpoint("sandbox-taken")
            yield sandbox
            with suppress(EngineError):  # an engine that cannot be cleaned is thrown away
                clean = _reset(sandbox.engine.connection, pristine)
            failpoint("sandbox-cleaned")
        finally:
            try:
                if not clean:
                    stack.close()
            finally:  # an engine that cannot be removed is told of, and is nobody's any more
                with self._lock:
                    self._busy.remove(sandbox.engine)
                    if clean:
                        self._idle.append((sandbox, pristine, stack))
                    self._lock.notify_all()

    def close(self) -> None:
        """End what still runs in sandboxes, at once, and remove all their engines. Harmless when repeated."""
        self._cancellation.cancel()
        with self._lock:
            for engine in self._busy:
                engine.cancel()
            self._lock.wait_for(lambda: not self._busy, _GIVING_BACK_SECONDS)
            idle, self._idle = self._idle, []
        for _, _, stack in idle:
            stack.close()

    def _take(self) -> tuple[PrivateSandbox, EngineState, ExitStack]:
        self._cancellation.check()
        with self._lock:
            taken = self._idle.pop() if self._idle else None
        if taken is None:
            taken = self._new()
        with self._lock:
            self._busy.append(taken[0].engine)
        return taken

    def _new(self) -> tuple[PrivateSandbox, EngineState, ExitStack]:
        with ExitStack() as stack:
            private = stack.enter_context(start_private_engine(self._host.connection, self._settings, self._say))
            engine = self._connect(private)
            sandbox = PrivateSandbox(
                self._host.connection,
                private,
                engine,
                self._settings.images[0],
                self._cancellation,
                self._images,
                self._supply,
            )
            return sandbox, engine_state(engine.connection), stack.pop_all()


def _prepare(engine: Connection, base: str) -> tuple[str, ...]:
    """An image `sales-predictor` and four containers of it: ended well, ended with an error, never started, running."""
    command = json.dumps(["python3", "-c", "print('Predicted sales for next week: 110.0')"])
    first = _create(engine, base, ["true"])
    repository = {"container": first, "repo": _PREPARED_IMAGE, "tag": "latest", "changes": f"CMD {command}"}
    engine.call("POST", "/commit", parameters=repository, json={})
    engine.call("DELETE", f"/containers/{first}", parameters={"force": 1})
    good, bad, created, running = (
        _create(engine, _PREPARED_IMAGE, command) for command in ([], ["false"], [], ["sleep", "100000"])
    )
    for container in (good, bad):
        waiting = engine.stream(
            "POST", f"/containers/{container}/wait", parameters={"condition": "next-exit"}, silence=60
        )
        engine.call("POST", f"/containers/{container}/start")
        list(waiting)
        waiting.close()
    engine.call("POST", f"/containers/{running}/start")
    return good, bad, created, running


def _create(engine: Connection, image: str, command: list[str]) -> str:
    # Stopped at once: `sleep` as first process does not heed the signal that `docker stop` sends first.
    # Without a network that has to be set up they start in half the time.
    alone = {"NetworkDisabled": True, "HostConfig": {"NetworkMode": "none"}}
    body: dict[str, Any] = {"Image": image, "StopSignal": "SIGKILL", **alone}
    if command:
        body["Cmd"] = command
    return str(engine.call("POST", "/containers/create", json=body).json["Id"])


def _reset(engine: Connection, pristine: EngineState) -> bool:
    """Remove everything that was not there at the start; whether the engine is then as it was."""
    for container in engine.call("GET", "/containers/json", parameters={"all": 1}).json:
        engine.call("DELETE", f"/containers/{container['Id']}", parameters={"force": 1, "v": 1})
    engine.call("POST", "/networks/prune")
    engine.call("POST", "/volumes/prune", parameters={"filters": json.dumps({"all": ["true"]})})
    known = {image.id: set(image.tags) for image in pristine.images}
    for image in engine.call("GET", "/images/json").json:
        names = set(image.get("RepoTags") or ()) - known.get(image["Id"], set())
        for name in names:
            engine.call("DELETE", f"/images/{name}", parameters={"force": 1})
        if not names and image["Id"] not in known:
            engine.call("DELETE", f"/images/{image['Id']}", parameters={"force": 1})
    volumes = engine.call("GET", "/volumes").json.get("Volumes")
    networks = {network["Name"] for network in engine.call("GET", "/networks").json}
    return engine_state(engine) == pristine and not volumes and networks <= {"bridge", "host", "none"}
