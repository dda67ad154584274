"""Whether limits hold is concluded from what greedy submissions got; a page says what bounds what."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from grader.course.models import Limits
from grader.engine.protocol import BuildJob
from grader.errors import EngineError
from grader.grading.executor import Engines
from grader.limits.probes import NOT_BOUNDED, Result, Tier, attempt, engine_cpu, names, probes
from grader.models import (
    BuildFailed,
    BuildStep,
    ComposeRequest,
    ComposeSeen,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.sandbox.nested_engine import WORKSPACE_MB, PrivateSettings
from grader.submissions.models import ExerciseFiles
from tests.fakes import FakeEngine
from tests.worlds import printed

DOCS = Path(__file__).parents[3] / "docs"

BOUNDED = """\
memory killed
processes stopped at 15
/tmp stopped at 8
disk stopped at 120
CPU 0.20 s in 4.10 s, throttled: yes
network lo
privileges 0x5fb, no new ones: 1
"""
FREE = """\
memory got all 256
processes got all 100
/tmp stopped at 90
disk got all 800
CPU 7.60 s in 4.10 s, throttled: never
network eth0 lo
privileges 0xa80425fb, no new ones: 0
"""
FEW = "0.45 s in 4.00 s, throttled: yes"


@dataclass
class World:
    """An engine and a sandbox where every program prints `got`, and the kernel counts `counted` for the engine."""

    got: str = BOUNDED
    counted: str = FEW
    asked: list[str] = field(default_factory=list)

    def engines(self) -> Engines:
        return Engines(FakeEngine(on_build=self.build, on_run=self.ran), lambda: nullcontext(self))

    def ran(self, request: RunRequest) -> RunOutcome:
        self.asked.append("run")
        return printed(self.got)

    def build(self, job: BuildJob) -> BuildFailed:
        self.asked.append("build")
        return BuildFailed("exit code: 1", steps=(BuildStep("[3/3] RUN python3", log=self.got),))

    def script(self, files: ExerciseFiles, request: ScriptRequest, limits: Limits) -> ScriptSeen:
        self.asked.append("script")
        return ScriptSeen("script", printed(self.got))

    def compose(self, files: ExerciseFiles, request: ComposeRequest, limits: Limits) -> ComposeSeen:
        raise AssertionError(request)

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        raise AssertionError(request)

    @contextmanager
    def few_cores(self, cores: float) -> Iterator[Callable[[str], str]]:
        yield lambda _: self.counted


def tried(world: World, tier: Tier = "private") -> list[Result]:
    return list(attempt(world.engines(), probes(tier, "python:3.9"), lambda _: None, world.few_cores))


@pytest.mark.parametrize("tier", ["host", "private"])
def test_where_nobody_gets_too_much_every_limit_holds(tier: Tier) -> None:
    assert [one.probe.name for one in tried(World(), tier) if not one.holds] == []


@pytest.mark.parametrize("got", [FREE, "", "processes stopped at 0\n/tmp\nmemory refused\nCPU 0.01 s\n", "\x00é"])
@pytest.mark.parametrize("tier", ["host", "private"])
def test_where_programs_get_what_they_ask_for_or_do_not_come_to_ask_no_limit_holds(got: str, tier: Tier) -> None:
    results = tried(World(got, "7.70 s in 4.00 s, throttled: never"), tier)
    assert [one.probe.name for one in results if one.holds] == []
    assert all(one.seen for one in results)


@pytest.mark.parametrize(
    ("cpu_seconds", "throttled", "seen"),
    [
        (0.45, True, "0.45 s in 4.00 s, throttled: yes"),
        (0.45, False, "0.45 s in 4.00 s, throttled: never"),
        (7.7, True, "7.70 s in 4.00 s, throttled: yes"),
        (0.1, True, "0.20 s, of which the engine's own group has 0.10"),
    ],
)
def test_the_cores_of_a_private_engine_are_counted_by_the_kernel(
    cpu_seconds: float, throttled: bool, seen: str
) -> None:
    counted = engine_cpu("0.20 s in 4.10 s, throttled: never", 4.0, cpu_seconds, throttled=throttled)
    assert counted == seen
    (result,) = (one for one in tried(World(counted=counted)) if one.probe.name == "build CPU")
    assert result.holds == (seen == FEW)


def test_what_cannot_be_tried_does_not_hold_and_says_why_but_one_hiccup_decides_nothing() -> None:
    world = World()
    faults = [EngineError("The engine is gone.")] * 3

    def sometimes(request: RunRequest) -> RunOutcome:
        if faults:
            raise faults.pop()
        return world.ran(request)

    engines = replace(world.engines(), engine=FakeEngine(on_run=sometimes))
    results = list(attempt(engines, probes("host", "x"), lambda _: None))
    assert {(one.holds, one.seen) for one in results[:-1]} == {
        (False, "could not be tried: The engine is gone."),
        (False, "could not be tried, as run memory"),
    }
    assert results[-1].holds


def test_names_are_unique_and_nothing_is_both_tried_and_not_bounded() -> None:
    for tier in ("host", "private"):
        found = [probe.name for probe in probes(tier, "x")]
        assert len(found) == len(set(found))
        assert not set(found) & set(NOT_BOUNDED[tier])
        assert set(names()) >= {*found, *NOT_BOUNDED[tier]}


def test_the_page_names_every_probe_and_the_sizes_of_a_private_engine() -> None:
    head = "| | limit | tried by `grader doctor` | in the engine that `docker` uses |\n"
    (page,) = (text for path in DOCS.glob("*.md") if head in (text := path.read_text(encoding="utf-8")))
    table = page.partition(head)[2].partition("\n\n")[0]
    tried = {name.strip() for row in table.splitlines()[1:] for name in row.split("|")[3].split(",")}
    assert tried == {"kept by the grader itself", *names()}
    settings = PrivateSettings((), os.environ)
    sizes = (f"{settings.memory_mb / 1024:g} GiB", f"{settings.disk_mb / 1024:g} GiB", f"{settings.processes}")
    for size in (*sizes, f"{WORKSPACE_MB} MiB"):
        assert re.search(rf"\b{size}\b", table), size
