"""`grader images`: make the base images present that students build FROM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grader.base_images.provider import base_of, plain_names
from grader.cli.common import course_at, terminal
from grader.cli.wiring import base_images, open_engine
from grader.course.folder import CourseFolder
from grader.course.models import BaseImage
from grader.errors import UsageError
from grader.reports.text import table_lines


def make_present(option: Path | None, references: Sequence[str]) -> int:
    """Make these references present, or each base image's plain names (those without a pattern)."""
    folder = course_at(option)
    console = terminal()
    with open_engine() as engine:
        sources = base_images(engine, console.note).ensure_all(_wanted(folder, references))
    rows = [(source.reference, source.origin, source.detail) for source in sources]
    console.write(table_lines(("Image", "Origin", "Details"), rows))
    return 0


def _wanted(folder: CourseFolder, references: Sequence[str]) -> list[tuple[BaseImage, str]]:
    if not references:
        return [(base, name) for base in folder.course.images for name in plain_names(base)]
    return [(_base(folder, reference), reference) for reference in references]


def _base(folder: CourseFolder, reference: str) -> BaseImage:
    base = base_of(reference, folder.course.images)
    if base is None:
        allowed = ", ".join(name for base in folder.course.images for name in base.names)
        raise UsageError(f"{reference} is not among the course's base images: {allowed}")
    return base
