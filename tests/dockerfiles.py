"""Dockerfiles as values, for tests."""

from __future__ import annotations

from grader.dockerfile.models import Dockerfile
from grader.dockerfile.parser import parse


def dockerfile(text: str | bytes) -> Dockerfile:
    """A Dockerfile that can be read."""
    parsed = parse(text if isinstance(text, bytes) else text.encode())
    assert isinstance(parsed, Dockerfile), parsed
    return parsed
