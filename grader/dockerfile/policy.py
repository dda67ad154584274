"""The safety policy: which Dockerfiles an engine must not be given, and which base images the others need.

It looks at a Dockerfile that was read, and runs nothing. One that is missing or cannot be read is no matter of safety:
it is not built, and the check `builds` says why. A refusal is for what could reach beyond the build: other people's
images, addresses, the host's network and secrets.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grader.dockerfile.image_names import is_allowed, names_registry, normalised, reference_problem
from grader.dockerfile.parser import Dockerfile, Flag, Instruction, Unparsable
from grader.models import Refusal

MAX_INSTRUCTIONS = 200
"""Instructions of a Dockerfile; an image has at most 127 layers in many engines."""

_SCRATCH = "scratch"
"""Not an image but the empty file system (https://docs.docker.com/reference/dockerfile/#from)."""

_PLATFORMS = frozenset({"", "$BUILDPLATFORM", "${BUILDPLATFORM}", "$TARGETPLATFORM", "${TARGETPLATFORM}"})
"""Values of FROM --platform that stand for the machine's own."""

_LISTED = 8
"""Names of allowed images that a message lists; more do not fit on a line."""


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What the policy says of one Dockerfile. With `refusals`, nothing may be built.

    `bases` are the images that the build needs from outside, in their normal form (`python:latest`). `wrong_base` is a
    FROM that names an image of the usual registry that is not allowed, where nothing else is refused: to whoever grades
    a folder, that is a mistake like any other.
    """

    refusals: tuple[Refusal, ...] = ()
    bases: tuple[str, ...] = ()
    wrong_base: WrongBase | None = None


@dataclass(frozen=True, slots=True)
class WrongBase:
    """The first FROM with an image that is not allowed: its line, as it is written, and the image that it means."""

    line: int
    written: str
    image: str


def judge_dockerfile(
    dockerfile: Dockerfile | Unparsable | None, allowed: Sequence[str], platform: str = "linux/amd64"
) -> PolicyResult:
    """Judge a Dockerfile. `allowed` are patterns of images' names, `platform` is the engine's own (`linux/amd64`)."""
    if dockerfile is None:
        return PolicyResult()
    if isinstance(dockerfile, Unparsable):
        refusal = Refusal(dockerfile.message, dockerfile.path, dockerfile.line)
        return PolicyResult((refusal,) if dockerfile.unsafe else ())
    found = dict.fromkeys(_problems(dockerfile, allowed, platform))
    refusals = tuple(Refusal(f"{dockerfile.path} line {line}: {text}", dockerfile.path, line) for line, text in found)
    if not refusals:
        bases = dict.fromkeys(normalised(image) for _, image in _external_images(dockerfile))
        return PolicyResult((), tuple(bases))
    return PolicyResult(refusals, (), _wrong_base(dockerfile, [line for line, _ in found]))


def _wrong_base(dockerfile: Dockerfile, lines: Sequence[int]) -> WrongBase | None:
    """The first of these lines, if all are a FROM of an image that the usual registry has, without other problems."""
    stages = {stage.line: stage for stage in dockerfile.stages if not stage.platform}
    usual = [stage for line in lines if (stage := stages.get(line)) and not names_registry(stage.image)]
    return WrongBase(usual[0].line, usual[0].written, usual[0].image) if len(usual) == len(lines) else None


_Problem = tuple[int, str]
"""A line, and what is not allowed in it."""


def _problems(dockerfile: Dockerfile, allowed: Sequence[str], platform: str) -> Iterator[_Problem]:
    count = len(dockerfile.instructions)
    if count > MAX_INSTRUCTIONS:
        line = dockerfile.instructions[MAX_INSTRUCTIONS].first_line
        yield line, f"there are {count} instructions; at most {MAX_INSTRUCTIONS} are built."
        return
    yield from _images(dockerfile, allowed)
    for instruction in _with_triggers(dockerfile):
        texts = (*_platform(instruction, platform), *_run_options(instruction), *_remote(instruction))
        yield from ((instruction.first_line, text) for text in texts)
    yield from _working_dirs(dockerfile)


def _with_triggers(dockerfile: Dockerfile) -> Iterator[Instruction]:
    """Every instruction, also those that an ONBUILD holds."""
    for instruction in dockerfile.instructions:
        yield instruction
        if instruction.trigger:
            yield instruction.trigger


def _images(dockerfile: Dockerfile, allowed: Sequence[str]) -> Iterator[_Problem]:
    for instruction, image in _external_images(dockerfile):
        option = {"FROM": "", "RUN": "--mount=from="}.get(instruction.keyword, "--from=")
        written = f"{instruction.keyword} {option}{image[:120]}"
        if reference_problem(image):
            yield instruction.first_line, f"{written}: no earlier stage and no image has this name."
        elif not is_allowed(image, allowed):
            named = [name for name in allowed if "*" not in name]
            names = ", ".join(named[:_LISTED]) + (", …" if len(named) > _LISTED else ".")
            text = f"{written}: this image is not allowed here.{_untagged(image)} Allowed: {names}"
            yield instruction.first_line, text


def _external_images(dockerfile: Dockerfile) -> Iterator[tuple[Instruction, str]]:
    """Each mention of an image that is no stage, with the image's name."""
    names: list[str] = []
    for instruction in dockerfile.instructions:
        if instruction.keyword == "FROM":
            stage = dockerfile.stages[instruction.stage]
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


def _working_dirs(dockerfile: Dockerfile) -> Iterator[_Problem]:
    """WORKDIR into /proc: what the container's runtime left open there may be the host's (CVE-2024-21626)."""
    folders: dict[int, str] = {}
    for instruction in _with_triggers(dockerfile):
        if instruction.keyword == "WORKDIR":
            written = re.sub(r"[\"'\\`]", "", instruction.value)
            above = folders.get(instruction.stage, "/")
            path = posixpath.normpath("/" + posixpath.join(above, written).lstrip("/"))
            folders[instruction.stage] = path
            if path == "/proc" or path.startswith("/proc/"):
                yield instruction.first_line, f"WORKDIR {instruction.value[:120]}: a place under /proc is not allowed."


def _sources(instruction: Instruction) -> Iterator[str]:
    """The stages or images that an instruction besides FROM takes files from."""
    for flag in instruction.flags:
        if flag.name == "from" and not re.fullmatch(r"[+-]?[0-9]+", flag.value):
            yield flag.value
        elif flag.name == "mount" and instruction.keyword == "RUN":
            yield from (value for name, value in _mount(flag) if name == "from")


def _mount(flag: Flag) -> list[tuple[str, str]]:
    """`type=bind,from=x` as pairs, names in lower case. To builders it is CSV, but quotes are refused here."""
    pairs = (field.partition("=") for field in flag.value.split(","))
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs]


def _untagged(image: str) -> str:
    """What a name without a tag means; a beginner who writes `FROM python` does not know that it names a version."""
    tagged = normalised(image)
    latest = ":latest"
    return f" Without a tag, Docker takes {tagged}." if tagged.endswith(latest) and not image.endswith(latest) else ""


def _platform(instruction: Instruction, platform: str) -> Iterator[str]:
    for flag in instruction.flags:
        if instruction.keyword == "FROM" and flag.name == "platform" and flag.value not in (platform, *_PLATFORMS):
            yield f"FROM --platform={flag.value[:60]}: this machine builds for {platform} only. Leave the option out."


_MOUNT_TYPES = {"bind", "cache", "tmpfs"}


def _run_options(instruction: Instruction) -> Iterator[str]:
    """Options of RUN that reach out of the build (https://docs.docker.com/reference/dockerfile/#run)."""
    for flag in instruction.flags if instruction.keyword == "RUN" else ():
        written = f"RUN --{flag.name[:40]}={flag.value[:120]}: "
        match flag.name:
            case "network" if flag.value not in {"default", "none"}:
                yield written + "the host's network is not to be had. Leave the option out."
            case "security" if flag.value != "sandbox":
                yield written + "no build has special rights here. Leave the option out."
            case "device":
                yield written + "there are no devices for builds here. Leave the option out."
            case "mount" if re.search(r"[\"'\s\\]", flag.value):
                yield written + "quotes and spaces in --mount are not read here. Write it without."
            case "mount" if any(name == "type" and kind.lower() not in _MOUNT_TYPES for name, kind in _mount(flag)):
                yield written + "only the types bind, cache and tmpfs are allowed."
            case _:
                pass


_SSH_ADDRESS = re.compile(r"(?<![\w.-])[\w.-]+@[\w.-]+:")
"""From the start of a word only: from each of its characters, a long one would be read as often as it is long."""


def _remote(instruction: Instruction) -> Iterator[str]:
    """ADD of an address: the engine itself would fetch it, from wherever the engine may go.

    Quotes and escapes are taken out first, as the builder does, and variables are not followed.
    """
    if instruction.keyword != "ADD":
        return
    words = [re.sub(r"[\"'\\`]", "", word) for word in instruction.arguments]
    written = f"ADD {instruction.value[:120]}: "
    if any("$" in word for word in words[:-1]):
        yield written + "a variable may stand for an address. Name the file, or use COPY."
    elif any(_is_address(word) for word in words):
        yield written + "nothing is fetched from addresses here. Hand the file in."


def _is_address(word: str) -> bool:
    return "://" in word or bool(_SSH_ADDRESS.search(word)) or bool(re.search(r"\.git/?(#.*)?$", word))
