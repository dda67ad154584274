"""Whether limits hold is concluded from what greedy submissions got; a batch does not start without those it needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from grader.cli.main import run
from grader.course.models import Limits
from grader.engine.protocol import BuildJob
from grader.errors import EngineError, UsageError
from grader.grading.executor import Engines
from grader.limits.enforced import Memory, NotEnforced, ask, engine_key, needed, together, waivers
from grader.limits.judge import Spent
from grader.limits.probes import Proof, Proved, Tier, discarded, gaps, names, proofs, prove
from grader.models import (
    BuildFailed,
    BuildStep,
    Built,
    ComposeRequest,
    ComposeSeen,
    ImageConfig,
    LimitsRecord,
    NotStarted,
    OutputLimit,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
    ServiceSeen,
    TimedOut,
)
from grader.submissions.models import ExerciseFiles
from tests.fakes import FakeEngine
from tests.worlds import printed

BOUNDED = """\
processes 15
/tmp 8
CPU 0.05 throttled
memory killed
disk 127
files 19999
objects 128
busy 0.10 cores, 0.40 s
connections 64
network lo
privileges 0 1
"""
FREE = """\
processes 400
/tmp 100
CPU 1.93 free
memory all
disk 800
files 25000
objects 200
busy 1.90 cores, 7.60 s
connections 100
network eth0 lo
privileges 2818844155 0
"""


@dataclass
class World:
    """An engine and a sandbox where what asks for too much gets `got`; `stops` says if anything ends at its time."""

    got: str = BOUNDED
    stops: bool = True
    asked: list[str] = field(default_factory=list)

    def engines(self) -> Engines:
        return Engines(FakeEngine(on_build=self.build, on_run=self.ran), lambda: nullcontext(self))

    def ran(self, request: RunRequest) -> RunOutcome:
        self.asked.append("run")
        if request.args == ("true",):
            return RunOutcome(NotStarted("The image declares 100 volumes.")) if self.stops else printed()
        words = " ".join(request.entrypoint or ())
        if "ATTEMPTS" in words:
            return printed(self.got)
        return self.ended("sleep" in words)

    def ended(self, sleeps: bool) -> RunOutcome:
        if not self.stops:
            return printed("x" * 10_000_000)
        return RunOutcome(TimedOut(1) if sleeps else OutputLimit(65_536))

    def build(self, job: BuildJob) -> Built | BuildFailed:
        text = job.dockerfile.built.decode()
        if "VOLUME" in text:
            return Built("sha256:1", ImageConfig(), ())
        if "program.py" in text:
            return BuildFailed("exit code: 1", steps=(BuildStep("[3/3] RUN python3", log=self.got),))
        if not self.stops:
            return BuildFailed("exit code: 1")
        return BuildFailed("stopped", "timed_out" if "sleep" in text else "output_limit")

    def script(self, files: ExerciseFiles, request: ScriptRequest, limits: Limits) -> ScriptSeen:
        self.asked.append("script")
        text = (files.content("commands.sh") or b"").decode()
        return ScriptSeen("script", printed(self.got) if "perl" in text else self.ended("sleep" in text))

    def compose(self, files: ExerciseFiles, request: ComposeRequest, limits: Limits) -> ComposeSeen:
        text = (files.content("compose.yaml") or b"").decode()
        if "number-20" in text and self.stops:
            return ComposeSeen(printed(), refused=("there are 40 services; at most 8 are brought up",))
        if "greedy" in text:
            greedy = ServiceSeen("greedy", "exited", 0, stdout=self.got.encode())
            return ComposeSeen(printed(), printed(), printed(), (greedy,), printed())
        loud = b"x" * (limits.output_kb * 1024 if self.stops else 1_000_000)
        services = (ServiceSeen("endless", "running", 0), ServiceSeen("loud", "running", 0, stdout=loud))
        left = () if self.stops else ("container 1",)
        return ComposeSeen(printed(), printed(), printed(), services, printed(), left)

    @contextmanager
    def squeeze(self, cores: float) -> Iterator[Callable[[], Spent]]:
        yield lambda: Spent(0.5, 7) if self.stops else Spent(7.7, 0)

    def run(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome:
        raise AssertionError(image)


def tried(world: World, tier: Tier = "private") -> list[Proved]:
    return list(prove(world.engines(), proofs(tier, "python:3.9"), lambda _: None, world.squeeze))


@pytest.mark.parametrize("tier", ["host", "private"])
def test_where_nobody_gets_too_much_every_limit_holds(tier: Tier) -> None:
    assert [one.proof.name for one in tried(World(), tier) if not one.holds] == []


@pytest.mark.parametrize("tier", ["host", "private"])
def test_where_everybody_gets_what_they_ask_for_no_limit_holds(tier: Tier) -> None:
    assert [one.proof.name for one in tried(World(FREE, stops=False), tier) if one.holds] == []


@pytest.mark.parametrize("got", ["", "processes 0\n/tmp 0\ndisk 0\nCPU\nconnections 0\nmemory refused\n", "\x00é"])
def test_a_program_that_did_not_come_to_its_attempts_shows_nothing(got: str) -> None:
    assert [one.proof.name for one in tried(World(got)) if one.holds and one.proof.needed] == []


def test_what_cannot_be_tried_does_not_hold_and_says_why() -> None:
    def away(_request: RunRequest) -> RunOutcome:
        raise EngineError("The engine is gone.")

    results = list(
        prove(Engines(FakeEngine(on_run=away), World().engines().sandboxes), proofs("host", "x"), lambda _: None)
    )
    runs = [one for one in results if one.proof.name.startswith("run")]
    assert {(one.holds, one.seen) for one in runs} == {(False, "could not be tried: The engine is gone.")}


def test_one_hiccup_of_the_engine_decides_nothing() -> None:
    world, hiccups = World(), iter([EngineError("The engine broke off.")])

    def once(request: RunRequest) -> RunOutcome:
        for hiccup in hiccups:
            raise hiccup
        return world.ran(request)

    engines = replace(world.engines(), engine=FakeEngine(on_run=once, on_build=world.build))
    assert all(one.holds for one in prove(engines, proofs("host", "x"), lambda _: None))


@pytest.mark.parametrize(
    ("warning", "lost"),
    [
        ("Your kernel does not support pids limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
         "run processes"),
        ("Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
         "run memory"),
        ("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.", "run CPU"),
        ("Your kernel does not support swap limit capabilities. Memory limited without swap.", ""),
    ],
)  # fmt: skip
def test_a_limit_that_the_engine_discards_does_not_hold_whatever_was_seen(warning: str, lost: str) -> None:
    results = [discarded(one, [warning]) for one in tried(World(), "host")]
    assert [one.proof.name for one in results if not one.holds] == ([lost] if lost else [])


def test_names_are_unique_in_a_tier_and_nothing_is_both_tried_and_not_bounded() -> None:
    for tier in ("host", "private"):
        found = [proof.name for proof in proofs(tier, "x")]
        assert len(found) == len(set(found))
        assert not set(found) & {gap.name for gap in gaps(tier)}
        assert set(found) <= set(names())


# ── a batch asks ────────────────────────────────────────────────────────────────────────

PHASES = ("run", "build", "script")


def asking(
    world: World, memory: Memory, waived: Sequence[str] = (), tier: Tier = "private"
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    def attempt(place: Tier, wanted: Sequence[Proof]) -> list[Proved]:
        return list(prove(world.engines(), wanted, lambda _: None, world.squeeze))

    return ask({tier: needed(proofs(tier, "python:3.9"), PHASES)}, memory, attempt, waivers(waived))


LOOSE = BOUNDED.replace("disk 127", "disk 800").replace("memory killed", "memory all")


def test_a_batch_refuses_where_a_needed_limit_does_not_hold_and_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(NotEnforced) as refused:
        asking(World(LOOSE), Memory(tmp_path, "key"))
    told = str(refused.value)
    assert refused.value.exit_code == 3
    for name in ("run memory", "run disk", "build memory", "build disk", "script memory"):
        assert f'--waive "{name}"' in told
    assert "takes 256 MiB, may have 64: got all of it" in told
    assert "run processes" not in told


def test_what_is_waived_by_name_is_recorded_and_the_rest_still_asked_for(tmp_path: Path) -> None:
    lost = ["run memory", "RUN disk", "build memory", "build disk", "script memory"]
    proved, waived = asking(World(LOOSE), Memory(tmp_path, "key"), lost)
    assert sorted(waived) == sorted(name.replace("RUN", "run") for name in lost)
    assert "build processes" in proved
    assert not set(proved) & set(waived)
    with pytest.raises(NotEnforced, match="build disk"):
        asking(World(LOOSE), Memory(tmp_path, "key"), [name for name in lost if name != "build disk"])


def test_waiving_what_holds_changes_nothing(tmp_path: Path) -> None:
    proved, waived = asking(World(), Memory(tmp_path, "key"), ["run memory"])
    assert "run memory" in proved
    assert waived == ()


def test_what_was_waived_for_a_part_of_a_batch_does_not_hold_for_the_whole() -> None:
    now = LimitsRecord(("run memory", "run CPU"), (), ("build CPU",))
    before = LimitsRecord(("run CPU",), ("run memory",), ("build CPU",))
    assert together(None, now) == now
    assert together(before, now) == before


def test_an_unknown_waiver_is_a_mistake_that_names_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="'run memroy'"):
        waivers(["run memroy"])
    assert run(["batch", str(tmp_path), "--out", str(tmp_path / "out"), "--waive", "run memroy"]) == 2
    told = capsys.readouterr().err
    assert "run memroy" in told
    assert "run memory" in told
    assert not (tmp_path / "out").exists()


# ── what is known already ───────────────────────────────────────────────────────────────


def test_what_held_is_not_tried_again_until_the_engine_is_another(tmp_path: Path) -> None:
    first, second, third = World(), World(), World()
    assert asking(first, Memory(tmp_path, "key")) == asking(second, Memory(tmp_path, "key"))
    assert (first.asked, second.asked) == (["run", "run", "script", "script"], [])
    asking(third, Memory(tmp_path, "another"))
    assert third.asked == first.asked


def test_what_did_not_hold_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(NotEnforced):
        asking(World(LOOSE), Memory(tmp_path, "key"))
    mended = World()
    proved, _ = asking(mended, Memory(tmp_path, "key"))
    assert "run memory" in proved
    assert mended.asked == ["run", "script"]


def test_what_does_not_hold_any_more_is_forgotten(tmp_path: Path) -> None:
    memory = Memory(tmp_path, "key")
    memory.keep("host", tried(World(), "host"))
    memory.keep("private", tried(World()))
    memory.keep("host", tried(World(LOOSE), "host"))
    assert "run memory" not in memory.held("host")
    assert {"run processes", "run time"} <= memory.held("host")
    assert "run memory" in memory.held("private")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"key": "key"}', '{"key": "key", "held": 1}', '{"key": "key", "held": {"host": 1}}',
             json.dumps({"key": "key", "held": {"private": ["no such limit"]}}), "\ud800"]
)  # fmt: skip
def test_a_memory_that_cannot_be_read_is_no_memory(tmp_path: Path, text: str) -> None:
    (tmp_path / "limits.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    memory = Memory(tmp_path, "key")
    assert memory.held("private") == frozenset()
    memory.keep("private", tried(World()))
    assert "run memory" in memory.held("private")


def test_without_a_key_and_without_a_place_nothing_is_kept_and_nothing_fails(tmp_path: Path) -> None:
    for memory in (Memory(tmp_path, ""), Memory(tmp_path / "file" / "below", "key")):
        (tmp_path / "file").touch()
        memory.keep("private", tried(World()))
        assert memory.held("private") == frozenset()


def test_the_key_changes_with_what_bears_on_limits_and_not_with_what_is_running() -> None:
    info = {"ID": "A", "CgroupVersion": "1", "Containers": 3, "Warnings": None}
    assert engine_key(info) == engine_key({**info, "Containers": 4})
    assert len({engine_key(info), engine_key({**info, "ID": "B"}), engine_key({**info, "CgroupVersion": "2"})}) == 3
