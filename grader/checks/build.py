"""The check that the Dockerfile builds, and the image's own configuration."""

from __future__ import annotations

import posixpath
import re

from grader.checks.base import IMAGE_NAME, CheckContext, CheckGenerator, build, built, docker_inspect
from grader.checks.cache import INSTALLS, INSTRUCTION
from grader.course.kinds import Builds, WorkingDir
from grader.course.reasons import Reason
from grader.dockerfile.parser import dockerfile_of
from grader.models import BuildFailed, BuildStep, Finding
from grader.sanitize import TEXT_LIMIT

_REPRODUCE = f"docker build -t {IMAGE_NAME} ."
_LOG_LINES = 8


def builds(check: Builds, context: CheckContext) -> CheckGenerator[Finding]:  # noqa: ARG001 - every check has this shape
    """The folder has a Dockerfile, and the engine makes an image of it."""
    if dockerfile_of(context.files) is None:
        return _no_dockerfile(context)
    seen = yield from build()
    if isinstance(seen, BuildFailed):
        return _build_failed(seen)
    return Finding(passed=True, message=f"The image was built in {len(seen.steps)} steps.", reproduce=_REPRODUCE)


def working_dir(check: WorkingDir, context: CheckContext) -> CheckGenerator[Finding]:
    """The image's configured working directory is the one asked for."""
    image = yield from built()
    found = image.config.working_dir or "/"
    right = posixpath.normpath(found) == posixpath.normpath(check.path)
    return Finding(
        passed=right,
        reason="" if right else Reason.WORKING_DIR,
        message="" if right else f"The image's working directory is {found}, not {check.path}.",
        expected=check.path,
        actual=found,
        reproduce=docker_inspect("WorkingDir"),
        file="Dockerfile",
        line=context.line_of("WORKDIR"),
    )


def _no_dockerfile(context: CheckContext) -> Finding:
    near = next((file.path for file in context.files.files if file.path.lower().startswith("dockerfile")), None)
    if near is None:
        message = "There is no file named Dockerfile in the exercise's folder."
    else:
        message = f"There is no file named Dockerfile in the exercise's folder, but there is one named {near}."
    listing = ", ".join(file.path for file in context.files.files[:10]) or "(the folder is empty)"
    return Finding(
        passed=False,
        reason=Reason.MISNAMED_DOCKERFILE if near else Reason.NO_DOCKERFILE,
        message=message,
        expected="Dockerfile",
        actual=listing,
        reproduce=_REPRODUCE,
    )


def _build_failed(seen: BuildFailed) -> Finding:
    step = next((step for step in seen.steps if step.error), None)
    keyword, instruction = _instruction(step)
    where = f"Line {seen.line} of the Dockerfile" if seen.line else "The build"
    what = f": {keyword} {instruction}" if keyword else ""
    return Finding(
        passed=False,
        reason=_reason(seen, keyword, instruction),
        message=f"{where} {_verb(seen)}{what or '.'}",
        actual=_told_by_builder(seen, step),
        ended="" if seen.ended == "failed" else seen.ended,
        reproduce=_REPRODUCE,
        file="Dockerfile",
        line=seen.line,
    )


def _verb(seen: BuildFailed) -> str:
    if seen.ended == "timed_out":
        return f"was stopped after {seen.seconds:.0f} seconds"
    if seen.ended == "output_limit":
        return "printed more than the limit and was stopped"
    return "failed"


def _reason(seen: BuildFailed, keyword: str, instruction: str) -> Reason:
    if seen.unsupported:
        return Reason.UNSUPPORTED
    if seen.ended == "timed_out":
        return Reason.BUILD_TIMED_OUT
    if seen.ended == "output_limit":
        return Reason.BUILD_OUTPUT
    if keyword in {"COPY", "ADD"}:
        return Reason.COPY_MISSING
    if keyword == "RUN":
        return Reason.INSTALL_FAILED if INSTALLS.search(instruction) else Reason.RUN_FAILED
    return Reason.SYNTAX if seen.line and not keyword else Reason.BUILD_FAILED


def _instruction(step: BuildStep | None) -> tuple[str, str]:
    match = INSTRUCTION.match(step.name) if step else None
    if match is None:
        return "", ""
    return match["keyword"].upper(), match["rest"].strip()


def _told_by_builder(seen: BuildFailed, step: BuildStep | None) -> str:
    log = [line for line in (step.log if step else "").splitlines() if line.strip()]
    return "\n".join(log[-_LOG_LINES:]) or _NOT_IN_CONTEXT.sub(_named_in_context, seen.message[:TEXT_LIMIT])


_NOT_IN_CONTEXT = re.compile(
    r"(?:failed to (?:compute cache key|calculate checksum)\b[^\n]*?)?"
    r"failed to walk (?P<context>/\S*?/buildkit-mount\d+)\S*: "
    r"lstat (?P=context)/(?P<path>[^\n]*?): no such file or directory"
)
"""How BuildKit says that a source of COPY is not there: by a path of its own machine."""


def _named_in_context(told: re.Match[str]) -> str:
    return f'"{told["path"]}" not found in the build context'
