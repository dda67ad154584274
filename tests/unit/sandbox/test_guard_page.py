"""docs/guard.md is made from the tests of the guard, so that it lists what is tried and nothing else.

To write it again: `python -m tests.unit.sandbox.test_guard_page`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from grader.sandbox.proxy.buildkit import METHODS
from grader.sandbox.proxy.quota import DEFAULT
from grader.sandbox.proxy.session import METHODS as SERVED
from tests.engine.test_guard import COMMANDS, FORBIDDEN, RAW
from tests.engine.test_guard_buildkit import CALLS, FOLDERS
from tests.unit.sandbox.test_guard_buildkit import ASKED
from tests.unit.sandbox.test_guard_bypasses import HOST, OTHER_BODIES, REQUESTS, TYPES
from tests.unit.sandbox.test_guard_relay import REFUSED as FRAMES
from tests.unit.sandbox.test_guard_session import REFUSED as PACKETS
from tests.unit.sandbox.test_guard_sessionrelay import ODD

PAGE = Path(__file__).parents[3] / "docs" / "guard.md"
_GROUPS = ("builder", "buildx", "compose", "container", "image", "network", "system", "volume")


def working() -> Iterator[str]:
    """The docker commands that are seen to work, without their options; `DOCKER_BUILDKIT=0` where it is set."""
    for script in COMMANDS.values():
        for classic, line in re.findall(r"(DOCKER_BUILDKIT=0 )?\bc (docker [^;\n]+)", script):
            words = line.split()
            yield classic + " ".join(words[: 3 if words[1] in _GROUPS else 2])


def options() -> Iterator[str]:
    """The options of `docker run` among them."""
    for script in COMMANDS.values():
        for line in re.findall(r"\bc docker run ([^;\n]+)", script.replace("\\\n", " ")):
            yield from re.findall(r"(?<=\s)--?[a-z][a-z-]*", f" {line}".partition(" python ")[0])


def table(head: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    """Two columns, each row a pair of texts in Markdown."""
    return [head, "|---|---|", *(f"| {one.replace('|', chr(92) + '|')} | {other} |" for one, other in rows), ""]


def page() -> str:
    """The whole page."""
    commands = sorted(set(working()))
    run = sorted(set(options()))
    quota = (f"{getattr(DEFAULT, kind):,} {kind}" for kind in DEFAULT.__slots__)
    fields = [*HOST, *OTHER_BODIES, *(f"body of type {one}" for one in TYPES)]
    methods = sorted(method.rpartition(".")[2] for method in METHODS)
    lines = [
        "# The guard, request by request",
        "",
        "Made from the tests (`tests/unit/test_guard_page.py`); what the guard is stands in",
        "[private-engine.md](private-engine.md). Commands are tried with the real docker command and Compose against a",
        "real engine (`make test-private`), requests without one (`make test`).",
        "",
        f"## What works: {len(commands)} commands",
        "",
        "Exit code 0, nothing refused (`engine/test_guard`):",
        "",
        ", ".join(f"`{one}`" for one in commands) + ".",
        "",
        "`docker run` with " + ", ".join(f"`{one}`" for one in run) + ".",
        "",
        f"## What is refused: {len(FORBIDDEN)} commands",
        "",
        *table("| command (`engine/test_guard`) | what is said |", ((f"`{one}`", words) for one, words in FORBIDDEN)),
        f"## What is refused: {len(fields) + len(REQUESTS) + len(RAW)} requests",
        "",
        *table(
            "| request (`unit/test_guard_bypasses`) | first line |", ((n, f"`{r[0]}`") for n, r in REQUESTS.items())
        ),
        f"Besides, to make a container, {len(fields)} bodies (`unit/test_guard_bypasses`): {'; '.join(fields)}. And",
        f"{len(RAW)} raw requests to a real engine (`engine/test_guard`): {'; '.join(RAW)}. A script that sends",
        "others over the socket itself is `hostile/74-raw-requests`.",
        "",
        f"## What is refused: {len(ASKED) + len(FRAMES) + len(CALLS)} calls of BuildKit",
        "",
        "`docker build` and Compose call BuildKit over HTTP/2. These go on, made anew (the last is answered here):",
        f"{', '.join(f'`{one}`' for one in methods)}. Refused are",
        f"{len(ASKED)} calls (`unit/test_guard_buildkit`): {'; '.join(ASKED)}.",
        "",
        f"Of the way in which calls are made ({len(FRAMES)}, `unit/test_guard_relay`): {'; '.join(FRAMES)}. And",
        f"{len(CALLS)} calls to a real engine (`engine/test_guard_buildkit`): {'; '.join(CALLS)}.",
        "",
        f"## What is refused: {len(PACKETS) + len(ODD) + len(FOLDERS)} answers in a session of BuildKit",
        "",
        "While it builds, BuildKit calls the client. These calls reach it, and what it answers is made anew:",
        f"{', '.join(f'`{one}`' for one in sorted(SERVED))}. Refused are",
        f"{len(PACKETS)} folders (`unit/test_guard_session`): {'; '.join(PACKETS)}.",
        "",
        f"Of the way in which answers are given ({len(ODD)}, `unit/test_guard_sessionrelay`): {'; '.join(ODD)}. And",
        f"{len(FOLDERS)} folders to a real engine (`engine/test_guard_buildkit`): {'; '.join(FOLDERS)}.",
        "",
        "## How much one script may ask for",
        "",
        f"{', '.join(quota)}; 64 connections are served at once, 64 more wait (`unit/test_guard_quota`).",
        "",
    ]
    return "\n".join(lines)


def test_the_page_lists_what_is_tried() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tests.unit.sandbox.test_guard_page`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
