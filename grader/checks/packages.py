"""Checks of what is installed: files that must be there, versions of a lock, versions written by hand.

The form of `poetry.lock`: https://python-poetry.org/docs/basic-usage/#installing-with-poetrylock. Lock version 2.1 says
of each package which groups want it and under which markers; before, that follows from `pyproject.toml` and from the
packages' own dependencies.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
    built,
    check_kind,
    docker_in_image,
    judged,
)
from grader.checks.diagnosis import FILE_MISSING
from grader.checks.probe import ReadsPackages, probe
from grader.course.registry import Check, Name, reason
from grader.dockerfile.parser import Dockerfile, Instruction
from grader.models import Finding

NOT_AS_LOCKED = reason(
    "P104", "not_as_locked", "A package is not installed, or in another version than the locked one."
)
LOCK_UNREADABLE = reason("P105", "lock_unreadable", "poetry.lock or pyproject.toml cannot be read.")
VERSION_BY_HAND = reason("P106", "version_by_hand", "A RUN names a locked package's version.")

_PIN = re.compile(
    r"(?<![\w.-])(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]{0,200}\])?\s*(?:===?|~=|!=|>=|<=|<|>)\s*v?(?P<version>\d[\w.*]*)"
)


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
    lacks = f"neither {' nor '.join(missing)}" if len(missing) > 1 else f"no {''.join(missing)}"
    return judged(
        (FILE_MISSING, f"The exercise's folder has {lacks}.") if missing else RIGHT,
        expected=", ".join(check.files),
        actual=", ".join(file.path for file in context.files.files[:12]),
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
        return judged((LOCK_UNREADABLE, str(error)), file=error.file, reproduce="poetry check --lock")
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
        found = _PIN.finditer(_filled_in(_text(one), variables) if one.keyword == "RUN" else "")
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


def _text(instruction: Instruction) -> str:
    quotes = str.maketrans({"'": " ", '"': " "})
    return "\n".join([instruction.value, *instruction.heredocs]).translate(quotes)


def _filled_in(text: str, variables: Mapping[str, str]) -> str:
    """The text with each variable that ARG or ENV set in place of its name; what a shell sets stays as written."""
    return _VARIABLE.sub(lambda match: variables.get(match["name"], match.group()).strip("\"'"), text)


_VARIABLE = re.compile(r"\$(?P<brace>\{)?(?P<name>\w+)(?(brace)\})")


# ── what the lock wants ─────────────────────────────────────────────────────────────────

Table = Mapping[str, Any]


class LockError(ValueError):
    """One of the two files cannot be read; the message is for the student, and `file` is the one it is about."""

    def __init__(self, file: str, message: str) -> None:
        super().__init__(message)
        self.file = file


def locked(lock: bytes, project: bytes, python: str) -> dict[str, list[str]]:
    """The main dependencies that apply to Linux and this Python (`3.9.2`): locked versions by normalised name, sorted.

    Mostly a name has one version. Raises `LockError`.
    """
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
        raise LockError("poetry.lock", message) from None
    return found


def _toml(file: str, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: a number may have too many digits
        raise LockError(file, f"{file} cannot be read: {error}") from None


def _packages(lock: Table) -> list[Table]:
    found = lock.get("package", [])
    tables: list[Table] = [package for package in found if isinstance(package, dict)] if isinstance(found, list) else []
    if not tables:
        raise LockError("poetry.lock", "poetry.lock locks no package at all.")
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
