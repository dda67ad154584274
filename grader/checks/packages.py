"""Checks of what is installed: files that must be there, versions of a lock, versions written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import MinLen
from packaging.utils import canonicalize_name

from grader.checks.base import (
    IMAGE_NAME,
    RIGHT,
    CheckContext,
    CheckGenerator,
    built,
    check_kind,
    docker_in_image,
    judged,
)
from grader.checks.diagnosis import FILE_MISSING
from grader.checks.poetry_lock import Unlockable, locked, package_names
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
    wanted = locked(lock, project, seen.version)
    if isinstance(wanted, Unlockable):
        return judged((LOCK_UNREADABLE, wanted.message), file=wanted.file, reproduce="poetry check --lock")
    installed = dict(seen.distributions)
    wrong = [package for package in wanted if installed.get(package.name) not in package.versions]
    message = ""
    if wrong:
        first = wrong[0]
        found = f"{installed[first.name]} is installed" if first.name in installed else "it is not installed"
        differ = f"{len(wrong)} of {len(wanted)} package{'s' if len(wanted) > 1 else ''} differ"
        message = f"poetry.lock has {first.name} {' or '.join(first.versions)}, but {found} ({differ})."
    return judged(
        (NOT_AS_LOCKED, message) if wrong else RIGHT,
        expected="\n".join(f"{one.name} {' or '.join(one.versions)}" for one in wrong[:6]) or "as locked",
        actual="\n".join(f"{one.name} {installed.get(one.name) or 'is not installed'}" for one in wrong[:6])
        or "as locked",
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
    names = package_names(context.files.content("poetry.lock") or b"")
    instructions = _instructions(context)
    variables = _variables(instructions)
    for instruction in instructions:
        text = _filled_in(_text(instruction), variables) if instruction.keyword == "RUN" else ""
        pin = next((found for found in _PIN.finditer(text) if canonicalize_name(found["name"]) in names), None)
        if pin:
            line = instruction.first_line
            return judged(
                (VERSION_BY_HAND, f"Line {line} names the version of {pin['name']} by hand: {pin.group()}."),
                expected="versions only in poetry.lock",
                actual=pin.group(),
                reproduce=f"grep -n '{pin['name']}' Dockerfile && docker build -t {IMAGE_NAME} .",
                file="Dockerfile",
                line=line,
            )
    return Finding(passed=True)


def _instructions(context: CheckContext) -> tuple[Instruction, ...]:
    parsed = context.files.dockerfile
    return parsed.instructions if isinstance(parsed, Dockerfile) else ()


def _variables(instructions: Iterable[Instruction]) -> dict[str, str]:
    """What ARG and ENV set, by name: a version can stand there as well as in the RUN itself."""
    found: dict[str, str] = {}
    for one in instructions:
        if one.keyword == "ARG":
            found |= {name: value for name, given, value in (word.partition("=") for word in one.arguments) if given}
        elif one.keyword == "ENV":
            found |= dict(zip(one.arguments[::3], one.arguments[1::3], strict=False))  # name, value, sign
    return {name: value.strip("\"'") for name, value in found.items()}


def _filled_in(text: str, variables: Mapping[str, str]) -> str:
    """The text with each variable of the Dockerfile's own in place of its name; what a shell sets stays as written."""
    return _VARIABLE.sub(lambda match: variables.get(match["name"], match.group()), text)


_VARIABLE = re.compile(r"\$(?P<brace>\{)?(?P<name>\w+)(?(brace)\})")


def _text(instruction: Instruction) -> str:
    quotes = str.maketrans({"'": " ", '"': " "})
    return "\n".join([instruction.value, *(heredoc.body for heredoc in instruction.heredocs)]).translate(quotes)
