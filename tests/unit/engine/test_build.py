"""What builders do not know, and the messages of buildx."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grader.engine.build import BuilderName, unsupported
from grader.engine.build.buildx import rawjson_parts
from grader.engine.build.trace import Progress, Status
from tests.dockerfiles import dockerfile as read_dockerfile

RECORDED = Path(__file__).parents[1] / "recorded"

HEREDOC = b"FROM x\n\nRUN <<EOF\necho\nEOF\n"
MOUNT = b"FROM x\nRUN --mount=type=cache,target=/c true\n"
CHMOD = b"FROM x\nCOPY --chmod=755 a b\n"
LINK = b"FROM x\nCOPY --link a b\n"
PLAIN = b"FROM x\nRUN echo '<<EOF' --mount=a\n"

FEATURES: list[tuple[bytes, BuilderName, str, tuple[str, int] | None]] = [
    (HEREDOC, "buildkit", "20.10.24+dfsg1", ("heredoc", 3)),
    (HEREDOC, "buildkit", "23.0.0", None),
    (HEREDOC, "buildkit", "library-import", None),
    (HEREDOC, "classic", "28.0.0", ("heredoc", 3)),
    (HEREDOC, "buildx", "20.10.24", None),
    (MOUNT, "buildkit", "20.10.24", None),
    (MOUNT, "classic", "28.0.0", ("mount", 2)),
    (CHMOD, "buildkit", "20.10.24", None),
    (CHMOD, "classic", "20.10.24", ("chmod", 2)),
    (LINK, "buildkit", "20.10.24", ("link", 2)),
    (PLAIN, "classic", "20.10.24", None),
]


@pytest.mark.parametrize(("dockerfile", "builder", "version", "expected"), FEATURES)
def test_what_a_builder_does_not_know(
    dockerfile: bytes, builder: BuilderName, version: str, expected: tuple[str, int] | None
) -> None:
    told = unsupported(read_dockerfile(dockerfile), builder, version)
    assert (told and (told.unsupported, told.line)) == expected
    assert told is None or version in told.message


def test_messages_of_buildx_are_those_of_buildkit() -> None:
    parts = list(rawjson_parts((RECORDED / "buildx-0.13.txt").read_bytes().splitlines(keepends=True)))
    progress = Progress(read_dockerfile((RECORDED / "two-stages.Dockerfile").read_bytes()))
    for part in parts:
        progress.add(part if isinstance(part, Status) else Status())
    assert [part for part in parts if isinstance(part, str)] == [
        "ERROR: failed to solve: executor failed running [/bin/sh -c pip install     --no-index nmupy]: exit code: 1"
    ]
    assert [step.line for step in progress.steps()] == [1, 2, 6, 7]
    (failed,) = [step for step in progress.steps() if step.error]
    assert "No matching distribution found for nmupy" in failed.log


def test_messages_of_later_versions_are_on_one_line() -> None:
    message = {"vertexes": [{"digest": "1", "name": "[1/1] FROM x", "started": "2026-01-02T03:04:05.123456789Z"}]}
    (status,) = rawjson_parts([json.dumps(message).encode() + b"\n"])
    assert isinstance(status, Status)
    assert status.vertices[0].started == pytest.approx(1767323045.123456)
