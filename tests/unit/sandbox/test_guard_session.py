"""What a client may say in a session of BuildKit: the messages of real clients go on, others do not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.engine.build.protobuf import chunk_field, fields, number_field
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.session import METHODS, Reply, reply
from tests.buildkit import (
    DIFF_COPY,
    FOLDER,
    HEALTH,
    LINK,
    LISTED,
    PULL,
    SENT,
    content,
    entries,
    recorded_answers,
    stat,
    texts,
)

LIMIT = 1024 * 1024


def replied(*messages: bytes, method: str = DIFF_COPY, limit: int = LIMIT) -> list[bytes]:
    """What goes on of the answer to one call."""
    one = reply(method, limit)
    assert one is not None
    return [one.message(message) for message in messages]


def test_what_real_clients_say_goes_on_as_it_is() -> None:
    replies: dict[int, Reply | None] = {}
    seen = set()
    for number, method, message in recorded_answers():
        one = replies.setdefault(number, reply(method, LIMIT))
        assert one is not None
        assert one.message(message) == message
        seen.add(method)
    assert seen == {DIFF_COPY, PULL}
    assert replied(number_field(1, 1), method=HEALTH) == [number_field(1, 1)]


def test_clients_are_asked_for_nothing_else() -> None:
    assert {*METHODS} == {DIFF_COPY, HEALTH, PULL}
    assert reply("/moby.buildkit.secrets.v1.Secrets/GetSecret", LIMIT) is None


def test_owners_and_attributes_of_files_stay_behind() -> None:
    attributes = entries(10, {"security.capability": "x"}) + entries(10, {"user.a": "b"})
    assert replied(stat("a", more=number_field(3, 1000) + number_field(4, 1000) + attributes)) == [stat("a")]


def test_what_went_wrong_at_the_client_is_told_on_one_line() -> None:
    said = number_field(1, 4) + chunk_field(4, b"no\n\x1b[31mfile\0" + b"x" * 10_000)
    assert replied(said) == [number_field(1, 4) + chunk_field(4, (b"no  [31mfile " + b"x" * 10_000)[:4096])]


A, B = stat("a"), stat("b", FOLDER | 0o755)
REFUSED: dict[str, tuple[Sequence[bytes], str]] = {
    "a path that leads out": ([stat("../x")], "not a path inside"),
    "a path that leads out later": ([B, stat("b/../../x")], "not a path inside"),
    "an absolute path": ([stat("/etc/passwd")], "not a path inside"),
    "a path with a dot": ([stat("./a")], "not a path inside"),
    "a path with two slashes": ([B, stat("b//c")], "not a path inside"),
    "a path with a slash at its end": ([stat("b/", FOLDER)], "not a path inside"),
    "an empty path": ([stat("")], "not a path inside"),
    "no path": ([chunk_field(2, number_field(2, 0o644))], "stat.path is missing"),
    "a path with a zero byte": ([stat("a\0b")], "control character"),
    "a path with a line break": ([stat("a\nb")], "control character"),
    "a path that is no UTF-8": ([stat(b"\xff")], "is not UTF-8"),
    "a path without end": ([stat("a" * 5000)], "too long"),
    "a path below a file": ([A, stat("a/b")], "in no folder that is built"),
    "a path below a link": ([stat("l", LINK, link="/"), stat("l/b")], "in no folder that is built"),
    "a path in no folder": ([stat("b/c")], "in no folder that is built"),
    "a path twice": ([A, A], "is there twice"),
    "a folder and a file of one name": ([B, stat("b")], "is there twice"),
    "a folder in the place of a link": ([stat("l", LINK, link="/"), stat("l", FOLDER)], "is there twice"),
    "a file in the place of a link": ([stat("l", LINK, link="/x"), stat("l")], "is there twice"),
    "a device": ([stat("d", 1 << 26 | 0o666)], "takes no devices"),
    "a device of characters": ([stat("d", 1 << 26 | 1 << 21 | 0o666)], "takes no devices"),
    "a pipe": ([stat("p", 1 << 25 | 0o666)], "takes no devices"),
    "a socket": ([stat("s", 1 << 24 | 0o666)], "takes no devices"),
    "something irregular": ([stat("i", 1 << 19)], "takes no devices"),
    "a mode beyond all numbers": ([stat("i", 1 << 32)], "stat.mode is a number"),
    "a folder that is a link": ([stat("f", FOLDER | LINK, link="/")], "takes no devices"),
    "numbers of a device": ([stat("d", more=number_field(8, 8))], "stat.devmajor cannot be set"),
    "numbers of a device, the other": ([stat("d", more=number_field(9, 1))], "stat.devminor cannot be set"),
    "a second name of what is outside": ([stat("h", link="/etc/passwd")], "another name of something"),
    "a second name of a folder": ([B, stat("h", link="b")], "another name of something"),
    "a second name through a link": ([stat("l", LINK, link="/"), stat("m", link="l/etc/passwd")], "another name"),
    "a folder with another name": ([A, stat("f", FOLDER, link="a")], "another name of something"),
    "a link with a line break": ([stat("l", LINK, link="a\nb")], "control character"),
    "a file that is too large": ([stat("a", size=LIMIT + 1)], "at most 1 MiB"),
    "files that are too large together": ([stat("a", size=LIMIT), stat("b", size=1)], "at most 1 MiB"),
    "a size below zero": ([stat("a", size=-1)], "stat.size is a number"),
    "more content than files may have": ([A, LISTED, *[content(bytes(200_000))] * 6], "at most 1 MiB"),
    "content without end, in short pieces": ([A, LISTED, *[content(b"x")] * 4000], "at most 1 MiB"),
    "content of no file": ([A, LISTED, content(b"x", 1)], "no file of this number"),
    "content of a folder": ([A, B, LISTED, content(b"x", 1)], "no file of this number"),
    "content of a link": ([stat("l", LINK, link="/x"), LISTED, content(b"x")], "no file of this number"),
    "content before the list": ([content(b"x")], "no file of this number"),
    "content of another kind": ([number_field(1, 2) + number_field(4, 1)], "of another kind"),
    "content in a list": ([A + chunk_field(4, b"x")], "data is not known here"),
    "two files in a packet": ([A + A], "may be there once"),
    "files behind the end": ([LISTED, A], "behind its end"),
    "two ends of the list": ([LISTED, LISTED], "behind its end"),
    "a request for a file": ([number_field(1, 1)], "packets of type"),
    "a packet that is not known": ([number_field(1, 5)], "packets of type"),
    "a type below zero": ([number_field(1, -1)], "packets of type"),
    "a field that is not known": ([A + texts(_5="x")], "field 5 of the message is not known"),
    "a field that is not known, in a file": ([stat("a", more=texts(_11="x"))], "field 11 of stat is not known"),
    "a field twice": ([stat("a", more=texts(_1="b"))], "stat.path may be there once"),
    "a packet that is cut off": ([A[:-1]], "is not a message"),
    "more files than a folder may have": ([stat(f"f{one}") for one in range(20_001)], "20000 files"),
    "names without end": ([stat(f"{one}" + "x" * 4000) for one in range(1100)], "at most 8 MiB"),
}  # fmt: skip


@pytest.mark.parametrize(("messages", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_folder_of_files_is_refused(messages: Sequence[bytes], words: str) -> None:
    with pytest.raises(Refusal) as caught:
        replied(*messages, limit=8 * LIMIT if "8 MiB" in words or "files" in words else LIMIT)
    assert words in str(caught.value)


def test_other_answers_are_held_to_their_form() -> None:
    for method, message in ((HEALTH, number_field(1, 4)), (HEALTH, texts(_1="x")), (PULL, texts(_2="x"))):
        with pytest.raises(Refusal):
            replied(message, method=method)
    with pytest.raises(Refusal, match="at most 1 MiB"):
        replied(*[chunk_field(1, bytes(100_000))] * 20, method=PULL)


@given(st.lists(st.binary(max_size=60) | st.sampled_from([A, B, LISTED, SENT, content(b"x")]), max_size=8))
def test_any_bytes_are_refused_or_go_on_as_a_packet(messages: list[bytes]) -> None:
    one = reply(DIFF_COPY, LIMIT)
    assert one is not None
    for message in messages:
        try:
            sent = one.message(message)
        except Refusal:
            return
        assert {number for number, _, _ in fields(sent)} <= {1, 2, 3, 4}
