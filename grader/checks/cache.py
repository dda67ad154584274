"""The order of layers: does a change of the script make the packages install again?"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from grader.checks.base import IMAGE_NAME, CheckContext, CheckGenerator, build, built, check_kind, run
from grader.checks.build import BUILD_FAILED, INSTALLS, INSTRUCTION
from grader.checks.probe import probe
from grader.checks.python_source import libraries_of
from grader.course.registry import Check, reason
from grader.dockerfile.models import Dockerfile
from grader.errors import EngineError
from grader.models import BuildFailed, BuildRequest, BuildStep, Built, Exited, Finding, RunRequest

NOTHING_INSTALLED = reason("D141", "nothing_installed", "No instruction installs packages.")
INSTALLED_AGAIN = reason(
    "D142", "installed_again", "After a change of the script alone, packages were installed again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedInstalls(Check):
    """After a change of the script alone, a second build runs no instruction again that installs packages."""

    kind: Literal["cached_installs"]


@check_kind(CachedInstalls)
def cached_installs(check: CachedInstalls, context: CheckContext) -> CheckGenerator[Finding]:
    """Build, change only the script, build again: what the builder itself says was cached decides."""
    first = yield from built()
    if not any(_installs(step, context) for step in first.steps):
        return (yield from _without_installs(context, first))
    again = yield from _changed_and_built(context)
    repeated = _repeated(again, context)
    if isinstance(again, BuildFailed):
        return Finding(
            passed=False, reason=BUILD_FAILED,
            message="After a comment was added to the script, the image does not build.",
            actual=again.message, file="Dockerfile", line=again.line, reproduce=_REPRODUCE,
        )  # fmt: skip
    if not repeated:
        return Finding(
            passed=True, message="After a change of the script, no package was installed again.", reproduce=_REPRODUCE
        )
    return _told(repeated, again.steps, context.script)


def _without_installs(context: CheckContext, first: Built) -> CheckGenerator[Finding]:
    """Where no instruction is seen to install, none does so twice; but what the script needs must be there by some way.

    It may be copied, or be installed by a program of the student's own; or the script needs nothing.
    """
    missing = yield from _missing(context)
    if not missing:
        return Finding(passed=True, message="No instruction installs packages, and the script finds all it needs.")
    return Finding(
        passed=False, reason=NOTHING_INSTALLED,
        message=f"No instruction of the Dockerfile installs packages, and the image has no {' and no '.join(missing)}, "
        "which the script imports.",
        expected="an instruction that installs the script's libraries, before the script is copied",
        actual="\n".join(_instruction(step) for step in first.steps), file="Dockerfile", reproduce=_REPRODUCE,
    )  # fmt: skip


def _missing(context: CheckContext) -> CheckGenerator[list[str]]:
    """Which of the script's libraries the interpreter that runs it does not find, by the exit code of one run each."""
    needed = libraries_of(context.files, context.script)[:_MOST_LIBRARIES]
    if not needed:
        return []
    seen = yield from probe(context, arguments=False)
    executable = "python3" if isinstance(seen, Finding) else seen.executable
    missing: list[str] = []
    for name in needed:
        looked = yield from run(RunRequest(entrypoint=(executable, "-c", _FINDS, name)))
        missing += [] if looked.ended == Exited(0) else [name]
    return missing


_MOST_LIBRARIES = 5
_FINDS = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"


def _changed_and_built(context: CheckContext) -> CheckGenerator[Built | BuildFailed]:
    """The build after the script got one more line; what installs in it does so because of that line.

    That is known because the same build without the line, just before it, installed nothing. Where it did, the builder
    lost what it had: BuildKit may file a step twice that two builds ran side by side for the first time.
    """
    again = yield from _steady_then_changed(context, 1)
    repeated = _repeated(again, context)
    if repeated and not _explained(repeated[0], again.steps, context.script):
        again = yield from _steady_then_changed(context, 2)
    return again


def _steady_then_changed(context: CheckContext, number: int) -> CheckGenerator[Built | BuildFailed]:
    for time in range(_CHANCES):
        unchanged = yield from build(BuildRequest(attempt=_CHANCES * number + time))
        if not _repeated(unchanged, context):
            return (yield from build(BuildRequest(changed=context.script, attempt=number)))
    raise EngineError(
        "Not graded: the engine's builder installs the packages again also where nothing was changed, so the order of "
        "the Dockerfile cannot be judged. Is its cache full, or being cleared? See `docker system df`."
    )


_CHANCES = 3
"""Builds that may pass until one without a change installs nothing."""


def _repeated(seen: Built | BuildFailed, context: CheckContext) -> list[BuildStep]:
    return [step for step in seen.steps if not step.cached and _installs(step, context)]


def _explained(install: BuildStep, steps: tuple[BuildStep, ...], script: str) -> bool:
    """Whether the first step of that stage that was not cached is a COPY or ADD that may hold the script.

    If not, the builder may have lost what it had; then one more build tells.
    """
    stage = _stage(install)
    first = _in_order([step for step in steps if not step.cached and _stage(step) == stage])[0]
    if _word(first) not in {"COPY", "ADD"}:
        return _mounts(first, script)
    sources = [word for word in _whole(first).split()[1:-1] if not word.startswith("--") or "--from" in word]
    return any(_may_hold(source, script) for source in sources)


def _stage(step: BuildStep) -> str:
    """`builder` of `[builder  2/13] RUN …`; "" where the builder names none."""
    match = _STAGE.match(step.name)
    return match["stage"] if match else ""


_STAGE = re.compile(r"\[(?P<stage>\S*?)\s*\d+/\d+\]")


def _in_order(steps: list[BuildStep]) -> list[BuildStep]:
    """By their lines; a builder that tells none tells the steps in order."""
    return sorted(steps, key=lambda step: step.line or 0)


def _may_hold(source: str, script: str) -> bool:
    """Whether a source of COPY may stand for the script: all but the plain name of another file."""
    name = PurePosixPath(source).name
    return name == script or "." not in name or any(sign in source for sign in "*?[$") or source.startswith("--")


def _told(repeated: list[BuildStep], steps: tuple[BuildStep, ...], script: str) -> Finding:
    first = repeated[0]
    breaker = _breaker(first, steps)
    seconds = sum(step.seconds for step in repeated)
    return Finding(
        passed=False,
        reason=INSTALLED_AGAIN,
        message=f"Only the script was changed, but {_place(first)} ran again; "
        f"installing took {seconds:.1f} seconds in all.{_because(first, breaker, script)}",
        expected="CACHED for every instruction that installs packages",
        actual="\n".join(
            f"{'CACHED' if step.cached else f'ran {step.seconds:.1f} s'}  {_instruction(step)}"
            for step in _in_order([step for step in steps if _word(step) != "FROM"])
        ),
        file="Dockerfile",
        line=(breaker or first).line,
        reproduce=_REPRODUCE,
    )


_REPRODUCE = (
    f"docker build -t {IMAGE_NAME} . && echo '# a change' >> sales_predictor.py && docker build -t {IMAGE_NAME} . "
    "  # then remove the added line"
)


def _because(install: BuildStep, breaker: BuildStep | None, script: str) -> str:
    """Why the installation was not cached, as a sentence behind another; "" where that is not known."""
    if breaker is not None:
        how = "was made again too" if "--from=" in breaker.name else "takes the script along"
        place = _place(breaker)
        return f" {place[:1].upper()}{place[1:]} {how}, and it stands before the installation."
    return " It mounts the folder, and the script with it." if _mounts(install, script) else ""


def _mounts(step: BuildStep, script: str) -> bool:
    """Whether a RUN has `--mount=type=bind` (which is what it is without a type) of what may hold the script."""
    for match in _MOUNT.finditer(step.name):
        options = dict(part.partition("=")[::2] for part in match["options"].split(","))
        source = options.get("source") or options.get("src") or "."
        if options.get("type", "bind") == "bind" and "from" not in options and _may_hold(source, script):
            return True
    return False


_MOUNT = re.compile(r"--mount=(?P<options>\S+)")


def _breaker(install: BuildStep, steps: tuple[BuildStep, ...]) -> BuildStep | None:
    """The COPY or ADD that was not cached before the installation, of its own stage if there is one: what changed."""
    before = [step for step in steps[: steps.index(install)] if not step.cached and _word(step) in {"COPY", "ADD"}]
    own = [step for step in before if _stage(step) == _stage(install)]
    return next(iter(own or before), None)


def _place(step: BuildStep) -> str:
    return f"line {step.line} ({_instruction(step)})" if step.line else _instruction(step)


def _instruction(step: BuildStep) -> str:
    """What a student recognises it by."""
    return _whole(step)[:80]


def _whole(step: BuildStep) -> str:
    match = INSTRUCTION.match(step.name)
    text = f"{match['keyword'].upper()}{match['rest']}" if match else step.name
    return " ".join(text.split())


def _word(step: BuildStep) -> str:
    return _instruction(step).partition(" ")[0]


def _installs(step: BuildStep, context: CheckContext) -> bool:
    """Whether a RUN installs packages: by its own words, or by those of a script of the folder that it runs."""
    if _word(step) != "RUN":
        return False
    return any(INSTALLS.search(text) for text in (step.name, *_heredocs(step, context), *_scripts_named(step, context)))


def _heredocs(step: BuildStep, context: CheckContext) -> list[str]:
    """What a RUN executes that stands in the lines below it: the builder names only the first of them."""
    parsed = context.files.dockerfile if step.line and "<<" in step.name else None
    if not isinstance(parsed, Dockerfile):
        return []
    return [heredoc.body for one in parsed.instructions if one.first_line == step.line for heredoc in one.heredocs]


_SCRIPT_BYTES = 64 * 1024
"""How much of a script that a RUN executes is read; the longest honest ones have a tenth of it."""


def _scripts_named(step: BuildStep, context: CheckContext) -> list[str]:
    try:
        words = shlex.split(step.name)
    except ValueError:
        words = step.name.split()
    names = {PurePosixPath(word).name for word in words}
    return [
        file.content[:_SCRIPT_BYTES].decode("utf-8", "replace")
        for file in context.files.files
        if PurePosixPath(file.path).name in names and PurePosixPath(file.path).name != context.script
    ]
