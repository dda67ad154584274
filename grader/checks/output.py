"""Checks of what a run prints and how it exits: the prediction, the extra log line, the usage text."""

from __future__ import annotations

import itertools
import posixpath
import re
import shlex
import statistics
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from grader.checks.base import (
    CheckContext,
    CheckGenerator,
    after_script,
    built,
    check_kind,
    docker_run,
    first_right,
    left,
    run,
)
from grader.checks.compare import LINE_FORM, agrees, is_prediction_line, lines, numbers, predicted, without_series
from grader.checks.diagnosis import (
    MODULE_MISSING,
    decimals_told,
    ended,
    excerpt,
    is_shell_text,
    nearly_told,
    not_finished,
    placed,
    python_error,
    shown_command,
)
from grader.checks.inputs import Inputs, given, run_request, variants
from grader.course.registry import Check, reason
from grader.course.types import AbsolutePath, ImageName, Name
from grader.models import Built, Case, Exited, Finding, FolderMount, RunOutcome, RunRequest

SHELL_ENTRYPOINT = reason("D121", "shell_entrypoint", "ENTRYPOINT in shell form swallows arguments.")
SCRIPT_REPLACED = reason(
    "D122", "script_replaced", "Arguments replaced the CMD that named the script; ENTRYPOINT alone does not."
)
CMD_BRINGS_ARGUMENTS = reason(
    "D123", "cmd_brings_arguments", "CMD holds weeks of its own, which the script gets where `docker run` gives none."
)
LITERAL_ARGUMENTS = reason("D124", "literal_arguments", "ENTRYPOINT in exec form has a `$@`, which nobody replaces.")
CRASHED = reason("R105", "crashed", "The script ended with an error, before it printed the line or after.")
GAVE_UP = reason(
    "R106", "gave_up", "The script printed no line and ended with another exit code than 0, without an error of Python."
)
WAITS_FOR_INPUT = reason("R107", "waits_for_input", "The script asked for keyboard input.")
SCRIPT_UNREADABLE = reason(
    "R108", "script_unreadable", "Python may not read the script, as the user that the container runs as."
)
EXIT_CODE = reason("R109", "exit_code", "The output is right but the exit code is not.")
NO_LINE = reason("R201", "no_line", "The run printed no prediction line.")
LINE_ON_STDERR = reason("R202", "line_on_stderr", "The prediction line went to standard error.")
WRONG_NUMBER = reason("R203", "wrong_number", "The prediction line carries another number.")
CHANGING_NUMBER = reason(
    "R204", "changing_number", "The line carries another number, and yet another when the same is run a second time."
)
CONSTANT_NUMBER = reason("R205", "constant_number", "The number does not depend on the weeks given.")
ROUNDED_WEEKS = reason("R206", "rounded_weeks", "The number is the mean of rounded weeks.")
NOT_LOGGED = reason("R207", "not_logged", "No other line of output carries the prediction.")
NO_USAGE = reason("R211", "no_usage", "No line with the word asked for.")
USAGE_SPELLING = reason("R212", "usage_spelling", "The usage text has the word in other letters, capital or small.")
USAGE_EXIT_CODE = reason("R213", "usage_exit_code", "The usage line is there, the exit code is not the one asked for.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicts(Inputs):
    """Each run prints the line with the right prediction and exits 0."""

    kind: Literal["predicts"]
    cases: Annotated[tuple[Name, ...], MinLen(1)]
    """Names of the exercise's cases."""
    image: ImageName = ""
    """An image that commands.sh leaves, to be run instead of one that is built for the check."""
    folder: AbsolutePath | None = None
    """Where an empty folder is mounted, writable."""
    or_holds: Name | None = None
    """A case whose weeks the script may hold itself: given nothing, it then predicts these; either way may be right."""


@check_kind(Predicts)
def predicts(check: Predicts, context: CheckContext) -> CheckGenerator[Finding]:
    """Each case's run prints the line with the right number and exits 0; the first that does not is told."""
    ways = variants(check)
    if check.or_holds:
        ways.append(replace(check, file=None, environment={}, cases=(check.or_holds,)))
    return (yield from first_right([_each_case(way, context) for way in ways]))


def _each_case(check: Predicts, context: CheckContext) -> CheckGenerator[tuple[Finding, bool]]:
    """The finding, and whether its run printed a prediction line."""
    image = yield from (left(check.image) if check.image else built())
    finding = Finding(passed=True)
    for case in [case for name in check.cases for case in context.group(name)]:
        folders = (FolderMount(check.folder),) if check.folder else ()
        request = replace(run_request(check, case, *folders), existing_image=check.image)
        outcome = yield from run(request)
        finding = _prediction(check, context, _Ran(image, case, request, outcome))
        if finding.reason == WRONG_NUMBER:
            finding = yield from _seen_twice(finding, request, outcome)
        if not finding.passed:
            return finding, predicted(outcome.stdout) is not None
    return finding, True


def _seen_twice(finding: Finding, request: RunRequest, outcome: RunOutcome) -> CheckGenerator[Finding]:
    """The finding of a wrong number, or, where the same run gives another one the next time, that it does."""
    again = yield from run(replace(request, repeat=True))
    first, second = predicted(outcome.stdout), predicted(again.stdout)
    if first is None or second is None or repr(first) == repr(second) or agrees(second, first):  # nan agrees with none
        return finding
    told = f"{finding.message} Run again in the same way, the script prints {second:.10g}: its answer changes."
    return replace(finding, reason=CHANGING_NUMBER, message=told)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlsoLogged(Check):
    """Besides the line, at least one other line of output carries the prediction."""

    kind: Literal["also_logged"]
    case: Name
    """Name of the exercise's case whose prediction is expected."""
    method: Literal["average", "last", "trend"] = "average"
    """Which of the reference's predictions is expected."""


@check_kind(AlsoLogged)
def also_logged(check: AlsoLogged, context: CheckContext) -> CheckGenerator[Finding]:
    """A line other than the line carries the prediction. A line that lists the weeks does not count."""
    image = yield from built()
    request = RunRequest()
    outcome = yield from run(request)
    stopped = not_finished(image, request, outcome)
    if stopped is not None:
        return stopped
    case = context.group(check.case)[0]
    expected = case.expected(check.method)
    right = _carries(_other_lines(outcome), case, expected)
    return Finding(
        passed=right,
        reason="" if right else NOT_LOGGED,
        message=""
        if right
        else "Besides the prediction line, no other line of the output carries the predicted number.",
        expected=f"one more line with {expected:g} in it",
        actual=excerpt(outcome),
        ended=ended(outcome.ended),
        reproduce=docker_run(request),
        file=context.script,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Check):
    """Run with too few arguments, the script prints a line with `word` and exits with `exit_code`."""

    kind: Literal["usage"]
    arguments: tuple[str, ...]
    """The arguments to run it with."""
    word: Name = "Usage"
    """Must stand in a line of stdout or stderr."""
    exit_code: Annotated[int, Ge(0), Le(255)] = 1
    """The exit code expected."""


@check_kind(Usage)
def usage(check: Usage, context: CheckContext) -> CheckGenerator[Finding]:
    """Run with these arguments, a line contains the word and the exit code is the one asked for."""
    image = yield from built()
    request = RunRequest(args=check.arguments)
    outcome = yield from run(request)
    reproduce = docker_run(request) + "; echo exit code $?"
    stopped = not_finished(image, request, outcome)
    if stopped is not None:
        return replace(placed(stopped, context), reproduce=reproduce)
    said = [*lines(outcome.stdout), *_said(outcome)]
    code = outcome.ended.code if isinstance(outcome.ended, Exited) else -1
    reason, message = _usage_judged(check, said, code)
    finding = Finding(
        passed=not reason,
        reason=reason,
        message=message,
        expected=f"a line with {check.word} in it, exit code {check.exit_code}",
        actual=f"{excerpt(outcome)}\nexit code {code}",
        ended=ended(outcome.ended),
        reproduce=reproduce,
        file=context.script,
    )
    if finding.passed:
        return finding
    lost = _arguments_lost(context, image, request) if check.arguments else _arguments_brought(context, image, outcome)
    if lost is None:
        return finding
    return _about_the_command(replace(finding, reason=lost[0], message=lost[1]), context, request)


def _said(outcome: RunOutcome) -> list[str]:
    """Standard error without the report of a crash, which quotes lines of the script, also one that was not reached."""
    return list(itertools.takewhile(lambda line: not line.startswith("Traceback "), lines(outcome.stderr)))


def _usage_judged(check: Usage, said: list[str], code: int) -> tuple[str, str]:
    """The reason and the message of a failure; two empty texts where all is right."""
    with_it = f"With {f'{len(check.arguments)} arguments' if check.arguments else 'no argument'},"
    exit_code = "" if code == check.exit_code else f"the exit code is {code}, not {check.exit_code}."
    if any(check.word in line for line in said):
        told = f"{with_it} the usage line is printed, but {exit_code}" if exit_code else ""
        return USAGE_EXIT_CODE if exit_code else "", told
    other = re.search(re.escape(check.word), "\n".join(said), re.IGNORECASE)
    if other is None:
        return NO_USAGE, f"{with_it} no line of the output contains the word {check.word}."
    told = f"{with_it} the output has {other.group()}, not {check.word}: capital and small letters differ."
    return USAGE_SPELLING, f"{told} And {exit_code}" if exit_code else told


# ── the prediction ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Ran:
    """One case carried out: on which image, with which request, and what was seen."""

    image: Built
    case: Case
    request: RunRequest
    outcome: RunOutcome

    @property
    def code(self) -> int:
        """The exit code; -1 for a run that did not end by itself."""
        return self.outcome.ended.code if isinstance(self.outcome.ended, Exited) else -1


def _prediction(check: Predicts, context: CheckContext, ran: _Ran) -> Finding:
    reproduce = docker_run(ran.request)
    if check.image:
        reproduce = after_script(context, reproduce)
    stopped = not_finished(ran.image, ran.request, ran.outcome)
    if stopped is not None:
        return replace(placed(stopped, context), reproduce=reproduce)
    reason, message = _compared(check, context, ran)
    lost = _arguments_lost(context, ran.image, ran.request) if reason and check.arguments else None
    reason, message = lost or (reason, message)
    finding = Finding(
        passed=not reason,
        reason=reason,
        message=f"{check.image}: {message}" if check.image and message else message,
        expected=LINE_FORM.replace("<number>", f"{ran.case.expected(check.method):.10g}"),
        actual=excerpt(ran.outcome),
        ended=ended(ran.outcome.ended),
        reproduce=reproduce,
        file="Dockerfile" if reason == SCRIPT_UNREADABLE else context.script,
    )
    return _about_the_command(finding, context, ran.request) if lost else finding


def _about_the_command(finding: Finding, context: CheckContext, request: RunRequest) -> Finding:
    """The finding where it is not the script that is to be changed."""
    expected = f"the script gets {shlex.join(request.args) or 'no argument'}"
    return replace(finding, expected=expected, file="Dockerfile", line=context.line_of("CMD", "ENTRYPOINT"))


def _compared(check: Predicts, context: CheckContext, ran: _Ran) -> tuple[str, str]:
    """The reason and the message of a failure; two empty texts where all is right."""
    weeks = given(check, ran.case)
    number, expected = predicted(ran.outcome.stdout), ran.case.expected(check.method)
    if number is None:
        reason, told = _no_line(ran, expected)
        both = f" (Here {check.file} has a blank line in it, and no line end at its end; both may be.)"
        return reason, told + both if check.untidy and reason == CRASHED else told
    if not agrees(number, expected):
        told = f"The prediction{weeks} is {number:.10g}, not {expected:.10g}.{_what_it_is(ran.case, number, expected)}"
        return _wrong_reason(check, context, ran.case, number), told
    if ran.code != 0 and (error := python_error(ran.outcome)):
        told = f"The prediction{weeks} is right, but then the script stopped with an error. Python says: {error}"
        return CRASHED, told
    if ran.code != 0:
        return EXIT_CODE, f"The prediction{weeks} is right, but the container's exit code is {ran.code}, not 0."
    return "", ""


def _no_line(ran: _Ran, expected: float) -> tuple[str, str]:
    if any(is_prediction_line(line) for line in lines(ran.outcome.stderr)):
        return LINE_ON_STDERR, "The prediction line is on standard error; it belongs on standard output."
    if ran.code == 0:
        nearly = nearly_told(lines(ran.outcome.stdout), expected)
        return NO_LINE, f"No line of standard output has the form: {LINE_FORM}{'.' if nearly else ''}{nearly}"
    message = f"The container ended with exit code {ran.code} and printed no prediction line."
    error = python_error(ran.outcome)
    if error.startswith("EOFError"):
        return WAITS_FOR_INPUT, f"{message} The script asked for keyboard input, and there is none."
    if error:
        module = error.startswith(("ModuleNotFoundError", "ImportError"))
        told = f"{message} Python says: {error}{_started_from(ran.image, error)}"
        return MODULE_MISSING if module else CRASHED, told
    said = _last_words(ran.outcome)
    return _ended_without_an_error(said, ran.code), f"{message} It says: {said}" if said else message


def _ended_without_an_error(said: str, code: int) -> str:
    """Why there is no prediction line, after an exit code that is not 0 and these last words."""
    if not _NOT_THE_SCRIPT.match(said):
        return GAVE_UP if said and code < _NOT_THE_SCRIPTS_OWN else NO_LINE
    return SCRIPT_UNREADABLE if said.endswith("Permission denied") else NO_LINE


def _started_from(image: Built, error: str) -> str:
    """Of a file that is not there under a relative path: where that path began."""
    missing = re.match(r"FileNotFoundError: .*: '([^/'][^']*)'$", error)
    if missing is None:
        return ""
    return f" ({missing[1]} is looked for in the working directory, which is {image.config.working_dir or '/'} here.)"


_NOT_THE_SCRIPT = re.compile(r"(?:\S*/)?(?:python[\d.]*|(?:ba|da)?sh): ")
"""How Python and the shells begin a line of their own, as where there is no such script."""
_NOT_THE_SCRIPTS_OWN = 126
"""From here on a shell tells by the exit code that it could not execute a program, or that a signal ended it."""


def _last_words(outcome: RunOutcome) -> str:
    """The last line of standard error, or, if there is none, of standard output."""
    said = [line.strip() for line in [*lines(outcome.stdout), *lines(outcome.stderr)] if line.strip()]
    return said[-1] if said else ""


def _wrong_reason(check: Predicts, context: CheckContext, case: Case, number: float) -> str:
    others = (other for other in context.cases if other.weeks != case.weeks)
    if (check.arguments or check.file) and any(agrees(number, other.expected(check.method)) for other in others):
        return CONSTANT_NUMBER
    if (check.arguments or check.file) and agrees(number, _EXAMPLE) and not _another_name(case, number):
        return CONSTANT_NUMBER
    weeks = [float(week) for week in case.weeks]
    rounded = ([round(week) for week in weeks], [int(week) for week in weeks])
    if check.method == "average" and any(agrees(number, sum(figures) / len(figures)) for figures in rounded):
        return ROUNDED_WEEKS
    return WRONG_NUMBER


_EXAMPLE = 110.0
"""What the chapter's own weeks, 100, 120 and 110, give."""


def _what_it_is(case: Case, number: float, expected: float) -> str:
    return _another_name(case, number) or decimals_told(number, expected)


def _another_name(case: Case, number: float) -> str:
    """What the wrong number is, if it is something well known: ` That is the first of the weeks, and the largest`."""
    names = [name for name, value in _known(case).items() if agrees(number, value)]
    if not names:
        return ""
    first, *others = names
    return f" That is the {first} of the weeks{''.join(f', and the {name}' for name in others)}."


def _known(case: Case) -> dict[str, float]:
    weeks = [float(week) for week in case.weeks]
    return {
        "first": weeks[0],
        "last": weeks[-1],
        "average": statistics.fmean(weeks),
        "average of all but the first": statistics.fmean(weeks[1:]),
        "average of all but the last": statistics.fmean(weeks[:-1]),
        "median": statistics.median(weeks),
        "largest": max(weeks),
        "smallest": min(weeks),
        "sum": sum(weeks),
    }


def _arguments_lost(context: CheckContext, image: Built, request: RunRequest) -> tuple[str, str] | None:
    """Whether it is the image's command, not the script, that keeps the arguments from arriving."""
    executed = f"Docker executed: {shown_command(image, request.args)}"
    if _swallows_arguments(image):
        return SHELL_ENTRYPOINT, f"The script did not get all of the arguments. {executed}"
    if literal := _literal_arguments(image):
        return (
            LITERAL_ARGUMENTS,
            f"No shell reads the list of ENTRYPOINT, so {literal} is not replaced. {executed}",
        )
    names_script = [context.script in word for word in image.config.command or ()]
    if (
        image.config.entrypoint
        and any(names_script)
        and not any(context.script in word for word in image.config.entrypoint)
    ):
        return SCRIPT_REPLACED, f"The arguments replaced CMD, which named the script. {executed}"
    return None


def _literal_arguments(image: Built) -> str:
    """A word of ENTRYPOINT that only a shell would replace by the arguments, where no shell reads it."""
    first, *others = image.config.entrypoint or ("",)
    if posixpath.basename(first) in _SHELLS:
        return ""
    return next((word for word in others if _ARGUMENTS.fullmatch(word)), "")


_SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
_ARGUMENTS = re.compile(r"\$\{?[@*1-9]\}?")


def _arguments_brought(context: CheckContext, image: Built, outcome: RunOutcome) -> tuple[str, str] | None:
    """Whether, where none were given, it is CMD that brought the arguments with which the script predicts."""
    words = image.config.command or ()
    if not image.config.entrypoint or not words or any(context.script in word for word in words):
        return None
    if predicted(outcome.stdout) is None:
        return None
    told = f"With no argument, the script got those of CMD, {shlex.join(words)}, and predicted from them."
    return CMD_BRINGS_ARGUMENTS, told


def _swallows_arguments(image: Built) -> bool:
    """Whether ENTRYPOINT is a shell's text that does not mention `$0`, which is where the first argument goes."""
    return is_shell_text(image.config.entrypoint) and "$0" not in (image.config.entrypoint or ("",))[-1]


def _other_lines(outcome: RunOutcome) -> list[str]:
    """All lines of both streams but the last prediction line of standard output."""
    printed = lines(outcome.stdout)
    last = max((index for index, line in enumerate(printed) if is_prediction_line(line)), default=None)
    return [line for index, line in enumerate(printed) if index != last] + lines(outcome.stderr)


def _carries(others: list[str], case: Case, expected: float) -> bool:
    series = [float(week) for week in case.weeks]
    return any(agrees(number, expected) for line in others for number in without_series(numbers(line), series))
