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


Answer = Callable[[Asked], Reply]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultEngine

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        path = "/" + url.path.split("/", 2)[2] if url.path.startswith("/v1.") else url.path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        asked = Asked(self.command, path, query, dict(self.headers), body)
        self.server.asked.append(asked)
        self._send(self.server.answer(asked))

    do_POST = do_DELETE = do_PUT = do_HEAD = do_GET  # noqa: N815 - the names that http.server calls

    def _send(self, reply: Reply) -> None:
        if reply.dies:
            self.server.die()
        if reply.silent or reply.after:
            self.server.over.wait(600 if reply.silent else reply.after)
        if reply.silent or self.server.over.is_set() or (reply.cut and self.command == "HEAD"):
            self.close_connection = True
            return
        if reply.echoes:
            self.send_response(101)
            self.end_headers()
            while byte := self.rfile.read(1):
                self.wfile.write(_frame(1, byte))
            self.close_connection = True
            return
        self.send_response(reply.status)
        if self.command == "HEAD":
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in reply.chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        if reply.cut:
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class FaultEngine(ThreadingMixIn, UnixStreamServer):
    """Listens at `path` from the start of a `with` block to its end, or until it dies."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, path: Path, answer: Answer) -> None:
        super().__init__(str(path), _Handler)
        self._path = path
        self.answer = answer
        self.asked: deque[Asked] = deque(maxlen=300)
        self.connections: set[socket.socket] = set()
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

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
        for connection in tuple(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        """A client that gave up is no news."""


# ── a small Docker ──────────────────────────────────────────────────────────────────────

_IDS = re.compile(r"^/(containers|images|exec)/(?!create$|json$)(.+?)(/(?:json|archive|attach|wait|start|kill|exec))?$")
Program = Callable[[bytes, RunRequest], RunOutcome]
"""What a container does: the build context of its image, and how it is run."""


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

    What `fault` gives for a request is answered instead, after the request was carried out (or, with `after`, the
    right answer comes late); it is told the route, which has `*` where an id stands.
    """

    program: Program
    fault: Callable[[str], Reply | None] = lambda _route: None
    images: dict[str, Thing] = field(default_factory=dict)
    containers: dict[str, Thing] = field(default_factory=dict)
    execs: dict[str, RunOutcome] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, asked: Asked) -> Reply:
        route = f"{asked.method} {_IDS.sub(_starred, asked.path)}"
        with self._lock:
            answer = self._answer(asked, route)
            fault = self.fault(route)
            return replace(answer, after=fault.after) if fault and fault.after else fault or answer

    def left(self) -> list[str]:
        """What there is now."""
        return [*self.images, *self.containers]

    def _answer(self, asked: Asked, route: str) -> Reply:
        simple = {
            "GET /version": {"Version": "28.0.0", "ApiVersion": "1.48"},
            "GET /_ping": "OK",
            "GET /info": {"NCPU": 4, "Architecture": "x86_64"},
            "POST /images/create": {},
            "POST /volumes/create": {"Mountpoint": "/volume"},
            "GET /volumes": {"Volumes": []},
            "GET /networks": [],
        }
        if route in simple:
            return as_json(simple[route])
        carry_out = {
            "POST /build": self._build,
            "GET /images/*/json": lambda _: as_json({"Id": "x", "Config": {"Entrypoint": list(_ENTRYPOINT)}}),
            "DELETE /images/*": self._untag,
            "GET /images/json": lambda asked: _listed(self.images, "RepoTags", asked),
            "GET /containers/json": lambda asked: _listed(self.containers, "Names", asked),
            "POST /containers/create": self._create,
        }.get(route)
        if carry_out:
            return carry_out(asked)
        name = asked.path.split("/")[2] if asked.path.count("/") > 1 else ""
        if route.startswith(("POST /exec/", "GET /exec/")):
            return self._ran(route, self.execs[name])
        if name not in self.containers:
            return as_json({"message": f"No such container: {name}"}, 404)
        return self._container(asked, route, name)

    def _build(self, asked: Asked) -> Reply:
        image = "sha256:" + hashlib.sha256(asked.body).hexdigest()
        made = self.images.setdefault(image, Thing([], json.loads(asked.query["labels"]), asked.body))
        made.names.append(asked.query["t"])
        trace = {"id": "moby.buildkit.trace", "aux": base64.b64encode(_VERTEX).decode()}
        return messages(trace, {"id": "moby.image.id", "aux": {"ID": image}})

    def _untag(self, asked: Asked) -> Reply:
        tag = asked.path.removeprefix("/images/")
        for image, made in list(self.images.items()):
            if tag in made.names:
                made.names.remove(tag)
                if not made.names:
                    del self.images[image]
                return as_json([])
        return as_json({"message": f"No such image: {tag}"}, 404)

    def _create(self, asked: Asked) -> Reply:
        settings = json.loads(asked.body)
        name = f"c{next(self._numbers)}"
        image = self.images.get(settings["Image"], Thing([], {}))
        run = RunRequest(tuple(settings.get("Cmd") or ()))
        self.containers[name] = Thing([f"/{name}"], settings["Labels"], image.context, run)
        return as_json({"Id": name, "Warnings": []}, 201)

    def _container(self, asked: Asked, route: str, name: str) -> Reply:
        made = self.containers[name]
        if "stdin" in asked.query:
            return Reply(echoes=True)
        if route == "POST /containers/*/exec":
            command = tuple(json.loads(asked.body)["Cmd"])
            ours = command[:2] != _ENTRYPOINT
            seen = RunOutcome(Exited(0)) if ours else self.program(made.context, RunRequest(command[2:]))
            self.execs[started := f"e{next(self._numbers)}"] = seen
            return as_json({"Id": started}, 201)
        if route.startswith(("POST", "DELETE")) and not route.endswith(("attach", "wait")):
            if route.startswith("DELETE"):
                del self.containers[name]
            return Reply(status=204)
        if route == "PUT /containers/*/archive":
            made.run = replace(made.run, replaced=_files_in(asked.body))
        elif route == "GET /containers/*/archive":
            return as_json({"message": "no such file"}, 404)
        elif route != "HEAD /containers/*/archive":
            return self._ran(route, self.program(made.context, made.run))
        return Reply()

    def _ran(self, route: str, seen: RunOutcome) -> Reply:
        code = seen.ended.code if isinstance(seen.ended, Exited) else 137
        if route.endswith(("attach", "/exec/*/start")):
            return Reply((_frame(1, seen.stdout), _frame(2, seen.stderr)))
        state = {"ExitCode": code, "OOMKilled": False}
        answer = {"State": state, "Running": False, "ExitCode": code}
        return as_json(answer if route.endswith("json") else {"StatusCode": code})


_ENTRYPOINT = ("python", "/app/sales_predictor.py")
_VERTEX = b"\n\x0c\n\x01x\x1a\x07[1/1] x"
"""A step in BuildKit's progress: field 1 (a vertex) with its digest (1) and its name (3)."""


def _starred(match: re.Match[str]) -> str:
    return f"/{match[1]}/*{match[3] or ''}"


def _listed(things: dict[str, Thing], names: str, asked: Asked) -> Reply:
    wanted = {tuple(label.split("=", 1)) for label in json.loads(asked.query["filters"])["label"]}
    found = [(one, thing) for one, thing in things.items() if wanted <= set(thing.labels.items())]
    return as_json([{"Id": one, names: thing.names, "Labels": thing.labels} for one, thing in found])


def _frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def _files_in(archive: bytes) -> tuple[MemoryFile, ...]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tuple(MemoryFile(f"/{entry.name}", opened.read()) for entry in tar if (opened := tar.extractfile(entry)))
