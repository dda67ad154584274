"""Poetry's way of writing which versions are wanted: `^1.2`, `~1.26`, `>=1,<2 || 3.*`. Pure.

https://python-poetry.org/docs/dependency-specification/#version-constraints
"""

from __future__ import annotations

import re

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

_PART = re.compile(r"([<>=!~^]*)\s*([^\s,<>=!~^]+)")


def admits(constraint: str, version: str) -> bool:
    """Whether a version is among those that are wanted; true where either is written in a way that is not known."""
    try:
        known = Version(version)
        return any(_all_admit(way, known) for way in constraint.split("||"))
    except (InvalidVersion, InvalidSpecifier, ValueError):  # ValueError: a number of too many digits
        return True


def _all_admit(way: str, version: Version) -> bool:
    return all(_admits(sign, wanted, version) for sign, wanted in _PART.findall(way))


def _admits(sign: str, wanted: str, version: Version) -> bool:
    if wanted == "*":
        return True
    if sign in {"^", "~"}:
        lowest = Version(wanted)
        return lowest <= version < _end(sign, lowest)
    return SpecifierSet(f"{'==' if sign in {'', '='} else sign}{wanted}").contains(version, prereleases=True)


def _end(sign: str, lowest: Version) -> Version:
    """The first version that is too new: `^` keeps the first number that is not 0, `~` the first two."""
    release = lowest.release
    if sign == "~":
        kept = min(len(release), 2)
    else:
        kept = next((place for place, number in enumerate(release, start=1) if number), len(release))
    return Version(".".join(map(str, [*release[: kept - 1], release[kept - 1] + 1])))
