"""What `poetry.lock` says must be installed: the main dependencies, at their locked versions. Pure.

Format: https://python-poetry.org/docs/basic-usage/#installing-with-poetrylock; lock-version 2.1 says
of each package which groups want it and under which markers; before, that follows from `pyproject.toml`
and from the packages' own dependencies.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Locked:
    """A package that the lock wants installed: its normalised name, and its locked versions, mostly one."""

    name: str
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Unlockable:
    """Why the two files cannot be read, for the student; `file` is the one it is about."""

    file: str
    message: str


def locked(lock: bytes, project: bytes, python: str) -> tuple[Locked, ...] | Unlockable:
    """The main dependencies that apply to Linux and this version of Python (`3.9.2`), by name."""
    read, wanted = _toml("poetry.lock", lock), _toml("pyproject.toml", project)
    if isinstance(read, Unlockable):
        return read
    if isinstance(wanted, Unlockable):
        return wanted
    try:
        packages = _packages(read)
        if not packages:
            return Unlockable("poetry.lock", "poetry.lock locks no package at all.")
        if any("groups" in package for package in packages):
            chosen = [one for one in packages if "main" in one.get("groups", []) and _applies(one, python)]
        else:
            names = _reached(packages, wanted, python)
            chosen = [one for one in packages if _name(one) in names and _admits(one.get("python-versions"), python)]
        found: dict[str, list[str]] = {}
        for package in chosen:
            found.setdefault(_name(package), []).append(str(package.get("version", "")))
    except (TypeError, AttributeError, RecursionError):  # TOML, in which a text stands for a table, say
        return Unlockable("poetry.lock", "poetry.lock or pyproject.toml does not have the form that Poetry writes.")
    return tuple(Locked(name, tuple(found[name])) for name in sorted(found))


def package_names(lock: bytes) -> frozenset[str]:
    """The normalised names of all packages of a lock; none if it cannot be read."""
    read = _toml("poetry.lock", lock)
    return frozenset() if isinstance(read, Unlockable) else frozenset(map(_name, _packages(read)))


def _packages(read: Table) -> list[Table]:
    found = read.get("package", [])
    return [package for package in found if isinstance(package, dict)] if isinstance(found, list) else []


def _toml(file: str, content: bytes) -> dict[str, Any] | Unlockable:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: a number may have too many digits
        return Unlockable(file, f"{file} cannot be read: {error}")


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
    """Whether a marker holds for CPython on 64-bit Linux (PEP 508); true where it cannot be read."""
    environment = {
        "python_version": ".".join(python.split(".")[:2]),
        "python_full_version": python,
        "implementation_name": "cpython",
        "implementation_version": python,
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "extra": "",
    }
    try:
        return not marker or Marker(marker).evaluate(environment)
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
    sign, version = re.fullmatch(r"\s*([\^~<>=!]*)\s*(.*?)\s*", part, re.DOTALL).groups()  # type: ignore[union-attr]  # matches all
    if version == "*":
        return ""
    forms = {"^": f">={version}", "~": f"=={version}.*", "": f"=={version}", "=": f"=={version}"}
    return forms.get(sign, sign + version)
