"""Reading a student's Python without running it: is a library imported, used, and is a mean taken of its objects?

A value *belongs to* the library if it comes from a call or attribute of it, or from another value
that belongs to it, through names, attributes of `self`, calls of functions that return it, and
arguments. This is followed over all modules of the folder until nothing new is found. What turns
such a value into something else (`.tolist()`, `numpy.array(…)`) ends it.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from grader.submissions.models import ExerciseFiles

_MEANS = {"mean", "describe"}
_AGGREGATES = {"agg", "aggregate", "apply", "transform", "pipe", "pivot_table"}
"""Methods that are told by an argument what to calculate, as a text or as a function."""
_IMPORTERS = {"import_module", "__import__"}
_LEAVES = {"tolist", "to_list", "to_numpy", "values", "to_dict", "item", "iterrows", "itertuples"}
"""Attributes whose result is no longer an object of pandas."""
_MOST_MODULES = 50
_MOST_BYTES = 200_000
"""Of the script, and of the modules beside it together; the longest honest ones have a tenth of it."""
_MOST_NAMESAKES = 20
"""Functions of one name that a call may mean."""
_ROUNDS = 20
"""How often the folder is gone through; each round follows a value one call further."""


@dataclass(frozen=True, slots=True)
class Uses:
    """What was found of a library. `found` are lines to show, `line` is that of the import in the script.

    `uncalled` is the line of a mean that is named without being called.
    `problem` says why the script could not be read.
    """

    imported: bool = False
    used: bool = False
    mean: bool = False
    found: tuple[str, ...] = ()
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
    try:
        return _Search(module, [main, *_reached(main, files)]).result()
    except RecursionError:
        return Uses(problem=f"{script} cannot be followed: its expressions stand too deep within each other.")


def libraries_of(files: ExerciseFiles, script: str) -> tuple[str, ...]:
    """What the script itself imports at its top and neither Python nor the folder brings, by the names of packages.

    Nothing, where it cannot be read; what stands in a `try` or in a function may be meant to be missing.
    """
    main = _parsed(files.content(script) or b"")
    if isinstance(main, str):
        return ()
    own = {part for file in files.files if file.path.endswith(".py") for part in _module_name(file.path).split(".")}
    names: list[str] = []
    for node in main.body:
        if isinstance(node, ast.Import):
            names += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module.split(".")[0])
    return tuple(dict.fromkeys(name for name in names if name not in own | sys.stdlib_module_names))


def _reached(main: ast.Module, files: ExerciseFiles) -> list[ast.Module]:
    """The folder's modules that the script imports, and those that they import."""
    known = {_module_name(file.path): file.content for file in files.files if file.path.endswith(".py")}
    found: dict[str, ast.Module] = {}
    todo = [main]
    left = _MOST_BYTES
    while todo and len(found) < _MOST_MODULES:
        for name in _imported_names(todo.pop()):
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


def _imported_names(tree: ast.Module) -> Iterator[str]:
    """Every name that an import could mean a module by: `from a import b` may mean `a`, `a.b` or, relative, `b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            yield from filter(None, [base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)])


def _parsed(content: bytes) -> ast.Module | str:
    if len(content) > _MOST_BYTES:
        return f"it has {len(content)} bytes; at most {_MOST_BYTES} are read."
    try:
        return _PlainAttributes().visit(ast.parse(content))  # type: ignore[no-any-return]  # a Module stays one
    except SyntaxError as error:
        return f"line {error.lineno}: {error.msg}"
    except (ValueError, MemoryError, RecursionError) as error:
        return str(error) or type(error).__name__


class _PlainAttributes(ast.NodeTransformer):
    """Writes `getattr(value, "name")` as `value.name`."""

    def visit_Call(self, call: ast.Call) -> ast.expr:
        """One call, and all within it."""
        self.generic_visit(call)
        match call:
            case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(name)), *_]):
                return ast.copy_location(ast.Attribute(value, name, ast.Load()), call)
            case _:
                return call


class _Search:
    """One library in some modules. Names are taken together over all modules, which errs on the student's side."""

    def __init__(self, module: str, trees: list[ast.Module]) -> None:
        self._module = module
        self._trees = trees
        self._names: set[str] = set()
        """Names that stand for the library, for something of it, or for a value that belongs to it."""
        self._imports: list[tuple[int, str, bool]] = []
        self._functions: dict[str, list[ast.FunctionDef | ast.Lambda]] = {}
        for node in (node for tree in trees for node in ast.walk(tree)):
            match node:
                case ast.FunctionDef(name=name):
                    self._functions.setdefault(name, []).append(node)
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as function):
                    self._functions.setdefault(name, []).append(function)
                case _:
                    pass

    def result(self) -> Uses:
        """Everything that was found."""
        for index, tree in enumerate(self._trees):
            self._read_imports(tree, in_script=index == 0)
        imported = set(self._names)
        for _ in range(_ROUNDS):
            before = len(self._names)
            for tree in self._trees:
                self._follow(tree)
            if len(self._names) == before:
                break
        nodes = [node for tree in self._trees for node in ast.walk(tree)]
        means = [node for node in nodes if isinstance(node, ast.Call) and self._is_mean(node)]
        named = [node for node in nodes if isinstance(node, ast.Attribute) and self._is_named_mean(node)]
        used = any(
            isinstance(node, ast.Name) and node.id in imported and isinstance(node.ctx, ast.Load) for node in nodes
        )
        shown = [text for _, text, _ in self._imports] + [ast.unparse(node)[:100] for node in means[:3]]
        line = next((line for line, _, in_script in self._imports if in_script), None)
        uncalled = named[0].lineno if named and not means else None
        return Uses(bool(self._imports), used, bool(means), tuple(shown), line, uncalled)

    def _read_imports(self, tree: ast.Module, *, in_script: bool) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._imported(node, alias.name, alias.asname or alias.name.partition(".")[0], in_script)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                for alias in node.names:
                    self._imported(node, node.module or "", alias.asname or alias.name, in_script)
            elif isinstance(node, ast.Assign) and (module := _imported_by_call(node.value)):
                for name in (name for target in node.targets for name in _names_in(target)):
                    self._imported(node, module, name, in_script)

    def _imported(self, node: ast.stmt, module: str, name: str, in_script: bool) -> None:  # noqa: FBT001
        if module.partition(".")[0] == self._module:
            self._names.update(_unexplained(self._trees) if name == "*" else [name])
            self._imports.append((node.lineno, f"line {node.lineno}: {ast.unparse(node)[:100]}", in_script))

    def _follow(self, tree: ast.Module) -> None:
        """One round: names that are given a value that belongs, belong."""
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=targets, value=value) if self._belongs(value):
                    self._names.update(name for target in targets for name in _names_in(target))
                case (
                    ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value)
                ):
                    self._names.update(_names_in(target) if self._belongs(value) else ())
                case ast.With(items=items):
                    self._names.update(
                        name
                        for item in items
                        if item.optional_vars is not None and self._belongs(item.context_expr)
                        for name in _names_in(item.optional_vars)
                    )
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self._follow_function(node)
                case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                    self._follow_arguments(node, name)
                    self._follow_given_function(node)
                case _:
                    pass

    def _follow_function(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        returned = (node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value)
        if any(self._belongs(value) for value in returned):
            self._names.add(function.name)

    def _follow_arguments(self, call: ast.Call, name: str) -> None:
        """A parameter belongs if a value that belongs is given for it somewhere."""
        for node in self._functions.get(name, ())[-_MOST_NAMESAKES:]:
            parameters = _parameters(node)
            pairs = zip(parameters, call.args, strict=False)
            self._names.update(parameter for parameter, value in pairs if self._belongs(value))
            named = {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
            self._names.update(arg for arg, value in named.items() if arg in parameters and self._belongs(value))

    def _follow_given_function(self, call: ast.Call) -> None:
        """The first parameter of a function that is given to `.pipe(…)`, `.agg(…)` and their like belongs."""
        match call:
            case ast.Call(func=ast.Attribute(value=owner, attr=method), args=[function, *_]) if method in _AGGREGATES:
                given = self._functions.get(function.id, []) if isinstance(function, ast.Name) else [function]
                if self._belongs(owner):
                    self._names.update(parameter for one in given for parameter in _parameters(one)[:1])
            case _:
                pass

    def _belongs(self, value: ast.expr) -> bool:
        match value:
            case ast.Name(id=name):
                return name in self._names
            case ast.Attribute(value=inner, attr=attribute):
                return attribute not in _LEAVES and (self._belongs(inner) or _is_own(value, self._names))
            case ast.Call(func=function):
                return self._belongs(function)
            case (
                ast.Subscript(value=inner)
                | ast.Await(value=inner)
                | ast.Starred(value=inner)
                | ast.UnaryOp(operand=inner)
            ):
                return self._belongs(inner)
            case ast.BinOp(left=left, right=right):
                return self._belongs(left) or self._belongs(right)
            case ast.IfExp(body=body, orelse=other):
                return self._belongs(body) or self._belongs(other)
            case _:
                return False

    def _is_mean(self, call: ast.Call) -> bool:
        function = call.func
        if not isinstance(function, ast.Attribute):
            return False
        owner = self._belongs(function.value)
        if function.attr in _MEANS:
            return owner
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        plain = [argument for argument in arguments if not isinstance(argument, ast.Lambda)]
        told = {name for argument in plain for node in ast.walk(argument) for name in _says(node)}
        return owner and function.attr in _AGGREGATES and "mean" in told

    def _is_named_mean(self, attribute: ast.Attribute) -> bool:
        return attribute.attr == "mean" and self._belongs(attribute.value)


def _imported_by_call(value: ast.expr) -> str:
    """The module of `importlib.import_module("…")` and its like; "" for anything else."""
    match value:
        case ast.Call(
            func=ast.Name(id=function) | ast.Attribute(attr=function), args=[ast.Constant(value=str(module)), *_]
        ) if function in _IMPORTERS:
            return module
        case _:
            return ""


def _unexplained(trees: list[ast.Module]) -> set[str]:
    """Names that are read and that nothing but a `from … import *` can have set."""
    read: set[str] = set()
    explained = set(dir(builtins))
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.Name(id=name, ctx=ast.Load()):
                read.add(name)
            case ast.Name(id=name) | ast.arg(arg=name) | ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                explained.add(name)
            case ast.alias(name=name, asname=other):
                explained.add(other or name.partition(".")[0])
            case _:
                pass
    return read - explained


def _parameters(function: ast.AST) -> list[str]:
    if not isinstance(function, ast.FunctionDef | ast.Lambda):
        return []
    return [parameter.arg for parameter in function.args.args if parameter.arg != "self"]


def _says(node: ast.AST) -> Iterator[str]:
    """What an argument may name a calculation by: a text, a function, or a function of a module."""
    match node:
        case ast.Constant(value=str(name)) | ast.Name(id=name) | ast.Attribute(attr=name):
            yield name
        case _:
            return


def _is_own(attribute: ast.Attribute, names: set[str]) -> bool:
    """Whether it is an attribute of the student's own object that was given a value that belongs (`self.df`)."""
    return f".{attribute.attr}" in names


def _names_in(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Name(id=name):
            yield name
        case ast.Attribute(attr=attribute):
            yield f".{attribute}"
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            for element in elements:
                yield from _names_in(element)
        case _:
            return
