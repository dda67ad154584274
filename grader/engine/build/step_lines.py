"""Which line of the Dockerfile a step or an error of a builder belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable

from grader.dockerfile.image_names import normalised
from grader.dockerfile.models import Dockerfile, Instruction, Unparsable
from grader.engine.wording import BUILD_STEP, PARSE_ERROR

_QUOTED = re.compile(r'"([^"]{1,4000})"|\(([^)]{1,4000})\)')
_NUMBERED = {"ADD", "COPY", "RUN", "WORKDIR"}
"""The instructions that BuildKit numbers within a stage, after a FROM that names an image and no stage."""
_SCRATCH = "scratch"


def step_line(name: str, dockerfile: Dockerfile | Unparsable, triggers: int = 0) -> int | None:
    """The Dockerfile's line of the step with this name (`[build 2/4] RUN pip install numpy`), or None.

    The number counts the instructions of its stage that make layers, after the triggers (ONBUILD) of what it is built
    on; `triggers` is how many of those an image brings, as in `triggers_of`. They have the line of the FROM that set
    them off, or of their ONBUILD if it is in this file. The keyword must agree.

    A step that several builds or stages have in common, which BuildKit carries out once, may be called by another one's
    stage and number. So what has the step's text comes first; only a text with variables in it, which the builder has
    replaced, is nowhere.
    """
    match = BUILD_STEP.match(name)
    if match is None or isinstance(dockerfile, Unparsable):
        return None
    text = _on_one_line(match["text"])
    by_number = _numbered_line(match, text, dockerfile, triggers)
    if text.startswith("FROM "):
        return _base_line(text, dockerfile) or by_number
    by_text = [one.first_line for one in dockerfile.instructions if one.stage >= 0 and _text(one) == text]
    return by_number if by_number in by_text or not by_text else by_text[0]


def _base_line(text: str, dockerfile: Dockerfile) -> int | None:
    """The first FROM of that image."""
    image = normalised(text.split()[1].partition("@sha256")[0])
    return next((stage.line for stage in dockerfile.stages if normalised(stage.image) == image), None)


def _numbered_line(match: re.Match[str], text: str, dockerfile: Dockerfile, triggers: int) -> int | None:
    stage = [one for one in dockerfile.instructions if _in_stage(one, match["stage"], dockerfile)]
    numbered = _in_number_order(stage, dockerfile, triggers)
    index = int(match["index"]) - 1
    agrees = index < len(numbered) and numbered[index][1] in {"", text.split(" ", 1)[0]}
    return numbered[index][0] if agrees else None


def triggers_of(name: str, names: Iterable[str]) -> int:
    """How many triggers the stage of a step has set off: BuildKit numbers them, but leaves them out of its total."""
    match = BUILD_STEP.match(name)
    beside = [other for one in names if (other := BUILD_STEP.match(one)) and match and other["stage"] == match["stage"]]
    return max((int(one["index"]) - int(one["total"]) for one in beside), default=0)


def _in_number_order(stage: list[Instruction], dockerfile: Dockerfile, triggers: int) -> list[tuple[int, str]]:
    """Line and keyword of what BuildKit numbers in a stage, from 1; "" is any keyword."""
    first = next((one for one in stage if one.keyword == "FROM"), None)
    if first is None:
        return []
    own = [(one.first_line, one.keyword) for one in stage if one.keyword in _NUMBERED]
    image = dockerfile.stages[first.stage].image
    below = [number for number in range(first.stage) if image.lower() == dockerfile.stages[number].name]
    if below:
        return [*_triggers_in(dockerfile, below[-1]), *own]
    counted = [] if image == _SCRATCH else [(first.first_line, "FROM")]
    return [*counted, *[(first.first_line, "")] * triggers, *own]


def _triggers_in(dockerfile: Dockerfile, stage: int) -> list[tuple[int, str]]:
    held = [(one.first_line, one.trigger) for one in dockerfile.instructions if one.stage == stage]
    return [(line, trigger.keyword) for line, trigger in held if trigger and trigger.keyword in _NUMBERED]


def _in_stage(instruction: Instruction, stage: str | None, dockerfile: Dockerfile) -> bool:
    """Whether the builder's name for a stage (None: there is only one) means this instruction's."""
    if instruction.stage < 0:
        return False
    return stage in {None, dockerfile.stages[instruction.stage].name, f"stage-{instruction.stage}"}


def _text(instruction: Instruction) -> str:
    """An instruction as builders write it into a step's name: on one line."""
    flags = [f"--{flag.name}={flag.value}" if flag.value else f"--{flag.name}" for flag in instruction.flags]
    return _on_one_line(" ".join([instruction.keyword, *flags, instruction.value]))


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def error_line(message: str, dockerfile: Dockerfile | Unparsable) -> int | None:
    """The line of an error about the Dockerfile itself, or None.

    Most errors name it. Else it is the one instruction that the error can mean: by its keyword, or by a word that
    the error quotes.
    """
    match = PARSE_ERROR.search(message)
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
