"""What a check is given, and the shape of a check: a generator of requests.

A check *yields* what it wants to see (`BuildRequest`, `RunRequest`) and is *sent* what was
seen, as often as it likes, and *returns* its `Finding`. It does no I/O itself: grading drives
it with an engine, regrading with stored observations, tests with a function.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grader.dockerfile import Dockerfile, dockerfile_of, parse
from grader.model import (
    BuildFailed,
    BuildRequest,
    Built,
    Case,
    ComposeRequest,
    ComposeSeen,
    ExerciseFiles,
    Finding,
    MemoryFile,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.spec import Course, Exercise

__all__ = ["Brief", "NoImage", "Steps", "build", "built", "compose", "left", "run", "script"]

T = TypeVar("T")
Steps = Generator[Request, Observation, T]
"""A conversation with whoever observes, ending in a T."""


class NoImage(Exception):  # noqa: N818 - a signal between two of our own functions, not an error
    """Thrown into a check that asks for what is not there (an image that was not built): the check is blocked.

    Its text, if it has one, is told instead of that the image could not be built.
    """


_AS_SUBMITTED = BuildRequest()


@dataclass(frozen=True, slots=True)
class Brief:
    """Everything a check may know besides its own parameters.

    `cases` carry their expected answers; `nonce` is a text the submission cannot know.
    """

    course: Course
    exercise: Exercise
    files: ExerciseFiles
    cases: tuple[Case, ...]
    nonce: str

    @property
    def script(self) -> str:
        """The name of the script the exercise is about."""
        return self.course.script

    def line_of(self, *keywords: str) -> int | None:
        """The Dockerfile's line of the last of these instructions, for a finding that is about it."""
        file = dockerfile_of(self.files)
        parsed = parse(file.content) if file else None
        if not isinstance(parsed, Dockerfile):
            return None
        found = [instruction.first_line for instruction in parsed.instructions if instruction.keyword in keywords]
        return found[-1] if found else None

    def group(self, name: str) -> tuple[Case, ...]:
        """The cases that the spec calls `name`, in order."""
        return tuple(case for case in self.cases if case.group == name)


def build(request: BuildRequest = _AS_SUBMITTED) -> Steps[Built | BuildFailed]:
    """Ask for a build."""
    seen = yield request
    if not isinstance(seen, Built | BuildFailed):
        raise TypeError(seen)
    return seen


def built(request: BuildRequest = _AS_SUBMITTED) -> Steps[Built]:
    """Ask for a build that has to have worked; `NoImage` otherwise."""
    seen = yield from build(request)
    if isinstance(seen, BuildFailed):
        raise NoImage
    return seen


def script(*, prepared: bool) -> Steps[ScriptSeen]:
    """Ask for what the student's commands did."""
    seen = yield ScriptRequest(prepared=prepared)
    if not isinstance(seen, ScriptSeen):
        raise TypeError(seen)
    return seen


def carried_out(*, prepared: bool) -> Steps[ScriptSeen]:
    """Ask for what the student's commands did, or what is in the student's engine; `NoImage` if there is neither."""
    seen = yield from script(prepared=prepared)
    if seen.source == "nothing":
        raise NoImage(f"Not checked: there is no {_SCRIPT}.")
    return seen


def left(name: str) -> Steps[Built]:
    """Ask for an image that the commands left, by its name; `NoImage` if there is none."""
    seen = yield from script(prepared=False)
    found = next((image for image in seen.after.images if name in image.tags), None)
    if found is None:
        raise NoImage
    return Built(found.id, found.config)


def compose(*replaced: MemoryFile) -> Steps[ComposeSeen]:
    """Ask for what Compose makes of the folder."""
    seen = yield ComposeRequest(replaced)
    if not isinstance(seen, ComposeSeen):
        raise TypeError(seen)
    return seen


def first_right(attempts: Sequence[Steps[Finding]]) -> Steps[Finding]:
    """The finding of the first attempt that passes; if none does, of the last whose container started."""
    findings: list[Finding] = []
    for attempt in attempts:
        finding = yield from attempt
        if finding.passed:
            return finding
        findings.append(finding)
    started = [finding for finding in findings if finding.ended != "not_started"]
    return (started or findings)[-1]


def run(request: RunRequest) -> Steps[RunOutcome]:
    """Ask for a run."""
    seen = yield request
    if not isinstance(seen, RunOutcome):
        raise TypeError(seen)
    return seen


def command_of(image: Built, args: tuple[str, ...]) -> tuple[str, ...]:
    """What `docker run IMAGE args…` executes: arguments replace CMD and follow ENTRYPOINT."""
    return (image.config.entrypoint or ()) + (args or image.config.command or ())


def docker_run(request: RunRequest) -> str:
    """A shell line that builds the folder's image and runs it as `request` does, files and folders included."""
    prepare: list[str] = [] if request.left else [_BUILD]
    options: list[str] = []
    for file in request.files:
        local = f"/tmp/{posixpath.basename(file.path)}"
        figures = shlex.join(file.content.decode("utf-8", "replace").split())
        prepare.append(f"printf '%s\\n' {figures} > {local}")
        options += ["-v", f"{local}:{file.path}:ro"]
    for folder in request.folders:
        local = f"/tmp/{posixpath.basename(folder.path)}"
        prepare.append(f"mkdir -p -m 777 {local}")
        options += ["-v", f"{local}:{folder.path}"]
    for name, value in request.environment:
        options += ["-e", f"{name}={value}"]
    command = ["docker", "run", "--rm", *options, request.left or IMAGE_NAME, *request.args]
    return " && ".join([*prepare, shlex.join(command)])


def after_script(brief: Brief, command: str) -> str:
    """A shell line that runs the student's script, if there is one, and then shows what it left."""
    return f"bash {_SCRIPT}; {command}" if brief.files.content(_SCRIPT) is not None else command


_SCRIPT = ScriptRequest().file


def docker_in_image(program: str, *words: str) -> str:
    """A shell line that builds the folder's image and executes another program in it."""
    return f"{_BUILD} && {shlex.join(['docker', 'run', '--rm', '--entrypoint', program, IMAGE_NAME, *words])}"


def docker_inspect(*fields: str) -> str:
    """A shell line that builds the folder's image and shows parts of its configuration."""
    form = " ".join(f"{{{{.Config.{field}}}}}" for field in fields)
    return f"{_BUILD} && docker inspect -f '{form}' {IMAGE_NAME}"


IMAGE_NAME = "sales-predictor"
"""What the chapter calls the image."""
_BUILD = f"docker build -q -t {IMAGE_NAME} ."
