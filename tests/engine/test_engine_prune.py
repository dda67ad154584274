"""Removal: what a killed grader leaves is found and removed, what others have is not touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from grader.engine.docker_engine import DockerEngine
from grader.engine.ownership import OWNER_LABEL, Leftover, Owner, labels, our_objects, this_process
from grader.models import Built, Exited, RunRequest
from tests.e2e.conftest import one_after_another
from tests.engine.contexts import BASE, LIMITS, ignore, make_job

pytestmark = [pytest.mark.engine, one_after_another]

OTHER = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.engine.contexts import BASE, LIMITS, ignore, make_job
from grader.engine.docker_engine import connect
from grader.models import RunRequest
from grader.engine.ownership import this_process
engine = connect(builder="buildkit")
job = make_job('VOLUME ["/data"]\\nENTRYPOINT ["python", "-c", "import time; time.sleep(1000)"]\\n')
built = engine.build(job, LIMITS, ignore)
import threading
threading.Thread(target=engine.run, args=(built.image, RunRequest(), LIMITS), daemon=True).start()
print(this_process(), flush=True)
sys.stdin.read()
"""


@contextmanager
def other_grader() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process with an image, a volume and a running container in the engine, and its owner label."""
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(Path(__file__).parents[2])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def of(owner: str, objects: list[Leftover] | tuple[Leftover, ...]) -> list[str]:
    return sorted(one.kind for one in objects if dict(one.labels).get(OWNER_LABEL) == owner)


def test_a_killed_graders_objects_are_pruned_and_a_living_ones_are_not(connected: Callable[..., DockerEngine]) -> None:
    engine = connected()
    with other_grader() as (process, owner):
        assert Owner.parse(owner)
        while "container" not in of(owner, our_objects(engine.connection)):
            time.sleep(0.1)
        assert of(owner, engine.prune()) == []
        assert of(owner, our_objects(engine.connection)) == ["container", "image", "volume"]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert of(owner, engine.prune()) == ["container", "image", "volume"]
        assert of(owner, our_objects(engine.connection)) == []


def test_closing_one_engine_leaves_the_others_objects(connected: Callable[..., DockerEngine]) -> None:
    first, second = connected(), connected()
    job = make_job('ENTRYPOINT ["python", "-c", "print(1)"]\n')
    _, built = (engine.build(job, LIMITS, ignore) for engine in (first, second))
    first.close()
    first.close()
    assert isinstance(built, Built)
    assert second.run(built.image, RunRequest(), LIMITS).ended == Exited(0)


def test_a_container_that_somebody_starts_from_our_image_is_theirs(engine: DockerEngine, image: str) -> None:
    theirs = engine.connection.call("POST", "/containers/create", json={"Image": image}).json["Id"]
    try:
        assert theirs not in {one.id for one in our_objects(engine.connection)}
    finally:
        engine.connection.call("DELETE", f"/containers/{theirs}")


def test_a_grader_in_a_container_knows_which_and_what_it_leaves_is_pruned_once_that_has_ended(
    connected: Callable[..., DockerEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pid says nothing outside; but the engine knows whether its container runs."""
    engine = connected()
    connection = engine.connection
    body = {"Image": BASE, "Cmd": ["sleep", "1000"], "StopSignal": "SIGKILL"}
    grader = connection.call("POST", "/containers/create", json=body).json["Id"]
    try:
        assert this_process(connection).container == ""
        with monkeypatch.context() as there:
            there.setattr("platform.node", lambda: grader[:12])
            owner = replace(this_process(connection), host="elsewhere")
        assert owner.container == grader
        connection.call("POST", f"/containers/{grader}/start")
        volume = {"Name": f"grader-test-{grader[:12]}", "Labels": dict(labels("run", owner, "volume"))}
        connection.call("POST", "/volumes/create", json=volume)
        assert of(str(owner), engine.prune()) == []
        connection.call("POST", f"/containers/{grader}/kill")
        connection.call("POST", f"/containers/{grader}/wait")
        assert of(str(owner), engine.prune()) == ["volume"]
    finally:
        connection.call("DELETE", f"/containers/{grader}", parameters={"force": 1})
