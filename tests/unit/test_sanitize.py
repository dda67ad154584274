from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.sanitize import UNSAFE, capped, safe_name, sanitize, sanitize_line
from tests.reports import hostile_text

SHOWN = {0x200C, 0x200D}  # joiners, which Persian and emoji need
VISIBLE_FORMATS = {0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


def test_nothing_that_unicode_calls_a_control_format_separator_or_surrogate_gets_through() -> None:
    unsafe = {
        code
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and code not in SHOWN | VISIBLE_FORMATS | {ord("\n"), ord("\t")}
    }
    assert [hex(code) for code in sorted(unsafe) if not UNSAFE.match(chr(code))] == []


def test_ordinary_text_of_any_script_is_left_alone() -> None:
    persian, coder = "\u0641\u0627\u0631\u0633\u06cc\u200c\u0647\u0627", "\U0001f469\u200d\U0001f4bb"
    text = f"naïve — 李雷 हिन्दी {persian} {coder} e\u0301 ½\u00a0€\n\tindented"
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("PASS\rFAIL", "PASS\\rFAIL"),
        ("a\r\nb", "a\nb"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_is_active_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert sanitize(text) == shown


@given(hostile_text())
def test_sanitized_text_is_utf8_and_cleaning_again_changes_nothing(text: str) -> None:
    once = sanitize(text)
    once.encode()
    assert sanitize(once, len(once)) == once


@given(hostile_text())
def test_a_line_is_one_line(text: str) -> None:
    assert len(sanitize_line(text).splitlines()) <= 1


def test_long_text_is_cut_and_the_rest_is_counted() -> None:
    assert capped("a" * 25, 10) == "a" * 10 + "... (15 more characters)"
    assert capped("a" * 10, 10) == "a" * 10
    assert len(sanitize("\x1b" * 10_000_000, 100)) < 500


@pytest.mark.parametrize("name", ["amira", "Zoe", "chen-wei", "a.b_c", "s123456", "x" * 100])
def test_a_plain_name_is_its_own_file_name(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["", "..", ".hidden", "../../index", "index", "a b", "x" * 101, "CON.txt", "李雷"])
def test_any_other_name_gets_a_digest(name: str) -> None:
    assert re.search(r"-[0-9a-f]{16}$", safe_name(name))


def test_names_that_look_alike_stay_apart() -> None:
    names = ["a b", "a/b", "a-b", "a b ", ".a-b", "é", "e\u0301", safe_name("a b"), safe_name("é"), "", "student"]
    assert len({safe_name(name) for name in names}) == len(names)


@given(st.one_of(hostile_text(), st.text(max_size=300)))
def test_every_file_name_is_safe(name: str) -> None:
    made = safe_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", made)
    assert not made.endswith((".", "-"))
