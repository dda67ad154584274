"""Everything that submissions do is bounded in everything that can be used up, and tried, or it is said why not."""

from __future__ import annotations

import os
from dataclasses import asdict
from itertools import product
from pathlib import Path

from grader.limits.probes import BATCH_ENGINE, gaps, proofs
from grader.limits.table import PHASES, RESOURCES, TABLE, lines
from grader.sandbox.nested_engine import PrivateSettings

PAGE = Path(__file__).parents[3] / "docs" / "private-engine.md"
PRIVATE = {proof.name for proof in proofs("private", "base")}
BUILDERS = ("buildkit", "classic")


def test_each_phase_is_bounded_in_each_resource() -> None:
    assert [(cell.phase, cell.resource) for cell in TABLE] == list(product(PHASES, RESOURCES))


def test_each_limit_is_tried_or_it_is_said_why_not() -> None:
    bare = [cell for cell in TABLE if not cell.limit or bool(cell.proofs) == bool(cell.untried)]
    assert bare == []


def test_each_proof_stands_in_the_table_and_the_table_names_no_other() -> None:
    besides = {f"{phase} {what}" for phase in ("run", "script") for what in ("network", "privileges")}
    assert {name for cell in TABLE for name in cell.proofs} == PRIVATE - besides
    assert besides <= PRIVATE


def test_what_holds_in_the_engine_of_docker_itself_is_tried_there_and_the_rest_is_a_gap() -> None:
    for cell, builder in product(TABLE, BUILDERS):
        tried = {proof.name for proof in proofs("host", "base", builder)}
        missing = {gap.name for gap in gaps("host", builder)}
        if cell.phase in {"script", "compose"}:
            assert not set(cell.proofs) & (tried | missing)
        else:
            bounded = not cell.host or (builder == "classic" and builder in cell.host)
            assert set(cell.proofs) <= (tried if bounded else missing)


def test_the_page_says_the_same() -> None:
    assert "\n".join(lines()) in PAGE.read_text(encoding="utf-8")


def test_the_sizes_that_doctor_asks_the_kernel_for_are_those_of_a_batch() -> None:
    settings = PrivateSettings((), Path(), os.environ)
    assert asdict(BATCH_ENGINE) == {name: getattr(settings, name) for name in asdict(BATCH_ENGINE)}
