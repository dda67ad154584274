"""YAML text as plain data with positions: scalars, places, and everything that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grader.course.yaml_source import MAX_DEPTH, MAX_NODES, YamlError, quoted, read_yaml

MISTAKES = yaml.safe_load(Path(__file__).with_name("unreadable.yaml").read_text(encoding="utf-8"))
SCALARS = [
    ("", None), ("null", None), ("true", True), ("no", "no"), ("on", "on"), ("5", 5), ("-5", -5), ("0x1F", 31),
    ("0o17", 15), ("1e-5", 1e-5), (".5", 0.5), ("3.10", 3.1), ("3.1.1", "3.1.1"), ("1:30", "1:30"), ("1_000", "1_000"),
    ("=", "="), ("'5'", "5"), ('"a\\tb"', "a\tb"), ("|\n  two\n  lines\n", "two\nlines\n"),
]  # fmt: skip


@pytest.mark.parametrize(("written", "value"), SCALARS)
def test_scalars_are_those_of_yaml_1_2(written: str, value: object) -> None:
    document = read_yaml(f"key: {written}\n")
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)
    assert document.problems == ()


def test_every_key_and_value_has_its_place() -> None:
    document = read_yaml("# a comment\ntitle: é, then\nlist:\n  - {name: x, other: [1, 2]}\n  -\n    - 3.10\nempty:\n")
    assert document.data == {"title": "é, then", "list": [{"name": "x", "other": [1, 2]}, [3.1]], "empty": None}
    assert document.keys["list",] == (3, 1)
    assert document.keys["list", 0, "other"] == (4, 15)
    assert document.values["title",] == (2, 8)
    assert document.values["list", 0] == (4, 5)
    assert document.values["list", 0, "other", 1] == (4, 26)
    assert document.values["list", 1, 0] == (6, 7)
    assert document.written["list", 1, 0] == "3.10"
    assert document.values["empty",].line == 7


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# nothing\n", None),
        ("---\n...\n", None),
        ("\ufeffa: 1\n", {"a": 1}),
        ("a: 1\r\n", {"a": 1}),
        ("%YAML 1.2\n--- # first\na: 1\n...\n", {"a": 1}),
    ],
)
def test_ways_to_begin_and_end_lines_and_documents(text: str, data: object) -> None:
    assert read_yaml(text).data == data


def test_an_alias_repeats_what_its_anchor_names_and_its_place() -> None:
    document = read_yaml("a: &weeks [1, 2]\nb: *weeks\n")
    assert document.data == {"a": [1, 2], "b": [1, 2]}
    assert document.values["b", 1] == (1, 15)


@pytest.mark.parametrize("row", MISTAKES["problems"], ids=lambda row: row["name"])
def test_a_local_mistake_is_a_problem_and_the_rest_is_read(row: dict[str, Any]) -> None:
    (problem,) = read_yaml(row["text"]).problems
    assert problem.position == tuple(row["place"])
    assert row["says"] in problem.message


@pytest.mark.parametrize("row", MISTAKES["unreadable"], ids=lambda row: row["name"])
def test_what_cannot_be_read_is_refused_with_its_place(row: dict[str, Any]) -> None:
    with pytest.raises(YamlError) as caught:
        read_yaml(row["text"])
    assert row["says"] in caught.value.problem.message
    assert caught.value.problem.position == tuple(row["place"])


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 5000))


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        (LAUGHS, f"more than {MAX_NODES} values"),
        (CHAIN, f"more than {MAX_DEPTH} levels"),
        ("[" * 500_000, f"more than {MAX_DEPTH} levels"),
        ("[" + "1," * 500_000 + "]", f"more than {MAX_NODES} values"),
    ],
)
def test_what_would_fill_memory_or_stack_is_refused(text: str, limit: str) -> None:
    with pytest.raises(YamlError, match=limit):
        read_yaml(text)


def test_messages_show_the_files_text_harmlessly() -> None:
    assert quoted("red \x1b[31m\n\u202eleft") == '"red \\x1b[31m\\n\\u202eleft"'
    assert quoted("x" * 100) == '"' + "x" * 60 + '…"'


def test_without_libyaml_the_same_is_read_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"key: {written}\n" for written, _ in SCALARS] + [row["text"] for row in MISTAKES["problems"]]
    fast = [read_yaml(text) for text in texts]
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert [read_yaml(text) for text in texts] == fast
    for row in MISTAKES["unreadable"]:
        with pytest.raises(YamlError):
            read_yaml(row["text"])
