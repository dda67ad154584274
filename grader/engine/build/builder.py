"""What every builder is given, what it answers, and how its messages are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from grader.engine.build.trace import Failure
from grader.engine.http import Connection, Parameters, Stream
from grader.engine.protocol import BuildJob, OnStep
from grader.engine.watchdog import Cancellation, Reason, Watchdog
from grader.errors import EngineError
from grader.models import BuildFailed, BuildStep, Built, ImageConfig

SILENCE = 30.0
"""Seconds that the engine may be silent beyond the build's own limit, before it counts as hanging."""

_MESSAGE_LIMIT = 4 * 2**20
"""Bytes of one progress message; BuildKit's own are below 1 MiB."""


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """One build. `tag` and `labels` are ours; `seconds` and `log_bytes` are its limits.

    `memory` (bytes, no swap on top) and `cpus` are those of each of its steps, where the builder takes such limits from
    a request: the classic one does, BuildKit does not. 0 is no limit.
    """

    job: BuildJob
    tag: str
    labels: tuple[tuple[str, str], ...]
    seconds: float
    log_bytes: int
    memory: int = 0
    cpus: float = 0.0


Builder = Callable[[Connection, BuildOrder, Cancellation, OnStep], Built | BuildFailed]
"""Builds, or says why not; of what is built, the configuration is not filled in. `EngineError` where the Dockerfile is
not to blame, `Cancelled` after `cancel`."""


class Progress(Protocol):
    """What is known of one build so far: its steps, and who is to blame for an error."""

    def steps(self, unfinished: str = "") -> tuple[BuildStep, ...]:
        """All steps that were begun; `unfinished` is the error of those that did not end."""
        ...

    def failure(self, message: str) -> Failure:
        """What the builder's last word means."""
        ...


def outcome(
    progress: Progress, image: str, error: str, stopped: Reason | None, order: BuildOrder
) -> Built | BuildFailed:
    """What a build came to. `EngineError` if the engine is to blame, or ended without an image and without an error."""
    if stopped in {"timed_out", "output_limit"}:
        return _stopped(progress, stopped, order)
    if error:
        return _failed(progress.failure(error), progress.steps())
    if not image:
        raise EngineError(
            "The engine ended a build without an image and without an error, as if it had been stopped. "
            "See whether `docker info` answers, then try again."
        )
    return Built(image, ImageConfig(), progress.steps())


def _stopped(progress: Progress, reason: Reason | None, order: BuildOrder) -> BuildFailed:
    timed_out = reason == "timed_out"
    limit = f"{order.seconds:g} s" if timed_out else f"{order.log_bytes // 1024} KiB of output"
    message = f"Stopped at the build's limit of {limit}."
    steps = progress.steps(unfinished=message)
    line = next((step.line for step in reversed(steps) if step.error), None)
    return BuildFailed(message, "timed_out" if timed_out else "output_limit", line, steps)


def _failed(failure: Failure, steps: tuple[BuildStep, ...]) -> BuildFailed:
    if failure.ours:
        raise EngineError(f"The engine could not build, and the Dockerfile is not to blame: {failure.message}")
    return BuildFailed(failure.message, line=failure.line, steps=steps)


# ── the engine's API ────────────────────────────────────────────────────────────────────


def api_parameters(order: BuildOrder) -> Parameters:
    """What both builders of the API are asked. No registry credentials, no proxies, no build arguments, no pull."""
    return {
        "t": order.tag,
        "dockerfile": "Dockerfile",
        "labels": json.dumps(dict(order.labels)),
        "networkmode": "default",
        "rm": 1,
        "forcerm": 1,
    }


def build_arguments(order: BuildOrder) -> dict[str, str]:
    """Arguments for BuildKit itself, which no Dockerfile sees: the namespace of cache mounts.

    https://docs.docker.com/build/building/variables/#buildkit-built-in-build-args
    """
    return {"BUILDKIT_CACHE_MOUNT_NS": order.job.caches} if order.job.caches else {}


def json_messages(stream: Stream, watchdog: Watchdog) -> Iterator[dict[str, Any]]:
    """The messages of a build as they arrive, until the end or the watchdog's stop. Memory stays flat."""
    try:
        for line in _lines(stream):
            yield _message(line)
    except EngineError:  # stopped by us, it ends in the middle
        if watchdog.reason is None:
            raise


def _lines(stream: Stream) -> Iterator[bytes]:
    rest = b""
    for piece in stream:
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _MESSAGE_LIMIT:
            raise EngineError(f"The engine sent a message of more than {_MESSAGE_LIMIT} bytes in a build.")
        yield from (line for line in lines if line.strip())
    if rest.strip():
        yield rest


def _message(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError as error:
        raise EngineError("The engine broke off in the middle of a build.") from error
    return message if isinstance(message, dict) else {}


def error_of(message: dict[str, Any]) -> str:
    """The error in a message, or "". `error` alone is of older engines, and deprecated since API 1.48."""
    detail = message.get("errorDetail")
    text = detail.get("message") if isinstance(detail, dict) else None
    return str(text or message.get("error") or "")
