"""From a folder or an archive to a `Submission`: vetted bytes, read once, and nothing else is ever built.

A submission has one folder for each exercise, called by the exercise's id in one of the ways of
`grader.course.models.folder_key`, directly or within up to three folders of any name. Where only one exercise can be
meant, files that stand in no exercise's folder are that exercise's. What is wrong with one exercise is no matter of
the others; what is wrong with the whole (an archive that cannot be read) is said of each.

Each folder is opened by its name in the folder above, never by a path and never through a link. So what is read is what
lies there, even if somebody swaps a folder for a link meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from grader.course.models import Course, Exercise, Limits, folder_key
from grader.errors import UsageError
from grader.sanitize import sanitize_line
from grader.submissions.archive import Unreadable, archive_suffix, read_archive
from grader.submissions.models import (
    Budget,
    Member,
    Submission,
    SubmittedExercise,
    exercise_budget,
    is_skipped,
    path_problem,
    permissions,
    refused_folder,
    submission_budget,
    vetted,
)

_NESTED = 3
"""Folders that may stand around the exercises: a zip is often made of a folder, and unpacked into another."""

_MAX_NAMES = 20_000
"""Names that are looked at in one folder."""

_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"
"""The file by which Python knows a virtual environment (https://docs.python.org/3/library/venv.html)."""

LOOKED_FOR = (
    "In each submission, the grader looked for one folder for each exercise, called by its id (`3.1.4`, or `Exercise "
    "3.1.4`, `ex3.1.4`, `3_1_4`), directly or within up to three other folders. With `--exercise ID`, files that stand "
    "in no exercise's folder count as that exercise's."
)
"""What to say where hardly anything was found."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which exercises are read (`ids`), of all that the course has (`known`), and the limits of each.

    The folder of an exercise that is known but not read is not taken for anything else.
    """

    ids: Sequence[str]
    known: Sequence[str]
    limits: Limits

    @property
    def alone(self) -> str | None:
        """The exercise, if only one is selected."""
        return self.ids[0] if len(self.ids) == 1 else None


def student_of(path: Path) -> str:
    r"""The name of the student whose submission this is: the file's, without its ending, a line break as `\n`."""
    suffix = archive_suffix(path.name) if not path.is_dir() else ""
    return sanitize_line(path.name.removesuffix(suffix)) or "student"


def is_archive(path: Path) -> bool:
    """Whether a path is a file with the name of an archive, readable or not."""
    return bool(archive_suffix(path.name)) and path.is_file()


def read_exercise(folder: Path, exercise: str, limits: Limits) -> SubmittedExercise:
    """Read the folder of one exercise. `folder` must not be a link itself; resolve it first if it may be."""
    return _Folder(str(folder), limits).read((), exercise)


def read_submission(path: Path, selection: Selection) -> Submission:
    """Read a student's folder or archive: of the exercises that are selected, those it has.

    All exercises together may have four times what one may.
    """
    budget = submission_budget(selection.limits)
    tree: Tree = _Folder(str(path), selection.limits, budget)
    if is_archive(path):
        try:
            with open_file(path) as stream:
                members = read_archive(stream, archive_suffix(path.name), budget)
        except OSError as error:
            members = Unreadable(_why(error))
        if isinstance(members, Unreadable):
            refused = (refused_folder(exercise, path.name, members.message) for exercise in selection.ids)
            return Submission(student_of(path), tuple(refused))
        tree = Packed(members, path.name, selection.limits)
    return Submission(student_of(path), tuple(exercises_in(tree, selection, selection.alone)))


# ── where exercises are ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Level:
    """A folder of a tree, by the names that lead to it, and the names of what stands in it directly."""

    parts: tuple[str, ...]
    files: Sequence[str]
    folders: Sequence[str]

    @property
    def has_dockerfile(self) -> bool:
        """Whether a Dockerfile is among the files."""
        return any(name.casefold() == "dockerfile" for name in self.files)


def levels_of(tree: Tree, known: Sequence[str]) -> list[Level]:
    """The folders that stand around everything, from the outermost to the one that holds the exercises."""
    levels = [tree.level(())]
    keys = {folder_key(exercise) for exercise in known}
    while len(levels) <= _NESTED:
        inner = [name for name in levels[-1].folders if not is_skipped(name) and not name.startswith(".")]
        if len(inner) != 1 or folder_key(inner[0]) in keys:
            break
        levels.append(tree.level((*levels[-1].parts, inner[0])))
    return levels


def loose_files(levels: Sequence[Level], selection: Selection) -> Level | None:
    """The folder whose files stand in no exercise's folder: the outermost with a Dockerfile, or else with any file."""
    keys = {folder_key(exercise) for exercise in selection.known}
    if any(folder_key(name) in keys for name in levels[-1].folders):
        return None
    with_files = [level for level in levels if level.files]
    return next((level for level in with_files if level.has_dockerfile), with_files[0] if with_files else None)


def exercises_in(tree: Tree, selection: Selection, alone: str | None) -> Iterator[SubmittedExercise]:
    """Read the exercises that have a folder; and, where only the exercise `alone` can be meant, loose files as its."""
    try:
        levels = levels_of(tree, selection.known)
    except OSError as error:
        yield from (refused_folder(exercise, tree.root, _why(error)) for exercise in selection.ids)
        return
    here = levels[-1]
    called: dict[str, list[str]] = {}
    for name in here.folders:
        called.setdefault(folder_key(name), []).append(name)
    for exercise in selection.ids:
        names = called.get(folder_key(exercise), [])
        names = [exercise] if exercise in names else names
        if len(names) == 1:
            yield tree.read((*here.parts, names[0]), exercise)
        elif names:
            problem = "several folders are called by this exercise. Keep one."
            yield refused_folder(exercise, "/".join([tree.root, *here.parts, names[0]]), problem)
    if alone is not None and (level := loose_files(levels, selection)):
        yield tree.read(level.parts, alone)


def _why(error: OSError) -> str:
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return "it is a link or no folder. Links are not followed; put the folder itself there."
    return f"it cannot be read: {error.strerror}."


@dataclass(frozen=True, slots=True)
class Packed:
    """The members of an archive as a tree; their order says nothing. `root` is what messages call the whole."""

    members: Sequence[Member]
    root: str
    limits: Limits

    def level(self, parts: tuple[str, ...]) -> Level:
        """What stands in the folder that these names lead to."""
        names = [path.partition("/") for path, _ in self._below(parts)]
        files = sorted({name for name, slash, _ in names if not slash})
        return Level(parts, files, sorted({name for name, slash, _ in names if slash}))

    def read(self, parts: tuple[str, ...], exercise: str) -> SubmittedExercise:
        """All files below that folder, as those of an exercise."""
        budget = exercise_budget(self.limits)
        fitting = (
            Member(path, one.content, one.mode, one.problem)
            for path, one in self._below(parts)
            if budget.add(len(one.content), files=1)
        )
        return vetted(exercise, "/".join([self.root, *parts]), fitting, budget)

    def _below(self, parts: tuple[str, ...]) -> Iterator[tuple[str, Member]]:
        around = "".join(f"{part}/" for part in parts)
        return ((one.path.removeprefix(around), one) for one in self.members if one.path.startswith(around))


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the disk as a tree; `whole` is the budget that all its exercises share."""

    root: str
    limits: Limits
    whole: Budget | None = None

    def level(self, parts: tuple[str, ...]) -> Level:
        """As that of `Packed`. `OSError` if the folder is a link or cannot be read."""
        with opened_folder(self.root, *parts) as folder:
            entries = entries_in(folder)
            files = [one.name for one in entries if one.is_file(follow_symlinks=False) and not is_skipped(one.name)]
            return Level(parts, files, [one.name for one in entries if looks_like_folder(one)])

    def read(self, parts: tuple[str, ...], exercise: str) -> SubmittedExercise:
        """As that of `Packed`."""
        folder = "/".join([self.root, *parts])
        budget = exercise_budget(self.limits, self.whole)
        try:
            with opened_folder(self.root, *parts) as opened:
                return vetted(exercise, folder, read_files(opened, budget), budget)
        except OSError as error:
            return refused_folder(exercise, folder, _why(error))


Tree = Packed | _Folder


# ── what is on the disk ─────────────────────────────────────────────────────────────────

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def opened_folder(*names: str, within: int | None = None) -> Iterator[int]:
    """A descriptor of the folder that these names lead to, one in the other. `OSError` if one is a link."""
    first, *inner = names
    with ExitStack() as stack:
        stack.callback(os.close, folder := os.open(first, _FOLDER, dir_fd=within))
        for name in inner:
            stack.callback(os.close, folder := os.open(name, _FOLDER, dir_fd=folder))
        yield folder


def open_file(path: str | Path, within: int | None = None) -> BinaryIO:
    """An ordinary file, opened for reading. `OSError` if it is a link, or none, or cannot be read."""
    descriptor = os.open(path, _FILE, dir_fd=within)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no ordinary file")
    return os.fdopen(descriptor, "rb")


def entries_in(folder: int) -> list[os.DirEntry[str]]:
    """What stands in a folder, by name. `OSError` (EFBIG) if it is more than anyone has put there by hand."""
    with os.scandir(folder) as entries:
        found = sorted(islice(entries, _MAX_NAMES + 1), key=lambda entry: entry.name)
    if len(found) > _MAX_NAMES:
        raise OSError(errno.EFBIG, f"there are more than {_MAX_NAMES} files in it")
    return found


def looks_like_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link, which is refused when it is opened."""
    return entry.is_dir(follow_symlinks=False) or entry.is_symlink()


def read_files(
    folder: int, budget: Budget, only: Container[str] | None = None, above: tuple[str, ...] = ()
) -> Iterator[Member]:
    """Every file below a folder, by name, or why one may not be graded. Ends early where `budget` is exceeded.

    Of what stands in it directly, `only` names what is read, if not all is; `above` are the names that lead to it.
    `OSError` if the folder itself cannot be read.
    """
    entries = entries_in(folder)
    if above and any(entry.name == _VIRTUAL_ENVIRONMENT for entry in entries):
        return
    for entry in entries:
        if budget.exceeded:
            return
        if not is_skipped(entry.name) and (only is None or entry.name in only):
            yield from _entry(folder, entry, (*above, entry.name), budget)


def _entry(folder: int, entry: os.DirEntry[str], parts: tuple[str, ...], budget: Budget) -> Iterator[Member]:
    path = "/".join(parts)
    is_folder = entry.is_dir(follow_symlinks=False)
    problem = path_problem(parts)
    if not problem and entry.is_symlink():
        problem = "it is a link. Links are not followed; put the file itself there."
    if problem or not (is_folder or entry.is_file(follow_symlinks=False)):
        yield Member(path, problem=problem or "it is no ordinary file. Put one there.")
    elif budget.add(files=1):
        try:
            if is_folder:
                with opened_folder(entry.name, within=folder) as opened:
                    yield from read_files(opened, budget, above=parts)
            else:
                with open_file(entry.name, folder) as file:
                    yield from _read(file, path, budget)
        except OSError as error:
            yield Member(path, problem=f"it cannot be read: {error.strerror}.")


def _read(file: BinaryIO, path: str, budget: Budget) -> Iterator[Member]:
    status = os.fstat(file.fileno())
    content = file.read(status.st_size + 1) if status.st_size <= budget.bytes_left() else b""
    if len(content) > status.st_size:
        yield Member(path, problem="it was written to while it was read. Hand it in again.")
    elif budget.add(status.st_size):
        yield Member(path, content, permissions(status.st_mode))


# ── what `check` and `ci` are given ─────────────────────────────────────────────────────


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
    known = [one.id for one in course.exercises]
    if not is_archive(path):
        path = path.absolute().parent if path.is_file() else path
        keys = {folder_key(exercise.id): exercise for exercise in selected}
        present = any(folder_key(folder.name) in keys for folder in _folders(path))
        alone = selected[0] if len(selected) == 1 and not present else None
        if one := keys.get(folder_key(path.resolve().name)) or alone:
            files = read_exercise(path, one.id, course.limits)
            return Target(Submission(path.resolve().parent.name or "student", (files,)), (one,))
        if not present and len(selected) == len(known):
            message = (
                f"{path.resolve()}: is neither an exercise's folder nor a submission. Looked for a folder with one of "
                f"these names, or folders with these names in it: {', '.join(known)}. `grader start ID` makes "
                f"one; `--exercise ID` says which exercise a folder with another name is."
            )
            raise UsageError(message)
    submission = read_submission(path, Selection([one.id for one in selected], known, course.limits))
    found = {item.exercise for item in submission.exercises}
    return Target(submission, tuple(exercise for exercise in selected if every or exercise.id in found))


def _located(path: Path, course: Course) -> Path:
    """The path; where it is an exercise's id, the folder of that exercise in this folder, above it, or beside it."""
    if path.exists():
        return path
    here = path.absolute().parent
    key = folder_key(path.name)
    around = (*_folders(here), here, *_folders(here.parent))
    found = [folder for folder in around if folder_key(folder.name) == key]
    if not found or all(folder_key(exercise.id) != key for exercise in course.exercises):
        message = f"{path}: there is no such folder."
        raise UsageError(message)
    return found[0]


def _folders(path: Path) -> list[Path]:
    """The folders in a folder; none if it cannot be read, which is told when it is opened."""
    try:
        return sorted(child for child in path.iterdir() if child.is_dir())
    except OSError:
        return []
