"""Words that several checks use: how a run ended, what a command was, what it printed last."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from grader.checks.base import CheckContext, command_of
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
"""The option behind which the text stands: `-c`, `-exc`."""


def excerpt(outcome: RunOutcome) -> str:
    """The last lines a run printed, both streams, for `actual`. Says so if there was nothing."""
    printed = [
        *(line for line in lines(outcome.stdout) if line.strip()),
        *(f"(stderr) {line}" for line in lines(outcome.stderr) if line.strip()),
    ]
    return "\n".join(printed[-_EXCERPT_LINES:]) or "(no output)"


def commas_told(printed: Iterable[str], expected: float) -> str:
    """That the right number was written with commas, as a sentence behind another; "" if not."""
    written = list(printed)
    thousands = [text for line in written for text, number in separated(line) if agrees(number, expected)]
    decimals = [text for line in written for text, number in with_decimal_comma(line) if agrees(number, expected)]
    if not (thousands or decimals):
        return ""
    instead = "write it without" if thousands else "write a point in its place"
    return f" {(thousands or decimals)[-1]} has a comma in it, at which programs stop reading: {instead}."


def decimals_told(number: float, expected: float) -> str:
    """That a wrong number is the right one with fewer decimals, as a sentence behind another; "" if it is not."""
    fewer = (float(math.trunc(expected)), float(round(expected)), round(expected, 1))
    return " It is the right number with some of its decimals lost." if number in fewer else ""


def nearly_told(printed: Iterable[str], expected: float) -> str:
    """What keeps a line from being the line, as a sentence behind another; "" if no line comes near."""
    printed = list(printed)
    if commas := commas_told(printed, expected):
        return commas
    near = [match for line in printed if (match := _NEAR.fullmatch(line.rstrip()))]
    return f" {_nearly(near[-1])}" if near else ""


_NEAR = re.compile(
    r"(?P<front>.*?)(?P<words>Predicted\s*sales\s*for\s*next\s*week)(?P<colon>\s*:)?\s*(?P<behind>.*)", re.IGNORECASE
)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?=$|[^\w.,/(])\s*(?P<rest>.*)")
_MOST_QUOTED = 60


def _nearly(near: re.Match[str]) -> str:
    front, behind = near["front"].strip(), near["behind"]
    number = _NUMBER.fullmatch(behind)
    told = (
        (front, f"In front of it, on the same line, stands: {_cut(front)}"),
        (not near["colon"], "The colon behind the words is missing."),
        (not behind, "Behind the colon stands nothing; the number belongs on the same line."),
        (
            behind.startswith("<bound method"),
            "Behind the colon stands a method that was not called: the () are missing.",
        ),
        (
            _COLUMN.fullmatch(behind),
            f"A whole column of pandas was printed: {_cut(behind)}. Take the one number out of it.",
        ),
        (_COMMA.fullmatch(behind), f"{behind} has a comma; the decimals belong behind a point."),
        (not number, f"What stands behind the colon is no plain number: {_cut(behind)}"),
        (
            number and number["rest"],
            f"Behind the number, on the same line, stands: {_cut(number['rest'] if number else '')}",
        ),
        (True, f"{near['words']}: differs in its letters, capital or small, or in its blanks."),
    )
    return next(sentence for holds, sentence in told if holds)


_COLUMN = re.compile(r"\S+ {2,}[+-]?\d\S*")
"""A row of a Series as pandas prints it: the row's name, and the number aligned behind it."""
_COMMA = re.compile(r"[+-]?\d+,\d+")


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


def not_finished(image: Built, request: RunRequest, outcome: RunOutcome) -> Finding | None:
    """The finding for a run that did not end by itself; None if it did.

    The trap of the chapter's draft is told here: arguments replace CMD, so `docker run IMAGE 100`
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
            reason = TIMED_OUT
        case OutOfMemory():
            message = f"The container was killed because it used more than {end.limit_bytes // 2**20} MiB of memory."
            reason = OUT_OF_MEMORY
        case OutputLimit():
            message = f"The container printed more than {end.limit_bytes // 1024} KiB and was stopped."
            reason = OUTPUT_LIMIT
        case _:
            assert_never(end)
    return Finding(passed=False, message=message, reason=reason, ended=end.kind, actual=excerpt(outcome))


def placed(finding: Finding, context: CheckContext) -> Finding:
    """The finding of a run that did not end by itself, with the place it is about.

    That is the script, or the Dockerfile's line with the command where that could not be started.
    """
    if finding.reason in {CMD_REPLACED, NOT_STARTED}:
        return replace(finding, file="Dockerfile", line=context.line_of("CMD", "ENTRYPOINT"))
    return replace(finding, file=context.script)


def _not_started(image: Built, request: RunRequest, end: NotStarted) -> Finding:
    command = shown_command(image, request.args)
    if request.args and not image.config.entrypoint and image.config.command:
        return Finding(
            passed=False,
            reason=CMD_REPLACED,
            message=(
                f"The container did not start. The image has a CMD ({shlex.join(image.config.command)}) but no "
                f"ENTRYPOINT, so Docker replaced the whole CMD by the arguments and tried to execute a program "
                f"called {shlex.quote(request.args[0])}."
            ),
            expected=f"the script runs and receives {shlex.join(request.args)} as its arguments",
            actual=f"Docker executed: {command}",
            ended=end.kind,
        )
    return Finding(
        passed=False,
        reason=NOT_STARTED,
        message="The container did not start: Docker could not execute the image's command.",
        expected="a command that exists in the image",
        actual=f"Docker executed: {command or '(no command at all)'}\n{end.reason}",
        ended=end.kind,
    )
