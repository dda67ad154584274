"""The check that the Dockerfile builds, and the image's own configuration."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import Literal

from grader.checks.base import (
    IMAGE_NAME,
    RIGHT,
    CheckContext,
    CheckGenerator,
    build,
    built,
    check_kind,
    docker_inspect,
    judged,
)
from grader.course.registry import AbsolutePath, Check, reason
from grader.models import BuildFailed, BuildStep, Finding
from grader.sanitize import TEXT_LIMIT

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


INSTALLS = re.compile(
    r"(?:\b|(?<=-m))(?:pip3?|pipx|poetry|uv|conda|mamba|apt-get|apt|apk|yum|dnf)\b"
    r"[^&|;\n]{0,500}?\b(?:install|sync|add|update)\b"
    r"|\$\{?\w+\}?\s+install\b"  # a variable that holds the installer's name
    r"|\bsetup\.py\s+install\b|\bget-pip\b|\bensurepip\b"
)
INSTRUCTION = re.compile(r"(?:\[[^\]]*\]\s*|Step \d+/\d+ : )?(?P<keyword>[A-Za-z]+)\b(?P<rest>.*)", re.DOTALL)
_REPRODUCE = f"docker build -t {IMAGE_NAME} ."
_LOG_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Builds(Check):
    """The Dockerfile builds."""

    kind: Literal["builds"]


@check_kind(Builds)
def builds(check: Builds, context: CheckContext) -> CheckGenerator[Finding]:
    """The folder has a Dockerfile, and the engine makes an image of it."""
    if context.files.dockerfile is None:
        return _no_dockerfile(context)
    seen = yield from build()
    if isinstance(seen, BuildFailed):
        return _build_failed(seen)
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


def _no_dockerfile(context: CheckContext) -> Finding:
    near = next((file.path for file in context.files.files if file.path.lower().startswith("dockerfile")), None)
    message = "There is no file named Dockerfile in the exercise's folder"
    return judged(
        (MISNAMED_DOCKERFILE, f"{message}, but there is one named {near}.") if near else (NO_DOCKERFILE, f"{message}."),
        expected="Dockerfile",
        actual=", ".join(file.path for file in context.files.files[:10]) or "(the folder is empty)",
        reproduce=_REPRODUCE,
    )


def _build_failed(seen: BuildFailed) -> Finding:
    step = next((step for step in seen.steps if step.error), None)
    match = INSTRUCTION.match(step.name) if step else None
    keyword, instruction = (match["keyword"].upper(), match["rest"].strip()) if match else ("", "")
    where = f"Line {seen.line} of the Dockerfile" if seen.line else "The build"
    what = {
        "timed_out": f"was stopped after {seen.seconds:.0f} seconds",
        "output_limit": "printed more than the limit and was stopped",
        "failed": "failed",
    }[seen.ended]
    return judged(
        (_reason(seen, keyword, instruction), f"{where} {what}" + (f": {keyword} {instruction}" if keyword else ".")),
        actual=_last_lines(seen, step),
        ended="" if seen.ended == "failed" else seen.ended,
        reproduce=_REPRODUCE,
        file="Dockerfile",
        line=seen.line,
    )


def _reason(seen: BuildFailed, keyword: str, instruction: str) -> str:
    if seen.unsupported:
        return UNSUPPORTED
    if seen.ended != "failed":
        return BUILD_TIMED_OUT if seen.ended == "timed_out" else BUILD_OUTPUT
    if keyword in {"COPY", "ADD"}:
        return COPY_MISSING
    if keyword == "RUN":
        return INSTALL_FAILED if INSTALLS.search(instruction) else RUN_FAILED
    return SYNTAX if seen.line and not keyword else BUILD_FAILED


def _last_lines(seen: BuildFailed, step: BuildStep | None) -> str:
    """The end of what the step that failed has printed, else the builder's own error."""
    log = [line for line in (step.log if step else "").splitlines() if line.strip()]
    return "\n".join(log[-_LOG_LINES:]) or seen.message[:TEXT_LIMIT]
