"""Proving that limits are enforced here: small submissions that try to take more than they may.

`proofs` is the table of what is tried, `gaps` of what nothing bounds. A `Trial` is carried out as a student's work is,
and what was seen of it is judged; several proofs may look at one trial. The programs that take too much stand in
`greedy/`. In the private tier, trials take place in an engine of `SMALL_ENGINE`'s sizes: what bounds it is the same
whatever its size.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from grader.bench import Bench, Places
from grader.errors import EnvironmentProblem
from grader.model import (
    BuildFailed,
    BuildRequest,
    Built,
    ComposeRequest,
    ComposeSeen,
    ExerciseFiles,
    Exited,
    MemoryFile,
    NotStarted,
    Observation,
    OutOfMemory,
    OutputLimit,
    Request,
    RunEnd,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
    TimedOut,
)
from grader.spec import Limits

__all__ = [
    "SMALL_ENGINE",
    "Gap",
    "Proof",
    "Proved",
    "Sizes",
    "Tier",
    "Trial",
    "discarded",
    "gaps",
    "names",
    "proofs",
    "prove",
]

Tier = Literal["host", "private"]

_GREEDY = Path(__file__).parent / "greedy"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a private engine, as in `PrivateSettings`."""

    memory_mb: int
    processes: int
    disk_mb: int


SMALL_ENGINE = Sizes(memory_mb=600, processes=300, disk_mb=400)
"""The sizes of a private engine to try to break: enough for it to work, and soon used up."""

_MAY = Limits(build_seconds=60, run_seconds=30, script_seconds=30, memory_mb=64, processes=16, cpus=0.2, tmp_mb=8)
"""What a run or a script may have while it is tried, in the time that a busy machine needs."""
_COMPOSE_MAY = Limits(build_seconds=60, run_seconds=30, memory_mb=256, output_kb=64)
"""Its own commands get what they need; its services are bounded by the engine."""
_CONNECTIONS, _CONNECTIONS_ASKED = 64, 100
"""What the guard gives one script at once (`guard.proxy`), and what is asked of it."""

_ASKED = {"processes": 100, "/tmp": 100, "CPU": 8, "memory": 256}
"""What one container asks for: processes, MiB of /tmp, busy processes, MiB of memory."""
_ASKED_OF_ENGINE = {"processes": 400, "disk": 800, "memory": 1000}
"""What a build or a service asks for of all that an engine of `SMALL_ENGINE` has."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A small submission, what is asked of it, and the limits it is tried under."""

    files: tuple[MemoryFile, ...]
    request: Request
    limits: Limits


@dataclass(frozen=True, slots=True)
class Proof:
    """One limit: its name (`run memory`), what is tried in words, and how to tell whether it held.

    `judge` gives that, and what was seen in words. `needed` says that `grader batch` does not start without it: what
    the engine and the kernel have to enforce. Time and output are kept by the grader's own clock and count.
    """

    name: str
    attempt: str
    trial: Trial
    judge: Callable[[Observation], tuple[bool, str]]
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Gap:
    """What nothing bounds in a tier, and why."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Proved:
    """The result of one attempt; `seen` says what happened."""

    proof: Proof
    holds: bool
    seen: str


# ── the tables ──────────────────────────────────────────────────────────────────────────


def proofs(tier: Tier, base: str) -> tuple[Proof, ...]:
    """What is tried in a tier, in containers of and builds on the base image `base`, which must have Python."""
    if tier == "host":
        return (*_runs(base, _ASKED), *_own_clock(base))
    # The memory of such a run is its own limit, its disk that of the engine.
    runs = (*_runs(base, {**_ASKED, "disk": _ASKED_OF_ENGINE["disk"]}), *_own_clock(base))
    return (*runs, *_of_engine("build", _greedy_build(base), needed=True), *_scripts(), *_compose(base))


def gaps(tier: Tier) -> tuple[Gap, ...]:
    """What is not bounded in a tier."""
    cores = Gap("build CPU", "a build may use all cores; only its time is bounded")
    if tier == "private":
        folder = "the folder a script works in is one of this machine, without a quota"
        return (cores, Gap("compose CPU", "services may use all cores"), Gap("script disk", folder))
    engine = "the builder of this engine takes no such limit from a request"
    return (
        Gap("run disk", "what a container writes goes to the engine's disk, and only its time bounds it"),
        *(Gap(f"build {what}", engine) for what in ("memory", "processes", "disk")),
        cores,
    )


def names() -> tuple[str, ...]:
    """The name of every proof, each once."""
    return tuple(dict.fromkeys(proof.name for tier in ("private", "host") for proof in proofs(tier, "")))


def _runs(base: str, asked: dict[str, int]) -> Iterator[Proof]:
    words = ("python3", "-c", _program(), *_words(asked), "network", "privileges")
    trial = Trial((), RunRequest(base=base, entrypoint=words), _MAY)
    yield from _container("run", trial)
    if "disk" in asked:
        yield Proof("run disk", _fills(asked["disk"], SMALL_ENGINE.disk_mb), trial, _below("disk", asked["disk"]))


def _container(phase: str, trial: Trial) -> Iterator[Proof]:
    """What bounds one container with the settings of a run."""
    asked = _ASKED
    yield Proof(f"{phase} memory", f"takes {asked['memory']} MiB, may have {_MAY.memory_mb}", trial, _killed)
    forks = f"starts {asked['processes']} processes, may have {_MAY.processes}"
    yield Proof(f"{phase} processes", forks, trial, _below("processes", _MAY.processes + 1))
    spins = f"keeps {asked['CPU']} processes busy, may have {_MAY.cpus:g} cores"
    yield Proof(f"{phase} CPU", spins, trial, _held_back)
    fills = f"writes {asked['/tmp']} MiB to /tmp, may write {_MAY.tmp_mb}"
    yield Proof(f"{phase} /tmp", fills, trial, _below("/tmp", _MAY.tmp_mb + 4))
    alone = _says("network", "lo", "there is none but its own loopback")
    yield Proof(f"{phase} network", "looks for a network interface", trial, alone)
    rights = "reads which capabilities it has and may gain"
    yield Proof(f"{phase} privileges", rights, trial, _says("privileges", "0 1", "none and none"))


def _own_clock(base: str) -> Iterator[Proof]:
    """Limits of runs and builds that the grader itself keeps."""

    def run(*words: str, limits: Limits) -> Trial:
        return Trial((), RunRequest(base=base, entrypoint=words), limits)

    def build(command: str, limits: Limits) -> Trial:
        return Trial((_file("Dockerfile", f"FROM {base}\nRUN {command}\n"),), BuildRequest(), limits)

    yield Proof("run time", _SLEEPS, run("sleep", "60", limits=replace(_MAY, run_seconds=1)), _timed_out, needed=False)
    prints = run("python3", "-c", _PRINTS, limits=replace(_MAY, output_kb=64))
    yield Proof("run output", _FLOODS, prints, _flooded, needed=False)
    slow = build("sleep 60", replace(_MAY, build_seconds=1))
    yield Proof("build time", _SLEEPS, slow, _timed_out, needed=False)
    loud = build(f'python3 -c "{_PRINTS}"', replace(_MAY, build_output_kb=64))
    yield Proof("build output", _FLOODS, loud, _flooded, needed=False)


_SLEEPS = "sleeps for a minute, may take 1 s"
_FLOODS = "prints without end, may print 64 KiB"
_PRINTS = "while True: print('x' * 1000)"


def _greedy_build(base: str) -> Trial:
    # It fails at its end in any case: a step that succeeds would be in the builder's cache the next time.
    run = f"RUN python3 /program.py {' '.join(_words(_ASKED_OF_ENGINE))}; exit 1"
    dockerfile = f"FROM {base}\nCOPY program.py /\n{run}\n"
    return Trial((_file("Dockerfile", dockerfile), _file("program.py", _program())), BuildRequest(), _MAY)


def _of_engine(phase: str, trial: Trial, *, needed: bool) -> Iterator[Proof]:
    """What the engine's container bounds, of everything in it together."""
    asked, may = _ASKED_OF_ENGINE, SMALL_ENGINE
    yield Proof(
        f"{phase} memory", f"takes {asked['memory']} MiB, may have {may.memory_mb}", trial, _killed, needed=needed
    )
    forks = f"starts {asked['processes']} processes, may have {may.processes}"
    yield Proof(f"{phase} processes", forks, trial, _below("processes", may.processes), needed=needed)
    fills = _fills(asked["disk"], may.disk_mb)
    yield Proof(f"{phase} disk", fills, trial, _below("disk", asked["disk"]), needed=needed)


def _scripts() -> Iterator[Proof]:
    def script(text: str, limits: Limits) -> Trial:
        return Trial((_file("commands.sh", text),), ScriptRequest(), limits)

    greedy = (_GREEDY / "commands.sh").read_text(encoding="utf-8")
    words = " ".join((*_words({**_ASKED, "connections": _CONNECTIONS_ASKED}), "network", "privileges"))
    trial = script(greedy.replace("@ATTEMPTS@", words), _MAY)
    yield from _container("script", trial)
    many = f"opens {_CONNECTIONS_ASKED} connections to the engine, may have {_CONNECTIONS}"
    yield Proof("script connections", many, trial, _below("connections", _CONNECTIONS + 1))
    sleeps = script("sleep 60 & setsid sleep 60", replace(_MAY, script_seconds=1))
    yield Proof("script time", _SLEEPS, sleeps, _timed_out, needed=False)
    yield Proof("script output", _FLOODS, script("yes", replace(_MAY, output_kb=64)), _flooded, needed=False)


def _compose(base: str) -> Iterator[Proof]:
    """Services are bounded by the same container as builds, so batch need not ask for them besides."""

    def up(services: str, limits: Limits) -> Trial:
        # What `replaced` names is put beside the file; without it, Compose would only read.
        files = (_file("compose.yaml", f"services:\n{services}"),)
        return Trial(files, ComposeRequest((_file("program.py", _program()),)), limits)

    def service(name: str, *words: str) -> str:
        mounted = '["./program.py:/program.py:ro"]'
        command = "".join(f'      - "{word}"\n' for word in words)
        return f"  {name}:\n    image: {base}\n    network_mode: none\n    volumes: {mounted}\n    command:\n{command}"

    greedy = service("greedy", "python3", "/program.py", *_words(_ASKED_OF_ENGINE))
    yield from _of_engine("compose", up(greedy, _COMPOSE_MAY), needed=False)
    loud = service("loud", "python3", "-c", "import time; print('x' * 1000000); time.sleep(60)")
    both = up(service("endless", "sleep", "60") + loud, replace(_COMPOSE_MAY, run_seconds=1))
    yield Proof("compose time", "a service sleeps for a minute, may take 1 s", both, _brought_down, needed=False)
    yield Proof("compose output", "a service prints 977 KiB, may print 64", both, _cut, needed=False)


def _file(path: str, text: str) -> MemoryFile:
    return MemoryFile(path, text.encode())


def _program() -> str:
    return (_GREEDY / "program.py").read_text(encoding="utf-8")


def _words(asked: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{name}={amount}" for name, amount in asked.items())


def _fills(asked: int, may: int) -> str:
    return f"writes {asked} MiB to its disk, may write {may}"


# ── carrying out ────────────────────────────────────────────────────────────────────────


def prove(places: Places, wanted: Iterable[Proof], doing: Callable[[str], None]) -> Iterator[Proved]:
    """Try to break these limits, one after the other; `doing` is told what is tried now.

    A trial that the engine or the grader breaks off twice shows nothing, so its limits do not hold.
    """
    for trial, group in itertools.groupby(wanted, key=lambda proof: proof.trial):
        asked = tuple(group)
        doing(", ".join(proof.name for proof in asked))
        try:
            observation = _observed(places, trial)
        except EnvironmentProblem as problem:
            yield from (Proved(proof, holds=False, seen=f"could not be tried: {problem}") for proof in asked)
        else:
            yield from (Proved(proof, *proof.judge(observation)) for proof in asked)


def _observed(places: Places, trial: Trial) -> Observation:
    """What is seen of a trial, which as a student's work gets a second attempt where the engine is at fault."""
    with suppress(EnvironmentProblem):
        return _attempted(places, trial)
    return _attempted(places, trial)


def _attempted(places: Places, trial: Trial) -> Observation:
    with Bench(places, ExerciseFiles("", "", trial.files, ""), trial.limits, "limits", lambda _: None) as bench:
        return bench(trial.request)


_DISCARDED = {
    "memory": re.compile("(?i)memory"),
    "processes": re.compile("(?i)pids"),
    "CPU": re.compile("(?i)cpu|cfs"),
}


def discarded(proved: Proved, warnings: Sequence[str]) -> Proved:
    """The result, in which a limit that the engine says it discards does not hold, whatever was seen."""
    words = _DISCARDED.get(proved.proof.name.partition(" ")[2])
    for warning in warnings:
        if words and words.search(warning) and "discarded" in warning.lower():
            return replace(proved, holds=False, seen=f"{proved.seen}; the engine warns: {warning}")
    return proved


# ── judging ─────────────────────────────────────────────────────────────────────────────


def _printed(observation: Observation) -> str:
    match observation:
        case RunOutcome():
            return observation.stdout.decode("utf-8", "replace")
        case Built() | BuildFailed():
            return "".join(step.log for step in observation.steps)
        case ScriptSeen():
            return observation.outcome.stdout.decode("utf-8", "replace")
        case ComposeSeen():
            return "".join(one.stdout.decode("utf-8", "replace") for one in observation.services)


def _got(observation: Observation, name: str) -> str:
    """What the greedy program says it got; "" if it did not come to say it."""
    found = re.search(rf"^{re.escape(name)} (.*)$", _printed(observation), re.MULTILINE)
    return found[1].strip() if found else ""


def _seen(observation: Observation, got: str) -> str:
    return got or f"it did not come to that; it {_ended(observation)}"


def _below(name: str, bound: int) -> Callable[[Observation], tuple[bool, str]]:
    def judge(observation: Observation) -> tuple[bool, str]:
        got = _got(observation, name)
        holds = got.isdecimal() and 0 < int(got) < bound
        return holds, _seen(observation, f"{'stopped at' if holds else 'got'} {got}" if got else "")

    return judge


def _says(name: str, words: str, meaning: str) -> Callable[[Observation], tuple[bool, str]]:
    def judge(observation: Observation) -> tuple[bool, str]:
        got = _got(observation, name)
        return got == words, meaning if got == words else _seen(observation, got)

    return judge


def _killed(observation: Observation) -> tuple[bool, str]:
    got = _got(observation, "memory")
    return got == "killed", _seen(observation, {"all": "got all of it"}.get(got, got))


_TOLERANCE = 2.5
"""How many times its share of the cores a container may be seen to take: the kernel counts by tenths of a second."""


def _held_back(observation: Observation) -> tuple[bool, str]:
    got = _got(observation, "CPU")
    cores, _, word = got.partition(" ")
    holds = bool(re.fullmatch(r"\d+\.\d\d", cores)) and float(cores) < _MAY.cpus * _TOLERANCE and word != "free"
    return holds, _seen(observation, f"got {cores}, {word}" if got else "")


def _timed_out(observation: Observation) -> tuple[bool, str]:
    ended = _ended(observation)
    return ended == "timed out", ended


def _flooded(observation: Observation) -> tuple[bool, str]:
    ended = _ended(observation)
    return ended == "output limit", ended


def _brought_down(observation: Observation) -> tuple[bool, str]:
    if not isinstance(observation, ComposeSeen) or not observation.services:
        return False, _ended(observation)
    ran = "running" in {one.status for one in observation.services if one.service == "endless"}
    down = observation.down is not None and observation.down.ended == Exited(0) and not observation.left
    return ran and down, "running when the time was over, then removed" if ran and down else _ended(observation)


def _cut(observation: Observation) -> tuple[bool, str]:
    kept = len(_printed(observation))
    return 0 < kept <= _COMPOSE_MAY.output_kb * 1024, f"{kept / 1024:.0f} KiB were kept"


def _ended(observation: Observation) -> str:
    match observation:
        case RunOutcome():
            return _in_words(observation.ended)
        case Built():
            return "built"
        case BuildFailed():
            return observation.ended.replace("_", " ") if observation.ended != "failed" else observation.message
        case ScriptSeen():
            return _in_words(observation.outcome.ended)
        case ComposeSeen():
            done = [one for one in (observation.config, observation.build, observation.up, observation.down) if one]
            wrong = next((one for one in done if one.ended != Exited(0)), None)
            return f"{_in_words(wrong.ended)}: {wrong.stderr.decode('utf-8', 'replace')[-200:]}" if wrong else "ended"


def _in_words(ended: RunEnd) -> str:
    match ended:
        case Exited():
            return f"exited {ended.code}"
        case NotStarted():
            return f"was not started: {ended.reason}"
        case TimedOut() | OutOfMemory() | OutputLimit():
            return ended.kind.replace("_", " ")
