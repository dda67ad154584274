"""BuildKit's progress messages become steps with lines; an error is blamed on whom it belongs to."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from grader.engine.build.builders import LOG_TAIL, BuildKitProgress, step_line
from grader.engine.build.trace import Log, Status, Vertex, decode_status
from grader.engine.wording import plain_error
from grader.errors import EngineError
from tests.dockerfiles import dockerfile as parse

RECORDED = Path(__file__).parents[1] / "recorded"

TWO_STAGES = (RECORDED / "two-stages.Dockerfile").read_bytes()
ONE_STAGE = b"FROM python:3.9-slim\nWORKDIR /app\nCOPY x .\nRUN echo done\nCOPY not-there.py .\n"


def replayed(name: str, dockerfile: bytes) -> tuple[BuildKitProgress, str]:
    """What an engine said about a build, taken in, and its last word."""
    progress, error = BuildKitProgress(parse(dockerfile)), ""
    for line in (RECORDED / name).read_text(encoding="utf-8").splitlines():
        message = json.loads(line)
        progress.add(message)
        error = message.get("errorDetail", {}).get("message", error)
    return progress, error


# ── recorded builds ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("engine", ["engine-20.10", "engine-26.1"])
def test_recorded_builds_are_told_alike_by_all_engines(engine: str) -> None:
    progress, error = replayed(f"{engine}-1.jsonl", TWO_STAGES)  # a misspelt package in a second stage
    failure = progress.failure(error)
    assert failure.line == 7
    assert "exit code: 1" in failure.message
    assert [(step.line, bool(step.error)) for step in progress.steps()] == [
        (1, False),
        (2, False),
        (6, False),
        (7, True),
    ]
    failed = progress.steps()[-1]
    assert "No matching distribution found for nmupy" in failed.log
    assert failed.seconds > 0
    progress, error = replayed(f"{engine}-2.jsonl", ONE_STAGE)
    failure = progress.failure(error)
    assert (failure.message, failure.line) == ('"/not-there.py" not found', 5)
    assert [(step.line, step.cached) for step in progress.steps() if "COPY" in step.name] == [(3, True), (5, False)]


def test_a_message_cut_off_is_refused() -> None:
    whole = base64.b64decode(json.loads((RECORDED / "engine-26.1-1.jsonl").read_text().splitlines()[0])["aux"])
    assert decode_status(whole).vertices
    for end in (1, 20, -1):
        with pytest.raises(ValueError, match="cut off"):
            decode_status(whole[:end])


# ── steps ───────────────────────────────────────────────────────────────────────────────


def progress_of(*vertices: Vertex, dockerfile: bytes = ONE_STAGE) -> BuildKitProgress:
    progress = BuildKitProgress(parse(dockerfile))
    progress.update(Status(vertices))
    return progress


def test_each_step_is_told_once_when_it_begins() -> None:
    progress = BuildKitProgress(parse(ONE_STAGE))
    begun = Vertex("1", "[3/5] COPY x .", started=1.0)
    ended = Vertex("1", "[3/5] COPY x .", started=1.0, completed=3.5)
    told = [progress.update(Status((vertex,))) for vertex in (Vertex("1", begun.name), begun, ended, ended)]
    assert [[step.line for step in steps] for steps in told] == [[], [3], [], []]
    assert [(step.line, step.seconds) for step in progress.steps()] == [(3, 2.5)]


def test_lines_of_two_streams_do_not_mix() -> None:
    progress = progress_of(Vertex("1", "[4/5] RUN echo done", started=1.0))
    written = [(b"E", 2), (b"Building dependency tree...\nRead", 1), (b": Unable to locate package curl\n", 2)]
    progress.update(Status(logs=tuple(Log("1", data, stream) for data, stream in written)))
    (step,) = progress.steps()
    assert step.log == "Building dependency tree...\nE: Unable to locate package curl\nRead"


def test_only_the_end_of_a_long_log_is_kept() -> None:
    progress = progress_of(Vertex("1", "[4/5] RUN echo done", started=1.0))
    for index in range(100):
        progress.update(Status(logs=(Log("1", b"%03d" % index * 1000),)))
    (step,) = progress.steps()
    assert progress.log_bytes == 300_000
    assert len(step.log) == LOG_TAIL
    assert step.log.endswith("099099")


def test_a_step_that_was_stopped_has_the_reason_as_its_error_and_the_builders_own_are_not_shown() -> None:
    progress = progress_of(
        Vertex("0", "[internal] load metadata for docker.io/library/x", started=1.0, completed=2.0),
        Vertex("1", "[3/5] COPY x .", started=1.0, completed=2.0),
        Vertex("2", "[4/5] RUN echo done", started=2.0, completed=3.0, error="process: context canceled"),
        Vertex("3", "[5/5] COPY not-there.py .", started=2.0),
        Vertex("4", "[5/5] COPY never begun"),
        Vertex("5", "exporting to image", started=2.0),
    )
    assert [step.error for step in progress.steps(unfinished="limit")] == ["", "limit", "limit"]


# ── blame ───────────────────────────────────────────────────────────────────────────────

RUN = "[4/5] RUN echo done"
BLAME = [
    # the failed step, its error, whether it is the engine's fault
    (RUN, 'process "/bin/sh -c x" did not complete successfully: exit code: 1', False),
    (RUN, "executor failed running [/bin/sh -c x]: exit code: 137", False),
    (RUN, "executor failed running [/bin/sh -c x]: unable to find user n: no matching entries in passwd file", False),
    (RUN, 'process "nix" did not complete successfully: exec: "nix": executable file not found in $PATH', False),
    (RUN, 'process "/bin/sh -c true" did not complete successfully: network bridge not found', True),
    (RUN, "executor failed running [/bin/sh -c x]: runc did not terminate successfully: context canceled", True),
    (RUN, 'process "echo : no space left on device" did not complete successfully: exit code: 1', False),
    (RUN, "failed to mount /var/lib/docker/x: no space left on device", True),
    ("[3/5] COPY x .", '"/x: no space left on device" not found: not found', False),
    ("[3/5] COPY x .", "failed to copy files: copy file range failed: no space left on device", True),
    ("[1/5] FROM docker.io/library/x", "failed to register layer", True),
    ("[internal] load metadata for docker.io/library/x", "dial tcp: no such host", True),
    ("[internal] load remote build context", "failed to read downloaded context", True),
]


def blame(progress: BuildKitProgress, message: str) -> tuple[int | None, bool]:
    """The line that failed, and whether it is the engine's fault."""
    try:
        return progress.failure(message).line, False
    except EngineError:
        return None, True


@pytest.mark.parametrize(("name", "error", "ours"), BLAME)
def test_who_is_to_blame(name: str, error: str, ours: bool) -> None:
    progress = progress_of(Vertex("1", name, started=1.0, completed=2.0, error=error))
    assert blame(progress, f"failed to solve: {error}")[1] is ours


def test_the_step_that_failed_is_blamed_and_not_those_cancelled_because_of_it() -> None:
    progress = progress_of(
        Vertex("1", "[3/5] COPY x .", started=1.0, completed=2.0, error="context canceled"),
        Vertex("2", RUN, started=1.0, completed=2.0, error="executor failed running [x]: exit code: 2"),
    )
    assert progress.failure("executor failed running [x]: exit code: 2").line == 4
    assert [step.line for step in progress.steps() if step.error] == [4]


@pytest.mark.parametrize(
    ("message", "line", "ours"),
    [
        ("failed to solve with frontend x: dockerfile parse error line 3: unknown instruction: FRM", 3, False),
        ("dockerfile parse error on line 2: unknown flag: mont (did you mean mount?)", 2, False),
        ("Dockerfile parse error line 4: COPY requires at least two arguments", 4, False),
        ("WORKDIR requires exactly one argument", 2, False),
        ("COPY is there twice", None, False),
        ("context canceled", None, True),
        ("rpc error: code = Unavailable desc = transport is closing", None, True),
    ],
)
def test_an_error_without_a_step(message: str, line: int | None, ours: bool) -> None:
    assert blame(progress_of(), message) == (line, ours)


WALK = "failed to walk /var/lib/docker/tmp/buildkit-mount1/src: lstat /var/lib/docker/tmp/buildkit-mount1/src/a b.py"
PLAIN = [
    ('failed to solve: failed to calculate checksum of ref f3c6f1f8-f4af::6s7bkn6yxsy: "/a b": not found',
     '"/a b" not found'),
    (f"failed to compute cache key: {WALK}: no such file or directory",
     '"src/a b.py" not found in the build context'),
]  # fmt: skip


@pytest.mark.parametrize(("error", "plain"), PLAIN)
def test_errors_are_shown_without_what_differs(error: str, plain: str) -> None:
    assert plain_error(error) == plain


# ── lines ───────────────────────────────────────────────────────────────────────────────

ON_A_STAGE = b"""\
FROM python:3.9-slim AS below
ENV A=1
FROM below
RUN echo $A
RUN false
FROM scratch AS last
COPY a /
COPY b /
"""
LINES = [
    (TWO_STAGES, "[made 1/2] FROM docker.io/library/python:3.9-slim", 1),
    (TWO_STAGES, "[made 2/2] RUN echo ready > /ready", 2),
    (TWO_STAGES, "[stage-1 2/3] COPY --from=made /ready /", 6),
    (TWO_STAGES, "[linux/amd64 stage-1 3/3] RUN pip install     --no-index nmupy", 7),
    (TWO_STAGES, "[stage-1 9/9] RUN something else", None),
    (TWO_STAGES, "[internal] load build definition from Dockerfile", None),
    (TWO_STAGES, "exporting to image", None),
    # Engine 20.10 calls a step by another build's stage and number where two ask for the same at a time.
    (TWO_STAGES, "[libraries 1/4] FROM docker.io/library/python:3.9-slim", 1),
    (TWO_STAGES, "[libraries 2/4] RUN pip install --no-index nmupy", 7),
    (TWO_STAGES, "[2/9] RUN pip install --no-index nmupy", 7),
    (TWO_STAGES, "[libraries 3/4] RUN something else", None),
    (ON_A_STAGE, "[below 1/1] FROM docker.io/library/python:3.9-slim", 1),
    (ON_A_STAGE, "[stage-1 1/2] RUN echo 1", 4),
    (ON_A_STAGE, "[stage-1 2/2] RUN false", 5),
    (ON_A_STAGE, "[last 1/2] COPY a /", 7),
    (ON_A_STAGE, "[last 2/2] COPY b /", 8),
    (b"FROM x\nENV A=script.py\nCOPY $A /app/\n", "[2/2] COPY script.py /app/", 3),
]


@pytest.mark.parametrize(("dockerfile", "name", "line"), LINES)
def test_lines_of_steps(dockerfile: bytes, name: str, line: int | None) -> None:
    assert step_line(name, parse(dockerfile)) == line
