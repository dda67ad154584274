"""`grader batch` on an engine where limits do not hold: played by a base image whose Python says that it got all."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, Grader, docker

pytestmark = pytest.mark.engine

IMAGE = "grader-test-unbounded:1"
ALL = (
    "memory got all 256\\nprocesses got all 100\\nCPU 0.20 s in 4.10 s, throttled: yes\\n/tmp stopped at 8\\n"
    "network lo\\nprivileges 0x0, no new ones: 1\\n"
)


@pytest.fixture
def unbounded(tmp_path: Path) -> Iterator[Path]:
    """A course whose first base image lies so."""
    # From scratch, without the labels by which the grader knows a base image as one that it made.
    lines = (
        "FROM python:3.9-slim AS honest",
        f"RUN printf '#!/bin/sh\\nprintf \"{ALL}\"\\n' > /usr/local/bin/python3",
        "FROM scratch",
        "COPY --from=honest / /",
    )
    dockerfile = "\n".join(lines) + "\n"
    built = subprocess.run(
        ["docker", "build", "-q", "-t", IMAGE, "-"], input=dockerfile, text=True, capture_output=True, check=False
    )
    assert built.returncode == 0, built.stderr
    course = tmp_path / "course"
    course.mkdir()
    for name in ("starter", "reference"):
        shutil.copytree(ROOT / name, course / name)
    text = (ROOT / "exercises.yaml").read_text(encoding="utf-8")
    changed = text.replace("names: [", f'names: ["{IMAGE}", ', 1)
    assert changed != text
    (course / "exercises.yaml").write_text(changed, encoding="utf-8")
    yield course
    docker("rmi", IMAGE)


def test_a_batch_does_not_start_without_a_limit_unless_it_is_waived(
    grader: Grader, unbounded: Path, tmp_path: Path
) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "roster.csv").write_text("student\nada\n", encoding="utf-8")
    words = (
        "--course", str(unbounded), "batch", str(tmp_path / "class"), "--out", str(tmp_path / "out"),
        "--roster", str(tmp_path / "roster.csv"), "--exercise", "3.1.4", "--engine", "host",
    )  # fmt: skip
    refused = grader(*words, XDG_CACHE_HOME=str(tmp_path))
    assert refused.returncode == 3, refused.stderr
    assert '--waive "run memory" --waive "run processes"' in refused.stderr
    assert '--waive "run CPU"' not in refused.stderr
    assert not (tmp_path / "out" / "report.html").exists()
    half = grader(*words, "--waive", "run memory", XDG_CACHE_HOME=str(tmp_path))
    assert half.returncode == 3, half.stderr
    assert '--waive "run memory"' not in half.stderr
    done = grader(*words, "--waive", "run memory", "--waive", "run processes", XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "waived, not enforced: run memory, run processes" in page
    assert re.search("held: [^;<]*run CPU", page)
