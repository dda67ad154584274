"""Whether limits hold on this machine: small submissions that try to take more than they may.

`probes` is the list of what is tried in a tier, `NOT_BOUNDED` of what nothing bounds there. A probe is carried out as a
student's work is, and holds if `resource_hogs.py` says that it was stopped. Tried is what engine and kernel enforce;
time, output and numbers of things are kept by the grader's own clock and count, wherever it runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from grader import __version__
from grader.checks.diagnosis import ended, excerpt
from grader.course.models import Limits
from grader.engine.http import Connection
from grader.errors import EnvironmentProblem, UsageError
from grader.files import read_table, write_whole
from grader.grading.executor import Engines, Executor
from grader.models import (
    BuildFailed,
    BuildRequest,
    LimitsRecord,
    MemoryFile,
    Request,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.sandbox.engine_image import recipe_digest
from grader.submissions.models import ExerciseFiles

Tier = Literal["host", "private"]

_TABLE = read_table(Path(__file__).with_suffix(".yaml"))
_HOG = Path(__file__).with_name("resource_hogs.py").read_bytes()

SMALL_ENGINE: Mapping[str, int] = _TABLE["engine"]
"""Sizes of a private engine to try to break, as in `PrivateSettings`."""

NOT_BOUNDED: Mapping[Tier, Mapping[str, str]] = {
    "host": dict.fromkeys(
        ("run disk", "build memory", "build processes", "build CPU", "build disk"),
        "it may have what the engine has, and only its time bounds it",
    ),
    "private": {},
}
"""What nothing bounds in a tier, by name, and why."""


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
    """One limit: its name (`run memory`), what is tried in words, and whether what the program got shows it.

    The name begins with what submissions are at when it bounds them: `run`, `build` or `script`.
    """

    name: str
    attempt: str
    trial: Trial
    holds: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one probe; `seen` says what happened."""

    probe: Probe
    holds: bool
    seen: str


FewCores = Callable[[float], AbstractContextManager[Callable[[str], str]]]
"""Leaves a private engine so many cores while its context lasts; see `few_cores`."""


# ── the list, and what shows that a limit holds ─────────────────────────────────────────


def probes(tier: Tier, base: str) -> tuple[Probe, ...]:
    """What is tried in a tier, with containers of and builds on the base image `base`, which must have Python."""
    rows = (row for row in _TABLE["probes"] if tier == "private" or "host" in row)
    found: list[Probe] = []
    for (phase, limits), group in itertools.groupby(rows, key=lambda row: (row["name"].split()[0], row.get("limits"))):
        at_once = tuple(group)
        files, request = _submission(phase, base, " ".join(row["asks"] for row in at_once))
        may_have = Limits(**{**_TABLE["limits"], **(limits or {})})
        trial = Trial(files, request, may_have, at_once[0].get("engine_cores", 0.0))
        found += [Probe(row["name"], row["attempt"], trial, _holds(row)) for row in at_once]
    return tuple(found)


def names() -> tuple[str, ...]:
    """The name of every probe, each once."""
    return tuple(row["name"] for row in _TABLE["probes"])


def _submission(phase: str, base: str, words: str) -> tuple[tuple[MemoryFile, ...], Request]:
    if phase == "run":
        return (), RunRequest(base=base, entrypoint=("python3", "-c", _HOG.decode(), *words.split()))
    if phase == "script":
        script = MemoryFile("commands.sh", f"python3 hog.py {words}\n".encode())
        return (script, MemoryFile("hog.py", _HOG)), ScriptRequest()
    # It fails at its end in any case: a step that succeeds would be in the builder's cache the next time.
    dockerfile = f"FROM {base}\nCOPY hog.py /\nRUN python3 /hog.py {words}; exit 1\n"
    return (MemoryFile("Dockerfile", dockerfile.encode()), MemoryFile("hog.py", _HOG)), BuildRequest()


def _holds(row: Mapping[str, Any]) -> Callable[[str], object]:
    if "most" in row:
        return partial(_stops_at, row["most"])
    shown: dict[str, Callable[[str], object]] = {"few rights": _is_unprivileged, "few cores": _is_throttled}
    return shown.get(row["shows"]) or re.compile(row["shows"]).fullmatch


def _stops_at(most: int, got: str) -> bool:
    found = re.fullmatch(r"stopped at (\d{1,9})", got)
    return found is not None and 0 < int(found[1]) <= most


_KEPT_CAPABILITIES = 0x5FB
"""`grader.engine.run.CAPABILITIES` as bits, in the order of capabilities(7)."""


def _is_unprivileged(got: str) -> bool:
    found = re.fullmatch(r"0x([0-9a-f]{1,16}), no new ones: 1", got)
    return found is not None and int(found[1], 16) & ~_KEPT_CAPABILITIES == 0


_CPU = re.compile(r"(\d{1,4}\.\d\d) s in (\d{1,4}\.\d\d) s, throttled: (\w+)")
_FEWEST = 0.25
"""More cores than a container should be seen to take, since the kernel counts by tenths of a second."""


def _is_throttled(got: str) -> bool:
    """Few cores, and not because a busy machine gives few to anybody: where it says so, the kernel held them back."""
    found = _CPU.fullmatch(got)
    return found is not None and float(found[1]) < _FEWEST * float(found[2]) and found[3] in {"yes", "unknown"}


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
            yield Result(probe, bool(probe.holds(got)), got or f"it did not come to that: {ending}")


def _observed(engines: Engines, trial: Trial, few_cores: FewCores | None) -> tuple[dict[str, str], str]:
    """What the program got, by its words, and how it ended. As with a student's work, a fault gets a second attempt."""
    with contextlib.suppress(EnvironmentProblem):
        return _carried_out(engines, trial, few_cores)
    return _carried_out(engines, trial, few_cores)


def _carried_out(engines: Engines, trial: Trial, few_cores: FewCores | None) -> tuple[dict[str, str], str]:
    files = ExerciseFiles("", "", trial.files, "")
    fewer = few_cores(trial.engine_cores) if few_cores and trial.engine_cores else contextlib.nullcontext(str)
    with Executor(engines, files, trial.limits, "limits", lambda _: None) as executor, fewer as counted:
        match executor(trial.request):
            case BuildFailed() as failed:
                text, ending = "".join(step.log for step in failed.steps), failed.message
            case (RunOutcome() as outcome) | ScriptSeen(outcome=outcome):
                text, ending = outcome.stdout.decode("utf-8", "replace"), f"{ended(outcome.ended)}, {excerpt(outcome)}"
            case other:
                text, ending = "", other.kind
        printed = {name: got.strip() for name, _, got in (line.partition(" ") for line in text.splitlines())}
        return {name: counted(got) if name == "CPU" else got for name, got in printed.items()}, ending


# ── few cores for a private engine ──────────────────────────────────────────────────────


@contextlib.contextmanager
def few_cores(host: Connection, container: str, cores: float) -> Iterator[Callable[[str], str]]:
    """Leave the engine in a container of `host` so few cores while the context lasts. Raises `EngineError`.

    What it gives turns what a program in the engine got (`7.60 s in 4.10 s, …`) into the kernel's count for the engine.
    Nothing in the container may have a quota of its own meanwhile: with control groups of version 1 the kernel refuses
    to put one group below another with a smaller one.
    """

    def allow(nano_cpus: int) -> None:
        host.call("POST", f"/containers/{container}/update", json={"NanoCpus": nano_cpus})

    def counts() -> tuple[float, float, int]:
        # Without `one-shot`, the engine takes a second to see what changes.
        query = {"stream": "false", "one-shot": "true"}
        stats = host.call("GET", f"/containers/{container}/stats", parameters=query).json["cpu_stats"]
        throttled = (stats.get("throttling_data") or {}).get("throttled_periods") or 0
        return time.monotonic(), stats["cpu_usage"]["total_usage"] / 1e9, int(throttled)

    before = host.call("GET", f"/containers/{container}/json").json["HostConfig"]["NanoCpus"]
    allow(round(cores * 1e9))
    try:
        began, cpu, held_back = counts()

        def counted(got: str) -> str:
            now, cpu_now, held_back_now = counts()
            return engine_cpu(got, now - began, cpu_now - cpu, throttled=held_back_now > held_back)

        yield counted
    finally:
        allow(before)


_COUNTED = 0.8
"""The least part of a program's own CPU time that is found in the engine's, if it is below the engine's limit."""


def engine_cpu(got: str, seconds: float, cpu_seconds: float, *, throttled: bool) -> str:
    """What a build got, with the engine's own count: its limit is that of a group that the program cannot see.

    What the kernel counts for the engine must have in it what the program says it took; else it has escaped.
    """
    found = _CPU.fullmatch(got)
    if found is None:
        return got
    if cpu_seconds < float(found[1]) * _COUNTED:
        return f"{found[1]} s, of which the engine's own group has {cpu_seconds:.2f}"
    return f"{cpu_seconds:.2f} s in {seconds:.2f} s, throttled: {'yes' if throttled else 'never'}"


# ── before a batch: each limit once for each engine and start of the machine ─────────────

_INFO = (
    *("ID", "ServerVersion", "KernelVersion", "NCPU", "CgroupVersion", "CgroupDriver", "Driver", "DockerRootDir"),
    *("DefaultRuntime", "SecurityOptions", "Warnings"),
)
"""The fields of `GET /info` that tell an engine from others, and bear on what it enforces."""


@dataclass(frozen=True, slots=True)
class KnownLimits:
    """Which limits have held on this engine since the machine was started, by its `key`, in a file of `folder` a tier.

    The file is of the engine asked last; without a key nothing is kept. What did not hold is not kept either: it may
    have been put right.
    """

    folder: Path
    key: str

    def held(self, tier: Tier) -> frozenset[str]:
        """Names of the limits that held in that tier; none by a file that is none of this engine's."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            return frozenset(json.loads(self._file(tier).read_bytes())[self.key]) & frozenset(names())
        return frozenset()

    def keep(self, tier: Tier, results: Sequence[Result]) -> None:
        """Keep which of these held; those that did not are forgotten."""
        tried = {one.probe.name for one in results}
        held = (self.held(tier) - tried) | {one.probe.name for one in results if one.holds}
        with contextlib.suppress(UsageError):  # then the next batch tries them again
            if self.key:
                write_whole(self._file(tier), json.dumps({self.key: sorted(held)}))

    def _file(self, tier: Tier) -> Path:
        return self.folder / f"limits-{tier}.json"


def engine_key(info: Mapping[str, Any]) -> str:
    """A digest of all that what an engine enforces depends on; "" where a reboot could not be noticed.

    `info` is the engine's answer to `GET /info`.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return ""
    known = [__version__, recipe_digest(), boot, *(info.get(field) for field in _INFO)]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def waivers(given: Sequence[str]) -> frozenset[str]:
    """The names of limits that `--waive` gives, whatever their case. `UsageError` for a name that is none."""
    known = {name.casefold(): name for name in names()}
    unknown = [name for name in given if name.casefold() not in known]
    if unknown:
        raise UsageError(f"There is no limit {', '.join(map(repr, unknown))}. --waive knows: {', '.join(names())}.")
    return frozenset(known[name.casefold()] for name in given)


def require(
    wanted: Mapping[Tier, Sequence[Probe]],
    known: KnownLimits,
    attempt: Callable[[Tier, Sequence[Probe]], Sequence[Result]],
    waived: Collection[str],
) -> LimitsRecord:
    """Have those limits tried that are not known to hold, tier by tier; what holds, for the report.

    Raises `EnvironmentProblem` with all that do not hold and are not waived.
    """
    held: set[str] = set()
    failing: list[Result] = []
    for tier, asked in wanted.items():
        before = known.held(tier) & {probe.name for probe in asked}
        held |= before
        if unknown := [probe for probe in asked if probe.name not in before]:
            results = attempt(tier, unknown)
            known.keep(tier, results)
            held |= {one.probe.name for one in results if one.holds}
            failing += [one for one in results if not one.holds]
    if missing := [one for one in failing if one.probe.name not in waived]:
        seen = "".join(f"\n  {one.probe.name}: {one.probe.attempt}: {one.seen}" for one in missing)
        by_name = " ".join(f'--waive "{one.probe.name}"' for one in missing)
        raise EnvironmentProblem(
            f"This machine does not enforce limits that a batch needs, so nothing was graded:{seen}\n"
            f"`grader doctor` tries all of them. Grade on another machine; or, if you trust these submissions, "
            f"without these limits: {by_name}"
        )
    broken = {one.probe.name for one in failing}
    not_bounded = tuple(name for tier in wanted for name in NOT_BOUNDED[tier])
    return LimitsRecord(_in_order(held - broken), _in_order(broken), not_bounded)


def for_whole_batch(before: LimitsRecord | None, now: LimitsRecord) -> LimitsRecord:
    """What holds of a batch that goes on: what was waived for a part of it does not hold for the whole."""
    waived = {*now.waived, *(before.waived if before else ())}
    return replace(now, proved=tuple(name for name in now.proved if name not in waived), waived=_in_order(waived))


def _in_order(held: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in names() if name in held)
