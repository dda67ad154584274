"""What a run of any program prints, by a text or a pattern, and how it exits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Ge, Le

from grader.checks.base import CheckContext, CheckGenerator, built, check_kind, docker_run, run
from grader.checks.compare import lines
from grader.checks.diagnosis import ended, excerpt, not_finished, with_location
from grader.checks.output import EXIT_CODE
from grader.course.registry import Check, reason
from grader.course.types import Name
from grader.models import Exited, Finding, RunRequest

OUTPUT_DIFFERS = reason("R401", "output_differs", "No line of the output has the text or matches the pattern.")

_MOST_COLUMNS = 2000
"""Characters of a line that a pattern is tried on, so that no line makes it take for ever."""


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
    image = yield from built()
    request = RunRequest(args=check.arguments, environment=tuple(sorted(check.environment.items())))
    outcome = yield from run(request)
    reproduce = f"{docker_run(request)}; echo exit code $?"
    stopped = not_finished(image, request, outcome)
    if stopped is not None:
        return replace(with_location(stopped, context), reproduce=reproduce)
    printed = lines(outcome.stdout if check.stream == "stdout" else outcome.stderr)
    missing = [
        *([f"the text “{check.text}”"] if check.text and not any(check.text in line for line in printed) else []),
        *([f"a match of `{check.pattern}`"] if check.pattern and not _found(check.pattern, printed) else []),
    ]
    wrong_code = outcome.ended != Exited(check.exit_code)
    message = f"No line of {check.stream} has {' or '.join(missing)}." if missing else ""
    if wrong_code and not missing:
        message = f"The output is right, but the run {ended(outcome.ended)}, not {check.exit_code}."
    return Finding(
        passed=not message,
        reason=OUTPUT_DIFFERS if missing else EXIT_CODE if wrong_code else "",
        message=message,
        expected=f"{check.text or check.pattern or 'any output'}, exit code {check.exit_code}",
        actual=f"{excerpt(outcome)}\n{ended(outcome.ended)}",
        ended=ended(outcome.ended),
        reproduce=reproduce,
    )


def _found(pattern: str, printed: list[str]) -> bool:
    return any(re.search(pattern, line[:_MOST_COLUMNS]) for line in printed)
