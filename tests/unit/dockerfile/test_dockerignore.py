"""The expected answers are those of BuildKit 0.29's own matcher, which was asked for each of them."""

from __future__ import annotations

import pytest
from e2b_dockerfile_utils import PatternMatcher
from hypothesis import given
from hypothesis import strategies as st

from grader.dockerfile.dockerignore import BadPattern, excluded, oversize

TREE = [".env", ".git/config", "Dockerfile", "a.pyc", "app/a.py", "app/a.pyc", "app/data/x.tmp", "notes.md", "x^y"]


def left_out(ignore: str, paths: list[str]) -> set[str]:
    out = excluded(ignore.encode(), paths)
    assert not isinstance(out, BadPattern), out
    return set(out)


@pytest.mark.parametrize(
    ("ignore", "out"),
    [
        ("# notes.md\n\n  \n", []),
        ("notes.md\r\n", ["notes.md"]),
        ("\ufeffnotes.md", ["notes.md"]),
        ("  notes.md  ", ["notes.md"]),
        ("app/../notes.md", ["notes.md"]),
        ("/!a\nnotes.md", ["notes.md"]),
        ("app/a.py[cod]", ["app/a.pyc"]),
        ("[a-c].py[a-d]", ["a.pyc"]),
        ("*\n!app/a.py", sorted(set(TREE) - {"app/a.py"})),
        ("notes.md\n! notes.md", []),
        ("app\n!app/data\napp/data/x.tmp", ["app/a.py", "app/a.pyc", "app/data/x.tmp"]),
    ],
)
def test_what_is_left_out(ignore: str, out: list[str]) -> None:
    assert left_out(ignore, TREE) == set(out)


@pytest.mark.parametrize(
    ("ignore", "line"), [("a\n!\n", 2), ("!/", 1), ("[ab", 1), ("a\n\n[]\n", 3), ("[^]", 1), ("a\\", 1)]
)
def test_a_line_that_docker_does_not_accept(ignore: str, line: int) -> None:
    problem = excluded(ignore.encode(), [])
    assert isinstance(problem, BadPattern)
    assert problem.line == line
    assert f"line {line}: " in problem.message


def test_the_time_does_not_depend_on_the_stars() -> None:
    # A backtracking matcher does not end on this one (and this test not within its time limit).
    assert left_out("*a" * 30 + "b", ["a" * 60]) == set()
    assert left_out("\n".join(f"**/{'*a' * 12}{n}" for n in range(300)), ["a" * 100 + "/" + "a" * 100] * 20) == set()
    letters = [chr(0x4E00 + number) for number in range(5000)]
    assert left_out("".join(letters) + "*", ["".join(letters[at : at + 50]) for at in range(0, 5000, 50)]) == set()


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"a\n" * 300, ""), (b"a\n" * 301, "301 patterns"), (b"a" * 17_000, "17000 bytes")],
)
def test_sizes(content: bytes, told: str) -> None:
    assert told in oversize(content)
    assert bool(told) == bool(oversize(content))


NAMES = st.sampled_from(["a", "b", "ab", "a.b", "data"])
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), max_size=8)
PATTERN = st.lists(st.sampled_from(["a", "b", ".", "*", "**", "?", "/", "[ab]", "[^a]", "!", "\\*"]), max_size=6).map(
    "".join
)


@given(st.lists(PATTERN, max_size=5), PATHS)
def test_the_answers_are_those_of_dockers_matcher(lines: list[str], paths: list[str]) -> None:
    out = excluded("\n".join(lines).encode(), paths)
    if not isinstance(out, BadPattern):
        dockers = PatternMatcher([f" {line}" for line in lines if not line.startswith("#")])
        assert out == {path for path in paths if dockers.matches(path)}
