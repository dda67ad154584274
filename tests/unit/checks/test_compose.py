"""What is concluded from what Compose made of a folder (3.3.3), and what is told of a file that it does not accept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from grader.checks.compose import compose_mistake, line_of
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


# ── the service, and what it does when it is brought up ─────────────────────────────────


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


def seen(stdout: str = "", code: int = 0, stderr: str = "", status: str = "exited", restarts: int = 0) -> Behave:
    """One container that prints `stdout`, in which M stands for the mean of the weeks."""

    def behave(mean: float) -> tuple[ServiceSeen, ...]:
        out, err = (text.replace("M", str(mean)).encode() for text in (stdout, stderr))
        return (ServiceSeen("predictor", status, code, restarts, out, err),)

    return behave


def beside(mean: float) -> tuple[ServiceSeen, ...]:
    return (ServiceSeen("helper", "running", 0), *right(mean))


MOUNTS = {"image": "x", "volumes": [SALES]}
ONE = {"predictor": service()}
GONE = {"build": printed(code=17, stderr="#5 ERROR: pip failed\n"), "up": None, "down": None}
BIND = printed(code=1, stderr="Error response from daemon: bad mount\n")
MANUAL = {"predictor": service(profiles=["manual"])}
ROWS: list[tuple[Any, ...]] = [
    # check, what becomes of it, part of what is said; services, what they do, how Compose's commands end
    ("service", "failed", "build", {"a": {"image": "sales-predictor", "volumes": [SALES]}}),
    ("service", "failed", "build", {"a": service(context="./sub")}),
    ("service", "failed", "build", {"a": service(context="..")}),
    ("service", "failed", "build", {"a": service(context="https://example.org/x.git")}),
    ("service", "failed", "sales.txt", {"a": {"build": {"context": "."}, "volumes": None}}),
    ("service", "failed", "sales.txt", {"a": service("/etc/sales.txt")}),
    ("service", "failed", "sales.txt", {"a": service("./sub/../../sales.txt")}),
    ("service", "failed", "sales.txt", {"a": service("./sales.txt.bak")}),
    ("service", "failed", "sales.txt", {"a": service("sales.txt", kind="volume")}),
    ("service", "failed", "The service b does", {"a": {"build": {"context": "."}}, "b": MOUNTS}),
    ("service", "failed", "build", {"a": {"build": {"context": "./sub"}}, "b": MOUNTS}),
    ("prints", "blocked", "", {"a": service(context="..")}),
    ("prints", "failed", "the prediction is 110, not ", ONE, seen(f"{LINE}110\n")),
    ("prints", "failed", "nan", ONE, seen(f"{LINE}nan\n")),
    ("prints", "failed", "is right, but the exit code is 1", ONE, seen(f"{LINE}M\n", code=1)),
    ("prints", "failed", "FileNotFoundError: sales.txt", ONE, seen(code=1, stderr="FileNotFoundError: sales.txt\n\n")),
    ("prints", "failed", "no prediction line; its exit code is 0", ONE, seen("M\n")),
    ("prints", "failed", "Its last message is: Predicted", ONE, seen(stderr=f"{LINE}M\n")),
    ("prints", "failed", "still running after 10 seconds", ONE, seen(f"{LINE}M\n", status="running")),
    ("prints", "failed", "started again", ONE, seen(f"{LINE}M\n", restarts=3)),
    ("prints", "failed", "created", ONE, seen(status="created")),
    ("prints", "failed", "did not start the service predictor", ONE, lambda _: ()),
    ("prints", "passed", "", ONE, seen(f"reading\n{LINE}1\n{LINE}M\n\n", stderr="warning\n")),
    ("prints", "failed", "", ONE, seen(f"{LINE}M\n{LINE}1\n")),
    ("prints", "passed", "", {"helper": {"image": "x"}, "predictor": service()}, beside),
    ("prints", "passed", "", {"helper": service(), "predictor": service()}, beside),
    ("prints", "failed", "", {"helper": service(), "predictor": MOUNTS}, beside),
    ("prints", "failed", "profile manual", MANUAL, lambda _: (), {"up": printed(code=1, stderr="no service\n")}),
    ("prints", "failed", "`docker compose build`", ONE, lambda _: (), GONE),
    ("prints", "failed", "daemon: bad mount", ONE, lambda _: (), {"up": BIND}),
    ("down", "passed", "", ONE),
    ("down", "failed", "container 1, volume x", ONE, right, {"left": ("container 1", "volume x")}),
    ("down", "failed", "", ONE, right, {"down": printed(code=1, stderr="network is in use\n")}),
    ("down", "failed", "", ONE, right, {"down": RunOutcome(TimedOut(60))}),
    ("down", "blocked", "", ONE, lambda _: (), GONE),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_what_is_concluded(row: tuple[Any, ...]) -> None:
    name, status, told, services, *world = row
    verdict = check(graded(services, *world[:1], **(world[1] if world[1:] else {})), name)
    assert (verdict.status, told in verdict.message) == (status, True), verdict.message
    assert bool(verdict.hint) == (status == "failed")


RIGHT = """services:
  predictor:
    build: .
    volumes:
      - ./sales.txt:/app/sales.txt
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("services:", "service:", 1, "did you mean `services`?"),
        ("build: .", "build .", 3, "no colon after the key"),
        ("build: .", "build:.", 3, "a blank is missing after the colon: `build: .`"),
        ("txt:/app", "txt: /app", 5, "a blank beside its colon"),
        ("- ./", "-./", 5, "a blank is missing after the dash"),
        ("- ./sales.txt:/app/sales.txt", "- ./sales.txt", 5, "no path in the container"),
        ("- ./sales.txt:/app/sales.txt", "- /app/sales.txt:./sales.txt", 5, "both sides exchanged"),
        ("./sales.txt:/app/sales.txt", "\u201c./sales.txt:/app/sales.txt\u201d", 5, "curly"),
        ("    build", "\tbuild", 3, "a tab"),
        ("  predictor:", "  predictor", 2, "has to end with a colon"),
        ("services:\n  predictor:", "services: predictor", 1, "has to end with a colon"),
        ("  predictor:", "  - predictor:", 1, "without a dash"),
        ("  predictor:\n", "", 2, "`build` belongs to a service"),
        (RIGHT, "predictor:\n  build: .\n", 1, "belongs under `services:`"),
        (RIGHT, "services:\n  predictor:\n", 2, "has no keys"),
        (RIGHT, "docker build .\n", 1, "a command to type"),
        (RIGHT, "", 1, "Begin with `services:`"),
        (RIGHT, "services:\n  a:\n    environment: A=1\n", 3, "a line for each variable"),
        (RIGHT, "services:\n  a:\n    build: .\n    build: .\n", 4, "given twice"),
    ],
)
def test_a_mistake_has_its_line_and_plain_words(old: str, new: str, line: int, told: str) -> None:
    found = compose_mistake(RIGHT.replace(old, new, 1).encode())
    assert found
    assert (found.line, told in found.message) == (line, True), found


@pytest.mark.parametrize(
    "text", [RIGHT, RIGHT + "    x-own: 1\nvolumes:\n  data:\n", "x-base: &b\n  build: .\n" + RIGHT]
)
def test_nothing_is_made_up(text: str) -> None:
    assert compose_mistake(text.encode()) is None


@pytest.mark.parametrize(
    ("path", "line"),
    [(("services", "predictor", "volumes"), 4), (("services", "predictor", "restart"), 2), (("networks", "x"), None)],
)
def test_a_key_has_a_line(path: tuple[str, ...], line: int | None) -> None:
    assert line_of(RIGHT.encode(), *path) == line
    assert line_of(b"services: [", *path) is None
