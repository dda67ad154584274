"""Whose objects may be removed: only those of owners that have provably ended."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from grader.engine.ownership import (
    KIND_LABEL,
    OWNER_LABEL,
    Kind,
    Leftover,
    Owner,
    is_dead,
    labels,
    leftovers,
    this_process,
)

ME = Owner("host-1", "boot", 7, "100")


def an_object(kind: Kind = "container", owner: Owner = ME, changed: dict[str, str] | None = None) -> Leftover:
    return Leftover(kind, "id", (), tuple({**dict(labels("run", owner, kind)), **(changed or {})}.items()))


def test_an_owner_is_read_back_from_its_label() -> None:
    assert Owner.parse(str(this_process())) == this_process()


@pytest.mark.parametrize("text", ["", "somebody", "a:b:c:d", "a:b:1", "a:b:1:2:3:4"])
def test_other_labels_are_no_owner(text: str) -> None:
    assert Owner.parse(text) is None


def test_a_containers_owner_is_read_back_too() -> None:
    owner = replace(ME, container="12ab")
    assert Owner.parse(str(owner)) == owner


def test_this_process_lives() -> None:
    assert not is_dead(this_process())


def test_a_process_that_has_ended_is_dead_before_and_after_its_parent_buries_it() -> None:
    code = "from grader.engine.ownership import this_process; print(this_process())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        owner = Owner.parse(process.stdout.read().strip())
        assert owner
        assert owner.host == this_process().host
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # has ended, and stays as it is
        assert is_dead(owner)
    assert is_dead(owner)


HERE = this_process()
DEAD = [
    ("another process has its pid now", replace(HERE, started="1"), True),
    ("the machine was started again", replace(HERE, boot="another"), True),
    ("another machine's", replace(HERE, host="another"), False),
    ("another machine's, with another boot", replace(HERE, host="another", boot="another"), False),
]


@pytest.mark.parametrize(("owner", "dead"), [row[1:] for row in DEAD], ids=[row[0] for row in DEAD])
def test_who_is_dead(owner: Owner, dead: bool) -> None:
    assert is_dead(owner) is dead


OBJECTS = [
    # what, whether its owner is dead, whether it is removed, whether it is removed with `everything`
    ("a dead grader's", an_object(), True, True, True),
    ("a living grader's", an_object(), False, False, True),
    ("a dead grader's image", an_object("image"), True, True, True),
    ("somebody's container of our image", an_object("container", changed={KIND_LABEL: "image"}), True, False, False),
    ("without an owner", an_object("volume", changed={OWNER_LABEL: ""}), True, False, False),
    ("somebody else's", Leftover("network", "id", ("bridge",), (("com.example", "1"),)), True, False, False),
]


@pytest.mark.parametrize(
    ("one", "dead", "removed", "with_everything"), [row[1:] for row in OBJECTS], ids=[row[0] for row in OBJECTS]
)
def test_what_is_removed(one: Leftover, dead: bool, removed: bool, with_everything: bool) -> None:
    assert leftovers([one], lambda _: dead, everything=False) == [one] * removed
    assert leftovers([one], lambda _: dead, everything=True) == [one] * with_everything


def test_each_owner_is_asked_about_on_its_own() -> None:
    mine, theirs = an_object(), an_object(owner=replace(ME, pid=8))
    assert leftovers([mine, theirs], lambda owner: owner.pid == 8, everything=False) == [theirs]
