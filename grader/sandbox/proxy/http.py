"""HTTP/1.1 on two sockets: a request as the client sent it, and the one that goes to the engine in its place.

h11 does the reading and writing. Each connection carries one request, and each request has one meaning: the engine gets
what was understood here, written anew, and never the client's own bytes. The exception is a connection that is hijacked
(`docker attach`, `docker exec`), where bytes are relayed once the engine has agreed to it.
"""

from __future__ import annotations

import contextlib
import json
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast
from urllib.parse import parse_qsl, urlencode

import h11

from grader.sandbox.proxy.shape import Refusal

HEAD_LIMIT = 64 * 1024
"""Bytes of a head. Go's own limit is 1 MiB; those of the docker command are a few hundred bytes."""
_LAST_SECONDS = 5.0
"""How long a client that is answered may still send."""
_CALL_SECONDS = 30.0
_PARAMETERS = 200
"""Parameters of a request. A build by the docker command has about thirty, and one more for each name of the image."""
_parsed = partial(parse_qsl, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS)
_PIECE = 65_536
_SEGMENT = r"[A-Za-z0-9_:@~+][A-Za-z0-9_:@~+.-]*"
"""Between two slashes. No percent signs: what one reader decodes and another does not are two paths."""
_PATH = re.compile(rf"(?:/{_SEGMENT})+")
_QUOTED = {
    "%0A": ": it has several lines where one name belongs, as happens where $( … ) stands in quotes",
    "$%28": ": a $( … ) in single quotes is not carried out",
}
"""What becomes of quotes in a script that belong nowhere, by what they leave in the path."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request whose head has been read. `query` is decoded, in order; `upgrade` is the protocol asked for, or ""."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    content_type: str = ""
    upgrade: str = ""


class Client:
    """The script's side of one connection. `head` is the request as soon as it has been read."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.head: Request | None = None
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)

    def read_head(self) -> Request:
        """Read the first line and the headers. Raises `Refusal`, and `ConnectionError` if the client goes meanwhile."""
        event = cast("h11.Request", self._next())
        headers = {name.decode("ascii"): value.decode("latin-1").lower() for name, value in event.headers}
        path, _, query = event.target.decode("latin-1").partition("?")
        self.head = Request(
            event.method.decode("ascii"),
            path,
            _query(query),
            headers.get("content-type", ""),
            headers.get("upgrade", ""),
        )
        if not _PATH.fullmatch(path):
            why = next((hint for sign, hint in _QUOTED.items() if sign in path.upper()), "")
            raise Refusal(f"{path[:80]} is not a path of the engine's API in its plain form{why}")
        return self.head

    def read_body(self, limit: int, what: str = "the body of this request") -> bytes:
        """Read the body, of at most `limit` bytes. Raises `Refusal`, which calls it `what`."""
        body = bytearray()
        while self.http.their_state is h11.SEND_BODY:
            if isinstance(event := self._next(), h11.Data):
                body += event.data
            if len(body) > limit:
                raise Refusal(f"{what} may have at most {limit / 2**20:.3g} MiB")
        return bytes(body)

    def _next(self) -> object:
        try:
            while (event := self.http.next_event()) is h11.NEED_DATA:
                if not (piece := self.socket.recv(_PIECE)):
                    raise ConnectionError("the client has gone")
                self.http.receive_data(piece)
        except h11.RemoteProtocolError as problem:
            raise Refusal(f"this is not a request as HTTP/1.1 has them: {problem}") from None
        return event

    def send(self, event: h11.Event) -> None:
        """Send a part of the answer."""
        if data := self.http.send(event):
            self.socket.sendall(data)

    def begin(self, status: int, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send the head of an answer with JSON."""
        common = [("Api-Version", "1.45"), ("Content-Type", "application/json"), ("Connection", "close")]
        self.send(h11.Response(status_code=status, headers=[*common, *headers]))

    def answer(self, status: int, body: object) -> None:
        """Send a whole answer with a JSON document, or a message in the engine's own form for a text.

        What the client still sends is read for a few seconds: who is cut off meanwhile may not look for an answer.
        """
        document = json.dumps({"message": body} if isinstance(body, str) else body).encode() + b"\n"
        self.begin(status, [("Content-Length", str(len(document)))])
        if self.head is None or self.head.method != "HEAD":
            self.send(h11.Data(data=document))
        self.send(h11.EndOfMessage())
        self.socket.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + _LAST_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            if not self.socket.recv(_PIECE):
                return


def _query(text: str) -> tuple[tuple[str, str], ...]:
    try:
        return tuple(_parsed(text, strict_parsing=bool(text)))
    except ValueError:
        says = f"the query of the request is not of the form name=value, {_PARAMETERS} times at most: {text[:80]}"
        raise Refusal(says) from None


class Engine:
    """The engine's side: one request, then the events of its answer."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self._path = path
        self.http = h11.Connection(h11.CLIENT)

    def send(self, request: Request, body: bytes = b"") -> None:
        """Send the whole request."""
        headers = [("Host", "docker"), ("Connection", "Upgrade" if request.upgrade else "close")]
        headers += [("Upgrade", request.upgrade)] if request.upgrade else []
        headers += [("Content-Type", request.content_type)] if body else []
        # Go's server takes a POST without a length for one without a body, but its clients announce the 0.
        headers += [("Content-Length", str(len(body)))] if body or request.method == "POST" else []
        target = f"{request.path}{'?' if request.query else ''}{urlencode(request.query)}"
        first = h11.Request(method=request.method, target=target, headers=headers)
        self.socket.connect(self._path)
        written = [self.http.send(event) or b"" for event in (first, h11.Data(data=body), h11.EndOfMessage())]
        with contextlib.suppress(BrokenPipeError):  # it may answer before it has read all
            self.socket.sendall(b"".join(written))

    def events(self, client: socket.socket | None = None) -> Iterator[h11.Event]:
        """The answer: `InformationalResponse` if the connection is hijacked, else `Response`, `Data`, `EndOfMessage`.

        If the client goes meanwhile, or says more, that is a `ConnectionError`: the request is over.
        """
        while True:
            while (event := self.http.next_event()) is h11.NEED_DATA:
                if client is not None and client in _readable(self.socket, client):
                    raise ConnectionError("the client has gone")
                self.http.receive_data(self.socket.recv(_PIECE))
            if not isinstance(event, h11.Event):
                return
            yield event
            if isinstance(event, h11.InformationalResponse | h11.EndOfMessage):
                return


def _readable(*streams: socket.socket) -> list[object]:
    """Wait until something can be read, and return from which."""
    with selectors.DefaultSelector() as waiting:
        for stream in streams:
            waiting.register(stream, selectors.EVENT_READ)
        return [key.fileobj for key, _ in waiting.select()]


def passed_on(event: h11.Response) -> h11.Response:
    """The head of the engine's answer as the client gets it: the connection carries no further request."""
    kept = [(name, value) for name, value in event.headers if name != b"connection"]
    return h11.Response(status_code=event.status_code, headers=[*kept, (b"Connection", b"close")])


def call(engine: str, method: str, path: str, document: Mapping[str, object] | None = None) -> tuple[int, bytes]:
    """A request of the proxy's own to the engine's socket: the answer's status (0: none) and body."""
    status, body = 0, b""
    upstream = Engine(engine)
    with upstream.socket, contextlib.suppress(OSError, h11.ProtocolError):
        upstream.socket.settimeout(_CALL_SECONDS)
        sent = json.dumps(document).encode() if document else b""
        upstream.send(Request(method, f"/v1.45{path}", (), "application/json"), sent)
        for event in upstream.events():
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
    return status, body


def relay(client: socket.socket, engine: socket.socket) -> None:
    """Copy in both directions until the engine has ended, and tell each side when the other one has."""
    upstream = threading.Thread(target=_copy, args=(client, engine), daemon=True)
    upstream.start()
    _copy(engine, client)
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)  # the other thread waits for it
    upstream.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
