"""What is wrong with `commands.sh`, where the shell only says that a command failed: feedback, no verdicts.

Students paste from terminals, word processors and web pages; what came along is often not to be seen in the shell's own
message, nor in an editor. And what docker prints is meant for people who know it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from grader.checks.causes import Cause, cause_in
from grader.course.registry import reason
from grader.models import FailedCommand

SCRIPT_FAILED = reason("S103", "script_failed", "commands.sh ended with an error.")
# Given by the table in causes.yaml.
reason("S101", "prompt_copied", "A line of the script begins with the terminal's prompt.")
reason("S102", "output_copied", "A line of the script is something that a command has printed.")

_MOST_CHARACTERS = 500
"""Of a line, for a search and for a message: somebody may hand in one of a megabyte."""


def oddity(content: bytes, name: str, failed: Sequence[FailedCommand]) -> Cause | None:
    """The first known reason why commands failed, seen in the text of the script, or in what docker printed."""
    for mark, problem in _UNREADABLE.items():
        if content.startswith(mark):
            return Cause(SCRIPT_FAILED, f"{name} {problem}", 1)
    fence = re.search(rb"^[ \t]*```", content, re.MULTILINE)
    if fence and failed:
        number = content.count(b"\n", 0, fence.start()) + 1
        return Cause(SCRIPT_FAILED, f"Line {number} has ```: that is Markdown, and no command.", number)
    lines = content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    for number, line in _suspects(lines, failed):
        text = line[:_MOST_CHARACTERS]
        command = re.split(r"(?:^|\s)#", text, maxsplit=1)[0]
        if cause := cause_in("script_line", SCRIPT_FAILED, line=text, command=command, number=str(number)):
            return replace(cause, line=number)
    for one in failed[:1]:
        printed = "\n".join(line[:_MOST_CHARACTERS] for line in (one.command, *printed_lines(one)))
        command = one.command[:_MOST_CHARACTERS]
        if cause := cause_in("script_printed", SCRIPT_FAILED, command=command, printed=printed):
            return replace(cause, line=one.line)
    return None


_UNREADABLE = {
    codecs.BOM_UTF16_LE: "is saved as UTF-16 (PowerShell's `>` does that), which no shell can read. Save it as UTF-8.",
    codecs.BOM_UTF16_BE: "is saved as UTF-16, which no shell can read. Save it as UTF-8.",
    codecs.BOM_UTF8: "begins with a byte order mark: an editor put three bytes there that nobody sees, and the shell "
    "takes them for a part of the first word. Save it as UTF-8 without a byte order mark (without BOM).",
}


def _suspects(lines: Sequence[str], failed: Sequence[FailedCommand]) -> Iterable[tuple[int, str]]:
    """Lines of what failed, with their numbers; for a command that was continued, and may be the rest of one, all."""
    for one in failed:
        if one.line > len(lines) or one.command.split()[:1] != lines[one.line - 1].split()[:1]:
            yield one.line, one.command  # a line of another file that was read in, or the middle of one of ours
            continue
        number = one.line - 1 if one.line > 1 and re.search(r"\\[ \t]+$", lines[one.line - 2]) else one.line
        yield number, lines[number - 1]
        while number < len(lines) and lines[number - 1].rstrip().endswith("\\"):
            number += 1
            yield number, lines[number - 1]


def unreadable_line(content: bytes, name: str, stderr: bytes) -> tuple[FailedCommand, ...]:
    """The line of the file `name` at which bash stopped for an error of syntax, if it did; by bash's own words."""
    error = rb"(?m)^%b: line (\d{1,6}): ((?:syntax error|unexpected EOF).*)" % re.escape(name.encode())
    found = re.search(error, stderr)
    if not found:
        return ()
    lines = content.decode("utf-8", "replace").splitlines() or [""]
    number = min(int(found[1]), len(lines))
    return (FailedCommand(number, 2, lines[number - 1], found[2].decode("utf-8", "replace")),)


def endless_line(content: bytes) -> tuple[int, str] | None:
    """The first line that holds a command which does not end by itself, and that command."""
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if found := _ENDLESS.search(line.partition("#")[0][:_MOST_CHARACTERS]):
            return number, found[0]
    return None


_ENDLESS = re.compile(
    r"docker (?:logs|container logs) .*(?:-f|--follow)\b|docker (?:attach|events|stats(?!.*--no-stream))\b"
    r"|\b(?:tail -f|watch |read\b|while (?:true|:)|sleep (?:infinity|\d{3,}))|docker compose up(?!.*(?:-d\b|--detach))"
    r"|docker (?:run|exec) .*(?:-it|-ti|-i)\b.*"
)


def printed_lines(failed: FailedCommand) -> list[str]:
    """What a command that failed printed on standard error, without docker's help, and builds that went well before."""
    after = re.split(r"^Successfully (?:built|tagged) .*\n", failed.printed, flags=re.MULTILINE)[-1]
    told = re.split(r"^Usage: ", after, maxsplit=1, flags=re.MULTILINE)[0] or after
    return [line.strip() for line in told.splitlines() if line.strip() and not _HELP.match(line)]


def said(failed: FailedCommand) -> str:
    """The line that says why a command failed, without who says it; "" if it printed nothing."""
    lines = printed_lines(failed)
    telling = [line for line in lines if _TELLS.search(line)] or lines or [""]
    return _WHO.sub("", telling[-1])[:_MOST_CHARACTERS]


_HELP = re.compile(r"(?i)\s*(?:run 'docker|see 'docker|for more help|-\w, |--\w)|.{0,30}\bWARN")
_TELLS = re.compile(r"(?i)error|invalid|requires|unknown|not found|no such|denied|cannot|unable|conflict|not a docker")
_WHO = re.compile(r"(?:commands\.sh: line \d+: |docker: |Error response from daemon: |Error: |ERROR: )+")
