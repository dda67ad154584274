"""Sandboxes: private engines in which a submission's own commands do as they like, one submission at a time.

An engine is used again after everything in it was removed, if it then holds exactly what it held at its start; else
it is thrown away. What stays is the builder's cache, which is addressed by content.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from grader.course.models import BaseImage, Limits
from grader.engine.docker_engine import DockerEngine
from grader.engine.http import Connection
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
from grader.sandbox.engine_state import engine_state, listening, settled
from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings, start_private_engine
from grader.sandbox.script import bases_in, images_named, prepare_containers, run_script
from grader.sandbox.workspace import Workspace, open_workspace
from grader.submissions.models import ExerciseFiles

Supply = Callable[[str], object]
"""Makes a base image present in the host engine. Raises `ImageUnavailable` and `EngineError`."""

_GIVING_BACK_SECONDS = 30.0
"""What those at work may take to give their engines back, once they have been told to stop."""
_REFUSALS_KEPT = 20


@dataclass(frozen=True, slots=True)
class PrivateSandbox:
    """One private engine with nothing but base images in it, for one submission.

    `base` is one of them, to make containers of; `images` are those that a course allows. Names of base images that are
    only patterns there cannot be made present ahead: `supply` makes one present in the host engine, and it is copied.
    """

    private: PrivateEngine
    base: str
    cancellation: Cancellation
    images: Sequence[BaseImage]
    supply: Supply

    def script(self, files: ExerciseFiles, request: ScriptRequest, limits: Limits) -> ScriptSeen:
        """As in `Sandbox`."""
        script = files.content(request.file)
        if script is None:
            return ScriptSeen("nothing")
        nested = self.private.engine.connection
        self._provide(bases_in(files, self.images))
        for named in images_named(script, self.images):
            with suppress(ImageUnavailable):  # the script is told by the proxy what cannot be had
                self._provide([named])
        prepared = prepare_containers(nested, self.base) if request.prepared else ()
        before = engine_state(nested)
        with listening(nested) as ended_so_far:
            with self._workspace(files, limits) as workspace:
                outcome, failed = run_script(workspace, request.file, limits.script_seconds)
                record = workspace.record()
            settled(nested, limits.run_seconds, besides=prepared)
            ended = ended_so_far()
        refused = tuple(dict.fromkeys(record.refusals))[:_REFUSALS_KEPT]
        return ScriptSeen("script", outcome, record.requests, before, engine_state(nested), ended, failed, refused)

    def compose(self, files: ExerciseFiles, request: ComposeRequest, limits: Limits) -> ComposeSeen:
        """As in `Sandbox`."""
        nested = self.private.engine.connection
        with self._workspace(files, limits) as workspace:
            seen = compose_up(workspace, nested, ComposeFiles(files, self.images, self._provide), request, limits)
        # Compose fails also where the engine has gone away, which is not the file's doing, and shows here.
        nested.call("GET", "/_ping", seconds=10)
        return seen

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        """As in `Sandbox`."""
        return self.private.engine.run(image, request, limits)

    def _workspace(self, files: ExerciseFiles, limits: Limits) -> AbstractContextManager[Workspace]:
        return open_workspace(self.private, files.files, limits, self.cancellation, images=self.images)

    def _provide(self, references: Sequence[str]) -> None:
        engine = self.private.engine
        for reference in references:
            if engine.image_labels(reference) is None:
                self.supply(reference)
                engine.copy_image(self.private.host, reference)


@dataclass(slots=True, eq=False)
class PrivateSandboxes:
    """Gives sandboxes, each to one taker at a time. Thread-safe; `close` removes all their engines."""

    host: DockerEngine
    settings: PrivateSettings
    images: Sequence[BaseImage]
    supply: Supply
    say: Callable[[str], None]
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _cancellation: Cancellation = field(default_factory=Cancellation)
    _idle: list[tuple[PrivateSandbox, EngineState, ExitStack]] = field(default_factory=list)
    _busy: list[DockerEngine] = field(default_factory=list)

    @contextmanager
    def __call__(self) -> Iterator[Sandbox]:
        """A sandbox for one submission, clean at the beginning."""
        sandbox, pristine, stack = self._take()
        clean = False
        try:
            failpoint("sandbox-taken")
            yield sandbox
            with suppress(EngineError):  # an engine that cannot be cleaned is thrown away
                clean = _reset(sandbox.private.engine.connection, pristine)
            failpoint("sandbox-cleaned")
        finally:
            try:
                if not clean:
                    stack.close()
            finally:  # an engine that cannot be removed is reported, and is nobody's any more
                with self._lock:
                    self._busy.remove(sandbox.private.engine)
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
            with ExitStack() as stack:
                private = stack.enter_context(start_private_engine(self.host, self.settings, self.say))
                base = self.settings.images[0]
                sandbox = PrivateSandbox(private, base, self._cancellation, self.images, self.supply)
                taken = sandbox, engine_state(private.engine.connection), stack.pop_all()
        with self._lock:
            self._busy.append(taken[0].private.engine)
        return taken


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
