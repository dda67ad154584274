"""Building: what comes of right and wrong Dockerfiles, limits, and whose fault it is."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from grader.engine.docker_engine import DockerEngine
from grader.engine.watchdog import Cancelled
from grader.errors import EngineError
from grader.models import BuildFailed, BuildStep, Built, Exited, RunRequest
from tests.engine.contexts import BASE, LIMITS, Build, ignore, make_job

pytestmark = pytest.mark.engine

SCRIPT = b"import sys\nprint('The predicted sales for week 4 is', sum(map(float, sys.argv[1:])) / 3)\n"
APP = 'WORKDIR /app\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'


def unique() -> str:
    """An instruction that no build has seen before, so that what follows is not cached."""
    return f"ENV UNIQUE={uuid.uuid4().hex}\n"


def test_a_solution_builds_and_runs(engine: DockerEngine) -> None:
    assert engine.info().builder == "buildkit"
    told: list[BuildStep] = []
    built = engine.build(make_job(APP, {"sales_predictor.py": SCRIPT}), LIMITS, told.append)
    assert isinstance(built, Built)
    assert built.config.entrypoint == ("python", "/app/sales_predictor.py")
    assert built.config.working_dir == "/app"
    assert built.image.startswith("sha256:")
    assert [(step.name.split("] ")[1].split()[0], step.line) for step in built.steps] == [
        ("FROM", 1),
        ("WORKDIR", 2),
        ("COPY", 3),
    ]
    assert {step.name for step in told} == {step.name for step in built.steps}
    outcome = engine.run(built.image, RunRequest(args=("100", "120", "110")), LIMITS)
    assert outcome.ended == Exited(0)
    assert outcome.stdout == b"The predicted sales for week 4 is 110.0\n"


def test_a_second_build_is_cached(build: Build) -> None:
    dockerfile = unique() + "RUN echo made\nCOPY a /a\n"
    first, second = build(dockerfile, {"a": b"1"}), build(dockerfile, {"a": b"1"})
    assert isinstance(first, Built)
    assert isinstance(second, Built)
    assert not any(step.cached for step in first.steps if "RUN" in step.name)
    assert all(step.cached for step in second.steps if "FROM" not in step.name)
    assert next(step.log for step in first.steps if "RUN" in step.name) == "made\n"


def test_equal_images_are_removed_one_by_one(engine: DockerEngine, made: Callable[..., str]) -> None:
    image, _ = (made('ENTRYPOINT ["python", "-c", "print(1)"]\n') for _ in range(2))
    engine.remove_image(image)
    assert engine.run(image, RunRequest(), LIMITS).stdout == b"1\n"
    engine.remove_image(image)
    engine.remove_image(image)
    assert engine.image_labels(image) is None


def test_what_needs_buildkit_builds(engine: DockerEngine, made: Callable[..., str]) -> None:
    dockerfile = (
        "COPY --chmod=755 tool /usr/bin/tool\n"
        "RUN --mount=type=cache,target=/root/.cache echo kept > /root/.cache/it && ls /root/.cache\n"
        'CMD ["tool"]\n'
    )
    image = made(dockerfile, {"tool": b"#!/bin/sh\necho from the tool; ls /root/.cache\n"})
    assert engine.run(image, RunRequest(), LIMITS).stdout == b"from the tool\n"


def test_cache_mounts_are_each_submissions_own(engine: DockerEngine) -> None:
    job = make_job("RUN --mount=type=cache,target=/kept date +%s%N > /kept/poison\n")
    assert isinstance(engine.build(replace(job, caches="eve"), LIMITS, ignore), Built)
    for caches, seen in (("eve", "-s"), ("ada", "! -e")):
        job = make_job(f"RUN --mount=type=cache,target=/kept test {seen} /kept/poison\n")
        assert isinstance(engine.build(replace(job, caches=caches), LIMITS, ignore), Built)


def test_multi_stage_lines(build: Build) -> None:
    dockerfile = f"""\
FROM {BASE} AS first
RUN echo one \\
    # a comment in the middle
    two > /made

FROM {BASE}
COPY --from=first /made /made
RUN test -e /not-there
"""
    failed = build(dockerfile)
    assert isinstance(failed, BuildFailed)
    assert failed.line == 8
    assert {step.line for step in failed.steps} == {1, 2, 7, 8}  # both FROM are one step, called by either


FAILURES = [
    # Dockerfile (line 1 is FROM), line, words of the message, words of the failed step's log
    ("\nRUN pip install --no-index nmupy-for-grader\n", 3, "exit code: 1", "No matching distribution found"),
    ("COPY not-there.py /app/\n", 2, '"/not-there.py" not found', ""),
    ("WORKDIR /app\nCOPY ../sales_predictor.py .\n", 3, '"/sales_predictor.py" not found', ""),
    ("COPY one\n", 2, "COPY requires at least two arguments", ""),
    ("USER nobody-here\nRUN true\n", 3, "nobody-here", ""),
    ("RUN echo one && echo two >&2 && exit 3\n", 2, "exit code: 3", "two"),
]


@pytest.mark.parametrize(("dockerfile", "line", "message", "log"), FAILURES)
def test_a_students_mistake_has_its_line(build: Build, dockerfile: str, line: int, message: str, log: str) -> None:
    failed = build(dockerfile)
    assert isinstance(failed, BuildFailed), failed
    assert (failed.ended, failed.line, failed.unsupported) == ("failed", line, "")
    assert message in failed.message
    assert log in "".join(step.log for step in failed.steps if step.error)


def test_a_base_image_that_cannot_be_had_is_not_the_students_mistake(build: Build) -> None:
    with pytest.raises(EngineError, match="not to blame"):
        build("FROM grader.invalid/no-such-image:1\nRUN true\n")


def test_heredocs_build_or_are_told_as_what_they_are(engine: DockerEngine, build: Build) -> None:
    result = build("RUN <<EOF\necho hello > /hello\nEOF\n")
    if int(engine.info().version.split(".")[0]) >= 23:
        assert isinstance(result, Built)
    else:
        assert isinstance(result, BuildFailed)
        assert (result.unsupported, result.line) == ("heredoc", 2)
        assert "heredoc" in result.message


# ── limits ──────────────────────────────────────────────────────────────────────────────


def processes(words: str) -> list[str]:
    """Command lines of this machine's processes that contain `words`."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if words in line]


def until_gone(words: str) -> list[str]:
    until = time.monotonic() + 10
    while processes(words) and time.monotonic() < until:
        time.sleep(0.05)
    return processes(words)


@pytest.mark.parametrize(
    ("command", "limit", "ended"),
    [("sleep MARK", {"build_seconds": 3}, "timed_out"), ("yes MARK", {"build_output_kb": 64}, "output_limit")],
)
@pytest.mark.parametrize("builder", ["buildkit", "classic"])
def test_a_build_ends_at_its_limit(
    connected: Callable[..., DockerEngine], builder: str, command: str, limit: dict[str, int], ended: str
) -> None:
    marker = f"1000.{time.time_ns()}"
    job = make_job(f"{unique()}RUN {command.replace('MARK', marker)}\n")
    failed = connected(builder).build(job, replace(LIMITS, **limit), ignore)
    assert isinstance(failed, BuildFailed)
    assert (failed.ended, failed.line) == (ended, 3)
    assert ended != "timed_out" or "limit of 3 s" in failed.message
    assert sum(len(step.log) for step in failed.steps) < 64 * 1024
    assert until_gone(marker) == []


def test_cancel_ends_a_build(engine: DockerEngine) -> None:
    marker = f"1000.{time.time_ns()}"
    threading.Timer(2, engine.cancel).start()
    with pytest.raises(Cancelled):
        engine.build(make_job(f"{unique()}RUN sleep {marker}\n"), LIMITS, ignore)
    assert until_gone(marker) == []
    with pytest.raises(Cancelled):
        engine.build(make_job(unique()), LIMITS, ignore)


def test_ctrl_c_in_a_build_leaves_nothing(engine: DockerEngine) -> None:
    marker = f"1000.{time.time_ns()}"

    def interrupt(_: BuildStep) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.build(make_job(f"{unique()}RUN echo\nRUN sleep {marker}\n"), LIMITS, interrupt)
    assert until_gone(marker) == []


# ── other builders ──────────────────────────────────────────────────────────────────────


def test_the_classic_builder_works_too(connected: Callable[..., DockerEngine]) -> None:
    engine = connected("classic")
    job = make_job(APP, {"sales_predictor.py": SCRIPT})
    first, second = (engine.build(job, LIMITS, ignore) for _ in range(2))
    assert isinstance(first, Built)
    assert isinstance(second, Built)
    assert [step.line for step in first.steps] == [1, 2, 3, 4]
    assert [step.cached for step in second.steps] == [False, True, True, True]
    assert engine.run(first.image, RunRequest(args=("1", "2", "3")), LIMITS).ended == Exited(0)
    for dockerfile, line, words in (
        ("RUN echo one\nRUN echo two >&2; exit 3\n", 3, "non-zero code: 3"),
        ("COPY not-there /\n", 2, "not-there"),
    ):
        failed = engine.build(make_job(dockerfile), LIMITS, ignore)
        assert isinstance(failed, BuildFailed)
        assert failed.line == line
        assert words in failed.message
