"""Whether limits hold on this machine: small submissions that try to take more than they may.

`probes` is the list of what is tried in a tier, `NOT_BOUNDED` of what nothing bounds there. A probe is carried out as a
student's work is, and holds if `resource_hogs.py` says that it was stopped. Tried is what engine and kernel enforce;
time, output and numbers of things are kept by the grader's own clock and count, wherever it runs.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from grader.checks.diagnosis import ended, excerpt
from grader.course.models import Limits
from grader.engine.http import Connection
from grader.errors import EnvironmentProblem
from grader.grading.executor import Engines, Executor
from grader.models import (
    BuildFailed,
    BuildRequest,
    MemoryFile,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.sandbox.nested_engine import WORKSPACE_MB
from grader.submissions.models import ExerciseFiles

Tier = Literal["host", "private"]


class Sizes(NamedTuple):
    """Sizes of a private engine, as in `PrivateSettings`."""

    memory_mb: int
    processes: int
    disk_mb: int


SMALL_ENGINE = Sizes(memory_mb=600, processes=300, disk_mb=400)
"""Of a private engine to try to break: enough for it to work, and soon used up.

What bounds it is the same whatever its size; and where nothing bounds it, an attempt does the machine no harm.
"""

NOT_BOUNDED: Mapping[Tier, Mapping[str, str]] = {
    "host": {
        "run disk": "what a container writes goes to the engine's disk, and only its time bounds it",
        **dict.fromkeys(
            ("build memory", "build processes", "build CPU", "build disk"),
            "a build has what the engine has, and only its time bounds it",
        ),
    },
    "private": {},
}
"""What nothing bounds in a tier, by name, and why."""

_FILLS = f"writes 800 MiB to its disk, may write {SMALL_ENGINE.disk_mb}"
_RUN = Limits(build_seconds=60, run_seconds=30, script_seconds=30, memory_mb=64, processes=16, cpus=0.2, tmp_mb=8)
"""What a run or a script may have while it is tried, in the time that a busy machine needs."""
_FEW_CORES = replace(_RUN, cpus=0.05)
"""So few that it shows also where others leave it little. With them nothing else gets done."""
_WORKSPACE = Limits(script_seconds=60, memory_mb=512)
"""What is in a script's workspace may be in memory, which must not be what bounds it."""
_ENGINE_CORES = 0.1
"""What a private engine is left with while a build keeps cores busy."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A small submission, what is asked of it, and the limits it is tried under.

    `engine_cores` is how many the private engine is left with meanwhile; 0 says that it keeps what it has.
    """

    files: tuple[MemoryFile, ...]
    request: Request
    limits: Limits
    engine_cores: float = 0.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One limit: its name (`run memory`), what is tried in words, and whether what the program got shows it."""

    name: str
    attempt: str
    trial: Trial
    holds: Callable[[str], bool]

    @property
    def phase(self) -> str:
        """What submissions are at when it bounds them: `run`, `build` or `script`."""
        return self.name.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one probe; `seen` says what happened."""

    probe: Probe
    holds: bool
    seen: str


@dataclass(frozen=True, slots=True)
class CpuUse:
    """In so many `seconds`: CPU seconds that the engine got, and how often the kernel held it back."""

    seconds: float
    cpu_seconds: float = 0.0
    throttled: int = 0


FewCores = Callable[[float], AbstractContextManager[Callable[[], CpuUse]]]
"""Leaves a private engine so many cores while its context lasts, and gives what it has used meanwhile."""


# ── the list ────────────────────────────────────────────────────────────────────────────


def probes(tier: Tier, base: str) -> tuple[Probe, ...]:
    """What is tried in a tier, with containers of and builds on the base image `base`, which must have Python."""
    if tier == "host":
        return tuple(_container("run", lambda limits, *words: _run(base, limits, words)))
    return (
        *_container("run", lambda limits, *words: _run(base, limits, words), engine_disk=True),
        *_engine(base),
        *_container("script", _script),
        _workspace(),
    )


def names() -> tuple[str, ...]:
    """The name of every probe, each once."""
    return tuple(probe.name for probe in probes("private", ""))


def _container(phase: str, trial: Callable[..., Trial], *, engine_disk: bool = False) -> Iterator[Probe]:
    """What bounds one container with the settings of a run."""
    disk = ("disk=800",) if engine_disk else ()
    at_once = trial(_RUN, "memory=256", "processes=100", "/tmp=100", *disk, "network", "privileges")
    memory, most, tmp = _RUN.memory_mb, _RUN.processes, _RUN.tmp_mb
    yield Probe(f"{phase} memory", f"takes 256 MiB, may have {memory}", at_once, _is_killed)
    yield Probe(f"{phase} processes", f"starts 100 processes, may have {most}", at_once, _stops_at(most))
    yield Probe(f"{phase} /tmp", f"writes 100 MiB to /tmp, may write {tmp}", at_once, _stops_at(tmp))
    if engine_disk:
        yield Probe(f"{phase} disk", _FILLS, at_once, _stops_at(SMALL_ENGINE.disk_mb))
    yield Probe(f"{phase} network", "looks for interfaces beside its own loopback", at_once, "lo".__eq__)
    yield Probe(f"{phase} privileges", "looks for rights that no run needs", at_once, _is_unprivileged)
    spins = f"keeps 8 processes busy, may have {_FEW_CORES.cpus:g} cores"
    yield Probe(f"{phase} CPU", spins, trial(_FEW_CORES, "CPU=8"), _is_throttled)


def _engine(base: str) -> Iterator[Probe]:
    """What bounds a private engine, shown by a build: everything in it together."""
    at_once = _build(base, "memory=1000", "processes=400", "disk=800")
    most = SMALL_ENGINE.processes
    yield Probe("build memory", f"takes 1000 MiB, may have {SMALL_ENGINE.memory_mb}", at_once, _is_killed)
    yield Probe("build processes", f"starts 400 processes, may have {most}", at_once, _stops_at(most))
    yield Probe("build disk", _FILLS, at_once, _stops_at(SMALL_ENGINE.disk_mb))
    busy = replace(_build(base, "CPU=8"), engine_cores=_ENGINE_CORES)
    yield Probe(
        "build CPU", f"keeps 8 processes busy, the engine may have {_ENGINE_CORES:g} cores", busy, _is_throttled
    )


def _workspace() -> Probe:
    attempt = f"writes 300 MiB to its folder, may write {WORKSPACE_MB}"
    return Probe("script disk", attempt, _script(_WORKSPACE, "disk=300"), _stops_at(WORKSPACE_MB))


_HOG = (Path(__file__).parent / "resource_hogs.py").read_bytes()


def _run(base: str, limits: Limits, words: Sequence[str]) -> Trial:
    return Trial((), RunRequest(base=base, entrypoint=("python3", "-c", _HOG.decode(), *words)), limits)


def _build(base: str, *words: str) -> Trial:
    # It fails at its end in any case: a step that succeeds would be in the builder's cache the next time.
    dockerfile = f"FROM {base}\nCOPY hog.py /\nRUN python3 /hog.py {' '.join(words)}; exit 1\n"
    return Trial((MemoryFile("Dockerfile", dockerfile.encode()), MemoryFile("hog.py", _HOG)), BuildRequest(), _RUN)


def _script(limits: Limits, *words: str) -> Trial:
    script = MemoryFile("commands.sh", f"python3 hog.py {' '.join(words)}\n".encode())
    return Trial((script, MemoryFile("hog.py", _HOG)), ScriptRequest(), limits)


# ── what shows that a limit holds ───────────────────────────────────────────────────────


_is_killed = "killed".__eq__


def _stops_at(most: int) -> Callable[[str], bool]:
    def holds(got: str) -> bool:
        found = re.fullmatch(r"stopped at (\d{1,9})", got)
        return found is not None and 0 < int(found[1]) <= most

    return holds


_KEPT_CAPABILITIES = 0x5FB
"""`grader.engine.run.CAPABILITIES` as bits, in the order of capabilities(7)."""


def _is_unprivileged(got: str) -> bool:
    found = re.fullmatch(r"0x([0-9a-f]{1,16}), no new ones: 1", got)
    return found is not None and int(found[1], 16) & ~_KEPT_CAPABILITIES == 0


_CPU = re.compile(r"(\d{1,4}\.\d\d) s in (\d{1,4}\.\d\d) s, throttled: (\w+)")


def _is_throttled(got: str) -> bool:
    """Few cores, and not because a busy machine gives few to anybody: where it says so, the kernel held them back."""
    found = _CPU.fullmatch(got)
    return found is not None and float(found[1]) < _FEWEST * float(found[2]) and found[3] in {"yes", "unknown"}


_FEWEST = 2.5 * _ENGINE_CORES
"""More cores than a container should be seen to take, since the kernel counts by tenths of a second."""
_COUNTED = 0.8
"""The least part of a program's own CPU time that is found in the engine's, if it is below the engine's limit."""


def _engine_cpu(got: str, use: CpuUse) -> str:
    """What a build got, with the engine's own count: its limit is that of a group that the program cannot see.

    What the kernel counts for the engine must have in it what the program says it took; else it has escaped.
    """
    found = _CPU.fullmatch(got)
    if found is None:
        return got
    if use.cpu_seconds < float(found[1]) * _COUNTED:
        return f"{found[1]} s, of which the engine's own group has {use.cpu_seconds:.2f}"
    return f"{use.cpu_seconds:.2f} s in {use.seconds:.2f} s, throttled: {'yes' if use.throttled else 'never'}"


# ── carrying out ────────────────────────────────────────────────────────────────────────


def attempt(
    engines: Engines, wanted: Iterable[Probe], doing: Callable[[str], None], few_cores: FewCores | None = None
) -> Iterator[Result]:
    """Try to break these limits, one after the other; `doing` gets the names of what is tried now.

    A trial that the engine breaks off twice shows nothing, so its limits do not hold. `few_cores` is for the private
    engine that these are.
    """
    for trial, group in itertools.groupby(wanted, key=lambda probe: probe.trial):
        tried = tuple(group)
        doing(", ".join(probe.name for probe in tried))
        try:
            printed, ending = _observed(engines, trial, few_cores)
        except EnvironmentProblem as problem:
            for probe in tried:  # the reason may be long, and is the same for all
                why = f": {problem}" if probe is tried[0] else f", as {tried[0].name}"
                yield Result(probe, holds=False, seen=f"could not be tried{why}")
            continue
        for probe in tried:
            got = printed.get(probe.name.partition(" ")[2], "")
            yield Result(probe, probe.holds(got), got or f"it did not come to that: {ending}")


def _observed(engines: Engines, trial: Trial, few_cores: FewCores | None) -> tuple[dict[str, str], str]:
    """What the program got, by its words, and how it ended. As with a student's work, a fault gets a second attempt."""
    with suppress(EnvironmentProblem):
        return _carried_out(engines, trial, few_cores)
    return _carried_out(engines, trial, few_cores)


def _carried_out(engines: Engines, trial: Trial, few_cores: FewCores | None) -> tuple[dict[str, str], str]:
    files = ExerciseFiles("", "", trial.files, "")
    fewer: AbstractContextManager[Callable[[], CpuUse]] = nullcontext(lambda: CpuUse(1.0))
    if few_cores is not None and trial.engine_cores:
        fewer = few_cores(trial.engine_cores)
    with Executor(engines, files, trial.limits, "limits", lambda _: None) as executor, fewer as use:
        text, ending = _printed(executor(trial.request))
        printed = {name: got.strip() for name, _, got in (line.partition(" ") for line in text.splitlines())}
        if trial.engine_cores:
            printed["CPU"] = _engine_cpu(printed.get("CPU", ""), use())
    return printed, ending


def _printed(observation: Observation) -> tuple[str, str]:
    match observation:
        case BuildFailed():
            return "".join(step.log for step in observation.steps), observation.message
        case RunOutcome() | ScriptSeen():
            outcome = observation if isinstance(observation, RunOutcome) else observation.outcome
            return outcome.stdout.decode("utf-8", "replace"), f"{ended(outcome.ended)}, {excerpt(outcome)}"
        case _:
            return "", observation.kind


# ── few cores for a private engine ──────────────────────────────────────────────────────


@contextmanager
def few_cores(host: Connection, container: str, cores: float) -> Iterator[Callable[[], CpuUse]]:
    """As `FewCores`, for the engine in a container of `host`. Raises `EngineError`.

    Nothing in the container may have a quota of its own meanwhile: with control groups of version 1 the kernel refuses
    to put one group below another with a smaller one.
    """
    before = host.call("GET", f"/containers/{container}/json").json["HostConfig"]["NanoCpus"]
    _allow(host, container, round(cores * 1e9))
    try:
        began, (cpu, throttled) = time.monotonic(), _counted(host, container)

        def use() -> CpuUse:
            cpu_now, throttled_now = _counted(host, container)
            return CpuUse(time.monotonic() - began, cpu_now - cpu, throttled_now - throttled)

        yield use
    finally:
        _allow(host, container, before)


def _allow(host: Connection, container: str, nano_cpus: int) -> None:
    host.call("POST", f"/containers/{container}/update", json={"NanoCpus": nano_cpus})


def _counted(host: Connection, container: str) -> tuple[float, int]:
    """CPU seconds and periods of being held back, since the container was started."""
    # Without `one-shot`, the engine takes a second to see what changes.
    query = {"stream": "false", "one-shot": "true"}
    stats = host.call("GET", f"/containers/{container}/stats", parameters=query).json["cpu_stats"]
    throttled = (stats.get("throttling_data") or {}).get("throttled_periods") or 0
    return stats["cpu_usage"]["total_usage"] / 1e9, int(throttled)
