"""Build with BuildKit through the engine's API: `POST /build?version=2`, the context in the body, no session.

Found by trying (Engine 20.10): a silent `RUN sleep 1000` is gone from the process list within
0.1 s of `POST /build/cancel`, and within 1 s of breaking the connection; neither leaves a
container or an image.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from dataclasses import dataclass
from typing import Any

from grader.engine.build.builder import (
    SILENCE,
    BuildOrder,
    api_parameters,
    build_arguments,
    error_of,
    json_messages,
    outcome,
)
from grader.engine.build.trace import Progress, Status, decode_status
from grader.engine.http import Connection
from grader.engine.protocol import OnStep
from grader.engine.watchdog import Cancellation, Reason
from grader.errors import EngineError
from grader.failpoints import failpoint
from grader.models import BuildFailed, Built

_GRACE = 1.0
"""Seconds between asking the builder to cancel and breaking the connection."""


def build_with_buildkit(
    connection: Connection, order: BuildOrder, cancellation: Cancellation, on_step: OnStep
) -> Built | BuildFailed:
    """A `Builder`: the image's id and the steps come from messages that no student can write."""
    arguments = json.dumps(build_arguments(order))
    parameters = {**api_parameters(order), "version": "2", "buildid": order.tag, "buildargs": arguments}
    silence = order.seconds + SILENCE
    failpoint("build-wanted")
    stream = connection.stream("POST", "/build", parameters=parameters, data=order.job.context, silence=silence)
    failpoint("build-requested")

    def stop() -> None:  # asked, BuildKit kills the running step and says so; else the connection goes
        _cancel(connection, order.tag)
        timer = threading.Timer(_GRACE, stream.abort)
        timer.daemon = True
        timer.start()

    seen = _Messages(Progress(order.job.dockerfile), on_step)
    stopped: Reason | None = None
    try:
        with cancellation.watch(stop) as watchdog:
            watchdog.start(order.seconds)
            for message in json_messages(stream, watchdog):
                seen.add(message)
                failpoint("build-progress")
                if seen.progress.log_bytes > order.log_bytes:
                    watchdog.trip("output_limit")
            stopped = watchdog.reason
        failpoint("build-reported")
    finally:
        if not seen.image and not seen.error:  # Ctrl-C, or something broke: the build must not go on alone
            _cancel(connection, order.tag)
        stream.close()
    return outcome(seen.progress, seen.image, seen.error, stopped, order)


@dataclass(slots=True)
class _Messages:
    """What the messages of one build have said so far."""

    progress: Progress
    on_step: OnStep
    image: str = ""
    error: str = ""

    def add(self, message: dict[str, Any]) -> None:
        match message:
            case {"id": "moby.buildkit.trace", "aux": str(encoded)}:
                for step in self.progress.add(_decoded(encoded)):
                    self.on_step(step)
            case {"id": "moby.image.id", "aux": {"ID": str(image)}}:
                self.image = image
            case _:
                self.error = error_of(message) or self.error


def _decoded(encoded: str) -> Status:
    try:
        return decode_status(base64.b64decode(encoded, validate=True))
    except ValueError as error:
        raise EngineError(f"The engine sent build progress that cannot be decoded: {error}.") from error


def _cancel(connection: Connection, build_id: str) -> None:
    """Ask BuildKit to cancel. Best effort: a broken connection cancels the build as well."""
    with contextlib.suppress(EngineError):
        connection.call("POST", "/build/cancel", parameters={"id": build_id}, seconds=_GRACE)
