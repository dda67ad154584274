"""What is told of the text of a script that failed, and of what docker printed: a row for each kind of mistake."""

from __future__ import annotations

import pytest

from grader.checks.commands import endless_line, oddity, said, unreadable_line
from grader.models import FailedCommand

DAEMON = "Error response from daemon: "


@pytest.mark.parametrize(
    ("text", "line", "reason", "told"),
    [
        ("$ docker ps -a\n", 1, "prompt_copied", ""),
        ("cd .\nanna@laptop:~/3.1.2$ docker build .\n", 2, "prompt_copied", ""),
        ("(venv) $ docker ps\n", 1, "prompt_copied", ""),
        ("PS C:\\Users\\Anna> docker ps\n", 1, "prompt_copied", ""),
        ("docker build .\n => [internal] load metadata\n", 2, "output_copied", "Line 2"),
        ("docker run -d x\n3f2a1b9c8d7e\n", 2, "output_copied", "Line 2"),
        ("docker run x\nPredicted sales for next week: 110.0\n", 2, "output_copied", "Line 2"),
        ("docker build \\ \n  -t x .\n", 2, "script_failed", "backslash at the end of line 1"),
        ("docker build \\\n  \u2013t x .\n", 1, "script_failed", "Line 2 has a long dash"),
        ("docker\u00a0ps\n", 1, "script_failed", "non-breaking space"),
        ("docker run -v \u201c$PWD:/a\u201d x\n", 1, "script_failed", "curly quotes"),
        ("docker ps\n```bash\ndocker ps\n", 1, "script_failed", "Markdown"),
        ("docker ps\ndocker rm <container_id>\n", 2, "script_failed", "<container_id> stands for"),
        ("- sudo docker ps\n", 1, "script_failed", "begins with -, as in a list"),
        ("\ufeffdocker ps\n", 1, "script_failed", "byte order mark"),
    ],
)
def test_what_came_along_with_a_command_that_failed(text: str, line: int, reason: str, told: str) -> None:
    odd = oddity(text.encode(), "commands.sh", [FailedCommand(line, 127, text.split("\n")[line - 1])])
    assert odd
    assert odd.reason == reason
    assert told in odd.message


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("docker rm x  # that\u2019s the one \u2013 from before\n", "docker rm x"),
        ("docker rm -f \\\n  x\n", "docker rm -f x"),
        ("false || docker rm x\n", "docker rm x"),
        ("docker inspect x > 110.txt\n", "docker inspect x > 110.txt"),
        ("$DOCKER ps\n", "$DOCKER ps"),
        ("$(which docker) rm x\n", "$(which docker) rm x"),
        ("", "docker ps"),
    ],
)
def test_an_ordinary_command_that_failed_is_not_called_odd(text: str, command: str) -> None:
    assert oddity(text.encode(), "commands.sh", [FailedCommand(1, 1, command)]) is None


def test_a_file_that_no_shell_can_read_is_told_without_any_command() -> None:
    odd = oddity("docker ps\n".encode("utf-16"), "commands.sh", [])
    assert odd
    assert "UTF-16" in odd.message


@pytest.mark.parametrize(
    ("text", "said", "line", "told"),
    [
        ("docker build .\n[+] Building 1.2s\n", "line 2: syntax error near unexpected token `('", 2, "Line 2 looks"),
        ('docker ps\necho "x\n', "line 2: unexpected EOF while looking for matching `\"'", 2, 'is missing, "'),
        ("docker ps |\n", "line 2: syntax error: unexpected end of file", 1, "the rest of it is missing"),
    ],
)
def test_a_syntax_error_has_a_line(text: str, said: str, line: int, told: str) -> None:
    odd = oddity(
        text.encode(),
        "commands.sh",
        unreadable_line(text.encode(), "commands.sh", b"commands.sh: %b\n" % said.encode()),
    )
    assert odd
    assert (odd.line, told in odd.message) == (line, True)
    assert unreadable_line(text.encode(), "commands.sh", f"other.sh: {said}\n".encode()) == ()


@pytest.mark.parametrize(
    ("command", "printed", "told"),
    [
        ("docker build -t x", '"docker build" requires exactly 1 argument.\n\nUsage:  docker build', "a dot stands"),
        ("docker build -t a b .", '"docker build" requires exactly 1 argument.', "no blank in them"),
        ("docker build -tag x .", '"docker build" requires exactly 1 argument.', "two hyphens, --tag"),
        ("docker build --tga x .", "unknown flag: --tga\nSee 'docker build --help'.", "Did you mean --tag?"),
        ("docker biuld -t x .", "unknown shorthand flag: 't' in -t\n\nUsage:  docker", "Did you mean build?"),
        ("docker run x", "Unable to find image 'x:latest' locally\ndocker: there is none", "built before this line"),
        ("docker rm web", f"{DAEMON}No such container: web", "no container `web` here"),
        ("docker start sales-predictor", f"{DAEMON}No such container: sales-predictor", "is an image"),
        ("docker rm", '"docker rm" requires at least 1 argument.', "docker rm was given no name"),
        ("docker run x --rm", f'{DAEMON}exec: "--rm": executable file not found in $PATH', "before the image's name"),
        ("docker run x 100", f'{DAEMON}exec: "100": executable file not found in $PATH', "tried to execute `100`"),
        ("docker run -v sales.txt:/app/sales.txt x", "IsADirectoryError: x", "the name of a volume, an empty folder"),
        ("docker run -v $PWD/x:/app/s x", "IsADirectoryError: [Errno 21] Is a directory: '/app/s'", "at `/app/s` is a"),
        ("cd work", "commands.sh: line 1: cd: work: No such file or directory", "no cd is needed"),
        ("Docker ps", "commands.sh: line 1: Docker: command not found", "Did you mean docker?"),
        ("docker rm $(docker ps -a)", f"{DAEMON}No such container: CONTAINER", "with -q"),
        ("ForEach-Object { docker rm $_ }", "ForEach-Object: command not found", "`ForEach-Object` belongs to Power"),
    ],
)  # fmt: skip
def test_what_docker_says_is_explained(command: str, printed: str, told: str) -> None:
    odd = oddity(command.encode(), "commands.sh", [FailedCommand(1, 1, command, printed)])
    assert odd
    assert told in odd.message


@pytest.mark.parametrize("part", ["docker logs ", "$(docker ps ", "docker x build ", "\\ ", "-v a", "<a "])
def test_a_line_of_a_megabyte_takes_no_time(part: str) -> None:
    line = part * (1_000_000 // len(part))
    assert endless_line(line.encode()) is None
    oddity(line.encode(), "commands.sh", [FailedCommand(1, 1, line, line[:8000])])


@pytest.mark.parametrize(
    ("command", "endless"),
    [
        ("docker logs -f web", True), ("docker stats", True), ("docker stats --no-stream", False), ("sleep 1", False),
        ("docker run -it x bash", True), ("while true; do", True), ("docker logs web", False), ("# read this", False),
        ("docker compose up", True), ("docker compose up -d", False), ("docker build -t spread .", False),
    ],
)  # fmt: skip
def test_a_command_that_does_not_end_by_itself(command: str, endless: bool) -> None:
    assert bool(endless_line(f"docker ps\n{command}\n".encode())) == endless


def test_what_is_not_known_is_told_as_docker_says_it() -> None:
    printed = f"error: early\nSuccessfully built 12\ndocker: {DAEMON}no space left.\nSee 'docker run --help'.\n"
    assert said(FailedCommand(1, 1, "docker x", printed)) == "no space left."
    assert said(FailedCommand(1, 1, "docker x")) == ""
