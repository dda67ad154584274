"""The safety gate: what of an exercise's folder an engine must not be given, and which base images it needs.

It reads the Dockerfile and runs nothing. A Dockerfile that is missing or cannot be read is no
matter of safety: it is not built, and the check `builds` says why. A refusal is for what could reach
beyond the build: other people's images, addresses, the host's network and secrets.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from grader.dockerfile import dockerignore
from grader.dockerfile.directives import find_directives, is_known_syntax, other_syntax
from grader.dockerfile.image_names import is_allowed, normalised, reference_problem
from grader.dockerfile.instructions import Flag, Instruction, Unparsable
from grader.dockerfile.parser import Dockerfile, dockerfile_of, oversize, parse
from grader.models import ExerciseFiles, MemoryFile, Refusal

MAX_INSTRUCTIONS = 200
"""Instructions of a Dockerfile; an image has at most 127 layers in many engines."""

_SCRATCH = "scratch"
"""Not an image but the empty file system (https://docs.docker.com/reference/dockerfile/#from)."""

_PLATFORMS = frozenset({"", "$BUILDPLATFORM", "${BUILDPLATFORM}", "$TARGETPLATFORM", "${TARGETPLATFORM}"})
"""Values of FROM --platform that stand for the machine's own."""


class AllowedImage(Protocol):
    """An image that students may build from, by any of its names, which may have `*` in them."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names; the first one without `*` is told to students."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate found. With `refusals`, nothing may be built.

    `bases` are the images that the build needs from outside, in their normal form (`python:latest`).
    `dockerfile` is the Dockerfile as it was read, None if there is none.
    """

    refusals: tuple[Refusal, ...] = ()
    bases: tuple[str, ...] = ()
    dockerfile: Dockerfile | Unparsable | None = None


def examine(files: ExerciseFiles, images: Sequence[AllowedImage], platform: str = "linux/amd64") -> Gate:
    """Judge the files of one exercise. `platform` is the engine's own, as in `FROM --platform`."""
    file = dockerfile_of(files)
    if file is None:
        return Gate()
    found = examine_dockerfile(file, images, platform)
    ignored = tuple(_ignore_file(files))
    return replace(found, refusals=(*ignored, *found.refusals), bases=()) if ignored else found


def examine_dockerfile(
    file: MemoryFile,
    images: Sequence[AllowedImage],
    platform: str = "linux/amd64",
    arguments: Mapping[str, str] | None = None,
) -> Gate:
    """Judge one Dockerfile, whatever its name, for a build that is given these arguments (`--build-arg`)."""
    text = file.content.decode("utf-8", "surrogateescape")
    parsed = parse(file.content, arguments)
    refusals = (
        *(Refusal(problem.message, file.path, problem.line) for problem in [oversize(file.content)] if problem),
        *_syntax(text.removeprefix("\ufeff"), file.path),
    )
    if isinstance(parsed, Unparsable):
        return Gate(refusals, (), parsed)
    look = _Look(parsed, images, platform)
    said = [Refusal(f"{file.path} line {line}: {what}", file.path, line) for line, what in look.problems()]
    refusals = (*refusals, *dict.fromkeys(said))
    return Gate(refusals, () if refusals else tuple(dict.fromkeys(look.bases())), parsed)


def _syntax(text: str, path: str) -> Iterator[Refusal]:
    for directive in find_directives(text):
        if directive.name == "syntax" and not is_known_syntax(directive.value):
            yield Refusal(
                f"{path} line {directive.line}: # syntax={directive.value[:120]}: this is not allowed here. Remove "
                "the line, or write # syntax=docker/dockerfile:1",
                path,
                directive.line,
            )

    line = other_syntax(text)
    if line:
        yield Refusal(
            f"Dockerfile line {line}: another program is to read this Dockerfile (syntax). This is not allowed here. "
            "Remove the line.",
            path,
            line,
        )


def _ignore_file(files: ExerciseFiles) -> Iterator[Refusal]:
    found = dockerignore.ignore_file(files)
    problem = dockerignore.oversize(found.content) if found else ""
    if found and problem:
        yield Refusal(f"{found.path}: {problem}", found.path)


_Problem = tuple[int, str]


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at a Dockerfile that could be read."""

    dockerfile: Dockerfile
    images: Sequence[AllowedImage]
    platform: str

    def bases(self) -> Iterator[str]:
        """Every image that is needed from outside, in its normal form."""
        for _, image in self._external():
            yield normalised(image)

    def problems(self) -> Iterator[_Problem]:
        count = len(self.dockerfile.instructions)
        if count > MAX_INSTRUCTIONS:
            line = self.dockerfile.instructions[MAX_INSTRUCTIONS].first_line
            yield line, f"there are {count} instructions; at most {MAX_INSTRUCTIONS} are built."
            return
        yield from self._images()
        for instruction in self._all():
            yield from _platform(instruction, self.platform)
            yield from _run_options(instruction)
            yield from _remote(instruction)
        yield from self._working_dirs()

    def _all(self) -> Iterator[Instruction]:
        """Every instruction, also those that an ONBUILD holds."""
        for instruction in self.dockerfile.instructions:
            yield instruction
            if instruction.trigger:
                yield instruction.trigger

    def _images(self) -> Iterator[_Problem]:
        patterns = [name for image in self.images for name in image.names]
        for instruction, image in self._external():
            what, line = _words(instruction, image), instruction.first_line
            if reference_problem(image):
                yield line, f"{what}: no earlier stage and no image has this name."
            elif not is_allowed(image, patterns):
                yield line, f"{what}: this image is not allowed here.{_untagged(image)} Allowed: {_listed(self.images)}"

    def _external(self) -> Iterator[tuple[Instruction, str]]:
        """Each mention of an image that is no stage, with the image's name."""
        names: list[str] = []
        for instruction in self.dockerfile.instructions:
            if instruction.keyword == "FROM":
                stage = self.dockerfile.stages[instruction.stage]
                if stage.image not in (_SCRATCH, *names):
                    yield instruction, stage.image
                known = list(names)
                names.append(stage.name or f"#{instruction.stage}")  # "#": no name of a stage, but a place taken
            else:
                known = names[: instruction.stage] if instruction.stage >= 0 else []
            for one in filter(None, (instruction, instruction.trigger)):
                for image in _sources(one):
                    if image not in (_SCRATCH, "") and image.lower() not in known:
                        yield one, image

    def _working_dirs(self) -> Iterator[_Problem]:
        """WORKDIR into /proc: what the container's runtime left open there may be the host's (CVE-2024-21626)."""
        at: dict[int, str] = {}
        for instruction in self._all():
            if instruction.keyword == "WORKDIR":
                written = re.sub(r"[\"'\\`]", "", instruction.value)
                path = posixpath.normpath("/" + posixpath.join(at.get(instruction.stage, "/"), written).lstrip("/"))
                at[instruction.stage] = path
                if path == "/proc" or path.startswith("/proc/"):
                    told = f"WORKDIR {instruction.value[:120]}: a place under /proc is not allowed."
                    yield instruction.first_line, told


def _sources(instruction: Instruction) -> Iterator[str]:
    """The stages or images that an instruction besides FROM takes files from."""
    for flag in instruction.flags:
        if flag.name == "from" and not re.fullmatch(r"[+-]?[0-9]+", flag.value):
            yield flag.value
        elif flag.name == "mount" and instruction.keyword == "RUN":
            for name, value in _mount(flag):
                if name == "from":
                    yield value


def _mount(flag: Flag) -> list[tuple[str, str]]:
    """`type=bind,from=x` as pairs, names in lower case. To builders it is CSV, but quotes are refused here."""
    pairs = (field.partition("=") for field in flag.value.split(","))
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs]


def _words(instruction: Instruction, image: str) -> str:
    if instruction.keyword == "FROM":
        return f"FROM {image[:120]}"
    flag = "--mount=from" if instruction.keyword == "RUN" else "--from"
    return f"{instruction.keyword} {flag}={image[:120]}"


def _untagged(image: str) -> str:
    """What a name without a tag means; a beginner who writes `FROM python` does not know that it names a version."""
    tagged = normalised(image)
    latest = ":latest"
    return f" Without a tag, Docker takes {tagged}." if tagged.endswith(latest) and not image.endswith(latest) else ""


def _listed(images: Sequence[AllowedImage]) -> str:
    plain = [name for image in images for name in image.names if "*" not in name]
    names = plain or [image.names[0] for image in images]
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else ".")  # noqa: PLR2004 - as many as a line has room for


def _platform(instruction: Instruction, platform: str) -> Iterator[_Problem]:
    for flag in instruction.flags:
        if instruction.keyword == "FROM" and flag.name == "platform" and flag.value not in (platform, *_PLATFORMS):
            told = f"FROM --platform={flag.value[:60]}: this machine builds for {platform} only. Leave the option out."
            yield instruction.first_line, told


_MOUNT_TYPES = {"bind", "cache", "tmpfs"}


def _run_options(instruction: Instruction) -> Iterator[_Problem]:
    """Options of RUN that reach out of the build (https://docs.docker.com/reference/dockerfile/#run)."""
    if instruction.keyword != "RUN":
        return
    for flag in instruction.flags:
        told = f"RUN --{flag.name[:40]}={flag.value[:120]}: "
        match flag.name:
            case "network" if flag.value not in {"default", "none"}:
                yield instruction.first_line, told + "the host's network is not to be had. Leave the option out."
            case "security" if flag.value != "sandbox":
                yield instruction.first_line, told + "no build has special rights here. Leave the option out."
            case "device":
                yield instruction.first_line, told + "there are no devices for builds here. Leave the option out."
            case "mount":
                yield from ((instruction.first_line, told + problem) for problem in _mount_problems(flag))
            case _:
                pass


def _mount_problems(flag: Flag) -> Iterator[str]:
    if re.search(r"[\"'\s\\]", flag.value):
        yield "quotes and spaces in --mount are not read here. Write it without."
        return
    for name, value in _mount(flag):
        if name == "type" and value.lower() not in _MOUNT_TYPES:
            yield "only the types bind, cache and tmpfs are allowed."


_SSH_ADDRESS = re.compile(r"(?<![\w.-])[\w.-]+@[\w.-]+:")
"""From the start of a word only: from each of its characters, a long one would be read as often as it is long."""


def _remote(instruction: Instruction) -> Iterator[_Problem]:
    """ADD of an address: the engine itself would fetch it, from wherever the engine may go.

    Quotes and escapes are taken out first, as the builder does, and variables are not followed.
    """
    if instruction.keyword != "ADD":
        return
    words = [re.sub(r"[\"'\\`]", "", word) for word in instruction.arguments]
    told = f"ADD {instruction.value[:120]}: "
    if any("$" in word for word in words[:-1]):
        yield instruction.first_line, told + "a variable may stand for an address. Name the file, or use COPY."
    elif any(_is_address(word) for word in words):
        yield instruction.first_line, told + "nothing is fetched from addresses here. Hand the file in."


def _is_address(word: str) -> bool:
    return "://" in word or bool(_SSH_ADDRESS.search(word)) or bool(re.search(r"\.git/?(#.*)?$", word))
