"""Dockerfiles as values, and a corpus of those that builders have been made to misread, with what we say of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from grader.dockerfile.parser import Dockerfile, Unparsable, parse
from grader.dockerfile.policy import judge_dockerfile

ALLOWED = ("near:latest", "near:2")
"""Patterns of the images that the corpus may build from."""

Verdict = Literal["passes", "refused", "unparsable"]


def dockerfile(text: str | bytes) -> Dockerfile:
    """A Dockerfile that can be read."""
    parsed = parse(text if isinstance(text, bytes) else text.encode())
    assert isinstance(parsed, Dockerfile), parsed
    return parsed


@dataclass(frozen=True, slots=True)
class Entry:
    """One Dockerfile of the corpus. `stricter`, `fails` and `deadly` are reasons; see the corpus."""

    name: str
    text: str
    ours: Verdict = "passes"
    stricter: str = ""
    fails: str = ""
    deadly: str = ""
    fill: int = 0
    encoding: str = "utf-8"

    @property
    def content(self) -> bytes:
        return (self.text.replace("@", "x" * self.fill) if self.fill else self.text).encode(self.encoding)


ENTRIES = [Entry(**entry) for entry in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))]


def verdict(content: bytes) -> Verdict:
    """What parser and policy say together."""
    parsed = parse(content)
    if judge_dockerfile(parsed, ALLOWED).refusals:
        return "refused"
    return "unparsable" if isinstance(parsed, Unparsable) else "passes"
