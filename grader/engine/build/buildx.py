"""Build with the docker CLI's buildx plugin, for engines whose API does not offer BuildKit.

The messages of `--progress=rawjson` (buildx 0.13 and later) are those of `grader.engine.build.trace`, as JSON.
Tried by hand with buildx 0.13.1 on Engines 20.10 and 26.1; the unit tests use what it wrote there.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from grader.engine.build.builder import BuildOrder, build_arguments, outcome
from grader.engine.build.trace import Log, Progress, Status, Vertex
from grader.engine.http import Connection, parse_time
from grader.engine.protocol import OnStep
from grader.engine.watchdog import Cancellation, Reason
from grader.errors import EngineError
from grader.models import BuildFailed, Built

_PROBE_SECONDS = 10
_PASSED_ON = ("PATH", "HOME", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
"""Environment variables that the CLI needs to find itself and the engine. Proxies are none of them."""


def buildx_works(endpoint: str) -> bool:
    """Whether `docker buildx version` runs, and the endpoint is one that the CLI can be pointed at."""
    try:
        done = subprocess.run(
            ["docker", "buildx", "version"],  # noqa: S607 - the user's docker CLI, wherever it is installed
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and not endpoint.startswith("npipe:")


def build_with_buildx(
    connection: Connection, order: BuildOrder, cancellation: Cancellation, on_step: OnStep
) -> Built | BuildFailed:
    """A `Builder`. The CLI gets the endpoint and nothing else of the user's Docker configuration."""
    progress = Progress(order.job.dockerfile)
    stopped: Reason | None = None
    error = ""
    with tempfile.TemporaryDirectory(prefix="grader-buildx-") as folder:
        image_file = Path(folder, "image-id")
        with (
            _started(order, connection.endpoint, folder, image_file) as process,
            cancellation.watch(process.kill) as watchdog,
        ):
            watchdog.start(order.seconds)
            for part in rawjson_parts(process.stderr or ()):
                if isinstance(part, str):
                    error = part.removeprefix("ERROR: ") if part.startswith("ERROR: ") or not error else error
                    continue
                for step in progress.add(part):
                    on_step(step)
                if progress.log_bytes > order.log_bytes:
                    watchdog.trip("output_limit")
            code = process.wait()
            stopped = watchdog.reason
        image = image_file.read_text(encoding="ascii").strip() if image_file.exists() else ""
    return outcome(progress, image if code == 0 else "", error if code else "", stopped, order)


@contextmanager
def _started(order: BuildOrder, endpoint: str, folder: str, image_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    labels = [word for name, value in order.labels for word in ("--label", f"{name}={value}")]
    options = [
        "--progress=rawjson",
        "--load",
        "--provenance=false",
        "--tag",
        order.tag,
        "--iidfile",
        str(image_file),
        "--file",
        "Dockerfile",
    ]
    for name, value in build_arguments(order).items():
        options += ["--build-arg", f"{name}={value}"]
    context = Path(folder, "context.tar")
    context.write_bytes(order.job.context)
    plugins = str(Path.home() / ".docker" / "cli-plugins")
    Path(folder, "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [plugins]}), encoding="utf-8")
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {"DOCKER_HOST": endpoint, "DOCKER_CONFIG": folder}
    with (
        context.open("rb") as body,
        subprocess.Popen(
            ["docker", "buildx", "build", *options, *labels, "-"],  # noqa: S607 - as above
            stdin=body,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def rawjson_parts(lines: Iterable[bytes]) -> Iterator[Status | str]:
    """What `--progress=rawjson` prints: messages, on one line or (buildx 0.13) indented, and the CLI's own words."""
    message = b""
    for line in lines:
        if not message and not line.startswith(b"{"):
            if text := line.decode(errors="replace").strip():
                yield text
            continue
        message += line
        if line.rstrip().endswith(b"}") and not line.startswith(b" "):
            yield _status(message)
            message = b""


def _status(message: bytes) -> Status:
    try:
        status = json.loads(message)
    except ValueError as error:
        raise EngineError("The docker CLI broke off in the middle of its report about a build.") from error
    logs = (Log(log.get("vertex", ""), base64.b64decode(log.get("data") or "")) for log in status.get("logs") or ())
    return Status(tuple(_vertex(vertex) for vertex in status.get("vertexes") or ()), tuple(logs))


def _vertex(vertex: dict[str, Any]) -> Vertex:
    return Vertex(
        digest=vertex.get("digest", ""),
        name=vertex.get("name", ""),
        cached=bool(vertex.get("cached")),
        started=parse_time(str(vertex.get("started"))),
        completed=parse_time(str(vertex.get("completed"))),
        error=vertex.get("error", ""),
    )
