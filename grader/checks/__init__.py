"""The kinds of check. Each is a generator that asks for observations and returns a finding.

To add a kind: a frozen dataclass in `grader.course.kinds` (its parameters), a function of the shape
`(check, context) -> CheckGenerator[Finding]` in a module here, a case in `examine`, and hints for its
reasons in `exercises.yaml`. mypy and the tests point at whatever is forgotten.
"""

from __future__ import annotations

from typing import assert_never

from grader.checks import build, cache, commands, compose, library, mounted, output, packages, probe
from grader.checks.base import CheckContext, CheckGenerator
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


def examine(check: Check, context: CheckContext) -> CheckGenerator[Finding]:
    """The conversation that carries out one check."""
    match check:
        case Builds():
            return build.builds(check, context)
        case WorkingDir():
            return build.working_dir(check, context)
        case ScriptRuns():
            return probe.script_runs(check, context)
        case PythonVersion():
            return probe.python_version(check, context)
        case Imports():
            return probe.imports(check, context)
        case ScriptIn():
            return probe.script_in(check, context)
        case RelativeCommand():
            return probe.relative_command(check, context)
        case Predicts():
            return output.predicts(check, context)
        case AlsoLogged():
            return output.also_logged(check, context)
        case Usage():
            return output.usage(check, context)
        case NeedsFile():
            return mounted.needs_file(check, context)
        case ImageEnvironment():
            return mounted.image_environment(check, context)
        case RefusesValue():
            return mounted.refuses_value(check, context)
        case SavesPrediction():
            return mounted.saves_prediction(check, context)
        case Loads():
            return library.loads(check, context)
        case SourceUses():
            return library.source_uses(check, context)
        case NotInBase():
            return library.not_in_base(check, context)
        case HasFiles():
            return packages.has_files(check, context)
        case LockedVersions():
            return packages.locked_versions(check, context)
        case NoPins():
            return packages.no_pins(check, context)
        case CachedInstalls():
            return cache.cached_installs(check, context)
        case ScriptSucceeds():
            return commands.script_succeeds(check, context)
        case ImageLeft():
            return commands.image_left(check, context)
        case ContainerRan():
            return commands.container_ran(check, context)
        case Listed():
            return commands.listed(check, context)
        case NoContainers():
            return commands.no_containers(check, context)
        case ImagesKept():
            return commands.images_kept(check, context)
        case ComposeAccepts():
            return compose.compose_accepts(check, context)
        case ComposeService():
            return compose.compose_service(check, context)
        case ComposePrints():
            return compose.compose_prints(check, context)
        case ComposeDown():
            return compose.compose_down(check, context)
        case _:
            assert_never(check)
