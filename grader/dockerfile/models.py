"""A Dockerfile as values: its instructions and stages with their lines, or why it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FeatureName = Literal["heredoc", "mount", "chmod", "link"]


@dataclass(frozen=True, slots=True)
class Unparsable:
    """The Dockerfile cannot be read, so it does not build. `line` counts from 1.

    With `unsafe`, it must not even be tried: it is far too large, or another program than Docker's is to read it.
    """

    message: str
    line: int | None = None
    unsafe: bool = False
    path: str = "Dockerfile"


@dataclass(frozen=True, slots=True)
class Flag:
    """`--name=value` before an instruction's arguments; `value` is empty where there is no `=`."""

    name: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Heredoc:
    """`<<NAME` and the lines up to the one that is NAME, with their line ends."""

    name: str
    body: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, with its continuation lines joined.

    `keyword` is in upper case. `value` is what follows the flags, as written; `arguments` its words, or the strings of
    its JSON form (`json`). Words keep their quotes and `$NAME`. `stage` counts from 0 and is -1 for an ARG before the
    first FROM. `trigger` is the instruction that an ONBUILD holds.
    """

    keyword: str
    first_line: int
    last_line: int
    value: str
    arguments: tuple[str, ...] = ()
    flags: tuple[Flag, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()
    json: bool = False
    stage: int = -1
    trigger: Instruction | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """From one FROM to the next. `image` is `written` with ARG defaults put in; `name` is in lower case, or empty."""

    name: str
    image: str
    written: str
    platform: str
    line: int


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that not every builder knows, and the first line that uses it."""

    name: FeatureName
    line: int


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A Dockerfile that can be read.

    `built` is what a builder is given: the same lines, with `# syntax=` as a plain comment. `escape` is the character
    that continues lines, `path` the file's in its folder.
    """

    instructions: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    features: tuple[Feature, ...]
    escape: str
    built: bytes
    path: str = "Dockerfile"


class CannotParse(Exception):  # noqa: N818 - never seen outside: `parse` returns the value that it holds
    """Ends the reading of a Dockerfile."""

    def __init__(self, message: str, line: int | None = None, *, unsafe: bool = False) -> None:
        where = "" if line is None else f"Dockerfile line {line}: "
        self.problem = Unparsable(where + message, line, unsafe)
        super().__init__(self.problem.message)
