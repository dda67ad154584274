from __future__ import annotations

import pytest

from grader.dockerfile.image_names import is_allowed, is_called, normalised, reference_problem, split_reference
from grader.models import ImageSeen

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("reference", "short"),
    [
        ("python", "python:latest"),
        ("index.docker.io/library/python:3.9", "python:3.9"),
        ("docker.io/a/b:1", "a/b:1"),
        ("localhost:5000/a:1", "localhost:5000/a:1"),
        (f"a@{DIGEST}", f"a@{DIGEST}"),
        ("Not A Name", "Not A Name"),
    ],
)
def test_names_have_one_normal_form(reference: str, short: str) -> None:
    assert normalised(reference) == short


@pytest.mark.parametrize(
    "text", ["", "Python", "a:", ":a", "a b", "a//b", "-a", "a:b:c", "a@b", "a" * 300, "http://a", "$a", "\u00e9"]
)
def test_what_is_no_name(text: str) -> None:
    assert reference_problem(text)


@pytest.mark.parametrize(
    ("reference", "pattern", "allowed"),
    [
        ("docker.io/library/python", "python:latest", True),
        ("python:3.9", "docker.io/library/python:3.9", True),
        ("python:3.9.1", "python:3.9*", True),
        ("python:3.9-slim", "python:*-slim", True),
        ("python:3.10", "python:3.1", False),
        ("xpython:3.9", "python:*", False),
        ("a/python:3.9", "python:*", False),
        ("python:-slim", "python:3*-slim", False),
    ],
)
def test_patterns(reference: str, pattern: str, allowed: bool) -> None:
    assert is_allowed(reference, [pattern]) is allowed


def test_references_are_split_into_name_and_tag() -> None:
    assert split_reference("python") == ("python", "latest")
    assert split_reference("localhost:5000/python:3.9") == ("localhost:5000/python", "3.9")
    assert split_reference(f"python@{DIGEST}") == (f"python@{DIGEST}", "")


@pytest.mark.parametrize("text", ["python:3.9", "docker.io/library/python:3.9", "sha256:abcd12", "abcd"])
def test_an_image_is_called_by_any_of_its_names_or_the_beginning_of_its_id(text: str) -> None:
    assert is_called(text, ImageSeen("sha256:abcd1234", ("python:3.9",)))
    assert not is_called(text, ImageSeen("sha256:1234abcd", ("python:3.10",)))
