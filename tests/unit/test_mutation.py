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
        ("Dockerfile", "FROM a\nWORKDIR /app/\n", "2 destination /app/ → /app2/", "FROM a\nWORKDIR /app2/\n"),
        ("Dockerfile", "FROM a\nCMD b\n", "2 exchange CMD → ENTRYPOINT", "FROM a\nENTRYPOINT b\n"),
        (
            "Dockerfile",
            'FROM a\nCMD ["sh", "-c", "b \\"$@\\""]\n',
            '2 shell form CMD ["sh", "-c", "b \\"$@\\""] → CMD sh -c \'b "$@"\'',
            "FROM a\nCMD sh -c 'b \"$@\"'\n",
        ),
        ("Dockerfile", "FROM a\nRUN pip add numpy\n", "2 package numpy → tabulate", "FROM a\nRUN pip add tabulate\n"),
        ("Dockerfile", "FROM python:3.9-slim\n", "1 version 3.9 → 3.11", "FROM python:3.11-slim\n"),
        ("requirements.txt", "# a\nnumpy==1.2\n", "2 unpin ==1.2", "# a\nnumpy\n"),
        ("a.py", "b = c < d\n", "1 operator < → <=", "b = c <= d\n"),
        ("a.py", "if b:\n    c()\n    d()\n", "2 drop c()", "if b:\n    d()\n"),
        ("a.py", "sys.exit(1)\n", "1 exit code 1 → 0", "sys.exit(0)\n"),
        ("a.py", "b('/app/sales.txt')\n", "1 rename '/app/sales.txt' → \"/app/sales2.txt\"", 'b("/app/sales2.txt")\n'),
        ("a.py", "print(b)\n", '1 stderr , file=__import__("sys").stderr', 'print(b, file=__import__("sys").stderr)\n'),
        ("a.py", "b = c[-1]\n", "1 index -1 → 0", "b = c[0]\n"),
        ("a.py", "open(b, 'w')\n", "1 mode 'w' → \"a\"", 'open(b, "a")\n'),
        ("a.py", "b(c, key=d, e=f)\n", "1 argument , key=d", "b(c, e=f)\n"),
        ("a.py", 'print(f"{b:.2f}")\n', "1 round 2 → 0", 'print(f"{b:.0f}")\n'),
        ("commands.sh", "docker ps -aq\n", "1 letter aq → q", "docker ps -q\n"),
        ("commands.sh", "# a\r\ndocker stop b\r\n", "2 subcommand stop → pause", "# a\r\ndocker pause b\r\n"),
        ("compose.yaml", "build: b\n", "1 image build: b → image: sales-predictor", "image: sales-predictor\n"),
    ],
)  # fmt: skip
def test_each_operator(path: str, content: str, name: str, changed: str) -> None:
    found = {mutant.name: mutant.files[path].decode() for mutant in mutants({path: content.encode()})}
    assert found.get(f"{path}:{name}") == changed, sorted(found)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("a.py", "def b():\n    return c\n"),  # without its only statement a function does not parse
        ("a.py", "'a docstring of 3 words'\n# 3\n"),
        ("a.py", "does not parse\n"),
        ("commands.sh", "#!/bin/sh -a\n\n"),
        ("compose.yaml", "a: {\n  b: c\n}\n"),
        ("sales.txt", "100\n"),
    ],
)
def test_what_is_left_alone(path: str, content: str) -> None:
    names = [mutant.name for mutant in mutants({path: content.encode()})]
    assert [name for name in names if not name.endswith(("drop def b(): return c", "drop b: c"))] == []


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
