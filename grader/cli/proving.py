"""Before a batch: are the limits it needs enforced here? Asked once for each engine and start of the machine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from grader.cli.console import Console
from grader.cli.wiring import BaseImageSupply, GradingSettings, cache_folder, host_engines, open_engine, trial_engine
from grader.course.folder import CourseFolder
from grader.engine.docker_engine import DockerEngine
from grader.events import Doing
from grader.grading.executor import Engines
from grader.limits.enforced import Memory, ask, engine_key, needed
from grader.limits.probes import Proof, Proved, Squeeze, Tier, as_it_is, discarded, gaps, proofs, prove
from grader.models import LimitsRecord

_WHY = "Trying to break the limits that a batch needs, once for each start of this machine. `grader doctor` tries all."
_PHASES: dict[Tier, tuple[str, ...]] = {"host": ("run",), "private": ("run", "build", "script")}


def prove_for_batch(terms: GradingSettings, waived: Collection[str], console: Console) -> LimitsRecord:
    """What holds, for the report. `NotEnforced` where a limit does not that is not waived; `EngineError`."""
    folder = terms.folder
    base = folder.course.images[0].names[0]
    with open_engine() as host:

        def attempt(place: Tier, wanted: Sequence[Proof]) -> list[Proved]:
            console.note(_WHY)
            with console.checking() as emit, _opened(folder, host, place, console.note) as opened:
                engine, engines, squeeze = opened
                return list(tried(engine, engines, wanted, lambda what: emit(Doing("", "limits", what)), squeeze))

        wanted = {place: needed(proofs(place, base), phases) for place, phases in _engines(terms).items()}
        proved, failing = ask(wanted, known_limits(host), attempt, waived)
        builder = host.info().builder if terms.tier == "host" else ""
    return LimitsRecord(proved, failing, tuple(gap.name for gap in gaps(terms.tier, builder)))


def known_limits(host: DockerEngine) -> Memory:
    """What is known already of this engine's limits; nothing where it is on another machine, which may start anew."""
    here = host.connection.endpoint.startswith(("unix://", "http+unix://"))
    info = host.connection.call("GET", "/info", seconds=10).json if here else {}
    return Memory(cache_folder(), engine_key(info) if here else "")


def _engines(terms: GradingSettings) -> dict[Tier, tuple[str, ...]]:
    """Where submissions will be at work, and what they will do there."""
    if terms.tier == "private":
        return {"private": _PHASES["private"]}
    if terms.whose == "strangers":
        return {"host": _PHASES["host"]}
    return {"host": _PHASES["host"], "private": ("script",)}


@contextmanager
def _opened(
    folder: CourseFolder, host: DockerEngine, place: Tier, say: Callable[[str], None]
) -> Iterator[tuple[DockerEngine, Engines, Squeeze]]:
    if place == "host":
        BaseImageSupply(folder, host, say)(folder.course.images[0].names[0])
        yield host, host_engines(host), as_it_is
        return
    with trial_engine(folder, host, say) as trial:
        yield trial.engine, trial.engines, trial.squeeze


def tried(
    engine: DockerEngine,
    engines: Engines,
    wanted: Iterable[Proof],
    doing: Callable[[str], None],
    squeeze: Squeeze = as_it_is,
) -> Iterator[Proved]:
    """Try these limits; what the engine itself says that it discards does not hold."""
    for one in prove(engines, wanted, doing, squeeze):
        yield discarded(one, engine.warnings)
