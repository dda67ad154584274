"""What is concluded from a build, and how checks wait for one another."""

from __future__ import annotations

import pytest

from grader.models import BuildFailed, BuildStep, CheckStatus, RunOutcome, RunRequest
from tests.worlds import check, graded, image, predictor, printed, statuses


def test_a_right_submission_gets_full_points() -> None:
    report = graded("3.1.4", image(), predictor)
    assert (report.status, report.score) == ("passed", 10)
    assert set(statuses(report).values()) == {"passed"}


def test_what_needs_a_failed_check_is_blocked_and_names_it() -> None:
    report = graded("3.1.1", BuildFailed("boom", line=2), predictor)
    assert report.score == 0
    assert statuses(report) == dict.fromkeys(["script", "python", "numpy", "prints"], "blocked") | {"builds": "failed"}
    assert "The Dockerfile builds" in check(report, "script").message


def test_nothing_is_run_for_blocked_checks() -> None:
    asked: list[RunRequest] = []

    def program(request: RunRequest) -> RunOutcome:
        asked.append(request)
        return printed("hello\n")

    graded("3.1.4", image(), program)
    assert [request for request in asked if not request.replaced and request.entrypoint is None] == []


def failed_step(name: str, log: str = "") -> BuildFailed:
    return BuildFailed("exit code: 1", line=2, steps=(BuildStep(name, log=log, error="exit code: 1"),))


@pytest.mark.parametrize(
    ("built", "hint"),
    [
        (failed_step("[2/3] RUN pip install x9", "No matching distribution found for x9"), "letter by letter"),
        (failed_step("[2/3] COPY ../x /app/"), "build context"),
        (failed_step("[2/3] RUN make"), "while the image is being built"),
        (BuildFailed("unknown instruction: FRM", line=1), "misspelt"),
        (BuildFailed("stopped", ended="timed_out", seconds=300), "come to its end"),
        (BuildFailed("no heredoc here", unsupported="heredoc", line=2), "Docker 23"),
    ],
)
def test_a_failed_build_is_explained(built: BuildFailed, hint: str) -> None:
    verdict = check(graded("3.1.1", built, predictor), "builds")
    assert verdict.status is CheckStatus.FAILED
    assert hint in verdict.hint
    assert verdict.line == built.line
    assert verdict.reproduce == "docker build -t sales-predictor ."


def test_a_misnamed_dockerfile_is_named() -> None:
    verdict = check(graded("3.1.1", image(), predictor, **{"Dockerfile.txt": b"FROM x"}), "builds")
    assert "Dockerfile.txt" in verdict.message
    assert "no extension" in verdict.hint
