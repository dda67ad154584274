"""What builders do not know."""

from __future__ import annotations

import pytest

from grader.engine.build.builders import BuilderName, unsupported
from tests.dockerfiles import dockerfile as read_dockerfile

HEREDOC = b"FROM x\n\nRUN <<EOF\necho\nEOF\n"
MOUNT = b"FROM x\nRUN --mount=type=cache,target=/c true\n"
CHMOD = b"FROM x\nCOPY --chmod=755 a b\n"
LINK = b"FROM x\nCOPY --link a b\n"
PLAIN = b"FROM x\nRUN echo '<<EOF' --mount=a\n"

FEATURES: list[tuple[bytes, BuilderName, str, tuple[str, int] | None]] = [
    (HEREDOC, "buildkit", "20.10.24+dfsg1", ("heredoc", 3)),
    (HEREDOC, "buildkit", "23.0.0", None),
    (HEREDOC, "buildkit", "library-import", None),
    (MOUNT, "buildkit", "20.10.24", None),
    (CHMOD, "buildkit", "20.10.24", None),
    (LINK, "buildkit", "20.10.24", ("link", 2)),
    (PLAIN, "buildkit", "20.10.24", None),
    (HEREDOC, "classic", "5.4.2", None),
]


@pytest.mark.parametrize(("dockerfile", "builder", "version", "expected"), FEATURES)
def test_what_a_builder_does_not_know(
    dockerfile: bytes, builder: BuilderName, version: str, expected: tuple[str, int] | None
) -> None:
    told = unsupported(read_dockerfile(dockerfile), builder, version)
    assert (told and (told.unsupported, told.line)) == expected
    assert told is None or version in told.message
