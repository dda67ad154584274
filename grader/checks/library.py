"""Is a library used: in the source, in a run, and was it an instruction of the Dockerfile that brought it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Annotated, Literal

from annotated_types import MinLen

from grader.checks.base import (
    RIGHT,
    CheckContext,
    CheckGenerator,
    Inputs,
    Problem,
    built,
    check_kind,
    docker_in_image,
    docker_run,
    judged,
    run,
    run_request,
)
from grader.checks.diagnosis import MODULE_MISSING, ended, excerpt, python_error
from grader.checks.probe import NOT_IMPORTABLE, ProbeCheck, Probed, ReadsPackages, probe, proved, without_proofs
from grader.checks.python_source import Uses, uses_of
from grader.course.registry import Check, Name, reason
from grader.dockerfile.policy import judge_dockerfile
from grader.models import Exited, Finding, MemoryFile, RunOutcome, RunRequest

BASE_BRINGS_IT = reason("P103", "base_brings_it", "The base image has the library already.")
SOURCE_UNREADABLE = reason("P201", "source_unreadable", "The script is missing, or does not parse.")
NOT_IN_SOURCE = reason("P202", "not_in_source", "The library is not imported in the source.")
NOT_USED = reason("P203", "not_used", "The library is imported and never used.")
NO_MEAN = reason("P204", "no_mean", "No mean is taken of an object of the library.")
NOT_LOADED = reason("P205", "not_loaded", "In a run, the library is not loaded.")
SHADOWED = reason("P206", "shadowed", "In a run, a file of the student's own is loaded under the library's name.")


_FOLDER = "/grader-probe"
_LABEL = "grader-loaded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loads(Inputs):
    """In a run of the script, these modules are really loaded."""

    kind: Literal["loads"]
    modules: Annotated[tuple[Name, ...], MinLen(1)]
    """Names as in `import NAME`."""
    case: Name
    """Name of the exercise's case whose weeks are given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUses(Check):
    """The script, or a module beside it that it imports, uses a library; a mean is seen when the script runs."""

    kind: Literal["source_uses"]
    module: Literal["pandas", "numpy"]
    """The library."""
    mean: bool = False
    """Whether the mean of one of the library's own objects has to be taken, in the run of the exercise's `loads`."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A module that a run loaded: from which file, and whether an installed package brought that."""

    name: str
    path: str
    installed: bool


@check_kind(SourceUses)
def source_uses(check: SourceUses, context: CheckContext) -> CheckGenerator[Finding]:
    """What the script and the modules beside it say, and, where a mean is asked for, what the library does in a run."""
    yield from built()
    uses = uses_of(context.files, context.script, check.module)
    if uses.problem:
        problem = SOURCE_UNREADABLE, uses.problem
    elif not uses.imports:
        problem = NOT_IN_SOURCE, f"{context.script} does not import {check.module}."
    elif check.mean:
        problem = yield from _no_mean(check, context, uses)
    else:
        problem = RIGHT if uses.used else (NOT_USED, f"{context.script} imports {check.module} but never uses it.")
    wanted = ", and the mean of one of its own objects" if check.mean else ", and a use of it"
    return judged(
        problem,
        expected=f"import {check.module}{wanted}",
        actual="\n".join(uses.imports) or f"{check.module} is imported nowhere",
        reproduce=f"cat {context.script}",
        file=context.script,
        line=uses.line,
    )


def _no_mean(check: SourceUses, context: CheckContext, uses: Uses) -> CheckGenerator[Problem]:
    """Why no mean counts in the run in which the library has to be loaded: it is not loaded, or takes none."""
    loading = (one for one in context.exercise.checks if isinstance(one, Loads) and check.module in one.modules)
    like = next(loading, None)
    if like is None:
        return RIGHT if uses.used else (NOT_USED, f"{context.script} imports {check.module} but never uses it.")
    outcome = yield from _watched_run(like, context)
    loaded = _loaded(context, outcome)
    problem = _not_loaded([check.module], loaded, outcome)
    if problem != RIGHT or any(one.name == f"{check.module}.mean" for one in loaded):
        return problem
    message = (
        f"When the script runs, no mean of a {check.module} object is taken. (.mean without () calculates nothing.)"
    )
    return NO_MEAN, message


@check_kind(Loads)
def loads(check: Loads, context: CheckContext) -> CheckGenerator[Finding]:
    """A run in which Python itself says, at its end, whether the modules were loaded."""
    plain = run_request(check, context.group(check.case)[0])
    outcome = yield from _watched_run(check, context)
    loaded = [one for one in _loaded(context, outcome) if one.path or one.name in check.modules]
    timed = replace(plain, environment=(*plain.environment, ("PYTHONPROFILEIMPORTTIME", "1")))
    names = ", ".join(check.modules)
    outcome = without_proofs(_LABEL, outcome)
    return judged(
        _not_loaded(check.modules, loaded, outcome),
        expected=f"a run that loads {names}",
        actual="loaded: " + ", ".join(f"{one.name} ({one.path})" for one in loaded) if loaded else excerpt(outcome),
        ended=ended(outcome.ended),
        reproduce=f"{docker_run(timed)} 2>&1 | grep -wE '{'|'.join(check.modules)}' || echo '{names} is not loaded'",
        file=context.script,
    )


def _watched_run(check: Loads, context: CheckContext) -> CheckGenerator[RunOutcome]:
    """A run of the check's case in which Python itself says, at its end, what it has loaded and taken a mean with."""
    image = yield from built()
    seen = yield from probe(context, arguments=check.arguments)
    plain = run_request(check, context.group(check.case)[0])
    means = [one.module for one in context.exercise.checks if isinstance(one, SourceUses) and one.mean]
    program = resources.files("grader.checks").joinpath("programs/loaded.py.txt").read_text(encoding="utf-8")
    for name, value in (("NONCE", context.nonce), ("MODULES", list(check.modules)), ("WATCHED", means)):
        program = program.replace(f"@{name}@", repr(value))
    watcher = MemoryFile(f"{_FOLDER}/sitecustomize.py", program.encode())
    if isinstance(seen, Probed) and seen.sites:
        starter = MemoryFile(f"{seen.sites[0]}/grader-loaded.pth", _STARTER)
        return (yield from run(replace(plain, files=(*plain.files, watcher, starter))))
    path = dict(image.config.environment).get("PYTHONPATH", "")
    variable = ("PYTHONPATH", f"{_FOLDER}:{path}" if path else _FOLDER)
    return (yield from run(replace(plain, environment=(*plain.environment, variable), files=(*plain.files, watcher))))


_STARTER = f"import sys; exec(compile(open('{_FOLDER}/sitecustomize.py').read(), 'grader', 'exec'), {{}})\n".encode()
"""A line that Python executes when it starts, also where the command keeps variables from it (`python -I`)."""


def _loaded(context: CheckContext, outcome: RunOutcome) -> list[_Loaded]:
    """What the run says of itself; whoever reads the nonce can forge it, so rows of another form are passed over."""
    rows = proved(_LABEL, context.nonce, outcome) or []
    return [_Loaded(str(row[0]), str(row[1]), bool(row[2])) for row in rows if isinstance(row, list) and len(row) == 3]  # noqa: PLR2004 - the fields of _Loaded


def _not_loaded(modules: Sequence[str], loaded: Sequence[_Loaded], outcome: RunOutcome) -> Problem:
    own = next((one for one in loaded if not one.installed), None)
    found = {one.name for one in loaded}
    if found.issuperset(modules):
        message = f"When the script runs, {own.name} is {own.path}, which is no installed package." if own else ""
        return (SHADOWED, message) if own else RIGHT
    names, error = ", ".join(one for one in modules if one not in found), python_error(outcome)
    if error.startswith(("ModuleNotFoundError", "ImportError")):
        return MODULE_MISSING, f"The script stopped before {names} was loaded. Python says: {error}"
    return NOT_LOADED, f"When the script runs, {names} is not loaded."


@dataclass(frozen=True, slots=True, kw_only=True)
class NotInBase(ProbeCheck, ReadsPackages):
    """An instruction of the Dockerfile installed these packages; the base image does not bring them."""

    kind: Literal["not_in_base"]
    modules: Annotated[tuple[Name, ...], MinLen(1)]
    """Names as in `import NAME` and `pip install NAME`."""


@check_kind(NotInBase)
def not_in_base(check: NotInBase, context: CheckContext) -> CheckGenerator[Finding]:
    """The modules belong to installed packages, and no base image of the Dockerfile can import them by itself."""
    yield from built()
    seen = yield from probe(context, arguments=check.arguments)
    if isinstance(seen, Finding):
        return seen
    names = ", ".join(check.modules)
    absent = ", ".join(name for name in check.modules if name not in dict(seen.distributions))
    if absent:
        return judged(
            (NOT_IMPORTABLE, f"The Python that runs your script has no installed package named {absent}."),
            expected=f"{absent} among the installed packages",
            actual=", ".join(f"{name} {version}" for name, version in seen.distributions[:8]) or "no packages",
            reproduce=docker_in_image(seen.executable, "-m", "pip", "list"),
            file="Dockerfile",
        )
    program = f"import {names}"
    for base in judge_dockerfile(context.files.dockerfile, context.course.image_patterns).bases:
        outcome = yield from run(RunRequest(base=base, entrypoint=("python3", "-c", program)))
        if outcome.ended == Exited(0):
            return judged(
                (BASE_BRINGS_IT, f"{names} comes with the base image {base}, not from your Dockerfile."),
                expected=f"an instruction that installs {names}",
                actual=f"{base} has it already",
                reproduce=docker_in_image("python3", "-c", program),
                file="Dockerfile",
                line=context.line_of("FROM"),
            )
    return Finding(passed=True)
