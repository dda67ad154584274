"""Checks of a Compose file: as Compose itself normalises it, and by what its services do when they are brought up."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

from grader.checks.base import (
    RIGHT,
    CheckContext,
    CheckGenerator,
    NotChecked,
    Problem,
    check_kind,
    compose,
    judged,
    sales_file,
    write_file,
)
from grader.checks.causes import Cause, cause_in, words
from grader.checks.compare import LINE_FORM, agrees, lines, predicted
from grader.checks.diagnosis import FILE_MISSING, TIMED_OUT, excerpt
from grader.checks.output import EXIT_CODE, NO_LINE, WRONG_NUMBER
from grader.course.registry import Check, Name, reason
from grader.course.yaml_source import Path, YamlError, decode, read_yaml
from grader.dockerfile.explain import nearest
from grader.models import ComposeSeen, Exited, Finding, MemoryFile, RunOutcome, ServiceSeen, TimedOut

COMPOSE_INVALID = reason("C101", "compose_invalid", "Compose does not accept the file.")
NOT_BUILT_HERE = reason("C102", "not_built_here", "No service builds from the folder.")
NOT_MOUNTED = reason("C103", "not_mounted", "The service does not mount the file.")
MOUNTED_ELSEWHERE = reason("C104", "mounted_elsewhere", "The file is mounted where the script does not look for it.")
COMPOSE_FAILED = reason("C105", "compose_failed", "Compose could not build or bring up.")
SERVICE_NOT_STARTED = reason("C106", "service_not_started", "The service has no container that ran.")
RESTARTED = reason("C107", "restarted", "The container is started again and again.")
COMPOSE_LEFT = reason("C108", "compose_left", "Something is there after `down`.")

_NAME = "docker-compose.yml"
_ERROR_LINES = 4
_EXITED_WELL = Exited(0)
_BEGIN = (
    "It begins with the line `services:`; below it, each two spaces further in, come the name of your service, and "
    "then its keys `build:` and `volumes:`."
)
_NEARLY = re.compile(r"(?:docker.?)?compose\b.{0,20}$", re.IGNORECASE)
"""A name that is nearly one that Compose looks for."""
_LONGEST = 300
"""Characters of a line that are looked at."""
_NAMELESS = (
    "`{key}` belongs to a service: under `services:` comes its name, and under that its keys, each further in by two "
    "spaces."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeAccepts(Check):
    """`docker compose config` accepts the folder's Compose file, and there is a service."""

    kind: Literal["compose_accepts"]


@check_kind(ComposeAccepts)
def compose_accepts(check: ComposeAccepts, context: CheckContext) -> CheckGenerator[Finding]:
    """There is a Compose file, and Compose can read it."""
    name = context.files.compose_file
    if not name:
        near = next((file.path for file in context.files.files if _NEARLY.match(file.path)), "")
        also = f", but there is one named {near}" if near else ""
        problem = FILE_MISSING, f"The exercise's folder has no {_NAME}{also}. {_BEGIN}"
        return judged(problem, expected=_NAME, actual=context.there, reproduce="docker compose config")
    seen = yield from compose()
    config, problem, mistake = seen.config, RIGHT, None
    if config.ended != _EXITED_WELL or not _configuration(seen).get("services"):
        why = _error(config) or "it has no services."
        if isinstance(config.ended, TimedOut):
            why = _error(config) or f"it was still reading it after {config.ended.seconds:g} seconds."
        elif mistake := compose_mistake(context.files.content(name) or b""):
            why = f"Line {mistake.line}: {mistake.message}"
        reason = NOT_MOUNTED if b"undefined volume" in config.stderr else COMPOSE_INVALID
        problem = reason, f"Compose does not accept {name}. {why}"
    return judged(
        problem,
        expected="`docker compose config` shows the services and exits 0",
        actual=excerpt(replace(config, stdout=b"")),
        reproduce="docker compose config",
        file=name,
        line=mistake.line if mistake else None,
    )


@dataclass(frozen=True, slots=True)
class _Service:
    """A service of the normalised configuration.

    `builds` is its build context, `mounted` the file's path in the folder, `target` that in the container; each "" for
    none. `volumes` are all its mounts, for people. `command` says whether it replaces the image's own.
    """

    name: str
    builds: str
    mounted: str
    target: str
    volumes: str
    profiles: tuple[str, ...]
    command: bool

    @property
    def builds_here(self) -> bool:
        return bool(self.builds) and posixpath.normpath(self.builds) == "."


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
    problem = RIGHT if right else _lacking(services, check.file)
    nearest = max(services, key=lambda one: (one.builds_here, bool(one.mounted)), default=None)
    key = "build" if problem[0] == NOT_BUILT_HERE else "volumes"
    return judged(
        problem,
        expected=f"a service with `build` for this folder and a mount of ./{check.file}",
        actual="\n".join(
            f"{one.name}: builds {one.builds or 'nothing'}; mounts {one.volumes or 'nothing'}" for one in services
        ),
        reproduce="docker compose config",
        file=context.files.compose_file,
        line=None if right or nearest is None else _line(context, nearest.name, key),
    )


def _line(context: CheckContext, service: str, key: str) -> int | None:
    """The line of a service's key in the Compose file; of its name, if it has none."""
    return line_of(context.files.content(context.files.compose_file) or b"", "services", service, key)


def _lacking(services: Sequence[_Service], file: str) -> Problem:
    here = [service for service in services if service.builds_here]
    if not here:
        found = "".join(f" {one.name} builds from {one.builds}." for one in services if one.builds)
        return NOT_BUILT_HERE, f"No service has a `build` that names this folder (`build: .`).{found}"
    also = "".join(f" The service {one.name} does." for one in services if one.mounted)
    instead = f"it mounts {here[0].volumes}" if here[0].volumes else f"it has no `volumes:` with ./{file}"
    return NOT_MOUNTED, f"The service {here[0].name} does not mount this folder's {file}: {instead}.{also}"


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
    names = {one.name: one for one in wanted}
    file, saved, weeks = check.file, f"{check.file}.before", sales_file("", case).content
    findings = [
        judged(
            _printed(one, seen, expected, names[one.service]),
            f"The service {one.service} printed the right line.",
            actual=excerpt(RunOutcome(Exited(one.code), one.stdout, one.stderr)),
            ended=f"exited {one.code}" if one.status == "exited" else one.status,
        )
        for one in seen.services
        if one.service in names
    ] or [_no_container(seen, wanted)]
    finding = next((one for one in findings if one.passed), findings[-1])
    key = {RESTARTED: "restart", MOUNTED_ELSEWHERE: "volumes", WRONG_NUMBER: "volumes"}.get(finding.reason, "")
    return replace(
        finding,
        line=_line(context, wanted[0].name, key) if key else None,
        expected=f"{LINE_FORM.replace('<number>', f'{expected:.10g}')}, exit code 0",
        reproduce=f"cp {file} {saved}\n{write_file(file, weeks)}\ndocker compose up --build\ncp {saved} {file}",
        file=context.files.compose_file,
    )


def _no_container(seen: ComposeSeen, wanted: Sequence[_Service]) -> Finding:
    profiles = [name for service in wanted for name in service.profiles]
    failed = next((step for step in (seen.build, seen.up) if step is not None and step.ended != _EXITED_WELL), None)
    if failed is not None and not profiles:
        message = f"`docker compose {'build' if failed is seen.build else 'up'}` did not work: {_error(failed)}"
        return judged((COMPOSE_FAILED, message), actual=excerpt(failed))
    why = f" It has the profile {profiles[0]}, so it starts only when that is asked for." if profiles else ""
    message = f"`docker compose up` did not start the service {', '.join(one.name for one in wanted)}.{why}"
    return judged((SERVICE_NOT_STARTED, message), actual="no container of that service")


def _not_ended(ran: ServiceSeen, seen: ComposeSeen, service: _Service) -> Problem:
    """Why a container did not run to its end."""
    why = _error(seen.up) if seen.up else ""
    reason = TIMED_OUT if ran.status == "running" else SERVICE_NOT_STARTED
    message = f"The container of {ran.service} was still {ran.status} after {seen.seconds:.0f} seconds"
    if ran.restarts or ran.status == "restarting":
        reason, message = RESTARTED, f"The container of {ran.service} is started again and again (`restart`)"
    elif "not a directory" in why:
        reason, message = (
            MOUNTED_ELSEWHERE,
            f"A file cannot be mounted at {service.target}: there is a folder in the image",
        )
    elif ran.status == "created" and seen.up and isinstance(seen.up.ended, TimedOut):
        message += ": it waits for a service that it depends on (`depends_on`)"
    elif ran.status == "created":
        message = f"The container of {ran.service} was created and could not be started: {why.rstrip('.')}"
    return reason, f"{message}."


def _printed(ran: ServiceSeen, seen: ComposeSeen, expected: float, service: _Service) -> Problem:
    """What is wrong with how a container of a service that was brought up ended, and with what it printed."""
    if ran.restarts or ran.status != "exited":
        return _not_ended(ran, seen, service)
    number = predicted(ran.stdout)
    there = f" In the container, the file is {service.target}."
    if number is None:
        last = next((line.strip() for line in reversed(lines(ran.stderr)) if line.strip()), "")
        why = f" Its last message is: {last.rstrip('.')}." if last else ""
        message = f"The service {ran.service} printed no prediction line; its exit code is {ran.code}.{why}"
        if last.startswith(("FileNotFoundError", "NotADirectoryError", "IsADirectoryError")):
            return MOUNTED_ELSEWHERE, message + there
        instead = " The Compose file has a `command` or `entrypoint`, which replaces the image's own."
        return NO_LINE, message + (instead if service.command else "")
    if not agrees(number, expected):
        message = f"With other weeks in the mounted file, the prediction is {number:.10g}, not {expected:.10g}."
        return WRONG_NUMBER, message + there
    if ran.code:
        return EXIT_CODE, f"The prediction of {ran.service} is right, but the exit code is {ran.code}, not 0."
    return RIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeDown(Check):
    """After `docker compose down` no container, network or volume of it is left."""

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
    failed = excerpt(seen.down) if seen.down and seen.down.ended != _EXITED_WELL else ""
    worked = seen.down is not None and not failed and not seen.left
    left = ", ".join(seen.left)
    return judged(
        RIGHT if worked else (COMPOSE_LEFT, f"After `docker compose down` there is still: {left or 'something'}."),
        expected="no container, network or volume of the project",
        actual=left or failed or "nothing is left",
        reproduce="docker compose up -d\ndocker compose down --volumes\ndocker compose ps -a",
        file=context.files.compose_file,
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


def _configuration(seen: ComposeSeen) -> Mapping[str, Any]:
    try:
        found = json.loads(seen.config.stdout)
    except (ValueError, RecursionError):  # it may have been stopped in the middle
        return {}
    return found if isinstance(found, dict) else {}


def _services(seen: ComposeSeen, context: CheckContext, file: str) -> list[_Service]:
    top = _configuration(seen)
    return [
        _Service(
            name=name,
            builds=str((details.get("build") or {}).get("context", "")),
            mounted=mounted,
            target=target,
            volumes=", ".join(
                f"{one.get('source') or 'a volume'} at {one.get('target')}" for one in details.get("volumes") or ()
            ),
            profiles=tuple(details.get("profiles") or ()),
            command=bool(details.get("command") or details.get("entrypoint")),
        )
        for name, details in sorted((top.get("services") or {}).items())
        for mounted, target in [next(iter(_mounted(details, top, context, file)), ("", ""))]
    ]


def _mounted(
    details: Mapping[str, Any], top: Mapping[str, Any], context: CheckContext, file: str
) -> Iterable[tuple[str, str]]:
    """The file's path in the folder and in the container, for each mount of it or of the folder that it is in.

    Compose mounts the configs and secrets of a service, too, if they are files.
    """
    volumes = details.get("volumes") or ()
    mounts = [(one.get("source"), one.get("target")) for one in volumes if one.get("type") == "bind"]
    for kind in ("configs", "secrets"):
        declared = top.get(kind) or {}
        used = details.get(kind) or ()
        mounts += [((declared.get(one.get("source")) or {}).get("file"), one.get("target")) for one in used]
    for path, target in mounts:
        source = posixpath.normpath(str(path or "/"))
        if source.startswith(("/", "..")):
            continue
        if posixpath.basename(source) == file:
            yield source, str(target)
        elif source == "." or context.files.content(f"{source}/{file}") is not None:
            yield posixpath.normpath(f"{source}/{file}"), f"{target}/{file}"


def _error(outcome: RunOutcome) -> str:
    """The last error of a command of Compose, without its progress. What follows a colon stands in the next line."""
    printed = [line.strip() for line in lines(outcome.stderr) if line.strip()]
    errors = [
        line
        for before, line in zip(["", *printed], printed, strict=False)
        if "error" in line.lower() or "failed" in line.lower() or before.endswith("errors:")
    ]
    return " ".join((errors or printed)[-_ERROR_LINES:])[-600:]


# ── what is wrong with the file's text ──────────────────────────────────────────────────


def compose_mistake(content: bytes) -> Cause | None:
    """The first thing that is not as Compose reads it, with a message that may follow “Line 3: ”; None if none is."""
    try:
        text = decode(content)
        for number, line in enumerate(text.splitlines(), 1):
            if cause := cause_in("compose_line", line=line[:_LONGEST]):
                return replace(cause, line=number)
        document = read_yaml(text, as_written=True)
    except YamlError as error:
        where, message = error.problem
        return _indented(content, where.line) or Cause("", f"{message}.", min(where.line, content.count(b"\n")) or 1)
    for problem in document.problems:
        return Cause("", f"{problem.message}.", problem.position.line)
    for path, message in _misplaced(document.data):
        place = document.keys.get(path) or document.values.get(path)
        return Cause("", message, place.line if place else 1)
    return None


def line_of(content: bytes, *path: str) -> int | None:
    """The line of the key that `path` leads to from the top, or of the last key on the way that is there."""
    with suppress(YamlError):
        keys = read_yaml(decode(content), as_written=True).keys
        lines = [keys[path[:end]].line for end in range(1, len(path) + 1) if path[:end] in keys]
        return lines[-1] if lines else None
    return None


def _indented(content: bytes, number: int) -> Cause | None:
    """That a line is indented as no line above it is, or further in than a line that does not end with a colon."""
    lines = enumerate(content.decode("utf-8", "replace").splitlines()[:number], 1)
    *above, (own, text) = [(at, line.rstrip()) for at, line in lines if line.strip()] or [(1, "")]
    depth, depths = _depth(text), [_depth(line) for _, line in above]
    if depths and depth > depths[-1] and not above[-1][1].endswith(":"):
        message = f"`{above[-1][1].strip()}` has to end with a colon if the lines below it, further in, belong to it."
        return Cause("", message, above[-1][0])
    if depths and depth < depths[-1] and depth not in depths:
        told = f"it is indented by {depth} spaces, and no line above is: what belongs together is equally far in"
        return Cause("", f"{told} (by {depths[-1]}?).", own)
    return None


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _misplaced(top: object) -> Iterator[tuple[Path, str]]:
    """Keys that Compose does not know where they stand, and values of another form than theirs: where, and why."""
    at_top, in_service = words("compose_top"), words("compose_service")
    if not isinstance(top, dict):
        yield (), "the file has no `key: value` lines. Begin with `services:`."
        return
    for key, value in top.items():
        if key in in_service and key not in at_top:
            yield (key,), _NAMELESS.format(key=key)
        elif key not in at_top and isinstance(value, dict) and {"build", "image"} & set(value) and key[:2] != "x-":
            yield (key,), f"`{key}` is a service, and belongs under `services:`, further in by two spaces."
        else:
            yield from _unknown((key,), at_top)
    services = top.get("services")
    if not services or not isinstance(services, dict):
        dash = ", without a dash" if isinstance(services, list) else ""
        yield ("services",), f"under `services:` comes the name of a service, further in, and with a colon{dash}."
        return
    for name, service in services.items():
        if isinstance(service, dict):
            yield from _of_service(("services", name), service, top)
        else:
            message = _NAMELESS if name in in_service else "`{key}` has no keys: they stand under it, further in."
            yield ("services", name), message.format(key=name)


def _of_service(path: Path, service: dict[str, object], top: dict[str, object]) -> Iterator[tuple[Path, str]]:
    for key, value in service.items():
        yield from _unknown((*path, key), words("compose_service"))
        if key in {"volumes", "ports", "depends_on"} and isinstance(value, str):
            message = f"`{key}:` is a list: each entry is a line of its own that begins with a dash and a blank."
            yield (*path, key), message
        if key == "environment" and isinstance(value, str):
            yield (*path, key), "`environment:` has a line for each variable: `NAME: value`, or `- NAME=value`."
    volumes, named = service.get("volumes"), top.get("volumes")
    for number, entry in enumerate(volumes if isinstance(volumes, list) else ()):
        declared = "\n".join(named) if isinstance(named, dict) else ""
        if isinstance(entry, str) and (cause := cause_in("compose_volume", entry=entry, named=declared)):
            yield (*path, "volumes", number), cause.message


def _unknown(path: Path, known: list[str]) -> Iterator[tuple[Path, str]]:
    word = str(path[-1])
    if word not in known and not word.startswith("x-"):
        near = nearest(word, known, 0.7)
        yield path, f"Compose knows no `{word}` here{f': did you mean `{near}`?' if near else '.'}"
