"""What is wrong with a Compose file that Compose does not accept, in a beginner's words: feedback, no verdicts.

Compose speaks of tokens, properties and `(root)`, and often of the line after the one that is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from grader.checks.causes import Cause, cause_in, words
from grader.course.yaml_source import Path, YamlError, decode, read_yaml
from grader.dockerfile.explain import nearest

_LONGEST = 300
"""Characters of a line that are looked at."""


def compose_mistake(content: bytes) -> Cause | None:
    """The first thing in a Compose file that is not as Compose reads it; None if nothing is known.

    Its message may follow “Line 3: ”.
    """
    try:
        text = decode(content)
        for number, line in enumerate(text.splitlines(), 1):
            if cause := cause_in("compose_line", line=line[:_LONGEST]):
                return replace(cause, line=number)
        document = read_yaml(text, as_written=True)
    except YamlError as error:
        where, message = error.problem
        return _indented(content, where.line) or Cause("", f"{message}.", min(where.line, content.count(b"\n")) or 1)
    for problem in document.problems:
        return Cause("", f"{problem.message}.", problem.position.line)
    for path, message in _misplaced(document.data):
        place = document.keys.get(path) or document.values.get(path)
        return Cause("", message, place.line if place else 1)
    return None


def line_of(content: bytes, *path: str) -> int | None:
    """The line of the key that `path` leads to from the top, or of the last key on the way that is there."""
    with suppress(YamlError):
        keys = read_yaml(decode(content), as_written=True).keys
        lines = [keys[path[:end]].line for end in range(1, len(path) + 1) if path[:end] in keys]
        return lines[-1] if lines else None
    return None


def _indented(content: bytes, number: int) -> Cause | None:
    """That a line is indented as no line above it is, or further in than a line that does not end with a colon."""
    lines = enumerate(content.decode("utf-8", "replace").splitlines()[:number], 1)
    *above, (own, text) = [(at, line.rstrip()) for at, line in lines if line.strip()] or [(1, "")]
    depth, depths = _depth(text), [_depth(line) for _, line in above]
    if depths and depth > depths[-1] and not above[-1][1].endswith(":"):
        message = f"`{above[-1][1].strip()}` has to end with a colon if the lines below it, further in, belong to it."
        return Cause("", message, above[-1][0])
    if depths and depth < depths[-1] and depth not in depths:
        told = f"it is indented by {depth} spaces, and no line above is: what belongs together is equally far in"
        return Cause("", f"{told} (by {depths[-1]}?).", own)
    return None


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _misplaced(top: object) -> Iterator[tuple[Path, str]]:
    """Keys that Compose does not know where they stand, and values of another form than theirs: where, and why."""
    at_top, in_service = words("compose_top"), words("compose_service")
    if not isinstance(top, dict):
        yield (), "the file has no `key: value` lines. Begin with `services:`."
        return
    for key, value in top.items():
        if key in in_service and key not in at_top:
            yield (key,), _NAMELESS.format(key=key)
        elif key not in at_top and isinstance(value, dict) and {"build", "image"} & set(value) and key[:2] != "x-":
            yield (key,), f"`{key}` is a service, and belongs under `services:`, further in by two spaces."
        else:
            yield from _unknown((key,), at_top)
    services = top.get("services")
    if not services or not isinstance(services, dict):
        dash = ", without a dash" if isinstance(services, list) else ""
        yield ("services",), f"under `services:` comes the name of a service, further in, and with a colon{dash}."
        return
    for name, service in services.items():
        if isinstance(service, dict):
            yield from _of_service(("services", name), service, top)
        else:
            message = _NAMELESS if name in in_service else "`{key}` has no keys: they stand under it, further in."
            yield ("services", name), message.format(key=name)


_NAMELESS = (
    "`{key}` belongs to a service: under `services:` comes its name, and under that its keys, each further in by two "
    "spaces."
)


def _of_service(path: Path, service: dict[str, object], top: dict[str, object]) -> Iterator[tuple[Path, str]]:
    for key, value in service.items():
        yield from _unknown((*path, key), words("compose_service"))
        if key in {"volumes", "ports", "depends_on"} and isinstance(value, str):
            message = f"`{key}:` is a list: each entry is a line of its own that begins with a dash and a blank."
            yield (*path, key), message
        if key == "environment" and isinstance(value, str):
            yield (*path, key), "`environment:` has a line for each variable: `NAME: value`, or `- NAME=value`."
    volumes, named = service.get("volumes"), top.get("volumes")
    for number, entry in enumerate(volumes if isinstance(volumes, list) else ()):
        declared = "\n".join(named) if isinstance(named, dict) else ""
        if isinstance(entry, str) and (cause := cause_in("compose_volume", entry=entry, named=declared)):
            yield (*path, "volumes", number), cause.message


def _unknown(path: Path, known: list[str]) -> Iterator[tuple[Path, str]]:
    word = str(path[-1])
    if word not in known and not word.startswith("x-"):
        near = nearest(word, known, 0.7)
        yield path, f"Compose knows no `{word}` here{f': did you mean `{near}`?' if near else '.'}"
