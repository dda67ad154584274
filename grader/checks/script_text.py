"""What is wrong with `commands.sh`, where the shell only says that a command failed: feedback, no verdicts.

Students paste from terminals, word processors and web pages; what came along is often not to be seen in the shell's own
message, nor in an editor. And what docker prints is meant for people who know it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from grader.course.registry import reason
from grader.models import FailedCommand

PROMPT_COPIED = reason("S101", "prompt_copied", "A line of the script begins with the terminal's prompt.")
OUTPUT_COPIED = reason("S102", "output_copied", "A line of the script is something that a command has printed.")
SCRIPT_FAILED = reason("S103", "script_failed", "commands.sh ended with an error.")


@dataclass(frozen=True, slots=True)
class Oddity:
    """What is wrong: `message` is one sentence or more, and `line` the file's, from 1."""

    reason: str
    message: str
    line: int | None = None


def oddity(content: bytes, name: str, failed: Sequence[FailedCommand]) -> Oddity | None:
    """The first known reason why commands failed, seen in the text of the script, or in what docker printed."""
    for mark, problem in _UNREADABLE.items():
        if content.startswith(mark):
            return Oddity(SCRIPT_FAILED, f"{name} {problem}", 1)
    fence = re.search(rb"^[ \t]*```", content, re.MULTILINE)
    if fence and failed:
        number = content.count(b"\n", 0, fence.start()) + 1
        return Oddity(SCRIPT_FAILED, f"Line {number} has ```: that is Markdown, and no command.", number)
    lines = content.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")
    suspects = (_in_line(text[:_MOST_CHARACTERS], number) for number, text in _suspects(lines, failed))
    return next(filter(None, suspects), None) or (_in_words(failed[0]) if failed else None)


_MOST_CHARACTERS = 500
"""Of a line, for a search and for a message: somebody may hand in one of a megabyte."""
_UNREADABLE = {
    codecs.BOM_UTF16_LE: "is saved as UTF-16 (PowerShell's `>` does that), which no shell can read. Save it as UTF-8.",
    codecs.BOM_UTF16_BE: "is saved as UTF-16, which no shell can read. Save it as UTF-8.",
    codecs.BOM_UTF8: "begins with a byte order mark: an editor put three bytes there that nobody sees, and the shell "
    "takes them for a part of the first word. Save it as UTF-8 without a byte order mark (without BOM).",
}


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
    lines = enumerate(content.decode("utf-8", "replace").splitlines(), 1)
    found = (
        (number, match[0])
        for number, line in lines
        if (match := _ENDLESS.search(line.partition("#")[0][:_MOST_CHARACTERS]))
    )
    return next(found, None)


_ENDLESS = re.compile(
    r"docker (?:logs|container logs) .*(?:-f|--follow)\b|docker (?:attach|events|stats(?!.*--no-stream))\b"
    r"|\b(?:tail -f|watch |read\b|while (?:true|:)|sleep (?:infinity|\d{3,}))|docker compose up(?!.*(?:-d\b|--detach))"
    r"|docker (?:run|exec) .*(?:-it|-ti|-i)\b.*"
)


def near_names(paths: Iterable[str], name: str) -> list[str]:
    """Of these paths, those that look like `name` misspelt: another case, ending or folder, or without its plural."""
    stem = re.escape(name.partition(".")[0].removesuffix("s"))
    near = re.compile(rf"(?:.*/)?{stem}s?(?:[ ._-]?\(?\d\)?)?(?:\.\w+)*", re.IGNORECASE)
    return [path for path in paths if near.fullmatch(path)]


# ── what stands in a line ───────────────────────────────────────────────────────────────


def _suspects(lines: Sequence[str], failed: Sequence[FailedCommand]) -> Iterable[tuple[int, str]]:
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


def _in_line(text: str, number: int) -> Oddity | None:
    if _PROMPT.match(text):
        return Oddity(PROMPT_COPIED, "", number)
    if _OUTPUT.match(text):
        message = f"Line {number} looks like something that a command has printed, not like a command."
        return Oddity(OUTPUT_COPIED, message, number)
    command = re.split(r"(?:^|\s)#", text, maxsplit=1)[0]
    for pattern, sentence in _MISTAKES.items():
        if found := re.search(pattern, command):
            return Oddity(SCRIPT_FAILED, sentence.format(line=number, found=found[0].strip()), number)
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
_LOOKALIKE = (
    "Word processors and web pages put such characters into text; to the shell they are letters like others. Retype "
    "the line."
)
_WINDOWS = "commands.sh is run by a Linux shell (bash), in which"
_MISTAKES = {
    _BROKEN.pattern: "After the backslash at the end of line {line} there is a blank, so the command is not "
    "continued in the next line: the backslash has to be the very last character.",
    r"<[A-Za-z][\w -]{0,40}>": "In line {line}, {found} stands for a name or an ID that you have to put there; a "
    "shell takes < and > for files to read and write.",
    r"^\s*(?:\d+[.)]|[-*\u2022])(?=\s+(?:sudo\s+)?docker\b)": "Line {line} begins with {found}, as in a list; a "
    "shell takes that for a program.",
    "(?:^|\\s)[\u2013\u2014\u2212][\\w\u2013\u2014\u2212-]+": "Line {line} has a long dash where a hyphen (-) has "
    f"to be: `{{found}}`. {_LOOKALIKE}",
    "[\u2018\u2019\u201c\u201d\u201e]": "Line {line} has curly quotes where the shell needs straight ones. "
    f"{_LOOKALIKE}",
    "[\u00a0\u2007\u202f]": "Line {line} has a blank that is not the one of the keyboard (a non-breaking space). "
    f"{_LOOKALIKE}",
    "[\u200b\u200c\u200d\u2060\ufeff]": f"Line {{line}} has an invisible character. {_LOOKALIKE}",
    r"(?<=-v )[\"']?[\w-]+\.\w+(?=:)|(?<=-v )[\"']?sales(?=:)": "`{found}` without a path before it is the name of a "
    "volume, an empty folder that Docker makes; your file is $PWD/sales.txt.",
    r"\$\{?pwd\b\}?": "`{found}` in small letters is an empty variable: the folder you are in is $PWD.",
    r"\$\(\s*docker (?:ps|container ls)\b(?![^)]*(?: -\w*q|quiet))[^)]*\)": "`{found}` puts a whole table there, "
    "heading and all: with -q, docker ps prints the IDs and nothing else.",
    r"(?i)%cd%|%[a-z]{2,20}%": f"`{{found}}` belongs to Windows' command prompt. {_WINDOWS} the folder you are in is "
    "$PWD.",
    r"(?i)(?<![-\w])(?:ForEach-Object|(?:Get|Set|New|Remove|Write|Out)-[A-Za-z]+)\b|\$_(?!\w)": "`{found}` belongs "
    f"to PowerShell. {_WINDOWS} $( … ) puts what one command prints into another one.",
    r"\bFOR\s+/F\b|^\s*(?:rem|@echo|cls|dir)\b": f"`{{found}}` belongs to Windows' command prompt. {_WINDOWS} there "
    "is no such command.",
    r"\bwinpty\b": f"`{{found}}` belongs to Git Bash on Windows. {_WINDOWS} docker is typed without it.",
}
"""What a line shows, and what to say of it."""


# ── what docker or the shell printed ────────────────────────────────────────────────────


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


def _in_words(failed: FailedCommand) -> Oddity | None:
    """What a message of docker or the shell means, and what to do."""
    command = re.match(r"(?:sudo )?docker (?P<command>[a-z]\w*)", failed.command)
    if command and command["command"] not in _COMMANDS.split():
        message = f"docker has no command `{command['command']}` here{_near(command['command'], _COMMANDS)}"
        return Oddity(SCRIPT_FAILED, message, failed.line)
    text = "\n".join(line[:_MOST_CHARACTERS] for line in (failed.command, *printed_lines(failed)))
    for pattern, sentence in _MEANINGS.items():
        if found := re.search(pattern, text, re.IGNORECASE | re.MULTILINE):
            word = found.groupdict().get("word", "")
            near = _near(word, _OPTIONS if word.startswith("-") else _PROGRAMS)
            return Oddity(SCRIPT_FAILED, sentence.format(word=word, near=near), failed.line)
    return None


def _near(word: str, known: str) -> str:
    """The end of a sentence: the known word that this one is nearest to, if there is one."""
    near = get_close_matches(word[:60], known.split(), 1, 0.6)
    return f": did you mean `{near[0]}`?" if near else "."


_PROGRAMS = "docker docker-compose sudo echo sleep grep xargs python3 bash cat set"
_COMMANDS = (
    "build run ps images image container tag rm rmi stop start exec logs kill inspect create pull push compose system "
    "volume network login logout version info wait help attach builder buildx commit config context cp diff events "
    "export history import load manifest node pause plugin port rename restart save search secret service stack stats "
    "swarm top trust unpause update"
)
_OPTIONS = (
    "--rm --tag --file --name --detach --volume --env --all --quiet --force --filter --format --interactive --tty "
    "--entrypoint --workdir --no-cache --build-arg --publish --mount --platform --pull --user --target"
)
_MEANINGS = {
    r"must be lowercase": "The name of an image has small letters only; its tag, after the colon, may have others.",
    r"\s(?P<word>-(?:tag|file|rm|name|volume|all|force))\b": "`{word}` is read as short options, one for each "
    "letter: the name of a long one comes after two hyphens, -{word}.",
    r"^docker.* build .*\s\.\n(?:.*\n)*.*requires (?:exactly )?1 argument": "docker build takes one folder, at its "
    "end, and there is another word that belongs to no option: names have no blank in them.",
    r"docker (?:\w+ )?build\"? requires (?:exactly )?1 argument": "The last word of docker build is the folder that "
    "it builds from, and it is missing: a dot stands for this one, as in `docker build -t sales-predictor .`.",
    r"context must be a directory": "The last word of docker build is the folder that it builds from, not the "
    "Dockerfile in it: a dot stands for the one you are in.",
    r"path \"(?P<word>[^\"]*)\" not found": "The last word of docker build is the folder that it builds from, and "
    "there is no folder `{word}`: a dot stands for the one you are in.",
    r"(?:open|cannot locate|read|symlinks in).{0,80}Dockerfile": "There is no Dockerfile there: it is looked for in "
    "the folder that docker build is given, or where -f says.",
    r"unknown (?:shorthand )?flag: (?:'\w' in )?(?P<word>-+[\w-]+)": "There is no option `{word}`{near} Short "
    "options have one hyphen, long ones two.",
    r"unable to find image|no such image|pull access denied": "There is no such image at this point: was it built "
    "before this line, and under just this name?",
    r"no such container: sales-predictor\b": "`sales-predictor` is an image. docker run makes a container of it and "
    "starts that; docker start, stop, logs and rm take the name or the ID of a container.",
    r"no such container: (?P<word>\S+)": "There is no container `{word}` here: IDs and names are those of one "
    "machine. docker ps -aq prints the IDs that there are.",
    r"name \"/?(?P<word>[^\"]+)\" is already in use": "A container called `{word}` is there already: remove it first "
    "(docker rm), choose another --name, or run with --rm.",
    r"cannot remove.{0,20}container": "A container that is running is not removed: stop it first (docker stop), or "
    "force it with docker rm -f.",
    r"docker (?P<word>[\w ]+?)\"? requires at least 1 argument": "docker {word} was given no name. Either $( … ) "
    "printed nothing, or names came through a pipe, where docker does not look: xargs makes arguments of them.",
    r"exec: \"(?P<word>-[^\"]*)\": executable file not found": "`{word}` stands after the image's name, where the "
    "container's own command begins: options of docker run come before the image's name.",
    r"exec: \"(?P<word>[^\"]+)\"(?::|.{0,60}).{0,40}not found": "What stands after the image's name replaces the "
    "image's CMD, so the container tried to execute `{word}`.",
    r"IsADirectoryError: .*'(?P<word>[^']+)'": "What is mounted at `{word}` is a folder: Docker makes an empty one "
    "where the file before the colon of -v is not there.",
    r"empty section between colons": "The part of -v before the colon is empty: the variable is called $PWD, in "
    "capital letters.",
    r"name of a volume is not|invalid characters for a local volume name": "What stands before the colon of -v is "
    "taken for the name of a volume. A file or folder of yours is written with its whole path: $PWD/sales.txt.",
    r"invalid reference format": "One of the words is no image's name: look for a blank too many, a missing one, or "
    'a path with a blank in it that needs quotes ("$PWD").',
    r"requires exactly 2 arguments": "docker tag takes two names: the one that exists, then the new one.",
    r"^docker (?:image )?push": "There is nowhere to push an image to, and the exercise does not ask for it: leave "
    "the line out.",
    r"is not a tty": "Nobody sits at a terminal while the script runs: leave out -t and -it.",
    r"cd: (?P<word>[^:]+): no such file": "The script starts in the exercise's own folder, so no cd is needed.",
    r"(?P<word>[^\s:]+): command not found": "The shell knows no program `{word}`{near}",
    r"looking for matching `(?P<word>.)'": "Quotes and brackets come in pairs: here, or in a line above, the second "
    "half of one is missing, {word}.",
    r"unexpected end of file": "The file ends in the middle of a command: the rest of it is missing.",
    r"unexpected token `(?P<word>[^']+)'": "The shell does not expect `{word}` here: is something missing before it?",
}
"""What docker, the shell or the command itself shows, and what to say of it; the first that fits counts."""
