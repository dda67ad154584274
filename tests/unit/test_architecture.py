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


def inside(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def dotted(path: Path) -> str:
    return inside(path)[:-3].replace("/", ".").removesuffix(".__init__")


KNOWN = {dotted(path) for path in MODULES}


def imports(path: Path) -> tuple[set[str], set[str]]:
    """What a module imports, now or late: libraries by name, and modules of this package as dotted names."""
    libraries: set[str] = set()
    own: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            libraries |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            top, _, module = node.module.partition(".")
            libraries.add(top)
            if top == "grader" and module:
                own |= {name if (name := f"{module}.{alias.name}") in KNOWN else module for alias in node.names}
    return libraries, own


IMPORTS = {path: imports(path) for path in MODULES}


@pytest.mark.parametrize("library", sorted(ONLY))
def test_one_module_knows_each_foreign_world(library: str) -> None:
    assert {inside(path) for path in MODULES if library in IMPORTS[path][0]} == ONLY[library]


def test_every_folder_is_a_floor() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(FLOORS)


def test_nothing_imports_upwards() -> None:
    floor = {name: number for number, name in enumerate(FLOORS)}
    floor |= {"api.py": 0, "api": 0}  # what the commands and `from grader import` are made of
    upwards = [
        (inside(path), name)
        for path in MODULES
        if inside(path) not in {"__main__.py", "__init__.py"}
        for name in IMPORTS[path][1]
        if floor.get(name.partition(".")[0], len(FLOORS)) < floor.get(inside(path).partition("/")[0], len(FLOORS))
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    needs = {dotted(path): own for path, (_, own) in IMPORTS.items()}
    while free := {name for name, wanted in needs.items() if not wanted & needs.keys() - {name}}:
        needs = {name: wanted for name, wanted in needs.items() if name not in free}
    assert needs == {}


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_do_no_io(name: str) -> None:
    paths = [path for path in MODULES if path == PACKAGE / name or PACKAGE / name in path.parents]
    assert paths
    for path in paths:
        assert IMPORTS[path][0] & IMPURE_IMPORTS <= CLOCK.get(path.name, set()), path


def test_help_imports_nothing_heavy() -> None:
    """`--help` and completion must feel instant; the time itself is measured in benchmarks/."""
    program = "import sys, grader.cli.main; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"docker", "rich", "pydantic", "yaml", "numpy", "pandas", "jinja2", "requests"} & set(
        done.stdout.split()
    )
