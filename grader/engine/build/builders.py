"""Building an image over the engine's API, with one of two builders.

`buildkit` is the builder behind the student's own `docker build`: `POST /build?version=2`, the context in the body, no
session. All Docker engines that the grader supports have it. `classic` is what an engine builds with that takes no
notice of the version, such as Podman. It reports its steps as text only. A student's `RUN echo` can imitate that, so it
decides nothing but how steps are shown; the image is found by its tag, and the error comes in a message of its own.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from grader.dockerfile.parser import Dockerfile
from grader.engine.build.trace import LOG_TAIL, Failure, Progress, decode_status, error_line, on_one_line, step_text
from grader.engine.http import Connection, Refused, Stream, if_there
from grader.engine.protocol import BuildJob, OnStep
from grader.engine.watchdog import Cancellation, Reason, Watchdog
from grader.engine.wording import (
    CLASSIC_CACHED,
    CLASSIC_COLOUR,
    CLASSIC_NOISE,
    CLASSIC_STEP,
    is_engine_fault,
    plain_error,
)
from grader.errors import EngineError, UsageError
from grader.failpoints import failpoint
from grader.models import BuildFailed, BuildStep, Built, ImageConfig

BuilderName = Literal["buildkit", "classic"]

_SILENCE = 30.0
"""Seconds that the engine may be silent beyond the build's own limit, before it counts as hanging."""
_MESSAGE_LIMIT = 4 * 2**20
"""Bytes of one progress message; BuildKit's own are below 1 MiB."""
_GRACE = 1.0
"""Seconds between asking the builder to cancel and breaking the connection."""
_BAD_REQUEST = 400
_PERIOD = 100_000
"""Microseconds in which a step may have its quota of cores."""


def builder_name(text: str) -> BuilderName:
    """The builder of that name. `UsageError` if there is none."""
    if text not in get_args(BuilderName):
        raise UsageError(f"There is no builder called {text!r}. Known are: {', '.join(get_args(BuilderName))}.")
    return cast("BuilderName", text)


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


def build_image(
    connection: Connection, builder: BuilderName, order: BuildOrder, cancellation: Cancellation, on_step: OnStep
) -> Built | BuildFailed:
    """Build, or say why not; of what is built, the configuration is not filled in.

    Raises `EngineError` where the Dockerfile is not to blame, `Cancelled` after `cancel`.
    """
    dockerfile = order.job.dockerfile
    report = _Trace(Progress(dockerfile)) if builder == "buildkit" else _Text(dockerfile)
    failpoint("build-wanted")
    try:
        stream = connection.stream(
            "POST", "/build", parameters=_parameters(builder, order), data=order.job.context,
            silence=order.seconds + _SILENCE,
        )  # fmt: skip
    except Refused as refused:
        if builder == "classic" and refused.status == _BAD_REQUEST:  # the Dockerfile cannot be parsed
            return BuildFailed(refused.reason, line=error_line(refused.reason, dockerfile))
        raise
    failpoint("build-requested")

    def stop() -> None:  # asked, BuildKit kills the running step and says so; else the connection goes
        _cancel(connection, builder, order.tag)
        timer = threading.Timer(_GRACE if builder == "buildkit" else 0, stream.abort)
        timer.daemon = True
        timer.start()

    error = ""
    stopped: Reason | None = None
    try:
        with cancellation.watch(stop) as watchdog:
            watchdog.start(order.seconds)
            for message in json_messages(stream, watchdog):
                error = error_of(message) or error
                for step in report.add(message):
                    on_step(step)
                failpoint("build-progress")
                if report.log_bytes > order.log_bytes:
                    watchdog.trip("output_limit")
            stopped = watchdog.reason
        failpoint("build-reported")
    except BaseException:  # Ctrl-C, or something broke: the build must not go on alone
        _cancel(connection, builder, order.tag)
        raise
    finally:
        stream.close()
    if stopped in {"timed_out", "output_limit"}:
        return _stopped(report, stopped, order)
    if error:
        return _failed(report, error)
    return Built(_image(connection, report, order), ImageConfig(), report.steps())


def _parameters(builder: BuilderName, order: BuildOrder) -> dict[str, str | int]:
    """No registry credentials, no proxies, no build arguments that a Dockerfile sees, no pull."""
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
        return {**asked, "version": "2", "buildid": order.tag, "buildargs": json.dumps(arguments)}
    if order.memory:
        asked |= {"memory": order.memory, "memswap": order.memory}
    if order.cpus:
        asked |= {"cpuperiod": _PERIOD, "cpuquota": round(order.cpus * _PERIOD)}
    return asked


def _cancel(connection: Connection, builder: BuilderName, build_id: str) -> None:
    """Ask BuildKit to cancel. Best effort: a broken connection cancels the build as well, within 1 s."""
    if builder == "buildkit":
        with contextlib.suppress(EngineError):
            connection.call("POST", "/build/cancel", parameters={"id": build_id}, seconds=_GRACE)


def _stopped(report: _Trace | _Text, reason: Reason | None, order: BuildOrder) -> BuildFailed:
    timed_out = reason == "timed_out"
    limit = f"{order.seconds:g} s" if timed_out else f"{order.log_bytes // 1024} KiB of output"
    message = f"Stopped at the build's limit of {limit}."
    steps = report.steps(unfinished=message)
    line = next((step.line for step in reversed(steps) if step.error), None)
    return BuildFailed(message, "timed_out" if timed_out else "output_limit", line, steps)


def _failed(report: _Trace | _Text, error: str) -> BuildFailed:
    failure = report.failure(error)
    if failure.ours:
        raise EngineError(f"The engine could not build, and the Dockerfile is not to blame: {failure.message}")
    return BuildFailed(failure.message, line=failure.line, steps=report.steps())


def _image(connection: Connection, report: _Trace | _Text, order: BuildOrder) -> str:
    """The id of what was built. `EngineError` where the engine ended without an image and without an error."""
    image = report.image
    if isinstance(report, _Text):
        with if_there():
            image = str(connection.call("GET", f"/images/{order.tag}/json").json["Id"])
    if not image:
        raise EngineError(
            "The engine ended a build without an image and without an error, as if it had been stopped. "
            "See whether `docker info` answers, then try again."
        )
    return image


# ── messages ────────────────────────────────────────────────────────────────────────────


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


@dataclass(slots=True)
class _Trace:
    """What BuildKit's messages have said so far; no student can write them. `image` is "" where none has named it."""

    progress: Progress
    image: str = ""

    @property
    def log_bytes(self) -> int:
        return self.progress.log_bytes

    def add(self, message: dict[str, Any]) -> list[BuildStep]:
        """Take in one message; the steps that it ended, each once."""
        match message:
            case {"id": "moby.buildkit.trace", "aux": str(encoded)}:
                try:
                    return self.progress.add(decode_status(base64.b64decode(encoded, validate=True)))
                except ValueError as error:
                    raise EngineError(f"The engine sent build progress that cannot be decoded: {error}.") from error
            case {"id": "moby.image.id", "aux": {"ID": str(image)}}:
                self.image = image
            case {"stream": str(text)} if CLASSIC_STEP.match(text):
                raise EngineError(
                    "This engine builds with another builder than BuildKit. GRADER_BUILDER=classic tells the grader so."
                )
            case _:
                pass
        return []

    def steps(self, unfinished: str = "") -> tuple[BuildStep, ...]:
        """All steps that were begun; `unfinished` is the error of those that did not end."""
        return self.progress.steps(unfinished)

    def failure(self, message: str) -> Failure:
        """What the builder's last word means."""
        return self.progress.failure(message)


@dataclass(slots=True)
class _Text:
    """The classic builder's text. A step's line is that of the next instruction that reads as the step does."""

    dockerfile: Dockerfile
    image: str = ""
    log_bytes: int = 0
    _number: int = 0
    _ended: list[BuildStep] = field(default_factory=list)
    _step: BuildStep | None = None
    _began: float = 0.0

    def add(self, message: dict[str, Any]) -> list[BuildStep]:
        text = str(message.get("stream") or "")
        step = CLASSIC_STEP.fullmatch(text.rstrip("\n"))
        if step and int(step["number"]) in {1, self._number + 1}:
            self._end_step()
            self._number, self._began = int(step["number"]), time.monotonic()
            self._step = BuildStep(f"[{step['number']}/{step['total']}] {step['text']}", line=self._line(step["text"]))
            return [self._step] if self._step.line else []  # the engine appends a LABEL of ours, which no student wrote
        if self._step is not None and CLASSIC_CACHED.match(text) and not self._step.log:
            self._step = replace(self._step, cached=True)
        elif not CLASSIC_NOISE.match(text):
            self.log_bytes += len(text.encode())
            if self._step is not None:
                log = (self._step.log + CLASSIC_COLOUR.sub("", text))[-LOG_TAIL:]
                self._step = replace(self._step, log=log)
        return []

    def _line(self, text: str) -> int | None:
        last = max((step.line or 0 for step in self._ended), default=0)
        later = [one for one in self.dockerfile.instructions if one.first_line > last]
        alike = [one for one in later if step_text(one) == on_one_line(text)]
        alike += [one for one in later if one.keyword == text.split(" ", 1)[0]]
        return alike[0].first_line if alike else None

    def _end_step(self, error: str = "") -> None:
        if self._step and self._step.line:
            self._ended.append(replace(self._step, seconds=time.monotonic() - self._began, error=error))
        self._step = None

    def steps(self, unfinished: str = "") -> tuple[BuildStep, ...]:
        self._end_step(error=unfinished)
        return tuple(self._ended)

    def failure(self, message: str) -> Failure:
        """The last step that was begun has failed; a FROM that fails is not the student's doing."""
        plain = plain_error(message)
        self._end_step(error=plain)
        if not self._ended:
            return Failure(plain, error_line(plain, self.dockerfile), ours=is_engine_fault(message))
        last = self._ended[-1]
        return Failure(plain, last.line, ours="] FROM " in last.name or is_engine_fault(message))


# ── which builder there is ──────────────────────────────────────────────────────────────


def builder_of(version: Mapping[str, Any]) -> BuilderName:
    """The builder of an engine, by its answer to `/version`: each Docker that is new enough has BuildKit."""
    names = [str(part.get("Name")) for part in version.get("Components") or ()]
    return "classic" if any("Podman" in name for name in names) else "buildkit"


_SINCE_23 = {"heredoc": "a heredoc (<<)", "link": "COPY --link"}
"""What the engine's BuildKit knows since Docker 23 (its release notes). `RUN --mount` and `COPY --chmod` are older."""


def unsupported(dockerfile: Dockerfile, builder: BuilderName, engine_version: str) -> BuildFailed | None:
    """Why this Dockerfile cannot be built here although it is right, or None."""
    major = re.match(r"\d+", engine_version)
    if builder == "buildkit" and major is not None and int(major[0]) < 23:  # noqa: PLR2004 - see above
        for feature in dockerfile.features:
            if feature.name in _SINCE_23:
                return BuildFailed(
                    f"Line {feature.line} uses {_SINCE_23[feature.name]}, which needs Docker 23 or later. "
                    f"This engine is Docker {engine_version}.",
                    line=feature.line,
                    unsupported=feature.name,
                )
    return None
