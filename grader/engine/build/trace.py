"""What BuildKit reports of a build, decoded: from its trace messages to `BuildStep`s with lines of the Dockerfile.

The engine passes BuildKit's progress on as JSON messages with the id `moby.buildkit.trace`,
whose `aux` is a protobuf message in base64: `moby.buildkit.v1.StatusResponse` of
https://github.com/moby/buildkit/blob/master/api/services/control/control.proto. The fields
that are needed here are few and fixed; everything unknown is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from grader.dockerfile.image_names import normalised
from grader.dockerfile.parser import Dockerfile, Instruction
from grader.engine.wording import (
    BUILD_STEP,
    PARSE_ERROR,
    is_base_image_step,
    is_engine_fault,
    is_internal_step,
    plain_error,
    was_cancelled,
)
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


# https://protobuf.dev/programming-guides/encoding/: a message is a row of fields, each a number, a kind and a value.

_VARINT, _BYTES = 0, 2
_FIXED_SIZES = {1: 8, 5: 4}
_CUT_OFF = "a message is cut off in the middle"


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, in order: number and value. Raises `ValueError` where the bytes are no message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in _FIXED_SIZES:
            size = _FIXED_SIZES[kind]
        else:
            raise ValueError(f"a message has a field of unknown kind {kind}")
        if at + size > len(data):
            raise ValueError(_CUT_OFF)
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number of at most ten bytes at `at`, and the position after it."""
    value = 0
    for index, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit of the format
            return value, at + index + 1
    raise ValueError(_CUT_OFF)


def _bytes(value: int | bytes) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: int | bytes) -> str:
    return _bytes(value).decode("utf-8", errors="replace")


def _seconds(value: int | bytes) -> float:
    """`google.protobuf.Timestamp`: 1 is seconds, 2 nanoseconds."""
    parts = {number: part for number, part in _fields(_bytes(value)) if isinstance(part, int)}
    return parts.get(1, 0) + parts.get(2, 0) / 1e9


def _vertex(data: bytes) -> Vertex:
    values = dict(_fields(data))
    started, completed = values.get(5), values.get(6)
    return Vertex(
        digest=_text(values.get(1, b"")),
        name=_text(values.get(3, b"")),
        cached=values.get(4) == 1,
        started=None if started is None else _seconds(started),
        completed=None if completed is None else _seconds(completed),
        error=_text(values.get(7, b"")),
    )


def _log(data: bytes) -> Log:
    values = dict(_fields(data))
    return Log(_text(values.get(1, b"")), _bytes(values.get(4, b"")))


def decode_status(data: bytes) -> Status:
    """Decode a `StatusResponse`. `ValueError` if it is none."""
    parts = [(number, _bytes(value)) for number, value in _fields(data)]
    return Status(
        vertices=tuple(_vertex(part) for number, part in parts if number == 1),
        logs=tuple(_log(part) for number, part in parts if number == 3),  # noqa: PLR2004 - the field's number
    )


# ── steps ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no image. `ours` says that the Dockerfile is not to blame: the engine or a base image is."""

    message: str
    line: int | None = None
    ours: bool = False


@dataclass(slots=True)
class Progress:
    """What is known of a build while it goes on. `log_bytes` counts the output of all steps together."""

    dockerfile: Dockerfile
    log_bytes: int = 0
    _vertices: dict[str, Vertex] = field(default_factory=dict)
    _tails: dict[str, bytes] = field(default_factory=dict)

    def add(self, status: Status) -> list[BuildStep]:
        """Take in one message; the steps that it began, each once."""
        for log in status.logs:
            self.log_bytes += len(log.data)
            self._tails[log.vertex] = (self._tails.get(log.vertex, b"") + log.data)[-LOG_TAIL:]
        return [step for vertex in status.vertices if (step := self._update(vertex))]

    def _update(self, vertex: Vertex) -> BuildStep | None:
        before = self._vertices.get(vertex.digest)
        self._vertices[vertex.digest] = vertex
        began_now = vertex.started is not None and (before is None or before.started is None)
        return self._step(vertex) if began_now and _is_step(vertex) else None

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
        """Who is to blame for `message`, the builder's last word: the failed vertex says, else the Dockerfile."""
        vertex = self._culprit(message)
        if vertex is None:
            plain = plain_error(message)
            return Failure(plain, error_line(plain, self.dockerfile), ours=is_engine_fault(message))
        line = self._line(vertex)
        if is_internal_step(vertex.name) or is_base_image_step(vertex.name):
            return Failure(plain_error(message), line, ours=True)
        return Failure(plain_error(vertex.error), line, ours=is_engine_fault(vertex.error))

    def _line(self, vertex: Vertex) -> int | None:
        return step_line(vertex.name, self.dockerfile, [one.name for one in self._vertices.values()])

    def _culprit(self, message: str) -> Vertex | None:
        """The vertex whose error is the build's; others were only cancelled because of it."""
        failed = [vertex for vertex in self._vertices.values() if vertex.error]
        named = [vertex for vertex in failed if vertex.error in message]
        return next(iter(named or failed), None)


def _was_cut(vertex: Vertex) -> bool:
    """Whether it neither succeeded nor failed: the build ended meanwhile, by our doing or since another step failed."""
    return vertex.completed is None or was_cancelled(vertex.error)


def _is_step(vertex: Vertex) -> bool:
    return bool(vertex.error) or not is_internal_step(vertex.name)


# ── lines ───────────────────────────────────────────────────────────────────────────────

_QUOTED = re.compile(r'"([^"]{1,4000})"|\(([^)]{1,4000})\)')
_NUMBERED = {"ADD", "COPY", "RUN", "WORKDIR"}
"""The instructions that BuildKit numbers within a stage, after a FROM that names an image and no stage."""
_SCRATCH = "scratch"


def step_line(name: str, dockerfile: Dockerfile, names: Iterable[str] = ()) -> int | None:
    """The Dockerfile's line of the step with this name (`[build 2/4] RUN pip install numpy`), or None.

    A step that several builds or stages have in common, which BuildKit carries out once, may be called by another one's
    stage and number. So what has the step's text comes first. A text with variables in it, which the builder has
    replaced, is nowhere: then the number counts the instructions of its stage that make layers, if the keyword agrees.
    Where the base brings steps of its own (ONBUILD), `names`, those of all steps, have numbers beyond their total, and
    say nothing.
    """
    match = BUILD_STEP.match(name)
    if match is None:
        return None
    text = on_one_line(match["text"])
    by_number = None if _has_triggers(match, names) else _numbered_line(match, text, dockerfile)
    if text.startswith("FROM "):
        return _base_line(text, dockerfile) or by_number
    by_text = [one.first_line for one in dockerfile.instructions if one.stage >= 0 and step_text(one) == text]
    return by_number if by_number in by_text or not by_text else by_text[0]


def _has_triggers(match: re.Match[str], names: Iterable[str]) -> bool:
    beside = [other for one in names if (other := BUILD_STEP.match(one)) and other["stage"] == match["stage"]]
    return any(int(one["index"]) > int(one["total"]) for one in beside)


def _base_line(text: str, dockerfile: Dockerfile) -> int | None:
    """The first FROM of that image."""
    image = normalised(text.split()[1].partition("@sha256")[0])
    return next((stage.line for stage in dockerfile.stages if normalised(stage.image) == image), None)


def _numbered_line(match: re.Match[str], text: str, dockerfile: Dockerfile) -> int | None:
    stage = [one for one in dockerfile.instructions if _in_stage(one, match["stage"], dockerfile)]
    numbered = [one for one in stage if one.keyword in _NUMBERED or _is_counted(one, dockerfile)]
    index = int(match["index"]) - 1
    agrees = index < len(numbered) and numbered[index].keyword == text.split(" ", 1)[0]
    return numbered[index].first_line if agrees else None


def _is_counted(instruction: Instruction, dockerfile: Dockerfile) -> bool:
    """Whether BuildKit numbers this FROM: it names an image, and no stage before it."""
    if instruction.keyword != "FROM":
        return False
    image = dockerfile.stages[instruction.stage].image
    return image != _SCRATCH and image.lower() not in {stage.name for stage in dockerfile.stages[: instruction.stage]}


def _in_stage(instruction: Instruction, stage: str | None, dockerfile: Dockerfile) -> bool:
    """Whether the builder's name for a stage (None: there is only one) means this instruction's."""
    if instruction.stage < 0:
        return False
    return stage in {None, dockerfile.stages[instruction.stage].name, f"stage-{instruction.stage}"}


def step_text(instruction: Instruction) -> str:
    """An instruction as builders write it into a step's name: on one line."""
    flags = [f"--{flag.name}={flag.value}" if flag.value else f"--{flag.name}" for flag in instruction.flags]
    return on_one_line(" ".join([instruction.keyword, *flags, instruction.value]))


def on_one_line(text: str) -> str:
    """The text with single blanks between its words."""
    return " ".join(text.split())


def error_line(message: str, dockerfile: Dockerfile) -> int | None:
    """The line of an error about the Dockerfile itself, or None.

    Most errors name it. Else it is the one instruction that the error can mean: by its keyword, or by a word that
    the error quotes.
    """
    match = PARSE_ERROR.search(message)
    if match:
        return int(match[1])
    keyword = message.split(" ", 1)[0]
    quoted = [part for parts in _QUOTED.findall(message) for part in parts if part]
    meant = [
        one.first_line
        for one in dockerfile.instructions
        if one.keyword == keyword or any(part in step_text(one) for part in quoted)
    ]
    return meant[0] if len(meant) == 1 else None
