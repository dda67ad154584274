"""Checks of what `commands.sh` has done: the state of the engine afterwards, and what was asked of it on the way.

Never what the script printed. Where students check their own work and there is no script, their own engine is looked at
instead; what only a script can show (that a list was asked for) is then not checked.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from grader.checks.base import (
    NOTE,
    RIGHT,
    CheckContext,
    CheckGenerator,
    NotChecked,
    Problem,
    after_script,
    built,
    carried_out,
    check_kind,
    image_named,
    judged,
    run,
    script,
)
from grader.checks.causes import Cause, cause_in
from grader.checks.compare import LINE_FORM, agrees, lines, predicted
from grader.checks.diagnosis import FILE_MISSING, ended, excerpt
from grader.course.registry import Check, ImageName, Name, reason
from grader.dockerfile.image_names import is_allowed, is_called, normalised, split_reference
from grader.models import (
    ContainerSeen,
    EngineRequest,
    EngineState,
    Exited,
    FailedCommand,
    Finding,
    ImageConfig,
    ImageSeen,
    RunRequest,
    ScriptSeen,
)

# The first two are given by the table in causes.yaml.
reason("S101", "prompt_copied", "A line of the script begins with the terminal's prompt.")
reason("S102", "output_copied", "A line of the script is something that a command has printed.")
SCRIPT_FAILED = reason("S103", "script_failed", "commands.sh ended with an error.")
SCRIPT_STOPPED = reason("S104", "script_stopped", "commands.sh did not come to its end.")
NO_COMMANDS = reason("S105", "no_commands", "commands.sh has no docker command in it.")
IMAGE_MISSING = reason("S201", "image_missing", "There is no image of that name.")
OTHER_FOLDER = reason("S202", "other_folder", "The image was not built from this folder.")
NOT_RUN = reason("S203", "not_run", "No container of the image has run to its end.")
CONTAINER_WRONG = reason("S204", "container_wrong", "A container of the image ran, but not rightly.")
NOT_LISTED = reason("S205", "not_listed", "The list was not asked for.")
CONTAINERS_LEFT = reason("S206", "containers_left", "Containers are still there.")
IMAGES_REMOVED = reason("S207", "images_removed", "Images are gone that were to stay.")

_FILE = "commands.sh"
_WINDOWS = (
    f"{_FILE} has the line ends of Windows (CRLF). They were put right here; elsewhere, bash stops at them. Save "
    "the file with the line ends of Linux (LF)."
)
_NEARLY = re.compile(r"(?:.*/)?commands?(?:[ ._-]?\(?\d\)?)?(?:\.\w+)*", re.IGNORECASE)
_SHOWN_FAILED = 3
_OK = 200
_MOST_CHARACTERS = 500
"""Of a line, for a search and for a message: somebody may hand in one of a megabyte."""
_ENDLESS = re.compile(
    r"docker (?:logs|container logs) .*(?:-f|--follow)\b|docker (?:attach|events|stats(?!.*--no-stream))\b"
    r"|\b(?:tail -f|watch |read\b|while (?:true|:)|sleep (?:infinity|\d{3,}))|docker compose up(?!.*(?:-d\b|--detach))"
    r"|docker (?:run|exec) .*(?:-it|-ti|-i)\b.*"
)
_HELP = re.compile(r"(?i)\s*(?:run 'docker|see 'docker|for more help|-\w, |--\w)|.{0,30}\bWARN")
_WHO = re.compile(r"(?:commands\.sh: line \d+: |docker: |Error response from daemon: |Error: |ERROR: )+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptCheck(Check):
    """Shared by checks of what commands.sh has done; all of one exercise say the same of `prepared`."""

    prepared: bool = False
    """Whether four containers are there before it runs: ended well, ended with an error, never started, running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptSucceeds(ScriptCheck):
    """commands.sh runs to its end without an error."""

    kind: Literal["script_succeeds"]


@check_kind(ScriptSucceeds)
def script_succeeds(check: ScriptSucceeds, context: CheckContext) -> CheckGenerator[Finding]:
    """The script is there and ends with exit code 0."""
    seen = yield from script(prepared=check.prepared)
    content, outcome = context.files.content(_FILE) or b"", seen.outcome
    names = ", ".join(file.path for file in context.files.files if _NEARLY.fullmatch(file.path))
    near = f" There is {names}, but the name has to be exactly {_FILE}, in the exercise's own folder." if names else ""
    if seen.source == "own_engine":
        message = f"Not checked: there is no {_FILE}. Hand one in: without it the course gives no points for it."
        raise NotChecked(message + near)
    if seen.source == "nothing":
        problem = FILE_MISSING, f"The exercise's folder has no {_FILE}.{near}"
        return judged(problem, expected=_FILE, actual=context.there, reproduce=f"ls {_FILE}")
    code = outcome.ended.code if isinstance(outcome.ended, Exited) else None
    failed = (*seen.failed, *(unreadable_line(content, _FILE, outcome.stderr) if code else ()))
    cause = oddity(content, _FILE, failed) or Cause(SCRIPT_FAILED, "", failed[0].line if failed else None)
    what = " ".join(_what_failed(seen, cause, failed))
    notes = [f"{what} (The script went on, and ended well.)"] if what else []
    notes += [_WINDOWS] if b"\r\n" in content else []
    problem, line = RIGHT, None
    if code is None:
        line, word = endless_line(content) or (None, "")
        why = f" Line {line} may be why: `{word}` waits, or does not end by itself." if line else ""
        how = ended(outcome.ended).replace("_", " ")
        problem = SCRIPT_STOPPED, f"{_FILE} did not come to its end: it was stopped ({how}).{why}"
    elif code:
        problem, line = (cause.reason, what or f"{_FILE} ended with exit code {code}."), cause.line
    elif not seen.requests:
        problem = NO_COMMANDS, f"{_FILE} asked Docker for nothing: write the docker commands into it, one a line."
    told = "\n".join(printed_lines(failed[0])).encode() if failed and code else b""
    return judged(
        problem,
        " ".join([NOTE, *notes]) if notes else "",
        expected="every command works; exit code 0",
        actual=excerpt(replace(outcome, stdout=b"", stderr=told) if told else outcome),
        ended=ended(outcome.ended),
        reproduce=f"bash {_FILE}; echo exit code $?",
        file=_FILE,
        line=line,
    )


def _what_failed(seen: ScriptSeen, cause: Cause, failed: Sequence[FailedCommand]) -> Iterator[str]:
    """The commands that failed on the way, why as far as it is known, and what was refused."""
    for first in failed[:1]:
        why = "" if cause.message or cause.reason != SCRIPT_FAILED else said(first) or f"exit code {first.code}"
        yield f"Line {first.line} (`{first.command[:_MOST_CHARACTERS]}`) failed{f': {why}'.rstrip(':.? ')}."
    if cause.message:
        yield cause.message
    elif not failed:
        yield from (f"Refused: {one.rstrip('.')}." for one in seen.refused[:_SHOWN_FAILED])
    if more := sorted({one.line for one in failed[1:]} - {one.line for one in failed[:1]}):
        yield f"Line{'s' * (len(more) > 1)} {' and '.join(map(str, more[:_SHOWN_FAILED]))} failed too."


# ── images ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLeft(ScriptCheck):
    """After commands.sh there is an image with this name."""

    kind: Literal["image_left"]
    image: ImageName
    """Name and tag."""
    from_folder: bool = False
    """Whether it must have been built from this folder."""
    same_as: ImageName = ""
    """Another name; whether both are the same image is noted."""


@check_kind(ImageLeft)
def image_left(check: ImageLeft, context: CheckContext) -> CheckGenerator[Finding]:
    """The image has the name asked for and, if that is asked too, comes from this folder."""
    seen = yield from carried_out(prepared=check.prepared)
    image = image_named(seen.after, check.image)
    bases = {split_reference(name)[0] for image in context.course.images for name in image.names} | {"grader-base"}
    tags = {tag for image in seen.after.images for tag in image.tags}
    names = ", ".join(sorted(tag for tag in tags if split_reference(tag)[0] not in bases))
    name = split_reference(check.image)[0]
    reproduce = after_script(context, f"docker images '{name}*'")
    problem = RIGHT
    if image is None:
        where = "in your engine" if seen.source == "own_engine" else f"after {_FILE}"
        unbuilt = any(one.path == "/build" and not one.made for one in seen.requests)
        why = " A build failed on the way, and the script went on." if unbuilt else ""
        for one in seen.failed[:1]:
            why = f" Line {one.line} (`{one.command[:_MOST_CHARACTERS]}`) failed; that may be why."
        there = f" There is: {names}." if names else ""
        problem = IMAGE_MISSING, f"There is no image {check.image} {where}.{there}{why}"
    elif check.from_folder:
        why, look = yield from _not_from_folder(context, check.image, image, seen)
        if why:
            problem = OTHER_FOLDER, f"The image {check.image} was not built from this folder: {why}"
            reproduce = after_script(context, look)
    return judged(
        problem,
        _same(check, seen.after, image) if image else "",
        expected=f"an image named {check.image}" + (", built from this folder" if check.from_folder else ""),
        actual=f"images named {name}*: {names or 'none'}",
        reproduce=reproduce,
        file=_file(seen),
        line=next((one.line for one in seen.failed if image is None), None),
    )


def _not_from_folder(
    context: CheckContext, name: str, image: ImageSeen, seen: ScriptSeen
) -> CheckGenerator[tuple[str, str]]:
    """Why the image cannot come from this folder, and how to see that; two empty texts if it can.

    A script's builds are on record with the context that was sent. In a student's own engine there is no record, so the
    image is compared with one that is built now: their commands, and what both hold under the script's name.
    """
    if seen.source == "script":
        return _not_built_here(context, image, seen.requests), f"cat {_FILE}"
    own = yield from built()
    if (own.config.entrypoint, own.config.command) != (image.config.entrypoint, image.config.command):
        look = f"docker inspect -f '{{{{.Config.Entrypoint}}}} {{{{.Config.Cmd}}}}' {name}"
        return "it has another command than the Dockerfile says.", look
    find = ("find", "/", "-xdev", "-name", context.script, "-exec", "sha256sum", "{}", "+")
    ours = yield from run(RunRequest(entrypoint=find))
    theirs = yield from run(RunRequest(entrypoint=find, existing_image=name))
    if sorted(lines(ours.stdout)) == sorted(lines(theirs.stdout)):
        return "", ""
    inside = f"docker run --rm --entrypoint find {name} / -xdev -name {context.script} -exec sha256sum '{{}}' +"
    return f"it does not hold this folder's {context.script}.", f"sha256sum {context.script}; {inside}"


def _not_built_here(context: CheckContext, image: ImageSeen, requests: Iterable[EngineRequest]) -> str:
    """Why none of the builds that made the image had this folder for its context; "" if one had."""
    builds = [one for one in requests if one.path == "/build" and one.made == image.id]
    if not builds:
        return "it is another image, which was given this name."
    path = context.files.dockerfile.path if context.files.dockerfile else ""
    dockerfiles, scripts = (_digests(context.files.content(name) or b"") for name in (path, context.script))
    same = [dict(one.context) for one in builds if dict(one.context).get(one.dockerfile) in dockerfiles]
    if not same:
        return f"the Dockerfile that was built is not this folder's {path or 'Dockerfile'}."
    if not any(scripts & set(sent.values()) for sent in same):
        return f"the folder that was built does not hold this folder's {context.script}."
    return ""


def _digests(content: bytes) -> set[str]:
    """Of a file as it is, and with the line ends of Linux: a script may put them right before it builds."""
    return {hashlib.sha256(one).hexdigest() for one in (content, content.replace(b"\r\n", b"\n"))}


def _same(check: ImageLeft, state: EngineState, image: ImageSeen) -> str:
    other = image_named(state, check.same_as)
    same = "two names of the same image" if other and other.id == image.id else "two different images"
    return f"{NOTE} {check.image} and {check.same_as} are {same}." if other else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesKept(ScriptCheck):
    """After commands.sh the images are still there."""

    kind: Literal["images_kept"]


@check_kind(ImagesKept)
def images_kept(check: ImagesKept, context: CheckContext) -> CheckGenerator[Finding]:
    """Every image that was there before is there with all its names; one without a name is known by its ID."""
    seen = yield from carried_out(prepared=check.prepared)
    if seen.source == "own_engine":
        raise NotChecked(f"Not checked: without a {_FILE}, nobody knows which images were there before.")
    after = {name for image in seen.after.images for name in (*image.tags, image.id)}
    before = {name for image in seen.before.images for name in image.tags or (image.id,)}
    bases = context.course.image_patterns
    lost = sorted(before - after, key=lambda name: (is_allowed(name, bases), name))  # the student's own first
    lost = [name for name in lost if not name.startswith("grader-base")]
    shown = ", ".join(lost[:_SHOWN_FAILED]) + (f" and {len(lost) - _SHOWN_FAILED} more" * (len(lost) > _SHOWN_FAILED))
    message = f"Images are gone too: {shown}. Only the containers were to be removed."
    return judged(
        (IMAGES_REMOVED, message) if lost else RIGHT,
        expected="the same images as before",
        actual=f"no longer there: {shown}" if lost else "the same images as before",
        reproduce=f"grep -nE 'rmi|image rm|prune' {_FILE}  # look only: to run it would remove your own images too",
        file=_FILE,
    )


# ── containers ──────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRan(ScriptCheck):
    """A container of the image has run the script, printed the line and exited 0."""

    kind: Literal["container_ran"]
    image: ImageName
    """Name and tag."""
    case: Name
    """Name of the exercise's case whose prediction is expected."""


@check_kind(ContainerRan)
def container_ran(check: ContainerRan, context: CheckContext) -> CheckGenerator[Finding]:
    """A container of the image ran the image's own command, or one that names the script, and exited 0."""
    seen = yield from carried_out(prepared=check.prepared)
    image = image_named(seen.after, check.image)
    right = context.group(check.case)[0].expected("average")
    line = LINE_FORM.replace("<number>", f"{right:.10g}")
    again = _ended_well(check, context, seen, image)
    finding = judged(
        RIGHT if isinstance(again, RunRequest) else again,
        expected=f"a container of {check.image} that prints “{line}” and exits 0",
        actual=_containers(seen) or "no container at all",
        reproduce=after_script(context, f"docker run --rm {split_reference(check.image)[0]}"),
        file=_file(seen),
    )
    if not isinstance(again, RunRequest):
        return finding
    outcome = yield from run(replace(again, existing_image=check.image))
    number = predicted(outcome.stdout)
    if number is not None and agrees(number, right) and outcome.ended == Exited(0):
        return finding
    printed = "no prediction line" if number is None else f"{number:.10g}"
    return replace(
        finding,
        passed=False,
        reason=CONTAINER_WRONG,
        message=f"A container of {check.image} ran, but it printed {printed}, where this was expected: {line}",
        actual=f"{excerpt(outcome)}\n{ended(outcome.ended)}",
        ended=ended(outcome.ended),
        file=context.script,
    )


def _ended_well(
    check: ContainerRan, context: CheckContext, seen: ScriptSeen, image: ImageSeen | None
) -> RunRequest | Problem:
    """How to run again a container of the image that ran and exited 0; or the reason and message why there is none."""
    ours = [one for one in _runs(seen, image, check.image) if one.code is not None]
    if image is None or not ours:
        return NOT_RUN, _not_run(check, seen, image)
    good = [one for one in ours if one.code == 0]
    if not good:
        return CONTAINER_WRONG, f"A container of {check.image} ended with exit code {ours[-1].code}, not 0."
    own = image.config
    scripted = [one for one in good if _runs_script(one, own, context.script)]
    if not scripted:
        command = " ".join([*(good[-1].entrypoint or ()), *good[-1].command])
        message = f"A container of {check.image} ran, but not {context.script}: it executed `{command}`."
        return CONTAINER_WRONG, message
    again = scripted[-1]
    if again.entrypoint != own.entrypoint:
        return RunRequest(args=again.command, entrypoint=again.entrypoint or ())
    return RunRequest(args=() if again.command == (own.command or ()) else again.command)


def _runs(seen: ScriptSeen, image: ImageSeen | None, name: str) -> list[ContainerSeen]:
    """Every container of the image that is there, was asked for, or has ended; what is not known is the image's own."""
    if image is None:
        return []
    found = {one.id: one for one in seen.after.containers}
    own = image.config
    for one in seen.requests:
        if one.path == "/containers/create" and one.made:
            command = one.command if one.command or one.entrypoint else own.command
            entrypoint = one.entrypoint or own.entrypoint
            gone = ContainerSeen(one.made, "", one.image, "", "gone", None, command or (), entrypoint)
            found.setdefault(one.made, gone)
    for end in seen.ended:
        gone = ContainerSeen(end.container, "", end.image, "", "gone", None, own.command or (), own.entrypoint)
        found[end.container] = replace(found.get(end.container, gone), code=end.code)
    return [
        one
        for one in found.values()
        if (one.image_id == image.id if one.image_id else is_called(one.image, image) or normalised(one.image) == name)
    ]


def _runs_script(container: ContainerSeen, own: ImageConfig, script: str) -> bool:
    if own.entrypoint and container.entrypoint == own.entrypoint:
        return True  # arguments are added to what the image always runs
    words = (*(container.entrypoint or ()), *container.command)
    return words == (*(own.entrypoint or ()), *(own.command or ())) or any(script in word for word in words)


def _not_run(check: ContainerRan, seen: ScriptSeen, image: ImageSeen | None) -> str:
    none = f"No container of {check.image} has run to its end"
    if image and any(one.status == "created" and one.image_id == image.id for one in seen.after.containers):
        return f"A container of {check.image} was created, but it was never started."
    if others := {one.image for one in seen.ended if image is None or not is_called(one.image, image)}:
        return f"{none}; a container of {', '.join(sorted(others))} has."
    return f"{none}, as far as your engine remembers." if seen.source == "own_engine" else f"{none}."


@dataclass(frozen=True, slots=True, kw_only=True)
class NoContainers(ScriptCheck):
    """After commands.sh no container is left."""

    kind: Literal["no_containers"]


@check_kind(NoContainers)
def no_containers(check: NoContainers, context: CheckContext) -> CheckGenerator[Finding]:
    """No container is left, running or not."""
    seen = yield from carried_out(prepared=check.prepared)
    left = seen.after.containers
    whose = " of images named sales-predictor*" if seen.source == "own_engine" else ""
    count = f"{len(left)} container{'' if len(left) == 1 else 's'}{whose} {'is' if len(left) == 1 else 'are'}"
    asked = b"[y/N]" in seen.outcome.stdout + seen.outcome.stderr
    answer = " A command asked whether to go on ([y/N]), and in a script nobody answers: see its option -f."
    statuses = ", ".join(sorted(map(_status, left)))
    return judged(
        (CONTAINERS_LEFT, f"{count} still there: {statuses}.{answer * asked}") if left else RIGHT,
        expected=f"no container{whose}",
        actual=_containers(seen) or "no container at all",
        reproduce=after_script(context, "docker ps -a"),
        file=_file(seen),
    )


def _status(container: ContainerSeen) -> str:
    return f"exited with {container.code}" if container.code is not None else container.status


def _containers(seen: ScriptSeen) -> str:
    there = {one.id for one in seen.after.containers}
    lines = [f"{one.image}  {one.name}  {_status(one)}" for one in seen.after.containers]
    gone = [f"{one.image}  exited with {one.code}  (removed since)" for one in seen.ended if one.container not in there]
    return "\n".join(lines + gone)


# ── requests ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(ScriptCheck):
    """commands.sh asked the engine for a list."""

    kind: Literal["listed"]
    what: Literal["images", "containers"]
    """Images, or all containers, stopped ones too."""


@check_kind(Listed)
def listed(check: Listed, context: CheckContext) -> CheckGenerator[Finding]:
    """The engine was asked for the list, and gave it."""
    seen = yield from carried_out(prepared=check.prepared)
    command = "docker images" if check.what == "images" else "docker ps -a"
    if seen.source == "own_engine":
        raise NotChecked(f"Not checked: without a {_FILE}, nobody saw whether you typed `{command}`.")
    right = any(_lists(request, check.what, len(seen.before.containers)) for request in seen.requests)
    return judged(
        RIGHT if right else (NOT_LISTED, _not_listed(check.what, command, seen)),
        expected=f"the script asks Docker for the list, as `{command}` does",
        actual="asked for the list" if right else "the list was not asked for",
        reproduce=f"bash {_FILE}",
        file=_FILE,
    )


def _lists(request: EngineRequest, what: str, containers: int) -> bool:
    """Whether it is for the list, and was answered; the newest N are all where there are not more (`ps -n 100`)."""
    if request.method != "GET" or request.status != _OK:
        return False
    if what == "images":
        return request.path == "/images/json"
    asked = dict(request.query)
    newest = int(asked["limit"]) if asked.get("limit", "").isdecimal() else 0
    everything = asked.get("all") in {"1", "true"} or newest >= max(containers, 1)
    return request.path == "/containers/json" and everything


def _not_listed(what: str, command: str, seen: ScriptSeen) -> str:
    if what == "containers" and any(request.path == "/containers/json" for request in seen.requests):
        return f"{_FILE} listed containers, but not all of them: `docker ps -a` shows the stopped ones too."
    failed = seen.failed[-1:] if seen.outcome.ended != Exited(0) else ()
    stopped = "".join(f" It failed in line {one.line}; did it come that far?" for one in failed)
    return f"{_FILE} did not ask Docker for the list of {what} (`{command}`).{stopped}"


def _file(seen: ScriptSeen) -> str:
    return _FILE if seen.source == "script" else ""


# ── what is wrong with the script's text ────────────────────────────────────────────────


def oddity(content: bytes, name: str, failed: Sequence[FailedCommand]) -> Cause | None:
    """The first known reason why commands failed, seen in the text of the script, or in what docker printed."""
    text = content.decode("utf-8", "replace").replace("\r\n", "\n")
    if cause := cause_in("script_file", SCRIPT_FAILED, text=text, file=name, failed="failed" if failed else ""):
        return replace(cause, line=text.count("\n", 0, text.find(cause.seen)) + 1)
    lines = text.split("\n")
    for number, line in _suspects(lines, failed):
        text = line[:_MOST_CHARACTERS]
        command = re.split(r"(?:^|\s)#", text, maxsplit=1)[0]
        if cause := cause_in("script_line", SCRIPT_FAILED, line=text, command=command, number=str(number)):
            return replace(cause, line=number)
    for one in failed[:1]:
        printed = "\n".join(line[:_MOST_CHARACTERS] for line in (one.command, *printed_lines(one)))
        command = one.command[:_MOST_CHARACTERS]
        if cause := cause_in("script_printed", SCRIPT_FAILED, command=command, printed=printed):
            return replace(cause, line=one.line)
    return None


def _suspects(lines: Sequence[str], failed: Sequence[FailedCommand]) -> Iterable[tuple[int, str]]:
    """Lines of what failed, with their numbers; for a command that was continued, and may be the rest of one, all."""
    for one in failed:
        if one.line > len(lines) or one.command.split()[:1] != lines[one.line - 1].split()[:1]:
            yield one.line, one.command  # a line of another file that was read in, or the middle of one of ours
            continue
        number = one.line - 1 if one.line > 1 and re.search(r"\\[ \t]+$", lines[one.line - 2]) else one.line
        yield number, lines[number - 1]
        while number < len(lines) and lines[number - 1].rstrip().endswith("\\"):
            number += 1
            yield number, lines[number - 1]


def unreadable_line(content: bytes, name: str, stderr: bytes) -> tuple[FailedCommand, ...]:
    """The line of the file `name` at which bash stopped for an error of syntax, if it did; by bash's own words."""
    error = rb"(?m)^%b: line (\d{1,6}): ((?:syntax error|unexpected EOF).*)" % re.escape(name.encode())
    found = re.search(error, stderr)
    if not found:
        return ()
    lines = content.decode("utf-8", "replace").splitlines() or [""]
    number = min(int(found[1]), len(lines))
    return (FailedCommand(number, 2, lines[number - 1], found[2].decode("utf-8", "replace")),)


def endless_line(content: bytes) -> tuple[int, str] | None:
    """The first line that holds a command which does not end by itself, and that command."""
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if found := _ENDLESS.search(line.partition("#")[0][:_MOST_CHARACTERS]):
            return number, found[0]
    return None


def printed_lines(failed: FailedCommand) -> list[str]:
    """What a command that failed printed on standard error, without docker's help, and builds that went well before."""
    after = re.split(r"^Successfully (?:built|tagged) .*\n", failed.printed, flags=re.MULTILINE)[-1]
    told = re.split(r"^Usage: ", after, maxsplit=1, flags=re.MULTILINE)[0] or after
    return [line.strip() for line in told.splitlines() if line.strip() and not _HELP.match(line)]


def said(failed: FailedCommand) -> str:
    """The last line that a command that failed printed, without who says it; "" if it printed nothing."""
    return _WHO.sub("", (printed_lines(failed) or [""])[-1])[:_MOST_CHARACTERS]
