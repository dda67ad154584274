"""Which submissions have much in common: advice where to look, never a verdict.

Winnowing (Schleimer, Wilkerson, Aiken: Local Algorithms for Document Fingerprinting, SIGMOD 2003, which MOSS uses). A
file becomes tokens, in which every name is one and comments are none; of the hashes of all runs of `_RUN` tokens, the
smallest in each window of `_WINDOW` is a fingerprint. So whatever two files share of `_RUN + _WINDOW - 1` tokens or
more is found, and nothing shorter than `_RUN`. Left out is what the starter files have, and what more than `_COMMON` of
the class have: in small exercises that is the way to write it, not a neighbour's.
"""

from __future__ import annotations

import keyword
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from grader.models import MemoryFile

_RUN = 6
_WINDOW = 5
_COMMON = 0.25
_FEWEST = 4
"""Fingerprints that a submission must have of its own, so that a share of them says anything."""
_MAX_BYTES = 200_000

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d[\w.]*|\"[^\"\n]*\"|'[^'\n]*'|\S")
_LOOKED_AT = re.compile(r"(?i)(^|/)(.*\.(py|sh|ya?ml)|Dockerfile.*)$")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two students who share `share` of the fingerprints of who has fewer, in one exercise; and how many these are."""

    exercise: str
    first: str
    second: str
    share: float
    fingerprints: int


def fingerprints(files: Iterable[MemoryFile]) -> frozenset[int]:
    """The fingerprints of the scripts, Dockerfiles and Compose files among these."""
    found: set[int] = set()
    for file in files:
        if _LOOKED_AT.search(file.path) and len(file.content) <= _MAX_BYTES:
            found |= _winnowed(_tokens(file.content.decode("utf-8", "replace"), python=file.path.endswith(".py")))
    return frozenset(found)


def _tokens(text: str, *, python: bool) -> list[str]:
    """Names of Python as one, other words as they are; numbers and quoted texts by their kind."""
    tokens = []
    for word in _TOKEN.findall(re.sub(r"(?m)(^|\s)#.*$", "", text)):
        if python and re.match(r"[A-Za-z_]", word) and not keyword.iskeyword(word):
            tokens.append("name")
        elif word[0] in "\"'":
            tokens.append("text")
        else:
            tokens.append("0" if word[0].isdigit() else word.lower())
    return tokens


def _winnowed(tokens: Sequence[str]) -> set[int]:
    runs = (" ".join(tokens[at : at + _RUN]) for at in range(len(tokens) - _RUN + 1))
    hashes = [zlib.crc32(run.encode()) for run in runs]
    return {min(hashes[at : at + _WINDOW]) for at in range(max(len(hashes) - _WINDOW + 1, 1)) if hashes}


def similar(
    handed: Mapping[str, Mapping[str, frozenset[int]]],
    starter: Mapping[str, frozenset[int]],
    at_least: float = 0.6,
) -> list[Pair]:
    """The pairs with most in common first. `handed` has fingerprints by exercise and student, `starter` by exercise."""
    pairs: list[Pair] = []
    for exercise, by_student in handed.items():
        owners: dict[int, list[str]] = {}
        for student, found in by_student.items():
            for one in found - starter.get(exercise, frozenset()):
                owners.setdefault(one, []).append(student)
        most = max(2, _COMMON * len(by_student))
        rare = [students for students in owners.values() if len(students) <= most]
        own = Counter(student for students in rare for student in students)
        shared = Counter(pair for students in rare for pair in combinations(sorted(students), 2))
        for (first, second), count in shared.items():
            smaller = min(own[first], own[second])
            if smaller >= _FEWEST and count / smaller >= at_least:
                pairs.append(Pair(exercise, first, second, count / smaller, count))
    return sorted(pairs, key=lambda pair: (-pair.fingerprints * pair.share, pair.exercise, pair.first, pair.second))
