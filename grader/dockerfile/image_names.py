"""Names of images: whether a text is one, its one normal form, and whether a course allows it.

The grammar is that of https://pkg.go.dev/github.com/distribution/reference (version 0.6).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from grader.models import ImageSeen

_MAX_NAME = 255
"""Characters of a name without tag and digest (`NameTotalLengthMax` there)."""

_DOMAIN_PART = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_PATH_PART}(?:/{_PATH_PART})*)"
    r"(?P<tag>:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?P<digest>@[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]{32,})?"
)


def reference_problem(text: str) -> str:
    """Why `text` is no image's name, in a sentence; empty if it is one."""
    match = _match(text)
    if match and len(match["name"]) <= _MAX_NAME:
        return ""
    if _match(text.lower()):
        return f"write it in lower case, {text.lower()[:120]}."
    return "expected NAME or NAME:TAG, such as python:3.9."


def normalised(reference: str) -> str:
    """The short form with a tag: `docker.io/library/python` is `python:latest`.

    What is no image's name is returned unchanged.
    """
    match = _match(reference)
    if match is None:
        return reference
    domain, path = _split_domain(match["name"])
    name = f"{domain}/{path}" if domain else re.sub(r"^library/(?!.*/)", "", path)
    tag = match["tag"] or ("" if match["digest"] else ":latest")
    return f"{name}{tag}{match['digest'] or ''}"


def names_registry(reference: str) -> bool:
    """Whether an image is to come from another registry than the usual one."""
    match = _match(reference)
    return match is not None and bool(_split_domain(match["name"])[0])


def _split_domain(name: str) -> tuple[str, str]:
    """The registry that a name means, empty for the usual one, and the rest."""
    domain, _, path = name.partition("/")
    if path and (re.search(r"[.:A-Z]", domain) or domain == "localhost"):
        return "" if domain in {"docker.io", "index.docker.io"} else domain, path
    return "", name


def is_called(text: str, image: ImageSeen) -> bool:
    """Whether `text` names that image: by any form of one of its names, by its id, or by the beginning of the id."""
    if normalised(text) in {normalised(tag) for tag in image.tags}:
        return True
    match = re.fullmatch(r"(?:sha256:)?([0-9a-f]{4,64})", text)
    return match is not None and image.id.removeprefix("sha256:").startswith(match[1])


def is_allowed(reference: str, patterns: Sequence[str]) -> bool:
    """Whether an image's name, in any of its forms, is covered by a pattern (`*`: any characters)."""
    short = normalised(reference)
    return any(fnmatchcase(short, pattern if "*" in pattern else normalised(pattern)) for pattern in patterns)


def split_reference(reference: str) -> tuple[str, str]:
    """A reference's name and tag; `latest` where none is given, "" where a digest says it all."""
    if "@" in reference:
        return reference, ""
    name, colon, tag = reference.rpartition(":")
    return (name, tag) if colon and "/" not in tag else (reference, "latest")


def _match(text: str) -> re.Match[str] | None:
    return _REFERENCE.fullmatch(text) if len(text) <= 2 * _MAX_NAME else None
