"""An engine behind a unix socket that answers what a function says: slowly, not at all, nonsense, or by dying."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
import re
import socket
import tarfile
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from grader.models import Exited, MemoryFile, RunOutcome, RunRequest


@dataclass(frozen=True)
class Asked:
    """A request, as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def what(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Reply:
    """An answer in chunks, after some seconds; `cut` breaks the connection instead of ending it.

    `silent` says nothing at all and keeps the connection; `dies` ends the whole engine instead of answering. `echoes`
    gives back each byte that comes after it, as a container's output.
    """

    chunks: tuple[bytes, ...] = ()
    status: int = 200
    cut: bool = False
    after: float = 0.0
    silent: bool = False
    dies: bool = False
    echoes: bool = False


def as_json(value: Any, status: int = 200) -> Reply:  # noqa: ANN401 - JSON is anything
    return Reply((json.dumps(value).encode() + b"\n",), status)


def messages(*values: dict[str, Any], cut: bool = False) -> Reply:
    return Reply(tuple(json.dumps(value).encode() + b"\r\n" for value in values), cut=cut)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultEngine

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = re.sub(r"^/v1\.\d+", "", url.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        asked = Asked(self.command, path, query, dict(self.headers), body)
        self.server.asked.append(asked)
        self._send(self.server.answer(asked))

    do_POST = do_DELETE = do_PUT = do_HEAD = do_GET  # noqa: N815 - the names that http.server calls

    def _send(self, reply: Reply) -> None:
        if reply.dies:
            self.server.die()
        self.server.over.wait(600 if reply.silent else reply.after)
        head = self.command == "HEAD"
        self.close_connection = reply.cut or reply.echoes or reply.silent or self.server.over.is_set()
        if reply.silent or self.server.over.is_set() or (reply.cut and head):
            return
        self.send_response(101 if reply.echoes else reply.status)
        if not reply.echoes:
            self.send_header(*(("Content-Length", "0") if head else ("Transfer-Encoding", "chunked")))
        self.end_headers()
        while reply.echoes and (byte := self.rfile.read(1)):
            self.wfile.write(_frame(1, byte))
        if not (reply.echoes or head):
            for chunk in (*reply.chunks, *(() if reply.cut else (b"",))):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class FaultEngine(ThreadingMixIn, UnixStreamServer):
    """Listens at `path` from the start of a `with` block to its end, or until it dies."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: Path, answer: Callable[[Asked], Reply]) -> None:
        super().__init__(str(path), _Handler)
        self._path = path
        self.answer = answer
        self.asked: deque[Asked] = deque(maxlen=300)
        self.connections: deque[socket.socket] = deque(maxlen=64)
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def get_request(self) -> tuple[socket.socket, Any]:
        request, address = super().get_request()
        self.connections.append(request)
        return request, address

    def __exit__(self, *_: object) -> None:
        if not self.over.is_set():
            self.die()
        self.server_close()

    def die(self) -> None:
        """As after `kill -9` of the engine: nobody listens any more, and all connections are cut."""
        self.over.set()
        self._path.unlink(missing_ok=True)
        self.shutdown()
        self.socket.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        """A client that gave up is no news."""


# ── a small Docker ──────────────────────────────────────────────────────────────────────

_IDS = re.compile(r"^/(containers|images|exec)/(?!create$|json$).+?(/(?:json|archive|attach|wait|start|kill|exec))?$")
_ENTRYPOINT = ("python", "/app/sales_predictor.py")
_VERTEX = base64.b64encode(b"\n\x0c\n\x01x\x1a\x07[1/1] x").decode()
"""A step in BuildKit's progress: field 1 (a vertex) with its digest (1) and its name (3)."""
_FIXED = {
    "GET /version": as_json({"Version": "28.0.0", "ApiVersion": "1.48"}),
    "GET /_ping": as_json("OK"),
    "GET /info": as_json({"NCPU": 4, "Architecture": "x86_64"}),
    "GET /images/*/json": as_json({"Id": "x", "Config": {"Entrypoint": list(_ENTRYPOINT)}}),
    "POST /images/create": as_json({}),
    "POST /volumes/create": as_json({"Mountpoint": "/volume"}),
    "GET /volumes": as_json({"Volumes": []}),
    "GET /networks": as_json([]),
    "HEAD /containers/*/archive": Reply(),
    "GET /containers/*/archive": as_json({"message": "no such file"}, 404),
    "POST /containers/*/start": Reply(status=204),
    "POST /containers/*/kill": Reply(status=204),
}


@dataclass
class Thing:
    """An image or container: its names, labels, and what it was made from."""

    names: list[str]
    labels: dict[str, str]
    context: bytes = b""
    run: RunRequest = field(default_factory=RunRequest)


@dataclass
class SmallDocker:
    """As much of an engine as it takes to grade Dockerfiles: each build succeeds, runs do what `program` does.

    `program` is given the build context of the image, and how it is run. What `fault` gives for a request is answered
    instead, after the request was carried out (or, with `after`, the right answer comes late); it is told the route,
    which has `*` where an id stands.
    """

    program: Callable[[bytes, RunRequest], RunOutcome]
    fault: Callable[[str], Reply | None] = lambda _route: None
    images: dict[str, Thing] = field(default_factory=dict)
    containers: dict[str, Thing] = field(default_factory=dict)
    execs: dict[str, RunOutcome] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: Asked) -> Reply:
        route = f"{asked.method} " + _IDS.sub(r"/\1/*\2", asked.path)
        with self._lock:
            answer = self._answer(asked, route)
            fault = self.fault(route)
            return replace(answer, after=fault.after) if fault and fault.after else fault or answer

    def left(self) -> list[str]:
        """What there is now."""
        return [*self.images, *self.containers]

    def _answer(self, asked: Asked, route: str) -> Reply:
        name = asked.path.split("/")[2] if asked.path.count("/") > 1 else ""
        if "/containers/*" in route and name not in self.containers:
            return as_json({"message": f"No such container: {name}"}, 404)
        if route in _FIXED:
            return _FIXED[route]
        carry_out: dict[str, Callable[[Asked, str], Reply]] = {
            "POST /build": self._build,
            "DELETE /images/*": self._untag,
            "GET /images/json": lambda asked, _: _listed(self.images, "RepoTags", asked),
            "GET /containers/json": lambda asked, _: _listed(self.containers, "Names", asked),
            "POST /containers/create": self._create,
            "DELETE /containers/*": self._remove,
            "PUT /containers/*/archive": self._put,
            "POST /containers/*/exec": self._exec,
            "POST /exec/*/start": lambda _, name: _output(self.execs[name]),
            "GET /exec/*/json": lambda _, name: _end(self.execs[name]),
            "POST /containers/*/attach": self._attach,
            "POST /containers/*/wait": lambda _, name: _end(self._ran(name)),
            "GET /containers/*/json": lambda _, name: _end(self._ran(name)),
        }
        return carry_out[route](asked, name)

    def _build(self, asked: Asked, _: str) -> Reply:
        image = "sha256:" + hashlib.sha256(asked.body).hexdigest()
        made = self.images.setdefault(image, Thing([], json.loads(asked.query["labels"]), asked.body))
        made.names.append(asked.query["t"])
        return messages({"id": "moby.buildkit.trace", "aux": _VERTEX}, {"id": "moby.image.id", "aux": {"ID": image}})

    def _untag(self, asked: Asked, _: str) -> Reply:
        tag = asked.path.removeprefix("/images/")
        for image, made in list(self.images.items()):
            if tag in made.names:
                made.names.remove(tag)
                if not made.names:
                    del self.images[image]
                return as_json([])
        return as_json({"message": f"No such image: {tag}"}, 404)

    def _create(self, asked: Asked, _: str) -> Reply:
        settings = json.loads(asked.body)
        name = f"c{next(self._numbers)}"
        image = self.images.get(settings["Image"], Thing([], {}))
        run = RunRequest(tuple(settings.get("Cmd") or ()))
        self.containers[name] = Thing([f"/{name}"], settings["Labels"], image.context, run)
        return as_json({"Id": name, "Warnings": []}, 201)

    def _remove(self, _: Asked, name: str) -> Reply:
        del self.containers[name]
        return Reply(status=204)

    def _put(self, asked: Asked, name: str) -> Reply:
        made = self.containers[name]
        with tarfile.open(fileobj=io.BytesIO(asked.body)) as tar:
            opened = [(entry.name, file) for entry in tar if (file := tar.extractfile(entry))]
            made.run = replace(made.run, replaced=tuple(MemoryFile(f"/{path}", file.read()) for path, file in opened))
        return Reply()

    def _exec(self, asked: Asked, name: str) -> Reply:
        command = tuple(json.loads(asked.body)["Cmd"])
        students = command[:2] == _ENTRYPOINT
        seen = self.program(self.containers[name].context, RunRequest(command[2:])) if students else None
        self.execs[started := f"e{next(self._numbers)}"] = seen or RunOutcome(Exited(0))
        return as_json({"Id": started}, 201)

    def _attach(self, asked: Asked, name: str) -> Reply:
        return Reply(echoes=True) if "stdin" in asked.query else _output(self._ran(name))

    def _ran(self, name: str) -> RunOutcome:
        made = self.containers[name]
        return self.program(made.context, made.run)


def _output(seen: RunOutcome) -> Reply:
    return Reply((_frame(1, seen.stdout), _frame(2, seen.stderr)))


def _end(seen: RunOutcome) -> Reply:
    """The end of a run or an exec, as each of the calls that ask for it names it."""
    code = seen.ended.code if isinstance(seen.ended, Exited) else 137
    state = {"ExitCode": code, "OOMKilled": False}
    return as_json({"State": state, "Running": False, "ExitCode": code, "StatusCode": code})


def _listed(things: dict[str, Thing], names: str, asked: Asked) -> Reply:
    wanted = {tuple(label.split("=", 1)) for label in json.loads(asked.query["filters"])["label"]}
    found = [(one, thing) for one, thing in things.items() if wanted <= set(thing.labels.items())]
    return as_json([{"Id": one, names: thing.names, "Labels": thing.labels} for one, thing in found])


def _frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data
