"""The hostile corpus: what strangers may hand in, as data, and what must become of each.

`tests/hostile/NN-NAME/case.yaml` is one case. NN is its number in the list of dangers that the project works from
(several variants of one danger are `31a-…`, `31b-…`). The submission is one exercise's folder, made of, in this order:

- `start: NAME`, a right solution in `reference/solutions/EXERCISE/`, to be spoilt, or `clean`, of `clean/EXERCISE`;
- `submission/`, a folder beside `case.yaml`;
- `files: {NAME: TEXT}` in `case.yaml` itself, for what is short; `"\\udcff"` in them is a byte that is no text;
- `pipes: [NAME]`, and `links: {PATH: LEADS_TO}`, with paths in the student's folder.

The student is called like the case, or `student`. Or `make: NAME` names a function of `makers.py`, which writes all.

`expect` says what must become of it: `status`, as `grades.csv` has it; `check`, the id of the first check that must
fail; `phrase`, what the student must be shown; `absent`, texts that no artefact may contain. A case with `slow: true`
meets a limit. In the files, and in `absent`, `@WORD@` stands for what `Planted` knows only when the tests run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
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
    student: str = ""
    start: str = ""
    make: str = ""
    slow: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    pipes: Sequence[str] = ()
    links: Mapping[str, str] = field(default_factory=dict)


def _load(path: Path) -> HostileCase:
    read: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    expect: dict[str, Any] = read.pop("expect")
    expect["absent"] = tuple(expect.get("absent", ()))
    return HostileCase(name=path.parent.name, folder=path.parent, expect=Expect(**expect), **read)


CASES = tuple(_load(path) for path in sorted(HERE.glob("*/case.yaml")))
"""Every case, by name."""


def write_case(case: HostileCase, into: Path, words: Mapping[str, str]) -> str:
    """Write the submission into a folder of submissions; the name of its student comes back."""
    if case.make:
        return student_of(MAKERS[case.make](into, case.name))
    student = into / (case.student or case.name)
    target = student / case.exercise
    target.mkdir(parents=True)
    started = CLEAN / case.exercise if case.start == "clean" else REFERENCE / case.exercise / case.start
    for source in (started if case.start else None, case.folder / "submission"):
        if source is not None and source.exists():
            shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True)
    for name, text in case.files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(text.encode(errors="surrogateescape"))
        if name.startswith(".git/"):
            (target / name).chmod(0o755)
    for path in target.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.write_bytes(filled(path.read_bytes(), words))
    for name in case.pipes:
        _remove(target / name)
        os.mkfifo(target / name)
    for name, leads_to in case.links.items():
        _remove(student / name)
        (student / name).symlink_to(leads_to)
    return student_of(student)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


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
