"""`grader doctor`: can this machine grade fairly? Every line says what was found and whether that is enough."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from grader.checks.diagnosis import excerpt
from grader.cli.common import course_at, examples, terminal
from grader.cli.console import Console
from grader.cli.proving import known_limits, tried
from grader.cli.wiring import TrialEngine, host_engines, open_engine, trial_engine
from grader.course.folder import CourseFolder
from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine
from grader.errors import EnvironmentProblem
from grader.events import Doing
from grader.grading.executor import Engines
from grader.grading.network import probe_by_building
from grader.limits.meter import kernel_limits
from grader.limits.probes import BATCH_ENGINE, Proved, Squeeze, Tier, as_it_is, gaps, proofs
from grader.models import RunRequest
from grader.reports.text import Style
from grader.sandbox.engine_image import RELEASE

Line = tuple[str, str, str]
"""What, how it stands (`ok`, `warning`, `FAILS`), and what was seen; or a heading, with nothing but the first."""

_STYLES: dict[str, Style] = {"": "heading", "FAILS": "failed", "warning": "not_graded"}
_TIERS = {"host": "Limits in the engine that `docker` uses", "private": "Limits in a private engine"}
_GIB = 2**30
_COMPOSE_SECONDS = 30.0
_ROOM_NEEDED = 5 * _GIB
"""Base images, a class's layers and the builder's cache, with room to spare."""


@click.command(epilog=examples("grader doctor"))
@click.pass_obj
def command(course: Path | None) -> int:
    """Find out whether this machine can grade fairly: engine, builder, base images, disk, limits, Compose."""
    folder = course_at(course)
    console = terminal()
    failing: list[str] = []
    with open_engine() as host, _showing(console) as doing:
        for name, state, seen in _findings(_Machine(host, folder, console.note, doing)):
            console.note(f"  {state:8} {name}: {seen}" if state else name, _STYLES.get(state, "plain"))
            failing += [name] if state == "FAILS" else []
    _conclude(console, failing)
    return EnvironmentProblem.exit_code if failing else 0


@dataclass(frozen=True, slots=True)
class _Machine:
    """What is examined, and who is told meanwhile: `say` of steps that are taken once, `doing` of what goes on now."""

    host: DockerEngine
    folder: CourseFolder
    say: Callable[[str], None]
    doing: Callable[[str], None]

    @property
    def base(self) -> str:
        """The base image that limits are tried with."""
        return self.folder.course.images[0].names[0]


@contextmanager
def _showing(console: Console) -> Iterator[Callable[[str], None]]:
    """One live line says what is tried; elsewhere the lines with the results are enough."""
    if not console.live:
        yield lambda _: None
        return
    with console.checking() as emit:
        yield lambda what: emit(Doing("", "trying", what))


def _conclude(console: Console, failing: list[str]) -> None:
    if failing:
        console.note(f"Not fit for grading other people's work: {', '.join(failing)}.", "failed")
        console.note("Without limits that it needs, `grader batch` starts only if you name them by --waive.")
    else:
        console.note("This machine can grade.", "passed")


def _findings(machine: _Machine) -> Iterator[Line]:
    yield "This machine", "", ""
    yield from _engine(machine.host)
    yield from _images(machine.host, machine.folder)
    yield from _host(machine)
    yield from _private(machine)
    for warning in machine.host.warnings:
        yield "the engine warns", "warning", warning


def _host(machine: _Machine) -> Iterator[Line]:
    if machine.host.image_labels(machine.base) is None:
        yield "limits", "FAILS", f"not tried: {machine.base} is needed for it; run `grader images`"
    else:
        yield from _packages(machine, "host", machine.host, "pip", "apt")
        yield from _limits(machine, "host", machine.host, host_engines(machine.host), as_it_is)


def _packages(machine: _Machine, tier: Tier, engine: DockerEngine, *tools: str) -> Iterator[Line]:
    """Whether builds can fetch what `RUN pip install` needs. Without apt, most exercises can do."""
    for tool in tools:
        machine.doing(f"fetching a list with {tool}")
        against = probe_by_building(engine, [machine.base], Limits(), [tool])
        state = "ok" if not against else "FAILS" if tool == "pip" else "warning"
        yield f"packages by {tool} ({tier})", state, against[0] if against else "a build can fetch the list of them"


def _private(machine: _Machine) -> Iterator[Line]:
    """Whether commands.sh and Compose can be graded: a private engine, its limits, and which Compose it has."""
    yield "A private engine", "", ""
    began = time.monotonic()
    machine.doing("a private engine")
    try:
        with trial_engine(machine.folder, machine.host, machine.say) as trial:
            seconds = time.monotonic() - began
            yield "private engine", "ok", f"Docker {trial.private.version}, up in {seconds:.1f} s, preparing included"
            yield from _compose(trial)
            yield from _packages(machine, "private", trial.engine, "pip")
            yield from _limits(machine, "private", trial.engine, trial.engines, trial.squeeze)
            if not trial.private.disk_is_bounded:
                yield "private engine's disk", "warning", "not bounded: the host gives no loop devices"
        yield from _sizes(machine)
    except EnvironmentProblem as problem:
        yield "private engine", "FAILS", str(problem)


_DISK = "import os; found = os.statvfs('/'); print(found.f_blocks * found.f_frsize >> 20)"


def _sizes(machine: _Machine) -> Iterator[Line]:
    """Whether the kernel has taken the sizes of a batch's engine.

    Limits are tried in a small engine, which does no harm where they do not hold; so this is what is left to ask.
    """
    machine.doing("the sizes of a batch's engine")
    with trial_engine(machine.folder, machine.host, machine.say, BATCH_ENGINE) as trial:
        kept = kernel_limits(machine.host.connection, trial.private.container)
        disk = trial.engine.run(machine.base, RunRequest(entrypoint=("python3", "-c", _DISK)), Limits()).stdout.strip()
    memory_mb, processes = kept
    wanted = kept == (BATCH_ENGINE.memory_mb, BATCH_ENGINE.processes)
    seen = f"the kernel gives it {memory_mb} MiB of memory, {processes} processes, a disk of {disk.decode()} MiB"
    yield "the engine of a batch", "ok" if wanted else "FAILS", f"{seen}, {trial.private.cpus:g} cores"


def _compose(trial: TrialEngine) -> Iterator[Line]:
    outcome = trial.workshop.run(("docker", "compose", "version", "--short"), _COMPOSE_SECONDS)
    version = outcome.stdout.decode("utf-8", "replace").strip()
    origin = f"{version}, the package docker-compose of Debian {RELEASE}, in the private engine's image"
    yield "compose", "ok" if version else "FAILS", origin if version else excerpt(outcome)


def _limits(machine: _Machine, tier: Tier, engine: DockerEngine, engines: Engines, squeeze: Squeeze) -> Iterator[Line]:
    """Each limit of a tier, and what is not bounded there. What holds is kept for `grader batch`."""
    yield _TIERS[tier], "", ""
    found: list[Proved] = []
    builder = engine.info().builder
    for one in tried(engine, engines, proofs(tier, machine.base, builder), machine.doing, squeeze):
        found.append(one)
        yield f"{one.proof.name} ({tier})", "ok" if one.holds else "FAILS", f"{one.proof.attempt}: {one.seen}"
    known_limits(machine.host).keep(tier, found)
    for gap in gaps(tier, builder):
        yield f"{gap.name} ({tier})", "warning", f"not bounded: {gap.why}"


def _engine(engine: DockerEngine) -> Iterator[Line]:
    facts = engine.facts()
    yield "engine", "ok", f"{facts.version} (API {facts.api_version}) at {facts.endpoint}, {facts.operating_system}"
    yield "builder", "ok" if engine.info().builder != "classic" else "warning", _builder(engine.info().builder)
    yield "limits by", "ok", f"cgroup v{facts.cgroup_version} ({facts.cgroup_driver}), storage {facts.storage_driver}"
    free = facts.free_bytes
    if free is None:
        yield "disk", "warning", "the engine is on another machine; its free space is not known"
    else:
        yield (
            "disk",
            "ok" if free > _ROOM_NEEDED else "FAILS",
            f"{free / _GIB:.1f} GiB free at {facts.root_dir}, needs {_ROOM_NEEDED // _GIB}",
        )
    for warning in facts.warnings:
        yield "the engine says", "warning", warning


def _builder(name: str) -> str:
    return (
        f"{name}; a Dockerfile with RUN --mount that builds for a student will not build here"
        if name == "classic"
        else name
    )


def _images(engine: DockerEngine, folder: CourseFolder) -> Iterator[Line]:
    for base in folder.course.images:
        reference = base.names[0]
        labels = engine.image_labels(reference)
        if labels is None:
            yield f"base image {reference}", "warning", "not here yet; `grader images` makes it present"
        else:
            yield f"base image {reference}", "ok", labels.get("io.grader.base", "as pulled or made on this machine")
