"""Finding a course, a folder with `exercises.yaml`, `starter/` and `reference/`, and reading it."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from grader.course.models import Course, Exercise
from grader.course.validation import consistency_problems, validation_problems
from grader.course.yaml_source import MAX_BYTES, Problem, YamlError, decode, read_yaml
from grader.errors import SpecError, UsageError

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
    if named := option or environment.get("GRADER_COURSE"):
        if (Path(named) / _SPEC).is_file():
            return Path(named).resolve()
        where = "Give --course (or GRADER_COURSE) the folder that holds it."
        raise UsageError(f"{named}: not a course: it has no {_SPEC}. {where}")
    absolute = here.resolve()
    for candidate in (absolute, *absolute.parents, _SHIPPED, Path(__file__).parents[2]):
        if (candidate / _SPEC).is_file() and (candidate / "reference").is_dir():
            return candidate
    raise UsageError(f"No course found: no {_SPEC} here or in a folder above. Give its folder with --course.")


def start_exercise(folder: CourseFolder, exercise: Exercise, target: Path) -> tuple[list[Path], list[Path]]:
    """Copy an exercise's starter files to `target`, never over existing ones: (copied, left alone).

    Caches of Python are not copied: installers compile the course's scripts where the wheel puts them.
    """
    source = folder.starter(exercise)
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target}: is a file. Name a folder that `grader start` may create or fill.")
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


def read_course(path: Path, reasons: Collection[str] | None = None) -> Course:
    """`load_course` of a file. Raises `SpecError` also where the file cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)  # one more than allowed is enough for the limit to be noticed
    except OSError as error:
        raise SpecError((f"{path}: cannot be read ({error.strerror}); expected the course's file",)) from None
    return load_course(content, path.name, reasons)


def load_course(content: str | bytes, name: str = "exercises.yaml", reasons: Collection[str] | None = None) -> Course:
    """The course that `content` states; raises `SpecError` with every mistake in it, in file order.

    `name` is what messages call the file. `reasons` are the reasons that checks can give
    (`grader.checks.REASONS`): hints for others are mistakes. With None, hints are not checked.
    """
    try:
        document = read_yaml(decode(content) if isinstance(content, bytes) else content)
    except YamlError as error:
        raise _spec_error([error.problem], name) from None
    problems = [*document.problems, *consistency_problems(document, reasons)]
    try:
        # By way of JSON, because there a list may become a tuple where all else is strict.
        course = _adapter().validate_json(json.dumps(document.data, ensure_ascii=False), strict=True)
    except ValidationError as error:
        problems += validation_problems(error.errors(include_url=False), document)
        raise _spec_error(problems, name) from None
    if problems:
        raise _spec_error(problems, name)
    return course


def _spec_error(problems: list[Problem], name: str) -> SpecError:
    in_order = sorted(dict.fromkeys(problems), key=lambda problem: problem.position)
    return SpecError(tuple(f"{name}:{at.line}:{at.column}: {message}" for at, message in in_order))


@functools.cache
def _adapter() -> TypeAdapter[Course]:
    return TypeAdapter(Course)
