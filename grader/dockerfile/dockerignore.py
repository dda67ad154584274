"""What `.dockerignore` leaves out of a build context.

Lines are read by `e2b_dockerfile_utils`, a port of Docker's own matcher (github.com/moby/patternmatcher). Its regular
expressions are not used: a student's `*a*a*a*b` may not hold up the grader. Ours never try a star twice. The first
place where the text after a star fits is as good as any later one, and so it is for `**` and the folders after it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from e2b_dockerfile_utils import PatternMatcher

# Of brackets within brackets, which mean nothing special to Docker, and which Python may read as sets one day.
warnings.filterwarnings("ignore", "Possible (nested )?set", FutureWarning)

MAX_BYTES = 16 * 1024
MAX_PATTERNS = 300
"""Limits of a `.dockerignore`; the longest in common use have a third of that."""


@dataclass(frozen=True, slots=True)
class BadPattern:
    """A line that Docker does not accept, so the image does not build. `line` counts from 1."""

    message: str
    line: int


def oversize(content: bytes) -> str:
    """Why a `.dockerignore` is too large to be heeded; empty if it is not."""
    if len(content) > MAX_BYTES:
        return f"the file has {len(content)} bytes; at most {MAX_BYTES} are read."
    count = sum(1 for _ in _lines(content))
    return f"there are {count} patterns; at most {MAX_PATTERNS} are read." if count > MAX_PATTERNS else ""


def excluded(content: bytes, paths: Sequence[str]) -> frozenset[str] | BadPattern:
    """Those of the files `paths` (relative, with `/`) that a `.dockerignore` leaves out.

    The last pattern that matches decides. Those that match a folder match all that is in it. A pattern that could
    change nothing where it stands is not looked at, and so does not count for what is in the folder either.
    """
    patterns = _read(content)
    if isinstance(patterns, BadPattern):
        return patterns
    known: dict[str, tuple[bool, frozenset[int]]] = {}
    for path in paths:
        matched: frozenset[int] = frozenset()
        for part in re.finditer(r"/|\Z", path):
            place, left_out, above = path[: part.start()], False, matched
            if place not in known:
                matching: set[int] = set()
                for number, (regex, negated) in enumerate(patterns):
                    if number in above or (negated == left_out and regex.match(place)):
                        matching.add(number)
                        left_out = not negated
                known[place] = left_out, frozenset(matching)
            matched = known[place][1]
    return frozenset(path for path in paths if known[path][0])


def _read(content: bytes) -> list[tuple[re.Pattern[str], bool]] | BadPattern:
    """In order, each pattern as a regular expression, and whether `!` stands before it."""
    if problem := oversize(content):
        return BadPattern(problem, 1)
    patterns: list[tuple[re.Pattern[str], bool]] = []
    for line, written in _lines(content):
        negated = written.startswith("!")
        try:
            # The space keeps the library from taking what stands after one for a comment, which Docker does not.
            (pattern,) = PatternMatcher([f" {written}"]).patterns
            regex = re.compile(_regex(pattern[negated:]), re.DOTALL)
        except (ValueError, re.error):
            message = f"line {line}: {written[:80]!r} is no pattern; look at its brackets and backslashes."
            return BadPattern(message, line)
        if negated and pattern == "!/":
            return BadPattern(f"line {line}: there is nothing after the !", line)
        patterns.append((regex, negated))
    return patterns


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    """The lines that hold a pattern, from 1, without white space around it."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line.strip()


_STAR, _FOLDERS = "\n*", "\n/"
"""A star, and `**` where a part of the path begins, until they are written out; no pattern has a line break in it."""
_MAX_WAYS = 16
"""Ways to read one pattern. Each `a**b` has two, and each class in brackets that `/` is in; nobody writes five."""


def _regex(pattern: str) -> str:
    """The expression for a pattern. `re.error` or `ValueError` where it is none.

    Docker has two cases besides: a pattern that only begins with `**` is a suffix, and one that only ends with it a
    prefix, both in plain characters.
    """
    if pattern.startswith("**") and not re.search(r"[*?\[\]\\]", pattern[2:]):
        return (r"(?:.*/)?" if pattern.startswith("**/") else ".*") + re.escape(pattern[2:].removeprefix("/")) + r"\Z"
    ways = [""]
    for match in re.finditer(r"\*\*/?|\[\^?(?:\\.|[^\]\\])*\]|\\.|.", pattern, re.DOTALL):
        piece = match[0]
        if piece.startswith("**") and match.end() < len(pattern):
            at_once = [way + _FOLDERS for way in ways if not way or way.endswith("/")]
            inside = [way for way in ways if way and not way.endswith("/")]
            ways = [*at_once, *inside, *(f"{way}{_STAR}/{_FOLDERS}" for way in inside)]
        elif piece.startswith("["):
            ways = [way + one for way in ways for one in ((f"(?!/){piece}", "/") if re.match(piece, "/") else (piece,))]
        else:
            fixed = {"*": _STAR, "?": "[^/]", "**": ".*", "**/": ".*"}.get(piece) or re.escape(piece[-1])
            ways = [way + fixed for way in ways]
        if len(ways) > _MAX_WAYS:
            raise ValueError(pattern)
    return "|".join(_safe(rf"{way}\Z") for way in ways)


def _safe(way: str) -> str:
    """The expression in which a star, and `**` with the folders after it, take the first place that fits for good."""
    blocks = []
    for block in way.split(_FOLDERS):
        first, *others = block.split(_STAR)
        blocks.append(first + "".join(f"(?>[^/]*?{run})" for run in others))
    return blocks[0] + "".join(f"(?>(?:[^/]*/)*?{block})" for block in blocks[1:])
