"""One student's submission as values: the vetted files of each exercise, or why they are refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from grader.dockerfile.parser import Dockerfile, Unparsable, parse
from grader.models import MemoryFile, Refusal

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
