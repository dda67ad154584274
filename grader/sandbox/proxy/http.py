"""Heads and bodies of HTTP/1.1 requests, read strictly (RFC 9112), from bytes alone.

Two readers of one stream must agree on where each request begins and what it asks for, or the engine carries out what
the guard never saw. So nothing is repaired: what is unusual is refused, and what is passed on is written anew.
One connection carries one request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import starmap
from urllib.parse import quote_plus

from grader.sandbox.proxy.refusal import Refusal

HEAD_LIMIT = 64 * 1024
"""Bytes of a head. Go's own limit is 1 MiB; those of the docker command are a few hundred bytes."""
_HEADERS = 64
_METHODS = frozenset({"DELETE", "GET", "HEAD", "POST"})
_REPEATABLE = frozenset({"x-docker-expose-session-grpc-method"})
_SEGMENT = r"[A-Za-z0-9_:@~+][A-Za-z0-9_:@~+.-]*"
"""Between two slashes. No percent signs: what one reader decodes and another does not are two paths."""
_PATH = re.compile(rf"(?:/{_SEGMENT})+")
_QUERY = re.compile(r"[A-Za-z0-9._~%+&=:@/,*-]*")
_PAIR = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9_.-]*)(?:=(?P<value>(?:[^%=&]|%[0-9A-Fa-f]{2})*))?")
_NAME = re.compile(r"[A-Za-z0-9-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_LENGTH = re.compile(r"[0-9]{1,15}")
_SIZE_LINE = re.compile(rb"([0-9a-fA-F]{1,8})\r\n")
_SIZE_LINE_LIMIT = 10
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Head:
    """A request's first line and headers. `query` is decoded, in order; header names are in lower case."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    def header(self, name: str) -> str:
        """The value of a header, or "". `name` in lower case."""
        return next((value for known, value in self.headers if known == name), "")

    @property
    def length(self) -> int:
        """Bytes of the body, as announced; 0 without an announcement."""
        return int(self.header("content-length") or 0)

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks, each with its length."""
        return bool(self.header("transfer-encoding"))

    @property
    def upgrade(self) -> str:
        """The protocol that the connection is to be used for afterwards, or ""."""
        return self.header("upgrade").lower()


# ── heads ───────────────────────────────────────────────────────────────────────────────


def parse_head(data: bytes) -> Head:
    """Read a head, which ends with its empty line. Raises `Refusal` for anything but the plainest HTTP/1.1."""
    if len(data) > HEAD_LIMIT:
        raise Refusal(f"the head of a request may have at most {HEAD_LIMIT} bytes")
    if not data.endswith(b"\r\n\r\n") or data.count(b"\r\n\r\n") != 1:
        raise Refusal("a request begins with a head that ends with an empty line")
    try:
        lines = data[:-4].decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise Refusal("the head of a request is ASCII") from None
    if any("\r" in line or "\n" in line for line in lines):
        raise Refusal("the lines of a request's head end with CR LF, and have neither inside")
    method, path, query = _first_line(lines[0])
    if len(lines) - 1 > _HEADERS:
        raise Refusal(f"a request may have at most {_HEADERS} headers")
    head = Head(method, path, query, tuple(_header(line) for line in lines[1:]))
    _check_headers(head)
    return head


def _first_line(line: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    method, _, rest = line.partition(" ")
    target, _, version = rest.partition(" ")
    if method not in _METHODS or version != "HTTP/1.1":
        raise Refusal(f"a request to this engine begins with {', '.join(sorted(_METHODS))}, a path, and HTTP/1.1")
    path, mark, query = target.partition("?")
    if not _PATH.fullmatch(path):
        why = next((told for sign, told in _QUOTED.items() if sign in path.upper()), "")
        raise Refusal(f"{path[:80]} is not a path of the engine's API in its plain form{why}")
    return method, path, _query(query) if mark else ()


_QUOTED = {
    "%0A": ": it has several lines where one name belongs, as happens where $( … ) stands in quotes",
    "$%28": ": a $( … ) in single quotes is not carried out",
}
"""What becomes of quotes in a script that belong nowhere, by what they leave in the path."""


def _query(text: str) -> tuple[tuple[str, str], ...]:
    if not _QUERY.fullmatch(text):
        raise Refusal("the query of a request has a character that belongs percent-encoded")
    return tuple(_pair(part) for part in text.split("&")) if text else ()


def _pair(part: str) -> tuple[str, str]:
    match = _PAIR.fullmatch(part)
    if not match:
        raise Refusal(f"{part[:80]} in the query of the request is not of the form name=value")
    raw = (match["value"] or "").replace("+", " ").encode("ascii")
    try:
        value = re.sub(rb"%(..)", lambda code: bytes.fromhex(code[1].decode()), raw).decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(f"the value of {match['name']} in the query of the request is not UTF-8") from None
    if _CONTROL.search(value):
        raise Refusal(f"the value of {match['name']} in the query of the request has a control character")
    return match["name"], value


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        raise Refusal(f"{line[:80]!r} is not a header of the form `name: value` on a line of its own")
    return name.lower(), value.strip(" \t")


def _check_headers(head: Head) -> None:
    names = [name for name, _ in head.headers]
    for name in names:
        if names.count(name) > 1 and name not in _REPEATABLE:
            raise Refusal(f"the header {name} may be there once")
    if "host" not in names:
        raise Refusal("a request has a Host header")
    for name in ("expect", "te", "trailer", "content-encoding", "http2-settings"):
        if name in names:
            raise Refusal(f"the header {name} is not used with this engine")
    _check_framing(head, names)
    _check_connection(head)


def _check_framing(head: Head, names: list[str]) -> None:
    if "transfer-encoding" in names and head.header("transfer-encoding") != "chunked":
        raise Refusal("the only transfer encoding of a request is `chunked`")
    if "content-length" in names and not _LENGTH.fullmatch(head.header("content-length")):
        raise Refusal("a Content-Length is a number")
    if {"transfer-encoding", "content-length"} <= {*names}:
        raise Refusal("a request has a Content-Length or is chunked, not both")


def _check_connection(head: Head) -> None:
    connection = head.header("connection").lower()
    if connection not in {"", "close", "keep-alive", "upgrade"}:
        raise Refusal("the header Connection is `close`, `keep-alive` or `Upgrade`")
    names = {name for name, _ in head.headers}
    if ("upgrade" in names) != (connection == "upgrade"):
        raise Refusal("a request that takes over its connection says both `Connection: Upgrade` and `Upgrade`")
    if "upgrade" in names and (head.upgrade not in {"tcp", "h2c"} or head.method != "POST"):
        raise Refusal("a connection can be taken over for `tcp` or `h2c`, with POST")


def serialise(head: Head) -> bytes:
    """Write a head. For one that `parse_head` returned, reading it again gives the same."""
    query = "&".join(starmap("{}={}".format, ((name, quote_plus(value)) for name, value in head.query)))
    first = f"{head.method} {head.path}{'?' if query else ''}{query} HTTP/1.1"
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in head.headers), "", ""]).encode("ascii")


# ── bodies ──────────────────────────────────────────────────────────────────────────────


class Body:
    """Finds the end of a body in a stream of pieces, and takes the chunks' frames away.

    `done` says that the body is whole. What comes behind it is refused: there is no second request.
    """

    def __init__(self, head: Head, limit: int) -> None:
        if head.length > limit:
            raise Refusal(f"the body of this request may have at most {limit} bytes")
        self._chunked = head.chunked
        self._limit = limit
        self._size = 0
        self._left = head.length  # of the body, or of the present chunk
        self._rest = b""
        self._ending = False  # the last chunk, which is empty, has begun
        self.done = not head.chunked and head.length == 0

    def feed(self, piece: bytes) -> bytes:
        """Take the next piece of the stream, and return the part of the body in it. Raises `Refusal`."""
        if self.done:
            if piece:
                raise Refusal("a connection to this engine carries one request")
            return b""
        payload = self._chunks(self._rest + piece) if self._chunked else self._plain(piece)
        self._size += len(payload)
        if self._size > self._limit:
            raise Refusal(f"the body of this request may have at most {self._limit} bytes")
        return payload

    def _plain(self, piece: bytes) -> bytes:
        if len(piece) > self._left:
            raise Refusal("a connection to this engine carries one request")
        self._left -= len(piece)
        self.done = self._left == 0
        return piece

    def _chunks(self, data: bytes) -> bytes:
        """Take whole frames from `data`. `_left` counts the CR LF behind a chunk too."""
        payload, at = [], 0
        while at < len(data) and not self._ending:
            if self._left:
                taken = data[at : at + max(self._left - 2, 0)]
                payload.append(taken)
                self._left -= len(taken)
                at += len(taken)
                if self._left > 2 or len(data) - at < self._left:  # noqa: PLR2004 - the CR LF
                    break
                if data[at : at + 2] != b"\r\n":
                    raise Refusal("a chunk of the request's body is longer than it says")
                self._left, at = 0, at + 2
            elif match := _SIZE_LINE.match(data, at):
                size, at = int(match[1], 16), match.end()
                self._left, self._ending = (size + 2, False) if size else (0, True)
            elif len(data) - at >= _SIZE_LINE_LIMIT or not re.fullmatch(rb"[0-9a-fA-F]*\r?", data[at:]):
                raise Refusal("a chunk of the request's body begins with its size alone")
            else:
                break
        self._rest = data[at:]
        if self._ending:
            self._end()
        return b"".join(payload)

    def _end(self) -> None:
        if not b"\r\n".startswith(self._rest[:2]) or len(self._rest) > 2:  # noqa: PLR2004 - the CR LF
            raise Refusal("behind the last chunk of a request comes nothing")
        self.done = self._rest == b"\r\n"
        self._rest = b"" if self.done else self._rest


def chunk(payload: bytes) -> bytes:
    """A piece of a body as a chunk; an empty piece ends the body."""
    return b"%x\r\n%s\r\n" % (len(payload), payload)
