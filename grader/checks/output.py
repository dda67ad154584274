"""Checks of what a run does: the prediction, other output, the exit code, and files written into a folder."""

from __future__ import annotations

import posixpath
import re
import shlex
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from annotated_types import Ge, Le, MinLen

from grader.checks.base import (
    RIGHT,
    CheckContext,
    CheckGenerator,
    Inputs,
    Problem,
    Ran,
    after_script,
    built,
    carry_out,
    check_kind,
    docker_inspect,
    docker_run,
    first_right,
    given,
    judged,
    run,
    run_request,
    tried_path,
    variants,
)
from grader.checks.compare import LINE_FORM, agrees, is_prediction_line, lines, numbers, predicted, without_series
from grader.checks.diagnosis import (
    MODULE_MISSING,
    commas_note,
    decimals_note,
    ended,
    error_explained,
    excerpt,
    exit_code,
    near_miss,
    python_error,
    run_judged,
    shown_command,
)
from grader.course.cases import draw_text
from grader.course.registry import AbsolutePath, Check, ImageName, Name, reason
from grader.models import Case, Exited, Finding, FolderMount, MemoryFile, RunOutcome, RunRequest

SHELL_ENTRYPOINT = reason("D121", "shell_entrypoint", "ENTRYPOINT in shell form swallows arguments.")
SCRIPT_REPLACED = reason(
    "D122", "script_replaced", "Arguments replaced the CMD that named the script; ENTRYPOINT alone does not."
)
CMD_BRINGS_ARGUMENTS = reason("D123", "cmd_brings_arguments", "Where `docker run` gives no weeks, CMD brings its own.")
LITERAL_ARGUMENTS = reason("D124", "literal_arguments", "ENTRYPOINT in exec form has a `$@`, which nobody replaces.")
CRASHED = reason("R105", "crashed", "The script ended with an error, before it printed the line or after.")
GAVE_UP = reason(
    "R106",
    "gave_up",
    "The script printed no line and ended with an exit code that is not 0, without an error of Python.",
)
WAITS_FOR_INPUT = reason("R107", "waits_for_input", "The script asked for keyboard input.")
SCRIPT_UNREADABLE = reason("R108", "script_unreadable", "The container's user may not read the script.")
EXIT_CODE = reason("R109", "exit_code", "The output is right but the exit code is not.")
NO_LINE = reason("R201", "no_line", "The run printed no prediction line.")
LINE_ON_STDERR = reason("R202", "line_on_stderr", "The prediction line went to standard error.")
WRONG_NUMBER = reason("R203", "wrong_number", "The prediction line carries another number.")
CHANGING_NUMBER = reason(
    "R204", "changing_number", "The number is wrong, and a second run of the same gives yet another one."
)
CONSTANT_NUMBER = reason("R205", "constant_number", "The number does not depend on the weeks given.")
ROUNDED_WEEKS = reason("R206", "rounded_weeks", "The number is the mean of rounded weeks.")
NOT_LOGGED = reason("R207", "not_logged", "No other line of output carries the prediction.")
OUTPUT_DIFFERS = reason("R401", "output_differs", "No line of the output has the text or matches the pattern.")
NO_USAGE = reason("R211", "no_usage", "No line with the word asked for.")
USAGE_EXIT_CODE = reason("R213", "usage_exit_code", "The usage line is there, the exit code is not the one asked for.")
VARIABLE_NOT_SET = reason("D131", "variable_not_set", "The image's environment has another value, or none.")
FILE_BAKED_IN = reason("R301", "file_baked_in", "With nothing mounted, the mounted file's prediction is still printed.")
UNKNOWN_ACCEPTED = reason("R302", "unknown_accepted", "A value that means nothing still gives a prediction.")
UNKNOWN_NOT_NAMED = reason("R303", "unknown_not_named", "No message names the value that means nothing.")
UNKNOWN_EXIT_CODE = reason("R304", "unknown_exit_code", "The message is right, and the exit code is 0.")
FILE_NOT_WRITTEN = reason("R311", "file_not_written", "The file is not in the mounted folder after the run.")
NOT_IN_FILE = reason("R312", "not_in_file", "The file is there, and does not carry the prediction.")
FILE_NOT_REPLACED = reason(
    "R313", "file_not_replaced", "After a second run, the file does not end with the new prediction."
)
LOG_TRUNCATED = reason("R314", "log_truncated", "A second run removed what the first one had written.")
_REPORT = re.compile(r'Traceback |\s+File ".*", line \d')
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_MOST_COLUMNS = 2000
"""Characters of a line that a pattern is tried on, so that no line makes it take for ever."""
_NOT_THE_SCRIPT = re.compile(r"(?:\S*/)?(?:python[\d.]*|(?:ba|da)?sh): ")
"""How Python and the shells begin a line of their own, as where there is no such script."""
_NOT_THE_SCRIPTS_OWN = 126
"""From here on, a shell says by the exit code that it could not execute a program, or that a signal ended it."""
_EXAMPLE = 110.0
"""What the chapter's own weeks, 100, 120 and 110, give."""
_SHELLS = {"sh", "bash", "dash", "ash", "zsh"}
_ARGUMENTS = re.compile(r"\$\{?[@*1-9]\}?")
"""Words that only a shell replaces by the arguments."""
_SHOWN_LINES = 6


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
    """Each case's run prints the line with the right number and exits 0; the finding is of the first that does not."""
    ways = variants(check)
    if check.or_holds:
        ways.append(replace(check, file=None, environment={}, cases=(check.or_holds,)))
    return (yield from first_right([_each_case(way, context) for way in ways]))


def _each_case(check: Predicts, context: CheckContext) -> CheckGenerator[tuple[Finding, bool]]:
    """The finding, and whether its run printed a prediction line."""
    finding = Finding(passed=True)
    folders = (FolderMount(check.folder),) if check.folder else ()
    for case in context.group(*check.cases):
        request = replace(run_request(check, case, *folders), existing_image=check.image)
        finding = Finding(passed=False)
        if case.name not in context.proving and not (request.files or folders or check.image):
            finding = _prediction(check, case, (yield from carry_out(context, replace(request, further=True))))
        if not finding.passed:  # what an exec fails is run: only a run as `docker run` makes it speaks against work
            ran = yield from carry_out(context, request)
            finding = _prediction(check, case, ran)
            if finding.reason == WRONG_NUMBER:
                finding = yield from _repeated(finding, ran)
            if not finding.passed:
                return finding, predicted(ran.outcome.stdout) is not None
    return finding, True


def _repeated(finding: Finding, ran: Ran) -> CheckGenerator[Finding]:
    """The finding of a wrong number, or, where the same run gives another one the next time, that it does."""
    again = yield from run(replace(ran.request, repeat=True))
    first, second = predicted(ran.outcome.stdout), predicted(again.stdout)
    if first is None or second is None or repr(first) == repr(second) or agrees(second, first):  # nan agrees with none
        return finding
    message = f"{finding.message} Run again in the same way, the script prints {second:.10g}: its answer changes."
    return replace(finding, reason=CHANGING_NUMBER, message=message)


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
    ran = yield from carry_out(context, RunRequest())
    case, outcome = context.group(check.case)[0], ran.outcome
    expected = case.expected(check.method)
    printed = lines(outcome.stdout)
    last = max((index for index, line in enumerate(printed) if is_prediction_line(line)), default=None)
    others = [line for index, line in enumerate(printed) if index != last] + lines(outcome.stderr)
    series = [float(week) for week in case.weeks]
    right = any(agrees(number, expected) for line in others for number in without_series(numbers(line), series))
    message = "Besides the prediction line, no other line of the output carries the predicted number."
    return run_judged(ran, RIGHT if right else (NOT_LOGGED, message), expected=f"one more line with {expected:g} in it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage(Check):
    """Run with too few arguments, the script prints a line with `word` and exits with a code that is not 0."""

    kind: Literal["usage"]
    arguments: tuple[str, ...]
    """The arguments to run it with."""
    word: Name = "usage"
    """Must stand in a line of stdout or stderr, in capital or small letters."""
    exit_code: Annotated[int, Ge(0), Le(255)] | None = None
    """The exit code expected; without it, any but 0."""


@check_kind(Usage)
def usage(check: Usage, context: CheckContext) -> CheckGenerator[Finding]:
    """Run with these arguments, a line contains the word and the exit code is one asked for."""
    request = RunRequest(args=check.arguments)
    finding = _usage_found(check, (yield from carry_out(context, replace(request, further=True))))
    return finding if finding.passed else _usage_found(check, (yield from carry_out(context, request)))


def _usage_found(check: Usage, ran: Ran) -> Finding:
    """What is found of a run."""
    outcome = ran.outcome
    code, wanted = exit_code(outcome), "any but 0" if check.exit_code is None else str(check.exit_code)
    after = f"With {len(check.arguments) or 'no'} argument{'s' * (len(check.arguments) > 1)},"
    if not any(
        check.word.lower() in line.lower() for line in (*lines(outcome.stdout), *_own_words(lines(outcome.stderr)))
    ):
        problem = NO_USAGE, f"{after} no line of the output contains the word {check.word}."
    elif code == check.exit_code or (check.exit_code is None and code):
        problem = RIGHT
    else:
        message = f"{after} the usage line is printed, but the exit code is {code}; it has to be {wanted}."
        problem = USAGE_EXIT_CODE, message
    finding = run_judged(
        ran,
        problem,
        expected=f"a line with {check.word} in it, exit code: {wanted}",
        reproduce=f"{docker_run(ran.request)}; echo exit code $?",
    )
    return _about_the_command(finding, ran)


def _own_words(errors: Iterable[str]) -> Iterator[str]:
    """What a script says itself: of a crash's report only the exception, without the names and lines that it quotes."""
    crashed = False
    for line in errors:
        crashed = crashed or _REPORT.match(line) is not None
        if not crashed:
            yield line
        elif not (line[:1].isspace() or line.startswith("Traceback ")):
            yield _QUOTED.sub("", line)


# ── any program ─────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputMatches(Check):
    """A line of what a run prints contains a text or matches a pattern, and the run exits with a code."""

    kind: Literal["output_matches"]
    text: Name | None = None
    """Has to stand in a line, letter for letter."""
    pattern: Name | None = None
    """A regular expression in Python's syntax that has to be found in a line."""
    stream: Literal["stdout", "stderr"] = "stdout"
    """Where that line is printed."""
    exit_code: Annotated[int, Ge(0), Le(255)] = 0
    """The exit code expected."""
    arguments: tuple[str, ...] = ()
    """Arguments of `docker run`."""
    environment: dict[str, str] = field(default_factory=dict, hash=False)
    """Variables that `docker run -e` sets."""


@check_kind(OutputMatches)
def output_matches(check: OutputMatches, context: CheckContext) -> CheckGenerator[Finding]:
    """Run the image once, as the check says."""
    request = RunRequest(args=check.arguments, environment=tuple(sorted(check.environment.items())))
    ran = yield from carry_out(context, request)
    outcome = ran.outcome
    printed = lines(outcome.stdout if check.stream == "stdout" else outcome.stderr)
    found = [
        (check.text and not any(check.text in line for line in printed), f"the text “{check.text}”"),
        (
            check.pattern and not any(re.search(check.pattern, line[:_MOST_COLUMNS]) for line in printed),
            f"a match of `{check.pattern}`",
        ),
    ]
    problem = RIGHT
    if missing := [what for absent, what in found if absent]:
        problem = OUTPUT_DIFFERS, f"No line of {check.stream} has {' or '.join(missing)}."
    elif outcome.ended != Exited(check.exit_code):
        problem = EXIT_CODE, f"The output is right, but the run {ended(outcome.ended)}, not {check.exit_code}."
    return run_judged(
        ran,
        problem,
        expected=f"{check.text or check.pattern or 'any output'}, exit code {check.exit_code}",
        reproduce=f"{docker_run(request)}; echo exit code $?",
        file="",
        line=None,
    )


# ── the prediction ──────────────────────────────────────────────────────────────────────


def _prediction(check: Predicts, case: Case, ran: Ran) -> Finding:
    reason, message = _problem(check, case, ran)
    reproduce = docker_run(ran.request)
    finding = run_judged(
        ran,
        (reason, f"{check.image}: {message}" if check.image and message else message),
        expected=LINE_FORM.replace("<number>", f"{case.expected(check.method):.10g}"),
        reproduce=after_script(ran.context, reproduce) if check.image else reproduce,
    )
    if finding.reason == SCRIPT_UNREADABLE:
        finding = replace(finding, file="Dockerfile", line=None)
    return _about_the_command(finding, ran) if check.arguments else finding


def _problem(check: Predicts, case: Case, ran: Ran) -> Problem:
    outcome = ran.outcome
    weeks = given(check, case)
    number, expected = predicted(outcome.stdout), case.expected(check.method)
    if number is None:
        reason, message = _no_line(ran, expected)
        untidy = f" (Here {check.file} has a blank line in it, and no line end at its end; both may be.)"
        return reason, message + untidy if check.untidy and reason == CRASHED else message
    if not agrees(number, expected):
        what = _known_as(case, number) or decimals_note(number, expected)
        message = f"The prediction{weeks} is {number:.10g}, not {expected:.10g}.{what}"
        return _wrong_reason(check, ran.context, case, number), message
    code = exit_code(outcome)
    if code and (error := error_explained(ran)):
        message = f"The prediction{weeks} is right, but then the script stopped with an error. Python says: {error}"
        return CRASHED, message
    if code:
        return EXIT_CODE, f"The prediction{weeks} is right, but the container's exit code is {code}, not 0."
    return RIGHT


def _no_line(ran: Ran, expected: float) -> Problem:
    outcome = ran.outcome
    if any(is_prediction_line(line) for line in lines(outcome.stderr)):
        return LINE_ON_STDERR, "The prediction line is on standard error; it belongs on standard output."
    code = exit_code(outcome)
    if code == 0:
        near = near_miss(lines(outcome.stdout), expected)
        return NO_LINE, f"No line of standard output has the form: {LINE_FORM}{'.' if near else ''}{near}"
    message = f"The container ended with exit code {code} and printed no prediction line."
    error = python_error(outcome)
    if error.startswith("EOFError"):
        return WAITS_FOR_INPUT, f"{message} The script asked for keyboard input, and there is none."
    if error:
        module = error.startswith(("ModuleNotFoundError", "ImportError"))
        return MODULE_MISSING if module else CRASHED, f"{message} Python says: {error_explained(ran)}"
    printed = [line.strip() for line in [*lines(outcome.stdout), *lines(outcome.stderr)] if line.strip()]
    last = printed[-1] if printed else ""
    reason = GAVE_UP if last and code < _NOT_THE_SCRIPTS_OWN else NO_LINE
    if _NOT_THE_SCRIPT.match(last):
        reason = SCRIPT_UNREADABLE if last.endswith("Permission denied") else NO_LINE
    return reason, f"{message} It says: {last}" if last else message


def _wrong_reason(check: Predicts, context: CheckContext, case: Case, number: float) -> str:
    if check.arguments or check.file:
        others = [other.expected(check.method) for other in context.cases if other.weeks != case.weeks]
        if any(agrees(number, other) for other in others):
            return CONSTANT_NUMBER
        if agrees(number, _EXAMPLE) and not _known_as(case, number):
            return CONSTANT_NUMBER
    weeks = [float(week) for week in case.weeks]
    rounded = ([round(week) for week in weeks], [int(week) for week in weeks])
    if check.method == "average" and any(agrees(number, sum(figures) / len(figures)) for figures in rounded):
        return ROUNDED_WEEKS
    return WRONG_NUMBER


def _known_as(case: Case, number: float) -> str:
    """What the wrong number is, if it is something well known: ` That is the first of the weeks, and the largest`."""
    weeks = [float(week) for week in case.weeks]
    known = {
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
    first, *others = [name for name, value in known.items() if agrees(number, value)] or [""]
    return f" That is the {first} of the weeks{''.join(f', and the {name}' for name in others)}." if first else ""


# ── the image's command ─────────────────────────────────────────────────────────────────


def _about_the_command(finding: Finding, ran: Ran) -> Finding:
    """The finding, or, where it is the image's command that keeps arguments away or brings its own, one about that."""
    args, context = ran.request.args, ran.context
    problem = None if finding.passed or not isinstance(ran.outcome.ended, Exited) else _command_problem(ran)
    if problem is None:
        return finding
    expected = f"the script gets {shlex.join(args) or 'no argument'}"
    line = context.line_of("CMD", "ENTRYPOINT")
    reason, message = problem
    return replace(finding, reason=reason, message=message, expected=expected, file="Dockerfile", line=line)


def _command_problem(ran: Ran) -> Problem | None:
    args, context = ran.request.args, ran.context
    executed = f"Docker executed: {shown_command(ran.image, args)}"
    entrypoint, command = ran.image.config.entrypoint or (), ran.image.config.command or ()
    named = any(context.script in word for word in command)
    if not args:
        if not entrypoint or not command or named or predicted(ran.outcome.stdout) is None:
            return None
        brought = f"With no argument, the script got those of CMD, {shlex.join(command)}, and predicted from them."
        return CMD_BRINGS_ARGUMENTS, brought
    shell = bool(entrypoint) and posixpath.basename(entrypoint[0]) in _SHELLS
    text = entrypoint[-1] if shell and re.fullmatch(r"-\w*c", "".join(entrypoint[-2:-1])) else "$0"
    literal = "" if shell else next((word for word in entrypoint[1:] if _ARGUMENTS.fullmatch(word)), "")
    if "$0" not in text:  # $0 is where the first argument goes
        return SHELL_ENTRYPOINT, f"The script did not get all of the arguments. {executed}"
    if literal:
        return LITERAL_ARGUMENTS, f"No shell reads the list of ENTRYPOINT, so {literal} is not replaced. {executed}"
    if entrypoint and named and not any(context.script in word for word in entrypoint):
        return SCRIPT_REPLACED, f"The arguments replaced CMD, which named the script. {executed}"
    return None


# ── with something mounted or set from outside ──────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsFile(Check):
    """With nothing mounted, the prediction of this case is not printed: it is not baked into the image."""

    kind: Literal["needs_file"]
    case: Name
    """Name of the exercise's case that was mounted before."""
    method: Literal["average", "last", "trend"] = "average"
    """Which of the reference's predictions must not come out."""


@check_kind(NeedsFile)
def needs_file(check: NeedsFile, context: CheckContext) -> CheckGenerator[Finding]:
    """With nothing mounted, whatever comes out is fine, but not the first file's prediction."""
    yield from built()
    outcome = yield from run(RunRequest())
    case = context.group(check.case)[0]
    number = predicted(outcome.stdout)
    baked = number is not None and agrees(number, case.expected(check.method))
    message = "With nothing mounted, the container prints the prediction of the file that was mounted before."
    return judged(
        (FILE_BAKED_IN, message) if baked else RIGHT,
        expected="without the file, no prediction (an error message is fine)",
        actual=excerpt(outcome),
        ended=ended(outcome.ended),
        reproduce=docker_run(RunRequest()),
        file=context.script,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEnvironment(Check):
    """The image's own environment has this variable."""

    kind: Literal["image_environment"]
    variable: Name
    """Its name."""
    value: str
    """The value that ENV gives it."""


@check_kind(ImageEnvironment)
def image_environment(check: ImageEnvironment, context: CheckContext) -> CheckGenerator[Finding]:
    """The image's configuration sets the variable, for every container."""
    image = yield from built()
    variables = dict(image.config.environment)
    found = variables.get(check.variable)
    bare = re.sub(r"\W", "", check.variable).upper()
    near = next((other for other in variables if re.sub(r"\W", "", other).upper() == bare), "")
    actual = f"{check.variable} is not set" + (f", but there is one called “{near}”" if near else "")
    actual = actual if found is None else f"{check.variable} is “{found}”"
    return judged(
        RIGHT if found == check.value else (VARIABLE_NOT_SET, f"In the image's environment, {actual}."),
        expected=f"{check.variable}={check.value}",
        actual=actual,
        reproduce=docker_inspect("Env"),
        file="Dockerfile",
        line=context.line_of("ENV"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusesValue(Inputs):
    """A value that means nothing gives no prediction, a message that names it, and an exit code that is not 0."""

    kind: Literal["refuses_value"]
    variable: Name
    """The variable that `docker run -e` sets to a drawn word."""
    case: Name
    """Name of the exercise's case whose weeks are given."""


@check_kind(RefusesValue)
def refuses_value(check: RefusesValue, context: CheckContext) -> CheckGenerator[Finding]:
    """An unknown value gives no prediction, a message that names it, and an exit code that is not 0."""
    value = f"unknown-{draw_text(len(context.nonce), context.nonce, check.variable)[:6]}"
    plain = run_request(check, context.group(check.case)[0])
    request = replace(plain, environment=(*plain.environment, (check.variable, value)))
    ran = yield from carry_out(context, request)
    return run_judged(
        ran,
        _refusal(ran.outcome, check.variable, value),
        expected=f"no prediction, a message with {value} in it, an exit code that is not 0",
        reproduce=f"{docker_run(request)}; echo exit code $?",
    )


def _refusal(outcome: RunOutcome, variable: str, value: str) -> Problem:
    printed = [*lines(outcome.stdout), *lines(outcome.stderr)]
    with_it = f"With {variable}={value}"
    if any(is_prediction_line(line) for line in printed):
        return UNKNOWN_ACCEPTED, f"{with_it} the script still prints a prediction."
    if not any(value in line.lower() for line in printed):  # in capitals it is named, too
        return UNKNOWN_NOT_NAMED, f"{with_it} no line of the output names the unknown value."
    if outcome.ended == Exited(0):
        return UNKNOWN_EXIT_CODE, f"{with_it} the exit code is 0, which says that all went well."
    return RIGHT


# ── folders ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class SavesPrediction(Inputs):
    """Runs with a folder mounted, one after the other on the same folder, leave the prediction in a file there."""

    kind: Literal["saves_prediction"]
    cases: Annotated[tuple[Name, ...], MinLen(1)]
    """Names of the exercise's cases, one run each, in this order."""
    folder: AbsolutePath
    """Where the folder is mounted, writable."""
    name: Name
    """The file's name in it; `*` stands for any characters."""
    appends: bool = False
    """Whether a run adds a line with its prediction and keeps what was there, instead of leaving only the new one."""


@check_kind(SavesPrediction)
def saves_prediction(check: SavesPrediction, context: CheckContext) -> CheckGenerator[Finding]:
    """After each run on the same folder, the file there says what it must; the first run that does not decides."""
    return (yield from first_right([_run_after_run(way, context) for way in variants(check)]))


def _run_after_run(check: SavesPrediction, context: CheckContext) -> CheckGenerator[tuple[Finding, bool]]:
    """The finding, and whether its run printed a prediction line."""
    folder = FolderMount(check.folder)
    finding = Finding(passed=True)
    earlier: list[str] = []
    requests: list[RunRequest] = []
    for case in context.group(*check.cases):
        requests.append(run_request(check, case, folder))
        ran = yield from carry_out(context, requests[-1])
        folder = next(iter(ran.outcome.folders), folder)
        tried = tried_path(check.folder)
        wanted = f"{case.expected(check.method):.10g}"
        before = "the first run's lines, and " if earlier else ""
        finding = run_judged(
            ran,
            _wrong_with_file(check, context, case, folder, earlier),
            expected=f"{check.folder}/{check.name} with "
            + (f"{before}{wanted} in a new line" if check.appends else f"{wanted} as its last number"),
            actual=_shown(check, ran.outcome, folder),
            reproduce=f"{docker_run(*requests)}\nls {tried}\ncat {tried}/{check.name}",
        )
        if not finding.passed:
            return finding, predicted(ran.outcome.stdout) is not None
        earlier = _lines_in(check, folder)
    return finding, True


def _wrong_with_file(
    check: SavesPrediction, context: CheckContext, case: Case, folder: FolderMount, earlier: list[str]
) -> Problem:
    """What is wrong with the file after a run; `earlier` are its lines after the one before."""
    named, found = _named(check, folder), _lines_in(check, folder)
    if not named:
        word, there = check.name.strip("*").encode(), ", ".join(file.path for file in folder.files)
        missing = f"After the run there is no file {check.name} in the mounted folder {check.folder}"
        if not there and not any(word in file.content for file in context.files.files):
            missing += ", and nothing that was handed in names one"
        return FILE_NOT_WRITTEN, f"{missing}: there is {there}." if there else f"{missing}."
    if not found:
        level = " Without a level, the module logging keeps only warnings and worse." if check.appends else ""
        return NOT_IN_FILE, f"The run left {check.folder}/{named[0].path} empty.{level}"
    return _appended(check, case, folder, earlier) if check.appends else _replaced(check, case, folder, earlier)


def _appended(check: SavesPrediction, case: Case, folder: FolderMount, earlier: list[str]) -> Problem:
    found = _lines_in(check, folder)
    where, expected = f"{check.folder}/{check.name}", case.expected(check.method)
    # A log may turn over: then the first run's lines are in a file of another name.
    kept = {line for file in folder.files for line in _lines_of(file)}
    if any(line not in kept for line in earlier):
        if all(any(now.startswith(line) for now in kept) for line in earlier):
            return NOT_IN_FILE, f"The second run wrote into the first one's line in {where}, not a line of its own."
        return LOG_TRUNCATED, f"The second run removed what the first one had written to {where}."
    # By what they say, and not by their place: a new file may come first by its name.
    added = [number for line in (Counter(found) - Counter(earlier)).elements() for number in numbers(line)]
    if any(agrees(number, expected) for number in added):
        return RIGHT
    message = f"No line that this run added to {where} carries {expected:.10g}, the prediction"
    return NOT_IN_FILE, f"{message}{given(check, case).rstrip(',')}.{_nearly(found, added, expected)}"


def _replaced(check: SavesPrediction, case: Case, folder: FolderMount, earlier: list[str]) -> Problem:
    found, expected = _lines_in(check, folder), case.expected(check.method)
    every, before = ([number for line in held for number in numbers(line)] for held in (found, earlier))
    if not every or not agrees(every[-1], expected):
        seen = f"The last number in {check.name} is {every[-1]:.10g}, not" if every else ""
        seen = seen or f"There is no number in {check.name}; it has to hold"
        message = f"{seen} {expected:.10g}, the prediction{given(check, case).rstrip(',')}."
        return FILE_NOT_REPLACED if earlier else NOT_IN_FILE, message + _nearly(found, [], expected)
    if before and any(agrees(number, before[-1]) for number in every):
        return FILE_NOT_REPLACED, f"After the second run, {check.name} still holds the first run's prediction as well."
    return RIGHT


def _nearly(found: list[str], added: list[float], expected: float) -> str:
    """Why lines only nearly carry the number, as a sentence that follows another; "" if they do not."""
    if commas := commas_note(found, expected):
        return commas
    if rounded := [f"{number:.10g}" for number in added if decimals_note(number, expected)]:
        return f" {rounded[0]} is the prediction with some of its decimals lost."
    braces = next((match[0] for line in found if (match := re.search(r"\{\w[^}]*\}", line))), "")
    return f" {braces} was written as it stands: an f before the quote makes Python fill it in." if braces else ""


def _named(check: SavesPrediction, folder: FolderMount) -> list[MemoryFile]:
    return [file for file in folder.files if fnmatchcase(file.path, check.name)]


def _lines_of(file: MemoryFile) -> list[str]:
    return [line for line in lines(file.content) if line.strip()]


def _lines_in(check: SavesPrediction, folder: FolderMount) -> list[str]:
    return [line for file in _named(check, folder) for line in _lines_of(file)]


def _shown(check: SavesPrediction, outcome: RunOutcome, folder: FolderMount) -> str:
    """The end of the file, or what there is in its place; and what a run printed that did not end well."""
    held = [f"{file.path}: {line}" for file in _named(check, folder) for line in _lines_of(file)][-_SHOWN_LINES:]
    if not held:
        held = [f"in the folder: {', '.join(file.path for file in folder.files) or 'nothing'}"]
    if outcome.ended != Exited(0) or not _named(check, folder):
        held += [f"the run ({ended(outcome.ended)}) printed:", excerpt(outcome)]
    return "\n".join(held)
