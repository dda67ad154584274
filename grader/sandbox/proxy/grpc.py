"""Calls of gRPC over HTTP/2: their headers and frames, as bytes and headers alone.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. All calls that a client makes have one message from it,
so a request is read whole before anything of it goes on. What a client answers in a session are many messages, each of
which is read whole.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from grader.sandbox.proxy.refusal import Refusal

Headers = tuple[tuple[str, str], ...]

MESSAGE_LIMIT = 256 * 1024
"""Bytes of a client's message. What a build returns has some thousands, most of it the image's configuration."""
_PREFIX = 5
"""Bytes before a message: whether it is compressed, and its length in four bytes."""
_PERMISSION_DENIED, _UNIMPLEMENTED, _LAST_STATUS = 7, 12, 16
_SAID_LIMIT = 4096
"""Characters of what is said of a call that failed."""
ANSWERED: Headers = ((":status", "200"), ("content-type", "application/grpc"))
"""How every answer begins, also one that tells of a failure."""
SUCCEEDED: Headers = (("grpc-status", "0"),)
""" ... and how one ends whose call succeeded."""
_METHOD = re.compile(r"/[A-Za-z0-9_.]{1,120}/[A-Za-z0-9_]{1,60}")
_PRINTABLE = "".join(chr(one) for one in range(0x20, 0x7F) if chr(one) != "%")
_KNOWN = {
    "buildkit-controlapi-buildid": re.compile(r"[A-Za-z0-9]{1,64}"),
    "grpc-timeout": re.compile(r"[0-9]{1,8}[HMSmun]"),
}
_WANTED = {":method": "POST", ":scheme": "http", "content-type": "application/grpc", "te": "trailers"}


def method_of(headers: Headers) -> str:
    """The path of a request for a call, once its headers are in order. Raises `Refusal`."""
    known = dict(headers)
    for name, value in _WANTED.items():
        if known.get(name) != value:
            raise Refusal(f"BuildKit is called with the header `{name}: {value}`")
    if known.get("grpc-encoding", "identity") != "identity":
        raise Refusal("messages to BuildKit are not compressed here")
    if not _METHOD.fullmatch(known.get(":path", "")):
        raise Refusal("the path of a call of BuildKit is /service/method")
    return known[":path"]


def passed_on(headers: Headers) -> Headers:
    """The headers with which a request goes on: our own, and of the client's which build it is about, and its patience.

    Raises `Refusal` for one of these that is there twice or is not written as BuildKit's clients do.
    """
    kept = tuple((name, value) for name, value in headers if name in _KNOWN)
    for name, value in kept:
        if not _KNOWN[name].fullmatch(value) or [one for one, _ in kept].count(name) > 1:
            raise Refusal(f"the header {name} is not written as BuildKit's clients do")
    first = ((":method", "POST"), (":scheme", "http"), (":path", method_of(headers)), (":authority", "localhost"))
    return (*first, ("content-type", "application/grpc"), ("te", "trailers"), *kept)


def message_of(body: bytes) -> bytes:
    """The message in a request's body. Raises `Refusal` unless it is exactly one that is not compressed."""
    if body[:1] == b"\x01":
        raise Refusal("messages to BuildKit are not compressed here")
    if len(body) < _PREFIX or body[0] or int.from_bytes(body[1:_PREFIX]) != len(body) - _PREFIX:
        raise Refusal("a call of BuildKit has one message, with its length before it")
    return body[_PREFIX:]


def framed(message: bytes) -> bytes:
    """A message with what stands before it."""
    return b"\0" + len(message).to_bytes(4) + message


class Messages:
    """Puts the messages of a stream together, from pieces of any length."""

    def __init__(self) -> None:
        self._data = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._data)

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next piece, and return the messages that are whole now. Raises `Refusal` as `message_of` does."""
        self._data += piece
        whole, at = [], 0
        while len(self._data) - at >= _PREFIX:
            size = int.from_bytes(self._data[at + 1 : at + _PREFIX])
            if self._data[at]:
                raise Refusal("messages to BuildKit are not compressed here")
            if size > MESSAGE_LIMIT:
                raise Refusal(f"a message to BuildKit may have at most {MESSAGE_LIMIT} bytes")
            if len(self._data) - at - _PREFIX < size:
                break
            whole.append(bytes(self._data[at + _PREFIX : at + _PREFIX + size]))
            at += _PREFIX + size
        del self._data[:at]
        return whole


# ── how calls end ───────────────────────────────────────────────────────────────────────


def check_answer(headers: Headers) -> None:
    """Raises `Refusal` unless an answer begins as one of gRPC does."""
    known = dict(headers)
    if known.get(":status") != "200" or known.get("content-type") != "application/grpc":
        raise Refusal("an answer to BuildKit has the status 200 and the type application/grpc")
    if known.get("grpc-encoding", "identity") != "identity":
        raise Refusal("messages to BuildKit are not compressed here")


def ended(headers: Headers) -> Headers:
    """How a call ends, made anew from the headers with which it does. Raises `Refusal`."""
    known = dict(headers)
    status = known.get("grpc-status", "")
    if not re.fullmatch(r"[0-9]{1,2}", status) or int(status) > _LAST_STATUS:
        raise Refusal(f"a call of BuildKit ends with a status from 0 to {_LAST_STATUS}")
    return _ended(int(status), unquote(known.get("grpc-message", "")[: 3 * _SAID_LIMIT]))


def _ended(status: int, said: str) -> Headers:
    about = (("grpc-message", quote(said[:_SAID_LIMIT], safe=_PRINTABLE)),) if said else ()
    return (("grpc-status", str(status)), *about)


def refusal_headers(reason: str, *, begun: bool = False) -> Headers:
    """A whole answer that says that a call is refused, and why; or its end, if it has begun."""
    return (*(() if begun else ANSWERED), *_ended(_PERMISSION_DENIED, reason))


def unknown(method: str) -> Headers:
    """A whole answer that says that there is no such method."""
    return (*ANSWERED, *_ended(_UNIMPLEMENTED, f"{method[:120]} is not available here"))
