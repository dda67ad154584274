"""What is concluded from what `commands.sh` did to its engine: exercises 3.1.2, 3.3.1 and 3.3.5."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from grader.grading.exercise import grade_exercise
from grader.models import (
    BuildFailed,
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
    OutputLimit,
    RunOutcome,
    RunRequest,
    ScriptSeen,
    TimedOut,
)
from tests.worlds import LINE, Program, check, commanded, context, printed, statuses

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
    exercise: str,
    seen: ScriptSeen,
    config: ImageConfig = COMMAND,
    program: Program | None = None,
    built: Built | BuildFailed | None = None,
) -> ExerciseReport:
    files = {name: content for name, content in FILES.items() if seen.source == "script" or name != "commands.sh"}
    made = built or Built(OUR_ID, config)
    return grade_exercise(context(exercise, files), commanded(seen, program or computer(config), made))


# ── the script itself ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("outcome", "failed", "status", "told"),
    [
        (printed("done\n"), (), "passed", ""),
        (printed(code=3), (FailedCommand(7, 3, "docker rm x"),), "failed", "Line 7|docker rm x|failed: exit code 3"),
        (
            printed(code=1),
            (FailedCommand(1, 127, "$ ls"), FailedCommand(2, 1, "x")),
            "failed",
            "Line 1|Line 2 failed too",
        ),
        (printed(code=1), (), "failed", "exit code 1"),
        (printed(code=2, stderr="unexpected end of file\n"), (), "failed", "exit code 2"),
        (
            printed(),
            (FailedCommand(2, 1, "docker tag a b"),),
            "passed",
            "Line 2|docker tag a b|failed: exit code 1|went on",
        ),
        (RunOutcome(TimedOut(30)), (), "failed", "timed out"),
        (RunOutcome(OutputLimit(2**20)), (), "failed", "output limit"),
    ],
)
def test_how_the_script_ended(outcome: RunOutcome, failed: tuple[FailedCommand, ...], status: str, told: str) -> None:
    seen = replace(script(), outcome=outcome, failed=failed)
    for exercise in ("3.1.2", "3.3.1", "3.3.5"):
        verdict = check(graded(exercise, seen), "runs")
        assert (verdict.status, verdict.file) == (status, "commands.sh")
        assert verdict.line == (failed[0].line if failed and status == "failed" else None)
        assert all(words in verdict.message for words in told.split("|"))
        assert bool(verdict.hint) == (status == "failed")


@pytest.mark.parametrize("exercise", ["3.1.2", "3.3.1", "3.3.5"])
def test_without_commands_there_are_no_points(exercise: str) -> None:
    """In a batch, nobody's own engine is looked at: what no script has done is not done."""
    report = graded(exercise, ScriptSeen("nothing"))
    assert "passed" not in statuses(report).values()
    assert report.score == 0
    assert "has no commands.sh" in check(report, "runs").message


def test_the_line_ends_of_windows_are_noted() -> None:
    files = {**FILES, "commands.sh": b"docker build -t sales-predictor .\r\ndocker run sales-predictor\r\n"}
    report = grade_exercise(context("3.1.2", files), commanded(script(), computer(COMMAND), Built(OUR_ID, COMMAND)))
    assert check(report, "runs").status == "passed"
    assert "line ends of Windows" in check(report, "runs").message


# ── 3.1.2: the image ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("image", "status", "told"),
    [
        (ours(), "passed", ""),
        (ours(COMMAND, "sales-predictor:1.0", LATEST), "passed", ""),
        (ours(COMMAND, "sales-predictor:v1"), "failed", "There is: sales-predictor:v1."),
        (ours(COMMAND, "predictor:latest"), "failed", f"There is no image {LATEST}"),
    ],
)
def test_the_image_has_the_name(image: ImageSeen, status: str, told: str) -> None:
    seen = replace(script(kept(there())), after=EngineState((PYTHON, image), (there(),)))
    verdict = check(graded("3.1.2", seen), "image")
    assert verdict.status == status
    assert told in verdict.message
    assert "python:3.9" not in verdict.actual


@pytest.mark.parametrize(
    ("builds", "status", "told"),
    [
        ([built_from(FILES)], "passed", ""),
        ([built_from({"other": b""}), built_from({**FILES, "more": b"x"})], "passed", ""),
        ([built_from({name: text.replace(b"\r", b"") for name, text in FILES.items()})], "passed", ""),
        ([built_from(FILES, OTHER_ID)], "failed", "it is another image, which was given this name"),
        ([built_from({**FILES, "Dockerfile": b"FROM x"})], "failed", "is not this folder's Dockerfile"),
        ([built_from({**FILES, "sales_predictor.py": b"x"})], "failed", "not hold this folder's sales_predictor.py"),
    ],
)
def test_what_was_sent_to_be_built_tells_where_an_image_comes_from(
    builds: list[EngineRequest], status: str, told: str
) -> None:
    """Not what the image holds: a RUN may change the script after it was copied."""
    seen = script(kept(there()))
    changed = computer(COMMAND, b"changed by sed\n")
    verdict = check(graded("3.1.2", replace(seen, requests=(*builds, *seen.requests[1:])), program=changed), "image")
    assert (verdict.status, told in verdict.message) == (status, True)


@pytest.mark.parametrize(
    ("image", "program", "status", "told"),
    [
        (ours(), computer(COMMAND), "passed", ""),
        (ours(ENTRYPOINT), computer(ENTRYPOINT), "failed", "another command"),
        (ours(), computer(COMMAND, b"print('another')\n"), "failed", "does not hold this folder's sales_predictor.py"),
    ],
)
def test_in_ones_own_engine_the_image_is_compared_with_one_that_is_built_now(
    image: ImageSeen, program: Program, status: str, told: str
) -> None:
    seen = replace(script(kept(there()), own=True), after=EngineState((image,), (there(),)))
    verdict = check(graded("3.1.2", seen, COMMAND, program), "image")
    assert (verdict.status, told in verdict.message) == (status, True)


def test_a_folder_that_does_not_build_blocks_the_question_where_the_image_comes_from() -> None:
    report = graded("3.1.2", script(kept(there()), own=True), built=BuildFailed("boom"))
    assert statuses(report)["image"] == "blocked"


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
@pytest.mark.parametrize(
    "run",
    [
        gone(entry=("python",), command=("sales_predictor.py",)),
        gone(entry=("python3", "/app/sales_predictor.py")),
    ],
    ids=["script as argument", "script in entrypoint"],
)
def test_a_container_whose_entrypoint_was_said_by_hand_ran_the_script(run: Run, config: ImageConfig) -> None:
    assert graded("3.1.2", script(run, ours(config)), config).score == 10


def test_one_good_container_is_enough() -> None:
    failed, good = gone(code=1), kept(there())
    assert graded("3.1.2", script((good[0], (*failed[1], *good[1]), (*failed[2], *good[2])))).score == 10


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


@pytest.mark.parametrize(
    ("run", "status", "told"),
    [
        (kept(there()), "passed", ""),
        (((there(),), (), ()), "passed", ""),
        (heard(), "passed", ""),
        (heard(LATEST), "passed", ""),
        (heard(code=1), "failed", "exit code 1"),
        (((), (), ()), "failed", "as far as your engine remembers"),
    ],
)
def test_in_the_students_own_engine(run: Run, status: str, told: str) -> None:
    report = graded("3.1.2", script(run, own=True))
    assert statuses(report) == {"runs": "blocked", "image": "passed", "container": status}
    assert "Hand one in: without it the course gives no points" in check(report, "runs").message
    assert told in check(report, "container").message
    assert "bash" not in check(report, "container").reproduce


def test_an_image_that_is_not_there() -> None:
    assert "in your engine" in check(graded("3.1.2", ScriptSeen("own_engine")), "image").message
    failed = replace(script(gone()), after=EngineState(), requests=(), failed=(FailedCommand(2, 1, "docker build ."),))
    assert "Line 2 (`docker build .`) failed" in check(graded("3.1.2", failed), "image").message


# ── lists ───────────────────────────────────────────────────────────────────────────────


def asking(path: str, status: int = 200, method: str = "GET", **query: str) -> EngineRequest:
    return EngineRequest(method, path, tuple(query.items()), status)


@pytest.mark.parametrize(
    ("exercise", "request_", "status", "told"),
    [
        ("3.3.1", asking("/images/json"), "passed", ""),
        ("3.3.1", asking("/images/json", all="1", filters="{}"), "passed", ""),
        ("3.3.1", asking("/images/json", 500), "failed", "docker images"),
        ("3.3.1", asking("/images/json", method="HEAD"), "failed", "docker images"),
        ("3.3.1", asking("/images/sales-predictor:v1.0/json"), "failed", "docker images"),
        ("3.3.1", asking("/containers/json", all="1"), "failed", "docker images"),
        ("3.3.5", asking("/containers/json", all="1"), "passed", ""),
        ("3.3.5", asking("/containers/json", all="true"), "passed", ""),
        ("3.3.5", asking("/containers/json", all="1", limit="-1", size="0"), "passed", ""),
        ("3.3.5", asking("/containers/json", limit="100"), "passed", ""),
        ("3.3.5", asking("/containers/json", limit="3"), "failed", "listed containers, but not all"),
        ("3.3.5", asking("/containers/json", limit="x"), "failed", "listed containers, but not all"),
        ("3.3.5", asking("/containers/json"), "failed", "listed containers, but not all"),
        ("3.3.5", asking("/containers/json", all="0"), "failed", "listed containers, but not all"),
        ("3.3.5", asking("/containers/json", 500, all="1"), "failed", "docker ps -a"),
        ("3.3.5", asking("/images/json"), "failed", "docker ps -a"),
        ("3.3.5", asking("/containers/prune", method="POST"), "failed", "docker ps -a"),
    ],
)
def test_what_is_a_list(exercise: str, request_: EngineRequest, status: str, told: str) -> None:
    before = EngineState(containers=(there(), there(), there(), there()))
    seen = replace(script(), requests=(asking("/_ping"), request_), before=before)
    verdict = check(graded(exercise, seen), "listed")
    assert verdict.status == status
    assert told in verdict.message


@pytest.mark.parametrize("exercise", ["3.3.1", "3.3.5"])
def test_in_an_own_engine_nobody_saw_the_list(exercise: str) -> None:
    verdict = check(graded(exercise, script(own=True)), "listed")
    assert (verdict.status, verdict.score) == ("blocked", 0)
    assert "nobody saw whether you typed `docker" in verdict.message


# ── 3.3.1 ───────────────────────────────────────────────────────────────────────────────

V1 = "sales-predictor:v1.0"


def averaging(request: RunRequest) -> RunOutcome:
    assert request.existing_image == V1
    weeks = [float(week) for file in request.files for week in file.content.split()]
    return printed(f"{LINE}{sum(weeks) / len(weeks)}\n")


@pytest.mark.parametrize(
    ("images", "status", "told"),
    [
        ([ours(COMMAND, LATEST, V1)], "passed", "two names of the same image"),
        ([ours(COMMAND, V1), replace(PYTHON, tags=(LATEST,))], "passed", "two different images"),
        ([ours(COMMAND, V1)], "passed", ""),
        ([ours()], "failed", f"There is no image {V1} after commands.sh. There is: {LATEST}."),
        ([ours(COMMAND, "sales-predictor:1.0")], "failed", f"There is no image {V1}"),
    ],
)
def test_the_tag(images: list[ImageSeen], status: str, told: str) -> None:
    report = graded("3.3.1", tagged(images), program=averaging)
    assert check(report, "tag").status == status
    assert told in check(report, "tag").message
    assert bool(check(report, "tag").message) == bool(told)
    assert check(report, "prediction").status == ("passed" if status == "passed" else "blocked")
    assert report.score == (10 if status == "passed" else 4)


def tagged(images: list[ImageSeen]) -> ScriptSeen:
    return replace(script(), requests=(asking("/images/json"),), after=EngineState(tuple(images)))


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (printed(f"{LINE}110\n"), "passed"),  # whatever it is given: the chapter's first script holds its weeks
        (printed(f"{LINE}115\n"), "failed"),
        (printed(code=1, stderr="Traceback\nValueError: x\n"), "failed"),
    ],
)
def test_an_image_that_takes_no_weeks(outcome: RunOutcome, status: str) -> None:
    report = graded("3.3.1", tagged([ours(COMMAND, V1)]), program=lambda _: outcome)
    assert statuses(report)["prediction"] == status


# ── 3.3.5 ───────────────────────────────────────────────────────────────────────────────

FOUR = tuple(
    replace(there(status=status, code=code), id=letter * 64)
    for letter, status, code in [("1", "exited", 0), ("2", "exited", 1), ("3", "created", None), ("4", "running", None)]
)
BEFORE = EngineState((ours(), PYTHON), FOUR)


def cleaned(containers: tuple[ContainerSeen, ...] = (), images: tuple[ImageSeen, ...] = BEFORE.images) -> ScriptSeen:
    asked = (asking("/containers/json", all="1"),)
    return ScriptSeen("script", requests=asked, before=BEFORE, after=EngineState(images, containers))


def test_all_cleaned_up() -> None:
    assert graded("3.3.5", cleaned()).score == 10


@pytest.mark.parametrize(
    ("left", "told"),
    [
        (FOUR, "4 containers are still there: created, exited with 0, exited with 1, running."),
        (FOUR[3:], "1 container is still there: running."),
        (FOUR[:1], "1 container is still there: exited with 0."),
        ((replace(FOUR[2], image="python:3.9", image_id=OTHER_ID),), "1 container is still there: created."),
    ],
)
def test_containers_left(left: tuple[ContainerSeen, ...], told: str) -> None:
    report = graded("3.3.5", cleaned(left))
    assert check(report, "removed").message == told
    assert {name for name, status in statuses(report).items() if status == "failed"} == {"removed"}


@pytest.mark.parametrize(
    ("images", "lost"),
    [
        ((), [f"{LATEST}, python:3.9"]),
        ((PYTHON,), [LATEST]),
        ((replace(ours(), tags=()), PYTHON), [LATEST]),
        ((replace(ours(), id="sha256:" + "9" * 64, tags=("other:1",)), PYTHON), [LATEST]),
        ((*BEFORE.images, ImageSeen("sha256:" + "9" * 64, ("new:1",))), []),
        ((ours(COMMAND, LATEST, "new:1"), PYTHON), []),
    ],
    ids=["all gone", "ours gone", "untagged", "replaced", "one more", "one more name"],
)
def test_the_images_are_still_there(images: tuple[ImageSeen, ...], lost: list[str]) -> None:
    verdict = check(graded("3.3.5", cleaned(images=images)), "images")
    assert verdict.status == ("failed" if lost else "passed")
    assert all(name in verdict.message for name in lost)
    assert ("system prune -a" in verdict.hint) == bool(lost)


@pytest.mark.parametrize(
    ("images", "containers", "failing"),
    [
        ((ours(),), (), set()),
        ((ours(),), FOUR[1:2], {"removed"}),
        ((), (), set()),
    ],
)
def test_cleaned_up_in_an_own_engine(
    images: tuple[ImageSeen, ...], containers: tuple[ContainerSeen, ...], failing: set[str]
) -> None:
    report = graded("3.3.5", ScriptSeen("own_engine", after=EngineState(images, containers)))
    assert {name for name, status in statuses(report).items() if status == "failed"} == failing
    if "removed" in failing:
        assert "of images named sales-predictor*" in check(report, "removed").message
