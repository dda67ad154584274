"""Everyone's submission, from whatever an instructor has: a folder of them, or a bulk download, packed or unpacked.

A download is read student by student, each when it is graded, into memory; nothing is unpacked to
disk. One `Room` counts what a student's part of the download holds and what the archives in it hold;
archives within those are files like others.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.course.models import Limits
from grader.errors import UsageError
from grader.models import MemoryFile, Refusal
from grader.submissions.archive import Member, Unreadable, archive_suffix, names_in_zip, read_archive
from grader.submissions.budget import Room, is_skipped, shown, whole_room
from grader.submissions.directory import names_in, open_file, open_folder, read_files, subfolders
from grader.submissions.lms_names import MOODLE_MARK, Download, Parcel, attempts, download_of, notes_of, plain_stem
from grader.submissions.models import ExerciseFiles, RefusedFolder, Submission
from grader.submissions.reader import (
    Handed,
    exercise_at,
    exercises_in,
    find_submissions,
    folders_at,
    packed_members,
    prefix_of,
    read_submission,
    refused_folder,
    student_of,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which exercises are read, of all that the course has (whose folders must not be taken for anything else)."""

    ids: Sequence[str]
    known: Sequence[str]
    limits: Limits


@dataclass(frozen=True, slots=True)
class Intake:
    """A class's submissions. Each has a path; those of a bulk download only stand for a student's part of it.

    `notes` say how a download was understood.
    """

    source: Path
    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    download: Download | None
    parcels: Mapping[Path, Parcel]

    def student_of(self, path: Path) -> str:
        """The name of the student whose submission this is."""
        parcel = self.parcels.get(path)
        return parcel.student if parcel else student_of(path)

    def read(self, path: Path, wanted: Wanted) -> Submission:
        """Read one student's submission, of the exercises that are wanted those it has."""
        parcel = self.parcels.get(path)
        if parcel is None or self.download is None:
            return read_submission(path, wanted.ids, wanted.limits)
        room = whole_room(wanted.limits)
        read = _read_folder if self.source.is_dir() else _read_zip
        members = read(self.source, self.download, parcel, room)
        return Submission(parcel.student, tuple(_handed(parcel, members, wanted, room)))


def open_intake(source: Path) -> Intake:
    """Find out what `source` is: a folder of submissions, or a bulk download. Raises `UsageError` if neither."""
    download = download_of(_names_in_folder(source) if source.is_dir() else _names_in_zip(source))
    ordinary = find_submissions(source) if source.is_dir() else ()
    if download is None:
        if not source.is_dir():
            raise UsageError(f"{source}: {_NO_DOWNLOAD}")
        return Intake(source, ordinary, (), None, {})
    parcels = {source / parcel.student: parcel for parcel in download.parcels}
    beside = [path for path in ordinary if path.name in download.others]  # handed in by mail, say
    left_out = sorted(set(download.others) - {path.name for path in beside})
    return Intake(source, (*parcels, *beside), notes_of(download, left_out), download, parcels)


_NO_DOWNLOAD = (
    "is no bulk download of Moodle or Canvas. Expected a zip in which each student's files are in a folder named "
    "like `Full Name_12345_assignsubmission_file_`, or have that before their names, or have names like "
    "`lastfirst_12345_678910_work.zip`. Unpack anything else, and name the folder that holds one folder, zip or "
    "tar for each student."
)


def _names_in_zip(source: Path) -> tuple[str, ...]:
    try:
        with open_file(source.resolve()) as stream:
            names = names_in_zip(stream)
    except OSError as error:
        raise UsageError(f"{source}: cannot be read: {error.strerror}.") from error
    if isinstance(names, Unreadable):
        problem = _NO_DOWNLOAD if archive_suffix(source.name).lower() != ".zip" else names.message
        raise UsageError(f"{source}: {problem}")
    return names


def _names_in_folder(source: Path) -> tuple[str, ...]:
    """The names in a folder, those of folders with a `/`, and of Moodle's folders what stands in them."""
    try:
        opened = open_folder(str(source.resolve()))
    except OSError as error:
        raise UsageError(f"{source}: cannot be read as a folder of submissions: {error.strerror}.") from error
    try:
        folders = set(subfolders(opened))
        return tuple(path for name in names_in(opened) for path in _paths(opened, name, is_folder=name in folders))
    finally:
        os.close(opened)


def _paths(within: int, name: str, *, is_folder: bool) -> Iterator[str]:
    yield f"{name}/" if is_folder else name
    if is_folder and MOODLE_MARK in name:
        with contextlib.suppress(OSError):  # said of that student, when it is read
            yield from (f"{name}/{inside}" for inside in _names_below(within, name))


def _names_below(within: int, name: str) -> list[str]:
    opened = open_folder(name, within)
    try:
        return names_in(opened)
    finally:
        os.close(opened)


# ── reading a parcel ────────────────────────────────────────────────────────────────────


def _read_zip(source: Path, download: Download, parcel: Parcel, room: Room) -> tuple[Member, ...] | Unreadable:
    try:
        with open_file(source.resolve()) as stream:
            return read_archive(stream, ".zip", room, lambda name: parcel.path_of(download.below(name)))
    except OSError as error:
        return Unreadable(f"the download cannot be read any more: {error.strerror}.")


def _read_folder(source: Path, _download: Download, parcel: Parcel, room: Room) -> tuple[Member, ...] | Unreadable:
    try:
        opened = open_folder(str(source.resolve()))
    except OSError as error:
        return Unreadable(f"the download cannot be read any more: {error.strerror}.")
    try:
        found = [_member(item, parcel) for item in read_files(opened, room, parcel.tops)]
    except OSError as error:
        return Unreadable(f"the download cannot be read any more: {error.strerror}.")
    finally:
        os.close(opened)
    members = tuple(one for one in found if not any(is_skipped(part) for part in one.path.split("/")))
    return Unreadable(room.spent) if room.spent else members


def _member(item: MemoryFile | Refusal, parcel: Parcel) -> Member:
    if isinstance(item, MemoryFile):
        return Member(parcel.path_of(item.path) or item.path, item.content, item.mode)
    path = parcel.path_of(item.file) or item.file
    return Member(path, problem=item.message.removeprefix(f"{item.file}: "))


# ── what is in a parcel ─────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Found:
    """An exercise, and the archive it was in; empty if it was in none."""

    archive: str
    handed: Handed


_MAX_PROBLEMS = 5
_TYPED = "only a text or an address was handed in, no file. Hand in a zip with a folder for each exercise."


def _handed(parcel: Parcel, members: tuple[Member, ...] | Unreadable, wanted: Wanted, room: Room) -> Iterator[Handed]:
    """One answer for each exercise that was handed in; for those that were not, what was wrong, if something was."""
    problems: list[str] = []
    found: dict[str, list[_Found]] = {}
    for item in _look(parcel, members, wanted, room):
        if isinstance(item, str):
            problems.append(item)
        else:
            found.setdefault(item.handed.exercise, []).append(item)
    if room.spent:
        problems = [f"{parcel.student}: {room.spent}"]
    for exercise in wanted.ids:
        if exercise in found:
            yield _one_of(found[exercise], parcel.student)
        elif problems:
            yield RefusedFolder(
                exercise, parcel.student, tuple(Refusal(told) for told in sorted(problems)[:_MAX_PROBLEMS])
            )


def _one_of(several: Sequence[_Found], student: str) -> Handed:
    """What was handed in for one exercise, if that is one thing."""
    several = sorted(several, key=lambda found: found.archive)  # packed or unpacked, the files' order tells nothing
    handed = [found.handed for found in several]
    if len(handed) == 1 or len({item.digest if isinstance(item, ExerciseFiles) else "" for item in handed}) == 1:
        return handed[0]
    places = " and ".join(shown(found.archive) or "a folder" for found in several)
    return refused_folder(handed[0].exercise, student, f"it was handed in more than once: in {places}. Keep one.")


def _look(
    parcel: Parcel, members: tuple[Member, ...] | Unreadable, wanted: Wanted, room: Room
) -> Iterator[_Found | str]:
    """Each exercise that is there, and what is wrong with anything else."""
    if parcel.typed or isinstance(members, Unreadable):
        yield f"{parcel.student}: {members.message if isinstance(members, Unreadable) else _TYPED}"
        return
    levels = _levels(members, wanted)
    archives = next((there for level in levels if (there := _archives(members, level))), {})
    alone = wanted.ids[0] if len(wanted.ids) == 1 else None
    if not archives or (alone and any(_has_dockerfile(members, level) for level in levels)):
        yield from _look_in_folder(members, "", parcel.student, wanted, alone)
        return
    for item in exercises_in(members, parcel.student, levels[-1], wanted.ids, wanted.limits):
        yield _Found("", item)
    for group in attempts(archives, parcel.numbers):
        yield from _look_in_attempts([archives[path] for path in group], wanted, room)


def _look_in_attempts(archives: Sequence[Member], wanted: Wanted, room: Room) -> Iterator[_Found | str]:
    """Each exercise from the newest archive that has it. One that cannot be read ends it: it was meant to count."""
    stem = plain_stem(archives[0].path).casefold()
    named = next((identifier for identifier in wanted.known if identifier.casefold() == stem), None)
    if named is not None and named not in wanted.ids:
        return
    alone = named or (wanted.ids[0] if len(wanted.ids) == 1 else None)
    taken: set[str] = set()
    for archive in archives:
        if taken.issuperset(wanted.ids):
            return
        members = _unpacked(archive, room)
        if isinstance(members, Unreadable):
            yield f"{shown(archive.path)}: {members.message}"
            return
        for item in _look_in_folder(members, archive.path, shown(archive.path), wanted, alone):
            if isinstance(item, str) or item.handed.exercise not in taken:
                yield item
            if not isinstance(item, str):
                taken.add(item.handed.exercise)


def _unpacked(archive: Member, room: Room) -> tuple[Member, ...] | Unreadable:
    if archive.problem:
        return Unreadable(archive.problem)
    return packed_members(io.BytesIO(archive.content), archive_suffix(archive.path), room)


def _look_in_folder(
    members: Sequence[Member], archive: str, root: str, wanted: Wanted, alone: str | None
) -> Iterator[_Found | str]:
    """The exercises' folders; else, where only the exercise `alone` can be meant, the files that stand in none."""
    levels = _levels(members, wanted)
    for item in exercises_in(members, root, levels[-1], wanted.ids, wanted.limits):
        yield _Found(archive, item)
    known = {identifier.casefold() for identifier in wanted.known}
    if any(name.casefold() in known for name in folders_at(members, levels[-1])):
        return
    with_files = [level for level in levels if _files_at(members, level)]
    if not with_files:
        return
    level = next((level for level in with_files if _has_dockerfile(members, level)), with_files[0])
    if alone is not None:
        yield _Found(archive, exercise_at(members, root, level, alone, wanted.limits))
    else:
        # Sorted: a folder tells its files in any order, and an unchanged submission must be told by unchanged words.
        yield _homeless(sorted(_files_at(members, level), key=lambda file: file.path), root, wanted)


def _homeless(files: Sequence[Member], root: str, wanted: Wanted) -> str:
    bad = next((file for file in files if file.problem), None)
    if bad:
        return f"{root}: {shown(bad.path)}: {bad.problem}"
    names = ", ".join(shown(file.path) for file in files[:_MAX_NAMED]) + (", …" if len(files) > _MAX_NAMED else "")
    ids = ", ".join(wanted.ids[:_MAX_NAMED]) + (", …" if len(wanted.ids) > _MAX_NAMED else "")
    return (
        f"{root}: {names}: in no exercise's folder, so nobody can tell which exercise this is. "
        f"Put the files of each exercise into a folder named by it ({ids}), and hand in a zip of these folders."
    )


_MAX_NAMED = 3


def _levels(members: Sequence[Member], wanted: Wanted) -> list[tuple[str, ...]]:
    """The folders that stand around everything, from none of them to all."""
    prefix = prefix_of(members, wanted.known)
    return [prefix[:depth] for depth in range(len(prefix) + 1)]


def _files_at(members: Sequence[Member], level: Sequence[str]) -> list[Member]:
    """The files that stand in a folder themselves, by name; their order in an archive says nothing."""
    around = "".join(f"{part}/" for part in level)
    found = [one for one in members if one.path.startswith(around) and "/" not in one.path.removeprefix(around)]
    return sorted(found, key=lambda one: one.path)


def _archives(members: Sequence[Member], level: Sequence[str]) -> dict[str, Member]:
    return {member.path: member for member in _files_at(members, level) if archive_suffix(member.path)}


def _has_dockerfile(members: Sequence[Member], level: Sequence[str]) -> bool:
    return any(member.path.rpartition("/")[2].casefold() == "dockerfile" for member in _files_at(members, level))
