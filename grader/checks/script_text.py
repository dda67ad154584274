"""What is wrong with the text of `commands.sh`, where the shell only says that it failed: feedback, no verdicts.

Students paste from terminals, word processors and web pages; what came along is often not to be seen in the shell's own
message, nor in an editor.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grader.course.registry import reason
from grader.models import FailedCommand

PROMPT_COPIED = reason("S101", "prompt_copied", "A line of the script begins with the terminal's prompt.")
OUTPUT_COPIED = reason("S102", "output_copied", "A line of the script is something that a command has printed.")
SCRIPT_FAILED = reason("S103", "script_failed", "commands.sh ended with an error.")


@dataclass(frozen=True, slots=True)
class Oddity:
    """What came along with the commands; `line` is the file's, from 1, and `message` one sentence or more."""

    reason: str
    message: str
    line: int | None = None


def oddity(content: bytes, name: str, failed: Sequence[FailedCommand], unreadable: int | None = None) -> Oddity | None:
    """The first known reason, seen in the text, why commands failed, or a line could not be read by the shell."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        message = f"{name} is saved as UTF-16 (PowerShell's `>` does that), which no shell can read. Save it as UTF-8."
        return Oddity(SCRIPT_FAILED, message)
    if content.startswith(codecs.BOM_UTF8):
        message = (
            f"{name} begins with a byte order mark: an editor put three bytes there that nobody sees, and the shell "
            "takes them for a part of the first word. Save it as UTF-8 without a byte order mark (without BOM)."
        )
        return Oddity(SCRIPT_FAILED, message, 1)
    fence = re.search(rb"^[ \t]*```", content, re.MULTILINE)
    if fence and (failed or unreadable):
        number = content.count(b"\n", 0, fence.start()) + 1
        return Oddity(SCRIPT_FAILED, f"Line {number} has ```: that is Markdown, and no command.", number)
    lines = content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    return next(filter(None, (_in_line(text, number) for number, text in _suspects(lines, failed, unreadable))), None)


def unreadable_line(name: str, stderr: bytes) -> int | None:
    """The line of the file `name` in which bash found a syntax error, which stops it; by bash's own words."""
    error = rb"(?m)^%b: line (\d{1,6}): (?:syntax error|unexpected EOF)" % re.escape(name.encode())
    found = re.search(error, stderr)
    return int(found[1]) if found else None


def near_names(paths: Iterable[str], name: str) -> list[str]:
    """Of these paths, those that look like `name` misspelt: another case, ending or folder, or without its plural."""
    stem = re.escape(name.partition(".")[0].removesuffix("s"))
    near = re.compile(rf"(?:.*/)?{stem}s?(?:[ ._-]?\(?\d\)?)?(?:\.\w+)*", re.IGNORECASE)
    return [path for path in paths if near.fullmatch(path)]


def _suspects(
    lines: Sequence[str], failed: Sequence[FailedCommand], unreadable: int | None
) -> Iterable[tuple[int, str]]:
    """Lines of what failed, with their numbers; for a command that was continued, and may be the rest of one, all."""
    for one in failed:
        if one.line > len(lines) or one.command.split()[:1] != lines[one.line - 1].split()[:1]:
            yield one.line, one.command  # a line of another file that was read in, or the middle of one of ours
            continue
        number = one.line - 1 if one.line > 1 and _BROKEN.search(lines[one.line - 2]) else one.line
        yield number, lines[number - 1]
        while number < len(lines) and lines[number - 1].rstrip().endswith("\\"):
            number += 1
            yield number, lines[number - 1]
    if unreadable and unreadable <= len(lines):
        yield unreadable, lines[unreadable - 1]


def _in_line(text: str, number: int) -> Oddity | None:
    if _PROMPT.match(text):
        return Oddity(PROMPT_COPIED, "", number)
    if _OUTPUT.match(text):
        message = f"Line {number} looks like something that a command has printed, not like a command."
        return Oddity(OUTPUT_COPIED, message, number)
    command = re.split(r"(?:^|\s)#", text, maxsplit=1)[0]
    for pattern, sentence in _MISTAKES.items():
        found = re.search(pattern, text)
        if found:
            return Oddity(SCRIPT_FAILED, sentence.format(line=number, found=found[0].strip()), number)
    for pattern, name in _LOOKALIKES:
        if re.search(pattern, command):
            return Oddity(SCRIPT_FAILED, _LOOKALIKE.format(line=number, name=name), number)
    return None


_PROMPT = re.compile(
    r"\s*(?:\([\w.-]+\)\s*)?"  # a Python environment's name
    r"(?:[$>%](?=\s)"
    r"|PS [A-Za-z]:\\[^>]*>|[A-Za-z]:\\[^>]*>"  # PowerShell, cmd
    r"|\[?[\w.-]+@[\w.-]+[^$#%]{0,80}[$#%](?=\s))"  # anna@laptop:~/work$, root@laptop:/#, [anna@laptop work]$
)
_OUTPUT = re.compile(
    r"\s*(?:\[\+\] (?:Building|Running)|=> |(?:---|--)> |Sending build context|Step \d+/\d+ ?:"
    r"|Successfully (?:built|tagged) |Removing intermediate container|REPOSITORY +TAG|CONTAINER ID +IMAGE"
    r"|Total reclaimed space|Deleted (?:Containers|Images)|Predicted sales for next week:"
    r"|sha256:[0-9a-f]{12}|[0-9a-f]{12}(?:\s|$)|[0-9a-f]{64}$)"
)
"""How lines begin that docker, or the script of the course, prints."""
_BROKEN = re.compile(r"\\[ \t]+$")
_MISTAKES = {
    _BROKEN.pattern: "After the backslash at the end of line {line} there is a blank, so the command is not continued "
    "in the next line: the backslash has to be the very last character.",
    r"<[A-Za-z][\w -]{0,40}>": "In line {line}, {found} stands for a name or an ID that you have to put there; a shell "
    "takes < and > for files to read and write.",
    r"^\s*(?:\d+[.)]|[-*\u2022])(?=\s+(?:sudo\s+)?docker\b)": "Line {line} begins with {found}, as in a list; a shell "
    "takes that for a program.",
}
"""What a line shows, and what to say of it."""
_LOOKALIKES = (
    ("(?:^|\\s)[\u2013\u2014\u2212][\\w\u2013\u2014\u2212-]", "a long dash where a hyphen (-) has to be"),
    ("[\u2018\u2019\u201c\u201d\u201e]", "curly quotes where the shell needs straight ones"),
    ("[\u00a0\u2007\u202f]", "a blank that is not the one of the keyboard (a non-breaking space)"),
    ("[\u200b\u200c\u200d\u2060\ufeff]", "an invisible character"),
)
"""Characters that look like others, or like nothing, and what they are called."""
_LOOKALIKE = (
    "Line {line} has {name}. Word processors and web pages put such characters into text; to the shell they are "
    "letters like others. Retype the line."
)
