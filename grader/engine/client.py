"""The container engine: the only module that imports the Docker SDK.

The SDK finds the engine (DOCKER_HOST, contexts, TLS, ssh) and carries requests to it. Its own
`build`, `run` and `wait` are not used: they cannot be stopped from another thread, have no
deadline (docker-py issue 1966), drop the engine's warnings, read `Dockerfile` and
`.dockerignore` from the disk, and send the user's registry credentials and proxies along.

Every exception of a foreign library becomes an `EngineError` in one place, `_translated`.
"""

from __future__ import annotations

import contextlib
import http.client
import json as json_format
import math
import os
import socket
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import docker
import docker.errors
import requests
import urllib3
import urllib3.connection
from docker.context import ContextAPI
from docker.utils import kwargs_from_env

from grader.engine.build import builder_name
from grader.engine.docker_engine import DockerEngine
from grader.engine.http import Answer, Body, OpenStream, Parameters, Refused
from grader.errors import EngineError

_CONNECT_SECONDS = 3
"""How long an engine may take to say its version; the promise to the user is 5 s altogether."""
_ANY_VERSION = "1.41"
"""Given to the SDK, which wants one; the paths of our requests carry the engine's own."""
_DEFAULT_ENDPOINT = "unix:///var/run/docker.sock"
_PIECE = 16_384
_IDLE_CONNECTIONS = 10
_OPENED = "unix:///opened"
"""A name for the SDK, which wants one, where streams are opened for it."""
_HIJACKED: weakref.WeakKeyDictionary[socket.socket, object] = weakref.WeakKeyDictionary()
"""What must live as long as a hijacked stream: the SDK closes a TLS socket with the answer that it came with."""


# ── connection ──────────────────────────────────────────────────────────────────────────


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
        raise EngineError(
            f"The engine did not answer {what} properly: {_plain(error)}. "
            "See whether `docker info` answers, then try again."
        ) from error


def _plain(error: BaseException) -> str:
    """What went wrong, in the words of who noticed it first; the SDK and what is below it wrap them up, thrice even."""
    if isinstance(error, (requests.exceptions.Timeout, TimeoutError)):
        return "it was silent for too long"
    wrapped = [inner for inner in error.args if isinstance(inner, BaseException)]
    if wrapped:
        return _plain(wrapped[0])
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")


class _SdkStream:
    """A `grader.engine.http.Stream` over a response of a session that is used for nothing else."""

    def __init__(self, session: docker.APIClient, response: requests.Response, what: str) -> None:
        self._session = session
        self._response = response
        self._what = what

    def __iter__(self) -> Iterator[bytes]:
        with _translated(self._what):
            yield from self._response.raw.stream(_PIECE, decode_content=False)

    def abort(self) -> None:
        # The thread that reads waits in `recv` on the socket; only a shutdown wakes it.
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self._response.raw.shutdown()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._response.close()
            self._session.close()


class _OpenedConnection(urllib3.connection.HTTPConnection):
    """HTTP over what `open_stream` gives."""

    def __init__(self, open_stream: OpenStream) -> None:
        super().__init__("localhost")
        self._open_stream = open_stream

    def connect(self) -> None:
        self.sock = self._open_stream()
        self.sock.settimeout(_CONNECT_SECONDS)  # the request sets its own after that


class _OpenedPool(urllib3.HTTPConnectionPool):
    def __init__(self, open_stream: OpenStream) -> None:
        super().__init__("localhost", maxsize=_IDLE_CONNECTIONS)
        self._open_stream = open_stream

    def _new_conn(self) -> _OpenedConnection:
        return _OpenedConnection(self._open_stream)


class _OpenedAdapter(requests.adapters.HTTPAdapter):
    """What the SDK's adapters for sockets do, with opened streams in the place of a path."""

    def __init__(self, open_stream: OpenStream) -> None:
        super().__init__()
        self._pool = _OpenedPool(open_stream)

    def get_connection_with_tls_context(self, *_: object, **__: object) -> urllib3.HTTPConnectionPool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, _: object) -> str:
        return request.path_url

    def close(self) -> None:
        super().close()
        self._pool.close()


class _SdkConnection:
    """A `grader.engine.http.Connection` over the SDK's sessions.

    Calls share one. Each stream has its own, so that breaking its connection can never hit another request that
    was given the same socket. (`Connection: close` would do it too, but then Engine 20.10 does not notice that a
    client is gone, and a cancelled classic build goes on.)
    """

    def __init__(self, settings: Mapping[str, Any], endpoint: str, open_stream: OpenStream | None) -> None:
        self.endpoint = endpoint
        self._settings = settings
        self._open_stream = open_stream
        self._session = self._new_session()
        self._prefix = ""
        self.version = self.call("GET", "/version", seconds=_CONNECT_SECONDS).json
        if not isinstance(self.version, dict) or "ApiVersion" not in self.version:
            raise EngineError(f"What answers at {endpoint} is no container engine.")
        self._prefix = f"/v{self.version['ApiVersion']}"  # the newest that the engine knows

    def _new_session(self) -> docker.APIClient:
        # With a version given, the client does not ask the engine, which it would do with the user's `HttpHeaders`.
        settings = {"base_url": _OPENED} if self._open_stream else self._settings
        session = docker.APIClient(**settings, version=_ANY_VERSION, timeout=_CONNECT_SECONDS, use_ssh_client=True)
        if self._open_stream:
            session.mount("http+docker://", _OpenedAdapter(self._open_stream))
        session.trust_env = False  # no proxies, no .netrc: the engine is where it says it is
        return session

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
        what = f"{method} {path}"
        with _translated(what):
            response = self._session.request(
                method, self._url(path), params=parameters, json=json, data=data, timeout=seconds
            )
        _refuse_errors(response, what)
        return Answer(what, response.content, str(response.headers.get("X-Docker-Container-Path-Stat", "")))

    def stream(
        self,
        method: str,
        path: str,
        *,
        parameters: Parameters | None = None,
        data: Body | None = None,
        silence: float,
    ) -> _SdkStream:
        what = f"{method} {path}"
        headers = {"Accept-Encoding": "identity", **({} if data is None else {"Content-Type": "application/x-tar"})}
        with contextlib.ExitStack() as unless_it_fails:
            with _translated(what):
                session = self._new_session()
                unless_it_fails.callback(session.close)
                response = session.request(
                    method, self._url(path), params=parameters, data=data, headers=headers, stream=True, timeout=silence
                )
            _refuse_errors(response, what)
            unless_it_fails.pop_all()
        return _SdkStream(session, response, what)

    def hijack(self, path: str, json: object) -> socket.socket:
        """As in `Connection`."""
        what = f"POST {path}"
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        with contextlib.ExitStack() as unless_it_fails:
            with _translated(what):
                session = self._new_session()
                unless_it_fails.callback(session.close)
                response = session.request("POST", self._url(path), json=json, headers=headers, stream=True)
            _refuse_errors(response, what)
            with _translated(what):
                # The SDK's own way, which knows each transport.
                raw = session._get_raw_response_socket(response)  # type: ignore[attr-defined]  # noqa: SLF001
                stream: socket.socket = getattr(raw, "_sock", raw)
                stream.settimeout(None)
            unless_it_fails.pop_all()
        _HIJACKED[stream] = (session, response)
        return stream

    def _url(self, path: str) -> str:
        return f"{self._session.base_url}{self._prefix}{quote(path, safe='/:')}"


def _refuse_errors(response: requests.Response, what: str) -> None:
    if response.status_code < 400:  # noqa: PLR2004 - HTTP: from 400 on, an error
        return
    with _translated(what):
        text = response.text.strip()
    message: object = None
    with contextlib.suppress(ValueError, AttributeError):  # an engine's error is an object, a proxy's is anything
        message = json_format.loads(text).get("message")
    raise Refused(what, response.status_code, str(message or text or response.reason))


def connect(
    *,
    builder: str | None = None,
    tier: str = "host",
    endpoint: str | None = None,
    cpus: float = math.inf,
    open_stream: OpenStream | None = None,
) -> DockerEngine:
    """Connect to the engine that the docker command would use: DOCKER_HOST, else the current context, else the socket.

    `endpoint`, written as in DOCKER_HOST, names another one instead, and nothing of the environment is read then. With
    `open_stream` the engine is reached through the streams that it opens, and `endpoint` is only a name for messages.
    `builder` forces one of `grader.engine.build.BUILDERS`; otherwise the first build finds one that works. `cpus` are
    the cores that the engine has, where those are fewer than it says.
    Raises `EngineError` within about 5 s if no engine answers, and `UsageError` for an unknown builder.
    """
    forced = builder_name(builder) if builder else None
    try:
        with _translated("DOCKER_HOST or the context"):
            settings = {"base_url": endpoint} if endpoint else _settings()
            endpoint = str(settings.get("base_url") or _DEFAULT_ENDPOINT)
            connection = _SdkConnection(settings, endpoint, open_stream or _opens_socket(endpoint))
    except EngineError as error:
        raise EngineError(_no_engine(endpoint or _DEFAULT_ENDPOINT, _plain(error.__cause__ or error))) from error
    return DockerEngine(connection, connection.version, forced, tier, cpus)


def _opens_socket(endpoint: str) -> OpenStream | None:
    """What opens a unix socket, None for another endpoint. The SDK's way leaks one where nobody listens."""
    scheme, _, path = endpoint.partition("://")
    if scheme not in {"unix", "http+unix"}:
        return None

    def open_socket() -> socket.socket:
        stream = socket.socket(socket.AF_UNIX)
        try:
            stream.settimeout(_CONNECT_SECONDS)
            stream.connect(f"/{path.lstrip('/')}")
        except OSError:
            stream.close()
            raise
        return stream

    return open_socket


def _settings() -> dict[str, Any]:
    """Where the docker command would find the engine, as arguments of the SDK's client."""
    from_environment: Mapping[str, Any] = kwargs_from_env()
    if "base_url" in from_environment:
        return dict(from_environment)
    return {**ContextAPI.kwargs_from_context(environment=os.environ), **from_environment}


def _no_engine(endpoint: str, reason: str) -> str:
    if "Permission denied" in reason:
        return (
            f"This user may not talk to the container engine at {endpoint}: permission denied. "
            "Add the user to the group `docker` (`sudo usermod -aG docker $USER`), log in again, "
            "and try `docker info`."
        )
    return (
        f"No container engine answers at {endpoint} ({reason}). Start Docker (Docker Desktop, or "
        "`sudo systemctl start docker`), see that `docker info` shows a server, and try again. "
        "DOCKER_HOST or `docker context use` say which engine is asked."
    )
