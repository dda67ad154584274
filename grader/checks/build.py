"""The check that the Dockerfile builds, and the image's own configuration."""

from __future__ import annotations

import posixpath
import re
import sys
from dataclasses import dataclass
from typing import Literal

from grader.checks.base import (
    IMAGE_NAME,
    RIGHT,
    CheckContext,
    CheckGenerator,
    Problem,
    build,
    built,
    check_kind,
    docker_inspect,
    judged,
)
from grader.checks.causes import Cause, cause_in
from grader.course.registry import AbsolutePath, Check, reason
from grader.dockerfile import dockerignore
from grader.dockerfile.explain import list_problem, missing_source, missing_words, nearest, source_problem
from grader.dockerfile.image_names import normalised, split_reference
from grader.dockerfile.parser import Dockerfile, Instruction, Unparsable
from grader.models import BuildFailed, BuildStep, Finding
from grader.sanitize import TEXT_LIMIT
from grader.submissions.models import ExerciseFiles

NO_DOCKERFILE = reason("D101", "no_dockerfile", "The folder has no file named `Dockerfile`.")
MISNAMED_DOCKERFILE = reason(
    "D102", "misnamed_dockerfile", "It has one under nearly that name (`Dockerfile.txt`, `dockerfile`)."
)
SYNTAX = reason("D103", "syntax", "The Dockerfile does not parse.")
COPY_MISSING = reason("D105", "copy_missing", "A COPY or ADD names what is not in the build context.")
RUN_FAILED = reason("D106", "run_failed", "A RUN instruction ended with an error.")
INSTALL_FAILED = reason("D107", "install_failed", "A RUN instruction that installs packages ended with an error.")
BUILD_FAILED = reason("D108", "build_failed", "The build failed in another way.")
BUILD_TIMED_OUT = reason("D109", "build_timed_out", "The build took longer than its limit.")
BUILD_OUTPUT = reason("D110", "build_output", "The build printed more than its limit.")
UNSUPPORTED = reason("D111", "unsupported", "The engine's own builder does not know a feature.")
WORKING_DIR = reason("D112", "working_dir", "The image's working directory is another.")
WRONG_BASE = reason("D130", "wrong_base", "FROM names an image that is not among those of the course.")
# Given by the table in causes.yaml.
reason("D113", "asks_back", "A command in the build waits for an answer that nobody can give.")
reason("D114", "no_package_lists", "apt-get installs before apt-get update has fetched its lists.")
reason("D115", "unknown_package", "No package has the name that is to be installed.")
reason("D116", "unfit_version", "That version of a package does not exist for this Python.")
reason("D117", "needs_compiler", "A package has to be compiled, and the image has no compiler.")
reason("D118", "unknown_command", "A RUN names a program that the image does not have.")
reason("D119", "runs_script", "A RUN starts the script, which is for CMD or ENTRYPOINT to do.")
reason("D129", "not_copied_yet", "A RUN needs a file that no COPY before it brings in.")

INSTALLS = re.compile(
    r"(?:\b|(?<=-m))(?:pip3?|pipx|poetry|uv|conda|mamba|apt-get|apt|apk|yum|dnf)\b"
    r"[^&|;\n]{0,500}?\b(?:install|sync|add|update)\b"
    r"|\$\{?\w+\}?\s+install\b"  # a variable that holds the installer's name
    r"|\bsetup\.py\s+install\b|\bget-pip\b|\bensurepip\b"
)
INSTRUCTION = re.compile(r"(?:\[[^\]]*\]\s*|Step \d+/\d+ : )?(?P<keyword>[A-Za-z]+)\b(?P<rest>.*)", re.DOTALL)
_REPRODUCE = f"docker build -t {IMAGE_NAME} ."
_LOG_LINES = 8
_LONGEST = 240
"""Characters of a line that are shown."""
_MISSING = re.compile(
    r"exec: \\?\"(?P<name>[^\"\\]+)\\?\": (?:executable file not found|stat )"
    r"|^\S*sh: (?:\d+: |line \d+: )?(?P<other>[^:\n]+?): (?:command )?not found",
    re.MULTILINE,
)
"""How Docker and the shells say that there is no such program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds(Check):
    """The Dockerfile builds."""

    kind: Literal["builds"]


@check_kind(Builds)
def builds(check: Builds, context: CheckContext) -> CheckGenerator[Finding]:
    """The folder has a Dockerfile, and the engine makes an image of it."""
    if problem := before_build(context):
        return problem
    seen = yield from build()
    if isinstance(seen, BuildFailed):
        return _build_failed(seen, context)
    return Finding(passed=True, message=f"The image was built in {len(seen.steps)} steps.", reproduce=_REPRODUCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingDir(Check):
    """The image's working directory."""

    kind: Literal["working_dir"]
    path: AbsolutePath
    """Absolute path."""


@check_kind(WorkingDir)
def working_dir(check: WorkingDir, context: CheckContext) -> CheckGenerator[Finding]:
    """The image's configured working directory is the one asked for."""
    image = yield from built()
    found = image.config.working_dir or "/"
    right = posixpath.normpath(found) == posixpath.normpath(check.path)
    return judged(
        RIGHT if right else (WORKING_DIR, f"The image's working directory is {found}, not {check.path}."),
        expected=check.path,
        actual=found,
        reproduce=docker_inspect("WorkingDir"),
        file="Dockerfile",
        line=context.line_of("WORKDIR"),
    )


def before_build(context: CheckContext) -> Finding | None:
    """Why the image cannot be built, as far as the files alone show for certain; None if they do not."""
    dockerfile = context.files.dockerfile
    if dockerfile is None:
        return _no_dockerfile(context)
    if isinstance(dockerfile, Unparsable):
        return _at_line((SYNTAX, dockerfile.message), dockerfile.line)
    if base := context.wrong_base:
        return _at_line((WRONG_BASE, base_problem(context)), base.line)
    if lacking := missing_words(dockerfile):
        return _at_line((SYNTAX, lacking[1]), lacking[0])
    missing = missing_source(
        dockerfile, [file.path for file in context.files.files], ignored_paths(context.files) - {dockerfile.path}
    )
    return _at_line((COPY_MISSING, missing[1]), missing[0]) if missing else None


def _at_line(problem: Problem, line: int | None) -> Finding:
    return judged(problem, reproduce=_REPRODUCE, file="Dockerfile", line=line)


def base_problem(context: CheckContext) -> str:
    """What to tell of a FROM with an image that is not allowed: what it means, and what to write."""
    from grader.checks.probe import PythonVersion  # here, as kinds are listed in the order in which they are imported

    base, course = context.wrong_base, context.course
    if base is None:
        return ""
    asked = [check.version for check in context.exercise.checks if isinstance(check, PythonVersion)]
    images = [image for image in course.images if image.python in asked] or list(course.images)
    names = [name for image in images for name in image.names if "*" not in name]
    meant = normalised(base.image)
    near = nearest(meant, names, 0.8)
    write = f"write FROM {near or names[0]}"
    wants = f"This exercise needs Python {asked[0]}: {write}" if asked else f"Allowed here: {', '.join(names[:4])}."
    name, tag = split_reference(meant)
    known = name in {split_reference(one)[0] for one in names}
    if known and tag == "latest":
        return f"`{base.written}` is the newest Python there is, and not the same every month. {wants}"
    if near and not known:
        return f"There is no image `{base.written}` here. Did you mean {near}?"
    return f"`{base.written}` is not among the images of this course{'' if known else ', or brings no Python'}. {wants}"


def _no_dockerfile(context: CheckContext) -> Finding:
    paths = [file.path for file in context.files.files]
    near = next((path for path in paths if _looks_like_one(path)), "")
    message = "There is no file named Dockerfile in the exercise's folder"
    what = "Move it up, beside the script" if near.endswith("/Dockerfile") else "Rename it: Dockerfile, with no ending"
    instead = f"{message}, but there is {near}. {what}."
    return judged(
        (MISNAMED_DOCKERFILE, instead) if near else (NO_DOCKERFILE, f"{message}."),
        expected="Dockerfile",
        actual=context.there,
        reproduce=_REPRODUCE,
    )


def _looks_like_one(path: str) -> bool:
    """Whether a file is a Dockerfile under another name, or in a folder."""
    name = re.sub(r"[^a-z]", "", path.rpartition("/")[2].lower())
    return name != "dockerignore" and (name.startswith("dockerfile") or nearest(name, ["dockerfile"], 0.85) != "")


def _build_failed(seen: BuildFailed, context: CheckContext) -> Finding:
    step = next((step for step in seen.steps if step.error), None)
    match = INSTRUCTION.match(step.name) if step else None
    keyword, command = (match["keyword"].upper(), match["rest"].strip()) if match else ("", "")
    where = f"Line {seen.line} of the Dockerfile" if seen.line else "The build"
    what = {
        "timed_out": f"was stopped after {seen.seconds:.0f} seconds",
        "output_limit": "printed more than the limit and was stopped",
        "failed": "failed",
    }[seen.ended]
    known = _cause(seen, step, keyword, command, context) if step else None
    cause = known or Cause(_reason(seen, keyword, command), f"{keyword} {command}".strip())
    log = [line.strip() for line in (step.log if step else "").splitlines() if line.strip()]
    telling = [line for line in log if cause.seen and cause.seen.strip().split("\n")[0] in line]
    return judged(
        (cause.reason, f"{where} {what}: {cause.message}" if cause.message else f"{where} {what}."),
        actual="\n".join(line[:_LONGEST] for line in telling[:1] or log[-_LOG_LINES:]) or seen.message[:TEXT_LIMIT],
        ended="" if seen.ended == "failed" else seen.ended,
        reproduce=_REPRODUCE,
        file="Dockerfile",
        line=seen.line,
    )


def _reason(seen: BuildFailed, keyword: str, command: str) -> str:
    """The reason where no cause is known."""
    if seen.unsupported:
        return UNSUPPORTED
    if seen.ended != "failed":
        return BUILD_TIMED_OUT if seen.ended == "timed_out" else BUILD_OUTPUT
    if keyword == "RUN":
        return INSTALL_FAILED if INSTALLS.search(command) else RUN_FAILED
    if keyword in {"COPY", "ADD"}:
        return COPY_MISSING
    return SYNTAX if seen.line and not keyword else BUILD_FAILED


def _cause(seen: BuildFailed, step: BuildStep, keyword: str, command: str, context: CheckContext) -> Cause | None:
    """What is known of the cause: from the folder's files for COPY, from what was printed for RUN."""
    parsed = context.files.dockerfile
    instructions = parsed.instructions if isinstance(parsed, Dockerfile) else ()
    own = next((one for one in instructions if one.first_line == seen.line), None)
    if own and keyword in {"COPY", "ADD"} and not seen.unsupported:
        problem = _copy_problem(own, context.files)
        return Cause(COPY_MISSING, problem) if problem else None
    if keyword != "RUN" or seen.unsupported or seen.ended != "failed":
        return None
    log = f"{step.log}\n{step.error}\n{seen.message}"
    before = [one for one in instructions if own and one.stage == own.stage and one.first_line <= own.first_line]
    python = parsed.stages[own.stage].image if own and isinstance(parsed, Dockerfile) else ""
    missing = _MISSING.search(log)
    return cause_in(
        "build",
        RUN_FAILED,
        log=log,
        run=command,
        before="\n".join(f"{one.keyword} {one.value}" for one in before) or command,
        missing=(missing["name"] or missing["other"]).strip("\"',:[").rpartition("/")[2] if missing else "",
        list=list_problem(own) if own else "",
        files="\n".join(posixpath.basename(file.path) for file in context.files.files),
        stdlib="\n".join(sys.stdlib_module_names),
        python=found[1] if (found := re.search(r"\bpython:(\d+\.\d+)", python)) else "older",
        script=context.script,
    )


def _copy_problem(instruction: Instruction, files: ExerciseFiles) -> str:
    """Why a COPY or ADD that failed did, as far as the folder shows it."""
    if any(flag.name == "from" for flag in instruction.flags):
        return ""
    paths = [file.path for file in files.files]
    ignored = ignored_paths(files)
    for source in instruction.arguments[:-1]:
        if problem := source_problem(source, paths, ignored):
            return problem
    if len(instruction.arguments) > 2 and not instruction.arguments[-1].endswith(("/", ".")):  # noqa: PLR2004 - sources and a target
        return f"Several files can only be copied into a folder: end {instruction.arguments[-1]} with a /."
    return ""


def ignored_paths(files: ExerciseFiles) -> frozenset[str]:
    """The files that `.dockerignore` leaves out; none if it cannot be read."""
    ignore = files.ignore_file
    ignored = dockerignore.excluded(ignore.content, [file.path for file in files.files]) if ignore else frozenset()
    return frozenset() if isinstance(ignored, dockerignore.BadPattern) else ignored
