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
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol

from grader.course.models import Course, Exercise, Limits, folder_key
from grader.errors import UsageError
from grader.sanitize import sanitize_line
from grader.submissions.archive import READABLE, Unreadable, archive_suffix, read_archive
from grader.submissions.budget import (
    Budget,
    exercise_budget,
    is_skipped,
    path_problem,
    permissions,
    refused_folder,
    submission_budget,
    vetted,
)
from grader.submissions.models import Member, Submission, SubmittedExercise

_NESTED = 3
"""Folders that may stand around the exercises: a zip is often made of a folder, and unpacked into another."""

_MAX_NAMES = 20_000
"""Names that are looked at in one folder."""

_CHUNK = 2**20
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


def find_submissions(folder: Path) -> tuple[Path, ...]:
    """What in a folder is somebody's submission, by name: its folders and archives, hidden ones left out.

    Archives that cannot be read are among them, so that nobody is forgotten. Raises `UsageError` if the folder cannot
    be read.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        message = f"{folder}: cannot be read as a folder of submissions: {error.strerror}."
        raise UsageError(message) from error
    try:
        folders = set(entries_in(opened)[1])
        names = [name for name in names_in(opened) if name in folders or archive_suffix(name)]
    finally:
        os.close(opened)
    return tuple(folder / name for name in names if not name.startswith(".") and not is_skipped(name))


def student_of(path: Path) -> str:
    r"""The name of the student whose submission this is: the file's, without its ending, a line break as `\n`."""
    suffix = archive_suffix(path.name) if not path.is_dir() else ""
    return sanitize_line(path.name.removesuffix(suffix)) or "student"


def is_archive(path: Path) -> bool:
    """Whether a path is a file with the name of an archive, readable or not."""
    return bool(archive_suffix(path.name)) and path.is_file()


def read_exercise(folder: Path, exercise: str, limits: Limits) -> SubmittedExercise:
    """Read the folder of one exercise. `folder` must not be a link itself; resolve it first if it may be."""
    return _Folder(folder, limits).read((), exercise)


def read_submission(path: Path, selection: Selection) -> Submission:
    """Read a student's folder or archive: of the exercises that are selected, those it has.

    All exercises together may have four times what one may.
    """
    tree: Tree | str = _Folder(path, selection.limits, submission_budget(selection.limits))
    if is_archive(path):
        try:
            with open_file(path) as stream:
                packed = packed_members(stream, archive_suffix(path.name), submission_budget(selection.limits))
        except OSError as error:
            packed = Unreadable(_why(error))
        tree = packed.message if isinstance(packed, Unreadable) else Packed(packed, path.name, selection.limits)
    exercises = (
        [refused_folder(exercise, path.name, tree) for exercise in selection.ids]
        if isinstance(tree, str)
        else exercises_in(tree, selection, selection.alone)
    )
    return Submission(student_of(path), tuple(exercises))


# ── where exercises are ─────────────────────────────────────────────────────────────────


class Tree(Protocol):
    """Files in folders, on a disk or in an archive. `root` is what messages call the whole."""

    @property
    def root(self) -> str:
        """The name in messages."""

    def level(self, parts: tuple[str, ...]) -> Level:
        """What stands in the folder that these names lead to. `OSError` if it cannot be read."""

    def read(self, parts: tuple[str, ...], exercise: str) -> SubmittedExercise:
        """All files below that folder, as those of an exercise."""


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
    for exercise in selection.ids:
        ways = (str, str.casefold, folder_key)
        found = ([name for name in here.folders if same(name) == same(exercise)] for same in ways)
        names = next(filter(None, found), [])
        if len(names) == 1:
            yield tree.read((*here.parts, names[0]), exercise)
        elif names:
            problem = "several folders have this name, in upper and lower case. Keep one."
            yield refused_folder(exercise, "/".join([tree.root, *here.parts, names[0]]), problem)
    if alone is not None and (level := loose_files(levels, selection)):
        yield tree.read(level.parts, alone)


def _why(error: OSError) -> str:
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return "it is a link or no folder. Links are not followed; put the folder itself there."
    return f"it cannot be read: {error.strerror}."


# ── archives ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Packed:
    """The members of an archive as a tree; their order says nothing."""

    members: Sequence[Member]
    root: str
    limits: Limits

    def level(self, parts: tuple[str, ...]) -> Level:
        """As `Tree` says."""
        names = [path.partition("/") for path, _ in self._below(parts)]
        files = sorted({name for name, slash, _ in names if not slash})
        return Level(parts, files, sorted({name for name, slash, _ in names if slash}))

    def read(self, parts: tuple[str, ...], exercise: str) -> SubmittedExercise:
        """As `Tree` says."""
        budget = exercise_budget(self.limits)

        def fitting() -> Iterator[Member]:
            for path, one in self._below(parts):
                if not (budget.add_file() and budget.add_bytes(len(one.content))):
                    return
                yield Member(path, one.content, one.mode, one.problem)

        return vetted(exercise, "/".join([self.root, *parts]), fitting(), budget)

    def _below(self, parts: tuple[str, ...]) -> Iterator[tuple[str, Member]]:
        around = "".join(f"{part}/" for part in parts)
        return ((one.path.removeprefix(around), one) for one in self.members if one.path.startswith(around))


def packed_members(stream: BinaryIO, suffix: str, budget: Budget) -> tuple[Member, ...] | Unreadable:
    """The files of an archive by the end of its name, or why it is not taken."""
    if suffix.lower() not in READABLE:
        return Unreadable(f"{suffix} is not read here. Hand in a folder, or one of {', '.join(READABLE)}.")
    return read_archive(stream, suffix, budget)


# ── folders ─────────────────────────────────────────────────────────────────────────────

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder on the disk as a tree; `whole` is the budget that all its exercises share."""

    path: Path
    limits: Limits
    whole: Budget | None = None

    @property
    def root(self) -> str:
        """As `Tree` says."""
        return str(self.path)

    def level(self, parts: tuple[str, ...]) -> Level:
        """As `Tree` says."""
        opened = self._open(parts)
        try:
            return Level(parts, *entries_in(opened))
        finally:
            os.close(opened)

    def read(self, parts: tuple[str, ...], exercise: str) -> SubmittedExercise:
        """As `Tree` says."""
        folder = str(self.path.joinpath(*parts))
        budget = exercise_budget(self.limits, self.whole)
        try:
            opened = self._open(parts)
            try:
                return vetted(exercise, folder, read_files(opened, budget), budget)
            finally:
                os.close(opened)
        except OSError as error:
            return refused_folder(exercise, folder, _why(error))

    def _open(self, parts: Sequence[str]) -> int:
        opened = open_folder(str(self.path))
        for part in parts:
            try:
                inner = open_folder(part, opened)
            finally:
                os.close(opened)
            opened = inner
        return opened


def open_folder(path: str, within: int | None = None) -> int:
    """A file descriptor of a folder, which is no link. `OSError` if it is none or cannot be read."""
    return os.open(path, _FOLDER, dir_fd=within)


def open_file(path: Path) -> BinaryIO:
    """An ordinary file, opened for reading. `OSError` if it is a link, or none, or cannot be read."""
    descriptor = os.open(path, _FILE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no ordinary file")
    return os.fdopen(descriptor, "rb")


def names_in(folder: int) -> list[str]:
    """The names in a folder, sorted. `OSError` (EFBIG) if there are more than anyone has put there by hand."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in islice(entries, _MAX_NAMES + 1))
    if len(names) > _MAX_NAMES:
        raise OSError(errno.EFBIG, f"there are more than {_MAX_NAMES} files in it")
    return names


def entries_in(folder: int) -> tuple[list[str], list[str]]:
    """The names in a folder, sorted: of files, and of folders and links. Links are refused when they are opened."""
    modes = {name: os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode for name in names_in(folder)}
    folders = [name for name, mode in modes.items() if stat.S_ISDIR(mode) or stat.S_ISLNK(mode)]
    return [name for name, mode in modes.items() if stat.S_ISREG(mode) and not is_skipped(name)], folders


def read_files(
    folder: int, budget: Budget, only: Container[str] | None = None, above: tuple[str, ...] = ()
) -> Iterator[Member]:
    """Every file below a folder, by name, or why one may not be graded. Ends early where `budget` is exceeded.

    Of what stands in it directly, `only` names what is read, if not all is; `above` are the names that lead to it.
    `OSError` if the folder itself cannot be read.
    """
    names = [name for name in names_in(folder) if only is None or name in only]
    if above and _VIRTUAL_ENVIRONMENT in names:
        return
    for name in names:
        if budget.exceeded:
            return
        if not is_skipped(name):
            yield from _entry(folder, (*above, name), budget)


_KINDS = {
    stat.S_IFLNK: "it is a link. Links are not followed; put the file itself there.",
    stat.S_IFIFO: "it is a pipe, no ordinary file.",
    stat.S_IFSOCK: "it is a socket, no ordinary file.",
}


def _entry(folder: int, parts: tuple[str, ...], budget: Budget) -> Iterator[Member]:
    path = "/".join(parts)
    if problem := path_problem(parts):
        yield Member(path, problem=problem)
        return
    try:
        mode = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            yield Member(path, problem=_KINDS.get(stat.S_IFMT(mode), "it is no ordinary file."))
        elif budget.add_file():
            opened = os.open(parts[-1], _FOLDER if stat.S_ISDIR(mode) else _FILE, dir_fd=folder)
            try:
                yield from (
                    read_files(opened, budget, above=parts) if stat.S_ISDIR(mode) else _read(opened, path, budget)
                )
            finally:
                os.close(opened)
    except OSError as error:
        yield Member(path, problem=f"it cannot be read: {error.strerror}.")


def _read(file: int, path: str, budget: Budget) -> Iterator[Member]:
    """An open file, read until its end or one byte more than fits, whatever its size is said to be."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):  # it was a moment ago
        yield Member(path, problem="it was exchanged while it was read.")
        return
    left = budget.bytes_left()
    content = bytearray()
    while status.st_size <= left and len(content) <= left and (chunk := os.read(file, _CHUNK)):
        content += chunk
    if budget.add_bytes(max(len(content), status.st_size)):
        yield Member(path, bytes(content), permissions(status.st_mode))


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
    selection = Selection([one.id for one in selected], [one.id for one in course.exercises], course.limits)
    present = False
    if not is_archive(path):
        path = path.absolute().parent if path.is_file() else path
        keys = {folder_key(exercise.id): exercise for exercise in selected}
        present = any(folder_key(folder.name) in keys for folder in _folders(path))
        alone = selected[0] if len(selected) == 1 and not present else None
        if one := keys.get(folder_key(path.resolve().name)) or alone:
            files = read_exercise(path, one.id, course.limits)
            return Target(Submission(path.resolve().parent.name or "student", (files,)), (one,))
    if not (present or is_archive(path) or len(selected) < len(course.exercises)):
        message = (
            f"{path.resolve()}: is neither an exercise's folder nor a submission. Looked for a folder with one of "
            f"these names, or folders with these names in it: {', '.join(selection.known)}. `grader start ID` makes "
            f"one; `--exercise ID` says which exercise a folder with another name is."
        )
        raise UsageError(message)
    submission = read_submission(path, selection)
    found = {item.exercise for item in submission.exercises}
    return Target(submission, tuple(exercise for exercise in selected if every or exercise.id in found))


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
