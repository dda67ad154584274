"""What BuildKit tells about a build, decoded: from its trace messages to `BuildStep`s.

The engine passes BuildKit's progress on as JSON messages with the id `moby.buildkit.trace`,
whose `aux` is a protobuf message in base64: `moby.buildkit.v1.StatusResponse` of
https://github.com/moby/buildkit/blob/master/api/services/control/control.proto. The fields
that are needed here are few and fixed; everything unknown is skipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from grader.dockerfile.instructions import Unparsable
from grader.dockerfile.parser import Dockerfile
from grader.engine.build.protobuf import fields
from grader.engine.build.step_lines import error_line, step_line, triggers_of
from grader.models import BuildStep

LOG_TAIL = 16_384
"""Bytes of output kept of each step, the last ones."""


@dataclass(frozen=True, slots=True)
class Vertex:
    """One node of the build's graph. Times are seconds of the engine's clock, None if not reached."""

    digest: str
    name: str = ""
    cached: bool = False
    started: float | None = None
    completed: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Log:
    """Output of a vertex, as it was written."""

    vertex: str
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Status:
    """One progress message: vertices that changed, and output."""

    vertices: tuple[Vertex, ...] = ()
    logs: tuple[Log, ...] = ()


# ── messages ────────────────────────────────────────────────────────────────────────────


def _bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: int | bytes) -> str:
    return _bytes(value).decode("utf-8", errors="replace")


def _seconds(value: int | bytes) -> float:
    """`google.protobuf.Timestamp`: 1 is seconds, 2 nanoseconds."""
    parts = {number: part for number, _, part in fields(_bytes(value)) if isinstance(part, int)}
    return parts.get(1, 0) + parts.get(2, 0) / 1e9


def _vertex(data: bytes) -> Vertex:
    vertex = Vertex(digest="")
    for number, _, value in fields(data):
        match number:
            case 1:
                vertex = replace(vertex, digest=_text(value))
            case 3:
                vertex = replace(vertex, name=_text(value))
            case 4:
                vertex = replace(vertex, cached=value == 1)
            case 5:
                vertex = replace(vertex, started=_seconds(value))
            case 6:
                vertex = replace(vertex, completed=_seconds(value))
            case 7:
                vertex = replace(vertex, error=_text(value))
            case _:
                pass
    return vertex


def _log(data: bytes) -> Log:
    values = {number: value for number, _, value in fields(data)}
    return Log(_text(values.get(1, b"")), _bytes(values.get(4, b"")))


def decode_status(data: bytes) -> Status:
    """Decode a `StatusResponse`. `ValueError` if it is none."""
    parts = [(number, _bytes(value)) for number, _, value in fields(data)]
    return Status(
        vertices=tuple(_vertex(part) for number, part in parts if number == 1),
        logs=tuple(_log(part) for number, part in parts if number == 3),  # noqa: PLR2004 - the field's number
    )


# ── steps ───────────────────────────────────────────────────────────────────────────────

_PLUMBING = ("[internal] ", "copy /context ", "exporting to ", "preparing layers ", "importing cache ")
"""How the names of vertices begin that the builder adds for itself; students did not write them."""

_BASE_IMAGE = re.compile(
    r"\[internal\] load metadata for |(?:\[[^\]]*\] FROM )|resolve image config for |docker-image://"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no image. `ours` tells that the Dockerfile is not to blame: the engine or a base image is."""

    message: str
    line: int | None = None
    ours: bool = False


@dataclass(slots=True)
class Progress:
    """What is known of a build while it goes on. `log_bytes` counts the output of all steps together."""

    dockerfile: Dockerfile | Unparsable
    log_bytes: int = 0
    _vertices: dict[str, Vertex] = field(default_factory=dict)
    _tails: dict[str, bytes] = field(default_factory=dict)

    def add(self, status: Status) -> list[BuildStep]:
        """Take in one message; the steps that it ended, each told once."""
        for log in status.logs:
            self.log_bytes += len(log.data)
            self._tails[log.vertex] = (self._tails.get(log.vertex, b"") + log.data)[-LOG_TAIL:]
        return [step for vertex in status.vertices if (step := self._update(vertex))]

    def _update(self, vertex: Vertex) -> BuildStep | None:
        before = self._vertices.get(vertex.digest)
        self._vertices[vertex.digest] = vertex
        ended_now = vertex.completed is not None and (before is None or before.completed is None)
        return self._step(vertex) if ended_now and _is_step(vertex) else None

    def _step(self, vertex: Vertex) -> BuildStep:
        known = vertex.started is not None and vertex.completed is not None
        seconds = (vertex.completed or 0.0) - (vertex.started or 0.0) if known else 0.0
        return BuildStep(
            name=vertex.name,
            cached=vertex.cached,
            seconds=max(0.0, seconds),
            log=self._tails.get(vertex.digest, b"").decode("utf-8", errors="replace"),
            error=plain_error(vertex.error),
            line=self._line(vertex),
        )

    def steps(self, unfinished: str = "") -> tuple[BuildStep, ...]:
        """All steps that were begun, in the Dockerfile's order. `unfinished` is the error of those that did not end."""
        begun = [vertex for vertex in self._vertices.values() if vertex.started is not None and _is_step(vertex)]
        begun = [replace(vertex, error=unfinished) if _was_cut(vertex) else vertex for vertex in begun]
        return tuple(sorted(map(self._step, begun), key=lambda step: (step.line is None, step.line or 0)))

    def failure(self, message: str) -> Failure:
        """Who is to blame for `message`, the builder's last word: the failed vertex tells, else the Dockerfile."""
        vertex = self._culprit(message)
        if vertex is None:
            told = plain_error(message)
            return Failure(told, error_line(told, self.dockerfile), ours=is_engines_fault(message))
        line = self._line(vertex)
        if vertex.name.startswith(_PLUMBING) or _BASE_IMAGE.match(vertex.name):
            return Failure(plain_error(message), line, ours=True)
        return Failure(plain_error(vertex.error), line, ours=is_engines_fault(vertex.error))

    def _line(self, vertex: Vertex) -> int | None:
        names = [one.name for one in self._vertices.values()]
        return step_line(vertex.name, self.dockerfile, triggers_of(vertex.name, names))

    def _culprit(self, message: str) -> Vertex | None:
        """The vertex whose error is the build's; others were only cancelled because of it."""
        failed = [vertex for vertex in self._vertices.values() if vertex.error]
        told = [vertex for vertex in failed if vertex.error in message]
        return next(iter(told or failed), None)


def _was_cut(vertex: Vertex) -> bool:
    """Whether it neither succeeded nor failed: the build ended meanwhile, by our doing or since another step failed."""
    return vertex.completed is None or vertex.error.endswith("context canceled")


def _is_step(vertex: Vertex) -> bool:
    return bool(vertex.error) or not vertex.name.startswith(_PLUMBING)


# ── errors ──────────────────────────────────────────────────────────────────────────────
# What a student wrote (a command, a file's name) stands in the middle of the builder's errors, never at their ends,
# so only the ends are compared. A step's output is never looked at.

_ENGINES_FAULT = re.compile(
    r"^rpc error: code = Unavailable"
    r"|(no space left on device|context canceled|transport is closing|error reading from server: EOF)$"
)
"""What an engine says that has no room or is going down."""

_PROCESS_FAILED = re.compile(
    r"^(process \".*\" did not complete successfully|executor failed running \[.*\]): ", re.DOTALL
)
_PROCESS_ENDED = re.compile(r"exit code: \d+$")
_NOT_STARTED = re.compile(
    r"unable to find (user|group) |no matching entries in (passwd|group) file$|executable file not found in \$PATH"
    r"|no such file or directory|permission denied|not a directory|exec format error"
)
"""Why the process of a RUN was not even started, as far as the Dockerfile can be the reason."""

_LAYERS = re.compile(
    r"^(failed to solve(?: with frontend \S+)?: |failed to create LLB definition: |rpc error: code = \w+ desc = "
    r"|failed to compute cache key: |failed to calculate checksum of ref \S+: )+"
)
_NOT_FOUND = re.compile(r'^("[^"]*")(?: not found)?: not found$')


def plain_error(error: str) -> str:
    """A builder's error without the layers it went through, which differ between versions and from run to run."""
    return _NOT_FOUND.sub(r"\1 not found", _LAYERS.sub("", error))


def is_engines_fault(error: str) -> bool:
    """Whether this error of a step, or of the whole build, has a reason that is not in the Dockerfile."""
    if _ENGINES_FAULT.search(error):
        return True
    failed = _PROCESS_FAILED.match(error)
    if failed is None or _PROCESS_ENDED.search(error):
        return False
    return _NOT_STARTED.search(error, failed.end()) is None
