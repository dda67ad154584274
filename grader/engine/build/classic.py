"""Build with the classic builder, which is what `POST /build` uses when no version is given.

The last resort: it knows no `RUN --mount`, no `COPY --chmod` and no heredoc, and it reports its
steps as text only. A student's `RUN echo` can imitate that text, so it decides nothing but how
steps are shown; the image's id and the error come in messages of their own.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass, field, replace
from typing import Any

from grader.dockerfile.parser import Dockerfile
from grader.engine.build.builder import SILENCE, BuildOrder, api_parameters, error_of, json_messages, outcome
from grader.engine.build.trace import LOG_TAIL, Failure, error_line
from grader.engine.http import Connection, Parameters, Refused, Stream, parse_time
from grader.engine.protocol import OnStep
from grader.engine.watchdog import Cancellation, Reason
from grader.engine.wording import (
    CLASSIC_CACHED,
    CLASSIC_COLOUR,
    CLASSIC_CONTAINER,
    CLASSIC_IMAGE,
    CLASSIC_NOISE,
    CLASSIC_STEP,
    is_engine_fault,
)
from grader.errors import EngineError
from grader.models import BuildFailed, BuildStep, Built

_BAD_REQUEST = 400
_REMOVAL_SECONDS = 2.0
_PERIOD = 100_000
"""Microseconds in which a step may have its quota of cores."""


def build_classic(
    connection: Connection, order: BuildOrder, cancellation: Cancellation, on_step: OnStep
) -> Built | BuildFailed:
    """A `Builder`. Images of steps before a failed one are removed again."""
    try:
        stream = _begin(connection, order)
    except Refused as refused:
        if refused.status == _BAD_REQUEST:  # the Dockerfile cannot be parsed
            return BuildFailed(refused.reason, line=error_line(refused.reason, order.job.dockerfile))
        raise
    seen = _Messages(order.job.dockerfile, on_step)
    stopped: Reason | None = None
    try:
        with cancellation.watch(stream.abort) as watchdog:
            watchdog.start(order.seconds)
            for message in json_messages(stream, watchdog):
                seen.add(message)
                if seen.log_bytes > order.log_bytes:
                    watchdog.trip("output_limit")
            stopped = watchdog.reason
    finally:
        stream.close()
        if not seen.image:
            _remove_leftovers(connection, seen)
    return outcome(seen, seen.image, seen.error, stopped, order)


def _begin(connection: Connection, order: BuildOrder) -> Stream:
    silence = order.seconds + SILENCE
    parameters = {**api_parameters(order), **_bounds(order)}
    return connection.stream("POST", "/build", parameters=parameters, data=order.job.context, silence=silence)


def _bounds(order: BuildOrder) -> Parameters:
    """What a step may use. Its processes cannot be bounded: `nproc` counts those of a user, not of a container."""
    memory = {"memory": order.memory, "memswap": order.memory} if order.memory else {}
    cores = {"cpuperiod": _PERIOD, "cpuquota": round(order.cpus * _PERIOD)} if order.cpus else {}
    return {**memory, **cores}


@dataclass(slots=True)
class _Messages:
    """What the messages of one build have said so far."""

    dockerfile: Dockerfile
    on_step: OnStep
    image: str = ""
    error: str = ""
    log_bytes: int = 0
    images: list[str] = field(default_factory=list)
    container: str = ""
    began: float = field(default_factory=time.time)
    _ended: list[BuildStep] = field(default_factory=list)
    _step: BuildStep | None = None
    _step_began: float = 0.0

    def add(self, message: dict[str, Any]) -> None:
        match message:
            case {"stream": str(text)}:
                self._add_text(text)
            case {"aux": {"ID": str(image)}}:
                self.image = image
                self._end_step()
            case _:
                self.error = error_of(message) or self.error

    def _add_text(self, text: str) -> None:
        step = CLASSIC_STEP.fullmatch(text)
        if step and int(step["number"]) == len(self._ended) + (2 if self._step else 1):
            self._end_step()
            self._begin_step(step)
        elif self._step is not None and text == CLASSIC_CACHED and not self._step.log:
            self._step = replace(self._step, cached=True)
        elif image := CLASSIC_IMAGE.fullmatch(text):
            self.images.append(image[1])
        elif container := CLASSIC_CONTAINER.fullmatch(text):
            self.container = container[1]
        elif not text.startswith(CLASSIC_NOISE) and text.strip():
            self._add_output(text)

    def _begin_step(self, match: re.Match[str]) -> None:
        lines = [one.first_line for one in self.dockerfile.instructions]
        number = int(match["number"])
        line = lines[number - 1] if number <= len(lines) else None
        self._step = BuildStep(f"[{number}/{len(lines)}] {match['text']}", line=line)
        self._step_began = time.monotonic()

    def _add_output(self, text: str) -> None:
        self.log_bytes += len(text.encode())
        if self._step is not None:
            self._step = replace(self._step, log=(self._step.log + CLASSIC_COLOUR.sub("", text))[-LOG_TAIL:])

    def _end_step(self, error: str = "") -> None:
        if self._step is not None:
            seconds = time.monotonic() - self._step_began
            ended = replace(self._step, seconds=seconds, error=error)
            self._ended.append(ended)
            self._step = None
            if ended.line is not None:  # the engine appends a LABEL of ours, which no student wrote
                self.on_step(ended)

    def steps(self, unfinished: str = "") -> tuple[BuildStep, ...]:
        """All steps of the Dockerfile that were begun, in order."""
        self._end_step(error=self.error or unfinished)
        return tuple(step for step in self._ended if step.line is not None)

    def failure(self, message: str) -> Failure:
        """The last step that was begun has failed; a FROM that fails is not the student's doing."""
        last = self._step or (self._ended[-1] if self._ended else None)
        if last is None:
            return Failure(message, error_line(message, self.dockerfile), ours=is_engine_fault(message))
        return Failure(message, last.line, ours="] FROM " in last.name or is_engine_fault(message))


# ── what it leaves ──────────────────────────────────────────────────────────────────────


def _remove_leftovers(connection: Connection, seen: _Messages) -> None:
    """Remove the images of steps before the failed one, newest first, and wait for the running step's end."""
    _wait_until_gone(connection, seen.container)
    for image in reversed(seen.images):
        with contextlib.suppress(EngineError):
            if _is_ours(connection, image, seen.began):
                connection.call("DELETE", f"/images/{image}")


def _is_ours(connection: Connection, image: str, began: float) -> bool:
    """Whether this is an intermediate image made since `began`.

    The ids come from text that the student's program can imitate, and intermediate images carry
    no labels. So only images without a name that the classic builder made since this build began
    are touched; the worst that a lie can do is to cost somebody a cache entry.
    """
    details = connection.call("GET", f"/images/{image}/json").json
    made = parse_time(str(details.get("Created") or ""))
    return not details.get("RepoTags") and bool(details.get("Parent")) and made is not None and made >= began - 1


def _wait_until_gone(connection: Connection, container: str) -> None:
    """The engine kills and removes the step's container when the connection is gone; wait for that, not long."""
    until = time.monotonic() + _REMOVAL_SECONDS
    while container and time.monotonic() < until:
        try:
            connection.call("GET", f"/containers/{container}/json")
        except EngineError:
            return
        time.sleep(0.05)
