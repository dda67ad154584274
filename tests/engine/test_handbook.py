"""Every command of the handbook is run, and prints what the page says.

A page is its code blocks, in order: a block with a title is a file of that name; a `console` block has commands after
`$ ` and what they print. In that, `…` stands for anything within a line, and alone in a line for any lines. All pages
run in one nested engine, which has Docker, Buildx and Compose of one version and nothing of the user's in it.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from grader.engine.docker_engine import connect
from grader.engine.tar import write_tar
from grader.models import MemoryFile
from grader.sandbox.nested_engine import PrivateSettings, start_private_engine

ROOT = Path(__file__).parents[2]
HANDBOOK = ROOT / "docs" / "handbook"
PAGES = sorted(path.name for path in HANDBOOK.glob("*.md") if "```console" in path.read_text(encoding="utf-8"))
STARTED: dict[str, str] = yaml.safe_load((HANDBOOK / "index.yaml").read_text(encoding="utf-8"))["starter"]
BASE = "python:3.9-slim"
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
"""With it, Compose moves a terminal's cursor."""

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("handbook"), pytest.mark.timeout(600)]


def blocks(page: str) -> Iterator[tuple[int, str, str, str]]:
    """The code blocks of a page, in order: where they begin, their language, their title if any, what is in them."""
    for block in re.finditer(r'(?ms)^```(\w+)(?: title="(.+?)")?\n(.*?)^```$', page):
        yield page.count("\n", 0, block.start()) + 2, block[1], block[2] or "", block[3]


def commands(block: str) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """The commands of a `console` block: where in it they stand, they, and the lines that they print."""
    lines = block.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("$ ")]
    assert starts[:1] == [0], "a console block begins with a command"
    for start, end in itertools.pairwise([*starts, len(lines)]):
        yield start, lines[start].removeprefix("$ "), tuple(lines[start + 1 : end])


def matches(expected: tuple[str, ...], actual: str) -> bool:
    """Whether a command printed what the page says. How wide a table's columns are does not count."""
    pattern = ""
    for line in expected:
        words = " ".join(line.split())
        within = r"[^\n]*".join(re.escape(part) for part in words.split("…"))
        pattern += r"(?:[^\n]*\n)*?" if words == "…" else within + r"\n"
    lines = [" ".join(line.split()) for line in actual.strip().splitlines()]
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in lines)) is not None


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The nested engine's container, in which the pages' commands run."""
    with connect(builder="buildkit") as host:
        settings = PrivateSettings((BASE,), os.environ)
        with start_private_engine(host, settings, print) as engine:
            yield engine.container


def inside(container: str, command: str, folder: str = "/", content: bytes = b"") -> str:
    """Run a command of the shell in the nested engine's container: all that it prints."""
    prepared = f'exec 2>&1; export DOCKER_HOST="unix://$SOCKET"; {command}'
    words = ["docker", "exec", "-i", "-w", folder, "-e", "HOME=/root", container, "bash", "-c", prepared]
    done = subprocess.run(words, input=content, capture_output=True, check=False)
    return _CONTROL.sub("", done.stdout.decode())


def put(container: str, folder: str, name: str, content: bytes) -> None:
    assert inside(container, "tar -x", folder, write_tar([MemoryFile(name, content)], modified=0)) == ""


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_print_what_it_says(container: str, page: str) -> None:
    keep = f"grep -v ^{BASE}"
    clean = "docker ps -aq | xargs -r docker rm -fv; docker volume ls -q | xargs -r docker volume rm"
    inside(
        container, f"{clean}; docker images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' | {keep} | xargs -r docker rmi"
    )
    folder = f"/root/{page.removesuffix('.md')}"
    inside(container, f"mkdir -p {folder}")
    if started := STARTED.get(page):
        for path in sorted((ROOT / "starter" / started).iterdir()):
            put(container, folder, path.name, path.read_bytes())
    for begins, language, title, block in blocks((HANDBOOK / page).read_text(encoding="utf-8")):
        if title:
            put(container, folder, title, block.encode())
        if title or language != "console":
            continue
        for at, command, shown in commands(block):
            printed = inside(container, command, folder)
            # A busy engine may lose the output of a run that ends at once: such a run is repeated.
            if not printed and shown and command.startswith("docker run --rm"):
                printed = inside(container, command, folder)
            expected = "\n".join(shown)
            assert matches(shown, printed), (
                f"{page}:{begins + at}: {command}\n-- the page says\n{expected}\n-- it printed\n{printed}"
            )
