"""The handbook of a course: pages of Markdown, and an index of the sections that explain exercises and reasons.

A course may have one, in `docs/handbook/`. Its `index.yaml` maps each exercise's id and each reason's name to a place:
`PAGE`, or `PAGE#ANCHOR`, where an anchor is a heading in small letters with `-` for each space.
"""

from __future__ import annotations

import re
from pathlib import Path

from grader.files import read_table

_FOLDER = Path("docs/handbook")


def explanation(course: Path, subject: str) -> str:
    """The page for an exercise's id, or the section for a reason's name, as Markdown for a terminal; empty for none."""
    index = _index(course)
    page, _, anchor = (index["exercises"].get(subject) or index["reasons"].get(subject, "")).partition("#")
    if not page:
        return ""
    text = (course / _FOLDER / page).read_text(encoding="utf-8")
    return _for_terminal(text if subject in index["exercises"] else section(text, anchor))


def sections(course: Path) -> dict[str, str]:
    """The section of the handbook for each reason's name, as Markdown; none without a handbook."""
    places = {name: place.partition("#") for name, place in _index(course)["reasons"].items()}
    pages = {page: (course / _FOLDER / page).read_text(encoding="utf-8") for page, _, _ in places.values()}
    return {name: section(pages[page], anchor) for name, (page, _, anchor) in places.items()}


def _index(course: Path) -> dict[str, dict[str, str]]:
    path = course / _FOLDER / "index.yaml"
    return read_table(path) if path.is_file() else {"exercises": {}, "reasons": {}}


def section(page: str, anchor: str) -> str:
    """The part of a page below the heading with this anchor, with it; all of the page for no anchor.

    Raises `KeyError` if the page has no such heading.
    """
    if not anchor:
        return page
    for part in re.split(r"(?m)^(?=## )", page):
        if anchor_of(part.partition("\n")[0]) == anchor:
            return part
    raise KeyError(anchor)


def anchor_of(heading: str) -> str:
    """The anchor of a heading, as Markdown's renderers make it."""
    return re.sub(r"[^\w -]", "", heading.lstrip("#")).strip().lower().replace(" ", "-")


def _for_terminal(text: str) -> str:
    """A file's name above its block, where a renderer for terminals shows no titles; links as their text."""
    named = re.sub(r'(?m)^```(\w+) title="(.+)"$', r"`\2`\n\n```\1", text)
    return re.sub(r"\[([^\]]+)\]\((?!\w+:)[^)]+\)", r"\1", named)
