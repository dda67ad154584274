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
from grader.dockerfile.parser import Dockerfile, Flag, Instruction, Stage, Unparsable
from grader.models import Refusal

MAX_INSTRUCTIONS = 200
"""Instructions of a Dockerfile; an image has at most 127 layers in many engines."""

_PLATFORMS = frozenset({"", "$BUILDPLATFORM", "${BUILDPLATFORM}", "$TARGETPLATFORM", "${TARGETPLATFORM}"})
"""Values of FROM --platform that stand for the machine's own."""


@dataclass(frozen=True, slots=True)
class PolicyResult:
    """What the policy says of one Dockerfile. With `refusals`, nothing may be built.

    `bases` are the images that the build needs from outside, in their normal form (`python:latest`). `wrong_base` is a
    FROM that names an image of the usual registry that is not allowed, where nothing else is refused: to whoever grades
    a folder, that is a mistake like any other.
    """

    refusals: tuple[Refusal, ...] = ()
    bases: tuple[str, ...] = ()
    wrong_base: Stage | None = None


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


def _wrong_base(dockerfile: Dockerfile, lines: Sequence[int]) -> Stage | None:
    """The stage of the first of these lines, if all are a FROM of an image that the usual registry has."""
    stages = {stage.line: stage for stage in dockerfile.stages if not stage.platform}
    usual = [stage for line in lines if (stage := stages.get(line)) and not names_registry(stage.image)]
    return usual[0] if len(usual) == len(lines) else None


def _problems(dockerfile: Dockerfile, allowed: Sequence[str], platform: str) -> Iterator[tuple[int, str]]:
    """Lines, and what is not allowed in them."""
    count = len(dockerfile.instructions)
    if count > MAX_INSTRUCTIONS:
        line = dockerfile.instructions[MAX_INSTRUCTIONS].first_line
        yield line, f"there are {count} instructions; at most {MAX_INSTRUCTIONS} are built."
        return
    yield from _images(dockerfile, allowed)
    folders: dict[int, str] = {}
    for outer in dockerfile.instructions:
        for instruction in filter(None, (outer, outer.trigger)):
            yield from ((outer.first_line, text) for text in _options(instruction, platform))
            if instruction.keyword == "ADD" and (reason := _remote(instruction)):
                yield outer.first_line, f"ADD {instruction.value[:120]}: {reason}"
            if instruction.keyword == "WORKDIR":
                # What the container's runtime left open under /proc may be the host's (CVE-2024-21626).
                above, written = folders.get(instruction.stage, "/"), re.sub(r"[\"'\\`]", "", instruction.value)
                path = posixpath.normpath("/" + posixpath.join(above, written).lstrip("/"))
                folders[instruction.stage] = path
                if f"{path}/".startswith("/proc/"):
                    yield outer.first_line, f"WORKDIR {instruction.value[:120]}: a place under /proc is not allowed."


def _images(dockerfile: Dockerfile, allowed: Sequence[str]) -> Iterator[tuple[int, str]]:
    for instruction, image in _external_images(dockerfile):
        option = {"FROM": "", "RUN": "--mount=from="}.get(instruction.keyword, "--from=")
        written = f"{instruction.keyword} {option}{image[:120]}"
        if reference_problem(image):
            yield instruction.first_line, f"{written}: no earlier stage and no image has this name."
        elif not is_allowed(image, allowed):
            named, tagged = [name for name in allowed if "*" not in name], normalised(image)
            names = ", ".join(named[:8]) + (", …" if named[8:] else ".")
            untagged = tagged.endswith(":latest") and not image.endswith(":latest")
            means = f" Without a tag, Docker takes {tagged}." if untagged else ""
            yield instruction.first_line, f"{written}: this image is not allowed here.{means} Allowed: {names}"


def _external_images(dockerfile: Dockerfile) -> Iterator[tuple[Instruction, str]]:
    """Each mention of an image that is no stage and not `scratch`, the empty file system, with the image's name."""
    for instruction in dockerfile.instructions:
        earlier = {stage.name for stage in dockerfile.stages[: max(instruction.stage, 0)]}
        if instruction.keyword == "FROM":
            image = dockerfile.stages[instruction.stage].image
            if image not in ("scratch", *earlier):
                yield instruction, image
        for one in filter(None, (instruction, instruction.trigger)):
            for image in _sources(one):
                if image not in ("scratch", "") and image.lower() not in earlier:
                    yield one, image


def _sources(instruction: Instruction) -> Iterator[str]:
    """The stages or images that an instruction besides FROM takes files from."""
    for flag in instruction.flags:
        if flag.name == "from" and not re.fullmatch(r"[+-]?[0-9]+", flag.value):
            yield flag.value
        elif flag.name == "mount" and instruction.keyword == "RUN":
            yield from _mount(flag, "from")


def _mount(flag: Flag, wanted: str) -> list[str]:
    """The values of `wanted` in `type=bind,from=x`. To builders it is CSV, but quotes are refused here."""
    pairs = (field.partition("=") for field in flag.value.split(","))
    return [value.strip() for name, _, value in pairs if name.strip().lower() == wanted]


def _options(instruction: Instruction, platform: str) -> Iterator[str]:
    """Options that reach out of the build (https://docs.docker.com/reference/dockerfile/#run)."""
    for flag in instruction.flags if instruction.keyword in {"FROM", "RUN"} else ():
        written = f"{instruction.keyword} --{flag.name[:40]}={flag.value[:120]}: "
        match instruction.keyword, flag.name:
            case "FROM", "platform" if flag.value not in (platform, *_PLATFORMS):
                yield written + f"this machine builds for {platform} only. Leave the option out."
            case "RUN", "network" if flag.value not in {"default", "none"}:
                yield written + "the host's network is not to be had. Leave the option out."
            case "RUN", "security" if flag.value != "sandbox":
                yield written + "no build has special rights here. Leave the option out."
            case "RUN", "device":
                yield written + "there are no devices for builds here. Leave the option out."
            case "RUN", "mount" if re.search(r"[\"'\s\\]", flag.value):
                yield written + "quotes and spaces in --mount are not read here. Write it without."
            case "RUN", "mount" if not {kind.lower() for kind in _mount(flag, "type")} <= {"bind", "cache", "tmpfs"}:
                yield written + "only the types bind, cache and tmpfs are allowed."
            case _:
                pass


_ADDRESS = re.compile(r"://|(?<![\w.-])[\w.-]+@[\w.-]+:|\.git/?(?:#.*)?$")
"""The middle one is of SSH, from the start of a word only: from each character, a long one would be read as often."""


def _remote(instruction: Instruction) -> str:
    """Why an ADD may fetch an address, for which the engine itself would go wherever it may; "" if it does not.

    Quotes and escapes are taken out first, as the builder does, and variables are not followed.
    """
    words = [re.sub(r"[\"'\\`]", "", word) for word in instruction.arguments]
    if any("$" in word for word in words[:-1]):
        return "a variable may stand for an address. Name the file, or use COPY."
    return "nothing is fetched from addresses here. Hand the file in." if any(map(_ADDRESS.search, words)) else ""
