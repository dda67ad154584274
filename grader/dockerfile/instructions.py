"""One instruction of a Dockerfile: its flags, its words, its heredocs; or why builders would not agree on them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches

from e2b_dockerfile_utils import DockerfileInstruction, DockerfileSyntaxError, parse_dockerfile_ast

KEYWORDS = (
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
)

_SPACES = " \t\v\f\r"
"""What separates words in an instruction, in every version of the parser."""


@dataclass(frozen=True, slots=True)
class Unparsable:
    """The Dockerfile cannot be read; it would not build. `line` counts from 1."""

    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Flag:
    """`--name=value` before an instruction's arguments; `value` is empty where there is no `=`."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Heredoc:
    """`<<NAME` and the lines up to the one that is NAME, with their line ends."""

    name: str
    body: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, with its continuation lines joined.

    `value` is what follows the flags, as written; `arguments` its words, or the strings of its JSON
    form (`json`). Words keep their quotes and `$NAME`. `stage` counts from 0 and is -1 for an ARG
    before the first FROM. `trigger` is what an ONBUILD holds.
    """

    keyword: str
    first_line: int
    last_line: int
    value: str
    arguments: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    json: bool = False
    stage: int = -1
    trigger: Instruction | None = None


def problem_in(line: int, text: str) -> Unparsable:
    """Why a Dockerfile cannot be read, with the line that is to blame."""
    return Unparsable(f"Dockerfile line {line}: {text}", line)


def unknown_instruction(word: str) -> str:
    """What to tell of a line that begins with a word that is no instruction."""
    near = get_close_matches(word[:20].upper(), KEYWORDS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    if any(ord(character) > 127 and character.isspace() for character in word):  # noqa: PLR2004 - the last of ASCII
        hint = " There is a space in it that is no ordinary one, as texts copied from web pages have. Type it anew."
    return f"there is no instruction {word[:40]!r}.{hint}"


def read_instruction(node: DockerfileInstruction) -> Instruction | Unparsable:
    """An instruction from the parser's, if every builder reads it in the same way."""
    keyword, rest = _split(node.original)
    split = _flags(rest)
    if isinstance(split, str):
        return problem_in(node.start_line, split)
    flags, value = split
    problem = (
        _line_problem(node, keyword)
        or _flag_problem(node, flags)
        or _json_problem(node, value)
        or _heredoc_problem(node)
    )
    if problem:
        return problem_in(node.start_line, problem)
    instruction = Instruction(
        keyword=node.name,
        first_line=node.start_line,
        last_line=node.end_line,
        value=value,
        arguments=tuple(node.args) if node.json else tuple(_words(node, value)),
        flags=tuple(flags),
        heredocs=tuple(Heredoc(heredoc.name, heredoc.content) for heredoc in node.heredocs),
        json=node.json,
    )
    return _with_trigger(instruction) if node.name == "ONBUILD" else instruction


def _line_problem(node: DockerfileInstruction, keyword: str) -> str:
    if not re.fullmatch("[A-Za-z]+", keyword):  # some letters beyond ASCII become one of A to Z in upper case
        return unknown_instruction(keyword)
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f]", node.original):
        return "the instruction holds a control character. Remove it."
    return ""


def _flag_problem(node: DockerfileInstruction, flags: list[Flag]) -> str:
    """The parser's own reading of the flags must be ours."""
    spelled = [f"--{flag.name}={flag.value}" if flag.value else f"--{flag.name}" for flag in flags]
    same = spelled == [flag.removesuffix("=") for flag in node.flags]
    return "" if same else f"the options of {node.name} cannot be read."


def _split(line: str) -> tuple[str, str]:
    """The first word of a line, and what follows the space after it."""
    word, *rest = re.split(rf"[{_SPACES}]+", line.strip(), maxsplit=1)
    return word, rest[0] if rest else ""


def _words(node: DockerfileInstruction, value: str) -> list[str]:
    """BuildKit splits these at white space, whatever quotes say; only ARG, ENV and LABEL heed them."""
    if node.name in {"ARG", "ENV", "LABEL", "HEALTHCHECK"}:
        return node.args
    return re.split(rf"[{_SPACES}]+", value) if value else []


def _flags(text: str) -> tuple[list[Flag], str] | str:
    """The flags before an instruction's arguments and what follows them; or why they cannot be read.

    Builders differ on escapes in flags, and on bytes of letters beyond ASCII that look like a space.
    """
    flags: list[Flag] = []
    rest = text.lstrip(_SPACES)
    while rest.startswith("--"):
        word = re.match(rf"(?:\"[^\"]*\"|'[^']*'|[^{_SPACES}\"'])*", rest)
        written = word[0] if word else ""
        after = rest[len(written) :]
        if not written.isascii() or "\\" in written or "`" in written or after.startswith(('"', "'")):
            return (
                f"the option {written[:60]!r} has a \\, a `, an open quote or a letter beyond ASCII. Write it without."
            )
        rest = after.lstrip(_SPACES)
        if written == "--":
            break
        name, _, value = re.sub("[\"']", "", written)[2:].partition("=")
        flags.append(Flag(name, value))
    return flags, rest.strip()


def _json_problem(node: DockerfileInstruction, value: str) -> str:
    """Text after a JSON array: some builders drop it, others take the line for a shell's."""
    if node.json or not value.startswith("[") or not (node.name in {"ADD", "COPY"} or "<<" in value):
        return ""
    try:
        json.JSONDecoder().raw_decode(value)
    except (ValueError, RecursionError):
        return "" if node.name != "ADD" else "the list in [ ] is no JSON. Write the names without [ ]."
    return "there is text after the closing ]. Remove it."


def _heredoc_problem(node: DockerfileInstruction) -> str:
    if node.name == "ONBUILD" and "<<" in node.original:
        return "a heredoc in ONBUILD is not read here."
    for heredoc in node.heredocs:
        if not _stops_other_builders(heredoc.content, heredoc.name):
            return f"the heredoc's end {heredoc.name[:40]!r} could be read as an instruction. Call it EOF."
    return ""


def _stops_other_builders(body: str, name: str) -> bool:
    """Whether a builder that knows no heredocs, or not this one, refuses the whole file at the line `name`.

    It takes the lines of the body for instructions. So the last must not run on into `name`, and
    `name` must be none itself: then an unknown instruction ends the build before anything is done.
    """
    runs_on = False
    for line in body.split("\n"):
        written = line.strip()
        skipped = runs_on and (not written or written.startswith("#"))
        runs_on = skipped or written.endswith(("\\", "`"))
    word = _split(name)[0]
    return not runs_on and bool(re.fullmatch(r"\w[\w.!+-]*", word, re.ASCII)) and word.upper() not in KEYWORDS


def _with_trigger(instruction: Instruction) -> Instruction | Unparsable:
    """An ONBUILD with what it holds, which is read as a Dockerfile of one line."""
    unreadable = problem_in(instruction.first_line, "ONBUILD needs an instruction after it, and not ONBUILD again.")
    if instruction.flags or "\n" in instruction.value or not instruction.value[:1].isalpha():
        return unreadable
    try:
        nodes = parse_dockerfile_ast(instruction.value).instructions
    except (DockerfileSyntaxError, RecursionError, ValueError):
        return unreadable
    if len(nodes) != 1 or nodes[0].name in {"ONBUILD", "FROM", "MAINTAINER"}:
        return unreadable
    nodes[0].start_line, nodes[0].end_line = instruction.first_line, instruction.last_line
    held = read_instruction(nodes[0])
    return held if isinstance(held, Unparsable) else replace(instruction, trigger=held)
