"""What a path given to `check` or `ci` is: one exercise's folder, or a submission with several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.course.models import Course, Exercise, folder_key
from grader.errors import UsageError
from grader.submissions.models import Submission
from grader.submissions.reader import Selection, is_archive, read_exercise, read_submission


@dataclass(frozen=True, slots=True)
class Target:
    """A submission that was read, and the exercises of it that are asked for."""

    submission: Submission
    exercises: tuple[Exercise, ...]


def find_target(path: Path, course: Course, selected: Sequence[Exercise], *, every: bool) -> Target:
    """Read what `path` holds of the `selected` exercises (all of the course's, if none was named).

    A folder named by an exercise's id, or any folder when exactly one exercise is selected, is that exercise's; a
    folder (or archive) that holds such folders is a submission; a file stands for the folder that it is in. An id finds
    its folder from inside it and from beside it, too. With `every`, exercises that are selected and absent belong to
    the target too. Raises `UsageError` saying what was looked for.
    """
    path = _located(path, course)
    selection = Selection([one.id for one in selected], [one.id for one in course.exercises], course.limits)
    if is_archive(path):
        return _whole(read_submission(path, selection), selected, every=every)
    if path.is_file():
        path = path.absolute().parent
    own_key = folder_key(path.resolve().name)
    keys = {folder_key(exercise.id): exercise for exercise in selected}
    present = any(folder_key(folder.name) in keys for folder in _folders(path))
    one = keys.get(own_key) or (selected[0] if len(selected) == 1 and not present else None)
    if one is not None:
        files = read_exercise(path, one.id, course.limits)
        return Target(Submission(path.resolve().parent.name or "student", (files,)), (one,))
    if present or len(selected) < len(course.exercises):
        return _whole(read_submission(path, selection), selected, every=every)
    message = (
        f"{path.resolve()}: is neither an exercise's folder nor a submission. Looked for a folder with one of these "
        f"names, or folders with these names in it: {', '.join(selection.known)}. `grader start ID` makes one; "
        f"`--exercise ID` says which exercise a folder with another name is."
    )
    raise UsageError(message)


def _located(path: Path, course: Course) -> Path:
    """The path; where it is an exercise's id, the folder of that exercise in this folder, above it, or beside it."""
    if path.exists():
        return path
    here = path.absolute().parent
    key = folder_key(path.name)
    if any(folder_key(exercise.id) == key for exercise in course.exercises):
        for folder in (*_folders(here), here, *_folders(here.parent)):
            if folder_key(folder.name) == key:
                return folder
    message = f"{path}: there is no such folder."
    raise UsageError(message)


def _folders(path: Path) -> list[Path]:
    """The folders in a folder; none if it cannot be read, which is told when it is opened."""
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:
        return []


def _whole(submission: Submission, selected: Sequence[Exercise], *, every: bool) -> Target:
    found = {item.exercise for item in submission.exercises}
    return Target(submission, tuple(exercise for exercise in selected if every or exercise.id in found))
