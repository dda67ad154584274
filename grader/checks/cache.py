"""The order of layers: does a change of the script make packages install again?

What the images hold decides, not the names of tools: whatever installs a package (pip, uv, poetry, conda, apt …) writes
a record of it. A record that is newer in the image built after a change of the script than in the one built
before was written by a second installation. Instructions are read only to say which one it was, and why it ran.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from packaging.utils import canonicalize_name

from grader.checks.base import (
    IMAGE_NAME,
    RIGHT,
    CheckContext,
    CheckGenerator,
    Evidence,
    build,
    built,
    check_kind,
    judged,
    run,
)
from grader.checks.build import BUILD_FAILED, INSTALLS, INSTRUCTION
from grader.checks.compare import lines
from grader.checks.probe import probe
from grader.checks.python_source import libraries_of
from grader.course.registry import Check, reason
from grader.dockerfile.parser import Dockerfile
from grader.errors import EngineError
from grader.models import BuildFailed, BuildRequest, BuildStep, Built, Exited, Finding, MemoryFile, RunRequest

NOTHING_INSTALLED = reason("D141", "nothing_installed", "No instruction installs packages.")
INSTALLED_AGAIN = reason(
    "D142", "installed_again", "After a change of the script alone, packages were installed again."
)

_REPRODUCE = (
    f"docker build -t {IMAGE_NAME} .\necho '# a change' >> sales_predictor.py\ndocker build -t {IMAGE_NAME} ."
    "  # then remove the added line"
)
_FINDS = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))"
_CHANCES = 3
"""Builds that may pass until one without a change runs nothing."""
_PATTERNS = ("*.dist-info/RECORD", "*.dist-info/INSTALLER", "*.egg-info", "*.egg-info/PKG-INFO", "*/conda-meta/*.json",
             "*/dpkg/info/*.list", "*/apk/db/installed")  # fmt: skip
"""Where installers keep records: Python's (PEP 376 and before), conda's, Debian's, Alpine's."""
_FIND = (
    "find", "/", "-xdev", "-type", "f", "(", *[word for pattern in _PATTERNS for word in ("-o", "-path", pattern)][1:],
    ")", "-exec", "stat", "-c", "%.9Y %n", "{}", "+",
)  # fmt: skip
"""Prints a time and a path for each: to the nanosecond, since two installations from a cache may share a second."""
_MOST_PACKAGES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedInstalls(Check):
    """After a change of the script alone, a second build installs no package again, whoever installs it."""

    kind: Literal["cached_installs"]


@check_kind(CachedInstalls)
def cached_installs(check: CachedInstalls, context: CheckContext) -> CheckGenerator[Finding]:
    """Build, change only the script, build again, and compare the records of packages in both images.

    A builder may lose what it had (BuildKit files a step twice that two builds ran side by side for the first time), so
    where no instruction explains a second installation, it has to happen twice to count.
    """
    first = yield from built()
    if not any(_seems_to_install(step) for step in first.steps):
        missing = ", ".join((yield from _missing(context)))
        if missing:
            message = "No instruction installs packages, and the image lacks some of what the script imports"
            return judged(
                (NOTHING_INSTALLED, f"{message}: {missing}."),
                expected="an instruction that installs the script's libraries, before the script is copied",
                actual="\n".join(map(_instruction, first.steps)),
                file="Dockerfile",
                reproduce=_REPRODUCE,
            )
    finding, certain = yield from _attempt(context, 1)
    if not certain:
        finding, _ = yield from _attempt(context, 2)
    return finding


def _attempt(context: CheckContext, number: int) -> CheckGenerator[tuple[Finding, bool]]:
    """What a change of the script did, and whether that is certain: nothing repeated, or an instruction explains it."""
    unchanged = yield from _steady(number)
    changed = BuildRequest(changed=context.script, attempt=number)
    again = yield from build(changed)
    if isinstance(again, BuildFailed):
        message = "After a comment was added to the script, the image does not build."
        evidence = Evidence(actual=again.message, file="Dockerfile", line=again.line, reproduce=_REPRODUCE)
        return judged((BUILD_FAILED, message), **evidence), True
    packages = yield from _installed_again(context, unchanged, changed, again)
    if not packages:
        message = "After a change of the script, no package was installed again."
        return judged(RIGHT, message, reproduce=_REPRODUCE), True
    return _finding(again.steps, packages, context.script), _cause(again.steps, context.script) is not None


# ── what is installed at all ────────────────────────────────────────────────────────────


def _missing(context: CheckContext) -> CheckGenerator[list[str]]:
    """The script's libraries, if the interpreter that runs it does not find them all, by the exit code of a run."""
    needed = libraries_of(context.files, context.script)
    if not needed:
        return []
    seen = yield from probe(context, arguments=False)
    executable = "python3" if isinstance(seen, Finding) else seen.executable
    looked = yield from run(RunRequest(entrypoint=(executable, "-c", _FINDS, *needed)))
    return [] if looked.ended == Exited(0) else list(needed)


# ── what is installed again ─────────────────────────────────────────────────────────────


def _steady(number: int) -> CheckGenerator[BuildRequest]:
    """A build without a change for which the builder had every RUN in its cache. `EngineError` if it never has."""
    for chance in range(_CHANCES):
        unchanged = BuildRequest(attempt=_CHANCES * number + chance)
        seen = yield from build(unchanged)
        if not _ran(seen.steps):
            return unchanged
    raise EngineError(
        "Not graded: the engine's builder runs instructions again also where nothing was changed, so the order of "
        "the Dockerfile cannot be judged. Is its cache full, or being cleared? See `docker system df`."
    )


def _ran(steps: Sequence[BuildStep]) -> list[BuildStep]:
    """The RUN instructions that were not cached, in the order of the file as far as lines are known."""
    ran = (step for step in steps if not step.cached and _keyword(step) == "RUN")
    return sorted(ran, key=lambda step: step.line or 0)


def _installed_again(
    context: CheckContext, unchanged: BuildRequest, changed: BuildRequest, again: Built
) -> CheckGenerator[list[str]]:
    """The packages that were installed a second time: in the image, or else in another stage that ran something.

    Such a stage is looked at by a Dockerfile that ends with it. What it installs may be the same, byte for byte, and
    then the image does not show it.
    """
    ran = _ran(again.steps)
    packages = (yield from _newer(context, unchanged, changed)) if ran else []
    for stage in dict.fromkeys(map(_stage, ran)):
        ended = _ending_with(context, stage)
        if ended and not packages:
            packages = yield from _newer(context, BuildRequest(replaced=ended), replace(changed, replaced=ended))
    return packages


def _newer(context: CheckContext, unchanged: BuildRequest, changed: BuildRequest) -> CheckGenerator[list[str]]:
    """The packages whose records were written again for the second of two images; the student's own do not count."""
    before = yield from _records(unchanged)
    after = yield from _records(changed)
    own = _own_packages(context)
    found = {_package(path) for path, written in after.items() if before.get(path) != written}
    return sorted(name for name in found if canonicalize_name(name) not in own)


def _records(request: BuildRequest) -> CheckGenerator[Mapping[str, str]]:
    """When each record of an installed package was written; nothing where no `find` can be run."""
    made = yield from build(request)
    if isinstance(made, BuildFailed):
        return {}
    outcome = yield from run(RunRequest(entrypoint=_FIND, build=request))
    found = (line.partition(" ") for line in lines(outcome.stdout))
    return {path: written for written, _, path in found if path.startswith("/")}


def _package(record: str) -> str:
    """The name of the package of a record, from the record's path."""
    *_, parent, name = record.split("/")
    if parent == "conda-meta":
        return name.rsplit("-", 2)[0]
    if name.endswith(".list"):
        return name.removesuffix(".list").partition(":")[0]
    folder = name if name.endswith(".egg-info") else parent
    return folder.removesuffix(".egg-info").partition("-")[0]


def _own_packages(context: CheckContext) -> set[str]:
    """The normalised names of packages that the folder itself is: to install these again is no waste."""
    texts = [context.files.content(name) or b"" for name in ("pyproject.toml", "setup.py", "setup.cfg")]
    names = re.findall(rb"^[ \t(]*(?:setup\()?name\s*=\s*[\"']?([\w.-]+)", b"\n".join(texts), re.MULTILINE)
    return {canonicalize_name(name.decode()) for name in names}


def _ending_with(context: CheckContext, stage: str) -> tuple[MemoryFile, ...]:
    """The Dockerfile up to the end of the stage that the builder calls `stage`; nothing for the last, or none.

    BuildKit calls the second of stages without a name `stage-1`.
    """
    parsed = context.files.dockerfile
    if not isinstance(parsed, Dockerfile):
        return ()
    names = [one.name or f"stage-{number}" for number, one in enumerate(parsed.stages)]
    if stage.lower() not in names[:-1]:
        return ()
    end = parsed.stages[names.index(stage.lower()) + 1].line
    return (MemoryFile(parsed.path, b"".join(parsed.built.splitlines(keepends=True)[: end - 1])),)


# ── which instruction, and why ──────────────────────────────────────────────────────────


def _finding(steps: Sequence[BuildStep], packages: Sequence[str], script: str) -> Finding:
    install = _install(steps)
    cause, because = _cause(steps, script) or (install, "")
    seconds = sum(step.seconds for step in _ran(steps))
    shown = ", ".join(packages[:_MOST_PACKAGES]) + (" and more" if len(packages) > _MOST_PACKAGES else "")
    in_order = sorted((step for step in steps if _keyword(step) != "FROM"), key=lambda step: step.line or 0)
    message = f"Only the script was changed, but {_place(install)} ran again and installed {shown} once more"
    return judged(
        (INSTALLED_AGAIN, f"{message}; that took {seconds:.1f} seconds in all.{because}"),
        expected="CACHED for every instruction that installs packages",
        actual="\n".join(
            f"{'CACHED' if step.cached else f'ran {step.seconds:.1f} s'}  {_instruction(step)}" for step in in_order
        ),
        file="Dockerfile",
        line=cause.line,
        reproduce=_REPRODUCE,
    )


def _install(steps: Sequence[BuildStep]) -> BuildStep:
    """Of the instructions that ran again, the one that seems to install; else the one that took longest."""
    ran = _ran(steps)
    return next(filter(_seems_to_install, ran), None) or max(ran, key=lambda step: step.seconds)


def _seems_to_install(step: BuildStep) -> bool:
    return _keyword(step) == "RUN" and INSTALLS.search(step.name) is not None


def _cause(steps: Sequence[BuildStep], script: str) -> tuple[BuildStep, str] | None:
    """What brought the script before the installation, and a sentence about it: a COPY or ADD, or the RUN's own mount.

    None where neither is seen; then the builder may have lost what it had.
    """
    install = _install(steps)
    copied = [step for step in steps[: steps.index(install)] if not step.cached and _keyword(step) in {"COPY", "ADD"}]
    for step in [one for one in copied if _stage(one) == _stage(install)] or copied:
        words = _whole(step).split()[1:-1]
        other_stage = any(word.startswith("--from") for word in words)
        if other_stage or any(_may_hold(word, script) for word in words if not word.startswith("--")):
            how = "was made again too" if other_stage else "takes the script along"
            place = _place(step)
            return step, f" {place[:1].upper()}{place[1:]} {how}, and it comes before the installation."
    for mount in re.findall(r"--mount=(?!\S*\b(?:type=(?!bind)|from=))(\S+)", install.name):
        source = re.search(r"\b(?:source|src)=([^,]+)", mount)
        if _may_hold(source[1] if source else ".", script):
            return install, " It mounts the folder, and the script with it."
    return None


def _may_hold(source: str, script: str) -> bool:
    """Whether a source of a COPY may hold the script: all but the plain names of other files."""
    name = PurePosixPath(source).name
    return script in name or "." not in name or any(sign in source for sign in "*?[$")


def _stage(step: BuildStep) -> str:
    """`builder` of `[builder  2/13] RUN …`; "" where the builder names none."""
    match = re.match(r"\[(?P<stage>\S*?)\s*\d+/\d+\]", step.name)
    return match["stage"] if match else ""


def _place(step: BuildStep) -> str:
    return f"line {step.line} ({_instruction(step)})" if step.line else _instruction(step)


def _instruction(step: BuildStep) -> str:
    """What a student recognises it by."""
    return _whole(step)[:80]


def _whole(step: BuildStep) -> str:
    match = INSTRUCTION.match(step.name)
    text = f"{match['keyword'].upper()}{match['rest']}" if match else step.name
    return " ".join(text.split())


def _keyword(step: BuildStep) -> str:
    return _whole(step).partition(" ")[0]
