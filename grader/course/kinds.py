"""The kinds of check, as `exercises.yaml` says them. What each does stands in `grader.checks`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le, MinLen
from pydantic import Field

from grader.course.types import STRICT, AbsolutePath, Identifier, ImageName, MinorVersion, Name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

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
    image: ImageName = ""
    """An image that commands.sh leaves, to be run instead of one that is built for the check."""
    folder: AbsolutePath | None = None
    """Where an empty folder is mounted, writable."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Commands(_Check):
    """Shared by checks of what commands.sh has done; all of one exercise say the same of `prepared`."""

    prepared: bool = False
    """Whether four containers are there before it runs: ended well, ended with an error, never started, running."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptSucceeds(_Commands):
    """commands.sh runs to its end without an error."""

    kind: Literal["script_succeeds"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLeft(_Commands):
    """After commands.sh there is an image with this name."""

    kind: Literal["image_left"]
    image: ImageName
    """Name and tag."""
    from_folder: bool = False
    """Whether it must have been built from this folder."""
    same_as: ImageName = ""
    """Another name; whether both are the same image is noted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRan(_Commands):
    """A container of the image has run the script, printed the line and exited 0."""

    kind: Literal["container_ran"]
    image: ImageName
    """Name and tag."""
    case: Name
    """Name of the exercise's case whose prediction is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(_Commands):
    """commands.sh asked the engine for a list."""

    kind: Literal["listed"]
    what: Literal["images", "containers"]
    """Images, or all containers, stopped ones too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoContainers(_Commands):
    """After commands.sh no container is left."""

    kind: Literal["no_containers"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesKept(_Commands):
    """After commands.sh the images are still there."""

    kind: Literal["images_kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeAccepts(_Check):
    """`docker compose config` accepts the folder's Compose file."""

    kind: Literal["compose_accepts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeService(_Check):
    """A service builds from this folder and mounts this file of it."""

    kind: Literal["compose_service"]
    file: Name
    """The file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposePrints(_Check):
    """Brought up with a drawn file, that service prints the line with the right prediction and exits 0."""

    kind: Literal["compose_prints"]
    file: Name
    """The file's name."""
    case: Name
    """Name of the exercise's case whose weeks are in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeDown(_Check):
    """After `docker compose down` nothing of it is left."""

    kind: Literal["compose_down"]
    file: Name
    """The file's name."""
    case: Name
    """As for `compose_prints`."""


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
    | CachedInstalls
    | ScriptSucceeds
    | ImageLeft
    | ContainerRan
    | Listed
    | NoContainers
    | ImagesKept
    | ComposeAccepts
    | ComposeService
    | ComposePrints
    | ComposeDown,
    Field(discriminator="kind"),
]
