"""What `.dockerignore` leaves out of a build context, in time that does not depend on what is in it.

Lines are read by `e2b_dockerfile_utils`, a port of Docker's own matcher (github.com/moby/patternmatcher). Its regular
expressions are not used: a student's `*a*a*a*b` may not hold up the grader. All patterns together are one automaton
whose states are the bits of an integer, so a character of a path costs a few operations, however many patterns and
stars there are. (The method is that of G. Navarro and M. Raffinot, "Fast and simple character classes and bounded gaps
pattern matching", 2003: bit-parallel simulation of an automaton with self-loops and skips.)
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from e2b_dockerfile_utils import PatternMatcher

# Of brackets within brackets, which mean nothing special to Docker, and which Python may read as sets one day.
warnings.filterwarnings("ignore", "Possible (nested )?set", FutureWarning)

MAX_BYTES = 16 * 1024
MAX_PATTERNS = 300
MAX_BRACKETS = 50
"""Limits of a `.dockerignore`; the longest in common use have a third of that, and five brackets."""


@dataclass(frozen=True, slots=True)
class BadPattern:
    """A line that Docker does not accept, so the image does not build. `line` counts from 1."""

    message: str
    line: int


@dataclass(frozen=True, slots=True)
class _Token:
    """One piece of a pattern.

    `one`: the character `text`. `class`: a character that the regular expression `text` matches. `star`: any number of
    characters but `/`. `any`: any number of characters. `folders`: nothing, or anything up to a `/`.
    """

    kind: Literal["one", "class", "star", "any", "folders"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Patterns:
    """What a `.dockerignore` says: in order, the tokens of each pattern, and whether `!` stands before it."""

    items: tuple[tuple[tuple[_Token, ...], bool], ...]


def oversize(content: bytes) -> str:
    """Why a `.dockerignore` is too large to be heeded; empty if it is not."""
    if len(content) > MAX_BYTES:
        return f"the file has {len(content)} bytes; at most {MAX_BYTES} are read."
    patterns = [written for _, written in _lines(content)]
    if len(patterns) > MAX_PATTERNS:
        return f"there are {len(patterns)} patterns; at most {MAX_PATTERNS} are read."
    brackets = sum(pattern.count("[") for pattern in patterns)
    return f"there are {brackets} times [; at most {MAX_BRACKETS} are read." if brackets > MAX_BRACKETS else ""


def read_patterns(content: bytes) -> Patterns | BadPattern:
    """Read a `.dockerignore`."""
    if problem := oversize(content):
        return BadPattern(problem, 1)
    items: list[tuple[tuple[_Token, ...], bool]] = []
    for line, written in _lines(content):
        try:
            # The space keeps the library from taking what stands after one for a comment, which Docker does not.
            (pattern,) = PatternMatcher([f" {written}"]).patterns
            tokens = tuple(_tokens(pattern.removeprefix("!")))
        except (ValueError, re.error):
            message = f"line {line}: {written[:80]!r} is no pattern; look at its brackets and backslashes."
            return BadPattern(message, line)
        if pattern == "!/":
            return BadPattern(f"line {line}: there is nothing after the !", line)
        items.append((tokens, pattern.startswith("!")))
    return Patterns(tuple(items))


def excluded(patterns: Patterns, paths: Iterable[str]) -> frozenset[str]:
    """Those of the files `paths` (relative, with `/`) that are left out."""
    automaton = _Automaton(patterns)
    folders: dict[str, _Folder] = {}
    return frozenset(path for path in paths if automaton.leaves_out(path, folders))


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    """The lines that hold a pattern, from 1, without white space around it."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


_SPECIAL = re.compile(r"[*?\[\]\\]")


def _tokens(pattern: str) -> Iterator[_Token]:
    """The pieces of a pattern. `re.error` where it has brackets that are none.

    Docker has two cases besides: a pattern that only begins with `**` is a suffix, and one that only ends with it a
    prefix, both in plain characters.
    """
    if pattern.startswith("**") and not _SPECIAL.search(pattern, 2):
        yield _Token("folders" if pattern.startswith("**/") else "any")
        pattern = pattern[2:].removeprefix("/")
    for match in re.finditer(r"\*\*/?|\[\^?(?:\\.|[^\]\\])*\]|\\.|.", pattern, re.DOTALL):
        piece = match[0]
        if piece.startswith("**"):
            yield _Token("any" if match.end() == len(pattern) else "folders")
        elif piece == "*":
            yield _Token("star")
        elif piece == "?":
            yield _Token("class", "[^/]")
        elif piece.startswith("["):
            re.compile(piece)
            yield _Token("class", piece)
        else:
            yield _Token("one", piece[-1])


# ── the automaton ───────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Folder:
    """After a folder's path and its `/`: the states reached, and the patterns that matched the folder."""

    states: int
    matched: int


class _Automaton:
    """All patterns side by side: bit i is "before token i"; after each pattern's tokens comes its final bit."""

    def __init__(self, patterns: Patterns) -> None:
        self._ones: dict[str, int] = {}
        self._classes: dict[re.Pattern[str], int] = {}
        self._masks: dict[str, int] = {}
        kinds = {"star": 0, "any": 0, "folders": 0}
        self._inclusive = self._exclusive = 0
        first, bit = 0, 1
        for tokens, negated in patterns.items:
            first |= bit
            for token in tokens:
                if token.kind == "one":
                    self._ones[token.text] = self._ones.get(token.text, 0) | bit
                elif token.kind == "class":
                    members = re.compile(token.text, re.DOTALL)
                    self._classes[members] = self._classes.get(members, 0) | bit
                else:
                    kinds[token.kind] |= bit
                bit <<= 1
            if negated:
                self._exclusive |= bit
            else:
                self._inclusive |= bit
            bit <<= 1
        self._folders, self._any = kinds["folders"], kinds["any"]
        self._loops = kinds["star"] | kinds["any"]
        self._skips = self._loops | self._folders
        self._start = _Folder(_closed(first, self._skips), 0)

    def leaves_out(self, path: str, folders: dict[str, _Folder]) -> bool:
        """Whether a file is left out. `folders` holds what is known of folders, and is added to."""
        *above, name = path.split("/")
        folder = self._start
        for depth, part in enumerate(above, start=1):
            place = "/".join(above[:depth])
            if place not in folders:
                states = self._read(folder.states, part)
                folders[place] = _Folder(self._read(states, "/"), self._decide(states, folder.matched)[1])
            folder = folders[place]
        return self._decide(self._read(folder.states, name), folder.matched)[0]

    def _read(self, states: int, text: str) -> int:
        """The states after `text`. A `folders` that waits for its `/` may not stand for nothing any more."""
        for character in text:
            waiting = states & self._folders
            fresh = (states & self._mask(character)) << 1
            fresh |= states & self._any | waiting if character == "/" else states & self._loops
            states = _closed(fresh, self._skips) | waiting
        return states

    def _mask(self, character: str) -> int:
        """The tokens that accept a character."""
        if character not in self._masks:
            mask = self._ones.get(character, 0)
            for members, bits in self._classes.items():
                mask |= bits if members.fullmatch(character) else 0
            self._masks[character] = mask
        return self._masks[character]

    def _decide(self, states: int, parent: int) -> tuple[bool, int]:
        """The last pattern that matches decides. Those that matched the folder match all that is in it.

        A pattern that could change nothing where it stands is not looked at, and so does not count
        for what is in the folder either.
        """
        left_out, matched, rest = False, 0, -1
        while True:
            candidates = (parent | (states & (self._exclusive if left_out else self._inclusive))) & rest
            if not candidates:
                return left_out, matched
            bit = candidates & -candidates
            matched |= bit
            left_out = bool(bit & self._inclusive)
            rest = -(bit << 1)


def _closed(states: int, skips: int) -> int:
    """`states` and all that is reached from them over tokens that may stand for nothing.

    Adding carries each bit to the end of the run of skips that it stands in.
    """
    return states | (((states & skips) + skips) ^ skips)
