"""Running a submission's script of docker commands in its workspace, and seeing what it does to the nested engine."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from grader.course.models import BaseImage
from grader.dockerfile.image_names import is_allowed, normalised
from grader.dockerfile.policy import judge_dockerfile
from grader.engine.http import Connection
from grader.models import FailedCommand, RunOutcome
from grader.sandbox.engine_state import PREPARED_IMAGE
from grader.sandbox.workspace import Workspace
from grader.submissions.models import ExerciseFiles

# ── the script ──────────────────────────────────────────────────────────────────────────

_TRACE = """\
unset BASH_ENV
trap 'printf "@MARK@ %d %d %s\\n" "$?" "$LINENO" "${BASH_COMMAND%%$'"'\\n'"'*}" >&2' ERR
"""
"""What bash reads before a script: to say each command that fails. For feedback only, since a script can undo it."""
_FAILURES_KEPT = 20
_PRINTED_KEPT = 8000
"""Bytes of what a failed command printed."""


def run_script(workspace: Workspace, name: str, seconds: float) -> tuple[RunOutcome, tuple[FailedCommand, ...]]:
    """Run a shell script of the workspace, and learn from the shell which of its commands failed, the first 20."""
    mark = secrets.token_hex(16)
    outcome = workspace.run(("bash", name), seconds, preamble=_TRACE.replace("@MARK@", mark))
    stderr, failed = failed_commands(outcome.stderr, mark)
    return replace(outcome, stderr=stderr), failed


def failed_commands(stderr: bytes, mark: str) -> tuple[bytes, tuple[FailedCommand, ...]]:
    """Take the shell's news of failed commands out of what a script printed. Pure."""
    news = re.compile(rb"%b (\d{1,3}) (\d{1,6}) (.*)\n" % mark.encode())
    printed, *found = news.split(stderr)
    failed: list[FailedCommand] = []
    for code, line, command, after in zip(*(iter(found),) * 4, strict=True):
        words = (part.decode("utf-8", "replace") for part in (command, printed[-_PRINTED_KEPT:]))
        failed.append(FailedCommand(int(line), int(code), *words))
        printed = after
    return news.sub(b"", stderr), tuple(failed[:_FAILURES_KEPT])


# ── what it needs ───────────────────────────────────────────────────────────────────────

_WORD = re.compile(rb"""[^\s"'`;&|()<>$=]{1,200}:[A-Za-z0-9_.-]{1,128}(?=[\s"'`;&|()<>]|$)""")
_IMAGES_NAMED = 3


def bases_in(files: ExerciseFiles, images: Sequence[BaseImage]) -> tuple[str, ...]:
    """The base images that the folder's Dockerfiles need, whatever these are called."""
    dockerfiles = [file.path for file in files.files if "dockerfile" in PurePosixPath(file.path).name.lower()]
    allowed = [name for image in images for name in image.names]
    found = [judge_dockerfile(files.parsed(path), allowed) for path in dockerfiles]
    return tuple(dict.fromkeys(base for one in found for base in one.bases))


def images_named(script: bytes, images: Sequence[BaseImage]) -> tuple[str, ...]:
    """What a script may mean to run or pull without a Dockerfile: words that name base images of the course.

    Only the first few, since each may have to be made: nobody works with more.
    """
    allowed = tuple(name for image in images for name in image.names)
    words = dict.fromkeys(word.decode("ascii", "replace") for word in _WORD.findall(script))
    return tuple(normalised(word) for word in words if is_allowed(word, allowed))[:_IMAGES_NAMED]


# ── what is there before it ─────────────────────────────────────────────────────────────


def prepare_containers(engine: Connection, base: str) -> tuple[str, ...]:
    """Make an image and four containers of it: ended well, ended with an error, never started, running; their ids."""
    command = json.dumps(["python3", "-c", "print('Predicted sales for next week: 110.0')"])
    first = _create(engine, base, ["true"])
    repository = {"container": first, "repo": PREPARED_IMAGE, "tag": "latest", "changes": f"CMD {command}"}
    engine.call("POST", "/commit", parameters=repository, json={})
    engine.call("DELETE", f"/containers/{first}", parameters={"force": 1})
    good, bad, created, running = (
        _create(engine, PREPARED_IMAGE, command) for command in ([], ["false"], [], ["sleep", "100000"])
    )
    for container in (good, bad):
        waiting = engine.stream(
            "POST", f"/containers/{container}/wait", parameters={"condition": "next-exit"}, silence=60
        )
        engine.call("POST", f"/containers/{container}/start")
        list(waiting)
        waiting.close()
    engine.call("POST", f"/containers/{running}/start")
    return good, bad, created, running


def _create(engine: Connection, image: str, command: list[str]) -> str:
    # Stopped at once: `sleep` as first process does not heed the signal that `docker stop` sends first.
    # Without a network that has to be set up they start in half the time.
    alone = {"NetworkDisabled": True, "HostConfig": {"NetworkMode": "none"}}
    body: dict[str, Any] = {"Image": image, "StopSignal": "SIGKILL", **alone}
    if command:
        body["Cmd"] = command
    return str(engine.call("POST", "/containers/create", json=body).json["Id"])
