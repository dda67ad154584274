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

import io
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
from grader.submissions.archive import Unreadable, archive_suffix, read_archive
from grader.submissions.git import committed
from grader.submissions.models import (
    MEGABYTE,
    Budget,
    ExerciseFiles,
    Member,
    RefusedFolder,
    Submission,
    SubmittedExercise,
    is_skipped,
    refused_folder,
    shown,
    submission_budget,
)
from grader.submissions.reader import (
    Packed,
    Selection,
    entries_in,
    exercises_in,
    levels_of,
    looks_like_folder,
    loose_files,
    open_file,
    opened_folder,
    read_files,
    read_submission,
    student_of,
)

_GRADESCOPE = "submission_metadata.yml"
_MAX_METADATA = 16 * MEGABYTE

_WRAPPERS = 3
"""Folders that may stand around a whole download: it was unpacked, and packed again."""

_NAMED = 5
"""Names in a note, and problems of one student, that are told; of more names, the number is."""

_NO_DOWNLOAD = (
    "is no bulk download of Moodle, Canvas or Gradescope. Expected a zip in which each student's files are in a folder "
    "named like `Full Name_12345_assignsubmission_file_`, or have that before their names, or have names like "
    "`lastfirst_12345_678910_work.zip`, or that has `submission_metadata.yml` in it. Unpack anything else, and name "
    "the folder that holds one folder, zip or tar for each student."
)


@dataclass(frozen=True, slots=True)
class Handin:
    """A student's submission. `path` is where it lies, or only stands for it where it is a part of a download.

    `names` are others by which a roster may call this student; `submitted` is when it was handed in, as ISO 8601 in
    UTC, where platform or git say so.

    Of a part of a download, `tops` are the names that stand in the download directly, each with the path that it has in
    the part, which is empty for a folder around all of it; without any, there is no file but a text or address.
    `numbers` are Canvas's numbers of files by path: the higher, the newer.
    """

    path: Path
    student: str
    names: tuple[str, ...] = ()
    submitted: str = ""
    tops: Mapping[str, str] | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    is_late: bool = False


@dataclass(frozen=True, slots=True)
class Submissions:
    """A class's submissions. `notes` say how a download was understood.

    `around` are the folders around all of a download, as a path with a `/` at its end.
    """

    source: Path
    handins: tuple[Handin, ...]
    notes: tuple[str, ...] = ()
    around: str = ""

    def read(self, handin: Handin, selection: Selection) -> Submission:
        """Read one student's submission: of the exercises that are selected, those it has."""
        if handin.tops is None:
            return read_submission(handin.path, selection)
        budget = submission_budget(selection.limits)
        try:
            members = _members(self.source, self.around, handin.tops, budget)
        except OSError as error:
            members = Unreadable(f"the download cannot be read any more: {error.strerror}.")
        return Submission(handin.student, tuple(_exercises(handin, members, selection, budget)))


def _members(source: Path, around: str, tops: Mapping[str, str], budget: Budget) -> tuple[Member, ...] | Unreadable:
    """The files of a part of a download, with their paths in it; `tops` is that of `Handin`."""

    def place(name: str) -> str | None:
        top, _, below = name.removeprefix(around).partition("/")
        if top not in tops:
            return None
        path = "/".join(part for part in (tops[top], below) if part) or top
        return f"{path}/" if name.endswith("/") and not below else path  # so a zip marks a folder

    source = source.resolve()
    if not source.is_dir():
        with open_file(source) as stream:
            return read_archive(stream, ".zip", budget, place)
    with opened_folder(str(source)) as folder:
        found = [replace(one, path=place(one.path) or one.path) for one in read_files(folder, budget, tops)]
    members = tuple(one for one in found if not any(is_skipped(name) for name in one.path.split("/")))
    return Unreadable(budget.exceeded) if budget.exceeded else members


def open_submissions(source: Path) -> Submissions:
    """Find out what `source` is: a folder of submissions, or a bulk download. Raises `UsageError` if neither."""
    is_folder = source.is_dir()
    names = [name for name in _names_in(source) if not _is_hidden(name)]
    around = "" if is_folder else _around(names)
    inside = [below for name in names if (below := name.removeprefix(around)) and not _is_hidden(below)]
    tops = {top: top in inside for top in dict.fromkeys(name.partition("/")[0] for name in inside)}
    ordinary = [source / top for top, is_file in tops.items() if is_folder and (not is_file or archive_suffix(top))]
    platform, pieces = _recognised(source, around, inside, tops)
    if not platform:
        if not is_folder:
            raise UsageError(f"{source}: {_NO_DOWNLOAD}")
        return _ordinary(source, ordinary)
    taken = {_GRADESCOPE, *(piece.top for piece in pieces)}
    beside = [path for path in ordinary if path.name not in taken]  # handed in by mail, say
    left_out = sorted(tops.keys() - taken - {path.name for path in beside})
    parts = [_part(source, student, own) for student, own in _by_student(pieces)]
    notes = [f"Read as a bulk download of {platform}: {len(parts)} student{'' if len(parts) == 1 else 's'}."]
    if late := [part.student for part in parts if part.is_late]:
        notes.append(f"Late, says {platform}: {listed(late)}.")
    if left_out:
        notes.append(f"Nobody's, left out: {listed([sanitize_line(name, 80) for name in left_out])}.")
    return Submissions(source, (*parts, *(Handin(path, student_of(path)) for path in beside)), tuple(notes), around)


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


def _names_in(source: Path) -> Sequence[str]:
    """The names in a folder, or the paths that a zip gives its members: they may lead anywhere. Folders end in `/`."""
    names: list[str] = []
    try:
        if source.is_dir():
            with opened_folder(str(source.resolve())) as folder:
                return [f"{one.name}/" if looks_like_folder(one) else one.name for one in entries_in(folder)]
        with open_file(source.resolve()) as stream:
            found = read_archive(stream, ".zip", Budget(0, 0), names.append)
    except OSError as error:
        raise UsageError(f"{source}: cannot be read: {error.strerror}.") from error
    if isinstance(found, Unreadable):
        problem = _NO_DOWNLOAD if archive_suffix(source.name).lower() != ".zip" else found.message
        raise UsageError(f"{source}: {problem}")
    return names


def _is_hidden(path: str) -> bool:
    top = path.partition("/")[0]
    return is_skipped(top) or top.startswith(".")


def _around(paths: Sequence[str]) -> str:
    """The folders that stand around everything, at most three, as a path with a `/` at its end."""
    around = ""
    for _ in range(_WRAPPERS):
        tops = {path.partition("/")[0] for path in paths}
        if len(tops) != 1 or not tops.isdisjoint(paths) or _piece("Moodle", min(tops)):
            break
        around += f"{tops.pop()}/"
        paths = [below for path in paths if (below := path.partition("/")[2])]
    return around


# ── whose each file is ──────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Piece:
    """What a platform says of a name that stands in the download directly.

    `user` tells namesakes apart, `path` is what the file was called before the platform put the student's name before
    it, `number` is Canvas's of the file. `names` and `submitted` are those of `Handin`.
    """

    top: str
    name: str
    user: str
    path: str = ""
    number: int = 0
    late: bool = False
    typed: bool = False
    names: tuple[str, ...] = ()
    submitted: str = ""


_PLATFORMS = {
    "Moodle": re.compile(
        r"(?P<name>.+?)_(?P<user>[0-9]+)_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<path>.*))?", re.DOTALL
    ),
    "Canvas": re.compile(
        r"(?P<name>[^\WA-Z]+?)(?P<late>_LATE|_late)?_(?P<user>[1-9][0-9]*)_"
        r"(?:(?P<number>[1-9][0-9]{2,17})_(?P<path>.+)|(?:text|link)\.html)",
        re.DOTALL,
    ),
}


def _recognised(
    source: Path, around: str, paths: Sequence[str], tops: Mapping[str, bool]
) -> tuple[str, Sequence[_Piece]]:
    """The platform whose download has these paths in it, and what it says; an empty name if it is none.

    For Moodle one name is enough, for no other has its mark. Canvas has no such mark, so there every folder and
    archive must be named its way, and what the names say must fit together.
    """
    if tops.get(_GRADESCOPE):  # a student's own file of this name stands deeper
        return "Gradescope", _gradescope(source, around)
    for platform in _PLATFORMS:
        pieces = [piece for top in tops if (piece := _piece(platform, top))]
        if pieces and (platform == "Moodle" or _is_canvas(paths, pieces, tops)):
            return platform, pieces
    return "", ()


def _piece(platform: str, top: str) -> _Piece | None:
    match = _PLATFORMS[platform].fullmatch(top)
    if match is None:
        return None
    found = match.groupdict()
    number = int(found.get("number") or 0)
    path = top if found["path"] in {".", ".."} else found["path"] or ""  # a name that leads elsewhere stays as it is
    typed = found["kind"] != "file" if platform == "Moodle" else not number
    user = found["user"]
    return _Piece(top, _clean(found["name"]), user, path, number, bool(found.get("late")), typed, (user,))


def _clean(name: str) -> str:
    """A name as it is shown. Composed, because macOS takes accents apart when it unpacks, and the roster does not."""
    return sanitize_line(unicodedata.normalize("NFC", name.strip())) or "student"


def _is_canvas(paths: Sequence[str], pieces: Sequence[_Piece], tops: Mapping[str, bool]) -> bool:
    """Whether names that look like Canvas's are: `lab_2024_101_ada.zip`, `lab_2024_102_bob.zip` look so too.

    Most must fit together, not all: one student's strange name must not spoil the download of a class.
    """
    folders = {path.partition("/")[0] for path in paths if "/" in path}
    if any(name in folders or archive_suffix(name) for name in tops.keys() - {piece.top for piece in pieces}):
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


def _gradescope(source: Path, around: str) -> Sequence[_Piece]:
    """What `submission_metadata.yml` says. A group's submission is each member's. Keys are Ruby's symbols, `:name`."""
    try:
        found = _members(source, around, {_GRADESCOPE: ""}, Budget(1_000_000, _MAX_METADATA))
        text = found[0].content if not isinstance(found, Unreadable) and found else b""
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{source}: {_GRADESCOPE} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{source}: {_GRADESCOPE} is not what Gradescope exports. Take the download as it is.")
    pieces = []
    for top, entry in document.items():
        values: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
        for person in values.get(":submitters") or [{}]:
            names = tuple(str(person[key]) for key in (":email", ":sid") if person.get(key))
            name, user = _clean(str(person.get(":name") or top)), names[0] if names else str(top)
            pieces.append(_Piece(str(top), name, user, names=names, submitted=_utc(values.get(":created_at"))))
    return pieces


def _utc(value: object) -> str:
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat(timespec="seconds")
    return f"{value}T23:59:59+00:00" if isinstance(value, date) else ""


def _by_student(pieces: Iterable[_Piece]) -> Iterator[tuple[str, Sequence[_Piece]]]:
    """What each student is called, and the pieces that are this one's."""
    by_student: dict[tuple[str, str], list[_Piece]] = {}
    for piece in pieces:
        by_student.setdefault((piece.name, piece.user), []).append(piece)
    namesakes = Counter(name for name, _ in by_student)
    for (name, user), own in sorted(by_student.items()):
        looks_numbered = re.search(r" \([0-9]+\)$", name)
        yield f"{name} ({user})" if namesakes[name] > 1 or looks_numbered else name, own


def _part(source: Path, student: str, pieces: Sequence[_Piece]) -> Handin:
    files = sorted((piece for piece in pieces if not piece.typed), key=lambda piece: piece.number)
    newest = {piece.path or piece.top: piece for piece in files}
    return Handin(
        source / student,
        student,
        pieces[0].names,
        pieces[0].submitted,
        tops={piece.top: piece.path for piece in newest.values()},
        numbers={piece.path: piece.number for piece in newest.values()},
        is_late=any(piece.late for piece in pieces),
    )


def attempts(part: Handin, archives: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Archives of one student, those together that are attempts at one thing, the newest of them first.

    `work.zip`, `work-1.zip` and `work (2).zip` are attempts: so platforms and browsers name what was there before.
    """
    groups: dict[str, list[tuple[int, int, str]]] = {}
    for path in archives:
        stem, count = _attempt(path)
        groups.setdefault(stem.casefold(), []).append((part.numbers.get(path, 0), count, path))
    return (tuple(path for *_, path in sorted(group, reverse=True)) for group in groups.values())


def _attempt(path: str) -> tuple[str, int]:
    """The name of an archive without its ending and the number of the attempt, and that number."""
    stem = path.rpartition("/")[2].removesuffix(archive_suffix(path))
    match = re.fullmatch(r"(.+?)(?:-([0-9]{1,3})| ?\(([0-9]{1,3})\))?", stem, re.DOTALL)
    return (match[1], int(match[2] or match[3] or 0)) if match else (stem, 0)


def listed(names: Sequence[str], most: int = _NAMED) -> str:
    """The first of many names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


# ── what is in a student's part ─────────────────────────────────────────────────────────

_Found = Iterator[tuple[str, SubmittedExercise | str]]
"""The archive that something was found in (empty for none), and an exercise, or what is wrong."""


def _exercises(
    part: Handin, members: tuple[Member, ...] | Unreadable, selection: Selection, budget: Budget
) -> Iterator[SubmittedExercise]:
    """One answer for each exercise that was handed in; for those that were not, what was wrong, if something was."""
    student = part.student
    problems: list[str] = []
    found: dict[str, dict[str, SubmittedExercise]] = {}
    for archive, item in _look(part, members, selection, budget):
        if isinstance(item, str):
            problems.append(f"{shown(archive) or student}: {item}")
        else:
            found.setdefault(item.exercise, {})[archive] = item
    if budget.exceeded:
        problems = [f"{student}: {budget.exceeded}"]
    refusals = tuple(Refusal(problem) for problem in sorted(problems)[:_NAMED])
    for exercise in selection.ids:
        several = dict(sorted(found.get(exercise, {}).items()))  # packed or unpacked, the files' order tells nothing
        if len({item.digest if isinstance(item, ExerciseFiles) else key for key, item in several.items()}) == 1:
            yield next(iter(several.values()))
        elif several:
            places = " and ".join(shown(archive) or "a folder" for archive in several)
            yield refused_folder(exercise, student, f"it was handed in more than once: in {places}. Keep one.")
        elif refusals:
            yield RefusedFolder(exercise, student, refusals)


def _look(part: Handin, members: tuple[Member, ...] | Unreadable, selection: Selection, budget: Budget) -> _Found:
    """Each exercise that is there, and what is wrong with anything else."""
    if not part.tops:
        yield "", "only a text or an address was handed in, no file. Hand in a zip with a folder for each exercise."
        return
    if isinstance(members, Unreadable):
        yield "", members.message
        return
    tree = Packed(members, part.student, selection.limits)
    levels = levels_of(tree, selection.known)
    packed = [["/".join([*level.parts, name]) for name in level.files if archive_suffix(name)] for level in levels]
    archives = next(filter(None, packed), [])
    if not archives or (selection.alone and any(level.has_dockerfile for level in levels)):
        yield from _look_in(tree, "", selection, selection.alone)
        return
    yield from (("", item) for item in exercises_in(tree, selection, None))
    by_path = {member.path: member for member in members}
    for group in attempts(part, archives):
        yield from _look_in_attempts([by_path[path] for path in group], selection, budget)


def _look_in_attempts(archives: Sequence[Member], selection: Selection, budget: Budget) -> _Found:
    """Each exercise from the newest archive that has it. One that cannot be read ends it: it was meant to count."""
    stem = folder_key(_attempt(archives[0].path)[0])
    named = next((exercise for exercise in selection.known if folder_key(exercise) == stem), None)
    if named is not None and named not in selection.ids:
        return
    taken: set[str] = set()
    for archive in archives:
        if taken.issuperset(selection.ids):
            return
        members: tuple[Member, ...] | Unreadable = Unreadable(archive.problem)
        if not archive.problem:
            members = read_archive(io.BytesIO(archive.content), archive_suffix(archive.path), budget)
        if isinstance(members, Unreadable):
            yield archive.path, members.message
            return
        tree = Packed(members, shown(archive.path), selection.limits)
        for _, item in _look_in(tree, archive.path, selection, named or selection.alone):
            if isinstance(item, str) or item.exercise not in taken:
                yield archive.path, item
            if not isinstance(item, str):
                taken.add(item.exercise)


def _look_in(tree: Packed, archive: str, selection: Selection, alone: str | None) -> _Found:
    """The exercises' folders; else, where only the exercise `alone` can be meant, the files that stand in none."""
    yield from ((archive, item) for item in exercises_in(tree, selection, alone))
    if alone is None and (level := loose_files(levels_of(tree, selection.known), selection)):
        paths = {"/".join([*level.parts, name]) for name in level.files}
        # Sorted: a folder tells its files in any order, and an unchanged submission must be told by unchanged words.
        files = sorted((one for one in tree.members if one.path in paths), key=lambda one: one.path)
        if bad := next((file for file in files if file.problem), None):
            yield archive, f"{shown(bad.path)}: {bad.problem}"
            return
        yield (
            archive,
            (
                f"{listed([shown(file.path) for file in files])}: in no exercise's folder, so nobody can tell which "
                f"exercise this is. Put the files of each exercise into a folder named by it "
                f"({listed(selection.ids)}), and hand in a zip of these folders."
            ),
        )
