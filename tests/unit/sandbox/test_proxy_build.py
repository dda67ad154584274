"""What a build prints, from BuildKit's own messages; and the program, which brings all that it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from grader.sandbox.nested_engine import program_files
from grader.sandbox.proxy.build import Printer

RUN = "Step made 2/2 : RUN echo ready > /ready"
RECORDED = Path(__file__).parents[1] / "recorded"
FAILED = 'process "/bin/sh -c pip install     --no-index nmupy" did not complete successfully: exit code: 1'


def printed(name: str, step: int, *, quiet: bool = False) -> tuple[str, dict[str, object]]:
    """The text that the docker command prints for a recorded build, and the last message."""
    told = (RECORDED / name).read_bytes()
    printer = Printer(["app"], quiet)
    pieces = [told[at : at + step] for at in range(0, len(told), step)]
    messages = [json.loads(line) for piece in pieces for line in printer.feed(piece)]
    return "".join(one.get("stream", "") for one in messages), messages[-1]


@pytest.mark.parametrize(("step", "quiet"), [(7, False), (100_000, False), (100_000, True)])
def test_a_failing_build_reads_like_dockers(step: int, quiet: bool) -> None:
    text, last = printed("engine-26.1-1.jsonl", step, quiet=quiet)
    lines = text.splitlines()
    assert lines[:3] == ["Step made 1/2 : FROM docker.io/library/python:3.9-slim", " ---> Using cache", RUN]
    assert any("No matching distribution found for nmupy" in line for line in lines)
    assert (last["error"], last["errorDetail"]) == (FAILED, {"message": FAILED, "code": 1})


def test_a_quiet_build_prints_the_image_alone() -> None:
    image = "sha256:" + "12" * 32
    for quiet, text in (
        (True, f"{image}\n"),
        (False, "Successfully built 121212121212\nSuccessfully tagged app:latest\n"),
    ):
        printer = Printer(["app"], quiet)
        told = json.dumps({"id": "moby.image.id", "aux": {"ID": image}}).encode() + b"\r\n"
        messages = [json.loads(line) for line in printer.feed(told)]
        assert messages[0] == {"aux": {"ID": image}}
        assert "".join(one["stream"] for one in messages[1:]) == text


def test_the_program_brings_all_that_it_imports(tmp_path: Path) -> None:
    """It runs in a container that has Python and nothing else."""
    for file in program_files():
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).write_bytes(file.content)
    main = (tmp_path / "main.py").read_text(encoding="utf-8").replace("main()\n", "")
    misspelt = "from grader.dockerfile.parser import parse\nassert 'FORM' in parse(b'FORM x').message"
    shown = f"{main.replace('__file__', repr(str(tmp_path / 'main.py')))}\n{misspelt}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-ISB", "-c", shown], capture_output=True, text=True, check=True)
    known = {*sys.stdlib_module_names, "grader", "h11", "e2b_dockerfile_utils", "yaml"}
    assert {name.partition(".")[0] for name in done.stdout.split()} - known == {"__main__"}
