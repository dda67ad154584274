"""A few rounds of the fuzzers of what is read without an engine; `make fuzz` goes on for as long as it is let."""

from __future__ import annotations

import random
from types import ModuleType

import pytest

from tests.fuzz import fuzz_policy, fuzz_spec


@pytest.mark.parametrize("fuzzer", [fuzz_policy, fuzz_spec])
def test_mutated_input_is_answered_as_promised(fuzzer: ModuleType) -> None:
    assert {fuzzer.once(random.Random(seed)) for seed in range(60)}
