"""Looking at an engine in which somebody's commands work: what is in it, what has ended, what was asked for."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

from grader.dockerfile.image_names import is_called
from grader.engine.http import Connection, Parameters, parse_time
from grader.engine.images import image_config
from grader.errors import EngineError
from grader.models import ContainerEnded, ContainerSeen, EngineState, ImageSeen, ScriptSeen

PREPARED_IMAGE = "sales-predictor"
"""How the names of the images begin that exercises with commands are about."""

_POLL_SECONDS = 0.1
_SILENCE_SECONDS = 30.0
_ENDS = {"type": ["container"], "event": ["die"]}


def engine_state(engine: Connection, wanted: Callable[[str], bool] = lambda _: True) -> EngineState:
    """All images and containers; with `wanted`, only images with such a name, and containers of such images."""
    found = engine.call("GET", "/images/json").json
    images = tuple(
        _image_seen(engine, image) for image in found if any(map(wanted, image.get("RepoTags") or ("<none>",)))
    )
    listed = engine.call("GET", "/containers/json", parameters={"all": 1}).json
    known = {image.id for image in images}
    ids = [one["Id"] for one in listed if wanted(one["Image"]) or one["ImageID"] in known]
    return EngineState(images, tuple(seen for one in ids if (seen := _container_seen(engine, one))))


def own_engine_seen(engine: Connection) -> ScriptSeen:
    """The student's own engine, where there is no script: what exercises are about, and what of it ended lately."""

    def counts(image: str) -> bool:
        return image.startswith(PREPARED_IMAGE)

    now = engine_state(engine, counts)
    with _events(engine, {"since": 1, "until": f"{_time(engine):.6f}"}) as events:
        ended = tuple(_ended(events))
    ours = (one for one in ended if counts(one.image) or any(is_called(one.image, image) for image in now.images))
    return ScriptSeen("own_engine", after=now, ended=tuple(ours))


@contextmanager
def listening(engine: Connection) -> Iterator[Callable[[], tuple[ContainerEnded, ...]]]:
    """Listen for containers that end in the block. Gives what returns those that have ended until it is called, once.

    The engine keeps its last 256 events, of all kinds, and one check of a container's health is three: so nobody can
    ask it afterwards. What it tells meanwhile waits in the connection. A volume of ours is the last event that counts.
    """
    mark = f"grader-{secrets.token_hex(6)}"

    def so_far() -> tuple[ContainerEnded, ...]:
        engine.call("POST", "/volumes/create", json={"Name": mark})
        try:
            return tuple(_ended(events))
        finally:
            engine.call("DELETE", f"/volumes/{mark}")

    with _events(engine, {"since": f"{_time(engine):.6f}"}, until=mark) as events:
        yield so_far


@contextmanager
def _events(engine: Connection, asked: Parameters, *, until: str = "") -> Iterator[Iterator[Mapping[str, Any]]]:
    """The engine's news of containers that ended, up to the making of the volume `until`."""
    filters = {"type": ["container", "volume"], "event": ["die", "create"]} if until else _ENDS
    stream = engine.stream(
        "GET", "/events", parameters={**asked, "filters": json.dumps(filters)}, silence=_SILENCE_SECONDS
    )
    with contextlib.closing(stream):
        yield takewhile(lambda event: event["Actor"]["ID"] != until, map(json.loads, _lines(stream)))


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(None, lines)
    yield from filter(None, [rest])


def _time(engine: Connection) -> float:
    """Seconds since 1970 by the engine's clock; it may be on another machine."""
    now = parse_time(str(engine.call("GET", "/info").json["SystemTime"]))
    if now is None:
        raise EngineError("The engine does not say what time it is, so its events cannot be asked for.")
    return now


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
    config = engine.find(f"/images/{image['Id']}/json").get("Config")
    return ImageSeen(str(image["Id"]), tuple(sorted(image.get("RepoTags") or ())), image_config(config or {}))


def _container_seen(engine: Connection, container: str) -> ContainerSeen | None:
    """One container's details; None if it is gone meanwhile."""
    details = engine.find(f"/containers/{container}/json")
    if not details:
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


def _ended(events: Iterable[Mapping[str, Any]]) -> Iterator[ContainerEnded]:
    for event in events:
        attributes = event["Actor"]["Attributes"]
        if event.get("Action") != "create":
            code = int(attributes.get("exitCode", -1))
            yield ContainerEnded(str(event["Actor"]["ID"]), str(attributes.get("image", "")), code)
