"""Checks with something mounted or set from outside: the file that is not there, variables, folders written to."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from annotated_types import MinLen

from grader.checks.base import (
    RIGHT,
    CheckContext,
    CheckGenerator,
    Inputs,
    Problem,
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
from grader.checks.compare import agrees, is_prediction_line, lines, numbers, predicted
from grader.checks.diagnosis import commas_note, decimals_note, ended, excerpt, run_judged
from grader.course.cases import draw_text
from grader.course.registry import AbsolutePath, Check, Name, reason
from grader.models import Case, Exited, Finding, FolderMount, MemoryFile, RunOutcome, RunRequest

VARIABLE_NOT_SET = reason(
    "D131", "variable_not_set", "The image's environment does not have the variable, or another value."
)
FILE_BAKED_IN = reason(
    "R301", "file_baked_in", "With nothing mounted, the mounted file's prediction is printed all the same."
)
UNKNOWN_ACCEPTED = reason("R302", "unknown_accepted", "A value that means nothing still gives a prediction.")
UNKNOWN_NOT_NAMED = reason("R303", "unknown_not_named", "No message names the value that means nothing.")
UNKNOWN_EXIT_CODE = reason(
    "R304", "unknown_exit_code", "The message is right, but the exit code says that all went well."
)
FILE_NOT_WRITTEN = reason("R311", "file_not_written", "The file is not in the mounted folder after the run.")
NOT_IN_FILE = reason("R312", "not_in_file", "The file is there, and does not carry the prediction.")
FILE_NOT_REPLACED = reason(
    "R313", "file_not_replaced", "After a second run, the file does not end with the new prediction."
)
LOG_TRUNCATED = reason("R314", "log_truncated", "A second run removed what the first one had written.")


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
    image = yield from built()
    value = f"unknown-{draw_text(len(context.nonce), context.nonce, check.variable)[:6]}"
    plain = run_request(check, context.group(check.case)[0])
    request = replace(plain, environment=(*plain.environment, (check.variable, value)))
    ran = yield from carry_out(context, image, request)
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
    image = yield from built()
    folder = FolderMount(check.folder)
    finding = Finding(passed=True)
    earlier: list[str] = []
    requests: list[RunRequest] = []
    for case in context.group(*check.cases):
        requests.append(run_request(check, case, folder))
        ran = yield from carry_out(context, image, requests[-1])
        folder = next(iter(ran.outcome.folders), folder)
        found = _lines_in(check, folder)
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
        earlier = found
    return finding, True


def _wrong_with_file(
    check: SavesPrediction, context: CheckContext, case: Case, folder: FolderMount, earlier: list[str]
) -> Problem:
    """What is wrong with the file after a run; `earlier` are its lines after the one before."""
    named, found = _named(check, folder), _lines_in(check, folder)
    if not named:
        return FILE_NOT_WRITTEN, _not_written(check, context, folder)
    if not found:
        level = " Without a level, the module logging keeps only warnings and worse." if check.appends else ""
        return NOT_IN_FILE, f"The run left {check.folder}/{named[0].path} empty.{level}"
    if check.appends:
        return _appended(check, case, folder, earlier, found)
    return _replaced(check, case, earlier, found)


def _not_written(check: SavesPrediction, context: CheckContext, folder: FolderMount) -> str:
    """That there is no file, what there is instead, or that it is still to do: nothing handed in even names it."""
    there = ", ".join(file.path for file in folder.files)
    word = check.name.strip("*").encode()
    if not there and not any(word in file.content for file in context.files.files):
        return f"Your script writes no file {check.name} into {check.folder} yet: nothing that was handed in names one."
    instead = f": there is {there}" if there else ""
    return f"After the run there is no file {check.name} in the mounted folder {check.folder}{instead}."


def _appended(check: SavesPrediction, case: Case, folder: FolderMount, earlier: list[str], found: list[str]) -> Problem:
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


def _replaced(check: SavesPrediction, case: Case, earlier: list[str], found: list[str]) -> Problem:
    expected = case.expected(check.method)
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


_SHOWN_LINES = 6
