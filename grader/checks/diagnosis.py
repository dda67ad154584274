"""What several checks say of a run: how it ended, what its command was, what it printed last, what a line lacks."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypedDict, assert_never

from grader.checks.base import CheckContext, command_of, judged
from grader.checks.compare import agrees, lines, separated, with_decimal_comma
from grader.course.registry import reason
from grader.models import (
    Built,
    Exited,
    Finding,
    NotStarted,
    OutOfMemory,
    OutputLimit,
    RunEnd,
    RunOutcome,
    RunRequest,
    TimedOut,
)

FILE_MISSING = reason("F101", "file_missing", "A file that has to be handed in is not there.")
CMD_REPLACED = reason(
    "D104", "cmd_replaced", "Arguments replaced CMD, and the engine tried to execute the first argument."
)
NOT_STARTED = reason("D120", "not_started", "The engine could not start the image's command.")
TIMED_OUT = reason("R101", "timed_out", "The run took longer than its limit.")
OUT_OF_MEMORY = reason("R102", "out_of_memory", "The run used more memory than its limit.")
OUTPUT_LIMIT = reason("R103", "output_limit", "The run printed more than its limit.")
MODULE_MISSING = reason("R104", "module_missing", "The script stopped because it could not import something.")


_EXCERPT_LINES = 8
_ERROR = re.compile(r"\w+Error:")


def ended(end: RunEnd) -> str:
    """How a run ended, as a report's `ended` field says it: `exited 1`, `timed_out`."""
    return f"exited {end.code}" if isinstance(end, Exited) else end.kind


def shown_command(image: Built, args: tuple[str, ...]) -> str:
    """The command that a container of `image` executes, quoted for a shell."""
    return shlex.join(command_of(image, args))


def is_shell_text(command: Sequence[str] | None) -> bool:
    """Whether a command is a shell with a text to execute: `CMD text` becomes `/bin/sh -c text`, or what SHELL says."""
    return (
        command is not None
        and len(command) >= _SHELL_FORM
        and _SHELL.fullmatch(command[0]) is not None
        and _ITS_TEXT.fullmatch(command[-2]) is not None
    )


_SHELL_FORM = 3
_SHELL = re.compile(r"(?:/(?:usr/)?bin/)?(?:ba|da|a|z)?sh")
_ITS_TEXT = re.compile(r"-\w*c")
"""The option that the text follows: `-c`, `-exc`."""


def excerpt(outcome: RunOutcome) -> str:
    """The last lines a run printed, both streams, for `actual`. Says so if there was nothing."""
    printed = [
        *(line for line in lines(outcome.stdout) if line.strip()),
        *(f"(stderr) {line}" for line in lines(outcome.stderr) if line.strip()),
    ]
    return "\n".join(printed[-_EXCERPT_LINES:]) or "(no output)"


def commas_note(printed: Iterable[str], expected: float) -> str:
    """That the right number was written with commas, as a sentence that follows another; "" if not."""
    written = list(printed)
    thousands = [text for line in written for text, number in separated(line) if agrees(number, expected)]
    decimals = [text for line in written for text, number in with_decimal_comma(line) if agrees(number, expected)]
    if not (thousands or decimals):
        return ""
    instead = "write it without" if thousands else "write a point in its place"
    return f" {(thousands or decimals)[-1]} has a comma in it, at which programs stop reading: {instead}."


def decimals_note(number: float, expected: float) -> str:
    """That a wrong number is the right one with fewer decimals, as a sentence that follows another; "" if it is not."""
    fewer = (float(math.trunc(expected)), float(round(expected)), round(expected, 1))
    return " It is the right number with some of its decimals lost." if number in fewer else ""


def near_miss(printed: Iterable[str], expected: float) -> str:
    """What keeps a line from being the line, as a sentence that follows another; "" if no line comes near."""
    printed = list(printed)
    if commas := commas_note(printed, expected):
        return commas
    near = [match for line in printed if (match := _NEAR.fullmatch(line.rstrip()))]
    return f" {_difference(near[-1])}" if near else ""


_NEAR = re.compile(
    r"(?P<front>.*?)(?P<words>Predicted\s*sales\s*for\s*next\s*week)(?P<colon>\s*:)?\s*(?P<after>.*)", re.IGNORECASE
)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?=$|[^\w.,/(])\s*(?P<rest>.*)")
_COLUMN = re.compile(r"\S+ {2,}[+-]?\d\S*")
"""A row of a Series as pandas prints it: the row's name, and the number aligned after it."""
_COMMA = re.compile(r"[+-]?\d+,\d+")
_MOST_QUOTED = 60


def _difference(near: re.Match[str]) -> str:
    """The first thing in which a line that begins nearly as it should differs from the line."""
    front, after = near["front"].strip(), near["after"]
    number = _NUMBER.fullmatch(after)
    rest = number["rest"] if number else ""
    differences = (
        (front, f"Before it, on the same line, there is: {_cut(front)}"),
        (not near["colon"], "The colon after the words is missing."),
        (not after, "After the colon there is nothing; the number belongs on the same line."),
        (
            after.startswith("<bound method"),
            "After the colon there is a method that was not called: () is missing.",
        ),
        (
            _COLUMN.fullmatch(after),
            f"A whole column of pandas was printed: {_cut(after)}. Take the one number out of it.",
        ),
        (_COMMA.fullmatch(after), f"{after} has a comma; the decimals belong after a point."),
        (not number, f"After the colon there should be only a number, but there is: {_cut(after)}"),
        (rest, f"After the number, on the same line, there is: {_cut(rest)}"),
        (True, f"{near['words']}: differs in its letters, capital or small, or in its blanks."),
    )
    return next(sentence for differs, sentence in differences if differs)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}…"


def python_error(outcome: RunOutcome) -> str:
    """The last line of the error that Python reported on standard error, at its end; "" if there is none.

    An error of syntax comes without a `Traceback`.
    """
    errors = [line.strip() for line in lines(outcome.stderr) if line.strip()]
    if not errors or not (_ERROR.match(errors[-1]) or any(line.startswith("Traceback") for line in errors)):
        return ""
    return errors[-1]


_EXPLANATIONS: tuple[tuple[str, str], ...] = (
    (
        r"ValueError: could not convert string to float: '[^']*\.py'",
        "The first entry, sys.argv[0], is the script's own name; the arguments begin at sys.argv[1].",
    ),
    (
        r"ValueError: could not convert string to float: ''",
        "A line with nothing in it is no number: skip it.",
    ),
    (
        r"ValueError: could not convert string to float: '[^']*(?:\s|\\n)[^']*'",
        "This text holds several figures: split it first, then convert one after the other.",
    ),
    (
        r"ValueError: invalid literal for int\(\)",
        "int() takes whole numbers only, float() also those with decimals.",
    ),
    (
        r"TypeError: (?:can only concatenate str \(not \"(?:numpy\.)?(?:float|int)|write\(\) argument must be str)",
        "Here a text is wanted, and this is a number: an f-string, or str(), makes a text of it.",
    ),
    (
        r"TypeError: (?:unsupported operand|can only concatenate str|.*not supported between).*'?str\b",
        "Arguments and lines of a file are text, also where they look like numbers: convert each with float().",
    ),
    (
        r"KeyError: '[A-Z][A-Z0-9_]*'",
        "No such variable is set in the container: ENV in the Dockerfile sets it, docker run -e overrides it.",
    ),
    (r"KeyError: ", "There is no such name in it: small and capital letters are not the same."),
    (
        r"AttributeError: module '(?:pandas|numpy)' has no attribute",
        "The library has nothing of this name: capital letters count, too (Series, DataFrame, read_csv).",
    ),
    (
        r"FileNotFoundError: .*'[^/'][^']*'",
        "A path without a slash at its start begins in the working directory of the container.",
    ),
    (
        r"FileNotFoundError: .*'/",
        'In the container there is no such file or folder. (A new file is made only by open() with "w" or "a".)',
    ),
    (r"FileExistsError: ", "It is there already: os.makedirs(…, exist_ok=True) does not mind."),
    (r"NameError: name ", "Nothing has this name: an import is missing, or the name is spelled in two ways."),
    (
        r"PermissionError: .*Permission denied: ",
        "The user that the container runs as may not do this there: see USER, and who owns the folder.",
    ),
    (r"(?:Syntax|Indentation|Tab)Error: ", "Python cannot read the file, so nothing of it has run."),
)
"""Errors of Python that beginners meet, as patterns of the line that reports them, and what each means here."""


def error_explained(outcome: RunOutcome) -> str:
    """The error that Python reported, and for a common one what it means; "" if there is none."""
    error = python_error(outcome)
    meaning = next((meaning for pattern, meaning in _EXPLANATIONS if re.match(pattern, error)), "")
    return f"{error.rstrip('.')}. {meaning}" if meaning else error


class Place(TypedDict):
    """What of a submission a finding is about: a file, and its line if that is known."""

    file: str
    line: int | None


_FRAME = re.compile(r'\s*File "(?P<path>[^"]{1,4096})", line (?P<line>\d{1,7})(?:$|,)')


def place(outcome: RunOutcome, context: CheckContext) -> Place:
    """Where a run met its error: the last line of a handed-in file that Python names; the script if it names none."""
    frames = [match for line in lines(outcome.stderr) if (match := _FRAME.match(line))] if python_error(outcome) else []
    for frame in reversed(frames):
        for file in context.files.files:
            if f"/{frame['path']}".endswith(f"/{file.path}") and int(frame["line"]) <= len(lines(file.content)):
                return Place(file=file.path, line=int(frame["line"]))
    return Place(file=context.script, line=None)


_ENDS = {
    126: " Exit code 126: the program was found, and may not be executed (see its rights, and its first line).",
    127: " Exit code 127: no program of that name was found in the image.",
    137: " Exit code 137: the process was killed, usually because it used too much memory.",
    139: " Exit code 139: a program crashed in its own machine code, often a library built for another system.",
}


def exit_meaning(outcome: RunOutcome) -> str:
    """What an exit code of the shell or the kernel means, as a sentence that follows another; "" for others."""
    return _ENDS.get(exit_code(outcome), "")


def exit_code(outcome: RunOutcome) -> int:
    """The exit code; -1 for a run that did not end by itself."""
    return outcome.ended.code if isinstance(outcome.ended, Exited) else -1


def not_finished(image: Built, request: RunRequest, outcome: RunOutcome) -> Finding | None:
    """The finding for a run that did not end by itself; None if it did.

    Here the trap of the chapter's draft is explained: arguments replace CMD, so `docker run IMAGE 100`
    on an image without ENTRYPOINT tries to execute `100`.
    """
    end = outcome.ended
    match end:
        case Exited():
            return None
        case NotStarted():
            return _not_started(image, request, end)
        case TimedOut():
            message = f"The container was still running after {end.seconds:g} seconds and was stopped."
            problem = TIMED_OUT, message
        case OutOfMemory():
            mebibytes = end.limit_bytes // 2**20
            problem = OUT_OF_MEMORY, f"The container was killed because it used more than {mebibytes} MiB of memory."
        case OutputLimit():
            problem = OUTPUT_LIMIT, f"The container printed more than {end.limit_bytes // 1024} KiB and was stopped."
        case _:
            assert_never(end)
    return judged(problem, ended=end.kind, actual=excerpt(outcome))


def with_location(finding: Finding, context: CheckContext) -> Finding:
    """The finding of a run that did not end by itself, with the place it is about.

    That is the script, or the Dockerfile's line with the command where that could not be started.
    """
    if finding.reason in {CMD_REPLACED, NOT_STARTED}:
        return replace(finding, file="Dockerfile", line=context.line_of("CMD", "ENTRYPOINT"))
    return replace(finding, file=context.script)


def _not_started(image: Built, request: RunRequest, end: NotStarted) -> Finding:
    command = shown_command(image, request.args)
    if request.args and not image.config.entrypoint and image.config.command:
        message = (
            f"The container did not start. The image has a CMD ({shlex.join(image.config.command)}) but no "
            f"ENTRYPOINT, so Docker replaced the whole CMD by the arguments and tried to execute a program "
            f"called {shlex.quote(request.args[0])}."
        )
        expected = f"the script runs and receives {shlex.join(request.args)} as its arguments"
        return judged((CMD_REPLACED, message), expected=expected, actual=f"Docker executed: {command}", ended=end.kind)
    return judged(
        (NOT_STARTED, "The container did not start: Docker could not execute the image's command."),
        expected="a command that exists in the image",
        actual=f"Docker executed: {command or '(no command at all)'}\n{end.reason}",
        ended=end.kind,
    )
