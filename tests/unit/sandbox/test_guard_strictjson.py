"""JSON that two decoders might read differently is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.strictjson import BODY_LIMIT, folded, read

REFUSED = {
    "same key": b'{"a": 1, "a": 1}',
    "same key, escaped": b'{"a": 1, "\\u0061": 1}',
    "another spelling": b'{"HostConfig": {}, "hostconfig": {"Privileged": true}}',
    "another spelling, deep": b'{"a": [{"x": 1, "X": 2}]}',
    "long s": '{"DeviceRequests": 1, "DeviceReque\u017fts": 2}'.encode(),
    "kelvin": '{"k": 1, "\u212a": 2}'.encode(),
    "second document": b'{"a": 1} {"b": 1}',
    "bytes behind": b"{}\0",
    "byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'"\xff"',
    "half a surrogate": b'"\\ud800"',
    "NaN": b"[NaN]",
    "fraction": b"[1.5]",
    "exponent": b"[1e3]",
    "65 bits": b"[9223372036854775808]",
    "endless number": b"[" + b"9" * 5000 + b"]",
    "comment": b"{} // x",
    "single quotes": b"{'a': 1}",
    "nothing": b"",
    "17 levels": b"[" * 17 + b"]" * 17,
    "deep": b"[" * 100_000,
    "too large": b'"' + b"x" * BODY_LIMIT + b'"',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_decoders_read_differently_is_refused(text: bytes) -> None:
    with pytest.raises(Refusal):
        read(text)


trees = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(st.characters(codec="utf-8"))),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(st.characters(codec="utf-8")), inner)),
)


@given(trees)
def test_plain_json_is_read_and_keys_differ_by_more_than_case(tree: object) -> None:
    try:
        value = read(json.dumps(tree).encode())
    except Refusal:
        assert has_like_keys(tree) or depth(tree) > 16
        return
    assert value == tree
    assert not has_like_keys(tree)


def has_like_keys(tree: object) -> bool:
    if isinstance(tree, dict):
        return len({folded(key) for key in tree}) < len(tree) or any(map(has_like_keys, tree.values()))
    return isinstance(tree, list) and any(map(has_like_keys, tree))


def depth(tree: object) -> int:
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)
