"""Each call that grading makes to an engine × each fault that an engine can have: nobody loses points by it.

The engine is a small Docker behind a real socket; all between the socket and the verdict is the product's own.
"""

from __future__ import annotations

import gc
import itertools
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine, connect
from grader.engine.http import Connection
from grader.errors import EngineError
from grader.grading.executor import Engines
from grader.grading.session import grade_one
from grader.models import ExerciseReport, RunOutcome, RunRequest
from tests.fakes import FakeEngine
from tests.faultengine import FaultEngine, Reply, SmallDocker, as_json
from tests.unit.grading.test_session import EXERCISE, files, nowhere, session
from tests.worlds import COURSE, predictor

CALLS = (
    "POST /build",
    "GET /images/*/json",
    "POST /containers/create",
    "HEAD /containers/*/archive",
    "PUT /containers/*/archive",
    "POST /containers/*/attach",
    "POST /containers/*/wait",
    "POST /containers/*/start",
    "GET /containers/*/json",
    "DELETE /containers/*",
    "DELETE /images/*",
    "POST /containers/*/exec",
    "POST /exec/*/start",
    "GET /exec/*/json",
)
FAULTS = {
    "slow": Reply(after=0.1),
    "silent": Reply(silent=True),
    "nonsense": Reply((b"<html>Bad gateway</html>",)),
    "empty object": as_json({}),
    "not found": as_json({"message": "No such thing"}, 404),
    "conflict": as_json({"message": "removal is already in progress"}, 409),
    "fault inside": as_json({"message": "device or resource busy"}, 500),
    "overloaded": as_json({"message": "too many requests"}, 503),
    "cut": Reply((b"\x01\0",), cut=True),
    "dies": Reply(dies=True),
}
STATUS_ONLY = {
    "HEAD /containers/*/archive",
    "PUT /containers/*/archive",
    "POST /containers/*/start",
    "POST /containers/*/wait",
}
"""Calls of whose answer the body does not matter: its status is the news, or that there is one."""


def passes(fault: str, call: str) -> bool:
    """Whether the right verdict is reached all the same.

    It is after a wait, after an exec, since a run follows whatever becomes of that, and if all was seen before.
    """
    return (
        fault == "slow"
        or (fault in {"nonsense", "empty object"} and call in STATUS_ONLY)
        or ("exec" in call and fault != "dies")
        or (call.startswith("DELETE") and (fault, call) != ("dies", "DELETE /containers/*"))
    )


def work(_context: bytes, request: RunRequest) -> RunOutcome:
    return predictor(request)


@dataclass
class Faulty:
    """Gives `reply` for the first `times` calls of a route."""

    route: str
    reply: Reply
    times: int
    met: int = 0

    def __call__(self, route: str) -> Reply | None:
        if route != self.route:
            return None
        self.met += 1
        return self.reply if self.met <= self.times else None


@pytest.fixture(autouse=True)
def _short_deadlines(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A silent engine is waited for half a second instead of a minute; all else has time on a busy machine."""
    monkeypatch.setattr("grader.engine.ownership.time.sleep", lambda _seconds: None)
    if "silent" in request.node.name:
        for name in ("run._SLACK", "build.builders._SILENCE", "holder._NEWS_SECONDS"):
            monkeypatch.setattr(f"grader.engine.{name}", 0.3)
        known = Connection.call.__kwdefaults__ or {}
        monkeypatch.setattr(Connection.call, "__kwdefaults__", {**known, "seconds": 0.5})


Connect = Callable[[SmallDocker], DockerEngine]


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Connect]:
    """Connects to a small Docker behind a socket."""
    with ExitStack() as stack:
        stack.callback(gc.collect)

        def start(docker: SmallDocker) -> DockerEngine:
            path = tmp_path / "engine.sock"
            stack.enter_context(FaultEngine(path, docker))
            return connect(builder="buildkit", endpoint=f"unix://{path}")

        yield start


LIMITS = Limits(build_seconds=1, run_seconds=1)


def graded(engine: DockerEngine, recover: Callable[[], None] = lambda: None) -> ExerciseReport:
    course = replace(COURSE, limits=LIMITS)
    opened = replace(session(FakeEngine()), course=course, engines=Engines(engine, nowhere), recover=recover)
    return grade_one(opened, "ada", EXERCISE, files()).report


def test_without_a_fault_it_passes_and_every_call_of_the_table_is_made(engines: Connect) -> None:
    met: list[str] = []
    docker = SmallDocker(work, met.append)
    with engines(docker) as engine:
        report = graded(engine)
    assert (report.status, report.score) == ("passed", 10), report
    assert set(CALLS) <= set(met)
    assert docker.left() == []


@pytest.mark.parametrize(
    ("fault", "call"),
    # But for one that is an answer: the image has no such file.
    sorted({*itertools.product(FAULTS, CALLS)} - {("not found", "HEAD /containers/*/archive")}),
)
def test_a_fault_that_stays_costs_no_points(fault: str, call: str, engines: Connect) -> None:
    faulty = Faulty(call, FAULTS[fault], 1000)
    docker = SmallDocker(work, faulty)
    engine = engines(docker)
    began = time.monotonic()
    report = graded(engine)
    with suppress(EngineError):
        engine.close()
    assert time.monotonic() - began < 60
    assert faulty.met
    if passes(fault, call):
        assert (report.status, report.score) == ("passed", 10), report
    else:
        assert (report.status, report.score) == ("not_graded", None), report
        assert "engine" in report.message.lower()
        assert not re.search(r"Error\(|Traceback", report.message)


SLOW = ("POST /containers/create", "POST /containers/*/start", "DELETE /containers/*")
"""Each run may take a second; the engine takes more than that for its own part of it."""


@pytest.mark.parametrize(
    ("call", "reply", "times"),
    [
        *((call, FAULTS[fault], 1) for call in CALLS for fault in ("fault inside", "cut")),
        *((call, Reply(after=1.3), 2) for call in SLOW),
        ("POST /containers/*/attach", Reply(), 1),  # output that the engine lost
    ],
)
def test_a_fault_that_passes_costs_nothing(call: str, reply: Reply, times: int, engines: Connect) -> None:
    docker = SmallDocker(work, Faulty(call, reply, times))
    with engines(docker) as engine:
        report = graded(engine)
    assert (report.status, report.score) == ("passed", 10), report
    assert docker.left() == []


def test_an_engine_that_is_started_again_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "engine.sock"
    died = Faulty("POST /containers/*/start", FAULTS["dies"], 1)
    with ExitStack() as stack:
        stack.enter_context(FaultEngine(path, SmallDocker(work, died)))
        engine = connect(builder="buildkit", endpoint=f"unix://{path}")
        came_back: list[bool] = []
        again = threading.Timer(1, lambda: stack.enter_context(FaultEngine(path, SmallDocker(work))))
        again.start()
        assert graded(engine, lambda: came_back.append(engine.comes_back(30))).score == 10
        again.join()
        assert came_back == [True]
        assert engine.comes_back(0)
    assert not engine.comes_back(0)


# ── nothing piles up ────────────────────────────────────────────────────────────────────

GRADINGS = 60


def test_descriptors_threads_and_memory_stay_the_same_over_many_gradings(engines: Connect) -> None:
    calls = itertools.count(1)
    docker = SmallDocker(work, lambda _route: FAULTS["fault inside"] if next(calls) % 97 == 0 else None)
    seen = []
    with engines(docker) as engine:
        for number in range(GRADINGS):
            graded(engine)
            if number % 4 == 3:
                seen.append(used())
    assert docker.left() == []
    descriptors, threads, memory = zip(*seen[1:], strict=True)
    # The least of several: on a busy machine some threads are still about to end.
    assert min(descriptors[-5:]) <= min(descriptors[:5]) + 5, seen
    assert min(threads[-5:]) <= min(threads[:5]) + 5, seen
    assert memory[-1] - memory[3] < 10, seen  # MiB


def used() -> tuple[int, int, float]:
    """Open descriptors, threads and resident memory in MiB of this process, without what the next collection frees."""
    gc.collect()
    threading.Event().wait(0.05)  # the engine's threads end when the connections have
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), resident / 2**20
