"""YAML text as plain data, with the line and column of every key and value.

Scalars are read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema),
which editors use too, not by the YAML 1.1 rules of PyYAML: `no`, `on` and `1:30` are texts,
`1e-5` is a number. What is read differently by different programs (`010`), or has no place in a
file of settings (tags, merge keys, infinity, documents after the first), is a problem.

PyYAML is used for its events only. Composing them here, not there, gives limits that hold
before memory or the stack is spent: libyaml's own composer crashes on deep nesting.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

import yaml

MAX_BYTES = 1024 * 1024
"""Bytes of one file. A course of twenty exercises has about 45 000."""
MAX_NODES = 20_000
"""Keys, values, lists and mappings, counted again for each alias that repeats them. A course has 2500."""
MAX_DEPTH = 32
"""Lists and mappings inside one another. A course has 8."""
MAX_NUMBER = 40
"""Characters of one number."""
MAX_QUOTED = 60
"""Characters of the file's own text that a message repeats."""

Path = tuple[str | int, ...]
"""The keys and list indexes (from 0) that lead to a value from the top."""


class Position(NamedTuple):
    """A place in the text; line and column count characters from 1."""

    line: int
    column: int


class Problem(NamedTuple):
    """One mistake: where it stands, what it is, and what was expected."""

    position: Position
    message: str


class YamlError(Exception):
    """The text cannot be read as YAML at all; `problem` says where and why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class TooLargeError(YamlError):
    """The text is YAML, perhaps, but more or deeper than anybody writes by hand."""


@dataclass(frozen=True, slots=True)
class Document:
    """What `read_yaml` found.

    `data` is made of dict (keys are text), list, str, int, float, bool and None. `keys` and
    `values` say where each of them begins; the path of a key ends in that key. `written` has
    the unquoted scalars as they are written (`3.10` where `data` has 3.1). `problems` are
    mistakes that leave the rest readable; what they concern is None in `data`.
    """

    data: object
    keys: Mapping[Path, Position]
    values: Mapping[Path, Position]
    written: Mapping[Path, str]
    problems: tuple[Problem, ...]


def read_yaml(text: str, *, as_written: bool = False) -> Document:
    """Read one YAML document; raises `YamlError` where nothing after the mistake can be trusted.

    With `as_written`, for files that another program reads: every scalar is its text, and `<<` a key like others.
    """
    _refuse_long(text)
    _refuse_characters(text)
    composer = _Composer(text)
    expander = _Expander(as_written=as_written)
    data = expander.expand(composer.document(), ())
    problems = dict.fromkeys([*composer.problems, *expander.problems])
    return Document(data, expander.keys, expander.values, expander.written, tuple(problems))


def decode(content: bytes) -> str:
    """The text of a file's bytes; raises `YamlError` with the place of the first that is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        message = f"the byte 0x{content[error.start]:02x} is not UTF-8; expected the file to be saved as UTF-8"
        raise YamlError(Problem(_position_of(before, len(before)), message)) from None


def quoted(text: str) -> str:
    """Text in double quotes for a message: cut at `MAX_QUOTED`, everything invisible escaped."""
    cut = text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"
    visible = (c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in cut)
    return '"' + "".join(visible) + '"'


# ── before parsing ──────────────────────────────────────────────────────────────────────

# The complement of YAML's printable characters (YAML 1.2.2, rule 1, c-printable).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _refuse_long(text: str) -> None:
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        message = f"the file has {size} bytes; expected at most {MAX_BYTES} (1 MiB)"
        raise TooLargeError(Problem(Position(1, 1), message))


def _refuse_characters(text: str) -> None:
    if found := _FORBIDDEN.search(text):
        message = f"the character U+{ord(found[0]):04X} is not allowed in YAML; expected it to be removed"
        raise YamlError(Problem(_position_of(text, found.start()), message))


def _position_of(text: str, index: int) -> Position:
    before = text[:index]
    return Position(before.count("\n") + 1, index - before.rfind("\n"))


# ── events to nodes ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Scalar:
    position: Position
    text: str
    plain: bool


@dataclass(frozen=True, slots=True)
class _Sequence:
    position: Position
    items: tuple[_Node, ...]


@dataclass(frozen=True, slots=True)
class _Mapping:
    position: Position
    pairs: tuple[tuple[_Node, _Node], ...]


@dataclass(frozen=True, slots=True)
class _Refused:
    """Stands where a problem was noted already."""

    position: Position


_Node = _Scalar | _Sequence | _Mapping | _Refused


class _Composer:
    """Turns the events of one text into nodes; an alias becomes the very node it names."""

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._events = self._parse(text)
        self._anchors: dict[str, _Node | None] = {}
        self._count = 0

    def document(self) -> _Node:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return _Scalar(Position(1, 1), "", plain=True)
        root = self._node(next(self._events), 1)
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            message = "a second document begins here; expected one document, with no line --- after its beginning"
            raise YamlError(Problem(_at(following), message))
        return root

    def _parse(self, text: str) -> Iterator[yaml.Event]:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            yield from yaml.parse(text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            raise YamlError(_syntax_problem(error, self._text)) from None
        except yaml.YAMLError as error:
            raise YamlError(Problem(Position(1, 1), _not_yaml(str(error)))) from None

    def _node(self, event: yaml.Event, depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        # By the grammar of events, nothing else begins a node.
        begins = cast("yaml.ScalarEvent | yaml.CollectionStartEvent", event)
        self._count += 1
        _refuse_many(self._count, depth, _at(begins))
        if begins.anchor:
            self._anchors[begins.anchor] = None
        node = self._content(begins, depth)
        if begins.tag:
            tag = quoted(begins.tag.replace("tag:yaml.org,2002:", "!!"))
            node = self._refuse(begins, f"the tag {tag} is not allowed; expected the plain value")
        if begins.anchor:
            self._anchors[begins.anchor] = node
        return node

    def _content(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, depth: int) -> _Node:
        if isinstance(event, yaml.ScalarEvent):
            return _Scalar(_at(event), event.value, plain=event.style in (None, ""))
        if isinstance(event, yaml.SequenceStartEvent):
            return _Sequence(_at(event), tuple(self._children(depth)))
        children = self._children(depth)
        return _Mapping(_at(event), tuple(zip(children, children, strict=True)))

    def _children(self, depth: int) -> Iterator[_Node]:
        while not isinstance(event := next(self._events), yaml.CollectionEndEvent):
            yield self._node(event, depth + 1)

    def _aliased(self, event: yaml.AliasEvent) -> _Node:
        name = event.anchor or ""
        if name not in self._anchors:
            message = f"no anchor &{_short(name)} stands before this alias; expected one of that name, or no alias"
            return self._refuse(event, message)
        if node := self._anchors[name]:
            return node
        return self._refuse(event, f"*{_short(name)} stands inside what it names; expected no value to hold itself")

    def _refuse(self, event: yaml.Event, message: str) -> _Refused:
        self.problems.append(Problem(_at(event), message))
        return _Refused(_at(event))


def _at(event: yaml.Event) -> Position:
    mark = event.start_mark
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)


def _refuse_many(count: int, depth: int, position: Position) -> None:
    if depth > MAX_DEPTH:
        raise TooLargeError(Problem(position, f"more than {MAX_DEPTH} levels of nesting; expected about 8"))
    if count > MAX_NODES:
        message = f"more than {MAX_NODES} values, with aliases written out; expected a file of settings"
        raise TooLargeError(Problem(position, message))


# ── nodes to data ───────────────────────────────────────────────────────────────────────


class _Expander:
    """Turns nodes into data, and notes the place of each."""

    def __init__(self, *, as_written: bool) -> None:
        self.as_written = as_written
        self.keys: dict[Path, Position] = {}
        self.values: dict[Path, Position] = {}
        self.written: dict[Path, str] = {}
        self.problems: list[Problem] = []

    def expand(self, node: _Node, path: Path) -> object:
        """The data of one node. Counted again: with aliases written out, it is more and deeper than the text."""
        self.values[path] = node.position
        _refuse_many(len(self.values), len(path) + 1, node.position)
        if isinstance(node, _Scalar):
            return self._scalar(node, path)
        if isinstance(node, _Sequence):
            return [self.expand(item, (*path, index)) for index, item in enumerate(node.items)]
        return self._mapping(node, path) if isinstance(node, _Mapping) else None

    def _mapping(self, node: _Mapping, path: Path) -> dict[str, object]:
        data: dict[str, object] = {}
        for key_node, value_node in node.pairs:
            key = self._key(key_node, path)
            if key is not None:
                self.keys[*path, key] = key_node.position
                data[key] = self.expand(value_node, (*path, key))
        return data

    def _key(self, node: _Node, path: Path) -> str | None:
        """The key's text as written (`5` and `no` are texts as keys), or None if it is refused."""
        if not isinstance(node, _Scalar):
            if not isinstance(node, _Refused):
                self._note(node, "a list or a mapping stands where a key must; expected a text as the key")
            return None
        if node.plain and node.text == "<<" and not self.as_written:
            self._note(node, "the merge key << is not YAML 1.2; expected the keys to be written out")
            return None
        if first := self.keys.get((*path, node.text)):
            where = f"first in line {first.line}, again in line {node.position.line}"
            self._note(node, f"the key {quoted(node.text)} is given twice ({where}); expected it once")
            return None
        return node.text

    def _scalar(self, node: _Scalar, path: Path) -> object:
        if found := _FORBIDDEN.search(node.text):
            self._note(node, f"the text holds the character U+{ord(found[0]):04X}; expected visible characters")
            return None
        if not node.plain or self.as_written:
            return node.text
        self.written[path] = node.text
        if complaint := _complaint(node.text):
            self._note(node, complaint)
            return None
        return _core_value(node.text)

    def _note(self, node: _Node, message: str) -> None:
        self.problems.append(Problem(node.position, message))


_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OTHER_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"([-+]?)0+([0-9]+)")


def _core_value(text: str) -> str | float | bool | None:
    """An unquoted scalar by YAML 1.2.2, table "10.3.2 Tag Resolution"."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OTHER_BASE.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


def _complaint(text: str) -> str:
    """Why an unquoted scalar is not accepted, or nothing."""
    if zero := _LEADING_ZERO.fullmatch(text):
        return (
            f"{_short(text)} is octal to some programs and decimal to others; "
            f"expected {_short(zero[1] + zero[2])}, or quotes if it is a text"
        )
    if _NOT_FINITE.fullmatch(text):
        return f"{text} is not a finite number; expected one, or quotes if it is a text"
    if not (_FLOAT.fullmatch(text) or _OTHER_BASE.fullmatch(text)):
        return ""
    if len(text) > MAX_NUMBER:
        return f"a number of {len(text)} characters; expected at most {MAX_NUMBER}, or quotes if it is a text"
    if abs(float(text) if _FLOAT.fullmatch(text) else 0.0) == float("inf"):
        return f"{text} is too large a number; expected less than 1e308"
    return ""


def _short(text: str) -> str:
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"


# ── syntax errors ───────────────────────────────────────────────────────────────────────

_NO_KEY = ("did not find expected key", "expected <block end>")
_SYNTAX: tuple[tuple[str, str], ...] = (
    (
        "mapping values are not allowed",
        "a key begins where none can; expected quotes around a text that holds ': ', or another indentation",
    ),
    ("cannot start any token", "a value cannot begin with this character; expected quotes around the text"),
    ("could not find expected ':'", "this is no key with a value; expected `key: value`, or deeper indentation"),
    (_NO_KEY[0], "this does not continue what stands above; expected a key at the same indentation"),
    (_NO_KEY[1], "this does not continue what stands above; expected a key at the same indentation"),
    (
        "did not find expected '-' indicator",
        "this does not continue the list above; expected `- ` at the same indentation",
    ),
    ("unexpected end of stream", "the file ends inside a text in quotes; expected the closing quote"),
    ("expected ',' or ']'", "the list in brackets is not closed; expected `,` or `]`"),
    ("expected ',' or '}'", "the mapping in braces is not closed; expected `,` or `}`"),
    ("unknown escape character", "this escape is not known; expected `\\\\` for a backslash, or single quotes"),
    ("undefined tag handle", "tags are not allowed; expected the plain value"),
)
"""Part of a problem of libyaml's or PyYAML's parser, and the same in words for an author."""


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    technical = str(error.problem or error.context)
    begun = error.context_mark
    # The parser sees that a colon is missing only in the line after.
    mark = begun if begun and "could not find expected ':'" in technical else error.problem_mark or begun
    position = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
    where = f" (inside what begins in line {begun.line + 1})" if begun and begun.line + 1 < position.line else ""
    return Problem(position, _syntax_words(technical, text, position) + where)


def _syntax_words(technical: str, text: str, position: Position) -> str:
    lines = text.splitlines()
    line = lines[position.line - 1] if position.line <= len(lines) else ""
    if "\t" in line[: position.column] and not line[: position.column].strip():
        return "a tab stands in the indentation; expected spaces"
    if line[: position.column - 1].strip() and any(part in technical for part in _NO_KEY):
        return "more text stands after a value; expected the end of the line (a ' inside '…' is written twice)"
    for part, words in _SYNTAX:
        if part in technical:
            return words
    return _not_yaml(technical)


def _not_yaml(reason: str) -> str:
    return f"this cannot be read ({reason}); expected YAML 1.2"
