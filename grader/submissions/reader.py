"""From a folder or an archive to a `Submission`: vetted bytes, read once, and nothing else is ever built.

A submission has one folder for each exercise, named by the exercise's id, directly or within one
folder of any name. What is wrong with one exercise is no matter of the others; what is wrong with
the whole (an archive that cannot be read) is said of each.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from grader.course.models import Limits
from grader.errors import UsageError
from grader.models import MemoryFile, Refusal
from grader.sanitize import inert_line
from grader.submissions.archive import READABLE, Member, Unreadable, archive_suffix, read_archive
from grader.submissions.budget import MEGABYTE, Room, is_skipped, shown, vetted, whole_room
from grader.submissions.directory import names_in, open_file, open_folder, read_files, subfolders
from grader.submissions.models import ExerciseFiles, RefusedFolder, Submission

Handed = ExerciseFiles | RefusedFolder
"""What was handed in for one exercise."""

_NESTED = 3
"""Folders that may stand around the exercises: a zip is often made of a folder, and unpacked into another."""


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
    return inert_line(path.name.removesuffix(suffix)) or "student"


def is_archive(path: Path) -> bool:
    """Whether a path is a file with the name of an archive, readable or not."""
    return bool(archive_suffix(path.name)) and path.is_file()


def read_exercise(folder: Path, exercise_id: str, limits: Limits) -> ExerciseFiles | RefusedFolder:
    """Read the folder of one exercise. `folder` must not be a link itself; resolve it first if it may be."""
    try:
        opened = open_folder(str(folder))
    except OSError as error:
        return refused_folder(exercise_id, str(folder), _why(error))
    return _read_opened(opened, exercise_id, str(folder), _room(limits))


def read_submission(path: Path, ids: Sequence[str], limits: Limits) -> Submission:
    """Read a student's folder or archive: of the exercises `ids`, those it has.

    Folders are matched by id, in the same case or else in any. All exercises together may have
    four times what one may.
    """
    read = _read_archive if is_archive(path) else _read_folder
    return Submission(student_of(path), read(path, ids, limits))


def _room(limits: Limits, whole: Room | None = None) -> Room:
    return Room(limits.context_files, limits.context_mb * MEGABYTE, whole)


def _inner_folder(folders: Sequence[str], ids: Sequence[str]) -> str | None:
    """The one folder that stands around the exercises, if they are not here."""
    seen = [name for name in folders if not is_skipped(name) and not name.startswith(".")]
    here = {name.casefold() for name in seen} & {identifier.casefold() for identifier in ids}
    return seen[0] if len(seen) == 1 and not here else None


def _matches(folders: Sequence[str], ids: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each exercise that is there, with the folders that may be its: one, unless they differ in case only."""
    for identifier in ids:
        same = [name for name in folders if name.casefold() == identifier.casefold()]
        found = [identifier] if identifier in same else same
        if found:
            yield identifier, found


_AMBIGUOUS = "several folders have this name, in upper and lower case. Keep one."


def refused_folder(exercise: str, folder: str, problem: str) -> RefusedFolder:
    """An exercise that may not be graded, with one message: where, and what is wrong."""
    told = shown(folder)
    return RefusedFolder(exercise, told, (Refusal(f"{told}: {problem}"),))


def _why(error: OSError) -> str:
    if error.errno in {errno.ELOOP, errno.ENOTDIR}:
        return "it is a link or no folder. Links are not followed; put the folder itself there."
    return f"it cannot be read: {error.strerror}."


# ── folders ─────────────────────────────────────────────────────────────────────────────


def _read_folder(path: Path, ids: Sequence[str], limits: Limits) -> tuple[Handed, ...]:
    try:
        opened, inner = _open_exercises(path, ids)
    except OSError as error:
        return tuple(refused_folder(identifier, str(path), _why(error)) for identifier in ids)
    try:
        whole = whole_room(limits)
        return tuple(
            _read_one(opened, inner, identifier, names, _room(limits, whole))
            for identifier, names in _matches(subfolders(opened), ids)
        )
    finally:
        os.close(opened)


def _open_exercises(path: Path, ids: Sequence[str]) -> tuple[int, Path]:
    """The folder that holds the exercises' folders, opened, and its path. `OSError` if it cannot be."""
    opened = open_folder(str(path))
    try:
        for _ in range(_NESTED):
            inner = _inner_folder(subfolders(opened), ids)
            if inner is None:
                break
            opened, outer, path = open_folder(inner, opened), opened, path / inner
            os.close(outer)
    except OSError:
        os.close(opened)
        raise
    return opened, path


def _read_one(within: int, path: Path, exercise: str, names: list[str], room: Room) -> Handed:
    folder = str(path / names[0])
    if len(names) > 1:
        return refused_folder(exercise, folder, _AMBIGUOUS)
    try:
        opened = open_folder(names[0], within)
    except OSError as error:
        return refused_folder(exercise, folder, _why(error))
    return _read_opened(opened, exercise, folder, room)


def _read_opened(opened: int, exercise: str, folder: str, room: Room) -> Handed:
    try:
        return vetted(exercise, folder, read_files(opened, room), room)
    except OSError as error:
        return refused_folder(exercise, folder, _why(error))
    finally:
        os.close(opened)


# ── archives ────────────────────────────────────────────────────────────────────────────


def _read_archive(path: Path, ids: Sequence[str], limits: Limits) -> tuple[Handed, ...]:
    suffix = archive_suffix(path.name)
    try:
        with open_file(path) as stream:
            members = packed_members(stream, suffix, whole_room(limits))
    except OSError as error:
        members = Unreadable(_why(error))
    if isinstance(members, Unreadable):
        return tuple(refused_folder(identifier, path.name, members.message) for identifier in ids)
    return exercises_in(members, path.name, prefix_of(members, ids), ids, limits)


def packed_members(stream: BinaryIO, suffix: str, room: Room) -> tuple[Member, ...] | Unreadable:
    """The files of an archive by the end of its name, or why it is not taken."""
    if suffix.lower() not in READABLE:
        return Unreadable(f"{suffix} is not read here. Hand in a folder, or one of {', '.join(READABLE)}.")
    return read_archive(stream, suffix, room)


def prefix_of(members: Sequence[Member], ids: Sequence[str]) -> tuple[str, ...]:
    """The folders, within each other, that stand around the exercises `ids`."""
    prefix: tuple[str, ...] = ()
    for _ in range(_NESTED):
        inner = _inner_folder(folders_at(members, prefix), ids)
        if inner is None:
            break
        prefix = (*prefix, inner)
    return prefix


def folders_at(members: Sequence[Member], prefix: Sequence[str]) -> list[str]:
    """The names of the folders that stand in a folder."""
    depth = len(prefix)
    paths = (member.path.split("/") for member in members)
    return sorted({path[depth] for path in paths if len(path) > depth + 1 and path[:depth] == list(prefix)})


def exercises_in(
    members: Sequence[Member], root: str, prefix: Sequence[str], ids: Sequence[str], limits: Limits
) -> tuple[Handed, ...]:
    """Those of the exercises `ids` whose folders stand in `prefix`. Messages call the whole `root`."""
    return tuple(
        exercise_at(members, root, (*prefix, names[0]), exercise, limits)
        if len(names) == 1
        else refused_folder(exercise, "/".join([root, *prefix, names[0]]), _AMBIGUOUS)
        for exercise, names in _matches(folders_at(members, prefix), ids)
    )


def exercise_at(members: Sequence[Member], root: str, parts: Sequence[str], exercise: str, limits: Limits) -> Handed:
    """The members in one folder, as those of one exercise."""
    inside = "".join(f"{part}/" for part in parts)
    room = _room(limits)
    return vetted(exercise, f"{root}/{inside}".rstrip("/"), _fitting(members, inside, room), room)


def _fitting(members: Iterable[Member], inside: str, room: Room) -> Iterator[MemoryFile | Refusal]:
    """The members in a folder, as long as there is room."""
    for member in members:
        path = member.path.removeprefix(inside)
        if not member.path.startswith(inside):
            continue
        if not (room.take_file() and room.take_bytes(len(member.content))):
            return
        if member.problem:
            yield Refusal(f"{shown(path)}: {member.problem}", shown(path))
        else:
            yield MemoryFile(path, member.content, member.mode)
