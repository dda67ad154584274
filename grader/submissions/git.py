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
    head = _text(inside / "HEAD")
    if branch := re.fullmatch(r"ref: (?!.*\.\.)(refs/heads/[\w./+-]+)\n?", head):
        name = branch[1]
        packed = re.search(rf"^([0-9a-f]{{40}}) {re.escape(name)}$", _text(inside / "packed-refs"), re.MULTILINE)
        head = _text(inside / name) or (packed[1] if packed else "")
    commit, git = re.fullmatch(r"([0-9a-f]{40})\s*", head), shutil.which("git")
    if not commit or not git:
        return ""
    with tempfile.TemporaryDirectory() as made:
        (Path(made) / "refs").mkdir()
        (Path(made) / "HEAD").write_text("ref: refs/heads/none\n", encoding="utf-8")
        environment = {
            "PATH": os.defpath, "HOME": made, "GIT_CONFIG_NOSYSTEM": "1", "GIT_DIR": made,
            "GIT_OBJECT_DIRECTORY": str((inside / "objects").resolve()),
        }  # fmt: skip
        words = [git, "cat-file", "commit", commit[1]]
        try:
            done = subprocess.run(words, capture_output=True, timeout=_SECONDS, check=True, env=environment)
        except (OSError, subprocess.SubprocessError):
            return ""
    when = re.search(rb"^committer .*> (\d{1,11}) [+-]\d{4}$", done.stdout, re.MULTILINE)
    return datetime.fromtimestamp(int(when[1]), UTC).isoformat(timespec="seconds") if when else ""


def _text(path: Path) -> str:
    try:
        if path.is_symlink() or not path.is_file():
            return ""
        with path.open("rb") as file:
            return file.read(2**20).decode("ascii", "replace")
    except OSError:
        return ""
