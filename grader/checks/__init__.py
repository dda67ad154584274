"""The kinds of check. Each is a generator that asks for observations and returns a finding.

To add a kind: a frozen dataclass in `grader.course.kinds` (its parameters), a function of the shape
`(check, brief) -> Steps[Finding]` in a module here, a case in `examine`, and hints for its
reasons in `exercises.yaml`. mypy and the tests point at whatever is forgotten.
"""

from __future__ import annotations

from typing import assert_never

from grader.checks import build, cache, commands, compose, library, mounted, output, packages, probe
from grader.checks.base import Brief, Steps
from grader.course.kinds import (
    AlsoLogged,
    Builds,
    CachedInstalls,
    Check,
    ComposeAccepts,
    ComposeDown,
    ComposePrints,
    ComposeService,
    ContainerRan,
    HasFiles,
    ImageEnvironment,
    ImageLeft,
    ImagesKept,
    Imports,
    Listed,
    Loads,
    LockedVersions,
    NeedsFile,
    NoContainers,
    NoPins,
    NotInBase,
    Predicts,
    PythonVersion,
    RefusesValue,
    RelativeCommand,
    SavesPrediction,
    ScriptIn,
    ScriptRuns,
    ScriptSucceeds,
    SourceUses,
    Usage,
    WorkingDir,
)
from grader.models import Finding


def examine(check: Check, brief: Brief) -> Steps[Finding]:
    """The conversation that carries out one check."""
    match check:
        case Builds():
            return build.builds(check, brief)
        case WorkingDir():
            return build.working_dir(check, brief)
        case ScriptRuns():
            return probe.script_runs(check, brief)
        case PythonVersion():
            return probe.python_version(check, brief)
        case Imports():
            return probe.imports(check, brief)
        case ScriptIn():
            return probe.script_in(check, brief)
        case RelativeCommand():
            return probe.relative_command(check, brief)
        case Predicts():
            return output.predicts(check, brief)
        case AlsoLogged():
            return output.also_logged(check, brief)
        case Usage():
            return output.usage(check, brief)
        case NeedsFile():
            return mounted.needs_file(check, brief)
        case ImageEnvironment():
            return mounted.image_environment(check, brief)
        case RefusesValue():
            return mounted.refuses_value(check, brief)
        case SavesPrediction():
            return mounted.saves_prediction(check, brief)
        case Loads():
            return library.loads(check, brief)
        case SourceUses():
            return library.source_uses(check, brief)
        case NotInBase():
            return library.not_in_base(check, brief)
        case HasFiles():
            return packages.has_files(check, brief)
        case LockedVersions():
            return packages.locked_versions(check, brief)
        case NoPins():
            return packages.no_pins(check, brief)
        case CachedInstalls():
            return cache.cached_installs(check, brief)
        case ScriptSucceeds():
            return commands.script_succeeds(check, brief)
        case ImageLeft():
            return commands.image_left(check, brief)
        case ContainerRan():
            return commands.container_ran(check, brief)
        case Listed():
            return commands.listed(check, brief)
        case NoContainers():
            return commands.no_containers(check, brief)
        case ImagesKept():
            return commands.images_kept(check, brief)
        case ComposeAccepts():
            return compose.compose_accepts(check, brief)
        case ComposeService():
            return compose.compose_service(check, brief)
        case ComposePrints():
            return compose.compose_prints(check, brief)
        case ComposeDown():
            return compose.compose_down(check, brief)
        case _:
            assert_never(check)
