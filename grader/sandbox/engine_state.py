"""Looking at an engine in which somebody's commands work: what is in it, what has ended, what was asked for."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grader.dockerfile.image_names import is_called
from grader.engine.http import Connection, Refused, parse_time
from grader.engine.images import image_config
from grader.errors import EngineError
from grader.models import ContainerEnded, ContainerSeen, EngineState, ImageSeen, ScriptSeen

PREPARED_IMAGE = "sales-predictor"
"""How the names of the images begin that exercises with commands are about."""

_NOT_FOUND = 404
_POLL_SECONDS = 0.1
_CLOCK_SECONDS = 1.0
"""How far the engine's clock may be slewed against a steady one while a script runs. What sets it is more."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time by the engine's clock (seconds since 1970), and by one here that nobody sets and that stops in a suspend.

    The two were read within `latency` seconds.
    """

    wall: float
    steady: float
    latency: float = 0.0

    @classmethod
    def now(cls, engine: Connection) -> Moment:
        """This moment. The engine may be on another machine, whose clock is not the grader's."""
        before = time.monotonic()
        wall = parse_time(str(engine.call("GET", "/info").json["SystemTime"]))
        if wall is None:
            raise EngineError("The engine does not say what time it is, so its events cannot be asked for.")
        return cls(wall, before, time.monotonic() - before)


def span(began: Moment, ended: Moment) -> tuple[float, float]:
    """The two times by the engine's clock, between which it is asked for events.

    `EngineError` if the clock was set between them, or a machine was suspended: events would be missed, and a container
    that did end well would not be known of.
    """
    most = _CLOCK_SECONDS + began.latency + ended.latency
    if abs((ended.wall - began.wall) - (ended.steady - began.steady)) > most:
        raise EngineError(
            "The clock of the engine's machine was set, or a machine was suspended, while a script ran, so events of "
            "that time may be missing."
        )
    return began.wall, ended.wall


def engine_state(engine: Connection, wanted: Callable[[str], bool] = lambda _: True) -> EngineState:
    """All images and containers; with `wanted`, only images with such a name, and containers of such images."""
    found = engine.call("GET", "/images/json").json
    images = tuple(
        _image_seen(engine, image) for image in found if any(map(wanted, image.get("RepoTags") or ("<none>",)))
    )
    listed = engine.call("GET", "/containers/json", parameters={"all": 1}).json
    known = {image.id for image in images}
    containers = [
        _container_seen(engine, one["Id"]) for one in listed if wanted(one["Image"]) or one["ImageID"] in known
    ]
    return EngineState(images, tuple(one for one in containers if one is not None))


def own_engine_seen(engine: Connection) -> ScriptSeen:
    """The student's own engine, where there is no script: what exercises are about, and what of it ended lately."""

    def counts(image: str) -> bool:
        return image.startswith(PREPARED_IMAGE)

    now = engine_state(engine, counts)
    ended = [
        one
        for one in containers_ended(engine, 1, Moment.now(engine).wall)
        if counts(one.image) or any(is_called(one.image, image) for image in now.images)
    ]
    return ScriptSeen("own_engine", after=now, ended=tuple(ended))


def containers_ended(engine: Connection, since: float, until: float) -> tuple[ContainerEnded, ...]:
    """The engine's news of containers that ended between two times (seconds since 1970). It keeps the last 256."""
    parameters = {
        "since": f"{since:.6f}",
        "until": f"{until:.6f}",
        "filters": json.dumps({"type": ["container"], "event": ["die"]}),
    }
    stream = engine.stream("GET", "/events", parameters=parameters, silence=30)
    with contextlib.closing(stream):
        news = b"".join(stream).decode("utf-8", "replace")
    return tuple(_ended(json.loads(line)) for line in news.splitlines() if line.strip())


def settled(engine: Connection, seconds: float, besides: Iterable[str] = ()) -> bool:
    """Wait until no container runs, except those whose ids are given; False if one still does after `seconds`."""
    excepted = set(besides)
    deadline = time.monotonic() + seconds
    while True:
        running = engine.call("GET", "/containers/json").json
        if all(one["Id"] in excepted for one in running):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)


def _command_line(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return (value,)
    return tuple(str(word) for word in value) if isinstance(value, Sequence) and value else None


def _image_seen(engine: Connection, image: Mapping[str, Any]) -> ImageSeen:
    tags = tuple(sorted(image.get("RepoTags") or ()))
    try:
        details = engine.call("GET", f"/images/{image['Id']}/json").json
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise
        details = {}
    return ImageSeen(str(image["Id"]), tags, image_config(details.get("Config") or {}))


def _container_seen(engine: Connection, container: str) -> ContainerSeen | None:
    """One container's details; None if it is gone meanwhile."""
    try:
        details = engine.call("GET", f"/containers/{container}/json").json
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise
        return None
    state, config = details["State"], details["Config"]
    status = str(state.get("Status"))
    return ContainerSeen(
        id=str(details["Id"]),
        name=str(details.get("Name", "")).lstrip("/"),
        image=str(config.get("Image", "")),
        image_id=str(details.get("Image", "")),
        status=status,
        code=int(state.get("ExitCode") or 0) if status == "exited" else None,
        command=_command_line(config.get("Cmd")) or (),
        entrypoint=_command_line(config.get("Entrypoint")),
    )


def _ended(event: Mapping[str, Any]) -> ContainerEnded:
    attributes = event["Actor"]["Attributes"]
    return ContainerEnded(
        str(event["Actor"]["ID"]), str(attributes.get("image", "")), int(attributes.get("exitCode", -1))
    )
