"""The proxy as a program: `main SETTINGS.json` listens where scripts connect, and sends on what the rules let pass."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import h11

from grader.sandbox.proxy import rules
from grader.sandbox.proxy.build import BadContext, Printer, body_limit, prepare
from grader.sandbox.proxy.http import Client, Engine, call, passed_on, relay
from grader.sandbox.proxy.interface import ProxySettings, Recorder
from grader.sandbox.proxy.shape import BODY_LIMIT, Refusal

REFUSED = 403
"""The status of every refusal, so that one number in the record tells them from the engine's own errors."""
_CONNECTIONS = 128
"""Connections that are served at once; others are closed, so that nobody waits who cannot be served."""
_SILENCE_SECONDS = 30.0
"""How long a client that has begun a request may be silent."""
_MADE = re.compile(rb'"Id":"([0-9a-f]{64})"')


def main() -> None:
    """Serve by the settings in the file that the first argument names, until SIGTERM. Says `listening` once it does."""
    settings = ProxySettings(**json.loads(Path(sys.argv[1]).read_bytes()))
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # before there are threads, which inherit it
    with running(settings):
        print("listening", flush=True)  # noqa: T201 - the grader waits for it
        signal.sigwait(ends)


@contextmanager
def running(settings: ProxySettings) -> Iterator[None]:
    """Listen and serve until the block ends. The folder of the workspace must not be replaceable by a script."""
    with Path(settings.record).open("ab") as file, _Server(settings, Recorder(file)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            Path(settings.listen).unlink(missing_ok=True)


class _Server(socketserver.ThreadingUnixStreamServer):
    request_queue_size = 128
    daemon_threads = True
    block_on_close = False

    def __init__(self, settings: ProxySettings, recorder: Recorder) -> None:
        self.settings = settings
        self.recorder = recorder
        self.account = rules.Account(settings.quota)
        self.began = time.time()
        self.caches = secrets.token_hex(16)
        self.reading = threading.Lock()
        self.slots = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(settings.listen, _Handler)
        Path(settings.listen).chmod(0o600)


class _Handler(socketserver.BaseRequestHandler):
    """One connection, which carries one request."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        if not self.server.slots.acquire(blocking=False):
            return
        self.settings = self.server.settings
        self.client = Client(self.request)
        self.entry: dict[str, Any] = {"began": time.monotonic()}
        self.is_recorded = False
        with contextlib.suppress(OSError, h11.ProtocolError):
            try:
                self._serve()
            except Refusal as refusal:
                self._refuse(str(refusal))
            except RecursionError:
                self._refuse("the JSON of the request is nested too deeply")
            except BadContext as problem:
                self._answer(HTTPStatus.BAD_REQUEST, str(problem))
            finally:
                self._record(0)
                self.server.slots.release()

    def _serve(self) -> None:
        self.request.settimeout(_SILENCE_SECONDS)
        head = self.client.read_head()
        self.server.account.charge({"requests": 1})
        endpoint = rules.endpoint_of(head)
        body = self.client.read_body(BODY_LIMIT if endpoint.body else 0) if endpoint.name != "build" else b""
        planned = rules.plan(endpoint, head, body, self.settings, self.server.began)
        if endpoint.name == "image pull":
            self._pull(rules.pulled(planned.request.query))
            return
        printer = None
        if endpoint.name == "build":
            asked = planned.request.query
            printer = Printer([value for name, value in asked if name == "t"], dict(asked).get("q") in {"1", "true"})
            planned = self._read_build(planned)
        self.entry |= planned.entry
        self.server.account.charge(planned.makes)
        if planned.folders is not None:
            self._mount(planned.folders)
        self.request.settimeout(None)
        engine = Engine(self.settings.engine)
        with engine.socket:
            engine.send(planned.request, planned.body)
            planned = replace(planned, body=b"")  # a context is large, and a build may be long
            self._pass_on(engine, planned, printer)

    def _read_build(self, planned: rules.Plan) -> rules.Plan:
        with self.server.reading:  # contexts are held in memory, so one at a time
            what = "a build's context (.dockerignore makes it smaller)"
            body = self.client.read_body(body_limit(self.settings), what)
            _, images = call(self.settings.engine, "GET", "/images/json")
            present = [name for image in json.loads(images or b"[]") for name in image.get("RepoTags") or ()]
            return prepare(planned, body, self.settings, present, self.server.caches)

    def _mount(self, folders: tuple[str, ...]) -> None:
        """Make what a container's mounts of the workspace need. Raises `Refusal` where the engine makes no volume."""
        for folder in folders:
            _make_folder(self.settings.workspace, folder)
        volume = rules.workspace_volume(self.settings.workspace)
        status, answer = call(self.settings.engine, "POST", "/volumes/create", volume)
        if status != HTTPStatus.CREATED:
            raise Refusal(f"the folder of the submission could not be mounted: {answer.decode(errors='replace')}")

    def _pull(self, image: str) -> None:
        """An image that is here is up to date; so `docker pull` does in a script what it does at home."""
        status, _ = call(self.settings.engine, "GET", f"/images/{image}/json")
        if status != HTTPStatus.OK:
            raise rules.not_here(image)
        self._answer(HTTPStatus.OK, {"status": f"Status: Image is up to date for {image}"})

    def _pass_on(self, engine: Engine, planned: rules.Plan, printer: Printer | None) -> None:
        """Pass the engine's answer on. What the record says of it is written before the client has all of it."""
        events = engine.events(self.request)
        first = next(events)
        if isinstance(first, h11.InformationalResponse):
            self._record(first.status_code)
            self.client.send(first)
            self.request.sendall(engine.http.trailing_data[0])
            engine.socket.sendall(self.client.http.trailing_data[0])
            relay(self.request, engine.socket)
            return
        if not isinstance(first, h11.Response):
            return
        built = printer if first.status_code == HTTPStatus.OK else None
        if planned.request.path.endswith("/create"):
            events = iter(rest := [*events])
            made = _MADE.search(b"".join(event.data for event in rest if isinstance(event, h11.Data)))
            self.entry["made"] = made[1].decode() if made else ""
        if built:
            self.client.begin(HTTPStatus.OK)
        else:
            self._record(first.status_code)
            self.client.send(passed_on(first))
        for event in events:
            if built and isinstance(event, h11.Data):
                for line in built.feed(event.data):
                    self.client.send(h11.Data(data=line))
                continue
            if built:
                self.entry["made"] = built.image
                self._record(first.status_code)
            self.client.send(event)

    def _refuse(self, why: str) -> None:
        self.entry["refused"] = why
        self._answer(REFUSED, why)

    def _answer(self, status: int, body: object) -> None:
        """Answer without the engine."""
        self._record(status)
        self.client.answer(status, body)

    def _record(self, status: int) -> None:
        """Write the request down, once, if there is one."""
        head = self.client.head
        if (head or "refused" in self.entry) and not self.is_recorded:
            self.is_recorded = True
            method, path = (head.method, rules.without_version(head.path)) if head else ("?", "/")
            query = head.query if head else ()
            self.server.recorder.add(self.entry | {"method": method, "path": path, "query": query, "status": status})


def _make_folder(workspace: str, below: str) -> None:
    """Make a folder for a bind mount, as the engine does. No link is followed; the engine says what is in the way."""
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        parent = os.open(workspace, os.O_RDONLY | os.O_DIRECTORY)
        stack.callback(os.close, parent)
        for part in below.split("/"):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=parent)
            parent = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            stack.callback(os.close, parent)
