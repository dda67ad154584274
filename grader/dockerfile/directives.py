"""The lines at the top of a Dockerfile that are written as comments and mean something: `# syntax=`, `# escape=`.

https://docs.docker.com/reference/dockerfile/#parser-directives

`# syntax=docker/dockerfile:1` makes BuildKit fetch the reader of the Dockerfile as an image. Where no
registry is at hand, that ends the build; and any other image named there would be a program that
decides what is built. So the well-known ones are made plain comments (`as_built`), since a builder
of today knows what they bring, and all others are refused by `grader.dockerfile.policy`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LOOSE = re.compile(r"\s*#\s*(syntax|escape|check)\s*=(.*)", re.IGNORECASE | re.DOTALL)
"""Whatever any version of any builder could take for a directive."""

_STRICT = re.compile(r"[ \t]*#[ \t]*(?:syntax|escape|check)[ \t]*=[ \t]*[!-~]+[ \t]*\r?$", re.IGNORECASE)
"""What all versions take for one: older ones know no other white space."""

_SLASHES = re.compile(r"\s*//\s*syntax\s*=", re.IGNORECASE)

_KNOWN_SYNTAX = re.compile(
    r"(?:docker\.io/)?docker/dockerfile(?::(?:latest|experimental|1(?:\.\d{1,3}){0,2}(?:-experimental)?))?"
    r"(?:@sha256:[0-9a-f]{64})?"
)


@dataclass(frozen=True, slots=True)
class Directive:
    """`# name=value` in line `line` (from 1); `name` is in lower case."""

    name: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Escape:
    """The character that continues lines, the line that says so (0: none does), and why it cannot be told."""

    character: str = "\\"
    line: int = 0
    problem: str = ""


def find_directives(text: str) -> tuple[Directive, ...]:
    """Everything among the first comments that could be a directive, whether or not a builder heeds it."""
    return tuple(directive for directive, _ in _leading(text) if directive is not None)


def other_syntax(text: str) -> int:
    """The line (from 1) that names another frontend in a form other than a comment's, or 0.

    BuildKit also looks for `// syntax=` and for `{"syntax": …}` at the top, behind a line for the shell
    (`DetectSyntax` in its frontend/dockerfile/parser/directives.go). Both end its own reading of the file, but a
    frontend that they name may read anything.
    """
    lines = text.split("\n")
    first = 1 if lines[0].startswith("#!") else 0
    if "".join(lines[first:])[:1000].lstrip().startswith("{") and '"syntax"' in text.lower():
        return first + 1
    for number, line in enumerate(lines[first:], start=first + 1):
        if line.strip() and not line.lstrip().startswith("//"):
            return 0
        if _SLASHES.match(line):
            return number
    return 0


def is_known_syntax(value: str) -> bool:
    """Whether `# syntax=value` asks for what every builder of today brings along."""
    return bool(_KNOWN_SYNTAX.fullmatch(value))


def read_escape(text: str) -> Escape:
    """Find `# escape=`, if all versions of the builder would heed it, or none would.

    They heed directives until the first line that is none; `# check=` is a directive only to newer ones.
    """
    plain = True
    for directive, line in _leading(text):
        if directive is None:  # a comment or an empty line: from here on nobody heeds any
            return Escape()
        if directive.name == "escape":
            if not (plain and _STRICT.match(line) and directive.value in ("\\", "`")):
                return Escape(line=directive.line, problem="`# escape=` is not written as all builders read it.")
            return Escape(directive.value, directive.line)
        plain = plain and directive.name == "syntax" and bool(_STRICT.match(line))
    return Escape()


def as_built(content: bytes) -> bytes:
    """The Dockerfile as it is given to a builder: without `# syntax=`, everything else in the same lines.

    A `# escape=` after it would no longer be heeded after a plain comment, so it takes its line.
    """
    text = content.decode("utf-8", "surrogateescape")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines = text.removeprefix(mark).split("\n")
    syntax = [one for one in find_directives(text.removeprefix(mark)) if one.name == "syntax"]
    if not syntax:
        return content
    escape = read_escape(text.removeprefix(mark))
    taken = lines[escape.line - 1]
    for directive in (*syntax, *([Directive("escape", "", escape.line)] if escape.line > syntax[0].line else [])):
        lines[directive.line - 1] = lines[directive.line - 1].replace("=", " ", 1)
    if escape.line > syntax[0].line:
        lines[syntax[0].line - 1] = taken
    return (mark + "\n".join(lines)).encode("utf-8", "surrogateescape")


def _leading(text: str) -> Iterator[tuple[Directive | None, str]]:
    """The lines before the first instruction, each with the directive it may be."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            return
        match = _LOOSE.match(line)
        yield (Directive(match[1].lower(), match[2].strip(), number) if match else None), line
