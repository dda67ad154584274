"""`grader doctor`: can this machine grade fairly? Every line says what was found and, if need be, what mends it."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from grader.api import open_course
from grader.checks.diagnosis import excerpt
from grader.cli.common import examples, terminal
from grader.cli.console import Console
from grader.cli.proving import known_limits
from grader.cli.wiring import host_engines, open_engine, trial_engine
from grader.course.loader import CourseFolder
from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine
from grader.errors import EngineError, EnvironmentProblem
from grader.grading.executor import Engines, Executor
from grader.grading.network import probe as probe_network
from grader.limits.doctor import Finding, MachineFacts, Problem, engine_findings, no_engine, packages
from grader.limits.probes import NOT_BOUNDED, FewCores, Tier, attempt, names, probes
from grader.models import Doing, MemoryFile, ScriptRequest, ScriptSeen
from grader.reports.text import Style
from grader.sandbox.engine_image import RELEASE
from grader.submissions.models import ExerciseFiles

_STYLES: dict[str, Style] = {"FAILS": "failed", "warning": "not_graded", "ok": "plain"}
_TIERS: dict[Tier, str] = {
    "host": "Limits in the engine that `docker` uses",
    "private": "Limits in a private engine",
}


@click.command(epilog=examples("grader doctor"))
@click.pass_obj
def command(course: Path | None) -> int:
    """Find out whether this machine can grade fairly: engine, builder, base images, disk, limits, Compose."""
    folder = open_course(course)
    console = terminal()
    machine = machine_facts(os.environ)
    failing: list[str] = []
    for found in _all(folder, machine, console):
        if isinstance(found, str):
            console.note(found, "heading")
            continue
        console.note(f"  {found.state:8} {found.name}: {found.seen}", _STYLES[found.state])
        if found.mend:
            console.note(f"           → {found.mend}", "command")
        failing += [found.name] if found.state == "FAILS" else []
    if failing:
        console.note(f"Not fit for grading other people's work: {', '.join(failing)}.", "failed")
        if any(name.partition(" (")[0] in names() for name in failing):
            console.note("Without limits that it needs, `grader batch` starts only if you name them by --waive.")
        return EnvironmentProblem.exit_code
    console.note("This machine can grade.", "passed")
    return 0


def _all(folder: CourseFolder, machine: MachineFacts, console: Console) -> Iterator[Finding | str]:
    """Findings in the order in which they are made, with headings."""
    yield "This machine"
    try:
        with open_engine() as host, _progress(console) as doing:
            yield from _Examination(host, folder, machine, console.note, doing).findings()
    except EngineError as problem:
        if not machine.problem:  # it answered a moment ago
            raise
        yield no_engine(machine)
        if not machine.endpoint.startswith("unix://"):  # what a network or ssh says of it is worth knowing
            console.note(f"           {problem}", "faint")


@contextmanager
def _progress(console: Console) -> Iterator[Callable[[str], None]]:
    """One live line says what is tried; elsewhere the lines with the results are enough."""
    if not console.live:
        yield lambda _: None
        return
    with console.checking() as emit:
        yield lambda what: emit(Doing("", "trying", what))


@dataclass(frozen=True, slots=True)
class _Examination:
    """What is examined; `say` shows steps that are taken once, `doing` what goes on now."""

    host: DockerEngine
    folder: CourseFolder
    machine: MachineFacts
    say: Callable[[str], None]
    doing: Callable[[str], None]

    def findings(self) -> Iterator[Finding | str]:
        yield from engine_findings(self.host.facts(), self.host.info().builder, self.machine)
        base = self.folder.course.images[0].names[0]
        yield from self._images()
        if self.host.image_labels(base) is None:
            seen = f"not tried: {base} is needed for it"
            yield Finding("limits", "FAILS", seen, "grader images")
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

    def _images(self) -> Iterator[Finding]:
        for image in self.folder.course.images:
            name = f"base image {image.names[0]}"
            labels = self.host.image_labels(image.names[0])
            if labels is None:
                yield Finding(name, "warning", "not here yet", "grader images")
            else:
                yield Finding(name, "ok", labels.get("io.grader.base", "as pulled or made on this machine"))

    def _packages(self, tier: Tier, engine: DockerEngine, tool: str) -> Finding:
        self.doing(f"fetching a list with {tool}")
        against = probe_network(engine, [self.folder.course.images[0].names[0]], Limits(), [tool])
        return packages(tool, tier, against[0] if against else "", self.machine)

    def _private(self) -> Iterator[Finding | str]:
        began = time.monotonic()
        self.doing("a private engine")
        with trial_engine(self.folder, self.host, self.say) as trial:
            seconds = time.monotonic() - began
            version = f"Docker {trial.engine.info().version}, up in {seconds:.1f} s, preparing included"
            yield Finding("private engine", "ok", version)
            yield _compose(trial.engines)
            yield self._packages("private", trial.engine, "pip")
            yield from self._limits("private", trial.engines, trial.few_cores)

    def _limits(self, tier: Tier, engines: Engines, few_cores: FewCores | None = None) -> Iterator[Finding | str]:
        """Each limit of a tier, and what is not bounded there. What holds is kept for `grader batch`."""
        yield _TIERS[tier]
        results = []
        for one in attempt(engines, probes(tier, self.folder.course.images[0].names[0]), self.doing, few_cores):
            results.append(one)
            state: Any = "ok" if one.holds else "FAILS"
            yield Finding(f"{one.probe.name} ({tier})", state, f"{one.probe.attempt}: {one.seen}")
        known_limits(self.host).keep(tier, results)
        for name, why in NOT_BOUNDED[tier].items():
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


# ── facts ───────────────────────────────────────────────────────────────────────────────

_SOCKETS = ("/var/run/docker.sock", "{home}/.docker/run/docker.sock", "{home}/.docker/desktop/docker.sock")
"""Where engines listen that no context need name: Docker's own, Docker Desktop's on macOS and on Linux."""


def machine_facts(environ: Mapping[str, str]) -> MachineFacts:
    """Look at this machine and user: what is installed, where an engine is looked for, and whether one answers."""
    home = Path.home()
    settings = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    contexts = _contexts(settings)
    chosen_by, endpoint = _chosen(environ, settings, contexts)
    problem = _problem(endpoint) if endpoint else "unknown context"
    others = {}
    if problem:
        sockets = {f"unix://{path.format(home=home)}": "default" for path in _SOCKETS}
        known = {**sockets, **{address: name for name, address in contexts.items()}}
        others = {name: address for address, name in known.items() if address != endpoint and not _problem(address)}
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
        others=others,
        proxies=tuple(name for name in environ if name.lower() in {"http_proxy", "https_proxy"}),
    )


def _contexts(settings: Path) -> dict[str, str]:
    """The endpoints of Docker's contexts, by their names."""
    found: dict[str, str] = {}
    for path in sorted(settings.glob("contexts/meta/*/meta.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            stored = json.loads(path.read_bytes())
            found[str(stored["Name"])] = str(stored["Endpoints"]["docker"]["Host"])
    return found


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
        except PermissionError:
            return "denied"
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silent"
        except OSError:
            return "missing"


def _is_member() -> bool:
    """Whether the group `docker` names this user, which a login from before does not know yet."""
    try:
        import grp  # not on Windows

        return getpass.getuser() in grp.getgrnam("docker").gr_mem
    except (ImportError, KeyError, OSError):
        return False
