"""Calls of gRPC over HTTP/2: their headers and frames, as bytes and headers alone.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md. All calls that are passed on have one message from the
client, so a request is read whole before anything of it goes on.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from grader.guard.refusal import Refusal

__all__ = [
    "ANSWERED",
    "MESSAGE_LIMIT",
    "SUCCEEDED",
    "Headers",
    "framed",
    "message_of",
    "method_of",
    "passed_on",
    "refusal_headers",
]

Headers = tuple[tuple[str, str], ...]

MESSAGE_LIMIT = 256 * 1024
"""Bytes of a client's message. What a build returns has some thousands, most of it the image's configuration."""
_PREFIX = 5
"""Bytes before a message: whether it is compressed, and its length in four bytes."""
_PERMISSION_DENIED = "7"
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


def refusal_headers(reason: str) -> Headers:
    """A whole answer that says that a call is refused, and why."""
    return (*ANSWERED, ("grpc-status", _PERMISSION_DENIED), ("grpc-message", quote(reason, safe=_PRINTABLE)))
