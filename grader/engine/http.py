"""What the builders and the runner ask of an engine: HTTP requests, as plain data.

`grader.engine.client` makes a `Connection` from the Docker SDK. Nothing here or in the modules that
use it knows the SDK, so each of them can be read beside the engine's API reference alone:
https://docs.docker.com/reference/api/engine/ (paths and fields are those of API 1.41 and later).
"""

from __future__ import annotations

import json as json_format
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import IO, Any, Protocol

from grader.errors import EngineError

OpenStream = Callable[[], socket.socket]
"""Opens a connected stream to an engine, for one HTTP connection; raises `OSError` where there is none to be had."""

Parameters = Mapping[str, str | int | list[str]]
"""The query part of a request. A list stands for a repeated parameter."""

Body = bytes | IO[bytes]
"""The body of a request; a file is sent as it is read."""


class Refused(EngineError):  # noqa: N818 - what happened, as TimeoutExpired; "RefusedError" says no more
    """The engine answered with an error: `status` is HTTP's, `reason` the engine's own words."""

    def __init__(self, what: str, status: int, reason: str) -> None:
        super().__init__(f"The engine refused {what} (status {status}): {reason}")
        self.status = status
        self.reason = reason

    @property
    def gone(self) -> bool:
        """Whether there is no such thing."""
        return self.status == HTTPStatus.NOT_FOUND


@contextmanager
def if_there(*, also_going: bool = False) -> Iterator[None]:
    """For removals: that the object is gone is fine; with `also_going`, that somebody else is just removing it, too."""
    try:
        yield
    except Refused as refused:
        if not refused.gone and not (also_going and refused.status == HTTPStatus.CONFLICT):
            raise


class _Object(dict[str, Any]):
    """A JSON object of an answer: an entry that must be there and is not is the engine's fault, and no `KeyError`."""

    def __missing__(self, key: str) -> Any:  # noqa: ANN401 - JSON is anything
        raise EngineError(f"An answer of the engine has no {key!r}, so it cannot be understood. {_LOOK}")


_LOOK = "See whether `docker info` answers as it should, then try again."


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer to a request (`METHOD PATH`). What is no JSON is a fault only where JSON is needed.

    `path_stat` is the header in which the engine describes a path in a container (`HEAD /containers/{id}/archive`).
    """

    request: str
    content: bytes = b""
    path_stat: str = ""

    @property
    def json(self) -> Any:  # noqa: ANN401 - JSON is anything
        """The decoded JSON. `EngineError` if the engine sent none."""
        try:
            return json_format.loads(self.content, object_hook=_Object)
        except ValueError as error:
            raise EngineError(f"The engine answered {self.request} with what is no JSON. {_LOOK}") from error


def parse_time(text: str) -> float | None:
    """Seconds since 1970 of a timestamp as engines write them (nanoseconds, UTC), or None if it is none."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text)).timestamp()
    except ValueError:
        return None


class Stream(Protocol):
    """An answer that arrives in pieces."""

    def __iter__(self) -> Iterator[bytes]:
        """The pieces as they arrive, until the end. `EngineError` if the connection breaks."""
        ...

    def abort(self) -> None:
        """End the iteration at once, from any thread; to the engine the connection is broken."""
        ...

    def close(self) -> None:
        """Give the connection back. Harmless when repeated."""
        ...


class Connection(Protocol):
    """Requests to one engine, from any thread.

    Both methods raise `Refused` for a status of 400 and above, and `EngineError` when the
    engine cannot be reached, does not answer in time, or breaks off.
    """

    @property
    def endpoint(self) -> str:
        """Where the engine is, as in DOCKER_HOST."""
        ...

    def call(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters | None = None,
        json: object = None,
        data: Body | None = None,
        seconds: float = 60,
    ) -> Answer:
        """Send a request and read its whole answer; `seconds` is the longest silence borne."""
        ...

    def stream(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters | None = None,
        data: Body | None = None,
        silence: float,
    ) -> Stream:
        """Send a request whose answer comes in pieces; the deadline is the caller's, by `abort`.

        `silence` (seconds) is a second line of defence: an engine silent for longer is taken for dead.
        """
        ...

    def hijack(self, path: str, json: object) -> socket.socket:
        """`POST` a request whose connection becomes a raw stream (`/exec/{id}/start`, `/containers/{id}/attach`).

        Without a TTY what the engine sends comes in frames (`grader.engine.run.split_frames`). The caller closes it.
        """
        ...
