"""What is concluded from what Compose made of a folder: exercise 3.3.3."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from grader.grading.exercise import grade_exercise
from grader.models import ComposeRequest, ComposeSeen, ExerciseReport, RunOutcome, ServiceSeen, TimedOut
from tests.worlds import LINE, check, composed, context, printed, statuses

Services = dict[str, dict[str, Any]]
Behave = Callable[[float], tuple[ServiceSeen, ...]]
"""From the mean of the weeks in the mounted file to the containers after `up`."""

NAME = "docker-compose.yml"
SALES = {"type": "bind", "source": "./sales.txt", "target": "/app/sales.txt"}
FINE = "services:\n  a:\n    build: .\n"
ALL_FINE = dict.fromkeys(["config", "service", "prints", "down"], "passed")


def service(source: str = "./sales.txt", context: str = ".", kind: str = "bind", **more: Any) -> dict[str, Any]:
    """A service as `docker compose config` writes it, the folder's path being `.`."""
    build = {"context": context, "dockerfile": more.pop("dockerfile", "Dockerfile")}
    return {"build": build, "volumes": [{"type": kind, "source": source, "target": "/app/sales.txt"}], **more}


def right(mean: float) -> tuple[ServiceSeen, ...]:
    return (ServiceSeen("predictor", "exited", 0, stdout=f"{LINE}{mean}\n".encode()),)


def configured(services: Services | None) -> RunOutcome:
    return printed(json.dumps({"name": "exercise", "services": services}))


def graded(services: Services, behave: Behave = right, file: str = NAME, **steps: Any) -> ExerciseReport:
    """The verdicts in a world where Compose reads these services, and brought up they behave like this."""

    def compose(request: ComposeRequest) -> ComposeSeen:
        if not request.replaced:
            return ComposeSeen(configured(services))
        weeks = [float(week) for week in request.replaced[0].content.split()]
        seen: dict[str, Any] = {
            "build": printed(),
            "up": printed(),
            "services": behave(sum(weeks) / len(weeks)),
            "down": printed(),
        }
        return ComposeSeen(configured(services), **(seen | {"seconds": 10.0} | steps))

    return grade_exercise(context("3.3.3", {"Dockerfile": b"FROM x\n", file: b"services:\n"}), composed(compose))


# ── the file ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"])
def test_a_right_file_under_each_of_its_names(name: str) -> None:
    report = graded({"predictor": service()}, file=name)
    assert statuses(report) == ALL_FINE
    assert report.score == 10
    assert {verdict.file for verdict in report.checks} == {name}


@pytest.mark.parametrize("name", ["Docker-compose.yml", "docker-compose.txt", "sub/docker-compose.yml", "compose.json"])
def test_no_file_of_such_a_name(name: str) -> None:
    report = graded({"predictor": service()}, file=name)
    assert statuses(report) == {"config": "failed", "service": "blocked", "prints": "blocked", "down": "blocked"}
    told = check(report, "config").message
    assert ("has no docker-compose.yml." if "/" in name else f", but there is one named {name}.") in told
    assert name in check(report, "config").actual


@pytest.mark.parametrize(
    ("text", "outcome", "told", "line"),
    [
        ("services:\n\ta:\n", printed(code=15, stderr="yaml: line 2: found character"), "Line 2: it is indented", 2),
        (FINE, printed(code=1, stderr="time=1\nservices.x Additional property is not allowed\n"), "property", None),
        (FINE, RunOutcome(TimedOut(20)), "still reading it after 20 seconds", None),
        (FINE, printed("not JSON"), "no services", None),
        (FINE, configured({}), "no services", None),
        (FINE, printed("[]"), "no services", None),
    ],
)  # fmt: skip
def test_what_compose_does_not_accept(text: str, outcome: RunOutcome, told: str, line: int | None) -> None:
    report = grade_exercise(context("3.3.3", {NAME: text.encode()}), composed(lambda _: ComposeSeen(outcome)))
    assert statuses(report)["config"] == "failed"
    assert statuses(report)["down"] == "blocked"
    assert told in check(report, "config").message
    assert check(report, "config").line == line


# ── the service ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("services", "exchanged"),
    [
        ({"a": service()}, "sales.txt"),
        ({"a": service("sales.txt")}, "sales.txt"),
        ({"a": service(".")}, "sales.txt"),
        ({"a": service("./data/sales.txt")}, "data/sales.txt"),
        ({"a": service(context="./sub/..")}, "sales.txt"),
        ({"a": service(dockerfile="./other.Dockerfile")}, "sales.txt"),
        ({"a": {**service(), "volumes": [{"type": "volume", "source": "cache", "target": "/c"}, SALES]}}, "sales.txt"),
        ({"web": {"image": "python:3.9"}, "a": service()}, "sales.txt"),
    ],
)
def test_a_service_that_builds_here_and_mounts_the_file_that_is_exchanged(services: Services, exchanged: str) -> None:
    asked: list[ComposeRequest] = []

    def compose(request: ComposeRequest) -> ComposeSeen:
        asked.append(request)
        return ComposeSeen(configured(services), printed(), printed(), right(0.0), printed())

    given = context("3.3.3", {NAME: b"x"})
    assert statuses(grade_exercise(given, composed(compose)))["service"] == "passed"
    changed = [file for request in asked for file in request.replaced]
    assert {file.path for file in changed} == {exchanged}
    assert {tuple(file.content.decode().split()) for file in changed} == {given.cases[0].weeks}


@pytest.mark.parametrize(
    ("services", "reason"),
    [
        ({"a": {"image": "sales-predictor", "volumes": [SALES]}}, "build"),
        ({"a": service(context="./sub")}, "build"),
        ({"a": service(context="..")}, "build"),
        ({"a": service(context="https://example.org/x.git")}, "build"),
        ({"a": {"build": {"context": "."}}}, "sales.txt"),
        ({"a": {"build": {"context": "."}, "volumes": None}}, "sales.txt"),
        ({"a": service("/etc/sales.txt")}, "sales.txt"),
        ({"a": service("../sales.txt")}, "sales.txt"),
        ({"a": service("./sub/../../sales.txt")}, "sales.txt"),
        ({"a": service("./sales.txt.bak")}, "sales.txt"),
        ({"a": service("sales.txt", kind="volume")}, "sales.txt"),
        ({"a": service("", kind="tmpfs")}, "sales.txt"),
        ({"a": {"build": {"context": "."}}, "b": {"image": "x", "volumes": [SALES]}}, "The service b does"),
        ({"a": {"build": {"context": "./sub"}}, "b": {"image": "x", "volumes": [SALES]}}, "build"),
    ],
)
def test_a_service_that_lacks_one_of_both(services: Services, reason: str) -> None:
    report = graded(services)
    assert statuses(report) == {"config": "passed", "service": "failed", "prints": "blocked", "down": "blocked"}
    assert reason in check(report, "service").message
    assert check(report, "service").hint


# ── brought up ──────────────────────────────────────────────────────────────────────────


def seen(stdout: str = "", code: int = 0, stderr: str = "", status: str = "exited", restarts: int = 0) -> Behave:
    """One container that prints `stdout`, in which M stands for the mean of the weeks."""

    def behave(mean: float) -> tuple[ServiceSeen, ...]:
        out, err = (text.replace("M", str(mean)).encode() for text in (stdout, stderr))
        return (ServiceSeen("predictor", status, code, restarts, out, err),)

    return behave


@pytest.mark.parametrize(
    ("behave", "told"),
    [
        (seen(f"{LINE}110\n"), "the prediction is 110, not "),
        (seen(f"{LINE}nan\n"), "nan"),
        (seen(f"{LINE}M\n", code=1), "is right, but the exit code is 1"),
        (seen(code=1, stderr="Traceback\nFileNotFoundError: sales.txt\n\n"), "FileNotFoundError: sales.txt"),
        (seen("M\n"), "no prediction line; its exit code is 0"),
        (seen(stderr=f"{LINE}M\n"), "no prediction line; its exit code is 0. Its last message is: Predicted"),
        (seen(f"{LINE}M\n", status="running"), "still running after 10 seconds"),
        (seen(f"{LINE}M\n", status="exited", restarts=3), "started again"),
        (seen(f"{LINE}M\n", status="restarting"), "started again"),
        (seen(status="created"), "created"),
        (lambda _: (), "did not start the service predictor"),
    ],
)
def test_what_a_service_did_instead(behave: Behave, told: str) -> None:
    verdict = check(graded({"predictor": service()}, behave), "prints")
    assert verdict.status == "failed"
    assert told in verdict.message
    assert verdict.hint
    assert verdict.expected.endswith("exit code 0")


@pytest.mark.parametrize(
    ("services", "status"),
    [
        ({"helper": {"image": "x"}, "predictor": service()}, "passed"),
        ({"helper": service(), "predictor": service()}, "passed"),
        ({"helper": service(), "predictor": {"image": "x", "volumes": [SALES]}}, "failed"),
    ],
    ids=["only the other has to", "either may", "only this one has to"],
)
def test_of_two_services_one_that_builds_and_mounts_has_to_print(services: Services, status: str) -> None:
    def behave(mean: float) -> tuple[ServiceSeen, ...]:
        return (ServiceSeen("helper", "running", 0), *right(mean))

    assert statuses(graded(services, behave))["prints"] == status


def test_a_service_behind_a_profile_is_not_started() -> None:
    services = {"predictor": service(profiles=["manual"])}
    for up in (printed(), printed(code=1, stderr="no service selected\n")):
        assert "profile manual" in check(graded(services, lambda _: (), up=up), "prints").message


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (
            {"build": printed(code=17, stderr="#5 ERROR: pip failed\n"), "up": None, "down": None},
            "`docker compose build`",
        ),
        ({"up": printed(code=1, stderr="Error response from daemon: bad mount\n")}, "daemon: bad mount"),
    ],
)
def test_a_command_of_compose_that_does_not_work(steps: dict[str, Any], told: str) -> None:
    report = graded({"predictor": service()}, lambda _: (), **steps)
    assert statuses(report)["prints"] == "failed"
    assert told in check(report, "prints").message
    assert check(report, "prints").hint


# ── and down ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("steps", "status", "told"),
    [
        ({}, "passed", ""),
        ({"left": ("network exercise_default",)}, "failed", "network exercise_default"),
        ({"left": ("container 1", "volume x")}, "failed", "container 1, volume x"),
        ({"down": printed(code=1, stderr="network is in use\n")}, "failed", ""),
        ({"down": RunOutcome(TimedOut(60))}, "failed", ""),
    ],
)
def test_what_is_there_after_down(steps: dict[str, Any], status: str, told: str) -> None:
    report = graded({"predictor": service()}, **steps)
    assert statuses(report)["prints"] == "passed"
    assert statuses(report)["down"] == status
    assert told in check(report, "down").message
