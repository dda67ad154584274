"""What the files of a folder show without an engine: mistakes, and advice that costs no points.

Nothing here gives points or takes them: that is for what a container does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from grader.checks.base import CheckContext, Inputs
from grader.checks.build import INSTALLS, before_build
from grader.checks.cache import CachedInstalls
from grader.checks.compose import compose_mistake
from grader.checks.python_source import syntax_problem
from grader.dockerfile.explain import list_problem, misspelt_script, nearest
from grader.dockerfile.image_names import normalised
from grader.dockerfile.parser import Dockerfile, Instruction
from grader.submissions.models import COMPOSE_NAMES


@dataclass(frozen=True, slots=True)
class Remark:
    """Something in a file, at its line from 1, or in all of it."""

    message: str
    file: str
    line: int | None = None


def static_findings(context: CheckContext) -> list[Remark]:
    """The mistakes that the files show, in the order in which they would be met. No engine is asked."""
    return list(_findings(context))


def _findings(context: CheckContext) -> Iterator[Remark]:
    there = [file.path for file in context.files.files]
    for wanted in context.exercise.files:
        same = COMPOSE_NAMES if wanted in COMPOSE_NAMES else (wanted,)
        if wanted != "Dockerfile" and not any(name in there for name in same):
            lower = next((path for path in there if path.endswith(f"/{wanted}")), "")
            if lower and wanted == context.script:
                continue  # a Dockerfile may copy it from where it is
            near = nearest(wanted, there, 0.7)
            instead = f" Did you mean {near}? Rename it." if near else ""
            yield Remark(f"{wanted} is not there.{f' Move {lower} up.' if lower else instead}", wanted)
    if "Dockerfile" in context.exercise.files and (finding := before_build(context)):
        yield Remark(finding.message, "Dockerfile", finding.line)
    yield from _of_dockerfile(context, there)
    for name in COMPOSE_NAMES:
        if (content := context.files.content(name)) is not None and (mistake := compose_mistake(content)):
            yield Remark(mistake.message, name, mistake.line)
    script = context.files.content(context.script)
    if script is not None and context.script.endswith(".py") and (problem := syntax_problem(script)):
        yield Remark(f"Python cannot read the script: {problem[1]}.", context.script, problem[0])


def _of_dockerfile(context: CheckContext, there: list[str]) -> Iterator[Remark]:
    """Of a Dockerfile that can be read: lists, the command, and what the exercise asks of both."""
    last = context.last_stage
    for one in last:
        if one.keyword in {"RUN", "CMD", "ENTRYPOINT"} and (problem := list_problem(one)):
            yield Remark(problem, "Dockerfile", one.first_line)
    command = {one.keyword: one for one in last if one.keyword in {"CMD", "ENTRYPOINT"}}
    given = any(isinstance(check, Inputs) and check.arguments for check in context.exercise.checks)
    if given and "CMD" in command and "ENTRYPOINT" not in command:
        message = "The arguments of docker run replace all of CMD. What has to stay belongs in ENTRYPOINT."
        yield Remark(message, "Dockerfile", command["CMD"].first_line)
    for one in command.values():
        if problem := misspelt_script(one, there):
            yield Remark(problem, "Dockerfile", one.first_line)
    if any(isinstance(check, CachedInstalls) for check in context.exercise.checks) and (early := _copied_early(last)):
        message = "A change of any file makes all instructions below this one run again, the installation too."
        yield Remark(message, "Dockerfile", early.first_line)


def _copied_early(instructions: list[Instruction]) -> Instruction | None:
    """The COPY of a whole folder that stands above an installation, if there is one."""
    installs = [one.first_line for one in instructions if one.keyword == "RUN" and INSTALLS.search(one.value)]
    whole = (one for one in instructions if one.keyword in {"COPY", "ADD"} and {".", "./"} & {*one.arguments[:-1]})
    return next((one for one in whole if installs and one.first_line < installs[-1]), None)


# ── advice ──────────────────────────────────────────────────────────────────────────────


def advice(context: CheckContext) -> list[Remark]:
    """What could be better about a Dockerfile that is right, in the order of its lines."""
    return sorted(_advice(context), key=lambda remark: remark.line or 0)


def _advice(context: CheckContext) -> Iterator[Remark]:
    parsed, last = context.files.dockerfile, context.last_stage
    if not isinstance(parsed, Dockerfile):
        return
    for stage in parsed.stages:
        if normalised(stage.image).endswith(":latest") and stage.image not in {one.name for one in parsed.stages}:
            yield Remark("`latest` is another image every month. Name a version.", "Dockerfile", stage.line)
    for keyword in ("CMD", "ENTRYPOINT"):
        for one in [one for one in last if one.keyword == keyword][:-1]:
            message = f"Only the last {keyword} of a Dockerfile counts. Take this one out."
            yield Remark(message, "Dockerfile", one.first_line)
    if early := _copied_early(last):
        message = "Copy what the installation needs first, and all the rest below it: then it stays cached."
        yield Remark(message, "Dockerfile", early.first_line)
    for one in last:
        if one.keyword == "RUN":
            yield from (Remark(text, "Dockerfile", one.first_line) for text in _of_install(one))
    if last and not any(one.keyword == "USER" for one in last):
        yield Remark("The container runs as root. A USER of its own can do less harm.", "Dockerfile")


def _of_install(run: Instruction) -> Iterator[str]:
    """What is left behind by an installation."""
    cached = any(flag.name == "mount" and "type=cache" in flag.value for flag in run.flags)
    if re.search(r"\bapt(?:-get)? (?:\S+ ){0,5}install\b", run.value) and not cached:
        if "/var/lib/apt/lists" not in run.value:
            yield "The lists of packages stay in the image: end this RUN with && rm -rf /var/lib/apt/lists/*"
        if "--no-install-recommends" not in run.value:
            yield "apt-get installs what is only recommended, too: --no-install-recommends leaves it out."
    if re.search(r"\bpip3? (?:\S+ ){0,5}install\b", run.value) and not cached and "--no-cache-dir" not in run.value:
        yield "pip keeps what it has downloaded: --no-cache-dir leaves it out of the image."
