"""YAML text as plain data, with the line and column of every key and value.

Scalars are read by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema), which editors use too,
not by the YAML 1.1 rules of PyYAML: `no`, `on` and `1:30` are texts, `1e-5` is a number. What is read differently by
different programs (`010`), or has no place in a file of settings (tags, merge keys, infinity, documents after the
first), is a problem. PyYAML is used for its events only: composing them here gives limits that hold before memory or
the stack is spent, while libyaml's own composer crashes on deep nesting.
"""

from __future__ import annotations

import math
import pathlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from grader.files import read_table

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

MESSAGES = pathlib.Path(__file__).with_name("messages.yaml")

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

    `data` is made of dict (keys are text), list, str, int, float, bool and None. `keys` and `values` say where each of
    them begins; the path of a key ends in that key. `written` has the unquoted scalars as they are written (`3.10`
    where `data` has 3.1). `problems` are mistakes that leave the rest readable; what they concern is None in `data`.
    """

    data: object
    keys: Mapping[Path, Position]
    values: Mapping[Path, Position]
    written: Mapping[Path, str]
    problems: tuple[Problem, ...]

    def at(self, path: Path) -> object:
        """The value that `path` leads to, or None."""
        data: Any = self.data
        for step in path:
            try:
                data = data[step]
            except (TypeError, LookupError):
                return None
        return data


def read_yaml(text: str, *, as_written: bool = False) -> Document:
    """Read one YAML document; raises `YamlError` where nothing after the mistake can be trusted.

    With `as_written`, for files that another program reads: every scalar is its text, and `<<` a key like others.
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        message = f"the file has {size} bytes; expected at most {MAX_BYTES} (1 MiB)"
        raise TooLargeError(Problem(Position(1, 1), message))
    if found := _FORBIDDEN.search(text):
        message = f"the character U+{ord(found[0]):04X} is not allowed in YAML; expected it to be removed"
        raise YamlError(Problem(_position_of(text, found.start()), message))
    reader = _Reader(text, as_written=as_written)
    data = reader.document()
    return Document(data, reader.keys, reader.values, reader.written, tuple(dict.fromkeys(reader.problems)))


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


# The complement of YAML's printable characters (YAML 1.2.2, rule 1, c-printable).
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _position_of(text: str, index: int) -> Position:
    before = text[:index]
    return Position(before.count("\n") + 1, index - before.rfind("\n"))


def _at(where: yaml.Event | Any) -> Position:  # noqa: ANN401 - the marks of libyaml and of PyYAML have no common class
    """Where an event or a mark is."""
    mark = where.start_mark if isinstance(where, yaml.Event) else where
    return Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)


def _refuse_many(count: int, depth: int, position: Position) -> None:
    if depth > MAX_DEPTH:
        raise TooLargeError(Problem(position, f"more than {MAX_DEPTH} levels of nesting; expected about 8"))
    if count > MAX_NODES:
        message = f"more than {MAX_NODES} values, with aliases written out; expected a file of settings"
        raise TooLargeError(Problem(position, message))


class _Reader:
    """Turns the events of one text into data, and notes the place of each; an alias repeats its anchor's events."""

    def __init__(self, text: str, *, as_written: bool) -> None:
        self.as_written = as_written
        self.keys: dict[Path, Position] = {}
        self.values: dict[Path, Position] = {}
        self.written: dict[Path, str] = {}
        self.problems: list[Problem] = []
        self._events: list[yaml.Event] = []
        self._next = 2
        self._open: list[int] = []
        self._targets: dict[int, int] = {}
        anchors: dict[str | None, int] = {}
        count = depth = 0
        for index, event in enumerate(_events(text)):  # too many are refused before they take up memory
            self._events.append(event)
            if isinstance(event, yaml.AliasEvent):
                self._targets[index] = anchors.get(event.anchor, -1)
            elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
                count += 1
                _refuse_many(count, depth + 1, _at(event))
                anchors[event.anchor] = index
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)

    def document(self) -> object:
        """The data of the whole text."""
        if isinstance(self._events[1], yaml.StreamEndEvent):
            self.values[()] = Position(1, 1)
            return None
        data = self._value(())
        if not isinstance(following := self._events[self._next + 1], yaml.StreamEndEvent):
            message = "a second document begins here; expected one document, with no line --- after its beginning"
            raise YamlError(Problem(_at(following), message))
        return data

    def _value(self, path: Path) -> object:
        """The data of the next node. Counted again: with aliases written out, it is more and deeper than the text."""
        index, event = self._next, self._events[self._next]
        self._next += 1
        self.values[path] = _at(event)
        _refuse_many(len(self.values), len(path) + 1, self.values[path])
        data: Any = None
        self._open.append(index)
        if isinstance(event, yaml.AliasEvent):
            after, self._next, name = self._next, self._targets[index], _short(event.anchor or "")
            if self._next < 0:
                self._note(event, f"no anchor &{name} stands before this alias; expected one of that name, or no alias")
            elif self._next in self._open:
                self._note(event, f"*{name} stands inside what it names; expected no value to hold itself")
            else:
                data = self._value(path)
            self._next = after
        elif isinstance(event, yaml.ScalarEvent):
            data = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            data = []
            while not self._ends():
                data.append(self._value((*path, len(data))))
        else:
            data = {}
            while not self._ends():
                key = self._key(path)
                value = self._value((*path, self._next if key is None else key))
                if key is not None:
                    data[key] = value
        self._open.pop()
        if tag := getattr(event, "tag", None):
            written = quoted(tag.replace("tag:yaml.org,2002:", "!!"))
            self._note(event, f"the tag {written} is not allowed; expected the plain value")
            return None
        return data

    def _ends(self) -> bool:
        """Whether a list or a mapping ends here; its end is passed over."""
        ends = isinstance(self._events[self._next], yaml.CollectionEndEvent)
        self._next += ends
        return ends

    def _key(self, path: Path) -> str | None:
        """The next key's text as written (`5` and `no` are texts as keys), or None if it is refused."""
        event = self._events[self._next]
        if not isinstance(event, yaml.ScalarEvent):
            message = "a list, a mapping or an alias stands where a key must; expected a text as the key"
            raise YamlError(Problem(_at(event), message))
        self._next += 1
        if event.tag or (not event.style and event.value == "<<" and not self.as_written):
            self._note(event, "tags and the merge key << are not allowed; expected the keys to be written out")
        elif first := self.keys.get((*path, event.value)):
            where = f"first in line {first.line}, again in line {_at(event).line}"
            self._note(event, f"the key {quoted(event.value)} is given twice ({where}); expected it once")
        else:
            self.keys[*path, event.value] = _at(event)
            return event.value
        return None

    def _scalar(self, event: yaml.ScalarEvent, path: Path) -> object:
        value: object = event.value
        complaint = ""
        if not event.style and not self.as_written:
            self.written[path] = event.value
            value, complaint = _plain(event.value)
        if found := _FORBIDDEN.search(event.value):
            complaint = f"the text holds the character U+{ord(found[0]):04X}; expected visible characters"
        if complaint:
            self._note(event, complaint)
            return None
        return value

    def _note(self, event: yaml.Event, message: str) -> None:
        self.problems.append(Problem(_at(event), message))


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        raise YamlError(_syntax_problem(error, text)) from None


_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"([-+]?)0+([0-9]+)")


def _plain(text: str) -> tuple[str | float | bool | None, str]:
    """An unquoted scalar by YAML 1.2.2, table "10.3.2 Tag Resolution"; and why it is not accepted, or nothing."""
    number = _NUMBER.fullmatch(text)
    other_base = text.startswith(("0o", "0x"))
    complaint = ""
    if zero := _LEADING_ZERO.fullmatch(text):
        differs = f"{_short(text)} is octal to some programs and decimal to others"
        complaint = f"{differs}; expected {_short(zero[1] + zero[2])}, or quotes if it is a text"
    elif _NOT_FINITE.fullmatch(text):
        complaint = f"{text} is not a finite number; expected one, or quotes if it is a text"
    elif number and len(text) > MAX_NUMBER:
        complaint = f"a number of {len(text)} characters; expected at most {MAX_NUMBER}, or quotes if it is a text"
    elif number and not other_base and math.isinf(float(text)):
        complaint = f"{text} is too large a number; expected less than 1e308"
    if complaint or text in _CONSTANTS:
        return _CONSTANTS.get(text), complaint
    if not number:
        return text, ""
    return int(text, 0) if other_base or text.lstrip("+-").isdigit() else float(text), ""


def _short(text: str) -> str:
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    technical = str(error.problem or error.context)
    begun = error.context_mark
    # The parser sees that a colon is missing only in the line after.
    position = _at(begun if begun and "could not find expected ':'" in technical else error.problem_mark or begun)
    where = f" (inside what begins in line {begun.line + 1})" if begun and begun.line + 1 < position.line else ""
    before = next(iter(text.splitlines()[position.line - 1 : position.line]), "")[: position.column]
    unknown = f"this cannot be read ({technical}); expected YAML 1.2"
    message = next((words for part, words in read_table(MESSAGES)["syntax"].items() if part in technical), unknown)
    if "\t" in before and not before.strip():
        message = "a tab stands in the indentation; expected spaces"
    elif before[:-1].strip() and re.search("did not find expected key|expected <block end>", technical):
        message = "more text stands after a value; expected the end of the line (a ' inside '…' is written twice)"
    return Problem(position, message + where)
