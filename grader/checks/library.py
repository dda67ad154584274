"""Is a library used: in the source, in a run, and was it an instruction of the Dockerfile that brought it?"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, replace
from importlib import resources
from typing import Annotated, Literal

from annotated_types import MinLen

from grader.checks.base import CheckContext, CheckGenerator, built, check_kind, docker_in_image, docker_run, run
from grader.checks.compare import lines
from grader.checks.diagnosis import MODULE_MISSING, ended, excerpt, python_error
from grader.checks.inputs import Inputs, run_request
from grader.checks.probe import NOT_IMPORTABLE, Probed, ReadsPackages, probe
from grader.checks.python_source import Uses, uses_of
from grader.course.registry import Check, reason
from grader.course.types import Name
from grader.dockerfile.policy import examine
from grader.models import Finding, MemoryFile, RunOutcome, RunRequest

BASE_BRINGS_IT = reason("P103", "base_brings_it", "The base image has the library already.")
SOURCE_UNREADABLE = reason("P201", "source_unreadable", "The script is missing, or does not parse.")
NOT_IN_SOURCE = reason("P202", "not_in_source", "The library is not imported in the source.")
NOT_USED = reason("P203", "not_used", "The library is imported and never used.")
NO_MEAN = reason("P204", "no_mean", "No mean is taken of an object of the library.")
NOT_LOADED = reason("P205", "not_loaded", "In a run, the library is not loaded.")
SHADOWED = reason("P206", "shadowed", "In a run, a file of the student's own is loaded under the library's name.")


_FOLDER = "/grader-probe"
_WORDS = re.compile(r"grader-loaded (?P<proof>[0-9a-f]{64}) (?P<text>\[.*\])")


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
    """The script or a helper module beside it uses a library."""

    kind: Literal["source_uses"]
    module: Literal["pandas", "numpy"]
    """The library."""
    mean: bool = False
    """Whether the mean has to be taken of one of the library's own objects."""


@check_kind(SourceUses)
def source_uses(check: SourceUses, context: CheckContext) -> CheckGenerator[Finding]:
    """What the script and the modules beside it say; where a mean is not found by reading, a run may show it.

    Reading cannot follow an object everywhere. A run alone would not do either: what it is given may not be enough.
    """
    yield from built()
    uses = uses_of(context.files, context.script, check.module)
    reason, message = _judged(check, context, uses)
    if check.mean and reason in {NOT_USED, NO_MEAN} and (yield from _mean_is_taken(check, context)):
        reason, message = "", ""
    return Finding(
        passed=not reason,
        reason=reason,
        message=message,
        expected=f"import {check.module}"
        + (", and the mean of one of its own objects" if check.mean else ", and a use of it"),
        actual="\n".join(uses.found) or f"{check.module} is imported nowhere",
        reproduce=f"grep -nE '{check.module}{'|mean|describe' if check.mean else ''}' *.py",
        file=context.script,
        line=uses.uncalled or uses.line,
    )


def _judged(check: SourceUses, context: CheckContext, uses: Uses) -> tuple[str, str]:
    if uses.problem:
        return SOURCE_UNREADABLE, uses.problem
    if not uses.imported:
        return NOT_IN_SOURCE, f"{context.script} does not import {check.module}."
    if not uses.used:
        return NOT_USED, f"{context.script} imports {check.module} but never uses it."
    if check.mean and uses.uncalled and not uses.mean:
        return NO_MEAN, f"Line {uses.uncalled} names .mean, but without () behind it nothing is calculated."
    if check.mean and not uses.mean:
        return NO_MEAN, f"No mean of a {check.module} object is taken in {context.script}."
    return "", ""


def _mean_is_taken(check: SourceUses, context: CheckContext) -> CheckGenerator[bool]:
    """Whether the library takes a mean in the run of the exercise's check that it is loaded; False without one."""
    like = next(
        (one for one in context.exercise.checks if isinstance(one, Loads) and check.module in one.modules), None
    )
    if like is None:
        return False
    outcome = yield from _watched_run(like, context, check.module)
    told = _told(context, outcome) or []
    return any(one.name == f"{check.module}.mean" for one in told) and all(one.installed for one in told)


def _watched_run(check: Loads, context: CheckContext, watched: str = "") -> CheckGenerator[RunOutcome]:
    """A run of the check's case in which Python itself tells, at its end, what it has loaded."""
    image = yield from built()
    seen = yield from probe(context, arguments=check.arguments)
    plain = run_request(check, context.group(check.case)[0])
    teller = MemoryFile(f"{_FOLDER}/sitecustomize.py", _source(check, context, watched))
    if isinstance(seen, Probed) and seen.sites:
        starter = MemoryFile(f"{seen.sites[0]}/grader-loaded.pth", _STARTER)
        return (yield from run(replace(plain, files=(*plain.files, teller, starter))))
    path = dict(image.config.environment).get("PYTHONPATH", "")
    variable = ("PYTHONPATH", f"{_FOLDER}:{path}" if path else _FOLDER)
    told = replace(plain, environment=(*plain.environment, variable), files=(*plain.files, teller))
    return (yield from run(told))


_STARTER = f"import sys; exec(compile(open('{_FOLDER}/sitecustomize.py').read(), 'grader', 'exec'), {{}})\n".encode()
"""A line that Python executes when it starts, also where the command keeps variables from it (`python -I`)."""


@check_kind(Loads)
def loads(check: Loads, context: CheckContext) -> CheckGenerator[Finding]:
    """A run in which Python itself tells, at its end, whether the modules were loaded."""
    plain = run_request(check, context.group(check.case)[0])
    outcome = yield from _watched_run(check, context)
    loaded = _told(context, outcome)
    outcome = _without_words(outcome)
    missing = [module for module in check.modules if module not in {one.name for one in loaded or ()}]
    own = [one for one in loaded or () if not one.installed]
    reason, message = _not_loaded(missing, own, outcome)
    return Finding(
        passed=not reason,
        reason=reason,
        message=message,
        expected=f"a run that loads {', '.join(check.modules)}",
        actual="loaded: " + ", ".join(f"{one.name} ({one.path})" for one in loaded) if loaded else excerpt(outcome),
        ended=ended(outcome.ended),
        reproduce=_shows_files(plain, own[0]) if own else _shows_imports(plain, missing or list(check.modules)),
        file=context.script,
    )


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A module that a run loaded: from which file, and whether an installed package brought that."""

    name: str
    path: str
    installed: bool


def _not_loaded(missing: list[str], own: list[_Loaded], outcome: RunOutcome) -> tuple[str, str]:
    """The reason and the message of a failure; two empty texts where nothing is missing."""
    if not missing and own:
        told = f"When the script runs, {own[0].name} is {own[0].path}, which is no installed package."
        return SHADOWED, told
    if not missing:
        return "", ""
    names, error = ", ".join(missing), python_error(outcome)
    if error.startswith(("ModuleNotFoundError", "ImportError")):
        return MODULE_MISSING, f"The script stopped before {names} was loaded. Python says: {error}"
    return NOT_LOADED, f"When the script runs, {names} is not loaded."


def _shows_imports(plain: RunRequest, modules: list[str]) -> str:
    """A shell line in which Python itself tells what it loads."""
    telling = replace(plain, environment=(*plain.environment, ("PYTHONPROFILEIMPORTTIME", "1")))
    shown = shlex.join(["grep", *(word for module in modules for word in ("-we", module))])
    return f"{docker_run(telling)} 2>&1 | {shown} || echo '{', '.join(modules)} is not loaded'"


def _shows_files(plain: RunRequest, own: _Loaded) -> str:
    """A shell line in which Python itself tells that it loads this file."""
    telling = replace(plain, environment=(*plain.environment, ("PYTHONVERBOSE", "1")))
    return f"{docker_run(telling)} 2>&1 | {shlex.join(['grep', '-F', own.path or own.name])}"


def _source(check: Loads, context: CheckContext, watched: str) -> bytes:
    text = resources.files("grader.checks").joinpath("programs/loaded.py.txt").read_text(encoding="utf-8")
    return (
        text.replace("@NONCE@", context.nonce)
        .replace("@MODULES@", repr(list(check.modules)))
        .replace("@WATCHED@", repr(watched))
        .encode()
    )


def _told(context: CheckContext, outcome: RunOutcome) -> list[_Loaded] | None:
    for line in [*lines(outcome.stdout), *lines(outcome.stderr)]:
        match = _WORDS.search(line)
        if match and match["proof"] == hashlib.sha256((context.nonce + match["text"]).encode()).hexdigest():
            told = json.loads(match["text"])
            rows = [
                row for row in told if isinstance(row, list) and len(row) == _WIDTH
            ]  # who reads the nonce can forge
            return [_Loaded(str(name), str(path), bool(installed)) for name, path, installed in rows]
    return None


_WIDTH = 3


def _without_words(outcome: RunOutcome) -> RunOutcome:
    """What the student's script itself wrote."""
    stdout, stderr = (
        "\n".join(line for line in lines(output) if not _WORDS.search(line)).encode()
        for output in (outcome.stdout, outcome.stderr)
    )
    return replace(outcome, stdout=stdout, stderr=stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotInBase(ReadsPackages):
    """An instruction of the Dockerfile installed these packages; the base image does not bring them."""

    kind: Literal["not_in_base"]
    modules: Annotated[tuple[Name, ...], MinLen(1)]
    """Names as in `import NAME` and `pip install NAME`."""
    arguments: bool = False
    """As for `script_runs`."""


@check_kind(NotInBase)
def not_in_base(check: NotInBase, context: CheckContext) -> CheckGenerator[Finding]:
    """The modules belong to installed packages, and no base image of the Dockerfile can import them by itself."""
    yield from built()
    seen = yield from probe(context, arguments=check.arguments)
    if isinstance(seen, Finding):
        return seen
    if absent := [name for name in check.modules if name not in dict(seen.distributions)]:
        return _not_installed(seen, absent)
    program = f"import {', '.join(check.modules)}"
    for base in examine(context.files.dockerfile, context.course.image_patterns).bases:
        outcome = yield from run(RunRequest(base=base, entrypoint=("python3", "-c", program)))
        if outcome.ended.kind == "exited" and outcome.ended.code == 0:
            return Finding(
                passed=False,
                reason=BASE_BRINGS_IT,
                message=f"{', '.join(check.modules)} comes with the base image {base}, not from your Dockerfile.",
                expected=f"an instruction that installs {', '.join(check.modules)}",
                actual=f"{base} has it already",
                reproduce=docker_in_image("python3", "-c", program),
                file="Dockerfile",
                line=context.line_of("FROM"),
            )
    return Finding(passed=True)


def _not_installed(seen: Probed, absent: list[str]) -> Finding:
    names = ", ".join(absent)
    return Finding(
        passed=False,
        reason=NOT_IMPORTABLE,
        message=f"The Python that runs your script imports some file named {names}, but no such package is installed.",
        expected=f"{names} among the installed packages",
        actual=", ".join(f"{name} {version}" for name, version in seen.distributions[:8]) or "no packages",
        reproduce=docker_in_image(seen.executable, "-m", "pip", "list"),
        file="Dockerfile",
    )
