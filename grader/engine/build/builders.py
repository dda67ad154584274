"""Building an image over the engine's API, with one of two builders.

`buildkit` is the builder behind the student's own `docker build`: `POST /build?version=2`, the context in the body, no
session. All Docker engines that the grader supports have it. `classic` is what an engine builds with that takes no
notice of the version, such as Podman: it reports its steps as text only, the image is found by its tag, and the error
comes in a message of its own.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from grader.course.models import Limits
from grader.dockerfile.parser import Dockerfile
from grader.engine.build.progress import BuildKitProgress, ClassicProgress, error_line
from grader.engine.http import Connection, Refused, Stream
from grader.engine.protocol import BuildJob, OnStep
from grader.engine.watchdog import Cancellation, Watchdog
from grader.errors import EngineError
from grader.failpoints import failpoint
from grader.models import BuildFailed, Built, ImageConfig

BuilderName = Literal["buildkit", "classic"]

_MEMORY = 8
"""How many times a run's memory a build may have, where the builder bounds it: to install takes more than to run."""
_SILENCE = 30.0
"""Seconds that the engine may be silent beyond the build's own limit, before it counts as hanging."""
_MESSAGE_LIMIT = 4 * 2**20
"""Bytes of one progress message; BuildKit's own are below 1 MiB."""
_BAD_REQUEST = 400
_PERIOD = 100_000
"""Microseconds in which a step may have its quota of cores."""


@dataclass(frozen=True, slots=True)
class BuildOrder:
    """One build. `tag` and `labels` are ours; `cpus` are the cores of each of its steps."""

    job: BuildJob
    tag: str
    labels: tuple[tuple[str, str], ...]
    limits: Limits
    cpus: float


def build_image(
    connection: Connection, builder: BuilderName, order: BuildOrder, cancellation: Cancellation, on_step: OnStep
) -> Built | BuildFailed:
    """Build, or say why not; of what is built, the configuration is not filled in.

    A build that is stopped, or left by an exception, has its connection closed, and so ends within a second. Raises
    `EngineError` where the Dockerfile is not to blame, `Cancelled` after `cancel`.
    """
    dockerfile, limits = order.job.dockerfile, order.limits
    progress = BuildKitProgress(dockerfile) if builder == "buildkit" else ClassicProgress(dockerfile)
    silence = limits.build_seconds + _SILENCE
    failpoint("build-wanted")
    try:
        stream = connection.stream(
            "POST", "/build", parameters=_parameters(builder, order), data=order.job.context, silence=silence
        )
    except Refused as refused:
        if builder == "classic" and refused.status == _BAD_REQUEST:  # the Dockerfile cannot be parsed
            return BuildFailed(refused.reason, line=error_line(refused.reason, dockerfile))
        raise
    failpoint("build-requested")
    error = ""
    with contextlib.closing(stream), cancellation.watch(stream.abort) as watchdog:
        watchdog.start(limits.build_seconds)
        for message in json_messages(stream, watchdog):
            error = error_of(message) or error
            for step in progress.add(message):
                on_step(step)
            failpoint("build-progress")
            if progress.log_bytes > limits.build_output_kb * 1024:
                watchdog.trip("output_limit")
        stopped = watchdog.reason
    failpoint("build-reported")
    if stopped is not None and stopped != "cancelled":
        limit = f"{limits.build_seconds:g} s" if stopped == "timed_out" else f"{limits.build_output_kb} KiB of output"
        text = f"Stopped at the build's limit of {limit}."
        steps = progress.steps(unfinished=text)
        return BuildFailed(text, stopped, next((step.line for step in reversed(steps) if step.error), None), steps)
    if error:
        return progress.failure(error)
    image = progress.image if builder == "buildkit" else connection.find(f"/images/{order.tag}/json").get("Id")
    if not image:
        raise EngineError(
            "The engine ended a build without an image and without an error, as if it had been stopped. "
            "See whether `docker info` answers, then try again."
        )
    return Built(str(image), ImageConfig(), progress.steps())


def _parameters(builder: BuilderName, order: BuildOrder) -> dict[str, str | int]:
    """No registry credentials, no proxies, no build arguments that a Dockerfile sees, no pull.

    Only the classic builder takes limits from a request: memory, without swap on top, and cores of each step.
    """
    asked: dict[str, str | int] = {
        "t": order.tag,
        "dockerfile": "Dockerfile",
        "labels": json.dumps(dict(order.labels)),
        "networkmode": "default",
        "rm": 1,
        "forcerm": 1,
    }
    if builder == "buildkit":
        # https://docs.docker.com/build/building/variables/#buildkit-built-in-build-args
        arguments = {"BUILDKIT_CACHE_MOUNT_NS": order.job.caches} if order.job.caches else {}
        return {**asked, "version": "2", "buildargs": json.dumps(arguments)}
    memory = order.limits.memory_mb * _MEMORY * 2**20
    quota = round(order.cpus * _PERIOD)
    return {**asked, "memory": memory, "memswap": memory, "cpuperiod": _PERIOD, "cpuquota": quota}


def json_messages(stream: Stream, watchdog: Watchdog) -> Iterator[dict[str, Any]]:
    """The messages of a build as they arrive, until the end or the watchdog's stop. Memory stays flat."""
    try:
        yield from map(_message, _lines(stream))
    except EngineError:  # stopped by us, it ends in the middle
        if watchdog.reason is None:
            raise


def _lines(stream: Stream) -> Iterator[bytes]:
    rest = b""
    for piece in itertools.chain(stream, (b"\n",)):
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > _MESSAGE_LIMIT:
            raise EngineError(f"The engine sent a message of more than {_MESSAGE_LIMIT} bytes in a build.")
        yield from (line for line in lines if line.strip())


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


def builder_of(version: Mapping[str, Any]) -> BuilderName:
    """The builder of an engine, by its answer to `/version`: each Docker that is new enough has BuildKit."""
    names = [str(part.get("Name")) for part in version.get("Components") or ()]
    return "classic" if any("Podman" in name for name in names) else "buildkit"


_SINCE_23 = {"heredoc": "a heredoc (<<)", "link": "COPY --link"}
"""What the engine's BuildKit knows since Docker 23 (its release notes). `RUN --mount` and `COPY --chmod` are older."""


def unsupported(dockerfile: Dockerfile, builder: BuilderName, engine_version: str) -> BuildFailed | None:
    """Why this Dockerfile cannot be built here although it is right, or None."""
    major = re.match(r"\d+", engine_version)
    if builder == "classic" or major is None or int(major[0]) >= 23:  # noqa: PLR2004 - see above
        return None
    for outer in dockerfile.instructions:
        one = outer.trigger or outer
        name = "heredoc" if one.heredocs else "link" if any(flag.name == "link" for flag in one.flags) else ""
        if name:
            return BuildFailed(
                f"Line {outer.first_line} uses {_SINCE_23[name]}, which needs Docker 23 or later. "
                f"This engine is Docker {engine_version}.",
                line=outer.first_line,
                unsupported=name,
            )
    return None
