"""What a path given to `check` or `ci` is: one exercise's folder, or a submission with several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.course.models import Course, Exercise
from grader.errors import UsageError
from grader.submissions.models import Submission
from grader.submissions.reader import is_archive, read_exercise, read_submission


@dataclass(frozen=True, slots=True)
class Target:
    """A submission that was read, and the exercises of it that are asked for."""

    submission: Submission
    exercises: tuple[Exercise, ...]


def find_target(path: Path, course: Course, wanted: Sequence[Exercise], *, every: bool) -> Target:
    """Read what `path` holds of the `wanted` exercises (all of the course's, if none was named).

    A folder named by an exercise's id, or any folder when exactly one exercise is wanted, is that
    exercise's; a folder (or archive) that holds such folders is a submission. With `every`, exercises
    that are wanted and absent belong to the target too. Raises `UsageError` saying what was looked for.
    """
    if not path.exists():
        message = f"{path}: there is no such folder."
        raise UsageError(message)
    if is_archive(path):
        return _whole(read_submission(path, [exercise.id for exercise in wanted], course.limits), wanted, every=every)
    present = _present(path, wanted)
    one = _named(path, wanted) or (wanted[0] if len(wanted) == 1 and not present else None)
    if one is not None:
        files = read_exercise(path, one.id, course.limits)
        return Target(Submission(_student(path.resolve().parent), (files,)), (one,))
    if present or (len(wanted) < len(course.exercises) and path.is_dir()):
        return _whole(read_submission(path, [exercise.id for exercise in wanted], course.limits), wanted, every=every)
    ids = ", ".join(exercise.id for exercise in course.exercises)
    message = (
        f"{path.resolve()}: is neither an exercise's folder nor a submission. Looked for a folder with one of these "
        f"names, or folders with these names in it: {ids}. `grader start ID` makes one; `--exercise ID` says which "
        f"exercise a folder with another name is."
    )
    raise UsageError(message)


def _whole(submission: Submission, wanted: Sequence[Exercise], *, every: bool) -> Target:
    there = {item.exercise for item in submission.exercises}
    return Target(submission, tuple(exercise for exercise in wanted if every or exercise.id in there))


def _named(path: Path, wanted: Sequence[Exercise]) -> Exercise | None:
    name = path.resolve().name.lower()
    return next((exercise for exercise in wanted if exercise.id.lower() == name), None)


def _present(path: Path, wanted: Sequence[Exercise]) -> bool:
    ids = {exercise.id.lower() for exercise in wanted}
    return any(child.name.lower() in ids for child in path.iterdir() if child.is_dir())


def _student(folder: Path) -> str:
    return folder.name or "student"
