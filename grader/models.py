"""The values that travel through the grader, all frozen, none with behaviour of its own.

A *request* says what to do to the engine, an *observation* what was seen, a *verdict* what we conclude. Requests are
hashable: the same request is carried out once per submission, is kept in the journal, and is judged again without an
engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

# ── requests ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file: a path with `/` relative to a folder, or absolute in a container; `mode` holds permission bits only."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """Build the submission's Dockerfile in the submission's own files.

    `replaced` files take the place of the student's in the build context. `changed` names a file that first gets
    a comment line at its end, one that no builder has seen before; `attempt` tells such builds apart.
    """

    replaced: tuple[MemoryFile, ...] = ()
    kind: Literal["build"] = "build"
    changed: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class FolderMount:
    """A folder mounted at `path`, writable, and what is in it, with paths relative to it."""

    path: str
    files: tuple[MemoryFile, ...] = ()


@dataclass(frozen=True, slots=True)
class RunRequest:
    """`docker run --rm IMAGE args…`, on the image that `build` makes.

    `environment` is what `-e` adds, as (name, value) pairs. `files` are mounted read-only (`-v FILE:PATH:ro`);
    `replaced` are put in the place of files that the image has: if one of these is missing, the container is not
    started. `folders` are mounted, writable, and read back after the run. `base` names a base image to run instead of
    the one that `build` makes. `entrypoint` replaces the image's, to look around, never to prove what the image does.
    `existing_image` names an image that the student's commands left in the engine they worked in, to run there instead.
    With `repeat` it is the same run a second time, to see whether it gives the same. `further` is one of an image that
    was run before, which may be executed in a container that is there already: it can only confirm.
    """

    args: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    files: tuple[MemoryFile, ...] = ()
    replaced: tuple[MemoryFile, ...] = ()
    folders: tuple[FolderMount, ...] = ()
    base: str = ""
    entrypoint: tuple[str, ...] | None = None
    build: BuildRequest = BuildRequest()
    existing_image: str = ""
    repeat: bool = False
    further: bool = False
    kind: Literal["run"] = "run"


@dataclass(frozen=True, slots=True)
class ScriptRequest:
    """Run the script of docker commands in an engine of its own, and look at that engine before and after.

    With `prepared`, four containers are there before it: ended well, ended with an error, never started, running.
    Where there is no such file and the student checks own work, the student's own engine is looked at instead.
    """

    file: str = "commands.sh"
    prepared: bool = False
    kind: Literal["script"] = "script"


@dataclass(frozen=True, slots=True)
class ComposeRequest:
    """Have Compose read the folder's file; with `replaced` also build, change these files, bring up and down."""

    replaced: tuple[MemoryFile, ...] = ()
    kind: Literal["compose"] = "compose"


Request = BuildRequest | RunRequest | ScriptRequest | ComposeRequest


# ── observations ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Exited:
    """The container's first process ended by itself with `code` (0 to 255)."""

    code: int
    kind: Literal["exited"] = "exited"


@dataclass(frozen=True, slots=True)
class TimedOut:
    """Stopped by us after `seconds` of monotonic time."""

    seconds: float
    kind: Literal["timed_out"] = "timed_out"


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """Killed by the kernel at its memory limit of `limit_bytes`."""

    limit_bytes: int
    kind: Literal["out_of_memory"] = "out_of_memory"


@dataclass(frozen=True, slots=True)
class OutputLimit:
    """Stopped by us after it wrote more than `limit_bytes` to stdout and stderr together."""

    limit_bytes: int
    kind: Literal["output_limit"] = "output_limit"


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The engine made the container but could not start its first process; `reason` in the engine's words."""

    reason: str
    kind: Literal["not_started"] = "not_started"


RunEnd = Exited | TimedOut | OutOfMemory | OutputLimit | NotStarted


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What was seen of one run. Output is bytes as written, cut at the output limit.

    `folders` are the request's, with the files that were in them after the run.
    """

    ended: RunEnd
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    folders: tuple[FolderMount, ...] = ()
    kind: Literal["ran"] = "ran"


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The part of an image's configuration that exercises ask about. `None` stands for unset."""

    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_dir: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    user: str = ""


@dataclass(frozen=True, slots=True)
class BuildStep:
    """One step of a build as the builder reported it, such as `[2/4] RUN pip install numpy`.

    `line` is the first line of that instruction (from 1) where it is known, `log` the last part of its output.
    """

    name: str
    cached: bool = False
    seconds: float = 0.0
    log: str = ""
    error: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Built:
    """The build made an image. `image` is the engine's id of it, not a tag; `size` is in bytes, 0 where unknown."""

    image: str
    config: ImageConfig
    steps: tuple[BuildStep, ...] = ()
    seconds: float = 0.0
    size: int = 0
    kind: Literal["built"] = "built"


@dataclass(frozen=True, slots=True)
class BuildFailed:
    """The build made no image, and that is the Dockerfile's doing.

    `ended` is `failed`, or names our limit that stopped it. `message` is the builder's error, `line` the Dockerfile's
    line it belongs to, if known. `unsupported` names what this engine's builder lacks (heredocs before Docker 23).
    """

    message: str
    ended: Literal["failed", "timed_out", "output_limit"] = "failed"
    line: int | None = None
    steps: tuple[BuildStep, ...] = ()
    seconds: float = 0.0
    unsupported: str = ""
    kind: Literal["build_failed"] = "build_failed"


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """A request that a script made to its engine; `path` without the API's version, `status` the answer's.

    Of a request that creates a container: its id in `made`, and the image and the command that it asks for. Of a build:
    the image's id in `made`, and the context that was sent, as the path and the SHA-256 of each file; `dockerfile` is
    the path of that one which was built.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    status: int = 0
    made: str = ""
    image: str = ""
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    dockerfile: str = ""
    context: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSeen:
    """An image in an engine, with all its names (`sales-predictor:latest`)."""

    id: str
    tags: tuple[str, ...] = ()
    config: ImageConfig = ImageConfig()


@dataclass(frozen=True, slots=True)
class ContainerSeen:
    """A container in an engine; `image` as it was asked for, `status` in the engine's word, `code` once it ended."""

    id: str
    name: str
    image: str
    image_id: str
    status: str
    code: int | None = None
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ContainerEnded:
    """The engine's news that a container has ended, also of one that is gone since."""

    container: str
    image: str
    code: int


@dataclass(frozen=True, slots=True)
class EngineState:
    """What is in an engine at one moment."""

    images: tuple[ImageSeen, ...] = ()
    containers: tuple[ContainerSeen, ...] = ()


@dataclass(frozen=True, slots=True)
class FailedCommand:
    """A command of a script that ended with a `code` other than 0, and the script's line that it begins in.

    `printed` is the end of what was printed on standard error before it failed, by it or by commands just before.
    """

    line: int
    code: int
    command: str
    printed: str = ""


@dataclass(frozen=True, slots=True)
class ScriptSeen:
    """What a script did to its engine; or what is in the student's own; or nothing, where there is no script.

    `refused` says, in the words that the script read, which of its requests the proxy did not let through.
    """

    source: Literal["script", "own_engine", "nothing"]
    outcome: RunOutcome = RunOutcome(Exited(0))
    requests: tuple[EngineRequest, ...] = ()
    before: EngineState = EngineState()
    after: EngineState = EngineState()
    ended: tuple[ContainerEnded, ...] = ()
    failed: tuple[FailedCommand, ...] = ()
    refused: tuple[str, ...] = ()
    kind: Literal["script_seen"] = "script_seen"


@dataclass(frozen=True, slots=True)
class ServiceSeen:
    """One container of a service after `up`: how it ended (`running` if it did not), and what it printed."""

    service: str
    status: str
    code: int
    restarts: int = 0
    stdout: bytes = b""
    stderr: bytes = b""


@dataclass(frozen=True, slots=True)
class ComposeSeen:
    """How Compose's commands ended; those that were not tried are None. `left` names what was there after `down`.

    The output of `config` is the normalised configuration, in which the folder's path is `.`. `refused` says what the
    policy found in it, and then nothing was built or brought up.
    """

    config: RunOutcome
    build: RunOutcome | None = None
    up: RunOutcome | None = None
    services: tuple[ServiceSeen, ...] = ()
    down: RunOutcome | None = None
    left: tuple[str, ...] = ()
    seconds: float = 0.0
    refused: tuple[str, ...] = ()
    kind: Literal["compose_seen"] = "compose_seen"


Observation = Built | BuildFailed | RunOutcome | ScriptSeen | ComposeSeen


# ── verdicts ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a submission is not graded at all: unsafe, unreadable or too large. Told to the student."""

    message: str
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """Weekly figures as the student's program is given them, and what each method must answer.

    `group` is the name checks use, `name` that of this one of the group (`drawn-2`). `weeks` are decimal texts
    (`"104.25"`), `predictions` the reference's answers as (method, number).
    """

    group: str
    name: str
    weeks: tuple[str, ...]
    predictions: tuple[tuple[str, float], ...] = ()

    def expected(self, method: str) -> float:
        """The reference's prediction by `method`; `KeyError` if the reference gave none."""
        return dict(self.predictions)[method]


class CheckStatus(StrEnum):
    """What became of one check."""

    PASSED = "passed"
    FAILED = "failed"
    BLOCKED = "blocked"
    NOT_GRADED = "not_graded"


class ExerciseStatus(StrEnum):
    """What became of one exercise. `passed` is full points."""

    PASSED = "passed"
    FAILED = "failed"
    REJECTED = "rejected"
    NOT_SUBMITTED = "not_submitted"
    NOT_GRADED = "not_graded"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check concludes from observations, before points are given.

    `reason` is a short code (`wrong_number`) that names the hint to show. `reproduce` is a shell command for the
    exercise's folder. `line` is a line of `file`, from 1.
    """

    passed: bool
    message: str = ""
    reason: str = ""
    expected: str = ""
    actual: str = ""
    ended: str = ""
    reproduce: str = ""
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class CheckVerdict:
    """One check's line in a report. Scores are points of the exercise's scale, `reason` is as in `Finding`."""

    id: str
    title: str
    status: CheckStatus
    score: float
    max_score: float
    message: str = ""
    hint: str = ""
    expected: str = ""
    actual: str = ""
    ended: str = ""
    reproduce: str = ""
    file: str = ""
    line: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExerciseReport:
    """One exercise's part of a report. `score` is None when it could not be graded."""

    id: str
    title: str
    status: ExerciseStatus
    score: float | None
    max_score: float
    checks: tuple[CheckVerdict, ...] = ()
    message: str = ""
    seconds: float = 0.0
    bonus: bool = False


@dataclass(frozen=True, slots=True)
class LimitsRecord:
    """What was found out about limits before grading, by name (`run memory`).

    `proved` held when it was tried to break them, `waived` did not and the operator graded all the same, and for
    `not_bounded` there is no limit in this tier.
    """

    proved: tuple[str, ...]
    waived: tuple[str, ...] = ()
    not_bounded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Which engine graded. `tier` is `host` (the caller's own engine) or `private`.

    `images` has where base images came from, as (reference, origin); `limits` is None where nobody asked (`check`).
    """

    name: str
    version: str
    builder: str
    tier: str = "host"
    images: tuple[tuple[str, str], ...] = ()
    limits: LimitsRecord | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one student reads. `schema` names the published JSON Schema."""

    student: str
    seed: int
    engine: EngineInfo
    exercises: tuple[ExerciseReport, ...]
    score: float = 0.0
    max_score: float = 0.0
    schema: Literal["grader/report/v1"] = field(default="grader/report/v1")


# ── what a batch remembers ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Past:
    """A verdict that was given, at an ISO time in UTC, to the handed-in bytes with this digest ("" for nothing)."""

    at: str
    student: str
    exercise: str
    digest: str
    status: ExerciseStatus
    score: float | None
    max_score: float


@dataclass(frozen=True, slots=True)
class Timing:
    """What was observed once (`built`, `build_failed`, `ran`, …), in how many seconds; `size` of an image in bytes."""

    student: str
    exercise: str
    kind: str
    seconds: float
    size: int


# ── what happens while grading, sent to whoever listens (the console, a log, nobody) ────


@dataclass(frozen=True, slots=True)
class ExerciseStarted:
    """Work on one exercise of one student begins."""

    student: str
    exercise: str


@dataclass(frozen=True, slots=True)
class Doing:
    """What is being done for it now, in a few words (`building`, `running with 100 120 110`)."""

    student: str
    exercise: str
    what: str


@dataclass(frozen=True, slots=True)
class ExerciseEnded:
    """The exercise has its final report."""

    student: str
    report: ExerciseReport


Event = ExerciseStarted | Doing | ExerciseEnded
Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """A listener that does nothing."""
