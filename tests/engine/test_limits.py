"""Limits on the real engines: every one holds here, and where a container gets more than it should, that is seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from grader.checks import REASONS
from grader.cli.proving import tried
from grader.cli.wiring import TrialEngine, host_engines, trial_engine
from grader.course.folder import open_course
from grader.course.models import Limits
from grader.engine.client import connect
from grader.engine.docker_engine import DockerEngine
from grader.limits.judge import Spent
from grader.limits.meter import kernel_limits, squeezed
from grader.limits.probes import SMALL_ENGINE, proofs
from grader.models import Exited, RunRequest
from tests.engine.contexts import BASE, LIMITS
from tests.engine.test_private import why_not_nested

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]


def ignore(_: str) -> None:
    """Progress that nobody watches."""


def test_every_limit_of_this_engine_holds(engine: DockerEngine) -> None:
    results = list(tried(engine, host_engines(engine), proofs("host", BASE), ignore))
    assert [f"{one.proof.name}: {one.seen}" for one in results if not one.holds] == []


def test_what_the_classic_builder_bounds_in_a_build_holds(connected: Callable[..., DockerEngine]) -> None:
    engine = connected("classic")
    wanted = [proof for proof in proofs("host", BASE, "classic") if proof.name in {"build memory", "build CPU"}]
    results = list(tried(engine, host_engines(engine), wanted, ignore))
    assert [(one.proof.name, one.holds, one.seen) for one in results if not one.holds] == []
    assert len(results) == 2


GENEROUS = Limits(run_seconds=60, memory_mb=1024, processes=500, cpus=64, tmp_mb=200)


def test_a_container_that_gets_all_it_asks_for_is_seen_to(engine: DockerEngine) -> None:
    bounded = [proof for proof in proofs("host", BASE) if proof.needed]
    loose = [replace(proof, trial=replace(proof.trial, limits=GENEROUS)) for proof in bounded]
    results = {one.proof.name: one for one in tried(engine, host_engines(engine), loose, ignore)}
    assert [name for name, one in results.items() if one.holds] == ["run network", "run privileges"]
    assert results["run memory"].seen == "got all of it"
    assert results["run processes"].seen == "got 100"


@pytest.fixture(scope="module")
def trial() -> Iterator[TrialEngine]:
    """A private engine to try limits in, shared: starting one takes seconds."""
    with connect(builder="buildkit") as host:
        if reason := why_not_nested(host.connection):
            pytest.skip(f"no engine can run in a container here: {reason}")
        with trial_engine(open_course(ROOT, os.environ, ROOT, REASONS), host, print) as made:
            yield made


@pytest.mark.private
def test_every_limit_of_a_private_engine_holds(trial: TrialEngine) -> None:
    wanted = [proof for proof in proofs("private", BASE) if trial.private.disk_is_bounded or "disk" not in proof.name]
    results = list(tried(trial.engine, trial.engines, wanted, ignore, trial.squeeze))
    assert [f"{one.proof.name}: {one.seen}" for one in results if not one.holds] == []


CORES = [proof for proof in proofs("private", BASE) if proof.name in {"build CPU", "compose CPU"}]


@pytest.mark.private
def test_an_engine_that_gets_all_cores_is_seen_to(trial: TrialEngine) -> None:
    def all_of_them(_few: float) -> AbstractContextManager[Callable[[], Spent]]:
        return squeezed(trial.workshop.host, trial.private.container, os.cpu_count() or 1)

    results = list(tried(trial.engine, trial.engines, CORES, ignore, all_of_them))
    assert [one.proof.name for one in results if one.holds] == []
    assert [one.seen for one in results if "never made to wait" not in one.seen] == []


@pytest.mark.private
def test_what_works_outside_the_engines_limit_is_seen_to(trial: TrialEngine) -> None:
    @contextmanager
    def of_another_container(_few: float) -> Iterator[Callable[[], Spent]]:
        yield lambda: Spent(0.0, 50)

    results = list(tried(trial.engine, trial.engines, CORES[:1], ignore, of_another_container))
    assert [(one.holds, "outside the engine's own limit" in one.seen) for one in results] == [(False, True)]


@pytest.mark.private
def test_the_kernel_holds_an_engine_to_its_sizes_and_keeps_its_cores_from_no_container(trial: TrialEngine) -> None:
    assert kernel_limits(trial.workshop.host, trial.private.container) == (
        SMALL_ENGINE.memory_mb,
        SMALL_ENGINE.processes,
    )
    assert trial.private.cpus < (os.cpu_count() or 1)
    # With control groups of version 1, a container that may have more than its engine does not start.
    wishes = replace(LIMITS, cpus=64)
    assert trial.engine.run(BASE, RunRequest(args=("true",)), wishes).ended == Exited(0)
    asked = f"docker run --rm --cpus {os.cpu_count()} {BASE} true"
    assert trial.workshop.run(("bash", "-c", asked), 30).ended == Exited(0)
