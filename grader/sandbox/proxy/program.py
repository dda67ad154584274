"""The proxy's program as files: its own modules, those of ours that they import, and two libraries."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

_START = "grader.sandbox.proxy.__main__"
_LIBRARIES = ("e2b_dockerfile_utils", "h11")
"""Pure Python, without dependencies."""
_MAIN = f"""\
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from {_START} import main

main()
"""


def program_files() -> Mapping[str, bytes]:
    """Every file of the program, by its path below one folder: `python3 -ISB FOLDER/main.py SETTINGS.json` runs it.

    Packages of ours are empty there: what a part's `__init__` imports for the grader is not needed.
    """
    files = {"main.py": _MAIN.encode()}
    for name in _modules(_START):
        path = Path(*name.split("."))
        files[f"{path}.py"] = _source(name)
        files |= {f"{parent}/__init__.py": b"" for parent in path.parents if parent.name}
    for library in _LIBRARIES:
        folder = Path(str(import_module(library).__file__)).parent
        files |= {f"{library}/{one.relative_to(folder)}": one.read_bytes() for one in folder.rglob("*.py")}
    return files


def _modules(start: str) -> set[str]:
    """The modules of ours that one needs, itself included."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(_source(name))
    return found


def _imports(source: bytes) -> Iterator[str]:
    """The modules of ours that a source imports as it is loaded."""
    for module, names in _IMPORT.findall(source.decode()):
        inner = [f"{module}.{name}" for name in re.findall(r"\w+", names) if _is_module(f"{module}.{name}")]
        yield from inner or [module]


_IMPORT = re.compile(r"^from (grader(?:\.\w+)*) import (\([^)]*\)|.*)", re.MULTILINE)
"""Our own sources are formatted alike, so they need no parser. That of Python 3.11 fails where two threads parse."""


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _source(name: str) -> bytes:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return Path(spec.origin).read_bytes()
