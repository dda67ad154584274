"""Which line of the Dockerfile a step or an error of a builder belongs to."""

from __future__ import annotations

import re

from grader.dockerfile import Dockerfile, Instruction, Unparsable

__all__ = ["error_line", "step_line"]

_STEP = re.compile(r"\[(?:\S+/\S+ )?(?:(?P<stage>[^\s/\]]+) +)? *(?P<index>\d+)/\d+\] (?P<text>.*)", re.DOTALL)
_PARSE_ERROR = re.compile(r"(?:Dockerfile|dockerfile) parse error (?:on )?line (\d+)")
_QUOTED = re.compile(r'"([^"]{1,4000})"|\(([^)]{1,4000})\)')
_NUMBERED = {"FROM", "ADD", "COPY", "RUN", "WORKDIR"}
"""The instructions that BuildKit numbers within a stage, FROM being the first."""


def step_line(name: str, dockerfile: Dockerfile | Unparsable) -> int | None:
    """The Dockerfile's line of the step with this name (`[build 2/4] RUN pip install numpy`), or None.

    The number counts the instructions of its stage that make layers. The keyword must agree; if it does not, a
    step is found by its text, as long as there were no variables in it for the builder to replace.
    """
    match = _STEP.match(name)
    if match is None or isinstance(dockerfile, Unparsable):
        return None
    text = _words(match["text"])
    stage = [one for one in dockerfile.instructions if _in_stage(one, match["stage"], dockerfile)]
    numbered = [one for one in stage if one.keyword in _NUMBERED]
    index = int(match["index"]) - 1
    if index < len(numbered) and text.split(" ", 1)[0] == numbered[index].keyword:
        return numbered[index].first_line
    return next((one.first_line for one in stage if _text(one) == text), None)


def _in_stage(instruction: Instruction, stage: str | None, dockerfile: Dockerfile) -> bool:
    """Whether the builder's name for a stage (None: there is only one) means this instruction's."""
    if instruction.stage < 0:
        return False
    return stage in {None, dockerfile.stages[instruction.stage].name, f"stage-{instruction.stage}"}


def _text(instruction: Instruction) -> str:
    """An instruction as builders write it into a step's name: on one line."""
    flags = [f"--{flag.name}={flag.value}" if flag.value else f"--{flag.name}" for flag in instruction.flags]
    return _words(" ".join([instruction.keyword, *flags, instruction.value]))


def _words(text: str) -> str:
    return " ".join(text.split())


def error_line(message: str, dockerfile: Dockerfile | Unparsable) -> int | None:
    """The line of an error about the Dockerfile itself, or None.

    Most errors name it. Else it is the one instruction that the error can mean: by its keyword, or by a word that
    the error quotes.
    """
    match = _PARSE_ERROR.search(message)
    if match:
        return int(match[1])
    if isinstance(dockerfile, Unparsable):
        return dockerfile.line
    keyword = message.split(" ", 1)[0]
    quoted = [part for parts in _QUOTED.findall(message) for part in parts if part]
    meant = [
        one.first_line
        for one in dockerfile.instructions
        if one.keyword == keyword or any(part in _text(one) for part in quoted)
    ]
    return meant[0] if len(meant) == 1 else None
