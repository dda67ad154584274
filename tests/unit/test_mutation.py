"""The mutation tool must change what it says it changes, and nothing else, the same for the same seed."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.mutation import chosen, mutants
from tests.worlds import ROOT

SOLUTIONS = sorted((ROOT / "reference/solutions").glob("*/*/"))


@pytest.mark.parametrize(
    ("path", "content", "name", "changed"),
    [
        ("Dockerfile", "FROM a\nRUN b\n", "2 drop RUN b", "FROM a\n"),
        ("a.py", "b = c < d\n", "1 operator < → <=", "b = c <= d\n"),
        ("commands.sh", "docker ps -aq\n", "1 letter aq → q", "docker ps -q\n"),
    ],
)
def test_an_operator_changes_what_it_says(path: str, content: str, name: str, changed: str) -> None:
    found = {mutant.name: mutant.files[path].decode() for mutant in mutants({path: content.encode()})}
    assert found.get(f"{path}:{name}") == changed, sorted(found)


@pytest.mark.parametrize("folder", SOLUTIONS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_mutant_of_a_solution_is_new_differs_in_one_file_and_parses(folder: Path) -> None:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = list(mutants(files))
    assert len({tuple(mutant.files.items()) for mutant in found}) == len(found) > 0
    for mutant in found:
        changed = [path for path in files if mutant.files[path] != files[path]]
        assert len(changed) == 1
        assert mutant.name.startswith(f"{changed[0]}:")
        if changed[0].endswith(".py"):
            ast.parse(mutant.files[changed[0]])


def test_the_choice_is_the_same_for_a_seed_and_takes_each_operator_before_any_twice() -> None:
    found = list(mutants({"a.py": b"b = 1 + 2 + 3 + 4\nc = d < 5\n"}))
    once = chosen(found, 3, "seed")
    assert once == chosen(found, 3, "seed")
    assert max(Counter(mutant.operator for mutant in once).values()) == 1
    assert len(chosen(found, len(found) + 1, "seed")) == len(found)
    assert len({tuple(mutant.name for mutant in chosen(found, 3, str(seed))) for seed in range(20)}) > 1
