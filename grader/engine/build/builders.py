"""Building an image over the engine's API, with one of two builders, and what they report.

`buildkit` is the builder behind the student's own `docker build`: `POST /build?version=2`, the context in the body, no
session. All Docker engines that the grader supports have it. `classic` is what an engine builds with that takes no
notice of the version, such as Podman: the image is found by its tag, the error comes in a message of its own, and the
steps come as text only. A student's `RUN echo` can imitate that text, so it decides nothing but how steps are shown.
No student can write BuildKit's messages.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from grader.course.models import Limits
from grader.dockerfile.image_names import normalised
from grader.dockerfile.parser import Dockerfile, Instruction
from grader.engine.build.trace import Status, Vertex, WholeLines, decode_status
from grader.engine.http import Connection, Refused, Stream
from grader.engine.protocol import BuildJob, OnStep
from grader.engine.watchdog import Cancellation, Watchdog
from grader.engine.wording import (
    BASE_IMAGE_STEP,
    BUILD_STEP,
    CANCELLED,
    CLASSIC_CACHED,
    CLASSIC_COLOUR,
    CLASSIC_NOISE,
    CLASSIC_STEP,
    INTERNAL_STEP,
    PARSE_ERROR,
    is_engine_fault,
    plain_error,
)
from grader.errors import EngineError
from grader.failpoints import failpoint
from grader.models import BuildFailed, BuildStep, Built, ImageConfig

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
LOG_TAIL = 16_384
"""Bytes of output kept of each step, the last ones."""


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
    by_tag = f"/images/{order.tag}/json"
    image = progress.image if isinstance(progress, BuildKitProgress) else connection.find(by_tag).get("Id")
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


# ── what builders report ────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class BuildKitProgress:
    """`image` is the id of what was built, "" where no message has named it; `log_bytes` counts all steps' output."""

    dockerfile: Dockerfile
    image: str = ""
    log_bytes: int = 0
    _vertices: dict[str, Vertex] = field(default_factory=dict)
    _tails: dict[str, bytes] = field(default_factory=dict)
    _lines: WholeLines = field(default_factory=WholeLines)

    def add(self, message: dict[str, Any]) -> list[BuildStep]:
        """Take in one message; the steps that it began, each once. `EngineError` for one that is not BuildKit's."""
        match message:
            case {"id": "moby.buildkit.trace", "aux": str(encoded)}:
                try:
                    return self.update(decode_status(base64.b64decode(encoded, validate=True)))
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

    def update(self, status: Status) -> list[BuildStep]:
        """Take in a decoded message; the steps that it began."""
        for log in status.logs:
            self.log_bytes += len(log.data)
            self._tails[log.vertex] = (self._tails.get(log.vertex, b"") + self._lines.add(log))[-LOG_TAIL:]
        begun = []
        for vertex in status.vertices:
            before = self._vertices.get(vertex.digest)
            self._vertices[vertex.digest] = vertex
            if _is_begun_step(vertex) and (before is None or before.started is None):
                begun.append(self._step(vertex))
        return begun

    def steps(self, unfinished: str = "") -> tuple[BuildStep, ...]:
        """All steps that were begun, in the Dockerfile's order. `unfinished` is the error of those that did not end."""
        begun = [
            replace(vertex, error=unfinished)
            if vertex.completed is None or vertex.error.endswith(CANCELLED)
            else vertex
            for vertex in self._vertices.values()
            if _is_begun_step(vertex)
        ]
        return tuple(sorted(map(self._step, begun), key=lambda step: (step.line is None, step.line or 0)))

    def _step(self, vertex: Vertex) -> BuildStep:
        seconds = (vertex.completed or 0.0) - (vertex.started or 0.0)
        log = self._tails.get(vertex.digest, b"") + self._lines.rest(vertex.digest)
        return BuildStep(
            name=vertex.name,
            cached=vertex.cached,
            seconds=max(0.0, seconds),
            log=log[-LOG_TAIL:].decode("utf-8", errors="replace"),
            error=plain_error(vertex.error),
            line=step_line(vertex.name, self.dockerfile),
        )

    def failure(self, message: str) -> BuildFailed:
        """Why there is no image. `EngineError` where the engine or a base image is to blame.

        `message` is the builder's last word. The failed vertex says who is to blame for it, else the Dockerfile.
        """
        failed = [vertex for vertex in self._vertices.values() if vertex.error]
        named = [vertex for vertex in failed if vertex.error in message]  # the others were cancelled because of it
        vertex = next(iter(named or failed), None)
        error = vertex.error if vertex else message
        step = vertex.name if vertex else ""
        if INTERNAL_STEP.match(step) or BASE_IMAGE_STEP.match(step) or is_engine_fault(error):
            raise not_to_blame(message)
        plain = plain_error(error)
        line = step_line(step, self.dockerfile) if vertex else error_line(plain, self.dockerfile)
        return BuildFailed(plain, line=line, steps=self.steps())


def not_to_blame(message: str) -> EngineError:
    """That a build has failed for which the Dockerfile is not to blame."""
    return EngineError(f"The engine could not build, and the Dockerfile is not to blame: {plain_error(message)}")


def _is_begun_step(vertex: Vertex) -> bool:
    return vertex.started is not None and (bool(vertex.error) or not INTERNAL_STEP.match(vertex.name))


@dataclass(slots=True)
class ClassicProgress:
    """A step's line is that of the next instruction that reads as the step does."""

    dockerfile: Dockerfile
    log_bytes: int = 0
    _number: int = 0
    _ended: list[BuildStep] = field(default_factory=list)
    _step: BuildStep | None = None
    _began: float = 0.0

    def add(self, message: dict[str, Any]) -> list[BuildStep]:
        """Take in one message; the step that it began."""
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
        alike = [one for one in later if _step_text(one) == _on_one_line(text)]
        alike += [one for one in later if one.keyword == text.split(" ", 1)[0]]
        return alike[0].first_line if alike else None

    def _end_step(self, error: str = "") -> None:
        if self._step and self._step.line:
            self._ended.append(replace(self._step, seconds=time.monotonic() - self._began, error=error))
        self._step = None

    def steps(self, unfinished: str = "") -> tuple[BuildStep, ...]:
        """All steps that were begun. `unfinished` is the error of the last one, if it did not end."""
        self._end_step(error=unfinished)
        return tuple(self._ended)

    def failure(self, message: str) -> BuildFailed:
        """As BuildKit's: the last step that was begun has failed, and a FROM that fails is not the student's doing."""
        plain = plain_error(message)
        self._end_step(error=plain)
        last = self._ended[-1] if self._ended else None
        if is_engine_fault(message) or (last and "] FROM " in last.name):
            raise not_to_blame(message)
        return BuildFailed(plain, line=last.line if last else error_line(plain, self.dockerfile), steps=self.steps())


_NUMBERED = {"FROM", "ADD", "COPY", "RUN", "WORKDIR"}
"""The instructions that BuildKit numbers within a stage; a FROM only where it names an image and no stage."""


def step_line(name: str, dockerfile: Dockerfile) -> int | None:
    """The Dockerfile's line of the step with this name (`[build 2/4] RUN pip install numpy`), or None.

    A step that several builds or stages have in common, which BuildKit carries out once, may be called by another one's
    stage and number. So what has the step's text comes first. A text with variables in it, which the builder has
    replaced, is nowhere: then the number says which one it is, from the stage's end, if the keyword agrees.
    """
    match = BUILD_STEP.match(name)
    if match is None:
        return None
    text = _on_one_line(match["text"])
    keyword, _, rest = text.partition(" ")
    stage = [one for one in dockerfile.instructions if _is_in(one, match["stage"], dockerfile)]
    numbered = [one for one in stage if one.keyword in _NUMBERED]
    index, total = int(match["index"]), int(match["total"])
    here = numbered[index - total - 1 :][:1] if index <= total <= len(numbered) <= total + 1 else []
    by_number = next((one.first_line for one in here if one.keyword == keyword), None)
    if keyword == "FROM" and rest:
        image = normalised(rest.partition("@sha256")[0].split()[0])
        by_text = [stage.line for stage in dockerfile.stages if normalised(stage.image) == image]
        return by_text[0] if by_text else by_number
    by_text = [one.first_line for one in dockerfile.instructions if one.stage >= 0 and _step_text(one) == text]
    return by_number if by_number in by_text or not by_text else by_text[0]


def _is_in(instruction: Instruction, stage: str | None, dockerfile: Dockerfile) -> bool:
    """Whether the builder's name for a stage (None: there is only one) means this instruction's."""
    number = instruction.stage
    return number >= 0 and stage in {None, dockerfile.stages[number].name, f"stage-{number}"}


def _step_text(instruction: Instruction) -> str:
    """An instruction as builders write it into a step's name."""
    flags = [f"--{flag.name}={flag.value}" if flag.value else f"--{flag.name}" for flag in instruction.flags]
    return _on_one_line(" ".join([instruction.keyword, *flags, instruction.value]))


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def error_line(message: str, dockerfile: Dockerfile) -> int | None:
    """The line of an error about the Dockerfile itself: most name it; else that of the only instruction it can mean."""
    if match := PARSE_ERROR.search(message):
        return int(match[1])
    keyword = message.split(" ", 1)[0]
    meant = [one.first_line for one in dockerfile.instructions if one.keyword == keyword]
    return meant[0] if len(meant) == 1 else None
