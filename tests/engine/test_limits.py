"""Limits on the real engines: every one holds here, and where a container gets more than it should, that is seen."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from grader.checks import REASONS
from grader.cli.wiring import TrialEngine, host_engines, trial_engine
from grader.course.loader import open_course
from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine
from grader.engine.files import has_path
from grader.limits.probes import attempt, engine_cpu, probes
from grader.models import Exited, RunRequest
from grader.sandbox.nested_engine import DISK_IS_BOUNDED
from tests.engine.contexts import BASE, LIMITS

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
GENEROUS = Limits(run_seconds=60, memory_mb=1024, processes=500, cpus=64, tmp_mb=200)


def ignore(_: str) -> None:
    """Progress that nobody watches."""


def test_every_limit_of_this_engine_holds(engine: DockerEngine) -> None:
    results = list(attempt(host_engines(engine), probes("host", BASE), ignore))
    assert [f"{one.probe.name}: {one.seen}" for one in results if not one.holds] == []


def test_a_container_that_gets_all_it_asks_for_is_noticed(engine: DockerEngine) -> None:
    loose = [replace(probe, trial=replace(probe.trial, limits=GENEROUS)) for probe in probes("host", BASE)]
    results = {one.probe.name: one for one in attempt(host_engines(engine), loose, ignore)}
    assert [name for name, one in results.items() if one.holds] == ["run network", "run privileges"]
    assert results["run memory"].seen == "got all 256"


@pytest.fixture(scope="module")
def trial(host: DockerEngine) -> Iterator[TrialEngine]:
    """A private engine to try limits in, shared: starting one takes seconds."""
    with trial_engine(open_course(ROOT, os.environ, ROOT, REASONS), host, print) as made:
        yield made


@pytest.mark.private
def test_every_limit_of_a_private_engine_holds(trial: TrialEngine) -> None:
    is_bounded = has_path(trial.private.host, trial.private.helper, DISK_IS_BOUNDED)
    wanted = [probe for probe in probes("private", BASE) if is_bounded or "disk" not in probe.name]
    results = list(attempt(trial.engines, wanted, ignore, trial.few_cores))
    assert [f"{one.probe.name}: {one.seen}" for one in results if not one.holds] == []


@pytest.mark.private
def test_a_build_outside_of_the_engines_group_is_noticed(trial: TrialEngine) -> None:
    @contextmanager
    def of_another_container(_cores: float) -> Iterator[Callable[[str], str]]:
        yield lambda got: engine_cpu(got, 4.0, 0.0, throttled=True)

    build_cpu = [probe for probe in probes("private", BASE) if probe.name == "build CPU"]
    (result,) = attempt(trial.engines, build_cpu, ignore, of_another_container)
    assert (result.holds, "of which the engine's own group has 0.00" in result.seen) == (False, True)


@pytest.mark.private
def test_a_container_that_may_have_more_cores_than_its_engine_starts(trial: TrialEngine) -> None:
    # With control groups of version 1, the kernel refuses to make it.
    assert trial.private.cpus < (os.cpu_count() or 1)
    assert trial.private.engine.run(BASE, RunRequest(args=("true",)), replace(LIMITS, cpus=64)).ended == Exited(0)
