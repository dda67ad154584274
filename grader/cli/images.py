"""`grader images`: make the base images present that students build FROM."""

from __future__ import annotations

from pathlib import Path

import click

from grader.api import open_course
from grader.base_images.provider import base_of, plain_names
from grader.cli.common import examples, terminal
from grader.cli.wiring import base_images, open_engine
from grader.course.loader import CourseFolder
from grader.course.models import BaseImage
from grader.errors import UsageError
from grader.reports.text import table_lines


@click.command(epilog=examples("grader images", "grader images python:3.9-slim"))
@click.argument("references", metavar="[IMAGE]...", nargs=-1)
@click.pass_obj
def command(course: Path | None, references: tuple[str, ...]) -> int:
    """Make the base images present: local, else pulled, else built here from Debian packages."""
    folder = open_course(course)
    console = terminal()
    asked_for = [(_base(folder, reference), reference) for reference in references]
    every = [(base, name) for base in folder.course.images for name in plain_names(base)]
    with open_engine() as engine:
        sources = base_images(engine, console.note).ensure_all(asked_for or every)
    rows = [(source.reference, source.origin, source.detail) for source in sources]
    console.write(table_lines(("Image", "Origin", "Details"), rows))
    return 0


def _base(folder: CourseFolder, reference: str) -> BaseImage:
    base = base_of(reference, folder.course.images)
    if base is None:
        allowed = ", ".join(name for base in folder.course.images for name in base.names)
        raise UsageError(f"{reference} is not among the course's base images: {allowed}")
    return base
