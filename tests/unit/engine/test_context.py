from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.engine.build.context import MISSING_DOCKERFILE, make_context, make_job, with_replaced
from grader.engine.protocol import BuildJob
from grader.models import BuildFailed, MemoryFile
from grader.submissions.models import ExerciseFiles

FROM = b"FROM scratch\n"


def of(*files: MemoryFile, **contents: bytes) -> ExerciseFiles:
    """Files, and further ones by name, with `__` for `/`."""
    every = [*files, *(MemoryFile(name.replace("__", "/"), content) for name, content in contents.items())]
    return ExerciseFiles("3.1.1", "3.1.1", tuple(sorted(every, key=lambda file: file.path)), "")


def context(files: ExerciseFiles, *replaced: MemoryFile) -> bytes:
    made = make_context(with_replaced(files, replaced))
    assert isinstance(made, bytes), made
    return made


def entries(tar: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {entry.name: entry for entry in archive}


def content(tar: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


def test_all_files_are_there_of_root_and_of_one_time_with_folders_before_them() -> None:
    run = MemoryFile("run.sh", b"", 0o6777)
    made = context(of(run, MemoryFile("a", b"2", 0o600), b__c__d=b"1", Dockerfile=FROM))
    found = entries(made)
    assert {name: oct(entry.mode) for name, entry in found.items()} == {
        "Dockerfile": "0o644", "a": "0o600", "b": "0o755", "b/c": "0o755", "b/c/d": "0o644", "run.sh": "0o755",
    }  # fmt: skip
    assert list(found) == ["Dockerfile", "a", "b", "b/c", "b/c/d", "run.sh"]
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in found.values()} == {(0, 0, "", 315_532_800)}
    assert content(made, "b/c/d") == b"1"


@given(st.permutations(["a", "B", "b/c", "b.c", "b/d/e", "é", "Dockerfile"]))
def test_the_same_files_give_the_same_bytes(names: list[str]) -> None:
    files = [MemoryFile(name, name.encode()) for name in names]
    assert context(ExerciseFiles("x", "x", tuple(files), "")) == context(of(*files))


@pytest.mark.parametrize("name", ["d" * 90 + "/" + "f" * 200, "é" * 60, "a b/\N{GRINNING FACE}.txt"])
def test_no_name_makes_a_pax_header(name: str) -> None:
    made = context(of(MemoryFile(name, b"1"), MemoryFile(".a" * 80, b"2"), Dockerfile=FROM))
    assert content(made, name) == b"1"
    assert made[:10] == b"Dockerfile", "BuildKit 0.8 looks at the first header to tell a tar from a Dockerfile"
    types = {made[at + 156 : at + 157] for at in range(0, len(made), 512) if made[at + 257 : at + 262] == b"ustar"}
    assert types <= {b"0", b"5", b"L"}


@pytest.mark.parametrize(
    ("ignore", "sent"),
    [
        (b"", {"Dockerfile", ".dockerignore", "a.py", "data", "data/x"}),
        (b"data\n", {"Dockerfile", ".dockerignore", "a.py"}),
        (b"data/x\n", {"Dockerfile", ".dockerignore", "a.py"}),
        (b"*\n", {"Dockerfile"}),
        (b"*\n!a.py\n", {"Dockerfile", "a.py"}),
        (b"Dockerfile\n.dockerignore\n", {"Dockerfile", "a.py", "data", "data/x"}),
    ],
)
def test_dockerignore_is_heeded_but_the_dockerfile_is_always_sent(ignore: bytes, sent: set[str]) -> None:
    files = of(MemoryFile("a.py", b""), MemoryFile(".dockerignore", ignore), data__x=b"", Dockerfile=FROM)
    assert set(entries(context(files))) == sent


def test_replaced_files_take_the_place_of_the_students_and_what_is_ignored_stays_out() -> None:
    files = of(MemoryFile("a.py", b""), MemoryFile(".dockerignore", b"*.py"), Dockerfile=FROM, a=b"old")
    made = context(files, MemoryFile("a", b"new"), MemoryFile("b", b"more"), MemoryFile("a.py", b"new"))
    assert (content(made, "a"), content(made, "b"), "a.py" in entries(made)) == (b"new", b"more", False)


def test_the_dockerfiles_own_ignore_file_comes_first() -> None:
    ignores = (MemoryFile(".dockerignore", b"a"), MemoryFile("Dockerfile.dockerignore", b"b"))
    assert {"a"} == set(entries(context(of(*ignores, Dockerfile=FROM, a=b"", b=b"")))) & {"a", "b"}


def test_a_job_holds_the_dockerfile_as_it_is_built() -> None:
    text = b"# syntax=docker/dockerfile:1\nFROM scratch\n"
    job = make_job(of(Dockerfile=text), (), "ex")
    assert isinstance(job, BuildJob)
    assert job.dockerfile.built == content(job.context, "Dockerfile") == b"# syntax docker/dockerfile:1\nFROM scratch\n"
    assert job.name == "ex"


def test_a_dockerfile_in_lower_case_is_built_as_docker_would() -> None:
    job = make_job(of(dockerfile=FROM, a=b""), (), "ex")
    assert isinstance(job, BuildJob)
    assert (set(entries(job.context)), job.dockerfile.built) == ({"Dockerfile", "a"}, FROM)
    both = make_job(of(Dockerfile=FROM, dockerfile=b"FROM other\n"), (), "ex")
    assert isinstance(both, BuildJob)
    assert (content(both.context, "Dockerfile"), content(both.context, "dockerfile")) == (FROM, b"FROM other\n")


@pytest.mark.parametrize(
    ("files", "message", "line"),
    [
        ([MemoryFile("a", b"")], MISSING_DOCKERFILE, None),
        ([MemoryFile("Dockerfile", b"FROM a\nRUM x\n")], "Did you mean RUN?", 2),
        ([MemoryFile("Dockerfile", FROM), MemoryFile(".dockerignore", b"a\n[b")], ".dockerignore line 2: ", None),
        ([MemoryFile("Dockerfile", FROM), MemoryFile(".dockerignore", b"a\n" * 400)], "400 patterns", None),
    ],
)
def test_what_docker_would_not_build_is_the_students_failure(
    files: list[MemoryFile], message: str, line: int | None
) -> None:
    failed = make_job(of(*files), (), "ex")
    assert isinstance(failed, BuildFailed)
    assert message in failed.message
    assert failed.line == line
