"""What is told of the text of a script that failed."""

from __future__ import annotations

import pytest

from grader.checks.script_text import near_names, oddity, unreadable_line
from grader.models import FailedCommand


@pytest.mark.parametrize(
    ("text", "line", "code", "reason", "told"),
    [
        ("$ docker ps -a\n", 1, 127, "prompt_copied", ""),
        ("cd .\nanna@laptop:~/3.1.2$ docker build .\n", 2, 127, "prompt_copied", ""),
        ("root@laptop:/# docker ps\n", 1, 127, "prompt_copied", ""),
        ("[anna@laptop work]$ docker ps\n", 1, 127, "prompt_copied", ""),
        ("(venv) $ docker ps\n", 1, 127, "prompt_copied", ""),
        ("PS C:\\Users\\Anna> docker ps\n", 1, 127, "prompt_copied", ""),
        ("C:\\work>docker ps\n", 1, 127, "prompt_copied", ""),
        ("docker build .\n => [internal] load metadata\n", 2, 127, "output_copied", "Line 2"),
        ("docker ps -a\nCONTAINER ID   IMAGE     COMMAND\n", 2, 127, "output_copied", "Line 2"),
        ("docker run -d x\n3f2a1b9c8d7e\n", 2, 127, "output_copied", "Line 2"),
        ("docker run x\nPredicted sales for next week: 110.0\n", 2, 127, "output_copied", "Line 2"),
        ("docker build \\ \n  -t x .\n", 2, 127, "script_failed", "backslash at the end of line 1"),
        ("docker build \\\t\r\n  -t x .\r\n", 1, 1, "script_failed", "backslash at the end of line 1"),
        ("docker build \\\n  \u2013t x .\n", 1, 1, "script_failed", "Line 2 has a long dash"),
        ("docker run \u2014rm x\n", 1, 125, "script_failed", "Line 1 has a long dash"),
        ("docker\u00a0ps\n", 1, 127, "script_failed", "non-breaking space"),
        ("docker run -v \u201c$PWD:/a\u201d x\n", 1, 125, "script_failed", "curly quotes"),
        ("docker ps\n```bash\ndocker ps\n", 1, 127, "script_failed", "Line 2 has ```"),
        ("docker ps\ndocker rm <container_id>\n", 2, 1, "script_failed", "<container_id> stands for"),
        ("1. docker ps\n", 1, 127, "script_failed", "begins with 1., as in a list"),
        ("- sudo docker ps\n", 1, 127, "script_failed", "begins with -, as in a list"),
        ("\ufeffdocker ps\n", 1, 127, "script_failed", "byte order mark"),
    ],
)
def test_what_came_along_with_a_command_that_failed(text: str, line: int, code: int, reason: str, told: str) -> None:
    command = text.replace("\r\n", "\n").split("\n")[line - 1]
    odd = oddity(text.encode(), "commands.sh", [FailedCommand(line, code, command)])
    assert odd
    assert odd.reason == reason
    assert told in odd.message


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("docker biuld .\n", "docker biuld ."),
        ("docker rm x  # that\u2019s the one \u2013 from before\n", "docker rm x"),
        ("docker rm -f \\\n  x\n", "docker rm -f x"),
        ("false || docker rm x\n", "docker rm x"),
        ("docker inspect x > 110.txt\n", "docker inspect x > 110.txt"),
        ("$DOCKER ps\n", "$DOCKER ps"),
        ("$(which docker) rm x\n", "$(which docker) rm x"),
        ("a@b build\n", "a@b build"),
        ("", "docker ps"),
    ],
)
def test_an_ordinary_command_that_failed_is_not_called_odd(text: str, command: str) -> None:
    assert oddity(text.encode(), "commands.sh", [FailedCommand(1, 1, command)]) is None


def test_a_file_that_no_shell_can_read_is_told_without_any_command() -> None:
    odd = oddity("docker ps\n".encode("utf-16"), "commands.sh", [])
    assert odd
    assert "UTF-16" in odd.message


def test_a_syntax_error_has_a_line_and_what_stands_there_is_looked_at() -> None:
    stderr = b"commands.sh: line 2: syntax error near unexpected token `('\n"
    assert unreadable_line("commands.sh", stderr) == 2
    assert unreadable_line("commands.sh", b"other.sh: line 2: syntax error\n") is None
    odd = oddity(b"docker build .\n[+] Building 1.2s (8/8) FINISHED\n", "commands.sh", [], unreadable=2)
    assert odd
    assert (odd.reason, odd.line) == ("output_copied", 2)


@pytest.mark.parametrize(
    ("paths", "near"),
    [
        (["commands.txt", "Dockerfile"], ["commands.txt"]),
        (["command.sh"], ["command.sh"]),
        (["Commands.sh", "commands.sh.txt", "commands (1).sh", "commands"], None),
        (["files/commands.sh"], ["files/commands.sh"]),
        (["my-commands-notes.md", "sales_predictor.py", "run.sh", "commandsh"], []),
    ],
)
def test_a_script_under_nearly_its_name(paths: list[str], near: list[str] | None) -> None:
    assert near_names(paths, "commands.sh") == (paths if near is None else near)
