"""A Dockerfile as the builder reads it: instructions, stages and lines, or why it cannot be read.

The reading is done by `e2b_dockerfile_utils`, a port of BuildKit's own parser. Around it stand the
rules that make the answer one to rely on: engines of five years are in use, and their parsers do not
agree on everything. What two of them would read in two ways is `Unparsable` here, so that nothing is
built that was not understood. Everything else follows
https://docs.docker.com/reference/dockerfile/ as BuildKit 0.8 to 0.29 carry it out.

Time is bounded: a file of at most 256 KiB is read in at most a few seconds, whatever stands in it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from e2b_dockerfile_utils import DockerfileInstruction, DockerfileSyntaxError, parse_dockerfile_ast

from grader.dockerfile.directives import Directive, find_directives, read_escape
from grader.dockerfile.instructions import (
    Instruction,
    Unparsable,
    problem_in,
    read_instruction,
    unknown_instruction,
)
from grader.dockerfile.stages import Defaults, Stage, note_default, read_stage
from grader.models import ExerciseFiles, MemoryFile

MAX_BYTES = 256 * 1024
"""Bytes of a Dockerfile that are read at all; the longest honest ones have a tenth of it."""

MAX_LINE = 65_535
"""Bytes of one line that BuildKit reads (`bufio.MaxScanTokenSize`)."""

_MAX_SUBSTITUTIONS = 150
_MAX_WORK = 3_000_000
"""Occurrences of `${` in a file with heredocs, and that times its length.

Each may stand in another. Deeper than the interpreter's stack, heredocs would be overlooked; and
reading one within another takes the product (a million: a second).
"""


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that not every builder knows, and the first line that uses it."""

    name: Literal["heredoc", "mount", "chmod", "link"]
    line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile that can be read. `escape` is the character that continues lines."""

    instructions: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    directives: tuple[Directive, ...]
    escape: str
    features: tuple[Feature, ...]


def dockerfile_of(files: ExerciseFiles) -> MemoryFile | None:
    """The file that `docker build` takes: `Dockerfile`, or `dockerfile` where there is no other."""
    found = {file.path: file for file in files.files}
    return found.get("Dockerfile") or found.get("dockerfile")


def parse(content: bytes, arguments: Mapping[str, str] | None = None) -> Dockerfile | Unparsable:
    """Read a Dockerfile. Never raises: what cannot be read, or not in one way only, is `Unparsable`.

    `arguments` are those that the build is given (`--build-arg`): they can change which image a FROM names.
    """
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    problem = oversize(content) or _encoding_problem(content) or _substitution_problem(text)
    return problem or _parse(text, arguments or {})


def oversize(content: bytes) -> Unparsable | None:
    """What is too large about a Dockerfile, or None."""
    if len(content) > MAX_BYTES:
        return Unparsable(f"The Dockerfile has {len(content)} bytes; at most {MAX_BYTES} are read.")
    for number, line in enumerate(content.split(b"\n"), start=1):
        if len(line) > MAX_LINE - 1:
            return problem_in(number, f"the line has {len(line)} bytes; at most {MAX_LINE - 1} are read.")
    return None


def _encoding_problem(content: bytes) -> Unparsable | None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return problem_in(
            1, "the file is saved as UTF-16 (PowerShell's `>` does that). Save it as UTF-8 in the editor."
        )
    if content.startswith(2 * codecs.BOM_UTF8):
        return problem_in(1, "the file begins with two byte order marks. Save it as UTF-8 without one in the editor.")
    return None


def _substitution_problem(text: str) -> Unparsable | None:
    count = text.count("${")
    if "<<" in text and (count > _MAX_SUBSTITUTIONS or count * len(text) > _MAX_WORK):
        return Unparsable(
            "The Dockerfile is long, and has heredocs and too many `${`. Put scripts in files of their own."
        )
    return None


def _parse(text: str, arguments: Mapping[str, str]) -> Dockerfile | Unparsable:
    escape = read_escape(text)
    if escape.problem:
        return problem_in(escape.line, escape.problem)
    try:
        tree = parse_dockerfile_ast(text)
    except DockerfileSyntaxError as error:
        return _syntax_problem(error)
    except (RecursionError, ValueError) as error:  # a JSON array of 10,000 brackets; a number of 5,000 digits
        return Unparsable(f"The Dockerfile cannot be read: {type(error).__name__}.")
    if tree.escape_token != escape.character:
        return Unparsable("The line `# escape=` is not read in one way by all builders. Remove it.")
    if not tree.instructions:
        return Unparsable("The Dockerfile is empty. It begins with FROM and the name of an image.")
    return _assemble(tree.instructions, find_directives(text), escape.character, Defaults(arguments))


def _assemble(
    nodes: list[DockerfileInstruction], directives: tuple[Directive, ...], escape: str, defaults: Defaults
) -> Dockerfile | Unparsable:
    instructions: list[Instruction] = []
    stages: list[Stage] = []
    for node in nodes:
        instruction = read_instruction(node)
        if isinstance(instruction, Unparsable):
            return instruction
        problem = _take(instruction, stages, defaults, escape)
        if problem:
            return problem
        instructions.append(replace(instruction, stage=len(stages) - 1))
    if not stages:
        return Unparsable("The Dockerfile has no FROM. It begins with FROM and the name of an image.")
    return Dockerfile(tuple(instructions), tuple(stages), directives, escape, tuple(_features(instructions)))


def _take(instruction: Instruction, stages: list[Stage], defaults: Defaults, escape: str) -> Unparsable | None:
    """Add the stage that a FROM begins, or the default of an ARG before the first one."""
    if instruction.keyword != "FROM":
        return None if stages else note_default(instruction, defaults, escape)
    stage = read_stage(instruction, defaults, escape)
    if isinstance(stage, Unparsable):
        return stage
    stages.append(stage)
    return None


def _syntax_problem(error: DockerfileSyntaxError) -> Unparsable:
    text = str(error).partition(": ")[2]
    head, _, word = text.partition("unknown instruction: ")
    if not head and word:
        text = unknown_instruction(word)
    message = text if text.endswith((".", "?")) else f"{text}."
    return Unparsable(message, None) if error.line is None else problem_in(error.line, message)


# ── features ────────────────────────────────────────────────────────────────────────────


def _features(instructions: list[Instruction]) -> Iterator[Feature]:
    """Each feature once, at the first line that uses it."""
    seen: set[str] = set()
    for instruction in instructions:
        for name in _features_of(instruction.trigger or instruction):
            if name not in seen:
                seen.add(name)
                yield Feature(name, instruction.first_line)


def _features_of(instruction: Instruction) -> Iterator[Literal["heredoc", "mount", "chmod", "link"]]:
    flags = {flag.name for flag in instruction.flags}
    if instruction.heredocs:
        yield "heredoc"
    if instruction.keyword == "RUN" and "mount" in flags:
        yield "mount"
    if "chmod" in flags:
        yield "chmod"
    if "link" in flags:
        yield "link"
