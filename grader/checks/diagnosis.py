"""What several checks say of a run: how it ended, what its command was, what it printed last, what a line lacks."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Iterable
from dataclasses import replace
from typing import Unpack, assert_never

from grader.checks.base import CheckContext, Evidence, Problem, Ran, command_of, docker_run, judged
from grader.checks.causes import cause_in
from grader.checks.compare import agrees, lines, with_comma
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
_NEAR = re.compile(
    r"(?P<front>.*?)(?P<words>Predicted\s*sales\s*for\s*next\s*week)(?P<colon>\s*:)?\s*(?P<after>.*)", re.IGNORECASE
)
_FRAME = re.compile(r'\s*File "(?P<path>[^"]{1,4096})", line (?P<line>\d{1,7})(?:$|,)')


def ended(end: RunEnd) -> str:
    """How a run ended, as a report's `ended` field says it: `exited 1`, `timed_out`."""
    return f"exited {end.code}" if isinstance(end, Exited) else end.kind


def shown_command(image: Built, args: tuple[str, ...]) -> str:
    """The command that a container of `image` executes, quoted for a shell."""
    return shlex.join(command_of(image, args))


def excerpt(outcome: RunOutcome) -> str:
    """The last lines a run printed, both streams, for `actual`. Says so if there was nothing."""
    printed = [line for line in lines(outcome.stdout) if line.strip()]
    printed += [f"(stderr) {line}" for line in lines(outcome.stderr) if line.strip()]
    return "\n".join(printed[-_EXCERPT_LINES:]) or "(no output)"


def commas_note(printed: Iterable[str], expected: float) -> str:
    """That the right number was written with commas, as a sentence that follows another; "" if not."""
    meant = [text for line in printed for text, number in with_comma(line) if agrees(number, expected)]
    why = "has a comma in it, at which programs stop reading: write a point before decimals, and nothing elsewhere."
    return f" {meant[-1]} {why}" if meant else ""


def decimals_note(number: float, expected: float) -> str:
    """That a wrong number is the right one with fewer decimals, as a sentence that follows another; "" if it is not."""
    fewer = (float(math.trunc(expected)), float(round(expected)), round(expected, 1))
    return " It is the right number with some of its decimals lost." if number in fewer else ""


def near_miss(printed: Iterable[str], expected: float) -> str:
    """What keeps a line from being the line, as a sentence that follows another; "" if no line comes near."""
    printed = list(printed)
    if commas := commas_note(printed, expected):
        return commas
    near = [match.groupdict("") for line in printed if (match := _NEAR.fullmatch(line.rstrip()))]
    cause = cause_in("near_line", **near[-1]) if near else None
    return f" {cause.message}" if cause else ""


def python_error(outcome: RunOutcome) -> str:
    """The last line of the error that Python reported at the end of standard error; "" if there is none."""
    errors = [line.strip() for line in lines(outcome.stderr) if line.strip()] or [""]
    reported = _ERROR.match(errors[-1]) or any(line.startswith("Traceback") for line in errors)
    return errors[-1] if reported else ""


def error_explained(ran: Ran) -> str:
    """The error that Python reported, and for a common one what it means; "" if there is none."""
    error = python_error(ran.outcome)
    cause = cause_in("python", error=error, folder=ran.image.config.working_dir or "/")
    return f"{error.rstrip('.')}. {cause.message}" if cause else error


def place(outcome: RunOutcome, context: CheckContext) -> Evidence:
    """Where a run met its error: the last line of a handed-in file that Python names; the script if it names none."""
    frames = [match for line in lines(outcome.stderr) if (match := _FRAME.match(line))] if python_error(outcome) else []
    for frame in reversed(frames):
        for file in context.files.files:
            if f"/{frame['path']}".endswith(f"/{file.path}") and int(frame["line"]) <= len(lines(file.content)):
                return Evidence(file=file.path, line=int(frame["line"]))
    return Evidence(file=context.script, line=None)


def exit_meaning(outcome: RunOutcome) -> str:
    """What an exit code of the shell or the kernel means, as a sentence that follows another; "" for others."""
    cause = cause_in("exit_code", code=str(exit_code(outcome)))
    return f" {cause.message}" if cause else ""


def exit_code(outcome: RunOutcome) -> int:
    """The exit code; -1 for a run that did not end by itself."""
    return outcome.ended.code if isinstance(outcome.ended, Exited) else -1


def run_judged(ran: Ran, problem: Problem, **evidence: Unpack[Evidence]) -> Finding:
    """The finding of a run: that it did not end by itself, or else the problem with what it did."""
    outcome = ran.outcome
    seen = Evidence(actual=excerpt(outcome), ended=ended(outcome.ended), reproduce=docker_run(ran.request))
    seen |= {**place(outcome, ran.context), **evidence}
    stopped = not_finished(ran.image, ran.request, outcome)
    if stopped is not None:
        return replace(with_location(stopped, ran.context), reproduce=seen["reproduce"])
    return judged(problem, **seen)


def not_finished(image: Built, request: RunRequest, outcome: RunOutcome) -> Finding | None:
    """The finding for a run that did not end by itself; None if it did."""
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
    """The finding of a run that did not end by itself, with its place: the script, or the Dockerfile's command."""
    if finding.reason in {CMD_REPLACED, NOT_STARTED}:
        return replace(finding, file="Dockerfile", line=context.line_of("CMD", "ENTRYPOINT"))
    return replace(finding, file=context.script)


def _not_started(image: Built, request: RunRequest, end: NotStarted) -> Finding:
    command = shown_command(image, request.args)
    if request.args and not image.config.entrypoint and image.config.command:
        message = (
            f"The container did not start. The image has a CMD ({shlex.join(image.config.command)}) but no ENTRYPOINT, "
            "so Docker replaced the whole CMD by the arguments and tried to execute a program called "
            f"{shlex.quote(request.args[0])}."
        )
        expected = f"the script runs and receives {shlex.join(request.args)} as its arguments"
        return judged((CMD_REPLACED, message), expected=expected, actual=f"Docker executed: {command}", ended=end.kind)
    return judged(
        (NOT_STARTED, "The container did not start: Docker could not execute the image's command."),
        expected="a command that exists in the image",
        actual=f"Docker executed: {command or '(no command at all)'}\n{end.reason}",
        ended=end.kind,
    )
