"""The private engine: it builds and runs, its container's caps hold for builds too, and nothing of it is left."""

from __future__ import annotations

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from grader.engine.docker_engine import DockerEngine
from grader.engine.http import Refused
from grader.engine.ownership import OWNER_LABEL, our_objects
from grader.engine.run import remove_container
from grader.errors import EngineError
from grader.models import BuildFailed, Built, Exited, RunRequest
from grader.sandbox.nested_engine import (
    PrivateEngine,
    _image_ids,
    _template_name,
    start_private_engine,
)
from tests.engine.contexts import BASE, LIMITS, PRIVATE, ignore, make_job

pytestmark = [pytest.mark.engine, pytest.mark.private]

ROOT = str(Path(__file__).parents[2])


OTHER = replace(PRIVATE, images=("python:3.11-slim",))


@pytest.fixture
def engine(private: PrivateEngine) -> DockerEngine:
    return private.engine


def gateway(private: PrivateEngine) -> str:
    """The address of this machine on the network of the private engine's container."""
    details = private.host.call("GET", f"/containers/{private.container}/json").json
    return str(details["NetworkSettings"]["Networks"]["bridge"]["Gateway"])


# ── what it is for ──────────────────────────────────────────────────────────────────────

HEREDOC = """
RUN <<END
set -e
echo made by a heredoc > /made.txt
END
ENTRYPOINT ["cat", "/made.txt"]
"""


def test_it_builds_what_todays_builders_know_and_runs_it(engine: DockerEngine) -> None:
    built = engine.build(make_job(HEREDOC), LIMITS, ignore)
    assert isinstance(built, Built), built
    ran = engine.run(built.image, RunRequest(), LIMITS)
    assert (ran.ended, ran.stdout) == (Exited(0), b"made by a heredoc\n")
    assert (engine.info().tier, engine.info().builder) == ("private", "buildkit")


def test_builds_have_the_network(engine: DockerEngine) -> None:
    built = engine.build(
        make_job("RUN pip install --no-deps tabulate && python -c 'import tabulate'\n"), LIMITS, ignore
    )
    assert isinstance(built, Built), built


REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()
    print("reached")
except ConnectionRefusedError:
    print("refused")
except OSError as error:
    print(error)
"""


def reach(private: PrivateEngine, network: str, address: str, port: int) -> str:
    """What a container in this network of the private engine sees when it connects."""
    connection = private.engine.connection
    command = ["python", "-c", REACH, address, str(port)]
    body = {"Image": BASE, "Cmd": command, "HostConfig": {"NetworkMode": network}, "Tty": True}
    container = connection.call("POST", "/containers/create", json=body).json["Id"]
    try:
        connection.call("POST", f"/containers/{container}/start")
        connection.call("POST", f"/containers/{container}/wait")
        log = connection.stream("GET", f"/containers/{container}/logs", parameters={"stdout": 1}, silence=10)
        with closing(log):
            return b"".join(log).decode().strip()
    finally:
        remove_container(connection, container)


def test_what_a_cloud_tells_its_machines_is_not_told_here(private: PrivateEngine) -> None:
    assert reach(private, "bridge", "169.254.169.254", 80) == "refused"


class _Asked(http.server.BaseHTTPRequestHandler):
    """Answers everything with nothing, and writes down what was asked for."""

    paths: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


def test_the_engine_itself_fetches_nothing(private: PrivateEngine, engine: DockerEngine) -> None:
    """No gate stands before the Dockerfiles that a script writes. What their RUN does is another thing."""
    with http.server.ThreadingHTTPServer(("", 0), _Asked) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        place = f"{gateway(private)}:{server.server_port}"
        try:
            fetch = f"import urllib.request; urllib.request.urlopen('http://{place}/by-run')"
            assert isinstance(engine.build(make_job(f'RUN python -c "{fetch}"\n'), LIMITS, ignore), Built)
            assert isinstance(engine.build(make_job(f"ADD http://{place}/by-add /x\n"), LIMITS, ignore), BuildFailed)
            assert isinstance(engine.build(make_job(f"ADD http://{place}/x.git /x\n"), LIMITS, ignore), BuildFailed)
            with pytest.raises(EngineError, match="connection refused"):  # a base that is missing is no student's fault
                engine.build(make_job(f"COPY --from={place}/image:1 / /x\n"), LIMITS, ignore)
        finally:
            server.shutdown()
    assert _Asked.paths == ["/by-run"]


def test_a_network_of_a_scripts_own_has_no_way_out(private: PrivateEngine, engine: DockerEngine) -> None:
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        network = engine.connection.call("POST", "/networks/create", json={"Name": "own"}).json["Id"]
        try:
            assert reach(private, "bridge", gateway(private), port) == "reached"
            assert reach(private, network, gateway(private), port) == "refused"
        finally:
            engine.connection.call("DELETE", f"/networks/{network}")


def test_two_private_engines_do_not_meet(host: DockerEngine, engine: DockerEngine) -> None:
    built = engine.build(make_job("RUN echo first > /first\n"), LIMITS, ignore)
    assert isinstance(built, Built)
    with start_private_engine(host, PRIVATE, print) as other:
        assert other.engine.image_labels(built.image) is None
        assert other.engine.image_labels(BASE) is not None
    assert engine.image_labels(built.image) is not None


# ── nothing is left ─────────────────────────────────────────────────────────────────────


def test_what_is_done_to_base_images_ends_with_the_engine(host: DockerEngine) -> None:
    with start_private_engine(host, PRIVATE, print) as first:
        connection = first.engine.connection
        connection.call("DELETE", f"/images/{BASE}", parameters={"force": 1})
        assert connection.call("GET", "/images/json").json == []
    with start_private_engine(host, PRIVATE, print) as second:
        engine = second.engine
        built = engine.build(make_job('ENTRYPOINT ["python", "-c", "import json; print(1)"]\n'), LIMITS, ignore)
        assert isinstance(built, Built)
        assert engine.run(built.image, RunRequest(), LIMITS).ended == Exited(0)


ANOTHER_GRADER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from tests.engine.test_private import OTHER
from grader.engine.docker_engine import connect
from grader.engine.ownership import this_process
from grader.sandbox.nested_engine import start_private_engine
print(this_process(), flush=True)
host = connect(builder="buildkit")
with start_private_engine(host, OTHER, lambda line: None):
    pass
"""


@contextmanager
def making_the_template(host: DockerEngine) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another grader, which is about to fill the template: its process, and its owner label."""
    remove_volume(host, _template_name(_image_ids(host.connection, OTHER.images)))
    with subprocess.Popen([sys.executable, "-c", ANOTHER_GRADER, ROOT], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        owner = process.stdout.readline().strip()
        while "volume" not in of(owner, host) and process.poll() is None:
            time.sleep(0.05)
        yield process, owner


@contextmanager
def other_template_removed(host: DockerEngine) -> Iterator[None]:
    try:
        yield
    finally:
        remove_volume(host, _template_name(_image_ids(host.connection, OTHER.images)))


def has_the_other_image(host: DockerEngine) -> bool:
    """Whether a private engine with the template has what must be in it."""
    with start_private_engine(host, OTHER, print) as private:
        return private.engine.image_labels("python:3.11-slim") is not None


def test_a_template_that_a_killed_grader_left_half_made_is_made_anew(host: DockerEngine) -> None:
    with other_template_removed(host):
        with making_the_template(host) as (process, owner):
            os.kill(process.pid, signal.SIGKILL)
        assert set(of(owner, host)) == {"container", "volume"}
        assert has_the_other_image(host)
        assert of(owner, host) == []


def test_a_template_that_another_grader_makes_is_waited_for(host: DockerEngine) -> None:
    with other_template_removed(host):
        with making_the_template(host) as (process, owner):
            assert has_the_other_image(host)
            assert process.wait(timeout=120) == 0
        assert of(owner, host) == []


def remove_volume(host: DockerEngine, name: str) -> None:
    for volume in (f"{name}-complete", name):
        with suppress(Refused):
            host.connection.call("DELETE", f"/volumes/{volume}")


def test_after_an_interrupt_containers_and_volumes_are_gone(host: DockerEngine) -> None:
    seen: list[PrivateEngine] = []
    with pytest.raises(KeyboardInterrupt):
        interrupt_one(host, seen)
    assert our_objects(host.connection, seen[0].run) == []


def interrupt_one(host: DockerEngine, seen: list[PrivateEngine]) -> None:
    with start_private_engine(host, PRIVATE, print) as private:
        assert our_objects(host.connection, private.run)
        seen.append(private)
        raise KeyboardInterrupt


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from tests.engine.contexts import PRIVATE
from grader.engine.docker_engine import connect
from grader.engine.ownership import this_process
from grader.sandbox.nested_engine import start_private_engine
with start_private_engine(connect(builder="buildkit"), PRIVATE, lambda line: None):
    print(this_process(), flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_grader_leaves_is_removed(host: DockerEngine) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, ROOT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        owner = process.stdout.readline().strip()
        assert set(of(owner, host)) == {"container", "volume"}
        os.kill(process.pid, signal.SIGKILL)
    host.prune()
    assert of(owner, host) == []


def of(owner: str, host: DockerEngine) -> list[str]:
    return sorted(one.kind for one in our_objects(host.connection) if dict(one.labels).get(OWNER_LABEL) == owner)
