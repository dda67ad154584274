"""Giving an image a case's weeks: as arguments, as a mounted file, with variables, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from grader.course.registry import Check
from grader.course.types import AbsolutePath
from grader.models import Case, FolderMount, MemoryFile, RunRequest

_MANY = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs(Check):
    """Shared by checks that run the image with weeks. With none of these keys the script holds them."""

    arguments: bool = False
    """Whether the weeks are passed as arguments of `docker run`."""
    file: AbsolutePath | None = None
    """Where a file with the weeks, one a line, is mounted, read-only."""
    or_arguments: bool = False
    """Whether the same weeks are passed as arguments too, if the file alone does not do; either way may be right."""
    untidy: bool = False
    """Whether that file has a blank line among the others and no newline at its end."""
    environment: dict[str, str] = field(default_factory=dict, hash=False)
    """Variables that `docker run -e` sets."""
    method: Literal["average", "last", "trend"] = "average"
    """Which of the reference's predictions is expected."""


InputsT = TypeVar("InputsT", bound=Inputs)


def variants(check: InputsT) -> list[InputsT]:
    """The ways to give the weeks that may each be right: as asked, and with `or_arguments` as arguments besides."""
    return [check, replace(check, arguments=True)] if check.or_arguments else [check]


def run_request(check: Inputs, case: Case, *folders: FolderMount) -> RunRequest:
    """The run that a check asks for with one case."""
    return RunRequest(
        args=case.weeks if check.arguments else (),
        environment=tuple(sorted(check.environment.items())),
        files=(sales_file(check.file, case, untidy=check.untidy),) if check.file else (),
        folders=folders,
    )


def sales_file(path: str, case: Case, *, untidy: bool = False) -> MemoryFile:
    """The weeks, one a line, read-only; untidy with a blank line after the first and no newline at the end."""
    first, *others = case.weeks
    text = "\n".join([first, "", *others]) if untidy else "".join(f"{week}\n" for week in case.weeks)
    return MemoryFile(path, text.encode(), 0o444)


def given(check: Inputs, case: Case) -> str:
    """What was given, as part of a sentence that goes on: ` for the weeks 1 2 3 in /app/sales.txt, with NAME=value,`.

    Nothing if nothing was given.
    """
    if not (check.arguments or check.file or check.environment):
        return ""
    shown = " ".join(case.weeks[:_MANY]) + (f" … ({len(case.weeks)} weeks)" if len(case.weeks) > _MANY else "")
    weeks = f" for the weeks {shown}" if check.arguments or check.file else ""
    untidy = " (with a blank line in it, and no line end at its end)" if check.untidy else ""
    file = f" in {check.file}{untidy}" if check.file and not check.arguments else ""
    variables = " and ".join(f"{name}={value}" for name, value in sorted(check.environment.items()))
    return weeks + file + (f", with {variables}," if variables else "")
