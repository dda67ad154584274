"""Everyone's submission, from whatever an instructor has: a folder of them, or a download from a platform.

Moodle (mod/assign/locallib.php): `Full Name_12345_assignsubmission_file_`, as a folder around a student's files or
before the name of each; there is no `_` in the name. `onlinetext` instead of `file` is a text that was typed in.
Canvas (lib/content_zipper.rb): `lastfirst_LATE_12345_678910_work.zip`, always files: the name in lower case, perhaps
LATE, the user's number, the file's. A text that was typed in is `lastfirst_12345_text.html`, an address `_link.html`.
Gradescope (Export Submissions): `submission_metadata.yml`, and a folder `submission_12345` for each one.
GitHub Classroom and Classroom 50: clones of repositories, `assignment-login`.

A download is read student by student, each when it is graded, into memory; nothing is unpacked to disk. One `Budget`
counts what a student's part of the download holds and what the archives in it hold; archives within those are files
like others.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml

from grader.course.models import folder_key
from grader.errors import UsageError
from grader.models import Refusal
from grader.sanitize import sanitize_line
from grader.submissions.archive import Unreadable, archive_suffix, names_in_zip, read_archive
from grader.submissions.budget import MEGABYTE, Budget, is_skipped, refused_folder, shown, submission_budget
from grader.submissions.git import committed
from grader.submissions.models import ExerciseFiles, Member, RefusedFolder, Submission, SubmittedExercise
from grader.submissions.reader import (
    Packed,
    Selection,
    entries_in,
    exercises_in,
    find_submissions,
    levels_of,
    loose_files,
    names_in,
    open_file,
    open_folder,
    packed_members,
    read_files,
    read_submission,
    student_of,
)

_MOODLE_MARK = "_assignsubmission_"
"""In every name of a download of Moodle, and in no other."""

_GRADESCOPE = "submission_metadata.yml"
_MAX_METADATA = 16 * MEGABYTE

_WRAPPERS = 3
"""Folders that may stand around a whole download: it was unpacked, and packed again."""

_NAMED = 5
"""Students who are named in a note; of more, only the number is told."""

_MAX_PROBLEMS = 5
"""Problems of one student's part that are told."""

_NO_DOWNLOAD = (
    "is no bulk download of Moodle, Canvas or Gradescope. Expected a zip in which each student's files are in a folder "
    "named like `Full Name_12345_assignsubmission_file_`, or have that before their names, or have names like "
    "`lastfirst_12345_678910_work.zip`, or that has `submission_metadata.yml` in it. Unpack anything else, and name "
    "the folder that holds one folder, zip or tar for each student."
)


@dataclass(frozen=True, slots=True)
class Handin:
    """A student's submission. `path` is a place on the disk, or only stands for the student's part of a download.

    `names` are others by which a roster may call this student; `submitted` is when it was handed in, as ISO 8601 in
    UTC, where platform or git say so.
    """

    path: Path
    student: str
    names: tuple[str, ...] = ()
    submitted: str = ""


@dataclass(frozen=True, slots=True)
class Submissions:
    """A class's submissions. `notes` say how a download was understood."""

    source: Path
    handins: tuple[Handin, ...]
    notes: tuple[str, ...] = ()
    download: Download | None = None
    parts: Mapping[Path, StudentPart] = field(default_factory=dict)

    def read(self, path: Path, selection: Selection) -> Submission:
        """Read one student's submission: of the exercises that are selected, those it has."""
        part = self.parts.get(path)
        if part is None or self.download is None:
            return read_submission(path, selection)
        budget = submission_budget(selection.limits)
        try:
            members = self._members(self.download, part, budget)
        except OSError as error:
            members = Unreadable(f"the download cannot be read any more: {error.strerror}.")
        return Submission(part.student, tuple(_exercises(part, members, selection, budget)))

    def _members(self, download: Download, part: StudentPart, budget: Budget) -> tuple[Member, ...] | Unreadable:
        """The files of a student's part, with their paths in it."""
        source = self.source.resolve()
        if not source.is_dir():
            with open_file(source) as stream:
                return read_archive(stream, ".zip", budget, lambda name: part.path_of(download.below(name)))
        opened = open_folder(str(source))
        try:
            read = read_files(opened, budget, part.tops)
            found = [replace(one, path=part.path_of(one.path) or one.path) for one in read]
        finally:
            os.close(opened)
        members = tuple(one for one in found if not any(is_skipped(name) for name in one.path.split("/")))
        return Unreadable(budget.exceeded) if budget.exceeded else members


def open_submissions(source: Path) -> Submissions:
    """Find out what `source` is: a folder of submissions, or a bulk download. Raises `UsageError` if neither."""
    is_folder = source.is_dir()
    names = _names_in_folder(source) if is_folder else _names_in_zip(source)
    download = _gradescope(source, names) or download_of(names)
    ordinary = find_submissions(source) if is_folder else ()
    if download is None:
        if not is_folder:
            raise UsageError(f"{source}: {_NO_DOWNLOAD}")
        return _ordinary(source, ordinary)
    parts = {source / part.student: part for part in download.parts}
    beside = [path for path in ordinary if path.name in download.others]  # handed in by mail, say
    left_out = sorted(set(download.others) - {path.name for path in beside})
    handins = [Handin(path, part.student, part.names, part.submitted) for path, part in parts.items()]
    handins += [Handin(path, student_of(path)) for path in beside]
    return Submissions(source, tuple(handins), _notes(download, left_out), download, parts)


def _ordinary(source: Path, paths: Sequence[Path]) -> Submissions:
    """A folder of submissions. Clones of repositories have what their names begin with in common; it names nobody."""
    cloned = [path for path in paths if (path / ".git").is_dir() and not path.is_symlink()]
    first = cloned[0].name if len(cloned) > 1 else ""
    heads = [first[: dash.end()] for dash in re.finditer("-", first)]
    prefix = max((head for head in heads if all(path.name.startswith(head) for path in cloned)), key=len, default="")
    if any(path.name == prefix for path in cloned):
        prefix = ""
    handins = []
    for path in paths:
        if path in cloned:
            words = path.name.split("-")
            names = tuple("-".join(words[at:]) for at in range(len(words)))
            handins.append(Handin(path, sanitize_line(path.name.removeprefix(prefix)), names, committed(path)))
        else:
            handins.append(Handin(path, student_of(path)))
    note = f"Read as clones of repositories: students are called as what follows {sanitize_line(prefix)}."
    return Submissions(source, tuple(handins), (note,) if prefix else ())


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
    found: list[str] = []
    try:
        opened = open_folder(str(source.resolve()))
        try:
            folders = set(entries_in(opened)[1])
            for name in names_in(opened):
                found.append(f"{name}/" if name in folders else name)
                if name in folders and _MOODLE_MARK in name:
                    with contextlib.suppress(OSError):  # said of that student, when it is read
                        inner = open_folder(name, opened)
                        try:
                            found += [f"{name}/{inside}" for inside in names_in(inner)]
                        finally:
                            os.close(inner)
        finally:
            os.close(opened)
    except OSError as error:
        raise UsageError(f"{source}: cannot be read as a folder of submissions: {error.strerror}.") from error
    return tuple(found)


# ── whose each file is ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class StudentPart:
    """What one student handed in.

    `tops` are the names that stand in the download directly, each with the path that it has in the
    part, which is empty for a folder around all of it. `numbers` are Canvas's numbers of files by
    path: the higher, the newer. `archives` are the paths known so far, to tell about attempts. With
    `typed`, there is no file but a text or address.
    """

    student: str
    tops: Mapping[str, str]
    numbers: Mapping[str, int] = field(default_factory=dict)
    archives: tuple[str, ...] = ()
    late: bool = False
    typed: bool = False
    names: tuple[str, ...] = ()
    submitted: str = ""

    def path_of(self, name: str) -> str | None:
        """The path in the part of what has this path in the download; None if it is not this student's."""
        top, _, below = name.partition("/")
        around = self.tops.get(top)
        if around is None:
            return None
        path = "/".join(part for part in (around, below) if part) or top
        return f"{path}/" if name.endswith("/") and not below else path  # so a zip marks a folder


@dataclass(frozen=True, slots=True)
class Download:
    """A bulk download: of which platform, the folders around all of it, everyone's part, and what is nobody's."""

    platform: str
    prefix: tuple[str, ...]
    parts: tuple[StudentPart, ...]
    others: tuple[str, ...]

    def below(self, name: str) -> str:
        """A path in the download, without the folders around all of it."""
        return name.removeprefix("".join(f"{part}/" for part in self.prefix))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A name taken apart. `number` is Canvas's of the file."""

    top: str
    name: str
    user: str
    path: str
    number: int = 0
    late: bool = False
    typed: bool = False


_PLATFORMS = {
    "Moodle": re.compile(
        r"(?P<name>.+?)_(?P<user>[0-9]+)_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<path>.*))?", re.DOTALL
    ),
    "Canvas": re.compile(
        r"(?P<name>\w+?)(?P<late>_LATE|_late)?_(?P<user>[1-9][0-9]*)_"
        r"(?:(?P<number>[1-9][0-9]{2,17})_(?P<path>.+)|(?:text|link)\.html)",
        re.DOTALL,
    ),
}


def download_of(paths: Iterable[str]) -> Download | None:
    """The bulk download that has these paths in it (a folder's end in `/`); None if it is none.

    For Moodle one name is enough, for no other has its mark. Canvas has no such mark, so there every folder and
    archive must be named its way, and what the names say must fit together.
    """
    seen = [path for path in paths if not _is_hidden(path)]
    prefix = _prefix(seen)
    around = "".join(f"{part}/" for part in prefix)
    inside = [below for path in seen if (below := path.removeprefix(around)) and not _is_hidden(below)]
    tops = list(dict.fromkeys(path.partition("/")[0] for path in inside))
    for platform in _PLATFORMS:
        pieces = [piece for top in tops if (piece := _piece(platform, top))]
        taken = {piece.top for piece in pieces}
        others = tuple(top for top in tops if top not in taken)
        if pieces and (platform == "Moodle" or _is_canvas(inside, pieces, others)):
            return Download(platform, prefix, tuple(_parts(pieces, inside)), others)
    return None


def _is_hidden(path: str) -> bool:
    top = path.partition("/")[0]
    return is_skipped(top) or top.startswith(".")


def _prefix(paths: Sequence[str]) -> tuple[str, ...]:
    prefix: tuple[str, ...] = ()
    while paths and len(prefix) < _WRAPPERS:
        tops = {path.partition("/")[0] for path in paths}
        (top, *more) = tops
        if more or top in paths or _piece("Moodle", top):
            break
        prefix = (*prefix, top)
        paths = [below for path in paths if (below := path.partition("/")[2])]
    return prefix


def _piece(platform: str, top: str) -> _Piece | None:
    match = _PLATFORMS[platform].fullmatch(top)
    if match is None or (platform == "Canvas" and match["name"] != match["name"].lower()):
        return None
    found = match.groupdict()
    number = int(found.get("number") or 0)
    # What a file was called before the platform put the student's name before it; not if that leads elsewhere.
    path = top if found["path"] in {".", ".."} else found["path"] or ""
    typed = found["kind"] != "file" if platform == "Moodle" else not number
    return _Piece(top, _clean(found["name"]), found["user"], path, number, bool(found.get("late")), typed)


def _clean(name: str) -> str:
    """A name as it is shown. Composed, because macOS takes accents apart when it unpacks, and the roster does not."""
    return sanitize_line(unicodedata.normalize("NFC", name.strip())) or "student"


def _is_canvas(paths: Sequence[str], pieces: Sequence[_Piece], others: Sequence[str]) -> bool:
    """Whether names that look like Canvas's are: `lab_2024_101_ada.zip`, `lab_2024_102_bob.zip` look so too.

    Most must fit together, not all: one student's strange name must not spoil the download of a class.
    """
    folders = {path.partition("/")[0] for path in paths if "/" in path}
    if any(name in folders or archive_suffix(name) for name in others):
        return False
    names: dict[str, set[str]] = {}
    for piece in pieces:
        names.setdefault(piece.user, set()).add(piece.name)
    numbers = Counter(piece.number for piece in pieces if not piece.typed)
    archives = sum(bool(archive_suffix(piece.path)) for piece in pieces)
    return (
        _most(piece.top not in folders for piece in pieces)
        and _most(len(known) == 1 for known in names.values())
        and _most(count == 1 for count in numbers.values())
        and (len({piece.name for piece in pieces}) > 1 or archives <= 1)
    )


def _most(answers: Iterable[bool]) -> bool:
    counted = Counter(answers)
    return counted[True] > counted[False] or not counted


def _parts(pieces: Iterable[_Piece], paths: Iterable[str]) -> Iterator[StudentPart]:
    by_student: dict[tuple[str, str], list[_Piece]] = {}
    for piece in pieces:
        by_student.setdefault((piece.name, piece.user), []).append(piece)
    below: dict[str, list[str]] = {}
    for path in paths:
        top, _, rest = path.partition("/")
        below.setdefault(top, []).append(rest)
    names = Counter(name for name, _ in by_student)
    for (name, user), own in sorted(by_student.items()):
        yield _part(_label(name, user, names), own, below)


def _label(name: str, user: str, names: Counter[str]) -> str:
    """What a student is called: the number too where two have one name, or a name looks like one with a number."""
    return f"{name} ({user})" if names[name] > 1 or re.search(r" \([0-9]+\)$", name) else name


def _part(student: str, own: Sequence[_Piece], below: Mapping[str, Sequence[str]]) -> StudentPart:
    late = any(piece.late for piece in own)
    newest = {piece.path: piece for piece in sorted(own, key=lambda piece: piece.number) if not piece.typed}
    folder = [piece for piece in own if not piece.typed and not piece.path]
    tops = {piece.top: piece.path for piece in (*newest.values(), *folder)}
    found = [*tops.values(), *(rest for piece in folder for rest in below[piece.top])]
    archives = tuple(path for path in dict.fromkeys(found) if "/" not in path and archive_suffix(path))
    numbers = {path: piece.number for path, piece in newest.items()}
    return StudentPart(student, tops, numbers, archives, late, typed=not tops, names=(own[0].user,))


def attempts(archives: Iterable[str], numbers: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """Archives of one student, those together that are attempts at one thing, the newest of them first.

    `work.zip`, `work-1.zip` and `work (2).zip` are attempts: so platforms and browsers name what was there before.
    """
    groups: dict[str, list[tuple[int, int, str]]] = {}
    for path in archives:
        stem, count = _attempt(path)
        groups.setdefault(stem.casefold(), []).append((numbers.get(path, 0), count, path))
    return tuple(tuple(path for *_, path in sorted(group, reverse=True)) for group in groups.values())


def _attempt(path: str) -> tuple[str, int]:
    """The name of an archive without its ending and the number of the attempt, and that number."""
    stem = path.rpartition("/")[2].removesuffix(archive_suffix(path))
    match = re.fullmatch(r"(.+?)(?:-([0-9]{1,3})| ?\(([0-9]{1,3})\))?", stem, re.DOTALL)
    return (match[1], int(match[2] or match[3] or 0)) if match else (stem, 0)


# ── Gradescope ──────────────────────────────────────────────────────────────────────────


def _gradescope(source: Path, names: Sequence[str]) -> Download | None:
    """What `submission_metadata.yml` says, if the download has one. A group's submission is each member's."""
    seen = [name for name in names if not _is_hidden(name)]
    around = "".join(f"{part}/" for part in _prefix(seen))  # a student's own file of this name stands deeper
    place = around + _GRADESCOPE
    if place not in seen:
        return None
    document = _metadata(source, place)
    if not isinstance(document, dict):
        raise UsageError(f"{source}: {_GRADESCOPE} is not what Gradescope exports. Take the download as it is.")
    below = [name.removeprefix(around) for name in seen]
    people: list[tuple[str, str, dict[str, Any], str]] = []
    for top, entry in document.items():
        values = entry if isinstance(entry, dict) else {}
        for person in values.get(":submitters") or [{}]:
            name = _clean(str(person.get(":name") or top))
            people.append((str(top), name, person, _utc(values.get(":created_at"))))
    count = Counter(name for _, name, _, _ in people)
    parts = []
    for top, name, person, submitted in people:
        others = tuple(str(person[key]) for key in (":email", ":sid") if person.get(key))
        label = f"{name} ({others[0] if others else top})" if count[name] > 1 else name
        inside = [rest for path in below if path.startswith(f"{top}/") and (rest := path.removeprefix(f"{top}/"))]
        archives = tuple(path for path in inside if "/" not in path and archive_suffix(path))
        parts.append(StudentPart(label, {top: ""}, archives=archives, names=others, submitted=submitted))
    known = {_GRADESCOPE, *(top for top, *_ in people)}
    others_there = tuple(dict.fromkeys(top for path in below if (top := path.partition("/")[0]) not in known and top))
    return Download(
        "Gradescope",
        tuple(around.split("/")[:-1]),
        tuple(parts),
        tuple(top for top in others_there if not _is_hidden(top)),
    )


def _metadata(source: Path, place: str) -> object:
    """The document, read with the safe loader; Gradescope writes its keys as Ruby's symbols, `:name`."""
    try:
        if source.is_dir():
            with open_file(source / place) as stream:
                text = stream.read(_MAX_METADATA)
        else:
            with open_file(source.resolve()) as stream:
                found = read_archive(
                    stream, ".zip", Budget(1_000_000, _MAX_METADATA), lambda name: name if name == place else None
                )
            text = found[0].content if not isinstance(found, Unreadable) and found else b""
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{source}: {_GRADESCOPE} cannot be read: {error}") from error


def _utc(value: object) -> str:
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="seconds")
    return f"{value}T23:59:59+00:00" if isinstance(value, date) else ""


# ── what an instructor is told ──────────────────────────────────────────────────────────


def _notes(download: Download, left_out: Sequence[str]) -> tuple[str, ...]:
    """How a download was understood, and which names in it were not, in a few lines for the console."""
    count = len(download.parts)
    retried = [
        f"{part.student} ({sanitize_line(group[0], 80)})"
        for part in download.parts
        for group in attempts(part.archives, part.numbers)
        if len(group) > 1
    ]
    lists = {
        "Several attempts, the newest counts": retried,
        f"Late, says {download.platform}": [part.student for part in download.parts if part.late],
        "Nobody's, left out": [sanitize_line(name, 80) for name in left_out],
    }
    first = f"Read as a bulk download of {download.platform}: {count} student{'' if count == 1 else 's'}."
    return (first, *(_listed(what, names) for what, names in lists.items() if names))


def _listed(what: str, names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return f"{what}: {', '.join(names[:_NAMED])}{f' and {more} more' if more > 0 else ''}."


# ── what is in a student's part ─────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Found:
    """An exercise, and the archive it was in; empty if it was in none."""

    archive: str
    submitted: SubmittedExercise


def _exercises(
    part: StudentPart, members: tuple[Member, ...] | Unreadable, selection: Selection, budget: Budget
) -> Iterator[SubmittedExercise]:
    """One answer for each exercise that was handed in; for those that were not, what was wrong, if something was."""
    problems: list[str] = []
    found: dict[str, list[_Found]] = {}
    for item in _look(part, members, selection, budget):
        if isinstance(item, str):
            problems.append(item)
        else:
            found.setdefault(item.submitted.exercise, []).append(item)
    if budget.exceeded:
        problems = [f"{part.student}: {budget.exceeded}"]
    refusals = tuple(Refusal(problem) for problem in sorted(problems)[:_MAX_PROBLEMS])
    for exercise in selection.ids:
        if exercise in found:
            yield _one_of(found[exercise], part.student)
        elif refusals:
            yield RefusedFolder(exercise, part.student, refusals)


def _one_of(several: Sequence[_Found], student: str) -> SubmittedExercise:
    """What was handed in for one exercise, if that is one thing."""
    several = sorted(several, key=lambda found: found.archive)  # packed or unpacked, the files' order tells nothing
    submitted = [found.submitted for found in several]
    if len(submitted) == 1 or len({item.digest if isinstance(item, ExerciseFiles) else "" for item in submitted}) == 1:
        return submitted[0]
    places = " and ".join(shown(found.archive) or "a folder" for found in several)
    return refused_folder(submitted[0].exercise, student, f"it was handed in more than once: in {places}. Keep one.")


def _look(
    part: StudentPart, members: tuple[Member, ...] | Unreadable, selection: Selection, budget: Budget
) -> Iterator[_Found | str]:
    """Each exercise that is there, and what is wrong with anything else."""
    if part.typed:
        typed = "only a text or an address was handed in, no file. Hand in a zip with a folder for each exercise."
        yield f"{part.student}: {typed}"
        return
    if isinstance(members, Unreadable):
        yield f"{part.student}: {members.message}"
        return
    tree = Packed(members, part.student, selection.limits)
    levels = levels_of(tree, selection.known)
    packed = [["/".join([*level.parts, name]) for name in level.files if archive_suffix(name)] for level in levels]
    archives = next(filter(None, packed), [])
    if not archives or (selection.alone and any(level.has_dockerfile for level in levels)):
        yield from _look_in(tree, "", selection, selection.alone)
        return
    for item in exercises_in(tree, selection, None):
        yield _Found("", item)
    by_path = {member.path: member for member in members}
    for group in attempts(archives, part.numbers):
        yield from _look_in_attempts([by_path[path] for path in group], selection, budget)


def _look_in_attempts(archives: Sequence[Member], selection: Selection, budget: Budget) -> Iterator[_Found | str]:
    """Each exercise from the newest archive that has it. One that cannot be read ends it: it was meant to count."""
    stem = folder_key(_attempt(archives[0].path)[0])
    named = next((exercise for exercise in selection.known if folder_key(exercise) == stem), None)
    if named is not None and named not in selection.ids:
        return
    alone = named or selection.alone
    taken: set[str] = set()
    for archive in archives:
        if taken.issuperset(selection.ids):
            return
        members: tuple[Member, ...] | Unreadable = Unreadable(archive.problem)
        if not archive.problem:
            members = packed_members(io.BytesIO(archive.content), archive_suffix(archive.path), budget)
        if isinstance(members, Unreadable):
            yield f"{shown(archive.path)}: {members.message}"
            return
        tree = Packed(members, shown(archive.path), selection.limits)
        for item in _look_in(tree, archive.path, selection, alone):
            if isinstance(item, str):
                yield item
            elif item.submitted.exercise not in taken:
                taken.add(item.submitted.exercise)
                yield item


def _look_in(tree: Packed, archive: str, selection: Selection, alone: str | None) -> Iterator[_Found | str]:
    """The exercises' folders; else, where only the exercise `alone` can be meant, the files that stand in none."""
    for item in exercises_in(tree, selection, alone):
        yield _Found(archive, item)
    if alone is None and (level := loose_files(levels_of(tree, selection.known), selection)):
        paths = {"/".join([*level.parts, name]) for name in level.files}
        # Sorted: a folder tells its files in any order, and an unchanged submission must be told by unchanged words.
        files = sorted((one for one in tree.members if one.path in paths), key=lambda one: one.path)
        yield _unplaced(files, tree.root, selection)


def _unplaced(files: Sequence[Member], root: str, selection: Selection) -> str:
    bad = next((file for file in files if file.problem), None)
    if bad:
        return f"{root}: {shown(bad.path)}: {bad.problem}"
    most = 3
    names = ", ".join(shown(file.path) for file in files[:most]) + (", …" if len(files) > most else "")
    ids = ", ".join(selection.ids[:most]) + (", …" if len(selection.ids) > most else "")
    return (
        f"{root}: {names}: in no exercise's folder, so nobody can tell which exercise this is. "
        f"Put the files of each exercise into a folder named by it ({ids}), and hand in a zip of these folders."
    )
