"""YAML text as plain data with positions: scalars, places, and everything that is refused."""

from __future__ import annotations

import pytest
import yaml

from grader.course.yaml_source import MAX_DEPTH, MAX_NODES, YamlError, quoted, read_yaml

SCALARS = [
    ("", None),
    ("null", None),
    ("true", True),
    ("no", "no"),
    ("on", "on"),
    ("5", 5),
    ("-5", -5),
    ("0x1F", 31),
    ("0o17", 15),
    ("1e-5", 1e-5),
    (".5", 0.5),
    ("3.10", 3.1),
    ("3.1.1", "3.1.1"),
    ("1:30", "1:30"),
    ("1_000", "1_000"),
    ("=", "="),
    ("'5'", "5"),
    ('"a\\tb"', "a\tb"),
    ("|\n  two\n  lines\n", "two\nlines\n"),
]


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


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "---\n...\n"])
def test_a_text_without_content_is_none(text: str) -> None:
    assert read_yaml(text).data is None


@pytest.mark.parametrize("text", ["\ufeffa: 1\n", "a: 1\r\n", "--- # first\na: 1\n...\n", "%YAML 1.2\n---\na: 1\n"])
def test_ways_to_begin_and_end_lines_and_documents(text: str) -> None:
    assert read_yaml(text).data == {"a": 1}


def test_an_alias_repeats_what_its_anchor_names_and_its_place() -> None:
    document = read_yaml("a: &weeks [1, 2]\nb: *weeks\n")
    assert document.data == {"a": [1, 2], "b": [1, 2]}
    assert document.values["b", 1] == (1, 15)


PROBLEMS = [
    ("a duplicate key", "a: 1\nb: 2\na: 3\n", (3, 1), 'the key "a" is given twice (first in line 1, again in line 3)'),
    ("a constructor", "a: !!python/object/apply:os.system [ls]", (1, 4), "!!python/object/apply:os.system"),
    ("a merge key", "a: &a {x: 1}\nb:\n  <<: *a\n", (3, 3), "the merge key << are not allowed"),
    ("a value that holds itself", "a: &a [1, *a]", (1, 11), "*a stands inside what it names"),
    ("an alias of nothing", "a: &one 1\nb: *two", (2, 4), "no anchor &two stands before this alias"),
    ("a leading zero", "a: 010", (1, 4), "expected 10, or quotes if it is a text"),
    ("infinity", "a: -.inf", (1, 4), "-.inf is not a finite number"),
    ("a number beyond floats", "a: 1e9999", (1, 4), "1e9999 is too large a number"),
    ("a number of many digits", "a: " + "9" * 100_000, (1, 4), "a number of 100000 characters; expected at most 40"),
    ("an escaped NUL", 'a: "x\\0"', (1, 4), "the text holds the character U+0000"),
]


@pytest.mark.parametrize(("text", "place", "part"), [row[1:] for row in PROBLEMS], ids=[row[0] for row in PROBLEMS])
def test_a_local_mistake_is_a_problem_and_the_rest_is_read(text: str, place: tuple[int, int], part: str) -> None:
    document = read_yaml(text)
    assert [problem.position for problem in document.problems] == [place]
    assert part in document.problems[0].message


LAUGHS = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 5000))
UNREADABLE = [
    ("an alias as a key", "a: &a x\n*a : 1", (2, 1), "expected a text as the key"),
    ("a list as a key", "? [a, b]\n: 1", (1, 3), "expected a text as the key"),
    ("aliases that multiply", LAUGHS, None, f"more than {MAX_NODES} values"),
    ("aliases that nest", CHAIN, (1, 10), f"more than {MAX_DEPTH} levels"),
    ("brackets that nest", "[" * 500_000, (1, MAX_DEPTH + 1), f"more than {MAX_DEPTH} levels"),
    ("many values", "[" + "1," * 500_000 + "]", (1, 2 * MAX_NODES), f"more than {MAX_NODES} values"),
    ("a second document", "a: 1\n---\nb: 2\n", (2, 1), "a second document begins here"),
    ("a NUL", "a: 1\nb: x\0\n", (2, 5), "the character U+0000 is not allowed"),
    ("a tab as indentation", "a:\n\tb: 1\n", (2, 1), "a tab stands in the indentation; expected spaces"),
    ("a colon in a text", "title: Part 1: beginnings\n", (1, 14), "expected quotes around a text"),
    ("a lost colon", "title: x\nfoo\nbar: 1\n", (2, 1), "this is no key with a value"),
    ("a quote in quotes", "a: 'it's'\n", (1, 8), "more text stands after a value"),
    ("an open quote", "a: 'it\nb: 1\n", (3, 1), "expected the closing quote (inside what begins in line 1)"),
    ("an open bracket", "a: [1, 2\nb: 3\n", (2, 2), "the list in brackets is not closed"),
    ("too little indentation", "a:\n    b: 1\n  c: 2\n", (3, 3), "expected a key at the same indentation"),
    ("a key in a list", "a:\n  - 1\n  b: 2\n", (3, 3), "expected `- ` at the same indentation"),
    ("a forbidden first character", "a: @x\n", (1, 4), "expected quotes around the text"),
]


@pytest.mark.parametrize(("text", "place", "part"), [row[1:] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_what_cannot_be_read_is_refused_with_its_place(text: str, place: tuple[int, int] | None, part: str) -> None:
    with pytest.raises(YamlError) as caught:
        read_yaml(text)
    assert part in caught.value.problem.message
    # Where the limit on all values is reached inside an alias is nobody's contract.
    assert place is None or caught.value.problem.position == place


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", '"plain"'),
        ("red \x1b[31m", '"red \\x1b[31m"'),
        ("\u202eright to left", '"\\u202eright to left"'),
        ("two\nlines", '"two\\nlines"'),
        ("x" * 100, '"' + "x" * 60 + '…"'),
    ],
)
def test_messages_show_the_files_text_harmlessly(text: str, shown: str) -> None:
    assert quoted(text) == shown


def test_without_libyaml_the_same_is_read_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"key: {written}\n" for written, _ in SCALARS] + [row[1] for row in PROBLEMS]
    fast = [read_yaml(text) for text in texts]
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert [read_yaml(text) for text in texts] == fast
    for _, text, _, _ in UNREADABLE:
        with pytest.raises(YamlError):
            read_yaml(text)
