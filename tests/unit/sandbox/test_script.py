"""The shell's news of failed commands, taken out of what a script printed."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.models import FailedCommand
from grader.sandbox.script import _TRACE, failed_commands

MARK = "0123456789abcdef" * 2


def news(line: int, code: int, command: str) -> bytes:
    """What the shell says of a failed command."""
    return f"{MARK} {code} {line} {command}\n".encode()


COMMANDS = st.builds(
    FailedCommand,
    st.integers(1, 999_999),
    st.integers(1, 255),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=30),
)
PRINTED = st.binary(max_size=40) | st.builds(lambda one: news(one.line, one.code, one.command).swapcase(), COMMANDS)
LINES = PRINTED.map(lambda printed: printed + b"\n")


@given(st.lists(LINES | COMMANDS, max_size=15), PRINTED)
def test_whatever_a_script_printed_comes_back_unchanged(parts: list[bytes | FailedCommand], end: bytes) -> None:
    told = [part for part in parts if isinstance(part, FailedCommand)]
    own = b"".join(part for part in parts if isinstance(part, bytes)) + end
    whole = b"".join(part if isinstance(part, bytes) else news(part.line, part.code, part.command) for part in parts)
    stderr, failed = failed_commands(whole + end, MARK)
    assert (stderr, [replace(one, printed="") for one in failed]) == (own, told)


def test_news_behind_a_line_without_an_end_is_news_all_the_same() -> None:
    """`printf 'removing … ' >&2; false`: the student is to see what was printed, never the mark."""
    printed = b"removing ... " + news(3, 1, "false") + b"done\n"
    assert failed_commands(printed, MARK) == (b"removing ... done\n", (FailedCommand(3, 1, "false", "removing ... "),))


def test_twenty_are_told_and_all_are_taken_out() -> None:
    stderr, failed = failed_commands(b"".join(news(line, 1, "false") for line in range(1, 31)), MARK)
    assert stderr == b""
    assert [one.line for one in failed] == list(range(1, 21))


SCRIPT = """\
echo out
false
if false; then echo never; fi
(exit 7) || true
printf 'unfinished\\n' >&2
sh -c 'echo "from a child" >&2; exit 4' \\
    with arguments
echo 'two
lines' | grep -q three
set -e
false
echo never
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_what_bash_says_is_understood(tmp_path: Path) -> None:
    """The other side of the same agreement: a real shell, with what it reads before a script."""
    (tmp_path / "trace").write_text(_TRACE.replace("@MARK@", MARK), encoding="ascii")
    (tmp_path / "commands.sh").write_text(SCRIPT, encoding="ascii")
    environment = {"BASH_ENV": "trace", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "commands.sh"], cwd=tmp_path, env=environment, capture_output=True, check=False)
    stderr, failed = failed_commands(done.stderr, MARK)
    assert (done.returncode, done.stdout, stderr) == (1, b"out\n", b"unfinished\nfrom a child\n")
    assert [(one.line, one.code) for one in failed] == [(2, 1), (6, 4), (9, 1), (11, 1)]
    assert failed[0].command == "false"
    assert failed[1].command.startswith("sh -c 'echo")
