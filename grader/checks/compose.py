"""Checks of a Compose file: as Compose itself normalises it, and by what its services do when they are brought up."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from grader.checks.base import CheckContext, CheckGenerator, NotChecked, check_kind, compose
from grader.checks.compare import LINE_FORM, agrees, lines, predicted
from grader.checks.diagnosis import FILE_MISSING, TIMED_OUT, excerpt
from grader.checks.inputs import sales_file
from grader.checks.output import EXIT_CODE, NO_LINE, WRONG_NUMBER
from grader.course.registry import Check, reason
from grader.course.types import Name
from grader.models import ComposeSeen, Exited, Finding, MemoryFile, RunOutcome, ServiceSeen, TimedOut
from grader.sandbox.compose_policy import compose_file

COMPOSE_INVALID = reason("C101", "compose_invalid", "Compose does not accept the file.")
NOT_BUILT_HERE = reason("C102", "not_built_here", "No service builds from the folder.")
NOT_MOUNTED = reason("C103", "not_mounted", "The service does not mount the file.")
MOUNTED_ELSEWHERE = reason("C104", "mounted_elsewhere", "The file is mounted where the script does not look for it.")
COMPOSE_FAILED = reason("C105", "compose_failed", "Compose could not build or bring up.")
SERVICE_NOT_STARTED = reason("C106", "service_not_started", "The service has no container that ran.")
RESTARTED = reason("C107", "restarted", "The container is started again and again.")
COMPOSE_LEFT = reason("C108", "compose_left", "Something is there after `down`.")


_TOLD_NAME = "docker-compose.yml"
_ERROR_LINES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeAccepts(Check):
    """`docker compose config` accepts the folder's Compose file."""

    kind: Literal["compose_accepts"]


@check_kind(ComposeAccepts)
def compose_accepts(check: ComposeAccepts, context: CheckContext) -> CheckGenerator[Finding]:
    """There is a Compose file, and Compose can read it."""
    name = _file_of(context)
    if not name:
        return Finding(
            passed=False,
            reason=FILE_MISSING,
            message=f"The exercise's folder has no {_TOLD_NAME}{_similar(context)}.",
            expected=_TOLD_NAME,
            actual=", ".join(file.path for file in context.files.files[:12]) or "(the folder is empty)",
            reproduce=f"ls {_TOLD_NAME}",
        )
    seen = yield from compose()
    services = _configuration(seen).get("services")
    accepted = seen.config.ended == Exited(0) and bool(services)
    said = _said(seen.config) or _silence(seen.config)
    tab = _tab(context.files.content(name) or b"")
    told = f"Compose does not accept {name}: {said}"
    if tab:
        told = f"{told.rstrip('.')}. Line {tab} is indented with a tab; YAML takes only spaces for that."
    return Finding(
        passed=accepted,
        reason="" if accepted else (NOT_MOUNTED if b"undefined volume" in seen.config.stderr else COMPOSE_INVALID),
        message="" if accepted else told,
        expected="`docker compose config` shows the services and exits 0",
        actual=excerpt(replace(seen.config, stdout=b"")),
        reproduce="docker compose config",
        file=name,
        line=None if accepted else tab,
    )


def _tab(content: bytes) -> int | None:
    """The first line that is indented with a tab, from 1: Compose only says that a token cannot start there."""
    found = (number for number, line in enumerate(content.splitlines(), 1) if re.match(rb" *\t\s*\S", line))
    return next(found, None)


def _similar(context: CheckContext) -> str:
    """A file whose name is nearly one that Compose looks for, as the end of a sentence."""
    near = next((file.path for file in context.files.files if _NEARLY.match(file.path)), "")
    return f", but there is one named {near}" if near else ""


_NEARLY = re.compile(r"(?:docker.?)?compose\b.{0,20}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Service:
    """A service of the normalised configuration. `mounted` is the file's path in the folder, "" for no mount."""

    name: str
    builds_here: bool
    builds: str
    mounted: str
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeService(Check):
    """A service builds from this folder and mounts this file of it."""

    kind: Literal["compose_service"]
    file: Name
    """The file's name."""


@check_kind(ComposeService)
def compose_service(check: ComposeService, context: CheckContext) -> CheckGenerator[Finding]:
    """One service does both: it builds from this folder, and mounts the file from the host."""
    seen = yield from compose()
    services = _services(seen, context, check.file)
    right = any(service.builds_here and service.mounted for service in services)
    reason, message = ("", "") if right else _lacking(services, check.file)
    return Finding(
        passed=right,
        reason=reason,
        message=message,
        expected=f"a service with `build` for this folder and a mount of ./{check.file}",
        actual="\n".join(_described(service) for service in services),
        reproduce="docker compose config",
        file=_file_of(context),
    )


def _lacking(services: Sequence[_Service], file: str) -> tuple[str, str]:
    here = [service.name for service in services if service.builds_here]
    if not here:
        return NOT_BUILT_HERE, "No service has a `build` that names this folder."
    elsewhere = [service.name for service in services if service.mounted]
    also = f" The service {elsewhere[0]} does, but it is not built from this folder." if elsewhere else ""
    return NOT_MOUNTED, f"The service {here[0]} does not mount this folder's {file}.{also}"


def _described(service: _Service) -> str:
    builds = f"builds {service.builds}" if service.builds else "builds nothing"
    return f"{service.name}: {builds}; {f'mounts {service.mounted}' if service.mounted else 'mounts no such file'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposePrints(Check):
    """Brought up with a drawn file, that service prints the line with the right prediction and exits 0."""

    kind: Literal["compose_prints"]
    file: Name
    """The file's name."""
    case: Name
    """Name of the exercise's case whose weeks are in the file."""


@check_kind(ComposePrints)
def compose_prints(check: ComposePrints, context: CheckContext) -> CheckGenerator[Finding]:
    """Brought up with the drawn file, a service that builds here and mounts it prints the right line and exits 0."""
    seen, wanted = yield from _brought_up(check, context)
    case = context.group(check.case)[0]
    expected = case.expected("average")
    told = Finding(
        passed=False,
        expected=f"{LINE_FORM.replace('<number>', f'{expected:.10g}')}, exit code 0",
        reproduce=_with_other_weeks(check.file, case.weeks),
        file=_file_of(context),
    )
    failed = next((step for step in (seen.build, seen.up) if step is not None and step.ended != Exited(0)), None)
    ours = [service for service in seen.services if service.service in {one.name for one in wanted}]
    if failed is not None and not ours and not any(service.profiles for service in wanted):
        what = "build" if failed is seen.build else "up"
        message = f"`docker compose {what}` did not work: {_said(failed)}"
        return replace(told, reason=COMPOSE_FAILED, message=message, actual=excerpt(failed))
    if not ours:
        return replace(told, **_not_started(wanted))
    told_each = [replace(told, **_service_said(service, seen, expected)) for service in ours]
    return next((finding for finding in told_each if not finding.reason), told_each[-1])


def _with_other_weeks(file: str, weeks: Sequence[str]) -> str:
    """A shell line that brings it up with these weeks in the file, and then puts the student's own file back."""
    saved = f"/tmp/{posixpath.basename(file)}.before"
    put = f"printf '%s\\n' {' '.join(weeks)} > {file}"
    return f"cp {file} {saved} && {put} && docker compose up --build; cp {saved} {file}"


def _not_started(wanted: Sequence[_Service]) -> dict[str, Any]:
    profiles = [name for service in wanted for name in service.profiles]
    names = ", ".join(service.name for service in wanted)
    behind = (
        f" It stands behind the profile {profiles[0]}, so it starts only when that is asked for." if profiles else ""
    )
    message = f"`docker compose up` did not start the service {names}.{behind}"
    return {"reason": SERVICE_NOT_STARTED, "message": message, "actual": "no container of that service"}


def _service_said(service: ServiceSeen, seen: ComposeSeen, expected: float) -> dict[str, Any]:
    """The fields of the finding about one container; without a `reason`, it passed."""
    outcome = RunOutcome(Exited(service.code), service.stdout, service.stderr)
    number = predicted(service.stdout)
    said = {
        "actual": excerpt(outcome),
        "ended": f"exited {service.code}" if service.status == "exited" else service.status,
    }
    if service.restarts or service.status == "restarting":
        message = f"The container of {service.service} is started again whenever it ends (`restart`), without end."
        return {**said, "reason": RESTARTED, "message": message}
    if service.status != "exited":
        message = f"The container of {service.service} was still {service.status} after {seen.seconds:.0f} seconds."
        return {
            **said,
            "reason": TIMED_OUT if service.status == "running" else SERVICE_NOT_STARTED,
            "message": message,
        }
    if number is None:
        last = next((line.strip() for line in reversed(lines(service.stderr)) if line.strip()), "")
        why = f" Its last message is: {last}" if last else ""
        message = f"The service {service.service} printed no prediction line; its exit code is {service.code}.{why}"
        missing = last.startswith(("FileNotFoundError", "NotADirectoryError", "IsADirectoryError"))
        return {**said, "reason": MOUNTED_ELSEWHERE if missing else NO_LINE, "message": message}
    if not agrees(number, expected):
        message = f"With other weeks in the mounted file, the prediction is {number:.10g}, not {expected:.10g}."
        return {**said, "reason": WRONG_NUMBER, "message": message}
    if service.code:
        message = f"The prediction of {service.service} is right, but the exit code is {service.code}, not 0."
        return {**said, "reason": EXIT_CODE, "message": message}
    return {**said, "passed": True, "message": f"The service {service.service} printed the right line."}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeDown(Check):
    """After `docker compose down` nothing of it is left."""

    kind: Literal["compose_down"]
    file: Name
    """The file's name."""
    case: Name
    """As for `compose_prints`."""


@check_kind(ComposeDown)
def compose_down(check: ComposeDown, context: CheckContext) -> CheckGenerator[Finding]:
    """After `down`, no container, network or volume of the project is there."""
    seen, _ = yield from _brought_up(check, context)
    if seen.up is None:
        raise NotChecked("Not checked: it could not be brought up.")
    down = seen.down
    worked = down is not None and down.ended == Exited(0) and not seen.left
    return Finding(
        passed=worked,
        reason="" if worked else COMPOSE_LEFT,
        message="" if worked else f"After `docker compose down` there is still: {', '.join(seen.left) or 'something'}.",
        expected="no container, network or volume of the project",
        actual=", ".join(seen.left) or (excerpt(down) if down and down.ended != Exited(0) else "nothing is left"),
        reproduce="docker compose up -d && docker compose down --volumes && docker compose ps -a",
        file=_file_of(context),
    )


# ── the configuration ───────────────────────────────────────────────────────────────────


def _brought_up(
    check: ComposePrints | ComposeDown, context: CheckContext
) -> CheckGenerator[tuple[ComposeSeen, list[_Service]]]:
    """What came of bringing it up with the drawn weeks in the file that the services mount."""
    read = yield from compose()
    wanted = [service for service in _services(read, context, check.file) if service.builds_here and service.mounted]
    if not wanted:
        raise NotChecked
    weeks = sales_file("", context.group(check.case)[0])
    files = dict.fromkeys(service.mounted for service in wanted)
    seen = yield from compose(*(MemoryFile(path, weeks.content) for path in files))
    return seen, wanted


def _file_of(context: CheckContext) -> str:
    return compose_file(context.files)


def _configuration(seen: ComposeSeen) -> Mapping[str, Any]:
    try:
        found = json.loads(seen.config.stdout)
    except (ValueError, RecursionError):  # it may have been stopped in the middle
        return {}
    return found if isinstance(found, dict) else {}


def _services(seen: ComposeSeen, context: CheckContext, file: str) -> list[_Service]:
    top = _configuration(seen)
    return [
        _service(name, details, context, file, top) for name, details in sorted((top.get("services") or {}).items())
    ]


def _service(
    name: str, details: Mapping[str, Any], context: CheckContext, file: str, top: Mapping[str, Any]
) -> _Service:
    build = details.get("build") or {}
    folder = str(build.get("context", "")) if build else ""
    volumes = [*(details.get("volumes") or ()), *_provided(details, top)]
    return _Service(
        name=name,
        builds_here=bool(build) and posixpath.normpath(folder or "x") == ".",
        builds=folder,
        mounted=next(iter(_mounted(volumes, context, file)), ""),
        profiles=tuple(details.get("profiles") or ()),
    )


def _provided(details: Mapping[str, Any], top: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """The configs and secrets of a service, as the mounts that Compose makes of those that are files."""
    for kind in ("configs", "secrets"):
        for used in details.get(kind) or ():
            source = ((top.get(kind) or {}).get(used.get("source")) or {}).get("file")
            yield {"type": "bind", "source": source}


def _mounted(volumes: Iterable[Mapping[str, Any]], context: CheckContext, file: str) -> Iterable[str]:
    """The paths of the file in the folder, for each mount of it or of the folder that it is in."""
    for volume in volumes:
        source = posixpath.normpath(str(volume.get("source") or "/"))
        if volume.get("type") != "bind" or source.startswith(("/", "..")):
            continue
        if posixpath.basename(source) == file:
            yield source
        elif source == "." or context.files.content(f"{source}/{file}") is not None:
            yield posixpath.normpath(f"{source}/{file}")


def _silence(outcome: RunOutcome) -> str:
    """Why a configuration in which Compose found no fault is none."""
    if isinstance(outcome.ended, TimedOut):
        return f"it was still reading it after {outcome.ended.seconds:g} seconds."
    return "it has no services."


def _said(outcome: RunOutcome) -> str:
    """What a command of Compose said last, without its progress."""
    told = [line.strip() for line in lines(outcome.stderr) if line.strip()]
    # What an error goes on to, behind a colon, stands in the next line.
    errors = [
        line
        for before, line in zip(["", *told], told, strict=False)
        if "error" in line.lower() or "failed" in line.lower() or before.endswith("errors:")
    ] or told
    return " ".join(errors[-_ERROR_LINES:])[-600:]
