"""A Dockerfile as the builder reads it, or why it cannot be read.

The reading is done by `e2b_dockerfile_utils`, a port of BuildKit's own parser. Around it stand the rules that make
the answer reliable: engines of five years are in use, and their parsers do not agree on everything. What two of them
read in two ways is `Unparsable` here, so that nothing is built that was not understood. Everything else follows
https://docs.docker.com/reference/dockerfile/ as BuildKit 0.8 to 0.29 carry it out.

Time is bounded: a file of at most 256 KiB is read in a few seconds at most, whatever it holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from e2b_dockerfile_utils import DockerfileInstruction, DockerfileSyntaxError, ShellLex, parse_dockerfile_ast

from grader.dockerfile.image_names import reference_problem
from grader.files import read_table


@dataclass(frozen=True, slots=True)
class Unparsable:
    """The Dockerfile cannot be read, so it does not build. `line` counts from 1.

    With `unsafe`, it must not even be tried: it is far too large, or another program than Docker's is to read it.
    """

    message: str
    line: int | None = None
    unsafe: bool = False
    path: str = "Dockerfile"


@dataclass(frozen=True, slots=True)
class Flag:
    """`--name=value` before an instruction's arguments; `value` is empty where there is no `=`."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, with its continuation lines joined.

    `keyword` is in upper case. `value` is what follows the flags, as written; `arguments` its words, or the strings of
    its JSON form (`json`). Words keep their quotes and `$NAME`. `heredocs` are the texts of `<<NAME`, with their line
    ends. `stage` counts from 0 and is -1 for an ARG before the first FROM. `trigger` is what an ONBUILD holds.
    """

    keyword: str
    first_line: int
    last_line: int
    value: str
    arguments: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    heredocs: tuple[str, ...] = ()
    json: bool = False
    stage: int = -1
    trigger: Instruction | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next. `image` is `written` with ARG defaults put in; `name` is in lower case, or empty."""

    name: str
    image: str
    written: str
    platform: str
    line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile that can be read.

    `built` is what a builder is given: the same lines, with `# syntax=` as a plain comment. `path` is in its folder.
    """

    instructions: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    built: bytes
    path: str = "Dockerfile"


class _CannotParse(Exception):  # noqa: N818 - never seen outside: `parse` returns the value that it holds
    """Ends the reading of a Dockerfile."""

    def __init__(self, message: str, line: int | None = None, *, unsafe: bool = False) -> None:
        where = "" if line is None else f"Dockerfile line {line}: "
        self.problem = Unparsable(where + message, line, unsafe)
        super().__init__(self.problem.message)


_BUILDERS_OWN = re.compile(r"(?:BUILD|TARGET)(?:PLATFORM|OS|OSVERSION|ARCH|VARIANT|STAGE)")
"""ARGs that the builder itself sets before the first FROM."""

_MAX_WORD = 1000
"""Characters of a value that may become part of an image's name. ARGs of `$A$A` would fill the memory."""

_PLAIN_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:\}|:[-+?]))")
"""What all builders read alike; `${NAME-x}`, `${NAME+x}` and `${NAME#pattern}` are not."""


_Defaults = dict[str, str | None]
"""The ARGs before the first FROM, empty without a value; None for a value that is not worked out here."""


def _substituted(word: str, defaults: _Defaults, escape: str) -> str | None:
    """`word` without quotes and with variables put in as the builder does; None where that is not done here."""
    found = _PLAIN_VARIABLE.findall(word)
    names = {plain or braced for plain, braced in found}
    unreadable = (name for name in names if defaults.get(name, "") is None or _BUILDERS_OWN.fullmatch(name))
    if len(word) > _MAX_WORD or len(found) != word.count("$") or any(unreadable):
        return None
    known = {name: value for name, value in defaults.items() if value}
    try:
        value = ShellLex(escape, env=known, skip_unset_env=False).process_word(word)
    except ValueError:
        return None
    return value if len(value) <= _MAX_WORD else None


def _note_default(instruction: Instruction, defaults: _Defaults, given: Mapping[str, str], escape: str) -> None:
    """Add what an ARG before the first FROM sets to `defaults`; nothing else may stand there."""
    line = instruction.first_line
    if instruction.keyword != "ARG":
        first = "A Dockerfile begins with FROM and the name of an image."
        raise _CannotParse(f"{instruction.keyword} stands before FROM. {first}", line)
    for word in instruction.arguments:
        name, equals, written = word.partition("=")
        if equals and _BUILDERS_OWN.fullmatch(name):
            raise _CannotParse(f"ARG {name} is set by the builder. Take another name.", line)
        value = given.get(name, _substituted(written, defaults, escape))
        # Of two with one name, builders take different ones.
        defaults[name] = None if value is None or len(value) > _MAX_WORD or name in defaults else value


def _stage(instruction: Instruction, defaults: _Defaults, escape: str) -> Stage:
    """The stage that a FROM begins."""
    line = instruction.first_line
    name = ""
    match instruction.arguments:
        case (written,):
            pass
        case (written, as_word, named) if as_word.upper() == "AS":
            name = named.lower()
        case (written, tag) if tag.upper() != "AS" and ":" not in written and not reference_problem(f"{written}:{tag}"):
            message = f"a colon stands between an image's name and its tag: FROM {written}:{tag}"
            raise _CannotParse(message[:200], line)
        case (_, *others) if any(word.startswith("#") for word in others):
            message = "a comment stands on a line of its own, not after FROM. Move it to the line above."
            raise _CannotParse(message, line)
        case (written, tag) if written.endswith(":") or tag.startswith(":"):
            raise _CannotParse(f"there is no blank at the colon: FROM {written}{tag}"[:200], line)
        case _:
            raise _CannotParse("FROM needs the name of an image, and after it nothing, or AS and a name.", line)
    if name and not re.fullmatch(r"[a-z][a-z0-9_.-]*", name):
        rule = "a stage's name begins with a letter and holds only letters, digits, _ . and -"
        raise _CannotParse(f"AS {name[:60]}: {rule}.", line)
    image = _substituted(written, defaults, escape)
    if image is None:
        problem = "this cannot be worked out here. Write the image's name."
    elif not image:
        problem = "no image is named, because the ARG has no value. Give it one before FROM: ARG NAME=value"
    elif reason := reference_problem(image):
        comes_to = "" if image == written else f" comes to {image[:120]!r}, which"
        problem = f"this{comes_to} is no image's name: {reason}"
    else:
        platform = next((flag.value for flag in instruction.flags if flag.name == "platform"), "")
        return Stage(name, image, written, platform, line)
    raise _CannotParse(f"FROM {written[:120]}: {problem}", line)


# ── reading ─────────────────────────────────────────────────────────────────────────────

MAX_BYTES = 256 * 1024
"""Bytes of a Dockerfile that are read at all; the longest honest ones have a tenth of it."""

MAX_LINE = 65_534
"""Bytes of one line that BuildKit reads (one less than `bufio.MaxScanTokenSize`)."""

_MAX_SUBSTITUTIONS = 150
_MAX_WORK = 3_000_000
"""Occurrences of `${` in a file with heredocs, and that times its length.

Each may stand in another. Deeper than the interpreter's stack, heredocs would be overlooked; and reading one within
another takes the product (a million: a second).
"""

_KEYWORDS = (
    *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
    *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
)

_SPACES = " \t\v\f\r"
"""What separates words in an instruction, in every version of the parser."""


def parse(
    content: bytes, arguments: Mapping[str, str] | None = None, path: str = "Dockerfile"
) -> Dockerfile | Unparsable:
    """Read a Dockerfile. Never raises: what cannot be read, or not in one way only, is `Unparsable`.

    `arguments` are those that the build is given (`--build-arg`): they can change which image a FROM names.
    """
    try:
        return _read(content, arguments or {}, path)
    except _CannotParse as error:
        return replace(error.problem, path=path)


def _read(content: bytes, given: Mapping[str, str], path: str) -> Dockerfile:
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    _refuse_unsafe(content, text)
    _refuse_unreadable(content, text)
    escape = _escape(text)
    instructions: list[Instruction] = []
    stages: list[Stage] = []
    defaults: _Defaults = {}
    for node in _nodes(text, escape):
        instruction = _instruction(node)
        if instruction.keyword == "FROM":
            stages.append(_stage(instruction, defaults, escape))
        elif not stages:
            _note_default(instruction, defaults, given, escape)
        instructions.append(replace(instruction, stage=len(stages) - 1))
    if not stages:
        raise _CannotParse("The Dockerfile has no FROM. It begins with FROM and the name of an image.")
    return Dockerfile(tuple(instructions), tuple(stages), _built(content), path)


def _refuse_unsafe(content: bytes, text: str) -> None:
    """Refuse a Dockerfile that is far too large, or that another program is to read.

    BuildKit looks for `# syntax=`, and behind a line for the shell also for `// syntax=` and for `{"syntax": …}`
    (`DetectSyntax` in its frontend/dockerfile/parser/directives.go).
    """
    if len(content) > MAX_BYTES:
        raise _CannotParse(f"The Dockerfile has {len(content)} bytes; at most {MAX_BYTES} are read.", unsafe=True)
    for number, line in enumerate(content.split(b"\n"), start=1):
        if len(line) > MAX_LINE:
            raise _CannotParse(f"the line has {len(line)} bytes; at most {MAX_LINE} are read.", number, unsafe=True)
    for number, (_, name, value) in enumerate(_leading(text), start=1):
        if name == "syntax" and not _KNOWN_SYNTAX.fullmatch(value):
            message = f"# syntax={value[:120]}: this is not allowed here. Remove the line, or write "
            raise _CannotParse(f"{message}# syntax=docker/dockerfile:1", number, unsafe=True)
    other = re.match(r"(?:#!.*\n)?\s*(?=//|\{)", text)
    if other and "syntax" in text.lower():
        message = "another program is to read this Dockerfile (syntax). This is not allowed here. Remove the line."
        raise _CannotParse(message, other[0].count("\n") + 1, unsafe=True)


def _refuse_unreadable(content: bytes, text: str) -> None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        message = "the file is saved as UTF-16 (PowerShell's `>` does that). Save it as UTF-8 in the editor."
        raise _CannotParse(message, 1)
    count = text.count("${")
    if "<<" in text and (count > _MAX_SUBSTITUTIONS or count * len(text) > _MAX_WORK):
        message = "The Dockerfile is long, and has heredocs and too many `${`. Put scripts in files of their own."
        raise _CannotParse(message)


def _nodes(text: str, escape: str) -> list[DockerfileInstruction]:
    """The instructions as the library reads them."""
    try:
        tree = parse_dockerfile_ast(f"\ufeff{text}")  # it drops one mark, and a second is none to all builders
    except DockerfileSyntaxError as error:
        message = str(error).partition(": ")[2]
        head, _, word = message.partition("unknown instruction: ")
        if not head and word:
            message = _unknown_instruction(word)
        elif "must have two arguments" in message:
            message = f"{message.split()[0]} needs a name and a value: {message.split()[0]} NAME=value"
        elif "can't find = in" in message:
            message += " A value that has blanks in it stands in quotes."
        raise _CannotParse(message if message.endswith((".", "?")) else f"{message}.", error.line) from None
    except (RecursionError, ValueError) as error:  # a JSON array of 10,000 brackets; a number of 5,000 digits
        raise _CannotParse(f"The Dockerfile cannot be read: {type(error).__name__}.") from None
    if tree.escape_token != escape:
        raise _CannotParse("The line `# escape=` is not read in one way by all builders. Remove it.")
    if not tree.instructions:
        raise _CannotParse("The Dockerfile is empty. It begins with FROM and the name of an image.")
    return tree.instructions


def _unknown_instruction(word: str) -> str:
    near = get_close_matches(word[:20].upper(), _KEYWORDS, n=1)
    usual = "Each line begins with one; a line that goes on in the next one ends with a \\."
    hint = said("instructions", word, bare=word.partition(":")[0]) or (f"Did you mean {near[0]}?" if near else usual)
    return f"there is no instruction {word[:40]!r}. {hint}"


def said(table: str, text: str, **facts: str) -> str:
    """The sentence of the first row of a table in `mistakes.yaml` that fits a text; "" if none does."""
    rows = read_table(Path(__file__).with_name("mistakes.yaml"))[table]
    return next((row["say"].format(**facts) for row in rows if re.match(row["when"], text, re.DOTALL)), "")


# ── the lines at the top that look like comments ────────────────────────────────────────
#
# `# syntax=docker/dockerfile:1` makes BuildKit fetch the reader of the Dockerfile as an image: a program that decides
# what is built. The well-known ones become plain comments, as builders know what they bring; all others are refused.
# https://docs.docker.com/reference/dockerfile/#parser-directives

_LOOSE = re.compile(r"\s*#\s*(syntax|escape|check)\s*=(.*)", re.IGNORECASE | re.DOTALL)
"""Whatever any version of any builder could take for a directive."""

_STRICT = re.compile(r"[ \t]*#[ \t]*(?:syntax|escape|check)[ \t]*=[ \t]*[!-~]+[ \t]*\r?$", re.IGNORECASE)
"""What all versions take for one: older ones know no other white space."""

_KNOWN_SYNTAX = re.compile(
    r"(?:docker\.io/)?docker/dockerfile(?::(?:latest|experimental|1(?:\.\d{1,3}){0,2}(?:-experimental)?))?"
    r"(?:@sha256:[0-9a-f]{64})?"
)


def _leading(text: str) -> Iterator[tuple[str, str, str]]:
    """Each line before the first instruction, with the directive (name, value) that it may be, or empty texts."""
    for line in text.split("\n"):
        if line.strip() and not line.lstrip().startswith("#"):
            return
        match = _LOOSE.match(line)
        yield (line, match[1].lower(), match[2].strip()) if match else (line, "", "")


def _escape(text: str) -> str:
    r"""The character that continues lines: that of `# escape=` if all versions of the builder heed it, else a `\`.

    They heed directives until the first line that is none; `# check=` is a directive only to newer ones.
    """
    heeded = True
    for number, (line, name, value) in enumerate(_leading(text), start=1):
        if not name:  # a comment or an empty line: from here on nobody heeds any
            break
        if name == "escape":
            if heeded and _STRICT.match(line) and value in ("\\", "`"):
                return value
            raise _CannotParse("`# escape=` is not written as all builders read it.", number)
        heeded = heeded and name == "syntax" and bool(_STRICT.match(line))
    return "\\"


def _built(content: bytes) -> bytes:
    """The Dockerfile as a builder is given it: `# syntax=` is a comment, and stands behind the other directives.

    Behind a plain comment, a `# escape=` would no longer be heeded. Instructions stay in their lines.
    """
    text = content.decode("utf-8", "surrogateescape")
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    leading = list(_leading(text.removeprefix(mark)))
    syntax = [line.replace("=", " ", 1) for line, name, _ in leading if name == "syntax"]
    others = [line for line, name, _ in leading if name != "syntax"]
    rest = text.removeprefix(mark).split("\n")[len(leading) :]
    return (mark + "\n".join([*others, *syntax, *rest])).encode("utf-8", "surrogateescape")


# ── one instruction ─────────────────────────────────────────────────────────────────────


def _instruction(node: DockerfileInstruction) -> Instruction:
    """An instruction from the library's, if every builder reads it in the same way."""
    keyword, rest = _split(node.original)
    if not re.fullmatch("[A-Za-z]+", keyword):  # some letters beyond ASCII become one of A to Z in upper case
        raise _CannotParse(_unknown_instruction(keyword), node.start_line)
    if re.search(r"[\x00-\x08\x0e-\x1f\x7f]", node.original):
        raise _CannotParse("the instruction holds a control character. Remove it.", node.start_line)
    flags, value = _flags(rest, node)
    if problem := _json_problem(node, value) or _heredoc_problem(node):
        raise _CannotParse(problem, node.start_line)
    return Instruction(
        keyword=node.name,
        first_line=node.start_line,
        last_line=node.end_line,
        value=value,
        arguments=tuple(_arguments(node, value)),
        flags=flags,
        heredocs=tuple(heredoc.content for heredoc in node.heredocs),
        json=node.json,
        trigger=_trigger(value, flags, node) if node.name == "ONBUILD" else None,
    )


def _split(line: str) -> tuple[str, str]:
    """The first word of a line, and what follows the space after it."""
    word, *rest = re.split(rf"[{_SPACES}]+", line.strip(), maxsplit=1)
    return word, rest[0] if rest else ""


def _arguments(node: DockerfileInstruction, value: str) -> list[str]:
    """BuildKit splits these at white space, whatever quotes say; only ARG, ENV and LABEL heed them."""
    if node.json or node.name in {"ARG", "ENV", "LABEL", "HEALTHCHECK"}:
        return node.args
    return re.split(rf"[{_SPACES}]+", value) if value else []


_OPTION = re.compile(rf"--(?:\"[^\"]*\"|'[^']*'|[^{_SPACES}\"'])*")


def _flags(text: str, node: DockerfileInstruction) -> tuple[tuple[Flag, ...], str]:
    """The flags before an instruction's arguments, and what follows them.

    Builders differ on escapes in flags, and on bytes of letters beyond ASCII that look like a space.
    """
    flags: list[Flag] = []
    rest = text.lstrip(_SPACES)
    while word := _OPTION.match(rest):
        written, rest = word[0], rest[word.end() :]
        if not written.isascii() or re.search(r"[\\`]", written) or rest.startswith(('"', "'")):
            message = (
                f"the option {written[:60]!r} has a \\, a `, an open quote or a letter beyond ASCII. Write it without."
            )
            raise _CannotParse(message, node.start_line)
        rest = rest.lstrip(_SPACES)
        if written == "--":
            break
        name, _, value = re.sub("[\"']", "", written)[2:].partition("=")
        flags.append(Flag(name, value))
    read = [f"--{flag.name}={flag.value}".removesuffix("=") for flag in flags]
    if read != [flag.removesuffix("=") for flag in node.flags]:  # the library's reading must be ours
        raise _CannotParse(f"the options of {node.name} cannot be read.", node.start_line)
    return tuple(flags), rest.strip()


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
    """Why a builder that knows no heredocs, or not this one, would not refuse the whole file at the line of its name.

    It takes the lines of the text for instructions. So the last must not run on into the name, and the name must be
    none itself: then an unknown instruction ends the build before anything is done.
    """
    if node.name == "ONBUILD" and "<<" in node.original:
        return "a heredoc in ONBUILD is not read here."
    for heredoc in node.heredocs:
        runs_on = False
        for line in heredoc.content.split("\n"):
            written = line.strip()
            skipped = runs_on and (not written or written.startswith("#"))
            runs_on = skipped or written.endswith(("\\", "`"))
        word = _split(heredoc.name)[0]
        if runs_on or not re.fullmatch(r"\w[\w.!+-]*", word, re.ASCII) or word.upper() in _KEYWORDS:
            return f"the heredoc's end {heredoc.name[:40]!r} could be read as an instruction. Call it EOF."
    return ""


def _trigger(value: str, flags: Sequence[Flag], node: DockerfileInstruction) -> Instruction:
    """What an ONBUILD holds, which is read as a Dockerfile of one line."""
    unreadable = _CannotParse("ONBUILD needs an instruction after it, and not ONBUILD again.", node.start_line)
    if flags or "\n" in value or not value[:1].isalpha():
        raise unreadable
    try:
        held = parse_dockerfile_ast(value).instructions
    except (DockerfileSyntaxError, RecursionError, ValueError):
        raise unreadable from None
    if len(held) != 1 or held[0].name in {"ONBUILD", "FROM", "MAINTAINER"}:
        raise unreadable
    held[0].start_line, held[0].end_line = node.start_line, node.end_line
    return _instruction(held[0])
