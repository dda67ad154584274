"""What a check is given, and the shape of a check: a generator of requests.

A check *yields* what it wants to see (`BuildRequest`, `RunRequest`) and is *sent* what was
seen, as often as it likes, and *returns* its `Finding`. It does no I/O itself: grading drives
it with an engine, regrading with stored observations, tests with a function.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from grader.course.models import Course, Exercise
from grader.course.registry import AbsolutePath, Check, register_kind
from grader.dockerfile.parser import Dockerfile, Instruction, Stage
from grader.dockerfile.policy import judge_dockerfile
from grader.models import (
    BuildFailed,
    BuildRequest,
    Built,
    Case,
    ComposeRequest,
    ComposeSeen,
    EngineState,
    Finding,
    FolderMount,
    ImageSeen,
    MemoryFile,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
    ScriptRequest,
    ScriptSeen,
)
from grader.submissions.models import ExerciseFiles

T = TypeVar("T")
CheckT = TypeVar("CheckT", bound=Check)
CheckGenerator = Generator[Request, Observation, T]
"""Yields requests, is sent what was seen of each, and returns a T."""
_AS_SUBMITTED = BuildRequest()
_FEW = 3
_MANY = 6
_SCRIPT = ScriptRequest().file


class NotChecked(Exception):  # noqa: N818 - a signal between two of our own functions, not an error
    """Raised in a check that asks for what cannot be seen, such as a run of an image that was not built: it is blocked.

    The text, which begins with "Not checked:", says why; without one it is that the image could not be built.
    """


class NotAllowed(Exception):  # noqa: N818 - as above
    """Raised in a check: the safety policy has refused what it asks for, so the whole exercise is rejected."""

    def __init__(self, refused: tuple[str, ...]) -> None:
        super().__init__("\n".join(refused))
        self.refused = refused


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What a check may know besides its parameters; `cases` have their answers, no submission knows the `nonce`."""

    course: Course
    exercise: Exercise
    files: ExerciseFiles
    cases: tuple[Case, ...]
    nonce: str

    @property
    def script(self) -> str:
        """The name of the script the exercise is about."""
        return self.course.script

    @property
    def there(self) -> str:
        """The files of the folder, for people."""
        return ", ".join(file.path for file in self.files.files[:12]) or "(the folder is empty)"

    def line_of(self, *keywords: str) -> int | None:
        """The line of the last of these instructions in the Dockerfile's last stage, which makes the image."""
        return next((one.first_line for one in reversed(self.last_stage) if one.keyword in keywords), None)

    @property
    def last_stage(self) -> list[Instruction]:
        """The instructions of the Dockerfile's last stage, which makes the image; none if it cannot be read."""
        parsed = self.files.dockerfile
        if not isinstance(parsed, Dockerfile):
            return []
        return [one for one in parsed.instructions if one.stage == len(parsed.stages) - 1]

    @property
    def proving(self) -> frozenset[str]:
        """The names of the cases that are run for real: the first one, whose run proves how the image starts.

        All are, where that would leave two: the container of the execs costs as much as their runs.
        """
        names = [case.name for case in self.cases]
        return frozenset(names if len(names) <= _FEW else names[:1])

    @property
    def wrong_base(self) -> Stage | None:
        """The FROM for which the image is not built, where it is only that its image is not allowed."""
        return judge_dockerfile(self.files.dockerfile, self.course.image_patterns).wrong_base

    def group(self, *names: str) -> tuple[Case, ...]:
        """The cases that the spec calls by these names, in order."""
        return tuple(case for name in names for case in self.cases if case.group == name)


CheckFunction = Callable[[CheckT, CheckContext], CheckGenerator[Finding]]
_GENERATORS: dict[type[Check], CheckFunction[Any]] = {}


def check_kind(spec: type[CheckT]) -> Callable[[CheckFunction[CheckT]], CheckFunction[CheckT]]:
    """Make a kind of check known: its dataclass `spec`, and the decorated function, which carries out a check of it."""

    def register(function: CheckFunction[CheckT]) -> CheckFunction[CheckT]:
        register_kind(spec)
        _GENERATORS[spec] = function
        return function

    return register


def examine(check: Check, context: CheckContext) -> CheckGenerator[Finding]:
    """The generator that carries out one check."""
    return _GENERATORS[type(check)](check, context)


Problem = tuple[str, str]
"""A reason and a message, both empty where all is right."""
RIGHT: Problem = ("", "")
NOTE = "Note:"
"""How the message of a check that passes begins if it is to be read all the same."""


class Evidence(TypedDict, total=False):
    """The fields of a `Finding` that say what was expected, what was seen, and where."""

    expected: str
    actual: str
    ended: str
    reproduce: str
    file: str
    line: int | None


def judged(problem: Problem, note: str = "", **evidence: Unpack[Evidence]) -> Finding:
    """The finding of a check that has seen all it needs: passed, with `note` as its message, if there is no problem."""
    reason, message = problem
    return Finding(passed=not reason, reason=reason, message=message or note, **evidence)


def _asked(request: Request, kind: type[T]) -> CheckGenerator[T]:
    seen = yield request
    if not isinstance(seen, kind):
        raise TypeError(seen)
    return seen


def build(request: BuildRequest = _AS_SUBMITTED) -> CheckGenerator[Built | BuildFailed]:
    """Ask for a build."""
    seen = yield request
    if not isinstance(seen, Built | BuildFailed):
        raise TypeError(seen)
    return seen


def built() -> CheckGenerator[Built]:
    """Ask for a build of what was handed in, which has to have worked; `NotChecked` otherwise."""
    seen = yield from build()
    if isinstance(seen, BuildFailed):
        raise NotChecked
    return seen


def script(*, prepared: bool) -> CheckGenerator[ScriptSeen]:
    """Ask for what the student's commands did."""
    return (yield from _asked(ScriptRequest(prepared=prepared), ScriptSeen))


def carried_out(*, prepared: bool) -> CheckGenerator[ScriptSeen]:
    """Ask for what the student's commands did, or what is in the student's engine; `NotChecked` if there is neither."""
    seen = yield from script(prepared=prepared)
    if seen.source == "nothing":
        raise NotChecked(f"Not checked: there is no {_SCRIPT}.")
    return seen


def image_named(state: EngineState, name: str) -> ImageSeen | None:
    """The image in an engine that has this name."""
    return next((image for image in state.images if name in image.tags), None)


def left(name: str) -> CheckGenerator[Built]:
    """Ask for an image that the commands left, by its name; `NotChecked` if there is none."""
    seen = yield from script(prepared=False)
    found = image_named(seen.after, name)
    if found is None:
        raise NotChecked
    return Built(found.id, found.config)


def compose(*replaced: MemoryFile) -> CheckGenerator[ComposeSeen]:
    """Ask for what Compose makes of the folder; `NotAllowed` if the policy has refused its file."""
    seen = yield from _asked(ComposeRequest(replaced), ComposeSeen)
    if seen.refused:
        raise NotAllowed(seen.refused)
    return seen


def first_right(attempts: Sequence[CheckGenerator[tuple[Finding, bool]]]) -> CheckGenerator[Finding]:
    """The finding of the first attempt that passes; if none does, of the first whose run printed a prediction line.

    An attempt returns with its finding whether its run did. Where no run did, it is the first attempt's finding.
    """
    tried: list[tuple[Finding, bool]] = []
    for attempt in attempts:
        finding, predicted = yield from attempt
        if finding.passed:
            return finding
        tried.append((finding, predicted))
    return next((finding for finding, predicted in tried if predicted), tried[0][0])


def run(request: RunRequest) -> CheckGenerator[RunOutcome]:
    """Ask for a run."""
    return (yield from _asked(request, RunOutcome))


# ── what a run is given: weeks as arguments, as a mounted file, with variables, or not at all ─────


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs(Check):
    """Shared by checks that run the image with weeks. With none of these keys the script holds them."""

    arguments: bool = False
    """Whether the weeks are passed as arguments of `docker run`."""
    file: AbsolutePath | None = None
    """Where a file with the weeks, one a line, is mounted, read-only."""
    or_arguments: bool = False
    """Whether the same weeks are passed as arguments too, if the file alone does not do; either way may be right."""
    untidy: bool = False
    """Whether that file has a blank line among the others and no newline at its end."""
    environment: dict[str, str] = field(default_factory=dict, hash=False)
    """Variables that `docker run -e` sets."""
    method: Literal["average", "last", "trend"] = "average"
    """Which of the reference's predictions is expected."""


InputsT = TypeVar("InputsT", bound=Inputs)


def variants(check: InputsT) -> list[InputsT]:
    """The ways to give the weeks that may each be right: as asked, and with `or_arguments` as arguments besides."""
    return [check, replace(check, arguments=True)] if check.or_arguments else [check]


def run_request(check: Inputs, case: Case, *folders: FolderMount) -> RunRequest:
    """The run that a check asks for with one case."""
    return RunRequest(
        args=case.weeks if check.arguments else (),
        environment=tuple(sorted(check.environment.items())),
        files=(sales_file(check.file, case, untidy=check.untidy),) if check.file else (),
        folders=folders,
    )


def sales_file(path: str, case: Case, *, untidy: bool = False) -> MemoryFile:
    """The weeks, one a line, read-only; untidy with a blank line after the first and no newline at the end."""
    first, *others = case.weeks
    text = "\n".join([first, "", *others]) if untidy else "".join(f"{week}\n" for week in case.weeks)
    return MemoryFile(path, text.encode(), 0o444)


def given(check: Inputs, case: Case) -> str:
    """What was given, if anything, within a sentence: ` for the weeks 1 2 3 in /app/sales.txt, with NAME=value,`."""
    if not (check.arguments or check.file or check.environment):
        return ""
    shown = " ".join(case.weeks[:_MANY]) + (f" … ({len(case.weeks)} weeks)" if len(case.weeks) > _MANY else "")
    weeks = f" for the weeks {shown}" if check.arguments or check.file else ""
    untidy = " (with a blank line in it, and no line end at its end)" if check.untidy else ""
    file = f" in {check.file}{untidy}" if check.file and not check.arguments else ""
    variables = " and ".join(f"{name}={value}" for name, value in sorted(check.environment.items()))
    return weeks + file + (f", with {variables}," if variables else "")


@dataclass(frozen=True, slots=True)
class Ran:
    """A run that was carried out, with what a verdict on it needs."""

    context: CheckContext
    image: Built
    request: RunRequest
    outcome: RunOutcome


def carry_out(context: CheckContext, request: RunRequest) -> CheckGenerator[Ran]:
    """Ask for a run, and keep together what belongs to it. `NotChecked` where there is no image to run."""
    name = request.existing_image
    image = yield from (left(name) if name else built())
    return Ran(context, image, request, (yield from run(request)))


# ── shell lines that a student can run ──────────────────────────────────────────────────


def command_of(image: Built, args: tuple[str, ...]) -> tuple[str, ...]:
    """What `docker run IMAGE args…` executes: arguments replace CMD and follow ENTRYPOINT."""
    return (image.config.entrypoint or ()) + (args or image.config.command or ())


def docker_run(*requests: RunRequest) -> str:
    """Shell lines that build the folder's image and run it as each request does, all on the same files and folders.

    Each command is a line of its own, so that they can be pasted into bash, zsh and PowerShell.
    """
    build = [] if requests[0].existing_image else [_BUILD]
    return "\n".join([*build, *(line for request in requests for line in _run_lines(request))])


def tried_path(path: str) -> str:
    """Where, in the exercise's folder, a student's try has what the container sees at `path`."""
    return f"try-{posixpath.basename(path.rstrip('/'))}"


def _run_lines(request: RunRequest) -> list[str]:
    """A run, and before it what makes the files and folders that it is given."""
    mounted = [(file.path, ":ro") for file in request.files] + [(folder.path, "") for folder in request.folders]
    options = [f'-v "$PWD/{tried_path(path)}:{path}{mode}"' for path, mode in mounted]
    options += [f"-e {shlex.quote(f'{name}={value}')}" for name, value in request.environment]
    command = shlex.join([request.existing_image or IMAGE_NAME, *request.args])
    return [
        *(write_file(tried_path(file.path), file.content) for file in request.files),
        *(f"mkdir -p {tried_path(folder.path)}" for folder in request.folders),
        " ".join(["docker run --rm", *options, command]),
    ]


def write_file(path: str, content: bytes) -> str:
    """A shell line that writes a file of weeks: by `echo`, which every shell has, if it ends with a line end."""
    text = content.decode()
    if text.endswith("\n"):
        return f'echo "{text[:-1]}" > {path}'
    return f"printf -- {shlex.quote(text.replace(chr(10), chr(92) + 'n'))} > {path}"


def after_script(context: CheckContext, command: str) -> str:
    """A shell line that runs the student's script, if there is one, and then shows what it left."""
    return f"bash {_SCRIPT}; {command}" if context.files.content(_SCRIPT) is not None else command


def docker_in_image(program: str, *words: str) -> str:
    """A shell line that builds the folder's image and executes another program in it."""
    return f"{_BUILD}\n{shlex.join(['docker', 'run', '--rm', '--entrypoint', program, IMAGE_NAME, *words])}"


def docker_inspect(*fields: str, after: str = "") -> str:
    """Shell lines that build the folder's image, or do `after`, which does too, and show parts of its configuration."""
    form = " ".join(f"{{{{.Config.{field}}}}}" for field in fields)
    inspect = f"docker inspect -f '{form}' {IMAGE_NAME}"
    return f"{after or _BUILD}\n{inspect}"


IMAGE_NAME = "sales-predictor"
"""What the chapter calls the image."""
_BUILD = f"docker build -q -t {IMAGE_NAME} ."
