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
    this_process,
)

ME = Owner("host-1", "boot", 7, "100")


@pytest.mark.parametrize("owner", [this_process(), replace(ME, container="12ab")])
def test_an_owner_is_read_back_from_its_label(owner: Owner) -> None:
    assert Owner.parse(str(owner)) == owner


@pytest.mark.parametrize("text", ["", "somebody", "a:b:c:d", "a:b:1", "a:b:1:2:3:4"])
def test_other_labels_are_no_owner(text: str) -> None:
    assert Owner.parse(text) is None


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
    ("this process", HERE, False),
    ("another process has its pid now", replace(HERE, started="1"), True),
    ("the machine was started again", replace(HERE, boot="another"), True),
    ("another machine's", replace(HERE, host="another"), False),
    ("another machine's, with another boot", replace(HERE, host="another", boot="another"), False),
]


@pytest.mark.parametrize(("owner", "dead"), [row[1:] for row in DEAD], ids=[row[0] for row in DEAD])
def test_who_is_dead(owner: Owner, dead: bool) -> None:
    assert is_dead(owner) is dead


OBJECTS = [
    ("a grader's", "container", {}, True),
    ("a grader's image", "image", {}, True),
    ("somebody's container of our image", "container", {KIND_LABEL: "image"}, False),
    ("without an owner", "volume", {OWNER_LABEL: ""}, False),
    ("somebody else's", "network", {KIND_LABEL: "", OWNER_LABEL: ""}, False),
]


@pytest.mark.parametrize(("kind", "changed", "ours"), [row[1:] for row in OBJECTS], ids=[row[0] for row in OBJECTS])
def test_whose_an_object_is(kind: Kind, changed: dict[str, str], ours: bool) -> None:
    one = Leftover(kind, "id", (), {**dict(labels("run", ME, kind)), **changed})
    assert one.owner == (ME if ours else None)
