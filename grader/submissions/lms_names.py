"""What the names in a bulk download of Moodle or Canvas say: whose each file is. Nothing is read.

Moodle (mod/assign/locallib.php): `Full Name_12345_assignsubmission_file_`, as a folder around a student's files or
before the name of each; there is no `_` in the name. `onlinetext` instead of `file` is a text that was typed in.
Canvas (lib/content_zipper.rb): `lastfirst_LATE_12345_678910_work.zip`, always files: the name in lower case, perhaps
LATE, the user's number, the file's. A text that was typed in is `lastfirst_12345_text.html`, an address `_link.html`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from grader.sanitize import inert_line
from grader.submissions.archive import archive_suffix
from grader.submissions.budget import is_skipped

MOODLE_MARK = "_assignsubmission_"
"""In every name of a download of Moodle, and in no other."""

_WRAPPERS = 3
"""Folders that may stand around a whole download: it was unpacked, and packed again."""

_TOLD = 5
"""Students who are named in a note; of more, only the number is told."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one student handed in.

    `tops` are the names that stand in the download directly, each with the path that it has in the
    parcel, which is empty for a folder around all of it. `numbers` are Canvas's numbers of files by
    path: the higher, the newer. `archives` are the paths known so far, to tell about attempts. With
    `typed`, there is no file but a text or address.
    """

    student: str
    tops: Mapping[str, str]
    numbers: Mapping[str, int] = field(default_factory=dict)
    archives: tuple[str, ...] = ()
    late: bool = False
    typed: bool = False

    def path_of(self, name: str) -> str | None:
        """The path in the parcel of what has this path in the download; None if it is not this student's."""
        top, _, below = name.partition("/")
        around = self.tops.get(top)
        if around is None:
            return None
        path = "/".join(part for part in (around, below) if part) or top
        return f"{path}/" if name.endswith("/") and not below else path  # so a zip marks a folder


@dataclass(frozen=True, slots=True)
class Download:
    """A bulk download: of which platform, the folders around all of it, everyone's parcel, and what is nobody's."""

    platform: str
    prefix: tuple[str, ...]
    parcels: tuple[Parcel, ...]
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


_MOODLE = re.compile(r"(?P<name>.+?)_(?P<user>[0-9]+)_assignsubmission_(?P<kind>[a-z]+)(?:_(?P<path>.*))?", re.DOTALL)
_CANVAS = re.compile(
    r"(?P<name>\w+?)(?P<late>_LATE|_late)?_(?P<user>[1-9][0-9]*)_"
    r"(?:(?P<number>[1-9][0-9]{2,17})_(?P<path>.+)|(?:text|link)\.html)",
    re.DOTALL,
)


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
    for platform, take in (("Moodle", _moodle_piece), ("Canvas", _canvas_piece)):
        pieces = [piece for piece in map(take, tops) if piece is not None]
        taken = {piece.top for piece in pieces}
        others = tuple(top for top in tops if top not in taken)
        if pieces and (platform == "Moodle" or _is_canvas(inside, pieces, others)):
            return Download(platform, prefix, tuple(_parcels(pieces, inside)), others)
    return None


def _is_hidden(path: str) -> bool:
    top = path.partition("/")[0]
    return is_skipped(top) or top.startswith(".")


def _prefix(paths: Sequence[str]) -> tuple[str, ...]:
    prefix: tuple[str, ...] = ()
    while paths and len(prefix) < _WRAPPERS:
        tops = {path.partition("/")[0] for path in paths}
        (top, *more) = tops
        if more or top in paths or _moodle_piece(top):
            break
        prefix = (*prefix, top)
        paths = [below for path in paths if (below := path.partition("/")[2])]
    return prefix


def _moodle_piece(top: str) -> _Piece | None:
    match = _MOODLE.fullmatch(top)
    if match is None:
        return None
    return _Piece(top, _clean(match["name"]), match["user"], _path(match, top), typed=match["kind"] != "file")


def _canvas_piece(top: str) -> _Piece | None:
    match = _CANVAS.fullmatch(top)
    if match is None or match["name"] != match["name"].lower():
        return None
    number = int(match["number"] or 0)
    late = bool(match["late"])
    return _Piece(top, _clean(match["name"]), match["user"], _path(match, top), number, late, typed=not number)


def _path(match: re.Match[str], top: str) -> str:
    """What a file was called before the platform put the student's name before it; not if that leads elsewhere."""
    return top if match["path"] in {".", ".."} else match["path"] or ""


def _clean(name: str) -> str:
    """A name as it is shown. Composed, because macOS takes accents apart when it unpacks, and the roster does not."""
    return inert_line(unicodedata.normalize("NFC", name.strip())) or "student"


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


# ── parcels ─────────────────────────────────────────────────────────────────────────────


def _parcels(pieces: Iterable[_Piece], paths: Iterable[str]) -> Iterator[Parcel]:
    by_student: dict[tuple[str, str], list[_Piece]] = {}
    for piece in pieces:
        by_student.setdefault((piece.name, piece.user), []).append(piece)
    below: dict[str, list[str]] = {}
    for path in paths:
        top, _, rest = path.partition("/")
        below.setdefault(top, []).append(rest)
    names = Counter(name for name, _ in by_student)
    for (name, user), own in sorted(by_student.items()):
        yield _parcel(_label(name, user, names), own, below)


def _label(name: str, user: str, names: Counter[str]) -> str:
    """What a student is called: the number too where two have one name, or a name looks like one with a number."""
    return f"{name} ({user})" if names[name] > 1 or re.search(r" \([0-9]+\)$", name) else name


def _parcel(student: str, own: Sequence[_Piece], below: Mapping[str, Sequence[str]]) -> Parcel:
    late = any(piece.late for piece in own)
    newest = {piece.path: piece for piece in sorted(own, key=lambda piece: piece.number) if not piece.typed}
    folder = [piece for piece in own if not piece.typed and not piece.path]
    tops = {piece.top: piece.path for piece in (*newest.values(), *folder)}
    found = [*tops.values(), *(rest for piece in folder for rest in below[piece.top])]
    archives = tuple(path for path in dict.fromkeys(found) if "/" not in path and archive_suffix(path))
    numbers = {path: piece.number for path, piece in newest.items()}
    return Parcel(student, tops, numbers, archives, late, typed=not tops)


def attempts(archives: Iterable[str], numbers: Mapping[str, int]) -> tuple[tuple[str, ...], ...]:
    """Archives of one student, those together that are attempts at one thing, the newest of them first.

    `work.zip`, `work-1.zip` and `work (2).zip` are attempts: so platforms and browsers name what was there before.
    """
    groups: dict[str, list[tuple[int, int, str]]] = {}
    for path in archives:
        count = _attempt(path)[1]
        groups.setdefault(plain_stem(path).casefold(), []).append((numbers.get(path, 0), count, path))
    return tuple(tuple(path for *_, path in sorted(group, reverse=True)) for group in groups.values())


def plain_stem(path: str) -> str:
    """The name of an archive without its ending and the number of the attempt."""
    return _attempt(path)[0]


def _attempt(path: str) -> tuple[str, int]:
    stem = path.rpartition("/")[2].removesuffix(archive_suffix(path))
    match = re.fullmatch(r"(.+?)(?:-([0-9]{1,3})| ?\(([0-9]{1,3})\))?", stem, re.DOTALL)
    return (match[1], int(match[2] or match[3] or 0)) if match else (stem, 0)


# ── what an instructor is told ──────────────────────────────────────────────────────────


def notes_of(download: Download, left_out: Sequence[str]) -> tuple[str, ...]:
    """How a download was understood, and which names in it were not, in a few lines for the console."""
    count = len(download.parcels)
    return tuple(
        note
        for note in (
            f"Read as a bulk download of {download.platform}: {count} student{'' if count == 1 else 's'}.",
            _listed("Several attempts, the newest counts", _retried(download.parcels)),
            _listed(f"Late, says {download.platform}", [one.student for one in download.parcels if one.late]),
            _listed("Nobody's, left out", [inert_line(name, 80) for name in left_out]),
        )
        if note
    )


def _retried(parcels: Iterable[Parcel]) -> list[str]:
    groups = ((parcel.student, group) for parcel in parcels for group in attempts(parcel.archives, parcel.numbers))
    return [f"{student} ({inert_line(group[0], 80)})" for student, group in groups if len(group) > 1]


def _listed(what: str, names: Sequence[str]) -> str:
    more = len(names) - _TOLD
    return f"{what}: {', '.join(islice(names, _TOLD))}{f' and {more} more' if more > 0 else ''}." if names else ""
