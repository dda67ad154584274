"""One request to an engine behind a unix socket, before anything else is known of it."""

from __future__ import annotations

import http.client
import json
import socket
from typing import IO, Any, cast

from grader.errors import EngineError


class SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket, with the longest silence in seconds."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("docker", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect to the path instead of a host."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(endpoint: str, method: str, target: str, body: IO[bytes] | None = None, *, seconds: float) -> bytes:
    """Send one request, with a tar as its body, and return the body of the answer.

    `endpoint` is as in DOCKER_HOST; `seconds` is the longest silence. Raises `EngineError` for any failure.
    """
    connection = SocketConnection(endpoint.removeprefix("unix://"), seconds)
    try:
        connection.request(method, target, body=body, headers={"Content-Type": "application/x-tar"} if body else {})
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise EngineError(f"The private engine did not answer {method} {target}: {error}.") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        reason = cast("dict[str, Any]", json.loads(answer)).get("message", "")
        raise EngineError(f"The private engine refused {method} {target} (status {response.status}): {reason}")
    return answer
