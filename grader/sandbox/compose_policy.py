"""The gate for Compose files: what Compose itself has read is judged before anything is built or brought up.

`hidden` looks at the file as written, for what is no longer to be seen in Compose's own model of it: other files that
were read for it. `examine` judges that model against the lists in `composeshape`, and the Dockerfiles that it names
by the rules of `gate`. Pure: Compose runs elsewhere.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from grader.course.models import BaseImage
from grader.course.yaml_source import Document, Problem, TooLargeError, YamlError, decode, read_yaml
from grader.dockerfile import policy
from grader.dockerfile.image_names import is_allowed, normalised
from grader.dockerfile.models import Unparsable
from grader.dockerfile.parser import parse
from grader.models import MemoryFile
from grader.sandbox.compose_shape import NETWORK, SECRET, SERVICE, VOLUME
from grader.sandbox.proxy.shape import Check, Json, Refusal
from grader.submissions.models import ExerciseFiles

MAX_SERVICES = 8
"""Services of one file, also networks and volumes. The exercise has one."""

_NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
"""In the order in which Compose looks for them (https://docs.docker.com/reference/cli/docker/compose/)."""
_ADDED_NAMES = (
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)
"""Files that Compose adds of its own accord (compose-go, `DefaultOverrideFileNames`)."""
_TOLD = 12
"""Refusals that are told at once."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found, in sentences. With `refusals`, nothing may be built; with `unreadable`, nothing can be.

    Else `bases` are the base images that builds and services need.
    """

    refusals: tuple[str, ...] = ()
    unreadable: str = ""
    bases: tuple[str, ...] = field(default=(), compare=False)


def compose_file(files: ExerciseFiles) -> str:
    """The name of the file that Compose takes, "" if there is none."""
    return next((name for name in _NAMES if files.content(name) is not None), "")


def compose_files(files: ExerciseFiles) -> tuple[str, ...]:
    """The files that Compose reads: that one, and the first one that it adds to it."""
    first = compose_file(files)
    added = [name for name in _ADDED_NAMES if files.content(name) is not None]
    return (first, *added[:1]) if first else ()


# ── as it is written ────────────────────────────────────────────────────────────────────


def hidden(files: ExerciseFiles) -> tuple[str, ...]:
    """What is refused of the files as they are written: other files that Compose would read into them.

    So is what is larger or deeper than anybody writes: how long Compose takes for it depends on the machine. What
    cannot be read here is left to Compose, whose message is the better one; `examine` comes back to it.
    """
    found: list[str] = []
    for name in compose_files(files):
        read = _read(files, name)
        if read.too_large:
            found.append(f"{name}: {read.problem}")
        top = read.document.data if read.document else None
        found += [f"{name}: {problem}" for problem in _hidden_in(top)]
    return tuple(dict.fromkeys(found))[:_TOLD]


class _Read(NamedTuple):
    """A file's data, and what about it is read by other programs in another way; "" if there is no such thing."""

    document: Document | None
    problem: str = ""
    too_large: bool = False


def _read(files: ExerciseFiles, name: str) -> _Read:
    try:
        document = read_yaml(decode(files.content(name) or b""), as_written=True)
    except YamlError as error:
        return _Read(None, _at_line(error.problem), isinstance(error, TooLargeError))
    problem = next(iter(document.problems), None)
    return _Read(document, _at_line(problem) if problem else "")


def _at_line(problem: Problem) -> str:
    return f"line {problem.position.line}: {problem.message}"


def _hidden_in(top: object) -> Iterator[str]:
    if any(_given(top, "include")):
        yield "include reads other Compose files. Write the services into this one."
    for services in _given(top, "services"):
        for name, service in services.items() if isinstance(services, dict) else ():
            where = f"services.{name[:60]}"
            for extended in _given(service, "extends"):
                if any(_given(extended, "file")):
                    yield f"{where}.extends.file reads another Compose file. Write the service into this one."
            if any(_given(service, "provider")):
                yield f"{where}.provider starts a program of the machine itself. Write a service that is a container."
            for key in ("env_file", "label_file"):
                for value in _given(service, key):
                    yield from _paths(value, f"{where}.{key}")


def _given(mapping: object, key: str) -> Iterator[Any]:
    """Every value that a mapping has for a key, itself or by `<<`, whichever of them would count."""
    if isinstance(mapping, list):
        for one in mapping:
            yield from _given(one, key)
    if isinstance(mapping, dict):
        if key in mapping:
            yield mapping[key]
        if "<<" in mapping:
            yield from _given(mapping["<<"], key)


def _paths(value: object, where: str) -> Iterator[str]:
    """Why a path, a list of paths, or the `path` of a mapping is refused."""
    if isinstance(value, list):
        for one in value:
            yield from _paths(one, where)
    elif isinstance(value, dict):
        for one in _given(value, "path"):
            yield from _paths(one, where)
    elif not _is_beside(str(value)):
        yield (
            f"{where} leads out of the exercise's folder, or may do so ({str(value)[:120]}). "
            "Write the path of a file beside the Compose file, without variables."
        )


def _is_beside(path: str) -> bool:
    return not path.startswith(("/", "~")) and "$" not in path and ".." not in path.split("/")


# ── as Compose has read it ──────────────────────────────────────────────────────────────


def examine(files: ExerciseFiles, model: bytes, images: Sequence[BaseImage]) -> Judged:
    """Judge what `docker compose config --format json` printed, with the folder's path as `.`."""
    name = compose_file(files)
    for read in compose_files(files):
        problem = _read(files, read).problem
        if problem:
            return Judged((f"{read}: {problem}. Not every program reads this in the same way.",))
    try:
        top = cast("Mapping[str, Any]", _without_extensions(json.loads(model)))
        refused = [str(problem) for problem in _problems(top)]
    except (ValueError, AttributeError, RecursionError):
        return Judged((f"{name}: what Compose made of it cannot be read.",))
    if refused:
        return Judged(tuple(dict.fromkeys(f"{name}: {problem.rstrip('.')}." for problem in refused))[:_TOLD])
    return _dockerfiles(files, name, top, images)


def _without_extensions(value: Json) -> Json:
    """Without the keys that Compose does nothing with (`x-…`)."""
    if isinstance(value, dict):
        return {key: _without_extensions(one) for key, one in value.items() if not key.startswith("x-")}
    return [_without_extensions(one) for one in value] if isinstance(value, list) else value


_Table = Mapping[str, Check]


def _problems(top: Mapping[str, Any]) -> Iterator[Refusal]:
    """Everything in the model that is not on the lists."""
    sections: Mapping[str, _Table] = {"services": SERVICE, "networks": NETWORK, "volumes": VOLUME}
    for key in top.keys() - {*sections, "name", "version", "secrets", "configs"}:
        yield Refusal(f"{key[:60]} is not available in an exercise. Leave it out")
    for section, table in sections.items():
        entries = top.get(section) or {}
        if len(entries) > MAX_SERVICES:
            yield Refusal(f"there are {len(entries)} {section}; at most {MAX_SERVICES} are brought up")
        for name, details in entries.items():
            yield from _entry(details or {}, table, f"{section}.{name[:60]}")
    for section in ("secrets", "configs"):
        for name, details in (top.get(section) or {}).items():
            yield from _refused(SECRET, details, f"{section}.{name[:60]}")


def _entry(details: Mapping[str, Json], table: _Table, where: str) -> Iterator[Refusal]:
    """Each key of one service, network or volume by itself, so that all of them are told at once."""
    for key, value in details.items():
        if key not in table:
            yield Refusal(f"{where}.{key[:60]} is not available in an exercise. Leave it out")
        elif value is not None:
            yield from _refused(table[key], value, f"{where}.{key}")


def _refused(check: Check, value: Json, where: str) -> Iterator[Refusal]:
    try:
        check(value, where)
    except Refusal as refusal:
        yield refusal


# ── the Dockerfiles that it names ───────────────────────────────────────────────────────


def _dockerfiles(files: ExerciseFiles, name: str, top: Mapping[str, Any], images: Sequence[BaseImage]) -> Judged:
    """Each service's Dockerfile has to pass as the folder's own does, with the arguments that it is given."""
    bases: list[str] = []
    allowed = [name for image in images for name in image.names]
    for service, details in (top.get("services") or {}).items():
        build, image = details.get("build"), str(details.get("image") or "")
        if not build:
            bases += [normalised(image)] if is_allowed(image, allowed) else []
            continue
        where = f"{name}: services.{service[:60]}.build"
        path = _path(build)
        if path.startswith(("/", "..")):
            return Judged((f"{where}.dockerfile leads out of the exercise's folder ({path[:120]}).",))
        file = _dockerfile(files, build)
        if file is None:
            return Judged(unreadable=f"{where}: there is no {path[:120]} in the exercise's folder.")
        arguments = {key: str(value) for key, value in (build.get("args") or {}).items() if value is not None}
        dockerfile = parse(file.content, arguments, file.path)
        found = policy.judge_dockerfile(dockerfile, allowed)
        if found.refusals:
            return Judged(tuple(f"{where}: {refusal.message}" for refusal in found.refusals)[:_TOLD])
        if isinstance(dockerfile, Unparsable):
            return Judged(unreadable=f"{where}: {dockerfile.message}")
        if build.get("dockerfile_inline"):  # which Compose does not know without BuildKit: it would build another file
            return Judged(unreadable=f"{where}.dockerfile_inline is not built here. Write it to a file: dockerfile.")
        bases += found.bases
    return Judged(bases=tuple(dict.fromkeys(bases)))


def _dockerfile(files: ExerciseFiles, build: Mapping[str, Any]) -> MemoryFile | None:
    """The vetted bytes that are built; None if the folder has no such file, whatever else there may be."""
    if str(build.get("dockerfile")).startswith("./") and build.get("context") != ".":
        return None  # an absolute path in the folder looks like this too, and would be another file
    if build.get("dockerfile_inline"):
        return MemoryFile("dockerfile_inline", str(build["dockerfile_inline"]).encode("utf-8", "surrogateescape"))
    path = _path(build)
    folder, last = posixpath.split(path)
    names = [path, posixpath.join(folder, "dockerfile")] if last == "Dockerfile" else [path]
    return next((file for one in names for file in files.files if file.path == one), None)


def _path(build: Mapping[str, Any]) -> str:
    """A Dockerfile is named from its context; an absolute path stays one, which no file of the folder has."""
    return posixpath.normpath(
        posixpath.join(str(build.get("context", ".")), str(build.get("dockerfile") or "Dockerfile"))
    )
