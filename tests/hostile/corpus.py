"""The hostile corpus: what strangers may hand in, as data, and what must become of each.

`tests/hostile/NN-NAME/case.yaml` is one case. NN is its number in the list of dangers that the project works from (several
variants of one danger are `31a-…`, `31b-…`). The submission is one exercise's folder, and is made of, in this order:

- `start: NAME`, a right solution in `reference/solutions/EXERCISE/`, to be spoilt;
- `submission/`, a folder beside `case.yaml`;
- `files: {NAME: TEXT}` in `case.yaml` itself, for what is short.

Or `make: NAME` names a function of `makers.py`, which writes the whole submission, for what git cannot hold.

`expect` says what must become of it: `status`, as `grades.csv` has it; `check`, the id of the first check that must fail;
`phrase`, what the student must be shown; `absent`, texts that no artefact may contain. `slow: true` keeps a case out of
`make test`. In the files, and in `absent`, `@WORD@` stands for what `Planted` knows only when the tests run.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from grader.submissions.reader import student_of
from tests.hostile.makers import MAKERS

HERE = Path(__file__).parent
REFERENCE = HERE.parents[1] / "reference" / "solutions"

CLEAN = HERE / "clean"
"""Right solutions that follow hostile ones, a folder for each exercise that has one. They need no network."""


@dataclass(frozen=True, slots=True)
class Expect:
    """What must become of a submission; the module's docstring says what each field means."""

    status: str
    check: str = ""
    phrase: str = ""
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostileCase:
    """One case, as its `case.yaml` says; `folder` is where it stands."""

    name: str
    folder: Path
    about: str
    expect: Expect
    exercise: str = "3.1.4"
    start: str = ""
    make: str = ""
    slow: bool = False
    files: Mapping[str, str] = field(default_factory=dict)


def load_cases(folder: Path = HERE) -> tuple[HostileCase, ...]:
    """Every case, by name. `TypeError` for a key that is not known, `ValueError` for what does not fit together."""
    return tuple(_load(path) for path in sorted(folder.glob("*/case.yaml")))


def _load(path: Path) -> HostileCase:
    read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    expect: dict[str, Any] = read.pop("expect")
    expect["absent"] = tuple(expect.get("absent", ()))
    case = HostileCase(name=path.parent.name, folder=path.parent, expect=Expect(**expect), **read)
    if case.make and (case.start or case.files or (case.folder / "submission").exists()):
        raise ValueError(f"{path}: a maker writes all of a submission; it goes with no other files.")
    if case.make and case.make not in MAKERS:
        raise ValueError(f"{path}: makers.py has no {case.make}.")
    return case


CASES = load_cases()


def write_case(case: HostileCase, into: Path, words: Mapping[str, str]) -> str:
    """Write the submission into a folder of submissions; the name of its student comes back."""
    if case.make:
        made: Path = MAKERS[case.make](into, case.name)
        return student_of(made)
    target = into / case.name / case.exercise
    target.mkdir(parents=True)
    for source in (REFERENCE / case.exercise / case.start if case.start else None, case.folder / "submission"):
        if source is not None and source.exists():
            shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
    for name, text in case.files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(text.encode())
    for path in target.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(filled(path.read_bytes(), words))
    return student_of(into / case.name)


def write_clean(exercise: str, into: Path, student: str) -> str:
    """Write a right submission, of that exercise if there is one; the name of its student comes back."""
    exercise = exercise if (CLEAN / exercise).exists() else "3.1.4"
    shutil.copytree(CLEAN / exercise, into / student / exercise)
    return student_of(into / student)


def filled(content: bytes, words: Mapping[str, str]) -> bytes:
    """`content` with each `@WORD@` replaced by what stands for it."""
    for word, value in words.items():
        content = content.replace(f"@{word}@".encode(), value.encode())
    return content
