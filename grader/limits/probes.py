"""Proving that limits are enforced here: small submissions that try to take more than they may.

`proofs` is the table of what is tried, `gaps` of what nothing bounds. A `Trial` is carried out as a student's work is,
and what was seen of it is judged; several proofs may look at one trial. The programs that take too much stand in
`greedy/`. In the private tier, trials take place in an engine of `SMALL_ENGINE`'s sizes: what bounds it is the same
whatever its size, and where nothing bounds it, an attempt does the machine no harm. (In one of a batch's sizes, an
attempt would take 4 GiB of memory, or of a disk that is not bounded 8 GiB, also from a machine that has no more.)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from grader.course.models import Limits
from grader.engine.docker_engine import BUILD_MEMORY
from grader.engine.run import MAX_VOLUMES
from grader.errors import EnvironmentProblem
from grader.grading.executor import Engines, Executor
from grader.limits import judge as judges
from grader.limits.judge import Judge, Seen, Spent
from grader.models import (
    BuildRequest,
    ComposeRequest,
    MemoryFile,
    Request,
    RunRequest,
    ScriptRequest,
)
from grader.sandbox.compose_policy import MAX_SERVICES
from grader.sandbox.nested_engine import AREA_FILES, AREA_MB
from grader.sandbox.proxy.quota import DEFAULT
from grader.submissions.models import ExerciseFiles

Tier = Literal["host", "private"]

_GREEDY = Path(__file__).parent / "resource_hogs"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a private engine, as in `PrivateSettings`."""

    memory_mb: int
    processes: int
    disk_mb: int


SMALL_ENGINE = Sizes(memory_mb=600, processes=300, disk_mb=400)
"""The sizes of a private engine to try to break: enough for it to work, and soon used up."""

BATCH_ENGINE = Sizes(memory_mb=4096, processes=2048, disk_mb=8192)
"""The sizes of the engines that submissions are graded in."""

_MAY = Limits(build_seconds=60, run_seconds=30, script_seconds=30, memory_mb=64, processes=16, cpus=0.2, tmp_mb=8)
"""What a run or a script may have while it is tried, in the time that a busy machine needs."""
_COMPOSE_MAY = Limits(build_seconds=60, run_seconds=30, memory_mb=256, output_kb=64)
"""Its own commands get what they need; its services are bounded by the engine."""
_CONNECTIONS, _CONNECTIONS_ASKED = 64, 100
"""What the guard gives one script at once (`guard.proxy`), and what is asked of it."""

_ASKED = {"processes": 100, "/tmp": 100, "memory": 256}
"""What one container asks for: processes, MiB of /tmp, MiB of memory."""
_CORES_ASKED = {"CPU": 8}
"""Processes that one container keeps busy."""
_ASKED_OF_ENGINE = {"processes": 400, "disk": 800, "memory": 1000}
"""What a build or a service asks for of all that an engine of `SMALL_ENGINE` has."""
_FEW = replace(_MAY, cpus=0.05)
"""What a container may have while it keeps cores busy: so little that it shows also where others leave it little."""
_ASKED_OF_FOLDER = {"disk": 300, "files": 25_000, "objects": 200}
"""What a script writes to its folder (MiB, files), and how many volumes it makes."""
_FOLDER_MAY = Limits(script_seconds=60, memory_mb=512)
"""What is in the folder is in memory, which must not be what bounds it."""
_VOLUMES_ASKED, _SERVICES_ASKED = 100, 40
_BUSY = 8
_FEW_CORES = 0.1
"""Cores that an engine has while a build or a service keeps `_BUSY` processes busy: so few that they show."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A small submission, what is asked of it, and the limits it is tried under.

    `cores` is how many the private engine is left meanwhile; 0 says that it keeps what it has.
    """

    files: tuple[MemoryFile, ...]
    request: Request
    limits: Limits
    cores: float = 0.0


Squeeze = Callable[[float], AbstractContextManager[Callable[[], Spent]]]
"""Leaves a private engine so many cores while its context lasts, and gives what the kernel has counted in it so far."""


@dataclass(frozen=True, slots=True)
class Proof:
    """One limit: its name (`run memory`), what is tried in words, and how to tell whether it held.

    `judge` gives that, and what was seen in words. `needed` says that `grader batch` does not start without it: what
    the engine and the kernel have to enforce. Time and output are kept by the grader's own clock and count.
    """

    name: str
    attempt: str
    trial: Trial
    judge: Judge
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


def proofs(tier: Tier, base: str, builder: str = "buildkit") -> tuple[Proof, ...]:
    """What is tried in a tier, in containers of and builds on the base image `base`, which must have Python.

    `builder` is that of the host tier's engine.
    """
    if tier == "host":
        steps = _steps(base) if builder == "classic" else ()
        return (*_runs(base, _ASKED), *_own_clock(base), *steps)
    # The memory of such a run is its own limit, its disk that of the engine.
    runs = (*_runs(base, {**_ASKED, "disk": _ASKED_OF_ENGINE["disk"]}), *_own_clock(base))
    builds = _of_engine("build", _build(base, *_words(_ASKED_OF_ENGINE)), needed=True)
    cores = _cores_of_engine("build", _build(base, f"busy={_BUSY}"), needed=True)
    return (*runs, *builds, cores, *_scripts(), *_compose(base))


def gaps(tier: Tier, builder: str = "buildkit") -> tuple[Gap, ...]:
    """What is not bounded in a tier; `builder` is as in `proofs`."""
    if tier == "private":
        return ()
    kept = _STEPS if builder == "classic" else ()
    engine = "the builder of this engine takes no such limit from a request"
    return (
        Gap("run disk", "what a container writes goes to the engine's disk, and only its time bounds it"),
        *(Gap(f"build {what}", engine) for what in ("memory", "processes", "disk", "CPU") if what not in kept),
    )


def names() -> tuple[str, ...]:
    """The name of every proof, each once."""
    return tuple(dict.fromkeys(proof.name for tier in ("private", "host") for proof in proofs(tier, "")))


def _runs(base: str, asked: dict[str, int]) -> Iterator[Proof]:
    def run(limits: Limits, *words: str) -> Trial:
        return Trial((), RunRequest(base=base, entrypoint=("python3", "-c", _program(), *words)), limits)

    trial = run(_MAY, *_words(asked), "network", "privileges")
    yield from _container("run", trial)
    if "disk" in asked:
        yield Proof("run disk", _fills(asked["disk"], SMALL_ENGINE.disk_mb), trial, judges.below("disk", asked["disk"]))
    yield _cores("run", run(_FEW, *_words(_CORES_ASKED)))


def _container(phase: str, trial: Trial) -> Iterator[Proof]:
    """What bounds one container with the settings of a run."""
    asked = _ASKED
    yield Proof(f"{phase} memory", f"takes {asked['memory']} MiB, may have {_MAY.memory_mb}", trial, judges.killed)
    forks = f"starts {asked['processes']} processes, may have {_MAY.processes}"
    yield Proof(f"{phase} processes", forks, trial, judges.below("processes", _MAY.processes + 1))
    fills = f"writes {asked['/tmp']} MiB to /tmp, may write {_MAY.tmp_mb}"
    yield Proof(f"{phase} /tmp", fills, trial, judges.below("/tmp", _MAY.tmp_mb + 4))
    alone = judges.says("network", "lo", "there is none but its own loopback")
    yield Proof(f"{phase} network", "looks for a network interface", trial, alone)
    rights = "reads which capabilities it has and may gain"
    yield Proof(f"{phase} privileges", rights, trial, judges.says("privileges", "0 1", "none and none"))


def _cores(phase: str, trial: Trial, *, needed: bool = True) -> Proof:
    """A trial of its own: with so few cores, nothing else is to be done."""
    spins = f"keeps {_CORES_ASKED['CPU']} processes busy, may have {_FEW.cpus:g} cores"
    return Proof(f"{phase} CPU", spins, trial, judges.held_back(_FEW.cpus), needed=needed)


def _own_clock(base: str) -> Iterator[Proof]:
    """Limits of runs and builds that the grader itself keeps."""

    def run(*words: str, limits: Limits) -> Trial:
        return Trial((), RunRequest(base=base, entrypoint=words), limits)

    def build(command: str, limits: Limits) -> Trial:
        return Trial((_file("Dockerfile", f"FROM {base}\nRUN {command}\n"),), BuildRequest(), limits)

    yield Proof(
        "run time", _SLEEPS, run("sleep", "60", limits=replace(_MAY, run_seconds=1)), judges.timed_out, needed=False
    )
    prints = run("python3", "-c", _PRINTS, limits=replace(_MAY, output_kb=64))
    yield Proof("run output", _FLOODS, prints, judges.flooded, needed=False)
    volumes = ", ".join(f'"/volume-{number}"' for number in range(_VOLUMES_ASKED))
    declares = Trial((_file("Dockerfile", f"FROM {base}\nVOLUME [{volumes}]\n"),), RunRequest(args=("true",)), _MAY)
    many = f"its image declares {_VOLUMES_ASKED} volumes, may declare {MAX_VOLUMES}"
    yield Proof("run objects", many, declares, judges.not_started, needed=False)
    slow = build("sleep 60", replace(_MAY, build_seconds=1))
    yield Proof("build time", _SLEEPS, slow, judges.timed_out, needed=False)
    loud = build(f'python3 -c "{_PRINTS}"', replace(_MAY, build_output_kb=64))
    yield Proof("build output", _FLOODS, loud, judges.flooded, needed=False)


_SLEEPS = "sleeps for a minute, may take 1 s"
_FLOODS = "prints without end, may print 64 KiB"
_PRINTS = "while True: print('x' * 1000)"


def _build(base: str, *words: str) -> Trial:
    # It fails at its end in any case: a step that succeeds would be in the builder's cache the next time.
    run = f"RUN python3 /program.py {' '.join(words)}; exit 1"
    dockerfile = f"FROM {base}\nCOPY program.py /\n{run}\n"
    return Trial((_file("Dockerfile", dockerfile), _file("program.py", _program())), BuildRequest(), _MAY)


_STEPS = ("memory", "CPU")


def _steps(base: str) -> Iterator[Proof]:
    """What the classic builder bounds, in each step."""
    asked, may = _ASKED_OF_ENGINE["memory"], _MAY.memory_mb * BUILD_MEMORY
    memory = _build(base, f"memory={asked}")
    yield Proof("build memory", f"takes {asked} MiB, may have {may}", memory, judges.killed, needed=False)
    yield _cores("build", replace(_build(base, *_words(_CORES_ASKED)), limits=_FEW), needed=False)


def _of_engine(phase: str, trial: Trial, *, needed: bool) -> Iterator[Proof]:
    """What the engine's container bounds, of everything in it together."""
    asked, may = _ASKED_OF_ENGINE, SMALL_ENGINE
    yield Proof(
        f"{phase} memory", f"takes {asked['memory']} MiB, may have {may.memory_mb}", trial, judges.killed, needed=needed
    )
    forks = f"starts {asked['processes']} processes, may have {may.processes}"
    yield Proof(f"{phase} processes", forks, trial, judges.below("processes", may.processes), needed=needed)
    fills = _fills(asked["disk"], may.disk_mb)
    yield Proof(f"{phase} disk", fills, trial, judges.below("disk", asked["disk"]), needed=needed)


def _cores_of_engine(phase: str, trial: Trial, *, needed: bool) -> Proof:
    """A limit of its own, since it takes some seconds in which the engine is slow."""
    spins = f"keeps {_BUSY} processes busy, the engine may have {_FEW_CORES:g} cores"
    held = judges.engine_held_back(_FEW_CORES)
    return Proof(f"{phase} CPU", spins, replace(trial, cores=_FEW_CORES), held, needed=needed)


def _scripts() -> Iterator[Proof]:
    def script(text: str, limits: Limits) -> Trial:
        return Trial((_file("commands.sh", text),), ScriptRequest(), limits)

    greedy = (_GREEDY / "commands.sh").read_text(encoding="utf-8")

    def takes(limits: Limits, *words: str) -> Trial:
        return script(greedy.replace("@ATTEMPTS@", " ".join(words)), limits)

    asked = _words({**_ASKED, "connections": _CONNECTIONS_ASKED})
    trial = takes(_MAY, *asked, "network", "privileges")
    yield from _container("script", trial)
    many = f"opens {_CONNECTIONS_ASKED} connections to the engine, may have {_CONNECTIONS}"
    yield Proof("script connections", many, trial, judges.below("connections", _CONNECTIONS + 1))
    yield _cores("script", takes(_FEW, *_words(_CORES_ASKED)))
    yield from _of_folder(takes(_FOLDER_MAY, *_words(_ASKED_OF_FOLDER)))
    sleeps = script("sleep 60 & setsid sleep 60", replace(_MAY, script_seconds=1))
    yield Proof("script time", _SLEEPS, sleeps, judges.timed_out, needed=False)
    yield Proof("script output", _FLOODS, script("yes", replace(_MAY, output_kb=64)), judges.flooded, needed=False)


def _of_folder(trial: Trial) -> Iterator[Proof]:
    """What a script may leave in its folder, and make in its engine; kept by the area and the guard, not asked for."""
    asked = _ASKED_OF_FOLDER
    fills = f"writes {asked['disk']} MiB to its folder, may write {AREA_MB}"
    yield Proof("script disk", fills, trial, judges.below("disk", AREA_MB + 1), needed=False)
    many = f"makes {asked['files']} files in its folder, may make {AREA_FILES}"
    yield Proof("script files", many, trial, judges.below("files", AREA_FILES + 1), needed=False)
    makes = f"makes {asked['objects']} volumes in its engine, may make {DEFAULT.volumes}"
    yield Proof("script objects", makes, trial, judges.below("objects", DEFAULT.volumes + 1), needed=False)


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

    def greedy(*words: str) -> Trial:
        return up(service("greedy", "python3", "/program.py", *words), _COMPOSE_MAY)

    yield from _of_engine("compose", greedy(*_words(_ASKED_OF_ENGINE)), needed=False)
    yield _cores_of_engine("compose", greedy(f"busy={_BUSY}"), needed=False)
    loud = service("loud", "python3", "-c", "import time; print('x' * 1000000); time.sleep(60)")
    both = up(service("endless", "sleep", "60") + loud, replace(_COMPOSE_MAY, run_seconds=1))
    yield Proof("compose time", "a service sleeps for a minute, may take 1 s", both, judges.brought_down, needed=False)
    services = "".join(service(f"number-{number}", "true") for number in range(_SERVICES_ASKED))
    asks = f"asks for {_SERVICES_ASKED} services, may have {MAX_SERVICES}"
    yield Proof("compose objects", asks, up(services, _COMPOSE_MAY), judges.refused, needed=False)
    yield Proof(
        "compose output",
        "a service prints 977 KiB, may print 64",
        both,
        judges.cut(_COMPOSE_MAY.output_kb),
        needed=False,
    )


def _file(path: str, text: str) -> MemoryFile:
    return MemoryFile(path, text.encode())


def _program() -> str:
    return (_GREEDY / "program.py").read_text(encoding="utf-8")


def _words(asked: dict[str, int]) -> tuple[str, ...]:
    return tuple(f"{name}={amount}" for name, amount in asked.items())


def _fills(asked: int, may: int) -> str:
    return f"writes {asked} MiB to its disk, may write {may}"


# ── carrying out ────────────────────────────────────────────────────────────────────────


def as_it_is(_: float) -> AbstractContextManager[Callable[[], Spent]]:
    """A `Squeeze` where there is no private engine."""
    return nullcontext(Spent)


def prove(
    engines: Engines, wanted: Iterable[Proof], doing: Callable[[str], None], squeeze: Squeeze = as_it_is
) -> Iterator[Proved]:
    """Try to break these limits, one after the other; `doing` is told what is tried now.

    A trial that the engine or the grader breaks off twice shows nothing, so its limits do not hold. `squeeze` is for
    the private engine that these `engines` hold.
    """
    for trial, group in itertools.groupby(wanted, key=lambda proof: proof.trial):
        asked = tuple(group)
        doing(", ".join(proof.name for proof in asked))
        try:
            seen = _observed(engines, trial, squeeze)
        except EnvironmentProblem as problem:
            yield from (Proved(proof, holds=False, seen=f"could not be tried: {problem}") for proof in asked)
        else:
            yield from (Proved(proof, *proof.judge(seen)) for proof in asked)


def _observed(engines: Engines, trial: Trial, squeeze: Squeeze) -> Seen:
    """What is seen of a trial, which as a student's work gets a second attempt where the engine is at fault."""
    with suppress(EnvironmentProblem):
        return _attempted(engines, trial, squeeze)
    return _attempted(engines, trial, squeeze)


def _attempted(engines: Engines, trial: Trial, squeeze: Squeeze) -> Seen:
    files = ExerciseFiles("", "", trial.files, "")
    with (
        Executor(engines, files, trial.limits, "limits", lambda _: None) as executor,
        squeeze(trial.cores) if trial.cores else nullcontext(Spent) as spent,
    ):
        return Seen(executor(trial.request), spent())


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
