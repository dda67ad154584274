from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grader.dockerfile.parser import Unparsable, parse
from grader.dockerfile.policy import PolicyResult, judge_dockerfile
from tests.dockerfiles import ENTRIES, Entry, verdict

ROWS = yaml.safe_load(Path(__file__).with_name("policy.yaml").read_text(encoding="utf-8"))
ALLOWED = ("python:3.9", "python:3.9-slim", "python:3.9.*", "python:latest")


def judged(text: str | bytes, platform: str = "linux/amd64") -> PolicyResult:
    return judge_dockerfile(parse(text if isinstance(text, bytes) else text.encode()), ALLOWED, platform)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_corpus_gets_the_verdicts_that_fit_an_engine(entry: Entry) -> None:
    """`tests/engine/test_differential.py` compares the same corpus with what engines do."""
    assert verdict(entry.content) == entry.ours


@pytest.mark.parametrize("row", ROWS["bases"], ids=lambda row: row["text"])
def test_the_images_that_a_build_needs(row: dict[str, Any]) -> None:
    assert judged(row["text"]) == PolicyResult((), tuple(row["bases"]))


@pytest.mark.parametrize("line", ROWS["pass"])
def test_look_alikes_pass(line: str) -> None:
    assert judged(f"FROM python:3.9\n{line}\n").refusals == ()


@pytest.mark.parametrize("dockerfile", ["", "FRM python\n", "FROM\n", "RUN x\n", b"\xff\xfeF\x00", "{}\nFROM x\n"])
def test_a_dockerfile_that_is_missing_or_cannot_be_read_is_no_matter_of_safety(dockerfile: str | bytes) -> None:
    assert isinstance(parse(dockerfile if isinstance(dockerfile, bytes) else dockerfile.encode()), Unparsable)
    assert judged(dockerfile) == judge_dockerfile(None, ALLOWED) == PolicyResult()


LARGE = [
    {"text": "FROM python:3.9\n" + "RUN x\n" * 200, "line": 201, "says": "there are 201 instructions"},
    {"text": "#" * 300_000, "line": None, "says": "300000 bytes"},
    {"text": "FROM python:3.9\n#" + "x" * 70_000, "line": 2, "says": "the line has 70001 bytes"},
]


@pytest.mark.parametrize("row", [*ROWS["refused"], *LARGE], ids=lambda row: row["says"])
def test_what_reaches_beyond_the_build_is_refused_with_its_line(row: dict[str, Any]) -> None:
    (refusal,) = judged(row["text"]).refusals
    assert (refusal.file, refusal.line) == ("Dockerfile", row["line"])
    assert row["says"] in refusal.message
    assert row["line"] is None or refusal.message.startswith(f"Dockerfile line {row['line']}: ")


def test_each_problem_is_told_once_and_nothing_is_fetched() -> None:
    found = judged("FROM python:3.9\nFROM evil\nFROM worse\nADD http://x /\nADD http://x /\n")
    assert ([refusal.line for refusal in found.refusals], found.bases) == ([2, 3, 4, 5], ())


def test_a_refusal_names_the_file_and_the_machines_own_platform_may_be_named() -> None:
    (refusal,) = judge_dockerfile(parse(b"FROM evil\n", path="dockerfile"), ALLOWED).refusals
    assert (refusal.file, refusal.message[:18]) == ("dockerfile", "dockerfile line 1:")
    assert judged("FROM --platform=linux/arm64 python:3.9\n", platform="linux/arm64").refusals == ()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "FROM python:3.9\nADD " + "a" * 64_000 + " /\n",
        "FROM python:3.9\nADD " + "a@" * 32_000 + " /\n",
        "# syntax=docker/dockerfile:1" + " " * 1_000_000 + "x\nFROM python:3.9\n",
    ],
)
def test_no_text_takes_minutes_to_read(text: str) -> None:
    # Each of the first three once took more than that: a pattern was tried from every character on.
    judged(text)
