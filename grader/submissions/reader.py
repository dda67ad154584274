"""From a folder or an archive to a `Submission`: vetted bytes, read once, and nothing else is ever built.

A submission has one folder for each exercise, called by the exercise's id in one of the ways of
`grader.course.models.folder_key`, directly or within up to three folders of any name. Where only one exercise can be
meant, files that stand in no exercise's folder are that exercise's. What is wrong with one exercise is no matter of
the others; what is wrong with the whole (an archive that cannot be read) is said of each.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from grader.course.models import Limits, folder_key
from grader.errors import UsageError
from grader.sanitize import sanitize_line
from grader.submissions.archive import READABLE, Unreadable, archive_suffix, read_archive
from grader.submissions.budget import (
    Budget,
    exercise_budget,
    is_skipped,
    refused_folder,
    submission_budget,
    vetted,
)
from grader.submissions.directory import entries_in, names_in, open_file, open_folder, read_files, subfolders
from grader.submissions.models import Member, Submission, SubmittedExercise

_NESTED = 3
"""Folders that may stand around the exercises: a zip is often made of a folder, and unpacked into another."""

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


def find_submissions(folder: Path) -> tuple[Path, ...]:
    """What in a folder is somebody's submission, by name: its folders and archives, hidden ones left out.

    Archives that cannot be read are among them, so that nobody is forgotten. Other files are not.
    Raises `UsageError` if the folder cannot be read.
    """
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        message = f"{folder}: cannot be read as a folder of submissions: {error.strerror}."
        raise UsageError(message) from error
    try:
        folders = set(subfolders(opened))
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
    return _read_folder(folder, (), exercise, exercise_budget(limits))


def read_submission(path: Path, selection: Selection) -> Submission:
    """Read a student's folder or archive: of the exercises that are selected, those it has.

    All exercises together may have four times what one may.
    """
    read = _exercises_in_archive if is_archive(path) else _exercises_in_folder
    return Submission(student_of(path), tuple(read(path, selection)))


# ── where exercises are ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Level:
    """A folder of a submission, by the names that lead to it, and the names of what stands in it directly."""

    parts: tuple[str, ...]
    files: Sequence[str]
    folders: Sequence[str]

    @property
    def has_dockerfile(self) -> bool:
        """Whether a Dockerfile is among the files."""
        return any(name.casefold() == "dockerfile" for name in self.files)


def levels_of(level_at: Callable[[tuple[str, ...]], Level], known: Sequence[str]) -> list[Level]:
    """The folders that stand around everything, from the outermost to the one that holds the exercises."""
    levels = [level_at(())]
    keys = {folder_key(exercise) for exercise in known}
    while len(levels) <= _NESTED:
        inner = [name for name in levels[-1].folders if not is_skipped(name) and not name.startswith(".")]
        if len(inner) != 1 or folder_key(inner[0]) in keys:
            break
        levels.append(level_at((*levels[-1].parts, inner[0])))
    return levels


def exercise_folders(levels: Sequence[Level], selection: Selection) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each selected exercise that has a folder, with those that may be its: one, unless they differ in case only."""
    for exercise in selection.ids:
        for same in (str, str.casefold, folder_key):
            names = [name for name in levels[-1].folders if same(name) == same(exercise)]
            if names:
                yield exercise, [(*levels[-1].parts, name) for name in names]
                break


def loose_files(levels: Sequence[Level], selection: Selection) -> Level | None:
    """The folder whose files stand in no exercise's folder: the outermost with a Dockerfile, or else with any file."""
    keys = {folder_key(exercise) for exercise in selection.known}
    if any(folder_key(name) in keys for name in levels[-1].folders):
        return None
    with_files = [level for level in levels if level.files]
    return next((level for level in with_files if level.has_dockerfile), with_files[0] if with_files else None)


def read_found(
    levels: Sequence[Level],
    selection: Selection,
    alone: str | None,
    root: str,
    read: Callable[[tuple[str, ...], str], SubmittedExercise],
) -> Iterator[SubmittedExercise]:
    """Read the exercises that have a folder; and, where only the exercise `alone` can be meant, loose files as its."""
    for exercise, places in exercise_folders(levels, selection):
        if len(places) == 1:
            yield read(places[0], exercise)
        else:
            problem = "several folders have this name, in upper and lower case. Keep one."
            yield refused_folder(exercise, "/".join([root, *places[0]]), problem)
    if alone is not None and (level := loose_files(levels, selection)):
        yield read(level.parts, alone)


def only_exercise(selection: Selection) -> str | None:
    """The exercise, if only one is selected."""
    return selection.ids[0] if len(selection.ids) == 1 else None


# ── folders ─────────────────────────────────────────────────────────────────────────────


def _exercises_in_folder(path: Path, selection: Selection) -> Iterator[SubmittedExercise]:
    def level_at(parts: tuple[str, ...]) -> Level:
        opened = _open_below(path, parts)
        try:
            files, folders = entries_in(opened)
        finally:
            os.close(opened)
        return Level(parts, files, folders)

    try:
        levels = levels_of(level_at, selection.known)
    except OSError as error:
        yield from (refused_folder(exercise, str(path), _why(error)) for exercise in selection.ids)
        return
    whole = submission_budget(selection.limits)

    def read(parts: tuple[str, ...], exercise: str) -> SubmittedExercise:
        return _read_folder(path, parts, exercise, exercise_budget(selection.limits, whole))

    yield from read_found(levels, selection, only_exercise(selection), str(path), read)


def _read_folder(path: Path, parts: tuple[str, ...], exercise: str, budget: Budget) -> SubmittedExercise:
    folder = str(path.joinpath(*parts))
    try:
        opened = _open_below(path, parts)
    except OSError as error:
        return refused_folder(exercise, folder, _why(error))
    try:
        return vetted(exercise, folder, read_files(opened, budget), budget)
    except OSError as error:
        return refused_folder(exercise, folder, _why(error))
    finally:
        os.close(opened)


def _open_below(path: Path, parts: Sequence[str]) -> int:
    """Open a folder below another, each by its name in the one above, and none of them through a link."""
    opened = open_folder(str(path))
    for part in parts:
        try:
            inner = open_folder(part, opened)
        finally:
            os.close(opened)
        opened = inner
    return opened


def _why(error: OSError) -> str:
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return "it is a link or no folder. Links are not followed; put the folder itself there."
    return f"it cannot be read: {error.strerror}."


# ── archives ────────────────────────────────────────────────────────────────────────────


def _exercises_in_archive(path: Path, selection: Selection) -> Iterator[SubmittedExercise]:
    try:
        with open_file(path) as stream:
            members = packed_members(stream, archive_suffix(path.name), submission_budget(selection.limits))
    except OSError as error:
        members = Unreadable(_why(error))
    if isinstance(members, Unreadable):
        yield from (refused_folder(exercise, path.name, members.message) for exercise in selection.ids)
        return
    levels = levels_of(lambda parts: level_in(members, parts), selection.known)
    read = reader_of(members, path.name, selection.limits)
    yield from read_found(levels, selection, only_exercise(selection), path.name, read)


def packed_members(stream: BinaryIO, suffix: str, budget: Budget) -> tuple[Member, ...] | Unreadable:
    """The files of an archive by the end of its name, or why it is not taken."""
    if suffix.lower() not in READABLE:
        return Unreadable(f"{suffix} is not read here. Hand in a folder, or one of {', '.join(READABLE)}.")
    return read_archive(stream, suffix, budget)


def level_in(members: Iterable[Member], parts: tuple[str, ...]) -> Level:
    """What stands in a folder of an archive, by name; the order in the archive says nothing."""
    around = "".join(f"{part}/" for part in parts)
    names = [one.path.removeprefix(around).partition("/") for one in members if one.path.startswith(around)]
    files = sorted({name for name, slash, _ in names if not slash})
    return Level(parts, files, sorted({name for name, slash, _ in names if slash}))


def reader_of(
    members: Sequence[Member], root: str, limits: Limits
) -> Callable[[tuple[str, ...], str], SubmittedExercise]:
    """What reads the members in a folder as those of one exercise. Messages call the whole `root`."""

    def read(parts: tuple[str, ...], exercise: str) -> SubmittedExercise:
        inside = "".join(f"{part}/" for part in parts)
        budget = exercise_budget(limits)
        return vetted(exercise, f"{root}/{inside}".rstrip("/"), _within(members, inside, budget), budget)

    return read


def _within(members: Iterable[Member], inside: str, budget: Budget) -> Iterator[Member]:
    """The members in a folder, as long as they fit, with their paths in it."""
    for member in members:
        if member.path.startswith(inside):
            if not (budget.add_file() and budget.add_bytes(len(member.content))):
                return
            yield Member(member.path.removeprefix(inside), member.content, member.mode, member.problem)
