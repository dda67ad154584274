"""Versions as Poetry's constraints admit them; the table follows Poetry's documentation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.checks.version_constraint import admits


@pytest.mark.parametrize(
    ("constraint", "yes", "no"),
    [
        ("*", ["0", "9.9"], []),
        ("", ["1"], []),
        ("^1.2.3", ["1.2.3", "1.9"], ["1.2.2", "2.0.0"]),
        ("^1", ["1.0", "1.9"], ["0.9", "2.0"]),
        ("^0.2.3", ["0.2.3", "0.2.9"], ["0.3.0"]),
        ("^0.0.3", ["0.0.3"], ["0.0.4"]),
        ("^0.0", ["0.0.9"], ["0.1.0"]),
        ("^0", ["0.9"], ["1.0"]),
        ("~1.2.3", ["1.2.3", "1.2.9"], ["1.3.0"]),
        ("~1.26", ["1.26.4"], ["1.27", "2.0.2"]),
        ("~1", ["1.9"], ["2.0"]),
        ("~=1.2", ["1.2", "1.9"], ["2.0"]),
        ("23.1.0", ["23.1.0", "23.1"], ["23.1.1"]),
        ("==1.*", ["1.5"], ["2.0"]),
        ("1.2.*", ["1.2.7"], ["1.3"]),
        (">=1, <2", ["1.0", "1.9"], ["2.0", "0.9"]),
        (">=2.7, !=3.0.*, !=3.1.*", ["2.7", "3.9.2"], ["3.0.1", "2.6"]),
        (">= 1.0 < 2.0", ["1.5"], ["2.0"]),
        ("<3 || ^4.1", ["2.0", "4.5"], ["3.0", "4.0"]),
        ("what is this", ["1"], []),
        ("^one", ["1"], []),
    ],
)
def test_table(constraint: str, yes: list[str], no: list[str]) -> None:
    assert [version for version in [*yes, *no] if admits(constraint, version)] == yes


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_gives_an_answer(constraint: str, version: str) -> None:
    admits(constraint, version)
    admits(constraint, "1.2")
