"""What is wrong with lines that beginners write, in words: files that COPY does not find, and lists that are none.

It reads the text and the names of the folder's files, and knows no engine. Whether a thing fails is for the engine to
say; only `missing_source` is sure of it.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Collection, Iterable
from difflib import get_close_matches

from grader.dockerfile.parser import Dockerfile, Instruction, said

_PLAIN = re.compile(r"[\w./@+ -]+", re.ASCII)
"""A path in which nothing stands for something else: no quotes, variables, wildcards or backslashes."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word that is most like `word`; "" if none is."""
    by_small = {one.lower(): one for one in known}
    found = get_close_matches(word.lower()[:100], list(by_small)[:500], n=1, cutoff=cutoff)
    return by_small[found[0]] if found else ""


def missing_source(dockerfile: Dockerfile, files: Collection[str], ignored: Collection[str]) -> tuple[int, str] | None:
    """The first COPY or ADD that no builder can carry out, as its line and why; None if there is none.

    `files` are the paths of the folder, `ignored` those that `.dockerignore` leaves out. Only the last stage counts:
    a stage that nobody needs is not built.
    """
    for one in dockerfile.instructions:
        if one.keyword not in {"COPY", "ADD"} or one.stage != len(dockerfile.stages) - 1 or one.heredocs:
            continue
        if not any(flag.name in {"from", "parents", "exclude"} for flag in one.flags):
            for source in one.arguments[:-1]:
                there = posixpath.normpath(f"/{source}").lstrip("/")
                if there and _PLAIN.fullmatch(source) and not _has(there, set(files) - set(ignored)):
                    return one.first_line, source_problem(source, files, ignored)
    return None


def missing_words(dockerfile: Dockerfile) -> tuple[int, str] | None:
    """The first instruction that lacks what every builder asks for: its line, and what it lacks."""
    for one in dockerfile.instructions:
        count = len(one.arguments) + 2 * len(one.heredocs)
        if one.keyword in {"COPY", "ADD"} and count < 2:  # noqa: PLR2004 - a source and a target
            source = one.arguments[0] if one.arguments else "sales_predictor.py"
            return one.first_line, f"{one.keyword} needs to know from where and to where: {one.keyword} {source} /app/"
        if one.keyword in {"WORKDIR", "USER", "EXPOSE", "VOLUME", "STOPSIGNAL"} and not one.value:
            return one.first_line, f"{one.keyword} needs a word after it."
    return None


def _has(path: str, files: Iterable[str]) -> bool:
    return any(file == path or file.startswith(f"{path}/") for file in files)


def source_problem(source: str, files: Collection[str], ignored: Collection[str] = ()) -> str:
    """Why COPY does not find a file or folder of that name, in a sentence or two that end with what to do."""
    source = source.strip("\"'")
    path = posixpath.normpath(f"/{source}").lstrip("/")
    name = re.split(r"[/\\]", source.rstrip("/\\"))[-1]
    if _has(path, ignored):
        return (
            f"`{path}` is in the folder, but `.dockerignore` leaves it out. Take the line that names it out of there."
        )
    inside = next((file for file in files if file.rpartition("/")[2] == name), "")
    if re.match(r"[A-Za-z]:|\\|~|/(?:home|Users|mnt|root)/", source) or source.startswith(".."):
        here = f" The file is in the folder: write `{inside}`." if inside else " Put the file beside the Dockerfile."
        return f"COPY sees only the folder that is built, not `{source}` on your computer.{here}"
    if inside:
        return f"There is no `{path}` in the folder, but there is `{inside}`: write that path, or move the file."
    other_case = next((file for file in files if file.lower() == path.lower()), "")
    if other_case:
        return f"There is no `{path}` in the folder, but `{other_case}`: capital and small letters differ in Linux."
    if near := nearest(path, files) or nearest(name, files):
        return f"There is no `{path}` in the folder. Did you mean `{near}`?"
    there = ", ".join(f"`{file}`" for file in sorted(files)[:6])
    return f"There is no `{path}` in the folder. There are: {there}."


def list_problem(instruction: Instruction) -> str:
    """What is wrong with a list in square brackets of CMD, ENTRYPOINT or RUN; "" if nothing is, or it is no list.

    A list that is not JSON is no mistake to Docker: it is taken for text, for a shell to execute.
    """
    value = instruction.value.strip()
    if instruction.json:
        return _words_problem(instruction)
    listed = re.match(rf"[\"'({{{_CURLY}][^,]+[\"'{_CURLY}]\s*,", value)
    if not (value.startswith("[") or listed) or (instruction.keyword == "RUN" and re.match(r"\[\[? ", value)):
        return ""
    words = re.findall(rf"[^\s,\[(){{}}\"'{_CURLY}]+", value.partition("]")[0])
    instead = f"{instruction.keyword} {json.dumps(words, ensure_ascii=False)}"
    return said("lists", value, instead=instead, after=value.rpartition("]")[2].strip()[:60])


_CURLY = "\u2018-\u201f\u2033"
"""The quotation marks that word processors put in the place of plain ones, for a character class."""

_SHELL_SIGNS = {">", ">>", "<", "|", "||", "&&", ";", "&", "2>&1"}


def _words_problem(instruction: Instruction) -> str:
    """What is wrong with a list that Docker reads as one."""
    if not instruction.arguments:
        return ""
    first, *others = instruction.arguments
    if " " in first.strip():
        return f"Each word needs its own quotes: {instruction.keyword} {json.dumps([*first.split(), *others])}"
    if first != first.strip():
        return f"There is a blank inside the quotes of the first word: write {json.dumps(first.strip())}"
    if posixpath.basename(first) in {"sh", "bash", "dash", "ash"}:
        return ""
    if sign := next((word for word in others if word in _SHELL_SIGNS), ""):
        return f"`{sign}` is for a shell, and a list is executed without one: the program gets it as an argument."
    set_variable = re.match(r"\w+=\S", first)
    return "A list is executed without a shell, so it cannot set a variable. Use ENV for that." if set_variable else ""


_PROGRAMS = ("python", "python3", "bash", "uvicorn", "poetry", "flask")
_PROGRAM = re.compile(r"python[\d.]*|bash|dash|pypy3?|uvicorn|poetry|flask|[^a-zA-Z]*|.{0,3}")


def misspelt_script(command: Instruction, there: Iterable[str]) -> str:
    """That a command names a program or a Python file of nearly the right name; "" if it does not."""
    if list_problem(command):
        return ""
    first = (command.arguments or ("",))[0].strip("\"'")
    if not _PROGRAM.fullmatch(first) and "/" not in first and (near := nearest(first, _PROGRAMS, 0.75)):
        return f"{command.keyword} begins with {first}. Did you mean {near}?"
    names = [path.rpartition("/")[2] for path in there]
    for word in re.split(r"[\s\"',\[\]]+", command.value):
        name = word.rpartition("/")[2]
        if (name.endswith(".py") or f"{name}.py" in names) and name not in names and (near := nearest(name, names)):
            return f"{command.keyword} names {word}. Did you mean {word.removesuffix(name)}{near}?"
    return ""
