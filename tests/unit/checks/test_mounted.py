"""Checks with something mounted or set from outside: a file, variables, folders written to."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import pytest

from grader.models import (
    Built,
    FolderMount,
    ImageConfig,
    MemoryFile,
    NotStarted,
    RunOutcome,
    RunRequest,
)
from tests.worlds import LINE, check, graded, image, nonce_in, printed, probe_words, statuses

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


def test_the_mounted_file_counts() -> None:
    assert set(statuses(graded("3.2.3", image(), reads_the_file)).values()) == {"passed"}


def test_where_nothing_can_be_mounted_the_probe_runs_without_it() -> None:
    def program(request: RunRequest) -> RunOutcome:
        return RunOutcome(NotStarted("not a directory")) if request.files else reads_the_file(request)

    found = statuses(graded("3.2.3", image(), program))
    assert (found["script"], found["file"]) == ("passed", "failed")


def test_a_file_that_was_copied_into_the_image_is_noticed() -> None:
    first: list[float] = []

    def baked(request: RunRequest) -> RunOutcome:
        first.extend(weeks_in(request) if not first else [])
        return probed(request) or printed(f"{LINE}{sum(first) / len(first)}\n")

    found = statuses(graded("3.2.3", image(), baked))
    assert (found["file"], found["other-file"], found["no-file"]) == ("passed", "failed", "failed")


# ── variables ───────────────────────────────────────────────────────────────────────────


def with_env(*variable: str) -> Built:
    return Built("sha256:1", ImageConfig(("python", "sales_predictor.py"), None, "/", ((variable[0], variable[1]),)))


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        (("PREDICTION_TYPE", "= average"), "PREDICTION_TYPE is “= average”."),
        (("Prediction_Type", "average"), "PREDICTION_TYPE is not set, but there is one called “Prediction_Type”."),
    ],
)
def test_what_the_image_has_instead_of_the_variable(variable: tuple[str, str], told: str) -> None:
    message = check(graded("3.2.4", with_env(*variable), reads_the_file), "environment").message
    assert message == f"In the image's environment, {told}"


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
        (lambda kind: printed(f"unknown type {kind.upper()}\n", code=2), "passed"),
        (lambda kind: printed(f"unknown type {kind}\n", code=0), "failed"),
        (lambda kind: printed("unknown type\n", code=1), "failed"),
        (lambda kind: printed(f"{LINE}1\nunknown {kind}\n", code=1), "failed"),
    ],
)
def test_an_unknown_type(unknown: Callable[[str], RunOutcome], status: str) -> None:
    found = statuses(graded("3.2.4", with_env("PREDICTION_TYPE", "average"), by_type(unknown)))
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
        ("3.2.5", "replaced", lambda old, weeks: old or f"1\n{mean(weeks)}\n", "The last number in prediction.txt"),
        ("3.2.5", "written", lambda _, weeks: "", "left /app/output/prediction.txt empty."),
        ("3.3.4", "logged", lambda _, weeks: "is {x}", "{x} was written as it stands"),
        ("3.3.4", "logged", lambda _, weeks: "", "Without a level"),
        ("3.2.5", "written", lambda _, weeks: f"{mean(weeks):,.2f}\n", " has a comma in it"),
        ("3.3.4", "logged", lambda before, weeks: f"{before}started\n", "added to /app/logs/*.log carries"),
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
    verdict = check(graded("3.2.5", image(), saving("prediction.txt", lambda before, _: before or "1\n")), "written")
    assert verdict.reproduce.endswith("\nls try-output\ncat try-output/prediction.txt")
    kept = saving("prediction.txt", lambda before, weeks: before or f"{mean(weeks)}\n")
    verdict = check(graded("3.2.5", image(), kept), "replaced")
    assert verdict.reproduce.count("docker run --rm ") == 2
    assert verdict.reproduce.count("$PWD/try-output:/app/output") == 2
