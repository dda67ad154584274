"""The policy and BuildKit agree on a corpus of Dockerfiles; see `differential`."""

from __future__ import annotations

import pytest

from grader.engine.docker_engine import connect
from grader.sandbox.nested_engine import PrivateEngine
from tests.dockerfiles import ENTRIES
from tests.engine.differential import compared
from tests.engine.test_private import host, private

__all__ = ["host", "private"]  # fixtures

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]  # hundreds of builds, beside others that build


def test_what_the_policy_lets_pass_is_what_this_machines_engine_reads() -> None:
    with connect(builder="buildkit") as engine:
        found = compared(engine._connection, [entry for entry in ENTRIES if entry.ours == "passes"])
    assert found == [], "\n".join(found)


@pytest.mark.private
def test_the_policy_and_todays_engine_agree(private: PrivateEngine) -> None:
    found = compared(private.engine.connection, ENTRIES)
    assert found == [], "\n".join(found)
