"""Requests to a container engine: the only module that imports the Docker SDK.

The SDK finds the engine (DOCKER_HOST, contexts, TLS, ssh) and carries requests to it. Its own `build`, `run` and `wait`
are not used: they cannot be stopped from another thread, have no deadline (docker-py issue 1966), drop the engine's
warnings, read `Dockerfile` and `.dockerignore` from the disk, and send the user's registry credentials and proxies.

Paths and fields are those of API 1.41 and later: https://docs.docker.com/reference/api/engine/. Every exception of a
foreign library becomes an `EngineError` in one place, `_translated`.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json as json_format
import os
import re
import socket
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import IO, Any, TypedDict, Unpack
from urllib.parse import quote

import docker
import docker.errors
import requests
import urllib3
import urllib3.connection
from docker.context import ContextAPI
from docker.utils import kwargs_from_env

from grader.errors import EngineError

OpenStream = Callable[[], socket.socket]
"""Opens a connected stream to an engine, for one HTTP connection; raises `OSError` where there is none to be had."""

Parameters = Mapping[str, str | int | list[str]]
"""The query part of a request. A list stands for a repeated parameter."""


class Parts(TypedDict, total=False):
    """What a request may have besides its path: parameters, and a body. A file is sent as it is read."""

    parameters: Parameters | None
    json: object
    data: bytes | IO[bytes] | None


_CONNECT_SECONDS = 3
"""How long an engine may take to say its version; the promise to the user is 5 s altogether."""
_ANY_VERSION = "1.41"
"""Given to the SDK, which wants one; the paths of our requests carry the engine's own."""
_DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
_PIECE = 16_384
_OPENED = "tcp://localhost:1"
"""An address for the SDK, which wants one, where streams are opened for it."""
_LOOK = "See whether `docker info` answers, then try again."
_HIJACKED: weakref.WeakKeyDictionary[socket.socket, Stream] = weakref.WeakKeyDictionary()
"""What must live as long as a hijacked stream: the SDK closes a TLS socket with the answer that it came with."""


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


class Stream:
    """An answer that arrives in pieces. Its session is used for nothing else."""

    def __init__(self, session: docker.APIClient, response: requests.Response, what: str) -> None:
        self._session = session
        self._response = response
        self._what = what

    def __iter__(self) -> Iterator[bytes]:
        """The pieces as they arrive, until the end. `EngineError` if the connection breaks."""
        with _translated(self._what):
            yield from self._response.raw.stream(_PIECE, decode_content=False)

    def abort(self) -> None:
        """End the iteration at once, from any thread; to the engine the connection is broken."""
        # The thread that reads waits in `recv` on the socket; only a shutdown wakes it.
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self._response.raw.shutdown()

    def raw_socket(self) -> socket.socket:
        """The connection itself, without timeout, in the SDK's own way, which knows each transport."""
        with _translated(self._what):
            raw = self._session._get_raw_response_socket(self._response)  # type: ignore[attr-defined]  # noqa: SLF001
            stream: socket.socket = getattr(raw, "_sock", raw)
            stream.settimeout(None)
        return stream

    def close(self) -> None:
        """Give the connection back. Harmless when repeated."""
        with contextlib.suppress(OSError):
            self._response.close()
            self._session.close()


class Connection:
    """Requests to one engine, from any thread. `endpoint` is where it is, `version` its answer to `/version`.

    All methods raise `Refused` for a status of 400 and above, and `EngineError` when the engine cannot be reached, does
    not answer in time, or breaks off.

    Calls share a session of the SDK. Each stream has its own, so that breaking its connection can never hit another
    request that was given the same socket. (`Connection: close` would do it too, but then Engine 20.10 does not notice
    that a client is gone, and a cancelled build goes on.)
    """

    def __init__(self, settings: Mapping[str, Any], endpoint: str, open_stream: OpenStream | None) -> None:
        self.endpoint = endpoint
        self._settings = settings
        self._pool = _pool_of(open_stream) if open_stream else None
        self._session = self._new_session()
        self._prefix = ""
        self.version = self.call("GET", "/version", seconds=_CONNECT_SECONDS).json
        if not isinstance(self.version, dict) or "ApiVersion" not in self.version:
            raise EngineError(f"What answers at {endpoint} is no container engine.")
        self._prefix = f"/v{self.version['ApiVersion']}"  # the newest that the engine knows

    @property
    def api(self) -> tuple[int, ...]:
        """The version of the engine's API, such as (1, 41)."""
        return tuple(int(part) for part in str(self.version["ApiVersion"]).split(".") if part.isdecimal())

    def call(self, method: str, path: str, *, seconds: float = 60, **parts: Unpack[Parts]) -> Answer:
        """Send a request and read its whole answer; `seconds` is the longest silence borne."""
        response = self._send(self._session, method, path, parts, timeout=seconds)
        return Answer(
            f"{method} {path}", response.content, str(response.headers.get("X-Docker-Container-Path-Stat", ""))
        )

    def find(self, path: str) -> Any:  # noqa: ANN401 - JSON is anything
        """The JSON at a path; an empty object if there is no such thing."""
        with if_there():
            return self.call("GET", path).json
        return {}

    def stream(self, method: str, path: str, *, silence: float, **parts: Unpack[Parts]) -> Stream:
        """Send a request whose answer comes in pieces; the deadline is the caller's, by `abort`.

        `silence` (seconds) is a second line of defence: an engine silent for longer is taken for dead.
        """
        headers = {"Accept-Encoding": "identity", **({"Content-Type": "application/x-tar"} if "data" in parts else {})}
        return self._open(method, path, parts, headers=headers, timeout=silence)

    def hijack(self, path: str, json: object, parameters: Parameters | None = None) -> socket.socket:
        """`POST` a request whose connection becomes a raw stream (`/exec/{id}/start`, `/containers/{id}/attach`).

        Without a TTY what the engine sends comes in frames (`grader.engine.run.split_frames`).
        """
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        opened = self._open("POST", path, Parts(json=json, parameters=parameters), headers=headers)
        stream = opened.raw_socket()
        _HIJACKED[stream] = opened
        return stream

    def _open(self, method: str, path: str, parts: Parts, **settings: Any) -> Stream:
        """A request in a session of its own."""
        with _translated(path):
            session = self._new_session()
        try:
            response = self._send(session, method, path, parts, stream=True, **settings)
        except BaseException:
            session.close()
            raise
        return Stream(session, response, f"{method} {path}")

    def _send(
        self, session: docker.APIClient, method: str, path: str, parts: Parts, **settings: Any
    ) -> requests.Response:
        what, url = f"{method} {path}", f"{session.base_url}{self._prefix}{quote(path, safe='/:')}"
        with _translated(what):
            response = session.request(
                method, url, params=parts.get("parameters"), json=parts.get("json"), data=parts.get("data"), **settings
            )
            if response.status_code < HTTPStatus.BAD_REQUEST:
                return response
            text = response.text.strip()
        message: object = None
        with contextlib.suppress(ValueError, AttributeError):  # an engine's error is an object, a proxy's is anything
            message = json_format.loads(text).get("message")
        raise Refused(what, response.status_code, str(message or text or response.reason))

    def _new_session(self) -> docker.APIClient:
        # With a version given, the client does not ask the engine, which it would do with the user's `HttpHeaders`.
        settings = {"base_url": _OPENED} if self._pool else self._settings
        session = docker.APIClient(**settings, version=_ANY_VERSION, timeout=_CONNECT_SECONDS, use_ssh_client=True)
        if self._pool:
            adapter = requests.adapters.HTTPAdapter()
            adapter.poolmanager.pool_classes_by_scheme = {"http": self._pool}
            session.mount("http://", adapter)
        session.trust_env = False  # no proxies, no .netrc: the engine is where it says it is
        return session


def close_hijacked(stream: socket.socket) -> None:
    """End a stream that `hijack` gave, with the answer and the session behind it, which hold it open otherwise."""
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
    stream.close()
    if opened := _HIJACKED.pop(stream, None):
        opened.close()


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """The one place where exceptions of the SDK and of what is below it become ours."""
    try:
        yield
    except (
        docker.errors.DockerException,
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
    ) as error:
        raise EngineError(f"The engine did not answer {what} properly: {_plain(error)}. {_LOOK}") from error


def _plain(error: BaseException) -> str:
    """What went wrong, in the words of who noticed it first; the SDK and what is below it wrap them up, thrice even."""
    if isinstance(error, (requests.exceptions.Timeout, TimeoutError)):
        return "it was silent for too long"
    wrapped = [inner for inner in error.args if isinstance(inner, BaseException)]
    if wrapped:
        return _plain(wrapped[0])
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


def _pool_of(open_stream: OpenStream) -> type[urllib3.HTTPConnectionPool]:
    """Pools of connections that carry HTTP over what `open_stream` gives."""

    class Opened(urllib3.connection.HTTPConnection):
        def connect(self) -> None:
            self.sock = open_stream()
            self.sock.settimeout(_CONNECT_SECONDS)  # the request sets its own after that

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Opened

    return Pool


def open_connection(endpoint: str | None = None, open_stream: OpenStream | None = None) -> Connection:
    """Connect to the engine that the docker command would use: DOCKER_HOST, else the current context, else the socket.

    `endpoint`, written as in DOCKER_HOST, names another one instead, and nothing of the environment is read then. With
    `open_stream` the engine is reached through the streams that it opens, and `endpoint` is only a name for messages.
    Raises `EngineError` within about 5 s if no engine answers.
    """
    try:
        with _translated("DOCKER_HOST or the context"):
            settings = {"base_url": endpoint} if endpoint else _settings()
            endpoint = str(settings.get("base_url") or _DEFAULT_ENDPOINT)
            scheme, _, path = endpoint.partition("://")
            if open_stream is None and scheme in {"unix", "http+unix"}:
                open_stream = functools.partial(_unix_socket, f"/{path.lstrip('/')}")
            return Connection(settings, endpoint, open_stream)
    except EngineError as error:
        where, reason = endpoint or _DEFAULT_ENDPOINT, _plain(error.__cause__ or error)
        if "Permission denied" in reason:
            message = (
                f"This user may not talk to the container engine at {where}: permission denied. Add the user to the "
                "group `docker` (`sudo usermod -aG docker $USER`), log in again, and try `docker info`."
            )
        else:
            message = (
                f"No container engine answers at {where} ({reason}). Start Docker (Docker Desktop, or "
                "`sudo systemctl start docker`), see that `docker info` shows a server, and try again. "
                "DOCKER_HOST or `docker context use` say which engine is asked."
            )
        raise EngineError(message) from error


def _settings() -> dict[str, Any]:
    """Where the docker command would find the engine, as arguments of the SDK's client."""
    from_environment: Mapping[str, Any] = kwargs_from_env()
    if "base_url" in from_environment:
        return dict(from_environment)
    return {**ContextAPI.kwargs_from_context(environment=os.environ), **from_environment}


def _unix_socket(path: str) -> socket.socket:
    """A stream to a unix socket. The SDK's way leaks one where nobody listens."""
    with contextlib.ExitStack() as unless_connected:
        stream = unless_connected.enter_context(socket.socket(socket.AF_UNIX))
        stream.settimeout(_CONNECT_SECONDS)
        stream.connect(path)
        unless_connected.pop_all()
    return stream
