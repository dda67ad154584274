"""When a clone of a repository was committed to, without running anything that a student could have put into it.

A repository's own configuration may name programs that git starts. So git is given another one, empty, and of the
clone only its objects; which commit is meant is read from the clone's files here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

_SECONDS = 10


def committed(clone: Path) -> str:
    """The time of the commit that is checked out, as ISO 8601 in UTC; empty where it cannot be told.

    It is what the machine said on which the commit was made.
    """
    inside = clone / ".git"
    commit = _commit(inside, _text(inside / "HEAD"))
    git = shutil.which("git")
    if not commit or not git:
        return ""
    with tempfile.TemporaryDirectory() as made:
        environment = {"PATH": os.defpath, "HOME": made, "GIT_CONFIG_NOSYSTEM": "1", "GIT_DIR": f"{made}/empty"}
        try:
            subprocess.run(
                [git, "init", "-q", "--bare", f"{made}/empty"], env=environment, check=True, timeout=_SECONDS,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            done = subprocess.run(
                [git, "cat-file", "commit", commit], capture_output=True, timeout=_SECONDS, check=True,
                env={**environment, "GIT_OBJECT_DIRECTORY": str((inside / "objects").resolve())},
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return ""
    when = re.search(rb"^committer .*> (\d{1,11}) [+-]\d{4}$", done.stdout, re.MULTILINE)
    return datetime.fromtimestamp(int(when[1]), UTC).isoformat(timespec="seconds") if when else ""


def _commit(inside: Path, head: str) -> str:
    """The id of the commit that HEAD names, directly or by a branch; empty if there is none."""
    if branch := re.fullmatch(r"ref: (refs/heads/[\w./+-]+)\n?", head):
        if ".." in branch[1]:
            return ""
        packed = re.search(
            rf"^([0-9a-f]{{40,64}}) {re.escape(branch[1])}$", _text(inside / "packed-refs"), re.MULTILINE
        )
        head = _text(inside / branch[1]) or (packed[1] if packed else "")
    found = re.fullmatch(r"([0-9a-f]{40}|[0-9a-f]{64})\s*", head)
    return found[1] if found else ""


def _text(path: Path) -> str:
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(2**20).decode("ascii", "replace")
    except OSError:
        return ""
