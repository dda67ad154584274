"""`grader check` against a small Docker: whose work is graded sees the report, whatever the engine does then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from grader.models import RunOutcome, RunRequest
from tests.faultengine import FaultEngine, Reply, SmallDocker, as_json
from tests.worlds import ROOT, predictor

DOCKERFILE = 'FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'


def work(_context: bytes, request: RunRequest) -> RunOutcome:
    return predictor(request)


def test_an_engine_that_does_not_remove_what_was_made_does_not_cost_the_report(tmp_path: Path) -> None:
    folder = tmp_path / "3.1.4"
    folder.mkdir()
    (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
    (folder / "sales_predictor.py").write_text("print()\n", encoding="utf-8")

    def busy(route: str) -> Reply | None:
        if route != "GET /images/json":
            return None
        return as_json({"message": "device or resource busy"}, 500)

    with FaultEngine(tmp_path / "engine.sock", SmallDocker(work, busy)):
        done = subprocess.run(
            [sys.executable, "-m", "grader", "--course", str(ROOT), "check", str(folder)],
            capture_output=True, text=True, check=False, timeout=120,
            env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/engine.sock", "GRADER_BUILDER": "buildkit"},
        )  # fmt: skip
    assert "10 / 10" in done.stdout, done.stderr
    assert "`grader prune`" in done.stderr
    assert done.returncode == 0
