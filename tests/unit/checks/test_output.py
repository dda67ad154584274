"""What is concluded from runs: the prediction, other output, exit codes, files, and arguments that do not arrive."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from grader.checks.output import OutputMatches
from grader.grading.exercise import grade_exercise
from grader.models import (
    Built,
    CheckStatus,
    FolderMount,
    ImageConfig,
    MemoryFile,
    NotStarted,
    OutOfMemory,
    OutputLimit,
    RunOutcome,
    RunRequest,
    TimedOut,
)
from tests.worlds import (
    LINE,
    Program,
    always,
    check,
    context,
    graded,
    image,
    nonce_in,
    predictor,
    printed,
    probe_words,
    statuses,
    world,
)


def error(text: str, stdout: str = "") -> RunOutcome:
    return printed(stdout, code=1, stderr=f"Traceback …\n{text}\n")


NEARLY = "Predicted Sales for Next Week: 110.0"


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (printed(stderr=f"{LINE}110\n"), "standard error"),
        (printed("110\n"), "has the form"),
        (printed(f"{LINE}110\n", code=3), "exit code is 3"),
        (error("ModuleNotFoundError: No module named 'numpy'"), "No module named"),
        (error("EOFError: EOF when reading a line"), "keyboard input"),
        (error("TypeError: no", f"{LINE}110\n"), "Python says: TypeError: no"),
        (error("TypeError: no", f"{LINE}110\n"), "stopped with an error"),
        (RunOutcome(TimedOut(10)), "still running after 10 seconds"),
        (RunOutcome(OutOfMemory(512 * 2**20)), "512 MiB"),
        (RunOutcome(OutputLimit(2**20), b"y\n" * 99), "1024 KiB"),
        # who gave up, and who crashed
        (printed("no such type: best\n", code=2), "on purpose"),
        (printed(code=1, stderr="  x\nSyntaxError: never closed\n"), "stopped with an error"),
        (printed(code=2, stderr="/usr/bin/python3: can't open file 'x'\n"), "word for word"),
        (printed("Segmentation fault\n", code=139), "word for word"),
        (printed(code=1), "word for word"),
        # a line that comes near
        (printed(f"INFO:root:{LINE}110.0"), "Before it, on the same line, there is: INFO:root:"),
        (printed(f"{LINE}110.0 units"), "After the number, on the same line, there is: units"),
        (printed(f"{LINE}110,0"), "write a point before decimals, and nothing elsewhere."),
        (printed(f"{LINE}np.float64(110.0)"), "only a number, but there is: np.float64(110.0)"),
        (printed(f"{LINE}{'x' * 99}"), f"only a number, but there is: {'x' * 60}…"),
        (printed(f"{LINE}0    110.0"), "column of pandas was printed: 0    110.0. Take the one number out of it."),
        (printed(LINE), "After the colon there is nothing; the number belongs on the same line."),
        (printed(f"{LINE}<bound method Series.mean of 0"), "a method that was not called: () is missing."),
        (printed("Predicted sales for next week 110.0"), "The colon after the words is missing."),
        (printed(NEARLY), f"{NEARLY[:-7]}: differs in its letters, capital or small, or in its blanks."),
        (printed("The answer is 110.0"), f"{LINE}<number>"),
    ],
)
def test_what_a_run_did_instead_is_told(outcome: RunOutcome, told: str) -> None:
    verdict = check(graded("3.1.1", image(), always(outcome)), "prints")
    assert verdict.status is CheckStatus.FAILED
    assert told in f"{verdict.message}\n{verdict.hint}"
    assert verdict.reproduce.startswith("docker build -q -t sales-predictor .\ndocker run")


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (printed(f"{LINE}110.0\nlogged 110\n"), "passed"),
        (printed(f"LOG prediction=110.00\n{LINE}110.0\n"), "passed"),
        (printed(f"{LINE}110\n", stderr="INFO 110.0\n"), "passed"),
        (printed(f"{LINE}110.0\n"), "failed"),
        (printed(f"weeks [100, 120, 110]\n{LINE}110.0\n"), "failed"),
        (printed(f"logged 100\n{LINE}110.0\n"), "failed"),
    ],
)
def test_one_more_line_carries_the_prediction(outcome: RunOutcome, status: str) -> None:
    assert statuses(graded("3.1.3", image(), always(outcome)))["logs"] == status


CRASH = 'Traceback (most recent call last):\n  File "/app/sales_predictor.py", line 2, in <module>\n'


@pytest.mark.parametrize(
    ("output", "code", "told"),
    [
        ("three weeks, please\n", 1, "no line of the output contains the word usage."),
        ("usage: x\n", 1, ""),
        ("Usage: x\n", 0, "the exit code is 0; it has to be any but 0."),
        (f"{CRASH}    assert sys.argv[3:], 'Usage: x'\nAssertionError: Usage: x\n", 1, ""),
        (f"{CRASH}    raise ValueError(\nValueError: three weeks\nusage: x\n", 1, ""),
        (f"{CRASH}    weeks = sys.argv[3]  # usage: x\nIndexError: list index out of range\n", 1, "the word usage."),
        (f"{CRASH}    usage()\nNameError: name 'usage' is not defined\n", 1, "the word usage."),
        (f'{CRASH}    print "Usage"\nSyntaxError: … Did you mean print("Usage")?\n', 1, "the word usage."),
    ],
)
def test_usage_word_and_exit_code(output: str, code: int, told: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        return predictor(request) if request.args else replace(printed("", code), stderr=output.encode())

    verdict = check(graded("3.1.4", image(), program), "usage-none")
    assert verdict.message.endswith(told)
    assert bool(verdict.message) == bool(told)


def test_weeks_that_the_command_brings_along_are_the_dockerfiles_fault() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return predictor(request if request.args or request.replaced else replace(request, args=("1", "2", "3")))

    built = image(("python", "/app/sales_predictor.py"), ("1", "2", "3"))
    verdict = check(graded("3.1.4", built, program), "usage-none")
    assert verdict.message == "With no argument, the script got those of CMD, 1 2 3, and predicted from them."
    assert verdict.file == "Dockerfile"
    assert check(graded("3.1.4", image(), program), "usage-none").message.endswith("the word usage.")


@pytest.mark.parametrize("word", ["$@", "$1"])
def test_a_name_that_only_a_shell_would_replace(word: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        error = f"Traceback …\nValueError: could not convert string to float: '{word}'\n"
        return predictor(request) if request.replaced or len(request.args) < 3 else printed(code=1, stderr=error)

    verdict = check(graded("3.1.4", image(("python", "/app/sales_predictor.py", word)), program), "example")
    assert f"No shell reads the list of ENTRYPOINT, so {word} is not replaced." in verdict.message
    verdict = check(graded("3.1.4", image(("sh", "-c", "python /app/sales_predictor.py $@", word)), program), "example")
    assert "ValueError" in verdict.message


# ── arguments ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shell", [("/bin/sh", "-c"), ("/bin/bash", "-o", "pipefail", "-exc"), ("sh", "-c")])
def test_a_shell_form_entrypoint_is_explained(shell: tuple[str, ...]) -> None:
    files = {"Dockerfile": b"FROM python:3.9\nENTRYPOINT python /app/sales_predictor.py\n", "sales_predictor.py": b""}
    built = image((*shell, "python /app/sales_predictor.py"))
    verdict = check(graded("3.1.4", built, always(printed("Usage: …\n", code=1)), **files), "example")
    assert verdict.status is CheckStatus.FAILED
    assert "square brackets" in verdict.hint
    assert (verdict.file, verdict.line) == ("Dockerfile", 2)
    assert verdict.expected == "the script gets 100 120 110"


def predicting(change: Callable[[list[float]], float]) -> Program:
    def program(request: RunRequest) -> RunOutcome:
        if request.replaced or len(request.args) != 3:
            return predictor(request)
        again = 4 if request.repeat else 0
        return printed(
            f"{LINE}{change([float(week) for week in request.args]) + (again if change is drifting else 0)}\n"
        )

    return program


def drifting(_: list[float]) -> float:
    return 73


@pytest.mark.parametrize(
    ("change", "failing", "told"),
    [
        (lambda weeks: sum(weeks) / 3 + 0.5, "example", "pocket calculator"),
        (lambda weeks: 110, "drawn", "whatever it is given"),
        (lambda weeks: sum(int(week) for week in weeks) / 3, "drawn", "decimals"),
        (lambda weeks: float("nan"), "example", "pocket calculator"),
        (drifting, "example", "the script prints 77: its answer changes"),
    ],
)
def test_wrong_numbers_are_told_apart(change: Callable[[list[float]], float], failing: str, told: str) -> None:
    verdict = check(graded("3.1.4", image(), predicting(change)), failing)
    assert verdict.status is CheckStatus.FAILED
    assert told in f"{verdict.message}\n{verdict.hint}"


# ── further runs ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("exercise", "further"), [("3.1.1", 0), ("3.1.4", 5), ("3.1.5", 5), ("3.2.1", 0), ("3.2.2", 3), ("3.2.4", 0)]
)
def test_the_first_case_is_run_and_others_may_be_executed(exercise: str, further: int) -> None:
    asked: list[RunRequest] = []

    def program(request: RunRequest) -> RunOutcome:
        asked.append(request)
        return predictor(request)

    given = context(exercise)
    grade_exercise(given, world(image(), program))
    assert len([request for request in asked if request.further]) == further
    run = {request.args for request in asked if not (request.further or request.replaced)}
    assert run >= {case.weeks for case in given.cases if case.name in given.proving and further}


@pytest.mark.parametrize(
    ("wrong", "status"),
    [(lambda request: request.further, "passed"), (lambda request: not request.further, "failed")],
    ids=["only an exec fails", "only runs fail"],
)
def test_an_exec_can_only_confirm(wrong: Callable[[RunRequest], bool], status: str) -> None:
    def program(request: RunRequest) -> RunOutcome:
        three = len(request.args) == 3 and not request.replaced
        return printed(f"{LINE}7\n") if three and wrong(request) else predictor(request)

    assert statuses(graded("3.1.4", image(), program))["drawn" if status == "passed" else "example"] == status


# ── any program ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "outcome", "reason", "told"),
    [
        ({"text": "hello"}, printed("oh\nhello, you\n"), "", ""),
        ({"text": "hello"}, printed("Hello\n"), "output_differs", "No line of stdout has the text “hello”."),
        ({"text": "hello", "stream": "stderr"}, printed(stderr="hello\n"), "", ""),
        ({"pattern": r"^\d+ files$"}, printed("3 files\n"), "", ""),
        ({"pattern": r"^\d+ files$"}, printed("no files\n"), "output_differs", r"a match of `^\d+ files$`"),
        ({"pattern": "late"}, printed("x" * 2000 + "late\n"), "output_differs", ""),
        ({"text": "hello"}, printed("hello\n", code=3), "exit_code", "the run exited 3, not 0"),
        ({"text": "x"}, RunOutcome(NotStarted("no such file")), "not_started", "did not start"),
    ],
)
def test_what_matches(asked: dict[str, Any], outcome: RunOutcome, reason: str, told: str) -> None:
    shared: Any = {"id": "x", "title": "x", "weight": 1, "arguments": ("1",), "environment": {"A": "b"}}
    check = OutputMatches(kind="output_matches", **shared, **asked)
    given = context("3.1.1")
    given = replace(given, exercise=replace(given.exercise, checks=(check,)), course=replace(given.course, hints={}))
    given.course.hints.update({name: name for name in ("output_differs", "exit_code", "not_started")})
    asks = RunRequest(("1",), (("A", "b"),))
    (verdict,) = grade_exercise(given, world(image(), {asks: outcome}.__getitem__)).checks
    assert verdict.hint == reason
    assert told in verdict.message


mean = statistics.fmean
Saves = Callable[[str, list[float]], str]


def weeks_in(request: RunRequest) -> list[float]:
    return [float(line) for file in request.files for line in file.content.decode().split()]


def probed(request: RunRequest) -> RunOutcome | None:
    return printed(probe_words(nonce=nonce_in(request))) if request.replaced else None


# ── a mounted file ──────────────────────────────────────────────────────────────────────


def reads_the_file(request: RunRequest) -> RunOutcome:
    weeks = weeks_in(request)
    return probed(request) or (printed(f"{LINE}{mean(weeks)}\n") if weeks else printed(code=1, stderr="no file\n"))


def test_where_nothing_can_be_mounted_the_probe_runs_without_it() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return RunOutcome(NotStarted("not a directory")) if request.files else reads_the_file(request)

    found = statuses(graded("3.2.3", image(), program))
    assert (found["script"], found["file"]) == ("passed", "failed")


# ── variables ───────────────────────────────────────────────────────────────────────────


def by_type(unknown: Callable[[str], RunOutcome]) -> Callable[[RunRequest], RunOutcome]:
    def program(request: RunRequest) -> RunOutcome:
        weeks = weeks_in(request)
        kind = dict(request.environment).get("PREDICTION_TYPE", "average")
        known = {"average": sum(weeks) / max(len(weeks), 1), "last": weeks[-1] if weeks else 0}
        return probed(request) or (printed(f"{LINE}{known[kind]}\n") if kind in known else unknown(kind))

    return program


@pytest.mark.parametrize(
    ("unknown", "status"),
    [
        (lambda kind: printed(code=1, stderr=f"unknown type {kind}\n"), "passed"),
        (lambda kind: printed(f"unknown type {kind}\n", code=2), "passed"),
        (lambda kind: printed(f"unknown type {kind}\n", code=0), "failed"),
        (lambda kind: printed("unknown type\n", code=1), "failed"),
        (lambda kind: printed(f"{LINE}1\nunknown {kind}\n", code=1), "failed"),
    ],
)
def test_an_unknown_type(unknown: Callable[[str], RunOutcome], status: str) -> None:
    config = ImageConfig(("python", "sales_predictor.py"), None, "/", (("PREDICTION_TYPE", "average"),))
    found = statuses(graded("3.2.4", Built("sha256:1", config), by_type(unknown)))
    assert found == dict.fromkeys(found, "passed") | {"unknown": status}


# ── files written into a mounted folder ─────────────────────────────────────────────────


def saving(name: str, content: Saves) -> Callable[[RunRequest], RunOutcome]:
    def program(request: RunRequest) -> RunOutcome:
        weeks = weeks_in(request)
        outcome = probed(request) or printed(f"{LINE}{mean(weeks)}\n")
        folders = []
        for folder in request.folders:
            before = "".join(file.content.decode() for file in folder.files if file.path == name)
            folders.append(FolderMount(folder.path, (MemoryFile(name, content(before, weeks).encode()),)))
        return RunOutcome(outcome.ended, outcome.stdout, folders=tuple(folders))

    return program


@pytest.mark.parametrize(
    ("exercise", "name", "content", "once", "twice"),
    [
        ("3.2.5", "prediction.txt", lambda _, weeks: f"{mean(weeks)}\n", "passed", "passed"),
        ("3.2.5", "prediction.txt", lambda _, weeks: f"Prediction of 2026: {mean(weeks)}", "passed", "passed"),
        ("3.2.5", "prediction.txt", lambda before, weeks: before or f"{mean(weeks)}\n", "passed", "failed"),
        ("3.2.5", "prediction.txt", lambda before, weeks: f"{mean(weeks)}\n{before}", "passed", "failed"),
        ("3.2.5", "prediction.txt", lambda _, weeks: f"{mean(weeks)} of {len(weeks)} weeks", "failed", "blocked"),
        ("3.2.5", "prediction.txt", lambda _, weeks: "", "failed", "blocked"),
        ("3.2.5", "predictions.txt", lambda _, weeks: f"{mean(weeks)}\n", "failed", "blocked"),
        ("3.3.4", "app.log", lambda before, weeks: f"{before}INFO {mean(weeks)}\n", "passed", "passed"),
        ("3.3.4", "app.log", lambda before, weeks: f"INFO {mean(weeks)}\n{before}", "passed", "passed"),
        ("3.3.4", "app.log", lambda _, weeks: f"INFO {mean(weeks)}\n", "passed", "failed"),
        ("3.3.4", "app.log", lambda before, weeks: before or f"INFO {mean(weeks)}\n", "passed", "failed"),
        ("3.3.4", "app.log", lambda before, weeks: f"{before}started\n", "failed", "blocked"),
        ("3.3.4", "app.txt", lambda before, weeks: f"{before}INFO {mean(weeks)}\n", "failed", "blocked"),
    ],
)
def test_a_file_after_one_run_and_after_two(exercise: str, name: str, content: Saves, once: str, twice: str) -> None:
    found = statuses(graded(exercise, image(), saving(name, content)))
    assert (found.get("written") or found["logged"], found.get("replaced") or found["appended"]) == (once, twice)


def test_a_log_that_turned_over_still_holds_the_first_runs_lines() -> None:
    def turned_over(request: RunRequest) -> RunOutcome:
        outcome = saving("app.log", lambda _, weeks: f"INFO {mean(weeks)}\n")(request)
        old = [MemoryFile("app.log.1", file.content) for folder in request.folders for file in folder.files]
        folders = tuple(replace(folder, files=(*folder.files, *old)) for folder in outcome.folders)
        return replace(outcome, folders=folders)

    found = statuses(graded("3.3.4", image(), turned_over))
    assert (found["logged"], found["appended"]) == ("passed", "passed")


@pytest.mark.parametrize(
    ("exercise", "name", "content", "told"),
    [
        ("3.3.4", "logged", lambda _, weeks: "is {x}", "{x} was written as it stands"),
        ("3.3.4", "logged", lambda _, weeks: "", "Without a level"),
        ("3.2.5", "written", lambda _, weeks: f"{mean(weeks):,.2f}\n", " has a comma in it"),
        ("3.3.4", "logged", lambda before, weeks: f"INFO {mean(weeks):.0f}\n", " with some of its decimals lost."),
        ("3.3.4", "appended", lambda before, weeks: f"{before}{mean(weeks)} ", "wrote into the first one's line"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(exercise: str, name: str, content: Saves, told: str) -> None:
    file = "prediction.txt" if exercise == "3.2.5" else "app.log"
    verdict = check(graded(exercise, image(), saving(file, content)), name)
    assert verdict.status == "failed"
    assert told in verdict.message


def test_both_runs_on_one_folder_can_be_repeated() -> None:
    kept = saving("prediction.txt", lambda before, weeks: before or f"{mean(weeks)}\n")
    verdict = check(graded("3.2.5", image(), kept), "replaced")
    assert verdict.reproduce.endswith("\nls try-output\ncat try-output/prediction.txt")
    assert verdict.reproduce.count("docker run --rm ") == 2
    assert verdict.reproduce.count("$PWD/try-output:/app/output") == 2
