"""What `exercises.yaml` says, as frozen values. `grader.load` reads them from text.

The docstrings below the fields are the descriptions an editor shows (`schema/exercises.schema.json`
is generated from these classes), so they are written for the author of a course.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import Field, StringConstraints

__all__ = [
    "AlsoLogged",
    "BaseImage",
    "Builds",
    "CachedInstalls",
    "Check",
    "Course",
    "DrawnCases",
    "Exercise",
    "Fed",
    "GivenCase",
    "HasFiles",
    "ImageEnvironment",
    "Imports",
    "Limits",
    "Loads",
    "LockedVersions",
    "NeedsFile",
    "NoPins",
    "NotInBase",
    "Predicts",
    "PythonVersion",
    "RefusesValue",
    "RelativeCommand",
    "SavesPrediction",
    "ScriptIn",
    "ScriptRuns",
    "Shape",
    "SourceUses",
    "Usage",
    "WorkingDir",
]

_STRICT: dict[str, Any] = {"extra": "forbid"}
"""Read by pydantic from `__pydantic_config__`: unknown keys are mistakes."""

Name = Annotated[str, MinLen(1)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-][A-Za-z0-9.-]*$")]
"""Safe as the name of a folder. `grader.mistakes` says each of these patterns in words."""
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/$|^(/\.?[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$")]
MinorVersion = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
ImagePattern = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]+:[0-9]+/)?[a-z0-9*][a-z0-9._*/-]*(:[A-Za-z0-9_.*-]+)?$")
]
Figure = Annotated[float, Ge(0), Le(100_000)]
"""A weekly figure; the range is that of EXERCISES.md, "Weeks"."""
Shape = Literal["rising", "falling", "noisy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one build or one run may use. A container that exceeds one is stopped."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    build_seconds: Annotated[float, Gt(0)] = 300
    """Seconds of wall time for one `docker build`."""
    run_seconds: Annotated[float, Gt(0)] = 10
    """Seconds of wall time for one `docker run`, counted from the start of its process."""
    memory_mb: Annotated[int, Ge(16)] = 512
    """MiB of memory for one run; swap is off."""
    processes: Annotated[int, Ge(1)] = 128
    """Processes and threads alive at once in one run."""
    cpus: Annotated[float, Gt(0)] = 1.0
    """Cores for one run."""
    tmp_mb: Annotated[int, Ge(1)] = 64
    """MiB of /tmp in one run; counts as memory."""
    output_kb: Annotated[int, Ge(1)] = 1024
    """KiB of output (stdout and stderr together) of one run."""
    build_output_kb: Annotated[int, Ge(1)] = 256
    """KiB of the log of one build. BuildKit itself cuts a step's log at about 460; more could never be exceeded."""
    context_mb: Annotated[int, Ge(1)] = 32
    """MiB of files in one exercise's folder."""
    context_files: Annotated[int, Ge(1)] = 2000
    """Files in one exercise's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """A base image students may build FROM, and how to make it where no registry can be asked."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    names: Annotated[tuple[ImagePattern, ...], MinLen(1)]
    """References that are allowed; `*` stands for any characters. The first one is named to students."""
    python: MinorVersion
    """The version of Python it brings, in quotes: "3.9"."""
    release: Literal["bullseye", "bookworm", "trixie"]
    """The Debian release that ships that Python, to build the image from its packages."""


# ── cases ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenCase:
    """Weeks that are printed in the exercise's text."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    kind: Literal["given"]
    name: Name
    """How checks refer to it."""
    weeks: Annotated[tuple[Figure, ...], MinLen(3)]
    """The weekly figures, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCases:
    """Weeks drawn from the seed when grading starts, the same for every student."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    kind: Literal["drawn"]
    name: Name
    """How checks refer to all of them together."""
    count: Annotated[int, Ge(1), Le(20)] = 1
    """How many lists to draw."""
    length: Annotated[int, Ge(3), Le(52)] = 3
    """How many weeks each list has."""
    shape: Shape = "noisy"
    """Whether they rise from week to week, fall, or go up and down."""


CaseSpec = Annotated[GivenCase | DrawnCases, Field(discriminator="kind")]


# ── checks ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    id: Identifier
    """Short and stable; unique in its exercise. Appears in reports and exports."""
    title: Name
    """What is checked, as a student reads it."""
    weight: Annotated[float, Ge(0)]
    """Share of the exercise's points, relative to the other checks."""
    needs: tuple[Name, ...] = ()
    """Ids of earlier checks that must pass; otherwise this one is blocked."""
    hints: dict[str, Name] = field(default_factory=dict, hash=False)
    """Hints for this check that replace the course's, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds(_Check):
    """The Dockerfile builds."""

    kind: Literal["builds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptRuns(_Check):
    """The process that the image starts reads the student's script: a probe mounted over it is what runs."""

    kind: Literal["script_runs"]
    arguments: bool = False
    """Whether the probe is started with the first case's weeks as arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonVersion(_Check):
    """The interpreter that runs the script has this version."""

    kind: Literal["python_version"]
    version: MinorVersion
    """Major and minor version, in quotes: "3.9"."""
    arguments: bool = False
    """As for `script_runs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports(_Check):
    """The interpreter that runs the script can import these modules."""

    kind: Literal["imports"]
    modules: Annotated[tuple[Name, ...], MinLen(1)]
    """Names as in `import NAME`."""
    arguments: bool = False
    """As for `script_runs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fed(_Check):
    """What checks have in common that run the image with weeks. With none of these keys the script holds them."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicts(Fed):
    """Each run prints the line with the right prediction and exits 0."""

    kind: Literal["predicts"]
    cases: Annotated[tuple[Name, ...], MinLen(1)]
    """Names of the exercise's cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsFile(_Check):
    """With nothing mounted, the prediction of this case is not printed: it is not baked into the image."""

    kind: Literal["needs_file"]
    case: Name
    """Name of the exercise's case that was mounted before."""
    method: Literal["average", "last", "trend"] = "average"
    """Which of the reference's predictions must not come out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEnvironment(_Check):
    """The image's own environment has this variable."""

    kind: Literal["image_environment"]
    variable: Name
    """Its name."""
    value: str
    """The value that ENV gives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusesValue(Fed):
    """A value that means nothing gives no prediction, a message that names it, and an exit code that is not 0."""

    kind: Literal["refuses_value"]
    variable: Name
    """The variable that `docker run -e` sets to a drawn word."""
    case: Name
    """Name of the exercise's case whose weeks are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavesPrediction(Fed):
    """Runs with a folder mounted, one after the other on the same folder, leave the prediction in a file there."""

    kind: Literal["saves_prediction"]
    cases: Annotated[tuple[Name, ...], MinLen(1)]
    """Names of the exercise's cases, one run each, in this order."""
    folder: AbsolutePath
    """Where the folder is mounted, writable."""
    name: Name
    """The file's name in it; `*` stands for any characters."""
    appends: bool = False
    """Whether a run adds a line with its prediction and keeps what was there, instead of leaving only the new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads(Fed):
    """In a run of the script, these modules are really loaded."""

    kind: Literal["loads"]
    modules: Annotated[tuple[Name, ...], MinLen(1)]
    """Names as in `import NAME`."""
    case: Name
    """Name of the exercise's case whose weeks are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUses(_Check):
    """The script or a helper module beside it uses a library."""

    kind: Literal["source_uses"]
    module: Literal["pandas", "numpy"]
    """The library."""
    mean: bool = False
    """Whether the mean has to be taken of one of the library's own objects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotInBase(_Check):
    """An instruction of the Dockerfile installed these packages; the base image does not bring them."""

    kind: Literal["not_in_base"]
    modules: Annotated[tuple[Name, ...], MinLen(1)]
    """Names as in `import NAME` and `pip install NAME`."""
    arguments: bool = False
    """As for `script_runs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HasFiles(_Check):
    """The folder has these files."""

    kind: Literal["has_files"]
    files: Annotated[tuple[Name, ...], MinLen(1)]
    """Their paths in the exercise's folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedVersions(_Check):
    """Every main dependency of poetry.lock is installed at exactly the locked version."""

    kind: Literal["locked_versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPins(_Check):
    """No RUN names the version of a locked package by hand."""

    kind: Literal["no_pins"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedInstalls(_Check):
    """After a change of the script alone, a second build runs no instruction again that installs packages."""

    kind: Literal["cached_installs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlsoLogged(_Check):
    """Besides the line, at least one other line of output carries the prediction."""

    kind: Literal["also_logged"]
    case: Name
    """Name of the exercise's case whose prediction is expected."""
    method: Literal["average", "last", "trend"] = "average"
    """Which of the reference's predictions is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(_Check):
    """Run with too few arguments, the script prints a line with `word` and exits with `exit_code`."""

    kind: Literal["usage"]
    arguments: tuple[str, ...]
    """The arguments to run it with."""
    word: Name = "Usage"
    """Must stand in a line of stdout or stderr."""
    exit_code: Annotated[int, Ge(0), Le(255)] = 1
    """The exit code expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingDir(_Check):
    """The image's working directory."""

    kind: Literal["working_dir"]
    path: AbsolutePath
    """Absolute path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptIn(_Check):
    """The script that runs lives in this directory (or below it)."""

    kind: Literal["script_in"]
    path: AbsolutePath
    """Absolute path."""
    arguments: bool = False
    """As for `script_runs`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeCommand(_Check):
    """The command that starts the script names it by a relative path."""

    kind: Literal["relative_command"]
    arguments: bool = False
    """As for `script_runs`."""


Check = Annotated[
    Builds
    | ScriptRuns
    | PythonVersion
    | Imports
    | Predicts
    | AlsoLogged
    | Usage
    | WorkingDir
    | ScriptIn
    | RelativeCommand
    | NeedsFile
    | ImageEnvironment
    | RefusesValue
    | SavesPrediction
    | Loads
    | SourceUses
    | NotInBase
    | HasFiles
    | LockedVersions
    | NoPins
    | CachedInstalls,
    Field(discriminator="kind"),
]


# ── exercises ───────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Exercise:
    """One exercise: what students read, what they hand in, and what proves it."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    id: Identifier
    """The name of its folder in a submission. In quotes where it looks like a number."""
    title: Name
    """One line, without the id."""
    points: Annotated[float, Gt(0)] = 10
    """Points for all checks together."""
    bonus: bool = False
    """Whether its points come on top of the course's maximum."""
    text: Name
    """What is asked, what is given, how to try it by hand, what is checked. Markdown."""
    files: Annotated[tuple[Name, ...], MinLen(1)] = ("Dockerfile", "sales_predictor.py")
    """What a student hands in."""
    cases: tuple[CaseSpec, ...] = ()
    """Weekly figures for the checks to use."""
    checks: Annotated[tuple[Check, ...], MinLen(1)]
    """What proves it, in this order."""

    def check(self, identifier: str) -> Check | None:
        """The check with that id, or None."""
        return next((check for check in self.checks if check.id == identifier), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A whole `exercises.yaml`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    version: Literal[1]
    """The version of this format."""
    title: Name
    """The course's name, shown in reports."""
    script: Name = "sales_predictor.py"
    """The script that every exercise is about."""
    images: Annotated[tuple[BaseImage, ...], MinLen(1)]
    """The base images students may build FROM."""
    limits: Limits = field(default_factory=Limits)
    """What one build or one run may use."""
    hints: dict[str, Name] = field(default_factory=dict, hash=False)
    """What to tell a student when a check fails, by reason."""
    exercises: Annotated[tuple[Exercise, ...], MinLen(1)]
    """In the order of the chapter."""

    def exercise(self, identifier: str) -> Exercise:
        """The exercise with that id; `KeyError` if there is none."""
        return {exercise.id: exercise for exercise in self.exercises}[identifier]
