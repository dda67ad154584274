"""Before a batch: are the limits it needs enforced here? Asked once for each engine and start of the machine."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from grader.cli.console import Console
from grader.cli.wiring import BaseImageSupply, GradingSettings, cache_folder, host_engines, open_engine, trial_engine
from grader.engine.docker_engine import DockerEngine
from grader.limits.probes import KnownLimits, Probe, Result, Tier, attempt, engine_key, probes, require
from grader.models import Doing, LimitsRecord

_WHY = "Trying to break the limits that a batch needs, once for each start of this machine. `grader doctor` tries all."


def prove_for_batch(settings: GradingSettings, waived: Collection[str], console: Console) -> LimitsRecord:
    """What holds, for the report. `EnvironmentProblem` where a limit does not that is not waived."""
    folder = settings.folder
    base = folder.course.images[0].names[0]
    with open_engine() as host:

        def tried(tier: Tier, wanted: Sequence[Probe]) -> list[Result]:
            console.note(_WHY)
            with console.checking() as emit:

                def doing(what: str) -> None:
                    emit(Doing("", "limits", what))

                if tier == "host":
                    BaseImageSupply(folder, host, console.note)(base)
                    return list(attempt(host_engines(host), wanted, doing))
                with trial_engine(folder, host, console.note) as trial:
                    return list(attempt(trial.engines, wanted, doing, trial.few_cores))

        wanted = {
            tier: [probe for probe in probes(tier, base) if probe.name.split()[0] in phases]
            for tier, phases in _needed(settings).items()
        }
        return require(wanted, known_limits(host), tried, waived)


def _needed(settings: GradingSettings) -> dict[Tier, set[str]]:
    """Where submissions will be at work, and in which phases."""
    if settings.tier == "private":
        return {"private": {"run", "build", "script"}}
    return {"host": {"run"}} if settings.whose == "strangers" else {"host": {"run"}, "private": {"script"}}


def known_limits(host: DockerEngine) -> KnownLimits:
    """What is known already of this engine's limits; nothing where it is on another machine, which may start anew."""
    here = host.connection.endpoint.startswith(("unix://", "http+unix://"))
    info = host.connection.call("GET", "/info", seconds=10).json if here else {}
    return KnownLimits(cache_folder(), engine_key(info) if here else "")
