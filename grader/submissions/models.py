"""One student's submission as values, and what may be in it: names, numbers and sizes.

The same rules for folders and archives; nothing here opens a file. Limits on names are ours: far above what honest
submissions have, and below what any file system, archive or builder has trouble with.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from grader.dockerfile.dockerignore import oversize
from grader.dockerfile.parser import Dockerfile, Unparsable, parse
from grader.models import MemoryFile, Refusal
from grader.sanitize import sanitize_line

if TYPE_CHECKING:  # it imports pydantic, which the sandbox's proxy does not have
    from grader.course.models import Limits

COMPOSE_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In the order in which Compose looks for them (https://docs.docker.com/reference/cli/docker/compose/)."""
_COMPOSE_ADDED = (
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)
"""Files that Compose adds of its own accord (compose-go, `DefaultOverrideFileNames`)."""


@dataclass(frozen=True)
class ExerciseFiles:
    """The vetted files of one exercise's folder: read once, these bytes are what is built.

    `files` are sorted by path. `folder` is where they came from, for messages only. `digest`
    is the SHA-256 over paths, modes and contents, in hex.
    """

    exercise: str
    folder: str
    files: tuple[MemoryFile, ...]
    digest: str

    def content(self, path: str) -> bytes | None:
        """The bytes of one file, or None if the folder has no such file."""
        return next((file.content for file in self.files if file.path == path), None)

    @property
    def dockerfile(self) -> Dockerfile | Unparsable | None:
        """The file that `docker build` takes: `Dockerfile`, or `dockerfile` where there is no other."""
        return self.parsed("Dockerfile") or self.parsed("dockerfile")

    def parsed(self, path: str, arguments: Mapping[str, str] | None = None) -> Dockerfile | Unparsable | None:
        """A file of the folder as a Dockerfile that is built with these arguments; each is parsed once."""
        asked = (path, tuple(sorted((arguments or {}).items())))
        if asked not in self._parsed:
            content = self.content(path)
            self._parsed[asked] = None if content is None else parse(content, arguments, path)
        return self._parsed[asked]

    @cached_property
    def _parsed(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], Dockerfile | Unparsable | None]:
        return {}

    @property
    def compose_files(self) -> tuple[str, ...]:
        """The files that Compose reads: the first of its own names, and the first of those that it adds to that one."""
        first = [name for name in COMPOSE_NAMES if self.content(name) is not None]
        added = [name for name in _COMPOSE_ADDED if self.content(name) is not None]
        return (first[0], *added[:1]) if first else ()

    @property
    def compose_file(self) -> str:
        """The file that Compose takes, "" if there is none."""
        return next(iter(self.compose_files), "")

    @property
    def ignore_file(self) -> MemoryFile | None:
        """The ignore file that counts: `Dockerfile.dockerignore` before `.dockerignore`, unless it is empty."""
        found = {file.path: file for file in self.files}
        own = found.get("Dockerfile.dockerignore")
        return own if own and own.content else found.get(".dockerignore")


@dataclass(frozen=True, slots=True)
class RefusedFolder:
    """An exercise's folder that may not be graded, and why."""

    exercise: str
    folder: str
    refusals: tuple[Refusal, ...]


SubmittedExercise = ExerciseFiles | RefusedFolder


@dataclass(frozen=True, slots=True)
class Submission:
    """One student's folder or archive. Exercises without a folder are simply absent."""

    student: str
    exercises: tuple[SubmittedExercise, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a folder or an archive. With a `problem`, it has no content and may not be graded.

    Only where folders are asked for, they are members too: their paths end in `/`.
    """

    path: str
    content: bytes = b""
    mode: int = 0o644
    problem: str = ""


# ── what may be in it ───────────────────────────────────────────────────────────────────

MEGABYTE = 2**20

MAX_DEPTH = 20
"""Folders within each other, below an exercise's folder or in an archive."""

MAX_PATH = 500
"""Bytes of a path, in UTF-8."""

MAX_NAME = 200
"""Bytes of one name in a path, in UTF-8; file systems stop at 255."""

WHOLE = 4
"""How many times one exercise's limits a whole submission may have: exercises are small, and all are held in memory."""

_SKIPPED = frozenset({".git", "__pycache__", ".venv", "venv", "node_modules", "__MACOSX", ".DS_Store"})
_MAX_REFUSALS = 5


@dataclass(slots=True)
class Budget:
    """How much may still be read: so many files (folders count too) and bytes, here and in `outer`.

    Once it is exceeded, `exceeded` says by what, and nothing more fits.
    """

    max_files: int
    max_bytes: int
    outer: Budget | None = None
    files: int = 0
    bytes: int = 0
    exceeded: str = ""

    def add(self, count: int = 0, files: int = 0) -> bool:
        """Count so many bytes and files more; whether they fit."""
        self.files += files
        self.bytes += count
        if self.outer is not None and not self.outer.add(count, files):
            self.exceeded = f"in the whole submission, {self.outer.exceeded}"
        elif self.files > self.max_files:
            self.exceeded = f"there are more than {self.max_files} files. Hand in only what the exercise asks for."
        elif self.bytes > self.max_bytes:
            size = f"{self.max_bytes / MEGABYTE:.3g} MiB"
            self.exceeded = f"there are more than {size} of files. Hand in only what the exercise asks for."
        return not self.exceeded

    def bytes_left(self) -> int:
        """How many bytes more fit."""
        left = max(0, self.max_bytes - self.bytes)
        return left if self.outer is None else min(left, self.outer.bytes_left())


def exercise_budget(limits: Limits, whole: Budget | None = None) -> Budget:
    """What one exercise's folder may have, as part of a whole submission."""
    return Budget(limits.context_files, limits.context_mb * MEGABYTE, whole)


def submission_budget(limits: Limits) -> Budget:
    """What one submission may have, all its exercises together."""
    return Budget(WHOLE * limits.context_files, WHOLE * limits.context_mb * MEGABYTE)


def is_skipped(name: str) -> bool:
    """Whether a file or folder of this name is left unread: tools leave them behind, and no exercise asks for one."""
    return name in _SKIPPED or name.startswith("._")


def permissions(mode: int) -> int:
    """The permission bits that are kept: whether the owner may execute a file, and no more, as git does.

    All else depends on the umask of whoever unpacked it and on the tool that packed it, and a
    `USER` in a Dockerfile would work for one student and not for another.
    """
    return 0o755 if mode & 0o100 else 0o644


def path_problem(parts: Sequence[str]) -> str:
    """What is wrong with a path, given as its names, or an empty text."""
    path = "/".join(parts)
    try:
        if len(parts) > MAX_DEPTH:
            return f"more than {MAX_DEPTH} folders stand within each other."
        if any(len(name.encode()) > MAX_NAME for name in parts):
            return f"the name has more than {MAX_NAME} bytes. Shorten it."
        if "\\" in path or (not path.isprintable() and {"Cc", "Zl", "Zp"} & {*map(unicodedata.category, path)}):
            return "the name has a backslash, a line break or a control character. Rename it."
        return f"the path has more than {MAX_PATH} bytes. Shorten it." if len(path.encode()) > MAX_PATH else ""
    except UnicodeEncodeError:
        return "the name is not in UTF-8. Rename it."


def shown(path: str) -> str:
    """A path as it may stand in a message: on one line, short, without control characters."""
    return sanitize_line(path, 120)


def refused_folder(exercise: str, folder: str, problem: str) -> RefusedFolder:
    """An exercise that may not be graded, with one message: where, and what is wrong."""
    return RefusedFolder(exercise, shown(folder), (Refusal(f"{shown(folder)}: {problem}"),))


def vetted(exercise: str, folder: str, members: Iterable[Member], budget: Budget) -> SubmittedExercise:
    """An exercise's files, if there is nothing against any of them; else what there is, at most five problems.

    `members` have counted themselves in `budget`.
    """
    files: list[MemoryFile] = []
    refusals: list[Refusal] = []
    for member in members:
        if member.problem:
            refusals.append(Refusal(f"{shown(member.path)}: {member.problem}", shown(member.path)))
        else:
            files.append(MemoryFile(member.path, member.content, member.mode))
        if len(refusals) == _MAX_REFUSALS:
            break
    if budget.exceeded:
        refusals.append(Refusal(f"{exercise}: {budget.exceeded}"))
    files.sort(key=lambda file: file.path)
    accepted = ExerciseFiles(exercise, shown(folder), tuple(files), files_digest(files))
    ignore = accepted.ignore_file
    if ignore and (problem := oversize(ignore.content)):
        refusals.append(Refusal(f"{ignore.path}: {problem}", ignore.path))
    return RefusedFolder(exercise, shown(folder), tuple(refusals)) if refusals else accepted


def files_digest(files: Iterable[MemoryFile]) -> str:
    """SHA-256 in hex over the paths, modes and contents of files, in that order.

    Every part is preceded by its length, so no two different lists of files run together into one.
    """
    digest = hashlib.sha256(b"grader/files/v1")
    for file in files:
        for part in (file.path.encode(), str(file.mode).encode(), file.content):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()
