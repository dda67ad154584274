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
        ("Dockerfile", "FROM a\nCMD b\n", "2 exchange CMD → ENTRYPOINT", "FROM a\nENTRYPOINT b\n"),
        ("Dockerfile", "FROM a\nRUN pip add numpy\n", "2 package numpy → tabulate", "FROM a\nRUN pip add tabulate\n"),
        ("requirements.txt", "# a\nnumpy==1.2\n", "2 unpin ==1.2", "# a\nnumpy\n"),
        ("a.py", "b = c < d\n", "1 operator < → <=", "b = c <= d\n"),
        ("a.py", "if b:\n    c()\n    d()\n", "2 drop c()", "if b:\n    d()\n"),
        ("a.py", "sys.exit(1)\n", "1 exit code 1 → 0", "sys.exit(0)\n"),
        ("a.py", "print(b)\n", '1 stderr , file=__import__("sys").stderr', 'print(b, file=__import__("sys").stderr)\n'),
        ("a.py", "b(c, key=d, e=f)\n", "1 argument , key=d", "b(c, e=f)\n"),
        ("commands.sh", "docker ps -aq\n", "1 letter aq → q", "docker ps -q\n"),
        ("commands.sh", "# a\r\ndocker stop b\r\n", "2 subcommand stop → pause", "# a\r\ndocker pause b\r\n"),
    ],
)  # fmt: skip
def test_each_operator(path: str, content: str, name: str, changed: str) -> None:
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
