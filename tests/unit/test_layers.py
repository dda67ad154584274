"""The shape of the code: who may import what. Read it as the architecture, in assertions."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import grader

PACKAGE = Path(grader.__file__).parent
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "_course" not in path.parts)
ONLY = {"docker": {"engine.py"}, "rich": {"console.py"}}
PURE = [
    "compare.py", "draw.py", "events.py", "grade.py", "model.py", "protocol.py", "scoring.py", "selftest.py", "spec.py",
    "dockerfile.py", "context.py", "gate.py", "trace.py", "checks", "render", "verdicts.py", "kinds.py", "spectypes.py",
    "export.py", "sheet.py", "composegate.py", "composeshape.py",
]  # fmt: skip
IMPURE_IMPORTS = {
    "os",
    "subprocess",
    "socket",
    "time",
    "tempfile",
    "shutil",
    "sqlite3",
    "logging",
    "docker",
    "rich",
    "random",
}
CLOCK = {"grade.py": {"time"}}
"""Grading says how long it took."""


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("library", sorted(ONLY))
def test_one_module_knows_each_foreign_world(library: str) -> None:
    assert {path.name for path in MODULES if library in imported(path)} == ONLY[library]


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_do_no_io(name: str) -> None:
    paths = [path for path in MODULES if path == PACKAGE / name or PACKAGE / name in path.parents]
    assert paths
    for path in paths:
        assert imported(path) & IMPURE_IMPORTS <= CLOCK.get(path.name, set()), path


def test_no_module_is_over_500_lines() -> None:
    long = {path.name: count for path in MODULES if (count := len(path.read_text(encoding="utf-8").splitlines())) > 500}
    assert long == {}


def test_help_imports_nothing_heavy() -> None:
    """`--help` and completion must feel instant; the time itself is measured in benchmarks/."""
    program = "import sys, grader.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"docker", "rich", "pydantic", "yaml", "numpy", "pandas", "jinja2", "requests"} & set(
        done.stdout.split()
    )
