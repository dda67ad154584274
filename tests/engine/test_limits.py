"""Limits on the real engines: every one holds here, and where a container gets more than it should, that is seen."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from grader.app.opening import host_places, trial_engine
from grader.app.proving import tried
from grader.course import open_course
from grader.engine import DockerEngine
from grader.limits import proofs
from grader.spec import Limits
from tests.engine.contexts import BASE
from tests.engine.test_private import why_not_nested

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]


def ignore(_: str) -> None:
    """Progress that nobody watches."""


def test_every_limit_of_this_engine_holds(engine: DockerEngine) -> None:
    results = list(tried(engine, host_places(engine), proofs("host", BASE), ignore))
    assert [f"{one.proof.name}: {one.seen}" for one in results if not one.holds] == []


GENEROUS = Limits(run_seconds=60, memory_mb=1024, processes=500, cpus=64, tmp_mb=200)


def test_a_container_that_gets_all_it_asks_for_is_seen_to(engine: DockerEngine) -> None:
    bounded = [proof for proof in proofs("host", BASE) if proof.needed]
    loose = [replace(proof, trial=replace(proof.trial, limits=GENEROUS)) for proof in bounded]
    results = {one.proof.name: one for one in tried(engine, host_places(engine), loose, ignore)}
    assert [name for name, one in results.items() if one.holds] == ["run network", "run privileges"]
    assert results["run memory"].seen == "got all of it"
    assert results["run processes"].seen == "got 100"


@pytest.mark.private
def test_every_limit_of_a_private_engine_holds(connected: Callable[..., DockerEngine]) -> None:
    host = connected()
    if reason := why_not_nested(host.connection):
        pytest.skip(f"no engine can run in a container here: {reason}")
    with trial_engine(open_course(ROOT, os.environ, ROOT), host, print) as trial:
        wanted = [
            proof for proof in proofs("private", BASE) if trial.private.disk_is_bounded or "disk" not in proof.name
        ]
        results = list(tried(trial.engine, trial.places, wanted, ignore))
    assert [f"{one.proof.name}: {one.seen}" for one in results if not one.holds] == []
