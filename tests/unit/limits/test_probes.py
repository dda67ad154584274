"""Whether limits hold is concluded from what greedy submissions got; a page says what bounds what."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from grader.cli.main import run
from grader.errors import EngineError, EnvironmentProblem, UsageError
from grader.grading.executor import Engines
from grader.limits.probes import (
    NOT_BOUNDED,
    KnownLimits,
    Probe,
    Result,
    Tier,
    attempt,
    engine_cpu,
    engine_key,
    for_whole_batch,
    names,
    probes,
    require,
    waivers,
)
from grader.models import BuildFailed, BuildStep, LimitsRecord, RunOutcome, RunRequest, ScriptSeen
from grader.sandbox.nested_engine import WORKSPACE_MB, PrivateSettings
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


def engines(got: str) -> Engines:
    """An engine and a sandbox where every program prints `got`."""
    failed = BuildFailed("exit code: 1", steps=(BuildStep("[3/3] RUN python3", log=got),))
    sandbox: Any = SimpleNamespace(script=lambda *_: ScriptSeen("script", printed(got)))
    engine = FakeEngine(on_build=lambda _: failed, on_run=lambda _: printed(got))
    return Engines(engine, lambda: nullcontext(sandbox))


def tried(got: str = BOUNDED, counted: str = FEW, tier: Tier = "private") -> list[Result]:
    """What comes of all probes, where the kernel counts `counted` for the engine."""
    few_cores = nullcontext(lambda _: counted)
    return list(attempt(engines(got), probes(tier, "python:3.9"), lambda _: None, lambda _: few_cores))


@pytest.mark.parametrize("tier", ["host", "private"])
def test_where_nobody_gets_too_much_every_limit_holds(tier: Tier) -> None:
    assert [one.probe.name for one in tried(tier=tier) if not one.holds] == []


@pytest.mark.parametrize("got", [FREE, "", "processes stopped at 0\n/tmp\nmemory refused\nCPU 0.01 s\n", "\x00é"])
@pytest.mark.parametrize("tier", ["host", "private"])
def test_where_programs_get_what_they_ask_for_or_do_not_come_to_ask_no_limit_holds(got: str, tier: Tier) -> None:
    results = tried(got, "7.70 s in 4.00 s, throttled: never", tier)
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
    (result,) = (one for one in tried(counted=counted) if one.probe.name == "build CPU")
    assert result.holds == (seen == FEW)


def test_what_cannot_be_tried_does_not_hold_and_says_why_but_one_hiccup_decides_nothing() -> None:
    faults = [EngineError("The engine is gone.")] * 3

    def sometimes(request: RunRequest) -> RunOutcome:
        if faults:
            raise faults.pop()
        return printed(BOUNDED)

    faulty = replace(engines(BOUNDED), engine=FakeEngine(on_run=sometimes))
    results = list(attempt(faulty, probes("host", "x"), lambda _: None))
    assert {(one.holds, one.seen) for one in results[:-1]} == {
        (False, "could not be tried: The engine is gone."),
        (False, "could not be tried, as run memory"),
    }
    assert results[-1].holds


def test_the_page_names_every_probe_and_the_sizes_of_a_private_engine() -> None:
    head = "| | limit | tried by `grader doctor` | in the engine that `docker` uses |\n"
    (page,) = (text for path in DOCS.glob("*.md") if head in (text := path.read_text(encoding="utf-8")))
    table = page.partition(head)[2].partition("\n\n")[0]
    tried = {name.strip() for row in table.splitlines()[1:] for name in row.split("|")[3].split(",")}
    assert tried == {"kept by the grader itself", *names()}
    assert len(names()) == len(set(names()))
    assert probes("private", "x")[-1].attempt == f"writes 300 MiB to its folder, may write {WORKSPACE_MB}"
    assert not set(NOT_BOUNDED["host"]) & {probe.name for probe in probes("host", "x")}
    settings = PrivateSettings((), os.environ)
    sizes = (f"{settings.memory_mb / 1024:g} GiB", f"{settings.disk_mb / 1024:g} GiB", f"{settings.processes}")
    for size in (*sizes, f"{WORKSPACE_MB} MiB"):
        assert re.search(rf"\b{size}\b", table), size


# ── before a batch ──────────────────────────────────────────────────────────────────────

ALL = probes("private", "python:3.9")
LOST = ["run memory", "run disk", "build disk"]


def require_all(known: KnownLimits, waived: Sequence[str] = (), lost: Sequence[str] = ()) -> tuple[LimitsRecord, int]:
    """What holds, and how many limits were tried for it, where those that are `lost` do not hold."""
    tried: list[Probe] = []

    def attempt(tier: Tier, wanted: Sequence[Probe]) -> list[Result]:
        tried.extend(wanted)
        return [Result(probe, probe.name not in lost, "got all 800") for probe in wanted]

    return require({"private": ALL}, known, attempt, waivers(waived)), len(tried)


def test_a_batch_refuses_where_a_limit_does_not_hold_and_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem) as refused:
        require_all(KnownLimits(tmp_path, "key"), lost=LOST)
    message = str(refused.value)
    assert refused.value.exit_code == 3
    assert message.endswith('--waive "run memory" --waive "run disk" --waive "build disk"')
    assert "run disk: writes 800 MiB to its disk, may write 400: got all 800" in message


def test_what_is_waived_by_name_is_recorded_and_the_rest_still_asked_for(tmp_path: Path) -> None:
    record, _ = require_all(KnownLimits(tmp_path, "key"), ["run memory", "RUN disk", "build disk"], LOST)
    assert record.waived == tuple(LOST)
    assert record.proved == tuple(probe.name for probe in ALL if probe.name not in LOST)
    with pytest.raises(EnvironmentProblem, match=r'these limits: --waive "build disk"$'):
        require_all(KnownLimits(tmp_path, "key"), ["run memory", "run disk"], LOST)


def test_what_was_waived_for_a_part_of_a_batch_does_not_hold_for_the_whole() -> None:
    now = LimitsRecord(("run memory", "run CPU"), (), ("build CPU",))
    before = LimitsRecord(("run CPU",), ("run memory",), ("build CPU",))
    assert for_whole_batch(None, now) == now
    assert for_whole_batch(before, now) == before


def test_an_unknown_waiver_is_a_mistake_that_names_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="'run memroy'"):
        waivers(["run memroy"])
    assert run(["batch", str(tmp_path), "--out", str(tmp_path / "out"), "--waive", "run memroy"]) == 2
    message = capsys.readouterr().err
    assert "run memroy" in message
    assert "run memory" in message
    assert not (tmp_path / "out").exists()


def test_what_held_is_not_tried_again_until_the_engine_is_another(tmp_path: Path) -> None:
    first, tried = require_all(KnownLimits(tmp_path, "key"))
    assert tried == len(ALL)
    assert require_all(KnownLimits(tmp_path, "key")) == (first, 0)
    assert require_all(KnownLimits(tmp_path, "another")) == (first, len(ALL))


def test_what_did_not_hold_is_tried_again_and_what_does_not_hold_any_more_is_forgotten(tmp_path: Path) -> None:
    known = KnownLimits(tmp_path, "key")
    require_all(known, LOST, LOST)
    assert require_all(known)[1] == len(LOST)
    known.keep("private", [Result(probe, holds=False, seen="") for probe in ALL if probe.name == "run CPU"])
    known.keep("host", [])
    assert known.held("private") == {probe.name for probe in ALL} - {"run CPU"}


@pytest.mark.parametrize("text", ["", "[]", '{"key": 1}', '{"key": [{}]}', '{"key": ["no such limit"]}', "\ud800"])
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "limits-private.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    known = KnownLimits(tmp_path, "key")
    assert known.held("private") == frozenset()
    assert require_all(known)[1] == len(ALL)
    assert require_all(known)[1] == 0


def test_the_key_changes_with_what_bears_on_limits_and_not_with_what_is_running() -> None:
    info = {"ID": "A", "CgroupVersion": "1", "Containers": 3, "Warnings": None}
    assert engine_key(info) == engine_key({**info, "Containers": 4})
    assert len({engine_key(info), engine_key({**info, "ID": "B"}), engine_key({**info, "CgroupVersion": "2"})}) == 3
