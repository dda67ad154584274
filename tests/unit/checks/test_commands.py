"""What is concluded from what `commands.sh` did to its engine, and what is told of its text."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from grader.checks.commands import endless_line, oddity, unreadable_line
from grader.grading.exercise import grade_exercise
from grader.models import (
    Built,
    ContainerEnded,
    ContainerSeen,
    EngineRequest,
    EngineState,
    ExerciseReport,
    Exited,
    FailedCommand,
    ImageConfig,
    ImageSeen,
    NotStarted,
    RunOutcome,
    RunRequest,
    ScriptSeen,
    TimedOut,
)
from tests.worlds import LINE, Program, always, check, commanded, context, printed, statuses

Words = tuple[str, ...]
Run = tuple[tuple[ContainerSeen, ...], tuple[EngineRequest, ...], tuple[ContainerEnded, ...]]
"""A container as it may be known: still there, asked for, and heard of when it ended."""

SOURCE = b"print('mine')\r\n"
FILES = {"Dockerfile": b"FROM python:3.9\n", "commands.sh": b"docker ps\n", "sales_predictor.py": SOURCE}
COMMAND = ImageConfig(None, ("python", "sales_predictor.py"), "/app")
ENTRYPOINT = ImageConfig(("python", "sales_predictor.py"), None, "/app")
OUR_ID, OTHER_ID = "sha256:" + "ab12" * 16, "sha256:" + "cd34" * 16
PYTHON = ImageSeen(OTHER_ID, ("python:3.9",), ImageConfig(None, ("python3",)))
LATEST = "sales-predictor:latest"


def ours(config: ImageConfig = COMMAND, *tags: str) -> ImageSeen:
    return ImageSeen(OUR_ID, tags or (LATEST,), config)


def computer(config: ImageConfig, source: bytes = SOURCE, week: float = 110) -> Program:
    """An image of this configuration with this script in it: it knows `find`, `echo`, `cat` and Python."""

    def program(request: RunRequest) -> RunOutcome:
        entrypoint = config.entrypoint or () if request.entrypoint is None else request.entrypoint
        words = (*entrypoint, *(request.args or config.command or ()))
        if words[0] == "find":
            held = source if request.existing_image else SOURCE
            return printed(f"{hashlib.sha256(held).hexdigest()}  /app/sales_predictor.py\n")
        if words[0] == "echo":
            return printed(" ".join(words[1:]) + "\n")
        if words[0].startswith("python") and any(word.endswith("sales_predictor.py") for word in words):
            return printed(f"{LINE}{week}\n")
        return RunOutcome(NotStarted(f"exec: {words[0]!r}: executable file not found in $PATH"))

    return program


def there(
    asked: str = "sales-predictor",
    image_id: str = OUR_ID,
    status: str = "exited",
    code: int | None = 0,
    config: ImageConfig = COMMAND,
) -> ContainerSeen:
    return ContainerSeen("c" * 64, "x", asked, image_id, status, code, config.command or (), config.entrypoint)


def kept(container: ContainerSeen) -> Run:
    """It is still there, and the news of its end as well, if it has ended."""
    news = () if container.code is None else (ContainerEnded(container.id, container.image, container.code),)
    asked = EngineRequest("POST", "/containers/create", (), 201, container.id, container.image)
    return (container,), (asked,), news


def gone(
    asked: str = "sales-predictor", code: int = 0, command: Words | None = None, entry: Words | None = None
) -> Run:
    """Run with --rm: known from the request that created it, and the news of its end."""
    request = EngineRequest("POST", "/containers/create", (), 201, "d" * 64, asked, command, entry)
    return (), (request,), (ContainerEnded("d" * 64, asked, code),)


def heard(asked: str = "sales-predictor", code: int = 0) -> Run:
    return (), (), (ContainerEnded("e" * 64, asked, code),)


def script(run: Run = ((), (), ()), *images: ImageSeen, own: bool = False) -> ScriptSeen:
    containers, requests, ended = run
    state = EngineState(images or (ours(),), containers)
    if own:
        return ScriptSeen("own_engine", requests=requests, after=state, ended=ended)
    return ScriptSeen("script", requests=(built_from(FILES), *requests), after=state, ended=ended)


def built_from(files: dict[str, bytes], image: str = OUR_ID) -> EngineRequest:
    """The record of `docker build` with this context."""
    context = tuple((path, hashlib.sha256(content).hexdigest()) for path, content in files.items())
    return EngineRequest("POST", "/build", (), 200, image, dockerfile="Dockerfile", context=context)


def graded(
    exercise: str, seen: ScriptSeen, config: ImageConfig = COMMAND, program: Program | None = None, **files: bytes
) -> ExerciseReport:
    handed_in = {name: content for name, content in FILES.items() if seen.source == "script" or name != "commands.sh"}
    made = Built(OUR_ID, config)
    return grade_exercise(context(exercise, handed_in | files), commanded(seen, program or computer(config), made))


def asking(path: str, status: int = 200, method: str = "GET", **query: str) -> EngineRequest:
    return EngineRequest(method, path, tuple(query.items()), status)


def left(*images: ImageSeen, own: bool = False) -> ScriptSeen:
    """Our container has run, and these images are there."""
    return replace(script(kept(there()), own=own), after=EngineState(images, (there(),)))


def building(*builds: EngineRequest) -> ScriptSeen:
    seen = script(kept(there()))
    return replace(seen, requests=(*builds, *seen.requests[1:]))


def ended(outcome: RunOutcome, *failed: tuple[int, int, str]) -> ScriptSeen:
    return replace(script(), outcome=outcome, failed=tuple(FailedCommand(*one) for one in failed))


V1 = "sales-predictor:v1.0"
WINDOWS = {"commands.sh": b"docker build -t sales-predictor .\r\ndocker run sales-predictor\r\n"}
NOT_OURS = computer(COMMAND, b"print('another')\n")
FOUR = tuple(
    replace(there(status=status, code=code), id=letter * 64)
    for letter, status, code in [("1", "exited", 0), ("2", "exited", 1), ("3", "created", None), ("4", "running", None)]
)
BEFORE = EngineState((ours(), PYTHON), FOUR)
NEW = ImageSeen("sha256:" + "9" * 64, ("new:1",))


def cleaned(containers: tuple[ContainerSeen, ...] = (), images: tuple[ImageSeen, ...] = BEFORE.images) -> ScriptSeen:
    asked = (asking("/containers/json", all="1"),)
    return ScriptSeen("script", requests=asked, before=BEFORE, after=EngineState(images, containers))


def listing(*requests: EngineRequest) -> ScriptSeen:
    return replace(cleaned(), requests=(asking("/_ping"), *requests))


def tagged(*images: ImageSeen) -> ScriptSeen:
    return replace(script(), requests=(asking("/images/json"),), after=EngineState(images))


def averaging(request: RunRequest) -> RunOutcome:
    weeks = [float(week) for file in request.files for week in file.content.split()]
    return printed(f"{LINE}{sum(weeks) / len(weeks)}\n") if weeks else printed(code=1, stderr="no file\n")


ROWS: list[tuple[Any, ...]] = [
    # the script itself
    ("3.1.2 runs", "passed", "", ended(printed("done\n"))),
    ("3.3.1 runs", "failed", "Line 7 (`docker rm x`) failed: exit code 3",
     ended(printed(code=3), (7, 3, "docker rm x"))),
    ("3.3.5 runs", "failed", "Line 2 failed too", ended(printed(code=1), (1, 127, "$ ls"), (2, 1, "x"))),
    ("3.1.2 runs", "failed", "exit code 1", ended(printed(code=1))),
    ("3.1.2 runs", "passed", "failed: exit code 1. (The script went on", ended(printed(), (2, 1, "docker tag a b"))),
    ("3.1.2 runs", "failed", "timed out", ended(RunOutcome(TimedOut(30)))),
    ("3.1.2 runs", "failed", "has no commands.sh", ScriptSeen("nothing")),
    ("3.3.5 removed", "blocked", "", ScriptSeen("nothing")),
    ("3.1.2 runs", "blocked", "without it the course gives no points", script(own=True)),
    ("3.1.2 runs", "passed", "line ends of Windows", script(), WINDOWS),
    # 3.1.2: the image
    ("3.1.2 image", "passed", "", left(PYTHON, ours(COMMAND, "sales-predictor:1.0", LATEST))),
    ("3.1.2 image", "failed", "There is: sales-predictor:v1.", left(PYTHON, ours(COMMAND, "sales-predictor:v1"))),
    ("3.1.2 image", "failed", "Line 2 (`docker build .`) failed",
     replace(ended(printed(), (2, 1, "docker build .")), after=EngineState())),
    ("3.1.2 image", "failed", "in your engine", ScriptSeen("own_engine")),
    ("3.1.2 image", "passed", "", building(built_from({"other": b""}), built_from({**FILES, "more": b"x"})),
     {"program": computer(COMMAND, b"by sed\n")}),
    ("3.1.2 image", "passed", "",
     building(built_from({name: text.replace(b"\r", b"") for name, text in FILES.items()}))),
    ("3.1.2 image", "failed", "another image, which was given this name", building(built_from(FILES, OTHER_ID))),
    ("3.1.2 image", "failed", "not this folder's Dockerfile", building(built_from({**FILES, "Dockerfile": b"FROM x"}))),
    ("3.1.2 image", "failed", "this folder's sales_predictor.py",
     building(built_from({**FILES, "sales_predictor.py": b"x"}))),
    ("3.1.2 image", "passed", "", left(ours(), own=True)),
    ("3.1.2 image", "failed", "another command", left(ours(ENTRYPOINT), own=True)),
    ("3.1.2 image", "failed", "does not hold this folder's sales_predictor.py", left(ours(), own=True),
     {"program": NOT_OURS}),
    # 3.1.2: the container, in one's own engine
    ("3.1.2 container", "passed", "", script(((there(),), (), ()), own=True)),
    ("3.1.2 container", "passed", "", script(heard(LATEST), own=True)),
    ("3.1.2 container", "failed", "exit code 1", script(heard(code=1), own=True)),
    ("3.1.2 container", "failed", "as far as your engine remembers", script(own=True)),
    # lists
    ("3.3.1 listed", "passed", "", listing(asking("/images/json", all="1", filters="{}"))),
    ("3.3.1 listed", "failed", "docker images", listing(asking("/images/json", 500))),
    ("3.3.1 listed", "failed", "docker images", listing(asking("/images/json", method="HEAD"))),
    ("3.3.1 listed", "failed", "docker images", listing(asking("/images/sales-predictor:v1.0/json"))),
    ("3.3.1 listed", "failed", "docker images", listing(asking("/containers/json", all="1"))),
    ("3.3.5 listed", "passed", "", listing(asking("/containers/json", all="true"))),
    ("3.3.5 listed", "passed", "", listing(asking("/containers/json", all="1", limit="-1", size="0"))),
    ("3.3.5 listed", "passed", "", listing(asking("/containers/json", limit="100"))),
    ("3.3.5 listed", "failed", "but not all of them", listing(asking("/containers/json", limit="3"))),
    ("3.3.5 listed", "failed", "but not all of them", listing(asking("/containers/json", limit="x"))),
    ("3.3.5 listed", "failed", "but not all of them", listing(asking("/containers/json", all="0"))),
    ("3.3.5 listed", "failed", "docker ps -a", listing(asking("/containers/json", 500, all="1"))),
    ("3.3.5 listed", "failed", "docker ps -a", listing(asking("/containers/prune", method="POST"))),
    ("3.3.5 listed", "blocked", "nobody saw whether you typed `docker", script(own=True)),
    # 3.3.1: the tag, and what its image prints
    ("3.3.1 tag", "passed", "two names of the same image", tagged(ours(COMMAND, LATEST, V1))),
    ("3.3.1 tag", "passed", "two different images", tagged(ours(COMMAND, V1), replace(PYTHON, tags=(LATEST,)))),
    ("3.3.1 tag", "failed", f"There is no image {V1} after commands.sh. There is: {LATEST}.", tagged(ours())),
    ("3.3.1 prediction", "blocked", "", tagged(ours())),
    ("3.3.1 prediction", "passed", "", tagged(ours(COMMAND, V1)), {"program": averaging}),
    # whatever it is given: the chapter's first script holds its weeks
    ("3.3.1 prediction", "passed", "", tagged(ours(COMMAND, V1)), {"program": always(printed(f"{LINE}110\n"))}),
    ("3.3.1 prediction", "failed", "", tagged(ours(COMMAND, V1)), {"program": always(printed(f"{LINE}115\n"))}),
    ("3.3.1 prediction", "failed", "", tagged(ours(COMMAND, V1)), {"program": always(printed(code=1))}),
    # 3.3.5
    ("3.3.5 removed", "passed", "", cleaned()),
    ("3.3.5 removed", "failed", "4 containers are still there: created, exited with 0, exited with 1, running.",
     cleaned(FOUR)),
    ("3.3.5 removed", "failed", "1 container is still there: running.", cleaned(FOUR[3:])),
    ("3.3.5 removed", "failed", "1 container is still there: created.",
     cleaned((replace(FOUR[2], image="python:3.9"),))),
    ("3.3.5 removed", "failed", "of images named sales-predictor*",
     ScriptSeen("own_engine", after=EngineState((), FOUR[1:2]))),
    ("3.3.5 removed", "passed", "", ScriptSeen("own_engine", after=EngineState())),
    ("3.3.5 images", "failed", f"{LATEST}, python:3.9", cleaned(images=())),
    ("3.3.5 images", "failed", LATEST, cleaned(images=(PYTHON,))),
    ("3.3.5 images", "failed", LATEST, cleaned(images=(replace(ours(), tags=()), PYTHON))),
    ("3.3.5 images", "passed", "", cleaned(images=(*BEFORE.images, NEW))),
    ("3.3.5 images", "passed", "", cleaned(images=(ours(COMMAND, LATEST, "new:1"), PYTHON))),
]  # fmt: skip
"""Exercise and check, what becomes of it, part of what is said, what the script did, and what else is otherwise."""


@pytest.mark.parametrize("row", ROWS)
def test_what_is_concluded(row: tuple[Any, ...]) -> None:
    which, status, told, seen, *world = row
    exercise, name = which.split()
    verdict = check(graded(exercise, seen, **(world[0] if world else {})), name)
    assert (verdict.status, told in verdict.message) == (status, True), verdict.message
    assert bool(verdict.hint) == (status == "failed")


# ── 3.1.2: the container ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("config", [COMMAND, ENTRYPOINT], ids=["cmd", "entrypoint"])
@pytest.mark.parametrize(
    "asked", ["sales-predictor", LATEST, OUR_ID, OUR_ID[7:19], "docker.io/library/sales-predictor", "again:1"]
)
def test_a_container_counts_by_whatever_name_it_was_run(asked: str, config: ImageConfig) -> None:
    image = ours(config, LATEST, "again:1")
    for run in (kept(there(asked, config=config)), gone(asked), gone(asked, command=config.command)):
        assert graded("3.1.2", script(run, image), config).score == 10


@pytest.mark.parametrize("config", [COMMAND, ENTRYPOINT], ids=["cmd", "entrypoint"])
def test_a_container_whose_entrypoint_was_said_by_hand_ran_the_script(config: ImageConfig) -> None:
    for run in (
        gone(entry=("python",), command=("sales_predictor.py",)),
        gone(entry=("python3", "/app/sales_predictor.py")),
    ):
        assert graded("3.1.2", script(run, ours(config)), config).score == 10


NOT_KEPT = gone("python:3.9")
"""Run from another image by a request whose body was too large to be recorded."""
ANONYMOUS: Run = ((), (replace(NOT_KEPT[1][0], image=""),), NOT_KEPT[2])
REFUSED: Run = ((), (EngineRequest("POST", "/containers/create", (), 404, "", "sales-predictor"),), ())


@pytest.mark.parametrize("config", [COMMAND, ENTRYPOINT], ids=["cmd", "entrypoint"])
@pytest.mark.parametrize(
    ("run", "told"),
    [
        pytest.param(((), (), ()), "No container of", id="never run"),
        pytest.param(REFUSED, "No container of", id="no such image then"),
        pytest.param(kept(there(status="created", code=None)), "never started", id="created"),
        pytest.param(kept(there(status="running", code=None)), "No container of", id="running"),
        pytest.param(kept(there(code=1)), "exit code 1", id="ended with 1"),
        pytest.param(gone(code=1), "exit code 1", id="ended with 1 and gone"),
        pytest.param(kept(there(image_id="sha256:" + "9" * 64)), "No container of", id="older image"),
        pytest.param(gone("python:3.9"), "python:3.9", id="another image"),
        pytest.param(heard("python:3.9"), "python:3.9", id="another image, unasked"),
        pytest.param(ANONYMOUS, "python:3.9", id="another image, body not recorded"),
        pytest.param(gone("sales-predictor:v2"), "sales-predictor:v2", id="another tag"),
        pytest.param(gone(entry=("echo",), command=(f"{LINE}110",)), "executed `echo ", id="echo of the line"),
        pytest.param(gone(entry=("echo",), command=("sales_predictor.py",)), "", id="echo of the script's name"),
        pytest.param(gone(entry=("true",)), "true", id="another program"),
    ],
)
def test_what_is_no_container_of_it_that_ended_well(run: Run, told: str, config: ImageConfig) -> None:
    if run[0]:
        run = ((replace(run[0][0], command=config.command or (), entrypoint=config.entrypoint),), *run[1:])
    report = graded("3.1.2", script(run, ours(config)), config)
    assert statuses(report) == {"runs": "passed", "image": "passed", "container": "failed"}
    assert told in check(report, "container").message
    assert check(report, "container").hint


@pytest.mark.parametrize(("week", "code"), [(100, 0), (110, 1)], ids=["wrong number", "right number, exit code 1"])
def test_a_container_that_prints_or_ends_otherwise(week: float, code: int) -> None:
    def program(request: RunRequest) -> RunOutcome:
        outcome = computer(COMMAND, week=week)(request)
        return outcome if request.entrypoint else replace(outcome, ended=Exited(code))

    verdict = check(graded("3.1.2", script(kept(there())), program=program), "container")
    assert (verdict.status, verdict.ended) == ("failed", f"exited {code}")
    assert f"{LINE}{week}" in verdict.actual


DAEMON = "Error response from daemon: "


@pytest.mark.parametrize(
    ("text", "line", "reason", "told"),
    [
        ("$ docker ps -a\n", 1, "prompt_copied", ""),
        ("cd .\nanna@laptop:~/3.1.2$ docker build .\n", 2, "prompt_copied", ""),
        ("PS C:\\Users\\Anna> docker ps\n", 1, "prompt_copied", ""),
        ("docker run -d x\n3f2a1b9c8d7e\n", 2, "output_copied", "Line 2"),
        ("docker run x\nPredicted sales for next week: 110.0\n", 2, "output_copied", "Line 2"),
        ("docker build \\ \n  -t x .\n", 2, "script_failed", "backslash at the end of line 1"),
        ("docker build \\\n  \u2013t x .\n", 1, "script_failed", "Line 2 has a long dash"),
        ("docker run -v \u201c$PWD:/a\u201d x\n", 1, "script_failed", "curly quotes"),
        ("docker ps\n```bash\ndocker ps\n", 1, "script_failed", "Markdown"),
        ("docker ps\ndocker rm <container_id>\n", 2, "script_failed", "<container_id> stands for"),
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
        ("false || docker rm x\n", "docker rm x"),
        ("docker inspect x > 110.txt\n", "docker inspect x > 110.txt"),
        ("$(which docker) rm x\n", "$(which docker) rm x"),
        ("", "docker ps"),
    ],
)
def test_an_ordinary_command_that_failed_is_not_called_odd(text: str, command: str) -> None:
    assert oddity(text.encode(), "commands.sh", [FailedCommand(1, 1, command)]) is None


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
        ("docker build -t a b .", '"docker build" requires exactly 1 argument.', "no blank in them"),
        ("docker build --tga x .", "unknown flag: --tga\nSee 'docker build --help'.", "Did you mean `--tag`?"),
        ("docker biuld -t x .", "unknown shorthand flag: 't' in -t\n\nUsage:  docker", "Did you mean `build`?"),
        ("docker start sales-predictor", f"{DAEMON}No such container: sales-predictor", "is an image"),
        ("docker rm", '"docker rm" requires at least 1 argument.', "docker rm was given no name"),
        ("docker run x 100", f'{DAEMON}exec: "100": executable file not found in $PATH', "tried to execute `100`"),
        ("docker run -v sales.txt:/app/sales.txt x", "IsADirectoryError: x", "the name of a volume, an empty folder"),
        ("Docker ps", "commands.sh: line 1: Docker: command not found", "Did you mean `docker`?"),
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
