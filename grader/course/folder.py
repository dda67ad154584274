"""Finding a course: a folder with `exercises.yaml`, `starter/` and `reference/`."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from grader.course.loader import read_course
from grader.course.models import Course, Exercise
from grader.errors import UsageError

_SPEC = "exercises.yaml"
_SHIPPED = Path(__file__).parents[1] / "_course"
"""Where the wheel carries this repository's own course."""


@dataclass(frozen=True, slots=True)
class CourseFolder:
    """A course and where its files are."""

    root: Path
    course: Course

    @property
    def predictor(self) -> Path:
        """The reference predictor, a program (see `grader.course.oracle`)."""
        return self.root / "reference" / "predictor.py"

    def starter(self, exercise: Exercise) -> Path:
        """The folder with what a student begins with; it may be absent."""
        return self.root / "starter" / exercise.id


def open_course(
    option: Path | None, environment: Mapping[str, str], here: Path, reasons: Collection[str]
) -> CourseFolder:
    """Find and load a course. Raises `UsageError` if there is none, `SpecError` if it has mistakes.

    `reasons` are `grader.checks.REASONS`: whoever has them has imported the kinds of check, too.
    """
    root = find_course(option, environment, here)
    return CourseFolder(root, read_course(root / _SPEC, reasons))


def find_course(option: Path | None, environment: Mapping[str, str], here: Path) -> Path:
    """`--course`, else `GRADER_COURSE`, else upwards from `here`, else the one in the wheel or checkout."""
    named = option or (Path(environment["GRADER_COURSE"]) if environment.get("GRADER_COURSE") else None)
    if named is not None:
        if (named / _SPEC).is_file():
            return named.resolve()
        message = (
            f"{named}: not a course: it has no {_SPEC}. Give --course (or GRADER_COURSE) the folder that holds it."
        )
        raise UsageError(message)
    absolute = here.resolve()
    candidates = itertools.chain([absolute], absolute.parents, [_SHIPPED, Path(__file__).parents[2]])
    for candidate in candidates:
        if (candidate / _SPEC).is_file() and (candidate / "reference").is_dir():
            return candidate
    message = f"No course found: no {_SPEC} here or in a folder above. Give its folder with --course."
    raise UsageError(message)


def start_exercise(folder: CourseFolder, exercise: Exercise, target: Path) -> tuple[list[Path], list[Path]]:
    """Copy an exercise's starter files to `target`, never over existing ones: (copied, left alone).

    Caches of Python are not copied: installers compile the course's scripts where the wheel puts them.
    """
    source = folder.starter(exercise)
    if target.exists() and not target.is_dir():
        message = f"{target}: is a file. Name a folder that `grader start` may create or fill."
        raise UsageError(message)
    target.mkdir(parents=True, exist_ok=True)
    copied: list[Path] = []
    kept: list[Path] = []
    for path in sorted(path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        place = target / path.relative_to(source)
        (kept if place.exists() else copied).append(place)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
    return copied, kept
