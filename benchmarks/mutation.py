"""How sharp the grader is: right solutions with one small change each, and which of them it still passes.

A mutant that passes is either still right, or shows a check that is missing: docs/mutation.md says which.
Run it with the project's Python: `.venv/bin/python benchmarks/mutation.py --exercise 3.1.4 --limit 10`.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import shlex
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath

import yaml

from grader.api import chosen_exercises, open_course
from grader.cli.common import terminal
from grader.cli.wiring import GradingSettings, open_session
from grader.course.models import Exercise
from grader.dockerfile.parser import Dockerfile, parse
from grader.grading.session import Session, grade_one
from grader.models import CheckStatus, ExerciseStatus, silent
from grader.submissions.models import ExerciseFiles, files_digest
from grader.submissions.reader import read_exercise

Span = tuple[int, int]
_SHOWN = 70  # characters of each side of a change, in a mutant's name


@dataclass(frozen=True, slots=True)
class Edit:
    """The bytes from `start` up to `end` of a file become `new`. `operator` names the kind of change."""

    start: int
    end: int
    new: bytes
    operator: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed submission. `name` tells the file, the line and the change (`Dockerfile:4 drop RUN pip …`)."""

    name: str
    operator: str
    files: Mapping[str, bytes]


def mutants(files: Mapping[str, bytes]) -> Iterator[Mutant]:
    """Every submission that differs from this one by one edit. What no longer parses, or is there already, is left out.

    A Dockerfile may cease to build: that is for the grader to find.
    """
    for path, content in sorted(files.items()):
        seen = {content}
        for edits, read in ((how, read) for name, how, read in _WAYS if re.fullmatch(name, PurePosixPath(path).name)):
            for edit in edits(content):
                changed = content[: edit.start] + edit.new + content[edit.end :]
                if changed not in seen and _is_read(read, changed):
                    seen.add(changed)
                    yield Mutant(_name(path, content, edit), f"{path} {edit.operator}", {**files, path: changed})


def chosen(found: Sequence[Mutant], limit: int, seed: str) -> list[Mutant]:
    """At most `limit` of them, the same for the same seed: each operator once before any of them twice."""
    shuffled = random.Random(seed).sample(list(found), len(found))
    turns: Counter[str] = Counter()

    def turn(mutant: Mutant) -> int:
        turns[mutant.operator] += 1
        return turns[mutant.operator]

    return sorted(shuffled, key=turn)[:limit]


def _name(path: str, content: bytes, edit: Edit) -> str:
    texts = (" ".join(text.decode("utf-8", "replace").split()) for text in (content[edit.start : edit.end], edit.new))
    change = " → ".join(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…" for text in texts if text)
    line = content.count(b"\n", 0, edit.start) + 1
    return f"{path}:{line} {edit.operator} {change}"


def _is_read(read: Callable[[bytes], object], content: bytes) -> bool:
    try:
        read(content)
    except (SyntaxError, yaml.YAMLError):
        return False
    return True


Rule = tuple[str, bytes, bytes | Callable[[bytes], bytes]]
"""An operator, what it looks for, and what becomes of it."""


def _edits(rules: Sequence[Rule], content: bytes, span: Span) -> Iterator[Edit]:
    start, end = span
    for operator, pattern, changed in rules:
        for match in re.finditer(pattern, content[start:end]):
            new = changed if isinstance(changed, bytes) else changed(match.group())
            yield Edit(start + match.start(), start + match.end(), new, operator)


def _line_spans(content: bytes) -> list[Span]:
    """Where each line begins, and where it ends with its line end."""
    ends = [match.end() for match in re.finditer(rb"[^\n]*\n|[^\n]+\Z", content)]
    return list(zip([0, *ends], ends, strict=False))


def _line_edits(rules: Sequence[Rule], content: bytes) -> Iterator[Edit]:
    """Each line dropped, and each rule wherever it applies; blank lines and comments stay as they are."""
    for start, end in _line_spans(content):
        if content[start:end].strip() and content[start:end].lstrip()[:1] != b"#":
            yield Edit(start, end, b"", "drop")
            yield from _edits(rules, content, (start, end))


def _renamed(path: bytes) -> bytes:
    """`/app/sales.txt` as `/app/sales2.txt`, `/app/` as `/app2/`, `.` as `elsewhere/`."""
    if path.strip(b"./") == b"":
        return path.removesuffix(b".") + b"elsewhere/"
    return re.sub(rb"(?=(\.\w+)?/?\Z)", b"2", path, count=1)


_PACKAGE: Rule = ("package", rb"(?<![\w./-])(?:numpy|pandas)(?![\w./:-])", b"tabulate")
_UNPIN: Rule = ("unpin", rb"==[\w.]+", b"")
_FLAG: Rule = ("flag", rb"[ \t]--?[A-Za-z][\w-]*(?:=\S+)?", b"")


# ── Dockerfile ──────────────────────────────────────────────────────────────────────────

_LAST_WORD = rb"[^\s\"\[\]]+(?=[\s\"\]]*\Z)"
_KEYWORD = rb"\A\s*\w+"
_EXCHANGE: Rule = ("exchange", _KEYWORD, lambda word: b"CMD" if word.upper() == b"ENTRYPOINT" else b"ENTRYPOINT")
_COMMAND = (_EXCHANGE, ("flag", rb',\s*"-\w+"', b""), ("path", rb"/\w[\w./-]*", _renamed))
_VERSION: Rule = ("version", rb"3\.9", b"3.11")
_RULES: Mapping[str, Sequence[Rule]] = {
    "FROM": [_VERSION],
    "ARG": [_VERSION, _PACKAGE],
    "RUN": [_PACKAGE],
    **dict.fromkeys(("COPY", "ADD", "WORKDIR"), (("destination", _LAST_WORD, _renamed),)),
    **dict.fromkeys(("CMD", "ENTRYPOINT"), _COMMAND),
    "ENV": [("value", rb"(?<==)\"?[\w./:-]+", lambda value: value + b"2"), ("not kept", _KEYWORD, b"ARG")],
}


def _dockerfile_edits(content: bytes) -> Iterator[Edit]:
    parsed = parse(content)
    if not isinstance(parsed, Dockerfile):
        return
    lines = _line_spans(content)
    spans = [(lines[one.first_line - 1][0], lines[one.last_line - 1][1]) for one in parsed.instructions]
    for span, instruction in zip(spans, parsed.instructions, strict=True):
        yield Edit(*span, b"", "drop")
        yield from _edits([*_RULES.get(instruction.keyword, ()), _FLAG], content, span)
        if instruction.json and instruction.keyword in {"CMD", "ENTRYPOINT"}:
            yield Edit(*span, f"{instruction.keyword} {shlex.join(instruction.arguments)}\n".encode(), "shell form")
    for (start, middle), (after, end) in pairwise(spans):
        second = content[after:end].removesuffix(b"\n") + b"\n"
        yield Edit(start, end, second + content[middle:after] + content[start:middle], "swap")


# ── scripts ─────────────────────────────────────────────────────────────────────────────

_IN_STRINGS: list[Rule] = [
    ("misspell", rb"Predicted sales", b"Predicted sale"),
    ("misspell", rb"Usage", b"usage"),
    ("round", rb"(?<=\.)\d(?=f\b)", b"0"),
    ("median", rb"\bf?mean\b(?!=)", b"median"),
    ("max", rb"\bsum(?=\()", b"max"),
    ("arithmetic", rb"(?<=[\w)] )/(?= [\w(])", b"//"),
]
_OPERATORS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "not in": "in", "in": "not in",
    "+": "-", "-": "+", "*": "+", "/": "//", "//": "/", "%": "+",
}  # fmt: skip
_MODES = {"w": "a", "wt": "at", "a": "w"}
_NAMES = {
    "stdout": "stderr", "stderr": "stdout",
    "sum": "max", "float": "int", "fmean": "median", "mean": "median", "average": "median",
}  # fmt: skip
_Placed = ast.expr | ast.stmt | ast.alias | ast.keyword


def _script_edits(content: bytes) -> Iterator[Edit]:
    if not _is_read(ast.parse, content):
        return
    lines = _line_spans(content)

    def span(node: _Placed) -> Span:
        first, last = lines[node.lineno - 1], lines[(node.end_lineno or node.lineno) - 1]
        return first[0] + node.col_offset, last[0] + (node.end_col_offset or 0)

    for node in _walk(ast.parse(content)):
        if isinstance(node, ast.stmt):
            yield Edit(lines[node.lineno - 1][0], lines[(node.end_lineno or node.lineno) - 1][1], b"", "drop")
        if isinstance(node, ast.expr | ast.stmt | ast.alias):
            yield from _node_edits(node, content, span)


def _node_edits(node: _Placed, content: bytes, span: Callable[[_Placed], Span]) -> Iterator[Edit]:
    start, end = span(node)
    match node:
        case ast.Constant() | ast.JoinedStr():
            yield from _literal_edits(node, content, (start, end))
        case ast.Compare(left=left, comparators=operands) | ast.BinOp(left=left, right=operands):
            for one, other in pairwise([left, *(operands if isinstance(operands, list) else [operands])]):
                yield from _operator_edits(content, (span(one)[1], span(other)[0]))
        case ast.Subscript(slice=ast.UnaryOp(op=ast.USub()) as index):
            yield Edit(*span(index), b"0", "index")
        case ast.Attribute(attr=name) | ast.Name(id=name) if name in _NAMES:
            yield Edit(end - len(name), end, _NAMES[name].encode(), "name")
        case ast.alias(name="mean" | "fmean", asname=None):
            yield Edit(start, end, f"median as {node.name}".encode(), "name")
        case ast.Call():
            yield from _call_edits(node, span)
        case ast.Return(value=ast.Constant(value=int() as code)):
            yield Edit(start, end, b"return 0" if code else b"return 1", "exit code")
        case _:
            pass


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but docstrings; what is in an f-string has no place of its own before Python 3.12."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    yield node
    if not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            yield from _walk(child)


def _literal_edits(node: ast.Constant | ast.JoinedStr, content: bytes, span: Span) -> Iterator[Edit]:
    value = node.value if isinstance(node, ast.Constant) else ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield Edit(*span, repr(value + 1).encode(), "number")
    elif isinstance(value, str):
        if value in _MODES:
            yield Edit(*span, f'"{_MODES[value]}"'.encode(), "mode")
        elif re.fullmatch(r"[\w./-]{3,}", value):
            yield Edit(*span, b'"' + _renamed(value.encode()) + b'"', "rename")
        yield from _edits(_IN_STRINGS, content, span)


def _operator_edits(content: bytes, span: Span) -> Iterator[Edit]:
    """What stands between two operands becomes its neighbour or its opposite."""
    between = content[slice(*span)].decode()
    written = between.strip("() \n\\")
    if written in _OPERATORS:
        yield Edit(*span, between.replace(written, _OPERATORS[written]).encode(), "operator")


def _call_edits(node: ast.Call, span: Callable[[_Placed], Span]) -> Iterator[Edit]:
    """The exit code, the stream of a print, and each keyword argument left out."""
    end, called, keywords = span(node)[1], ast.unparse(node.func), node.keywords
    if called in {"exit", "sys.exit", "SystemExit"} and len(node.args) == 1:
        ends_well = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        yield Edit(*span(node.args[0]), b"1" if ends_well else b"0", "exit code")
    if called == "print" and not any(keyword.arg == "file" for keyword in keywords):
        yield Edit(end - 1, end - 1, b', file=__import__("sys").stderr', "stderr")
    arguments: list[_Placed] = [*node.args, *keywords]
    places = sorted(span(one) for one in arguments)
    for start, end in (span(keyword) for keyword in keywords):
        index = places.index((start, end))
        yield Edit(places[index - 1][1] if index else start, end, b"", "argument")


# ── commands and compose files ──────────────────────────────────────────────────────────

_OTHER_COMMAND = {
    **dict.fromkeys((b"build", b"create", b"start", b"logs", b"wait", b"tag", b"rm"), b"inspect"),
    **dict.fromkeys((b"ls", b"list"), b"prune --force"),
    b"run": b"create", b"ps": b"images", b"images": b"ps", b"stop": b"pause", b"kill": b"pause", b"prune": b"ls",
}  # fmt: skip
_IN_COMMANDS: list[Rule] = [
    _FLAG,
    ("letter", rb"(?<=\s-)[A-Za-z]{2,3}(?!\w)", lambda letters: letters[1:]),
    ("letter", rb"(?<=\s-)[A-Za-z]{2,3}(?!\w)", lambda letters: letters[:-1]),
    ("tag", rb"sales-predictor\b", b"sales-forecast"),
    ("tag", rb"\bv1\.0\b", b"v1.1"),
    ("tag", rb"\blatest\b", b"newest"),
    ("subcommand", rb"(?<=docker |.image |tainer )[a-z]+\b", lambda word: _OTHER_COMMAND.get(word, word)),
    ("arguments", rb"\"\$@\"", b""),
    ("despite errors", rb"set -[eu]+", b"true"),
    ("despite errors", rb"&&|\|\|", b";"),
]
_IN_COMPOSE: list[Rule] = [
    ("path", rb"\.{0,2}/\w[\w./-]*", _renamed),
    ("image", rb"\bbuild:[^\n]*\S", b"image: sales-predictor"),
    ("mount option", rb":ro\b", b""),
]


_WAYS: Sequence[tuple[str, Callable[[bytes], Iterator[Edit]], Callable[[bytes], object]]] = (
    (r"Dockerfile", _dockerfile_edits, bytes),
    (r".*\.py", _script_edits, ast.parse),
    (r".*\.sh", partial(_line_edits, _IN_COMMANDS), bytes),
    (r"(docker-)?compose\.ya?ml", partial(_line_edits, _IN_COMPOSE), yaml.safe_load),
    (r"requirements\.txt", partial(_line_edits, [_PACKAGE, _UNPIN]), bytes),
    (r"\.dockerignore", partial(_line_edits, []), bytes),
)
"""Names of files, how each is changed, and what must still read it afterwards."""


# ── grading them ────────────────────────────────────────────────────────────────────────

_OUTCOMES = {ExerciseStatus.PASSED: "survived", ExerciseStatus.FAILED: "failed", ExerciseStatus.REJECTED: "failed"}


def _tried(options: argparse.Namespace, session: Session, exercise: Exercise, folder: Path) -> list[tuple[str, str]]:
    """What became of each mutant of one solution: `failed`, `survived`, `not graded` or `crashed`, and its name.

    None is tried of a solution that does not pass as it is: not every engine knows heredocs.
    """
    handed = read_exercise(folder, exercise.id, session.course.limits)
    if not isinstance(handed, ExerciseFiles):
        return []
    original = {file.path: file.content for file in handed.files}
    picked = [one for one in mutants(original) if options.match in one.name]
    wanted = chosen(picked, options.limit, f"{options.seed}/{exercise.id}/{folder.name}")
    tried: list[tuple[str, str]] = []
    for mutant in [Mutant("as it is", "", original), *wanted] if wanted else []:
        files = tuple(replace(file, content=mutant.files[file.path]) for file in handed.files)
        changed = replace(handed, files=files, digest=files_digest(files))
        try:
            report = grade_one(session, mutant.name, exercise, changed).report
            first = (check.id for check in report.checks if check.status is not CheckStatus.PASSED)
            outcome, told = _OUTCOMES.get(report.status, "not graded"), next(first, report.message)
        except Exception:  # noqa: BLE001 - whatever it is, it is a fault of the grader's and what this tool looks for
            outcome, told = "crashed", traceback.format_exc()
        terminal().note(f"{outcome:<10} {exercise.id} {folder.name} {mutant.name} {told.strip().splitlines()[-1:]}")
        if mutant.operator or outcome not in {"survived", "failed"}:
            tried.append((outcome, f"{exercise.id} {folder.name} {mutant.name}"))
        if not mutant.operator and outcome != "survived":
            break
    return tried


def main() -> None:
    """Grade mutants of the right solutions on the engine; print the table and every mutant that did not fail."""
    options = _options()
    course = open_course(None)
    exercises = chosen_exercises(course, options.exercise)
    reference = course.root / "reference/solutions"
    solutions = [(one, folder) for one in exercises for folder in sorted((reference / one.id).glob("*/"))]
    settings = GradingSettings(folder=course, exercises=exercises, seed=options.seed)
    opening = open_session(settings, silent, terminal().note)
    with ThreadPoolExecutor(options.jobs) as pool, opening as opened:
        session = replace(opened, thorough=False)
        results = list(pool.map(lambda pair: _tried(options, session, *pair), solutions))
    lines = ["| Exercise | Mutants | Failed | Survived | Not graded |", "|---|---:|---:|---:|---:|"]
    for name in [*dict.fromkeys(exercise.id for exercise, _ in solutions), "all"]:
        pairs = zip(solutions, results, strict=True)
        outcomes = [outcome for (one, _), tried in pairs if name in {one.id, "all"} for outcome, _ in tried]
        failed, survived = outcomes.count("failed"), outcomes.count("survived")
        rest = len(outcomes) - failed - survived
        lines.append(f"| {name} | {len(outcomes)} | {failed} | {survived} | {rest} |")
    others = [f"{outcome}: {name}" for tried in results for outcome, name in tried if outcome != "failed"]
    sys.stdout.write("\n".join([*lines, "", *others, ""]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exercise", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the drawn cases and of the choice of mutants")
    parser.add_argument("--jobs", type=int, default=1, help="solutions side by side")
    parser.add_argument("--limit", type=int, default=10, help="mutants of each solution")
    parser.add_argument("--match", default="", help="only mutants with this text in their name")
    return parser.parse_args()


if __name__ == "__main__":
    main()
