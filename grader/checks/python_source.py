"""Reading a student's Python without running it: which libraries are imported, and is one used?"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from grader.submissions.models import ExerciseFiles

_IMPORTERS = {"import_module", "__import__"}
_MOST_MODULES = 50
_MOST_BYTES = 200_000
"""Of the script, and of the modules beside it together; the longest honest ones have a tenth of it."""
_PARSING = threading.Lock()
"""Python 3.11 counts how deep its parser is for all threads together, and fails where two of them parse at a time."""


@dataclass(frozen=True, slots=True)
class Uses:
    """Of a library: lines that import it, to show; the script's first one; or why the script cannot be read.

    `uncalled` is the first line that names a `.mean` without calling it.
    """

    imports: tuple[str, ...] = ()
    used: bool = False
    line: int | None = None
    uncalled: int | None = None
    problem: str = ""


def uses_of(files: ExerciseFiles, script: str, module: str) -> Uses:
    """Look for a library in the script and the modules it imports. What does not parse beside it is passed over."""
    content = files.content(script)
    if content is None:
        return Uses(problem=f"There is no {script} in the exercise's folder.")
    main = _parsed(content)
    if isinstance(main, str):
        return Uses(problem=f"{script} cannot be read as Python: {main}")
    trees = [main, *_reached(main, files)]
    imports = [(tree, node, name) for tree in trees for node, name in _imports(tree, module)]
    names = {name for _, _, name in imports}
    nodes = [node for tree in trees for node in ast.walk(tree)]
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    means = (node for node in nodes if isinstance(node, ast.Attribute) and node.attr == "mean")
    return Uses(
        imports=tuple(f"line {node.lineno}: {ast.unparse(node)[:100]}" for _, node, _ in imports),
        used="*" in names or not read.isdisjoint(names),
        line=next((node.lineno for tree, node, _ in imports if tree is main), None),
        uncalled=next((node.lineno for node in means if node not in called), None),
    )


def libraries_of(files: ExerciseFiles, script: str) -> tuple[str, ...]:
    """What the script itself imports at its top and neither Python nor the folder brings, by the names of packages.

    Nothing, where it cannot be read; what stands in a `try` or in a function may be meant to be missing.
    """
    main = _parsed(files.content(script) or b"")
    if isinstance(main, str):
        return ()
    own = {part for file in files.files if file.path.endswith(".py") for part in _module_name(file.path).split(".")}
    names = (name.partition(".")[0] for name in _imported_names(main.body))
    return tuple(dict.fromkeys(name for name in names if name not in own | sys.stdlib_module_names))


def _imports(tree: ast.Module, module: str) -> Iterator[tuple[ast.stmt, str]]:
    """Each import of a library or of something in it, and the name that it gives to that (`*` for all there is)."""
    for node in ast.walk(tree):
        found: list[tuple[str, str]] = []  # the module that is imported, the name it gets
        match node:
            case ast.Import(names=names):
                found = [(alias.name, alias.asname or alias.name.partition(".")[0]) for alias in names]
            case ast.ImportFrom(module=str(base), names=names, level=0):
                found = [(base, alias.asname or alias.name) for alias in names]
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(
                    func=ast.Name(id=function) | ast.Attribute(attr=function), args=[ast.Constant(value=str(base)), *_]
                ),
            ) if function in _IMPORTERS:
                found = [(base, name)]
            case _:
                pass
        yield from ((node, name) for base, name in found if base.partition(".")[0] == module)  # type: ignore[misc]  # each case is a statement


def _reached(main: ast.Module, files: ExerciseFiles) -> list[ast.Module]:
    """The folder's modules that the script imports, and those that they import."""
    known = {_module_name(file.path): file.content for file in files.files if file.path.endswith(".py")}
    found: dict[str, ast.Module] = {}
    todo = [main]
    left = _MOST_BYTES
    while todo and len(found) < _MOST_MODULES:
        for name in _imported_names(ast.walk(todo.pop())):
            # a package of the folder may be called by its full name, or by a name relative to it
            for there in (one for one in known if (one == name or one.endswith(f".{name}")) and one not in found):
                left -= len(known[there])
                tree = _parsed(known[there]) if left >= 0 else ""
                if not isinstance(tree, str):
                    found[there] = tree
                    todo.append(tree)
    return list(found.values())


def _module_name(path: str) -> str:
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported_names(nodes: Iterator[ast.AST] | Sequence[ast.AST]) -> Iterator[str]:
    """Every name that an import could mean a module by: `from a import b` may mean `a`, `a.b` or, relative, `b`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield from filter(None, [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)])


def syntax_problem(content: bytes) -> tuple[int | None, str] | None:
    """The line and the kind of an error of syntax; None if there is none, or the file cannot be looked at."""
    try:
        _tree(content)
    except SyntaxError as error:
        return error.lineno, error.msg
    except (RecursionError, ValueError, MemoryError):
        return None
    return None


def _parsed(content: bytes) -> ast.Module | str:
    """The tree of a module, or why it cannot be read."""
    try:
        tree = _tree(content)
        ast.unparse(tree)
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except RecursionError:
        return "its expressions stand too deep within each other."
    except (ValueError, MemoryError) as error:
        return str(error) or type(error).__name__
    return tree


def _tree(content: bytes) -> ast.Module:
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it has {len(content)} bytes; at most {_MOST_BYTES} are read.")
    with _PARSING:
        return ast.parse(content)
