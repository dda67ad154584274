"""What a machine needs to grade: doctor, images, prune; and the limits of a batch, tried before it starts."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import click

from grader.base_images.provider import plain_names
from grader.checks.diagnosis import excerpt
from grader.cli.common import course_command, examples, terminal
from grader.cli.console import Console
from grader.cli.wiring import (
    BaseSupply,
    GradingSettings,
    cache_folder,
    host_engines,
    open_engine,
    trial_engine,
)
from grader.course.loader import CourseFolder
from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine
from grader.errors import EngineError, EnvironmentProblem
from grader.grading.executor import Engines, Executor
from grader.grading.network import probe as probe_network
from grader.limits import probes as limits
from grader.limits.doctor import Finding, MachineFacts, Problem, engine_findings, no_engine, packages
from grader.models import Doing, LimitsRecord, MemoryFile, ScriptRequest, ScriptSeen
from grader.reports.text import Style, table_lines
from grader.sandbox.engine_image import RELEASE
from grader.submissions.models import ExerciseFiles

# ── images, prune ───────────────────────────────────────────────────────────────────────


@course_command("grader images", "grader images python:3.9-slim")
@click.argument("references", metavar="[IMAGE]...", nargs=-1)
def images_command(folder: CourseFolder, console: Console, references: tuple[str, ...]) -> None:
    """Make the base images present: local, else pulled, else built here from Debian packages."""
    names = references or [name for base in folder.course.images for name in plain_names(base)]
    with open_engine() as engine:
        supply = BaseSupply(folder, engine, console.note)
        sources = supply.images.ensure_all([(supply.base(name), name) for name in names])
    rows = [(source.reference, source.origin, source.detail) for source in sources]
    console.write(table_lines(("Image", "Origin", "Details"), rows))


@click.command(epilog=examples("grader prune", "grader prune --all"))
@click.option(
    "--all", "everything", is_flag=True,
    help="Also what graders that are still running, or run on another machine, own.",
)  # fmt: skip
def prune_command(*, everything: bool) -> None:
    """Remove what interrupted or killed graders left in the engine. Never anything else."""
    console = terminal()
    with open_engine() as engine:
        removed = engine.prune(everything=everything)
    for leftover in removed:
        console.note(f"removed {leftover.kind} {', '.join(leftover.names) or leftover.id[:19]}")
    console.note(f"{len(removed)} leftovers removed." if removed else "Nothing of ours was left in the engine.")


# ── the limits of a batch ───────────────────────────────────────────────────────────────

_WHY = "Trying to break the limits that a batch needs, once for each start of this machine. `grader doctor` tries all."


def prove_for_batch(settings: GradingSettings, waived: Collection[str], console: Console) -> LimitsRecord:
    """What holds, for the report. `EnvironmentProblem` where a limit does not that is not waived."""
    folder = settings.folder
    base = folder.course.images[0].names[0]
    if settings.tier == "private":
        at_work: dict[limits.Tier, set[str]] = {"private": {"run", "build", "script"}}
    else:
        at_work = {"host": {"run"}} if settings.whose == "strangers" else {"host": {"run"}, "private": {"script"}}
    wanted: dict[limits.Tier, list[limits.Probe]] = {}
    for tier, phases in at_work.items():
        wanted[tier] = [one for one in limits.probes(tier, base) if one.name.split()[0] in phases]
    with open_engine() as host:

        def tried(tier: limits.Tier, wanted: Sequence[limits.Probe]) -> list[limits.Result]:
            console.note(_WHY)
            with _showing(console) as doing:
                if tier == "host":
                    BaseSupply(folder, host, console.note)(base)
                    return list(limits.attempt(host_engines(host), wanted, doing))
                with trial_engine(folder, host, console.note) as trial:
                    return list(limits.attempt(trial.engines, wanted, doing, trial.few_cores))

        return limits.require(wanted, _known_limits(host), tried, waived)


def _known_limits(host: DockerEngine) -> limits.KnownLimits:
    """What is known already of this engine's limits; nothing where it is on another machine, which may start anew."""
    here = host.connection.endpoint.startswith(("unix://", "http+unix://"))
    info = host.connection.call("GET", "/info", seconds=10).json if here else {}
    return limits.KnownLimits(cache_folder(), limits.engine_key(info) if here else "")


@contextmanager
def _showing(console: Console) -> Iterator[Callable[[str], None]]:
    """One live line says what is tried; elsewhere the lines with the results are enough."""
    with console.working() as emit:
        yield lambda what: emit(Doing("", "trying", what))


# ── doctor ──────────────────────────────────────────────────────────────────────────────

_STYLES: dict[str, Style] = {"FAILS": "failed", "warning": "not_graded", "ok": "plain"}
_TIERS: dict[limits.Tier, str] = {"host": "the engine that `docker` uses", "private": "a private engine"}


@course_command("grader doctor")
def doctor_command(folder: CourseFolder, console: Console) -> int:
    """Find out whether this machine can grade fairly: engine, builder, base images, disk, limits, Compose."""
    machine = machine_facts(os.environ)
    failing: list[str] = []
    for found in _findings(folder, machine, console):
        if isinstance(found, str):
            console.note(found, "heading")
            continue
        console.note(f"  {found.state:8} {found.name}: {found.seen}", _STYLES[found.state])
        if found.mend:
            console.note(f"           → {found.mend}", "command")
        failing += [found.name] if found.state == "FAILS" else []
    if failing:
        console.note(f"Not fit for grading other people's work: {', '.join(failing)}.", "failed")
        if any(name.partition(" (")[0] in limits.names() for name in failing):
            console.note("Without limits that it needs, `grader batch` starts only if you name them by --waive.")
        return EnvironmentProblem.exit_code
    console.note("This machine can grade.", "passed")
    return 0


def _findings(folder: CourseFolder, machine: MachineFacts, console: Console) -> Iterator[Finding | str]:
    """Findings in the order in which they are made, with headings."""
    yield "This machine"
    try:
        with open_engine() as host, _showing(console) as doing:
            yield from _Examination(host, folder, machine, console.note, doing).findings()
    except EngineError as problem:
        if not machine.problem:  # it answered a moment ago
            raise
        yield no_engine(machine)
        if not machine.endpoint.startswith("unix://"):  # what a network or ssh says of it is worth knowing
            console.note(f"           {problem}", "faint")


@dataclass(frozen=True, slots=True)
class _Examination:
    """What is examined; `say` shows steps that are taken once, `doing` what goes on now."""

    host: DockerEngine
    folder: CourseFolder
    machine: MachineFacts
    say: Callable[[str], None]
    doing: Callable[[str], None]

    @property
    def base(self) -> str:
        """The base image in which things are tried."""
        return self.folder.course.images[0].names[0]

    def findings(self) -> Iterator[Finding | str]:
        yield from engine_findings(self.host.facts(), self.host.info().builder, self.machine)
        for image in self.folder.course.images:
            name, labels = f"base image {image.names[0]}", self.host.image_labels(image.names[0])
            if labels is None:
                yield Finding(name, "warning", "not here yet", "grader images")
            else:
                yield Finding(name, "ok", labels.get("io.grader.base", "as pulled or made on this machine"))
        if self.host.image_labels(self.base) is None:
            yield Finding("limits", "FAILS", f"not tried: {self.base} is needed for it", "grader images")
        else:
            for tool in ("pip", "apt"):
                yield self._packages("host", self.host, tool)
            yield from self._limits("host", host_engines(self.host))
        yield "A private engine, for `commands.sh` and Compose"
        try:
            yield from self._private()
        except EnvironmentProblem as problem:
            yield Finding("private engine", "FAILS", str(problem))
        for warning in self.host.warnings:
            yield Finding("the engine warns", "warning", warning)

    def _private(self) -> Iterator[Finding | str]:
        began = time.monotonic()
        self.doing("a private engine")
        with trial_engine(self.folder, self.host, self.say) as trial:
            seconds = time.monotonic() - began
            version = f"Docker {trial.private.engine.info().version}, up in {seconds:.1f} s, preparing included"
            yield Finding("private engine", "ok", version)
            yield _compose(trial.engines)
            yield self._packages("private", trial.private.engine, "pip")
            yield from self._limits("private", trial.engines, trial.few_cores)

    def _packages(self, tier: limits.Tier, engine: DockerEngine, tool: str) -> Finding:
        self.doing(f"fetching a list with {tool}")
        against = probe_network(engine, [self.base], Limits(), [tool])
        return packages(tool, tier, against[0] if against else "", self.machine)

    def _limits(
        self, tier: limits.Tier, engines: Engines, few_cores: limits.FewCores | None = None
    ) -> Iterator[Finding | str]:
        """Each limit of a tier, and what is not bounded there. What holds is kept for `grader batch`."""
        yield f"Limits in {_TIERS[tier]}"
        results = []
        for one in limits.attempt(engines, limits.probes(tier, self.base), self.doing, few_cores):
            results.append(one)
            seen = f"{one.probe.attempt}: {one.seen}"
            yield Finding(f"{one.probe.name} ({tier})", "ok" if one.holds else "FAILS", seen)
        _known_limits(self.host).keep(tier, results)
        for name, why in limits.NOT_BOUNDED[tier].items():
            yield Finding(f"{name} ({tier})", "warning", f"not bounded: {why}")


def _compose(engines: Engines) -> Finding:
    files = ExerciseFiles("", "", (MemoryFile("commands.sh", b"docker compose version --short\n"),), "")
    with Executor(engines, files, Limits(), "doctor", lambda _: None) as executor:
        observed = executor(ScriptRequest())
    outcome = observed.outcome if isinstance(observed, ScriptSeen) else None
    version = outcome.stdout.decode("utf-8", "replace").strip() if outcome else ""
    if version:
        origin = f"the package docker-compose of Debian {RELEASE}, in the private engine's image"
        return Finding("compose", "ok", f"{version}, {origin}")
    return Finding("compose", "FAILS", excerpt(outcome) if outcome else "")


_SOCKETS = ("/var/run/docker.sock", "{home}/.docker/run/docker.sock", "{home}/.docker/desktop/docker.sock")
"""Where engines listen that no context need name: Docker's own, Docker Desktop's on macOS and on Linux."""


def machine_facts(environ: Mapping[str, str]) -> MachineFacts:
    """Look at this machine and user: what is installed, where an engine is looked for, and whether one answers."""
    home = Path.home()
    settings = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    contexts: dict[str, str] = {}
    for path in sorted(settings.glob("contexts/meta/*/meta.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(path.read_bytes())
            contexts[str(stored["Name"])] = str(stored["Endpoints"]["docker"]["Host"])
    known = {f"unix://{path.format(home=home)}": "default" for path in _SOCKETS}
    known |= {address: name for name, address in contexts.items()}
    chosen_by, endpoint = _chosen(environ, settings, contexts)
    problem = _problem(endpoint) if endpoint else "unknown context"
    desktop = Path("/Applications/Docker.app").exists()
    return MachineFacts(
        system=platform.system(),
        wsl="microsoft" in platform.release().lower(),
        systemd=Path("/run/systemd/system").is_dir(),
        apt=shutil.which("apt-get") is not None,
        docker=shutil.which("docker") is not None,
        dockerd=desktop or shutil.which("dockerd", path=f"{environ.get('PATH', '')}:/usr/sbin:/sbin") is not None,
        member=_is_member(),
        endpoint=endpoint,
        chosen_by=chosen_by,
        problem=problem,
        others={name: one for one, name in known.items() if problem and one != endpoint and not _problem(one)},
        proxies=tuple(name for name in environ if name.lower() in {"http_proxy", "https_proxy"}),
    )


def _chosen(environ: Mapping[str, str], settings: Path, contexts: Mapping[str, str]) -> tuple[str, str]:
    """What says where the engine is, and where that is: as the docker command finds it. "" for an unknown context."""
    if named := environ.get("DOCKER_HOST"):
        return "DOCKER_HOST", named
    context = environ.get("DOCKER_CONTEXT", "")
    with suppress(OSError, ValueError, AttributeError):
        context = context or str(json.loads((settings / "config.json").read_bytes()).get("currentContext") or "")
    if context in {"", "default"}:
        return "", f"unix://{_SOCKETS[0]}"
    return context, contexts.get(context, "")


_PROBLEMS: dict[type[OSError], Problem] = {
    PermissionError: "denied",
    ConnectionRefusedError: "refused",
    TimeoutError: "silent",
}


def _problem(endpoint: str) -> Problem:
    """Why no engine answers there; "" where something does. Of what is no socket of this machine only Docker knows."""
    scheme, _, path = endpoint.partition("://")
    if scheme != "unix":
        return "refused"
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(3)
        try:
            trial.connect(path)
            trial.sendall(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
            return "" if trial.recv(12).startswith(b"HTTP/1.") else "silent"
        except OSError as error:
            return _PROBLEMS.get(type(error), "missing")


def _is_member() -> bool:
    """Whether the group `docker` names this user, which a login from before does not know yet."""
    try:
        import grp  # not on Windows

        return getpass.getuser() in grp.getgrnam("docker").gr_mem
    except (ImportError, KeyError, OSError):
        return False
