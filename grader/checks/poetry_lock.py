"""What `poetry.lock` says must be installed: the main dependencies, at their locked versions. Pure.

Format: https://python-poetry.org/docs/basic-usage/#installing-with-poetrylock; lock-version 2.1 says
of each package which groups want it and under which markers; before, that follows from `pyproject.toml`
and from the packages' own dependencies.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from grader.checks.version_constraint import admits


@dataclass(frozen=True, slots=True)
class Locked:
    """A package that the lock wants installed: its normalised name and its exact version."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class Unlockable:
    """Why the two files cannot be read, for the student; `file` is the one it is about."""

    file: str
    message: str


def locked(lock: bytes, project: bytes, python: str) -> tuple[Locked, ...] | Unlockable:
    """The main dependencies that apply to Linux and this version of Python (`3.9.2`), by name."""
    read = _toml("poetry.lock", lock)
    wanted = _toml("pyproject.toml", project)
    if isinstance(read, Unlockable):
        return read
    if isinstance(wanted, Unlockable):
        return wanted
    try:
        return _locked(read, wanted, python)
    except (TypeError, AttributeError, RecursionError):  # TOML, in which a text stands for a table, say
        return Unlockable("poetry.lock", "poetry.lock or pyproject.toml does not have the form that Poetry writes.")


def _locked(read: Mapping[str, Any], wanted: Mapping[str, Any], python: str) -> tuple[Locked, ...] | Unlockable:
    packages = _packages(read)
    if not packages:
        return Unlockable("poetry.lock", "poetry.lock locks no package at all.")
    environment = _environment(python)
    if any("groups" in package for package in packages):
        chosen = [
            package for package in packages if "main" in package.get("groups", []) and _applies(package, environment)
        ]
    else:
        chosen = _reachable(packages, _direct(wanted), environment)
    found = {_name(package): Locked(_name(package), str(package.get("version", ""))) for package in chosen}
    return tuple(found[name] for name in sorted(found))


def package_names(lock: bytes) -> frozenset[str]:
    """The normalised names of all packages of a lock; none if it cannot be read."""
    read = _toml("poetry.lock", lock)
    if isinstance(read, Unlockable):
        return frozenset()
    return frozenset(_name(package) for package in _packages(read))


def _packages(read: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = read.get("package", [])
    return [package for package in found if isinstance(package, dict)] if isinstance(found, list) else []


def _toml(file: str, content: bytes) -> dict[str, Any] | Unlockable:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: a number may have too many digits
        return Unlockable(file, f"{file} cannot be read: {error}")


def _name(package: Mapping[str, Any]) -> str:
    return canonicalize_name(str(package.get("name", "")))


def _environment(python: str) -> dict[str, str]:
    """The markers' variables for CPython on 64-bit Linux (PEP 508)."""
    return {
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


def _applies(package: Mapping[str, Any], environment: Mapping[str, str]) -> bool:
    """Whether a package of a 2.1 lock is wanted here: it is not an extra's, and its marker holds."""
    markers = package.get("markers", "")
    text = markers.get("main", "") if isinstance(markers, dict) else str(markers)
    return not package.get("optional") and _holds(text, environment)


def _holds(marker: str, environment: Mapping[str, str]) -> bool:
    if not marker:
        return True
    try:
        return Marker(marker).evaluate(dict(environment))
    except (InvalidMarker, UndefinedComparison, UndefinedEnvironmentName):
        return True


Wishes = Mapping[str, tuple[object, ...]]
"""By a package's normalised name, what somebody who depends on it says about it, perhaps several times."""


def _direct(project: Mapping[str, Any]) -> Wishes:
    """The main dependencies that `pyproject.toml` states itself, in either of the two ways."""
    poetry = project.get("tool", {}).get("poetry", {}).get("dependencies", {})
    found = dict(_wishes({name: wish for name, wish in poetry.items() if name != "python"}))
    for text in project.get("project", {}).get("dependencies", []):
        try:
            wanted = Requirement(str(text))
        except InvalidRequirement:
            continue
        wish = {"version": str(wanted.specifier), "markers": str(wanted.marker or "")}
        name = canonicalize_name(wanted.name)
        found[name] = (*found.get(name, ()), wish)
    return found


def _wishes(dependencies: Mapping[str, object]) -> Wishes:
    return {
        canonicalize_name(name): tuple(wish) if isinstance(wish, list) else (wish,)
        for name, wish in dependencies.items()
    }


def _reachable(
    packages: Iterable[Mapping[str, Any]], direct: Wishes, environment: Mapping[str, str]
) -> list[Mapping[str, Any]]:
    """The packages that the direct ones need, for locks that do not say their groups.

    Such a lock may have several versions of one package, each for its own Python or system.
    """
    known: dict[str, list[Mapping[str, Any]]] = {}
    for package in packages:
        known.setdefault(_name(package), []).append(package)
    chosen: dict[str, Mapping[str, Any]] = {}
    todo = [direct]
    while todo:
        for name, wishes in todo.pop().items():
            here = [wish for wish in wishes if _wanted(wish, environment)]
            if here and name in known and name not in chosen:
                chosen[name] = _fitting(known[name], here, environment)
                todo.append(_wishes(chosen[name].get("dependencies", {})))
    return list(chosen.values())


def _wanted(wish: object, environment: Mapping[str, str]) -> bool:
    """Whether a wish is one for this Python and system, and not only an extra's."""
    if not isinstance(wish, dict):
        return True
    return (
        not wish.get("optional")
        and _holds(str(wish.get("markers", "")), environment)
        and admits(str(wish.get("python", "*")), environment["python_full_version"])
        and str(wish.get("platform", environment["sys_platform"])) == environment["sys_platform"]
    )


def _fitting(
    versions: list[Mapping[str, Any]], wishes: Iterable[object], environment: Mapping[str, str]
) -> Mapping[str, Any]:
    """Of a package's locked versions the newest that is for this Python and that a wish admits; else the last one."""
    ranges = [str(wish.get("version", "*")) if isinstance(wish, dict) else str(wish) for wish in wishes]
    fitting = [
        package
        for package in versions
        if admits(str(package.get("python-versions", "*")), environment["python_full_version"])
        and any(admits(wanted, str(package.get("version", ""))) for wanted in ranges)
    ]
    return (fitting or versions)[-1]
