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
ONLY = {"docker": {"engine/http.py"}, "rich": {"cli/console.py"}}
"""One module knows each foreign world."""
FLOORS = [
    "cli", "batch", "limits", "reports", "grading", "checks", "sandbox", "base_images", "engine", "submissions",
    "dockerfile", "course",
]  # fmt: skip
"""From the top. A floor imports only lower ones, and the values beside the folders (`models`, `errors`)."""
PURE = [
    "checks", "dockerfile", "reports", "course/models.py", "course/registry.py", "course/cases.py",
    "engine/protocol.py",
    "engine/build/context.py", "engine/build/trace.py", "engine/tar.py", "engine/wording.py",
    "grading/exercise.py", "grading/grades.py", "grading/scoring.py", "batch/similarity.py",
    "batch/selftest.py", "sandbox/compose_policy.py", "models.py",
]  # fmt: skip
IMPURE_IMPORTS = {
    "os", "subprocess", "socket", "time", "tempfile", "shutil", "sqlite3", "logging", "docker", "rich", "random",
}  # fmt: skip
CLOCK = {"exercise.py": {"time"}}
"""Grading says how long it took."""


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def inside(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def own_imports(path: Path) -> set[str]:
    """The modules of this package that a module imports, now or late, as dotted names without `grader.`."""
    known = {inside(module)[:-3].replace("/", ".").removesuffix(".__init__") for module in MODULES}
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("grader."):
            module = node.module.removeprefix("grader.")
            found |= {name if (name := f"{module}.{alias.name}") in known else module for alias in node.names}
    return found


@pytest.mark.parametrize("library", sorted(ONLY))
def test_one_module_knows_each_foreign_world(library: str) -> None:
    assert {inside(path) for path in MODULES if library in imported(path)} == ONLY[library]


def test_every_folder_is_a_floor() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(FLOORS)


def test_nothing_imports_upwards() -> None:
    floor = {name: number for number, name in enumerate(FLOORS)}
    floor |= {"api.py": 0, "api": 0}  # what the commands and `from grader import` are made of
    upwards = [
        (inside(path), name)
        for path in MODULES
        if inside(path) not in {"__main__.py", "__init__.py"}
        for name in own_imports(path)
        if floor.get(name.partition(".")[0], len(FLOORS)) < floor.get(inside(path).partition("/")[0], len(FLOORS))
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    needs = {inside(path)[:-3].replace("/", ".").removesuffix(".__init__"): own_imports(path) for path in MODULES}
    while free := {name for name, wanted in needs.items() if not wanted & needs.keys() - {name}}:
        needs = {name: wanted for name, wanted in needs.items() if name not in free}
    assert needs == {}


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_do_no_io(name: str) -> None:
    paths = [path for path in MODULES if path == PACKAGE / name or PACKAGE / name in path.parents]
    assert paths
    for path in paths:
        assert imported(path) & IMPURE_IMPORTS <= CLOCK.get(path.name, set()), path


def test_help_imports_nothing_heavy() -> None:
    """`--help` and completion must feel instant; the time itself is measured in benchmarks/."""
    program = "import sys, grader.cli.main; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"docker", "rich", "pydantic", "yaml", "numpy", "pandas", "jinja2", "requests"} & set(
        done.stdout.split()
    )
