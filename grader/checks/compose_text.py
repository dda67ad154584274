"""What is wrong with a Compose file that Compose does not accept, in a beginner's words: feedback, no verdicts.

Compose speaks of tokens, properties and `(root)`, and often of the line after the one that is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import NamedTuple

from grader.course.yaml_source import Document, Path, YamlError, decode, read_yaml


class Mistake(NamedTuple):
    """A line of the file, from 1, and what is wrong with it, as a sentence that may follow “Line 3: ”."""

    line: int
    message: str


def compose_mistake(content: bytes) -> Mistake | None:
    """The first thing in a Compose file that is not as Compose reads it; None if nothing is known."""
    try:
        text = decode(content)
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, message in _LINES.items():
                if found := re.match(pattern, line[:_LONGEST]):
                    return Mistake(number, message.format(**found.groupdict()))
        document = read_yaml(text, as_written=True)
    except YamlError as error:
        where, message = error.problem
        return _indented(content, where.line) or Mistake(min(where.line, content.count(b"\n")) or 1, f"{message}.")
    problems = (Mistake(one.position.line, f"{one.message}.") for one in document.problems)
    return next(problems, None) or next(_misplaced(document), None)


def line_of(content: bytes, *path: str) -> int | None:
    """The line of the key that `path` leads to from the top, or of the last key on the way that is there."""
    with suppress(YamlError):
        keys = read_yaml(decode(content), as_written=True).keys
        lines = [keys[path[:end]].line for end in range(1, len(path) + 1) if path[:end] in keys]
        return lines[-1] if lines else None
    return None


def _indented(content: bytes, number: int) -> Mistake | None:
    """That a line is indented as no line above it is, or further in than a line that does not end with a colon."""
    lines = enumerate(content.decode("utf-8", "replace").splitlines()[:number], 1)
    *above, (own, text) = [(at, line.rstrip()) for at, line in lines if line.strip()] or [(1, "")]
    depth, depths = _depth(text), [_depth(line) for _, line in above]
    if depths and depth > depths[-1] and not above[-1][1].endswith(":"):
        message = f"`{above[-1][1].strip()}` has to end with a colon if the lines below it, further in, belong to it."
        return Mistake(above[-1][0], message)
    if depths and depth < depths[-1] and depth not in depths:
        told = f"it is indented by {depth} spaces, and no line above is: what belongs together is equally far in"
        return Mistake(own, f"{told} (by {depths[-1]}?).")
    return None


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


_LONGEST = 300
"""Characters of a line that are looked at."""
_TOP = "services volumes networks configs secrets name version"
_SERVICE = (
    "build image volumes environment env_file command entrypoint working_dir container_name depends_on ports expose "
    "networks restart user profiles configs secrets healthcheck init tty stdin_open labels deploy develop logging "
    "platform hostname read_only tmpfs extends pull_policy"
)
_KEY = "|".join(f"{_TOP} {_SERVICE}".split())
_LINES = {
    r" *\t\s*\S": "it is indented with a tab; YAML takes only spaces for that.",
    r"version: *[\d.]+\s*$": "`version:` wants a text in quotes. Better leave the line out: it is no longer needed.",
    r"\s*```": "``` is Markdown and does not belong in a Compose file: delete the line.",
    r"\s*(?P<word>docker(?:-compose)?(?: compose)? (?:build|run|up)\b.*)": "`{word}` is a command to type. A Compose "
    "file says in `key: value` lines what is to be built and run: begin with `services:`.",
    "[^#]*(?P<word>[\u2018\u2019\u201c\u201d\u201e])": "the quotes are curly ones ({word}); YAML knows straight ones "
    "only.",
    r"\s*(?P<word>-[^-\s]\S*:/\S*)": "a blank is missing after the dash of `{word}`.",
    rf"\s*(?P<word>(?P<key>{_KEY})(?P<value>[./]\S*|\s+[./\w]\S*))\s*$": "`{word}` has no colon after the key: "
    "`{key}: …`.",
    rf"\s*(?P<word>(?P<key>{_KEY}):(?P<value>[^\s:]\S*))\s*$": "a blank is missing after the colon: `{key}: {value}`.",
    r"\s*- *[\"']?(?P<word>[.~$\w/-]+(?:\s+:\s*|:\s+)/[^\s\"']+)": "`{word}` has a blank beside its colon: an entry of "
    "volumes is one word, as in `./sales.txt:/app/sales.txt`.",
}
"""What a line may look like, and what is wrong with it."""


def _misplaced(document: Document) -> Iterator[Mistake]:
    """Keys that Compose does not know where they stand, and values of another form than theirs."""
    top = document.data
    if not isinstance(top, dict):
        yield Mistake(1, "the file has no `key: value` lines. Begin with `services:`.")
        return
    for key, value in top.items():
        if key in _SERVICE.split() and key not in _TOP.split():
            yield Mistake(_line(document, (key,)), _NAMELESS.format(key=key))
        elif key not in _TOP.split() and {"build", "image"} & _names(value) and not key.startswith("x-"):
            message = f"`{key}` is a service, and belongs under `services:`, further in by two spaces."
            yield Mistake(_line(document, (key,)), message)
        else:
            yield from _unknown(document, (key,), _TOP)
    services = top.get("services")
    if not services or not isinstance(services, dict):
        message = "under `services:` comes the name of a service, further in, and with a colon"
        dash = ", without a dash" if isinstance(services, list) else ""
        yield Mistake(_line(document, ("services",)), f"{message}{dash}.")
        return
    for name, service in services.items():
        if not isinstance(service, dict):
            message = _NAMELESS if name in _SERVICE.split() else "`{key}` has no keys: they stand under it, further in."
            yield Mistake(_line(document, ("services", name)), message.format(key=name))
            continue
        for key, value in service.items():
            yield from _unknown(document, ("services", name, key), _SERVICE)
            yield from _form(document, ("services", name, key), value, top)


_NAMELESS = (
    "`{key}` belongs to a service: under `services:` comes its name, and under that its keys, each further in by two "
    "spaces."
)


def _unknown(document: Document, path: Path, known: str) -> Iterator[Mistake]:
    word = str(path[-1])
    if word not in known.split() and not word.startswith("x-"):
        near = get_close_matches(word[:60].lower(), known.split(), 1, 0.7)
        instead = f": did you mean `{near[0]}`?" if near else "."
        yield Mistake(_line(document, path), f"Compose knows no `{word}` here{instead}")


def _form(document: Document, path: Path, value: object, top: Mapping[str, object]) -> Iterator[Mistake]:
    key, line = path[-1], _line(document, path)
    if key in {"volumes", "ports", "depends_on"} and isinstance(value, str):
        yield Mistake(line, f"`{key}:` is a list: each entry is a line of its own that begins with a dash and a blank.")
    if key == "environment" and isinstance(value, str):
        yield Mistake(line, "`environment:` has a line for each variable: `NAME: value`, or `- NAME=value`.")
    if key != "volumes" or not isinstance(value, list):
        return
    for number, entry in enumerate(value):
        source, colon, target = str(entry).partition(":")
        line = document.values[*path, number].line
        if not isinstance(entry, str):
            continue
        if not colon:
            yield Mistake(line, f"`{entry}` says no path in the container: FILE:PATH-IN-THE-CONTAINER.")
        elif not target.startswith(("/", "$")):
            message = f"after the colon of `{entry}` comes the path in the container, from the first slash on"
            yield Mistake(line, f"{message}; are both sides exchanged?" if source.startswith("/") else f"{message}.")
        elif not source.startswith((".", "/", "~", "$")) and source not in _names(top.get("volumes")):
            message = f"`{source}` is taken for the name of a volume that Docker manages."
            yield Mistake(line, f"{message} A file beside the Compose file begins with ./ : `./{entry}`.")


def _names(section: object) -> set[str]:
    return set(section) if isinstance(section, dict) else set()


def _line(document: Document, path: Path) -> int:
    return document.keys[path].line if path in document.keys else 1
