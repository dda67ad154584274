"""Lines of text for terminals and pipes: styled segments, laid out to a number of terminal columns.

A line is a tuple of (style, text) segments: data, which `grader.cli.console` may colour.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from grader.sanitize import sanitize_line

Style = Literal["plain", "heading", "label", "command", "faint", "passed", "failed", "blocked", "not_graded"]
Segment = tuple[Style, str]
Line = tuple[Segment, ...]

BLANK: Line = ()
_WIDE = 2
"""Columns of an East Asian wide character."""


def plain(lines: Iterable[Line]) -> str:
    """The lines as text without styles, each ended by a newline."""
    return "".join("".join(text for _, text in line).rstrip() + "\n" for line in lines)


def table_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> tuple[Line, ...]:
    """A table with aligned columns, as wide as its content: nothing of it is cut or wrapped."""
    table = [tuple(header), *(tuple(sanitize_line(cell) for cell in row) for row in rows)]
    widths = [max(cells(cell) for cell in column) for column in zip(*table, strict=True)]
    return tuple(
        tuple(
            ("plain" if number else "heading", cell + " " * (width - cells(cell) + 2))
            for cell, width in zip(row, widths, strict=True)
        )
        for number, row in enumerate(table)
    )


def cells(text: str) -> int:
    """How many terminal columns `text` takes: East Asian wide characters take two, accents none."""
    if text.isascii():
        return len(text)
    return sum(_cells_of(character) for character in text)


def _cells_of(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return _WIDE if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def spread(label: Line, style: Style, text: str, right: Segment, width: int) -> Iterator[Line]:
    """`label` and `text` at the left, `right` at the right edge; long text goes on below itself."""
    indent = sum(cells(part) for _, part in label)
    room = max(width - indent - cells(right[1]) - 2, 5)
    first, *others = wrapped(text, room) or [""]
    gap = " " * max(width - indent - cells(first) - cells(right[1]), 2)
    yield (*label, (style, first), ("plain", gap), right)
    for other in others:
        yield (("plain", " " * indent), (style, other))


def paragraph(style: Style, text: str, indent: str, width: int) -> Iterator[Line]:
    """The text broken to `width`, each line after `indent`."""
    for line in wrapped(text.strip("\n"), width - len(indent)):
        yield (("plain", indent), (style, line))


def wrapped(text: str, width: int) -> list[str]:
    """The lines of `text`, each broken to `width`. No lines for no text."""
    if not text.strip():
        return []
    return [part for line in text.split("\n") for part in _fill(line.expandtabs(4), max(width, 5))]


def _fill(line: str, width: int) -> list[str]:
    # textwrap counts characters. Wide ones are counted twice with the help of a NUL, which sanitized text never has.
    wide = "".join(f"{character}\0" if _cells_of(character) == _WIDE else character for character in line)
    limit = width if len(wide) == len(line) else width - 1
    # what goes on from an indented line, as in a log, stays under it
    indent = line[: min(len(line) - len(line.lstrip()), limit // 2)]
    filled = textwrap.wrap(wide, limit, break_on_hyphens=False, subsequent_indent=indent)
    return [part.replace("\0", "") for part in filled] or [""]
