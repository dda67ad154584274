"""The probe: a harmless script put over the student's, to see what really runs it.

The image is run as it is, with the probe in the script's place. If the probe's line comes out,
the process that the image starts reads the script; the line also says which Python runs it, from
where, under which command line, and what it can import. It carries a SHA-256 over a nonce that
the submission cannot know, so nothing else can print it.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import resources
from typing import Annotated, Any, Literal

from annotated_types import MinLen

from grader.checks.base import (
    IMAGE_NAME,
    RIGHT,
    CheckContext,
    CheckGenerator,
    built,
    check_kind,
    command_of,
    docker_in_image,
    docker_inspect,
    docker_run,
    judged,
    run,
    run_request,
)
from grader.checks.compare import is_prediction_line, lines
from grader.checks.diagnosis import (
    NOT_STARTED,
    ended,
    excerpt,
    exit_meaning,
    not_finished,
    shown_command,
    with_location,
)
from grader.checks.output import Predicts
from grader.course.registry import AbsolutePath, Check, MinorVersion, Name, reason
from grader.dockerfile.explain import list_problem, misspelt_script
from grader.models import Built, Exited, Finding, FolderMount, MemoryFile, NotStarted, RunOutcome, RunRequest

SCRIPT_ABSENT = reason("D125", "script_absent", "The script is nowhere in the image.")
SCRIPT_NOT_RUN = reason("D126", "script_not_run", "The image starts something else than the script.")
SCRIPT_ELSEWHERE = reason("D127", "script_elsewhere", "The script that runs lives elsewhere.")
ABSOLUTE_PATH = reason("D128", "absolute_path", "The command names the script by its absolute path.")
WRONG_PYTHON = reason("P101", "wrong_python", "Another version of Python runs the script.")
NOT_IMPORTABLE = reason("P102", "not_importable", "The Python that runs the script cannot import a module.")


_MOST_PATHS = 20


@dataclass(frozen=True, slots=True)
class Probed:
    """What the probe found: (name, importable, version or error) for `modules`, (name, version) for `distributions`.

    `sites` are the folders of installed packages that this Python looks through when it starts.
    `beside` is a prediction line that came out although the probe ran and not the script; "" if none did.
    """

    version: str
    executable: str
    cwd: str
    file: str
    argv: tuple[str, ...]
    command: tuple[str, ...]
    modules: tuple[tuple[str, bool, str], ...]
    distributions: tuple[tuple[str, str], ...] = ()
    sites: tuple[str, ...] = ()
    beside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadsPackages(Check):
    """Shared by checks that need the names and versions of installed packages from the probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeCheck(Check):
    """Shared by checks of what the probe finds out."""

    arguments: bool = False
    """Whether the probe is started with the first case's weeks as arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRuns(ProbeCheck):
    """The process that the image starts reads the student's script: a probe mounted over it is what runs."""

    kind: Literal["script_runs"]


@check_kind(ScriptRuns)
def script_runs(check: ScriptRuns, context: CheckContext) -> CheckGenerator[Finding]:
    """The probe put over the script is what runs, and what prints: the prediction does not come from beside it."""
    seen = yield from probe(context, arguments=check.arguments)
    if isinstance(seen, Finding):
        return seen
    if not seen.beside:
        note = f"The image runs {seen.file} with Python {seen.version}."
        return judged(RIGHT, note, reproduce=_reproduce(seen.file))
    message = f"With another script in the place of {context.script}, the container prints a prediction all the same"
    return judged(
        (SCRIPT_NOT_RUN, f"{message}: something else prints it."),
        expected=f"a prediction that {context.script} prints",
        actual=seen.beside,
        reproduce=_reproduce(seen.file),
        file="Dockerfile",
        line=context.line_of("CMD", "ENTRYPOINT"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonVersion(ProbeCheck):
    """The interpreter that runs the script has this version."""

    kind: Literal["python_version"]
    version: MinorVersion
    """Major and minor version, in quotes: "3.9"."""


@check_kind(PythonVersion)
def python_version(check: PythonVersion, context: CheckContext) -> CheckGenerator[Finding]:
    """The probe ran under the version of Python asked for."""
    seen = yield from probe(context, arguments=check.arguments)
    if isinstance(seen, Finding):
        return seen
    right = seen.version.split(".")[:2] == check.version.split(".")
    message = f"The script is run by Python {seen.version} ({seen.executable}), not by {check.version}."
    return judged(
        RIGHT if right else (WRONG_PYTHON, message),
        expected=f"Python {check.version}",
        actual=f"Python {seen.version}",
        reproduce=docker_in_image(seen.executable, "-V"),
        file="Dockerfile",
        line=context.line_of("FROM"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports(ProbeCheck):
    """The interpreter that runs the script can import these modules."""

    kind: Literal["imports"]
    modules: Annotated[tuple[Name, ...], MinLen(1)]
    """Names as in `import NAME`."""


@check_kind(Imports)
def imports(check: Imports, context: CheckContext) -> CheckGenerator[Finding]:
    """The interpreter that ran the probe could import the modules."""
    seen = yield from probe(context, arguments=check.arguments)
    if isinstance(seen, Finding):
        return seen
    missing = {name: error for name, importable, error in seen.modules if name in check.modules and not importable}
    message = f"The Python that runs your script ({seen.executable}) cannot import {', '.join(missing)}."
    return judged(
        (NOT_IMPORTABLE, message) if missing else RIGHT,
        expected="\n".join(f"import {name} works" for name in check.modules),
        actual="\n".join(missing.values()) or "imported",
        reproduce=docker_in_image(seen.executable, "-c", f"import {', '.join(check.modules)}"),
        file="Dockerfile",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptIn(ProbeCheck):
    """The script that runs lives in this directory (or below it)."""

    kind: Literal["script_in"]
    path: AbsolutePath
    """Absolute path."""


@check_kind(ScriptIn)
def script_in(check: ScriptIn, context: CheckContext) -> CheckGenerator[Finding]:
    """The script that ran is in the directory asked for, or below it."""
    seen = yield from probe(context, arguments=check.arguments)
    if isinstance(seen, Finding):
        return seen
    right = posixpath.commonpath([seen.file, check.path]) == posixpath.normpath(check.path)
    return judged(
        RIGHT if right else (SCRIPT_ELSEWHERE, f"The script that runs is {seen.file}, which is not in {check.path}."),
        expected=f"a path in {check.path}",
        actual=seen.file,
        reproduce=_reproduce(seen.file),
        file="Dockerfile",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeCommand(ProbeCheck):
    """The command that starts the script names it by a relative path."""

    kind: Literal["relative_command"]


@check_kind(RelativeCommand)
def relative_command(check: RelativeCommand, context: CheckContext) -> CheckGenerator[Finding]:
    """No word of the command line that ran the probe is the script's absolute path."""
    seen = yield from probe(context, arguments=check.arguments)
    if isinstance(seen, Finding):
        return seen
    named = {posixpath.basename(seen.file), posixpath.basename(seen.argv[0]) if seen.argv else ""}
    absolute = [word for word in seen.command if word.startswith("/") and posixpath.basename(word) in named]
    message = f"The command names the script by its absolute path {''.join(absolute[:1])}."
    return judged(
        (ABSOLUTE_PATH, message) if absolute else RIGHT,
        expected=f"{posixpath.basename(seen.file)}, found from the working directory",
        actual=shlex.join(seen.command),
        line=context.line_of("CMD", "ENTRYPOINT"),
        reproduce=docker_inspect("Entrypoint", "Cmd"),
        file="Dockerfile",
    )


# ── the probe itself ────────────────────────────────────────────────────────────────────


def probe(context: CheckContext, *, arguments: bool) -> CheckGenerator[Probed | Finding]:
    """Run the probe in the script's place: first where the command names it, else wherever it is found."""
    image = yield from built()
    args = context.cases[0].weeks if arguments and context.cases else ()
    ran: tuple[RunRequest, RunOutcome] | None = None
    named = _named_paths(image, context.script)
    if named:
        ran = yield from _run_probe(context, named, args)
        if (seen := _probed(context, ran[1])) is not None:
            return seen
    found = yield from _find(context, image)
    if isinstance(found, Finding):
        return found
    if not found:
        return judged(
            (SCRIPT_ABSENT, f"{context.script} is nowhere in the image."),
            expected=f"an image that holds {context.script}",
            actual="no file with that name or that content",
            reproduce=docker_in_image("find", "/", "-xdev", "-name", context.script),
            file="Dockerfile",
        )
    if ran is None or set(found) != set(named):
        ran = yield from _run_probe(context, found, args)
        if (seen := _probed(context, ran[1])) is not None:
            return seen
    elsewhere = found if named and not set(named) & set(found) else ()
    return _script_not_run(context, image, *ran, _command_problem(context, image, named, elsewhere))


def _run_probe(
    context: CheckContext, paths: tuple[str, ...], args: tuple[str, ...]
) -> CheckGenerator[tuple[RunRequest, RunOutcome]]:
    """One run with the probe over `paths`, and with what the exercise mounts: some commands do not start without it.

    If it fails because of its arguments, one without them; if nothing can be mounted there, one with nothing.
    Both are for the checks of the output to say.
    """
    content = probe_script(context)
    bare = RunRequest(args=args, replaced=tuple(MemoryFile(path, content, 0o755) for path in paths))
    mounted = _mounted(context)
    request = replace(bare, files=mounted.files, folders=mounted.folders)
    outcome = yield from run(request)
    if request != bare and isinstance(outcome.ended, NotStarted):
        request = bare
        outcome = yield from run(request)
    if args and outcome.ended != Exited(0):
        request = replace(request, args=())
        outcome = yield from run(request)
    return request, outcome


def _mounted(context: CheckContext) -> RunRequest:
    """The files and folders of the first run in which the exercise mounts the weeks; none if it never does."""
    for check in context.exercise.checks:
        if isinstance(check, Predicts) and check.file and not check.image:
            folders = (FolderMount(check.folder),) if check.folder else ()
            return run_request(check, context.group(check.cases[0])[0], *folders)
    return RunRequest()


def probe_script(context: CheckContext) -> bytes:
    """The probe's source, with this grading's nonce and the modules that the exercise asks for."""
    asked = (module for check in context.exercise.checks if isinstance(check, Imports) for module in check.modules)
    source = resources.files("grader.checks").joinpath("programs/probe.py.txt").read_text(encoding="utf-8")
    filled = source.replace("@NONCE@", context.nonce).replace("@MODULES@", repr(list(dict.fromkeys(asked))))
    listing = any(isinstance(check, ReadsPackages) for check in context.exercise.checks)
    return _interpreter_line(context) + filled.replace("@DISTRIBUTIONS@", repr(listing)).encode()


def _interpreter_line(context: CheckContext) -> bytes:
    """The script's own `#!` line, if it has one: the image may execute the script itself."""
    first = (context.files.content(context.script) or b"").partition(b"\n")[0]
    return first + b"\n" if first.startswith(b"#!") else b""


def proved(label: str, nonce: str, outcome: RunOutcome) -> Any:  # noqa: ANN401 - JSON
    """The JSON that a program of ours printed after `label`, as the nonce proves; None if there is none."""
    for line in [*lines(outcome.stdout), *lines(outcome.stderr)]:
        found = re.search(rf"{label} (?P<proof>[0-9a-f]{{64}}) (?P<text>[\[{{].*[\]}}])", line)
        if found and found["proof"] == hashlib.sha256((nonce + found["text"]).encode()).hexdigest():
            with suppress(ValueError, RecursionError):  # whoever has read the nonce can prove anything
                return json.loads(found["text"])
    return None


def without_proofs(label: str, outcome: RunOutcome) -> RunOutcome:
    """What the student's script itself wrote."""
    stdout, stderr = (
        "\n".join(line for line in lines(output) if not re.search(rf"{label} [0-9a-f]{{64}} ", line)).encode()
        for output in (outcome.stdout, outcome.stderr)
    )
    return replace(outcome, stdout=stdout, stderr=stderr)


def _probed(context: CheckContext, outcome: RunOutcome) -> Probed | None:
    """What the probe printed; None where it did not run, or where somebody who has read the nonce forged less."""
    seen = proved("grader-probe", context.nonce, outcome)
    try:
        return Probed(
            version=str(seen["version"]),
            executable=str(seen["executable"]),
            cwd=str(seen["cwd"]),
            file=posixpath.join("/", str(seen["file"])),
            argv=tuple(map(str, seen["argv"])),
            command=tuple(map(str, seen["command"])),
            modules=tuple((name, bool(found[0]), str(found[1])) for name, found in sorted(seen["modules"].items())),
            distributions=tuple((str(name), str(version)) for name, version in seen["distributions"]),
            sites=tuple(map(str, seen["sites"])),
            beside=next((line.strip() for line in lines(outcome.stdout) if is_prediction_line(line)), ""),
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


def _named_paths(image: Built, script: str) -> tuple[str, ...]:
    """Where the image's own command says the script is, as absolute paths."""
    words = [part for word in command_of(image, ()) for part in _split(word)]
    paths = [
        posixpath.join(image.config.working_dir or "/", word) for word in words if posixpath.basename(word) == script
    ]
    return tuple(dict.fromkeys(posixpath.normpath(path) for path in paths))


def _split(word: str) -> list[str]:
    try:
        return shlex.split(word)
    except ValueError:
        return word.split()


def _find(context: CheckContext, image: Built) -> CheckGenerator[tuple[str, ...] | Finding]:
    """Where the script is in the image: by its name, or, copied under another name, by its content.

    A finding, if no container of the image can be started at all.
    """
    content = context.files.content(context.script) or b""
    same = ("-o", "-size", f"{len(content)}c") if content else ()
    words = ("find", "/", "-xdev", "-type", "f", "(", "-name", context.script, *same, ")")
    words += ("-exec", "sha256sum", "{}", "+")
    outcome = yield from run(RunRequest(entrypoint=words))
    if isinstance(outcome.ended, NotStarted):
        stopped = not_finished(image, RunRequest(), outcome)
        return replace(stopped, file="Dockerfile", reproduce=docker_run(RunRequest())) if stopped else ()
    digest = hashlib.sha256(content).hexdigest()
    paths = []
    for line in lines(outcome.stdout):
        found, _, path = line.partition("  ")
        if path.startswith("/") and (found == digest or posixpath.basename(path) == context.script):
            paths.append(path)
    return tuple(sorted(paths)[:_MOST_PATHS])


# ── why not the script ──────────────────────────────────────────────────────────────────


def _script_not_run(
    context: CheckContext, image: Built, request: RunRequest, outcome: RunOutcome, message: str
) -> Finding:
    as_is = replace(request, replaced=())
    reproduce = docker_inspect("Entrypoint", "Cmd", after=docker_run(as_is))
    installs = _installs_at_start(context, image)
    stopped = not_finished(image, as_is, outcome)
    if stopped is not None:
        cause = f" {problem}" if stopped.reason == NOT_STARTED and (problem := _cause_in_command(context)) else ""
        return replace(with_location(stopped, context), message=stopped.message + cause + installs, reproduce=reproduce)
    return judged(
        (SCRIPT_NOT_RUN, message + ("" if _cause_in_command(context) else exit_meaning(outcome)) + installs),
        expected=f"a command that runs {context.script}",
        actual=f"Docker executed: {shown_command(image, request.args)}\n{excerpt(outcome)}",
        ended=ended(outcome.ended),
        reproduce=reproduce,
        file="Dockerfile",
        line=context.line_of("CMD", "ENTRYPOINT"),
    )


def _command_problem(context: CheckContext, image: Built, named: tuple[str, ...], elsewhere: tuple[str, ...]) -> str:
    """What is wrong with a command that does not run the script, as far as its own words show."""
    message = f"The container's command does not run {context.script}."
    if context.line_of("CMD", "ENTRYPOINT") is None:
        return (
            f"{message} After FROM, the Dockerfile has neither CMD nor ENTRYPOINT, "
            "so the command is that of the image that FROM names."
        )
    cause = _cause_in_command(context)
    if elsewhere and not cause:
        message = f"The command looks for {named[0]}, but in the image the script is {' and '.join(elsewhere[:3])}."
        cause = _other_place(context, named[0], elsewhere[0])
    return f"{message} {cause}" if cause else f"{message}{_carriage_return(context, image)}"


def _cause_in_command(context: CheckContext) -> str:
    """What is wrong with the words of CMD or ENTRYPOINT; "" if nothing shows."""
    paths = [file.path for file in context.files.files]
    for one in context.last_stage:
        if one.keyword in {"CMD", "ENTRYPOINT"} and (problem := list_problem(one) or misspelt_script(one, paths)):
            return problem
    return ""


def _other_place(context: CheckContext, named: str, found: str) -> str:
    """Why the script is in another place than the command looks for it, and what to do."""
    folder = posixpath.dirname(found)
    if found == posixpath.dirname(named):
        return f"Without a / at its end, {found} became a file. Write COPY {context.script} {found}/"
    went = any(one.keyword == "RUN" and re.search(r"\bcd\s", one.value) for one in context.last_stage)
    lost = "A cd ends with the RUN that it is in. " if went else ""
    return f"{lost}WORKDIR {folder} goes there for good; or let the command name {found}."


def _carriage_return(context: CheckContext, image: Built) -> str:
    """Of a shell script that the image executes: that the line with its interpreter ends as on Windows."""
    names = {posixpath.basename(word) for word in command_of(image, ())}
    for file in context.files.files:
        first = file.content.partition(b"\n")[0]
        if posixpath.basename(file.path) in names and first.startswith(b"#!") and first.endswith(b"\r"):
            return (
                f" {file.path} has the line ends of Windows, so Linux looks for an interpreter whose name ends in a "
                "carriage return. Save it with the line ends of Linux (LF)."
            )
    return ""


def _installs_at_start(context: CheckContext, image: Built) -> str:
    """Of a command, or of a file of the folder that it names: that it installs packages whenever a container starts."""
    words = command_of(image, ())
    names = {posixpath.basename(part) for word in words for part in _split(word)}
    texts = [file.content for file in context.files.files if posixpath.basename(file.path) in names]
    if not any(_INSTALLS.search(text[:_MOST_READ]) for text in [" ".join(words).encode(), *texts]):
        return ""
    return (
        " It installs packages each time a container starts, and containers have no network here. "
        "What an image needs is installed once, by a RUN instruction."
    )


_INSTALLS = re.compile(
    rb"^[^#\n]*\b(?:pip3?|apt-get|apt|apk|conda|uv|pipenv|poetry)[ \t]+(?:-\S+[ \t]+){0,10}(?:pip[ \t]+)?install\b",
    re.MULTILINE,
)
"""Options are counted, and texts cut, since whoever writes many of both could make the search take hours."""
_MOST_READ = 64 * 1024
"""Bytes of a start script that are read; the longest honest ones have a tenth of it."""


def _reproduce(path: str) -> str:
    probe = "import sys; print(sys.version, sys.argv)"
    mount = shlex.quote(f"/tmp/other.py:{path}:ro")
    return (
        f"docker build -q -t {IMAGE_NAME} . && echo {shlex.quote(probe)} > /tmp/other.py"
        f" && docker run --rm -v {mount} {IMAGE_NAME}"
    )
