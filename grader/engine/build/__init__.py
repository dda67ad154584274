"""Three ways to build an image, and the probe that finds the one that works on this engine.

1. `buildkit`: BuildKit through the engine's API, the builder behind the student's own `docker build`.
2. `buildx`: the docker CLI with its buildx plugin, where the engine's API cannot do 1 (reported for
   engines that use the containerd image store, moby issue 47717).
3. `classic`: the engine's first builder, the last resort.

Each is a function with the same arguments and answers (`grader.engine.build.builder.Builder`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, cast, get_args

from grader.dockerfile.parser import Dockerfile, parse
from grader.engine.build.builder import Builder, BuildOrder
from grader.engine.build.buildkit import build_with_buildkit
from grader.engine.build.buildx import build_with_buildx, buildx_works
from grader.engine.build.classic import build_classic
from grader.engine.http import Connection
from grader.engine.protocol import BuildJob
from grader.engine.tar import write_tar
from grader.engine.watchdog import Cancellation
from grader.errors import EngineError, UsageError
from grader.models import BuildFailed, Built, MemoryFile

BuilderName = Literal["buildkit", "buildx", "classic"]

BUILDERS: dict[BuilderName, Builder] = {
    "buildkit": build_with_buildkit,
    "buildx": build_with_buildx,
    "classic": build_classic,
}


def builder_name(text: str) -> BuilderName:
    """The builder of that name. `UsageError` if there is none."""
    for name in get_args(BuilderName):
        if text == name:
            return name  # type: ignore[no-any-return]  # get_args is typed as a tuple of Any
    raise UsageError(f"There is no builder called {text!r}. Known are: {', '.join(get_args(BuilderName))}.")


def find_builder(connection: Connection, order: BuildOrder, remove: Callable[[str], None]) -> BuilderName:
    """Try to build `order` (see `probe_order`) with BuildKit; else buildx, if it is installed; else classic.

    `remove` is called with the tag of the image that the probe made.
    """
    try:
        made = build_with_buildkit(connection, order, Cancellation(), lambda _: None)
    except EngineError:
        made = BuildFailed("The engine's API has no BuildKit.")
    if isinstance(made, Built):
        remove(order.tag)
        if made.steps:  # without trace messages it was another builder that took no notice of the version
            return "buildkit"
    return "buildx" if buildx_works(connection.endpoint) else "classic"


def probe_order(tag: str, labels: tuple[tuple[str, str], ...]) -> BuildOrder:
    """A build that needs no base image, no network and no shell."""
    content = b"FROM scratch\nCOPY Dockerfile /\n"
    dockerfile = cast("Dockerfile", parse(content))
    context = write_tar([MemoryFile("Dockerfile", content)], modified=0)
    return BuildOrder(BuildJob(context, dockerfile, "probe"), tag, labels, seconds=30, log_bytes=2**20)


# ── what a builder does not know ────────────────────────────────────────────────────────

_SINCE_23 = {"heredoc", "link"}
"""What the engine's BuildKit knows since Docker 23 (its release notes). `RUN --mount` and `COPY --chmod` are older."""
_WRITTEN = {"heredoc": "a heredoc (<<)", "mount": "RUN --mount", "chmod": "COPY --chmod", "link": "COPY --link"}


def unsupported(dockerfile: Dockerfile, builder: BuilderName, engine_version: str) -> BuildFailed | None:
    """Why this Dockerfile cannot be built here although it is right, or None."""
    if builder == "buildx":
        return None
    major = re.match(r"\d+", engine_version)
    old = major is not None and int(major[0]) < 23  # noqa: PLR2004 - see above
    for feature in dockerfile.features:
        if builder == "classic" or (old and feature.name in _SINCE_23):
            needed = "Docker 23 or later" if builder == "buildkit" else "BuildKit"
            return BuildFailed(
                f"Line {feature.line} uses {_WRITTEN[feature.name]}, which needs {needed}. "
                f"This engine is Docker {engine_version}, and builds with {builder}.",
                line=feature.line,
                unsupported=feature.name,
            )
    return None
