"""Checks of files and libraries: handed in, installed as locked, brought by the Dockerfile, used and loaded.

The form of `poetry.lock`: https://python-poetry.org/docs/basic-usage/#installing-with-poetrylock. Lock version 2.1 says
of each package which groups want it and under which markers; before, that follows from `pyproject.toml` and from the
packages' own dependencies.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

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
from grader.checks.diagnosis import FILE_MISSING, MODULE_MISSING, ended, excerpt, python_error
from grader.checks.probe import NOT_IMPORTABLE, ProbeCheck, Probed, ReadsPackages, probe, proved, without_proofs
from grader.checks.python_source import Uses, uses_of
from grader.course.registry import Check, Name, reason
from grader.dockerfile.parser import Dockerfile, Instruction
from grader.dockerfile.policy import judge_dockerfile
from grader.models import Exited, Finding, MemoryFile, RunOutcome, RunRequest

BASE_BRINGS_IT = reason("P103", "base_brings_it", "The base image has the library already.")
SOURCE_UNREADABLE = reason("P201", "source_unreadable", "The script is missing, or does not parse.")
NOT_IN_SOURCE = reason("P202", "not_in_source", "The library is not imported in the source.")
NOT_USED = reason("P203", "not_used", "The library is imported and never used.")
NO_MEAN = reason("P204", "no_mean", "No mean is taken of an object of the library.")
NOT_LOADED = reason("P205", "not_loaded", "In a run, the library is not loaded.")
SHADOWED = reason("P206", "shadowed", "In a run, a file of the student's own is loaded under the library's name.")
NOT_AS_LOCKED = reason("P104", "not_as_locked", "A package is not installed, or not in the locked version.")
LOCK_UNREADABLE = reason("P105", "lock_unreadable", "poetry.lock or pyproject.toml cannot be read.")
VERSION_BY_HAND = reason("P106", "version_by_hand", "A RUN names a locked package's version.")

_PIN = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]{0,200}\])?\s*(?:===?|~=|!=|>=|<=|<|>)\s*v?(?P<version>\d[\w.*]*)"
)
_VARIABLE = re.compile(r"\$(?P<brace>\{)?(?P<name>\w+)(?(brace)\})")
_FOLDER = "/grader-probe"
_LABEL = "grader-loaded"
_STARTER = f"import sys; exec(compile(open('{_FOLDER}/sitecustomize.py').read(), 'grader', 'exec'), {{}})\n".encode()
"""A line that Python executes when it starts, also where the command keeps variables from it (`python -I`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HasFiles(Check):
    """The folder has these files."""

    kind: Literal["has_files"]
    files: Annotated[tuple[Name, ...], MinLen(1)]
    """Their paths in the exercise's folder."""


@check_kind(HasFiles)
def has_files(check: HasFiles, context: CheckContext) -> CheckGenerator[Finding]:
    """The folder has each of the files."""
    missing = [path for path in check.files if context.files.content(path) is None]
    return judged(
        (FILE_MISSING, f"The exercise's folder has no {' and no '.join(missing)}.") if missing else RIGHT,
        expected=", ".join(check.files),
        actual=context.there,
        reproduce=f"ls {' '.join(check.files)}",
    )
    yield  # pragma: no cover - makes it a generator, like every check


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedVersions(ReadsPackages):
    """Every main dependency of poetry.lock is installed at exactly the locked version."""

    kind: Literal["locked_versions"]


@check_kind(LockedVersions)
def locked_versions(check: LockedVersions, context: CheckContext) -> CheckGenerator[Finding]:
    """The interpreter that runs the script finds each locked package in its locked version."""
    seen = yield from probe(context, arguments=False)
    if isinstance(seen, Finding):
        return seen
    lock, project = (context.files.content(name) or b"" for name in ("poetry.lock", "pyproject.toml"))
    try:
        wanted = locked(lock, project, seen.version)
    except LockError as error:
        return judged((LOCK_UNREADABLE, str(error)), file=str(error).split()[0], reproduce="poetry check --lock")
    installed = dict(seen.distributions)
    wrong = {name: " or ".join(versions) for name, versions in wanted.items() if installed.get(name) not in versions}
    message = ""
    if wrong:
        name, versions = next(iter(wrong.items()))
        found = f"{installed[name]} is installed" if name in installed else "it is not installed"
        differ = f"{len(wrong)} of {len(wanted)} package{'s' if len(wanted) > 1 else ''} differ"
        message = f"poetry.lock has {name} {versions}, but {found} ({differ})."
    shown = list(wrong.items())[:6]
    return judged(
        (NOT_AS_LOCKED, message) if wrong else RIGHT,
        expected="\n".join(f"{name} {versions}" for name, versions in shown) or "as locked",
        actual="\n".join(f"{name} {installed.get(name, 'is not installed')}" for name, _ in shown) or "as locked",
        reproduce=docker_in_image(seen.executable, "-m", "pip", "list"),
        file="Dockerfile",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPins(Check):
    """No RUN names the version of a locked package by hand."""

    kind: Literal["no_pins"]


@check_kind(NoPins)
def no_pins(check: NoPins, context: CheckContext) -> CheckGenerator[Finding]:
    """No RUN of the Dockerfile states the version of a package that the lock has."""
    yield from built()
    try:
        names = set(map(_name, _packages(_toml("poetry.lock", context.files.content("poetry.lock") or b""))))
    except LockError:
        return Finding(passed=True)
    parsed = context.files.dockerfile
    variables: dict[str, str] = {}
    for one in parsed.instructions if isinstance(parsed, Dockerfile) else ():
        if one.keyword == "ARG":
            variables |= dict(word.split("=", 1) for word in one.arguments if "=" in word)
        elif one.keyword == "ENV":
            variables |= dict(zip(one.arguments[::3], one.arguments[1::3], strict=False))  # name, value, sign
        found = _PIN.finditer(_text(one, variables) if one.keyword == "RUN" else "")
        pin = next((match for match in found if canonicalize_name(match["name"]) in names), None)
        if pin:
            return judged(
                (VERSION_BY_HAND, f"Line {one.first_line} names the version of {pin['name']} by hand: {pin.group()}."),
                expected="versions only in poetry.lock",
                actual=pin.group(),
                reproduce="cat Dockerfile",
                file="Dockerfile",
                line=one.first_line,
            )
    return Finding(passed=True)


def _text(run: Instruction, variables: Mapping[str, str]) -> str:
    """What a RUN executes, without quotes, and with what ARG or ENV set in place of variables' names."""
    text = "\n".join([run.value, *run.heredocs]).replace("'", " ").replace('"', " ")
    return _VARIABLE.sub(lambda match: variables.get(match["name"], match.group()).strip("\"'"), text)


# ── what the lock wants ─────────────────────────────────────────────────────────────────

Table = Mapping[str, Any]


class LockError(ValueError):
    """A file cannot be read; the message is for the student, and begins with the file's name."""


def locked(lock: bytes, project: bytes, python: str) -> dict[str, list[str]]:
    """Locked versions, mostly one, of each main dependency for Linux and this Python (`3.9.2`). Raises `LockError`."""
    read, wanted = _toml("poetry.lock", lock), _toml("pyproject.toml", project)
    found: dict[str, list[str]] = {}
    try:
        packages = _packages(read)
        if any("groups" in package for package in packages):
            chosen = [one for one in packages if "main" in one.get("groups", []) and _applies(one, python)]
        else:
            names = _reached(packages, wanted, python)
            chosen = [one for one in packages if _name(one) in names and _admits(one.get("python-versions"), python)]
        for package in sorted(chosen, key=_name):
            found.setdefault(_name(package), []).append(str(package.get("version", "")))
    except (TypeError, AttributeError, RecursionError):  # TOML, in which a text stands for a table, say
        message = "poetry.lock or pyproject.toml does not have the form that Poetry writes."
        raise LockError(message) from None
    return found


def _toml(file: str, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: a number may have too many digits
        raise LockError(f"{file} cannot be read: {error}") from None


def _packages(lock: Table) -> list[Table]:
    found = lock.get("package", [])
    tables: list[Table] = [package for package in found if isinstance(package, dict)] if isinstance(found, list) else []
    if not tables:
        raise LockError("poetry.lock locks no package at all.")
    return tables


def _name(package: Table) -> str:
    return canonicalize_name(str(package.get("name", "")))


def _applies(package: Table, python: str) -> bool:
    """Whether a package of a 2.1 lock is wanted here: it is not an extra's, and its marker holds."""
    markers = package.get("markers", "")
    text = markers.get("main", "") if isinstance(markers, dict) else str(markers)
    return not package.get("optional") and _holds(text, python)


def _reached(packages: list[Table], project: Table, python: str) -> set[str]:
    """The names of the packages that the direct dependencies need, for locks that do not say their groups."""
    needs: dict[str, set[str]] = {}
    for package in packages:
        needs.setdefault(_name(package), set()).update(_wanted(package.get("dependencies", {}), python))
    reached: set[str] = set()
    todo = list(_direct(project, python))
    while todo:
        name = todo.pop()
        if name in needs and name not in reached:
            reached.add(name)
            todo += needs[name]
    return reached


def _direct(project: Table, python: str) -> Iterator[str]:
    """The main dependencies that `pyproject.toml` states itself, in either of the two ways."""
    poetry = project.get("tool", {}).get("poetry", {}).get("dependencies", {})
    yield from _wanted({name: wish for name, wish in poetry.items() if name != "python"}, python)
    for text in project.get("project", {}).get("dependencies", []):
        try:
            requirement = Requirement(str(text))
        except InvalidRequirement:
            continue
        if _holds(str(requirement.marker or ""), python):
            yield canonicalize_name(requirement.name)


def _wanted(dependencies: Mapping[str, object], python: str) -> Iterator[str]:
    """The names of those dependencies that are for this Python and system, and not only an extra's."""
    for name, wishes in dependencies.items():
        for wish in wishes if isinstance(wishes, list) else [wishes]:
            table = wish if isinstance(wish, dict) else {}
            if (
                not table.get("optional")
                and _holds(str(table.get("markers", "")), python)
                and _admits(table.get("python"), python)
                and table.get("platform", "linux") == "linux"
            ):
                yield canonicalize_name(name)


def _holds(marker: str, python: str) -> bool:
    """Whether a marker (PEP 508) holds for this Python on Linux; true where it cannot be read."""
    linux = {"os_name": "posix", "sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64"}
    versions = {"python_version": ".".join(python.split(".")[:2]), "python_full_version": python}
    try:
        return not marker or Marker(marker).evaluate({**linux, **versions, "extra": ""})
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return True


def _admits(constraint: object, python: str) -> bool:
    """Whether a constraint in Poetry's form (`^3.9`, `>=3.8,<3.12 || 3.13.*`) admits a Python; also if it is none."""
    ranges = str(constraint or "*").split("||")
    try:
        return any(SpecifierSet(",".join(map(_specifier, one.split(",")))).contains(python) for one in ranges)
    except (InvalidSpecifier, ValueError):
        return True


def _specifier(part: str) -> str:
    """One condition on Python as PEP 440 writes it; there is no Python 4 that `^3.9` would have to exclude."""
    version = part.lstrip("^~<>=! ").strip()
    sign = part.strip().removesuffix(version).strip()
    if version == "*":
        return ""
    forms = {"^": f">={version}", "~": f"=={version}.*", "": f"=={version}", "=": f"=={version}"}
    return forms.get(sign, sign + version)


# ── what is loaded and used ─────────────────────────────────────────────────────────────


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
        line=(uses.uncalled if problem[0] == NO_MEAN else None) or uses.line,
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
    if uses.uncalled:
        return NO_MEAN, f"Line {uses.uncalled} names .mean, but without () after it nothing is calculated."
    return NO_MEAN, f"When the script runs, no mean of a {check.module} object is taken."


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
