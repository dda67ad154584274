"""Folders of exercises, of students and of classes: what is read, and what is refused with what words."""

from __future__ import annotations

import os
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.course.models import Limits
from grader.errors import UsageError
from grader.models import MemoryFile
from grader.submissions.lms import open_submissions
from grader.submissions.models import ExerciseFiles, RefusedFolder, files_digest
from grader.submissions.reader import Selection, find_target, read_exercise, read_submission
from tests.worlds import COURSE

LIMITS = Limits(context_files=20, context_mb=1)
IDS = ("3.1.1", "3.1.3", "3.2.P")


def put(folder: Path, *names: str, text: str = "") -> Path:
    """Write files of the same text into a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def accepted(found: ExerciseFiles | RefusedFolder) -> dict[str, bytes]:
    assert isinstance(found, ExerciseFiles), found
    return {file.path: file.content for file in found.files}


def refused(found: ExerciseFiles | RefusedFolder) -> list[str]:
    assert isinstance(found, RefusedFolder), found
    return [refusal.message for refusal in found.refusals]


def exercises(path: Path) -> dict[str, ExerciseFiles | RefusedFolder]:
    return {found.exercise: found for found in read_submission(path, Selection(IDS, IDS, LIMITS)).exercises}


# ── one exercise's folder ───────────────────────────────────────────────────────────────


def test_every_file_is_read_with_its_bits_but_what_tools_leave_behind(tmp_path: Path) -> None:
    put(tmp_path, "Dockerfile", "sub/a.py", text="FROM x")
    put(tmp_path, ".git/config", "a/__pycache__/b.pyc", ".venv/x", "node_modules/x/y", "a/__MACOSX/x", ".DS_Store")
    put(tmp_path, "._Dockerfile", "venv/x", "myenv/pyvenv.cfg", "myenv/lib/x")
    (tmp_path / "sub/__pycache__").symlink_to("/etc")
    (tmp_path / "run.sh").write_bytes(b"\x00\xff")
    (tmp_path / "run.sh").chmod(0o6777)
    (tmp_path / "Dockerfile").chmod(0o664)
    found = read_exercise(tmp_path, "3.1.1", LIMITS)
    assert isinstance(found, ExerciseFiles)
    assert found.files == (
        MemoryFile("Dockerfile", b"FROM x", 0o644),
        MemoryFile("run.sh", b"\x00\xff", 0o755),
        MemoryFile("sub/a.py", b"FROM x", 0o644),
    )
    assert found.dockerfile is found.dockerfile, "parsed once"
    # Digests are stored in journals; when they change, every submission is graded anew.
    assert files_digest([MemoryFile("a", b"1")]) == "2c147a14f63936c952a1dfbf0a184e933bf3ddc09e36c1cb011b459edab3399e"
    (tmp_path / "Dockerfile").chmod(0o600)
    again = read_exercise(tmp_path, "3.1.1", LIMITS)
    assert isinstance(again, ExerciseFiles)
    assert again.digest == found.digest, "whatever the umask"


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)
        server.bind("bad")
        os.chdir(here)


def _name(name: bytes) -> Callable[[Path], None]:
    return lambda folder: Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()


def _holes(folder: Path) -> None:
    with (folder / "a").open("wb") as file:
        file.truncate(2**40)


MANY = "3.1.1: there are more than 20 files. Hand in only what the exercise asks for."
LARGE = "3.1.1: there are more than 1 MiB of files. Hand in only what the exercise asks for."


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: (folder / "bad").symlink_to("/etc/passwd"), "bad: it is a link. Links are not followed; "),
        (lambda folder: (folder / "bad").symlink_to("bad"), "bad: it is a link"),
        (lambda folder: (folder / "bad").symlink_to(".."), "bad: it is a link"),
        (lambda folder: (put(folder, "sub/a") / "sub/link").symlink_to("../.."), "sub/link: it is a link"),
        (lambda folder: os.mkfifo(folder / "bad"), "bad: it is no ordinary file"),
        (_socket, "bad: it is no ordinary file"),
        (_name(b"\xff"), "\\udcff: the name is not in UTF-8"),
        (_name(b"a\nb"), "a\\nb: the name has a backslash, a line break"),
        (_name(b"a\x1b[2Jb"), "a\\x1b[2Jb: the name has"),
        (_name(b"a\\b"), "a\\b: the name has a backslash"),
        (_name(b"x" * 250), "more than 200 bytes"),
        (lambda folder: put(folder, *[f"f{number}" for number in range(20)]), MANY),
        (lambda folder: [(folder / f"d{number}").mkdir() for number in range(30)], MANY),
        (lambda folder: put(folder, "a", text="x" * (2**20 + 1)), LARGE),
        (_holes, LARGE),
        # Deeper than the interpreter could descend, and nearly as long as the system takes.
        (lambda folder: (folder / "/".join(["d"] * 400)).mkdir(parents=True), "more than 20 f"),
        (lambda folder: put(folder, ".dockerignore", text="*a\n" * 1000), ".dockerignore: there are 1000 patterns"),
    ],
)
def test_what_is_refused_says_why(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    make(put(tmp_path, "Dockerfile"))
    (refusal,) = refused(read_exercise(tmp_path, "3.1.1", LIMITS))
    assert message in refusal
    refusal.encode()


def test_what_just_fits_is_read_and_not_all_problems_are_told(tmp_path: Path) -> None:
    put(tmp_path, *[f"f{number}" for number in range(19)])
    put(tmp_path, "large", text="x" * 2**20)
    assert len(accepted(read_exercise(tmp_path, "3.1.1", LIMITS))) == 20
    for number in range(10):
        (tmp_path / f"f{number}").unlink()
        (tmp_path / f"f{number}").symlink_to("x")
    assert [message[:3] for message in refused(read_exercise(tmp_path, "3.1.1", LIMITS))] == [
        "f0:",
        "f1:",
        "f2:",
        "f3:",
        "f4:",
    ]


@pytest.mark.parametrize(
    ("names", "dockerfile", "ignore"),
    [
        ((), None, None),
        (("dockerfile", ".dockerignore"), "dockerfile", ".dockerignore"),
        (("Dockerfile", "dockerfile"), "Dockerfile", None),
        (("Dockerfile.dockerignore", ".dockerignore"), None, "Dockerfile.dockerignore"),
    ],
)
def test_which_dockerfile_and_ignore_file_count(
    tmp_path: Path, names: tuple[str, ...], dockerfile: str | None, ignore: str | None
) -> None:
    found = read_exercise(put(tmp_path, *names, text="FROM x"), "3.1.1", LIMITS)
    assert isinstance(found, ExerciseFiles)
    assert (found.dockerfile and found.dockerfile.path) == dockerfile
    assert (found.ignore_file and found.ignore_file.path) == ignore


# ── a student's folder ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("around", ["", "work/", "a/b/c/"])
@pytest.mark.parametrize("name", ["3.1.1", "Exercise 3.1.1", "exercise-3.1.1", "ex3.1.1", "Ex_3_1_1", "3-1-1"])
def test_exercises_are_found_by_their_folders_names(tmp_path: Path, around: str, name: str) -> None:
    put(tmp_path, f"{around}{name}/Dockerfile", f"{around}3.2.p/x", f"{around}3.1.11/x", f"{around}ex/x", text="one")
    put(tmp_path, "README", "__MACOSX/3.1.3/x", ".git/x")
    found = exercises(tmp_path)
    assert sorted(found) == ["3.1.1", "3.2.P"]
    assert accepted(found["3.1.1"]) == {"Dockerfile": b"one"}


def test_a_folder_that_is_absent_or_a_link_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    put(tmp_path, "bob/3.1.1/Dockerfile", "ada/3.1.3/Dockerfile")
    (tmp_path / "ada/3.1.1").symlink_to("../bob/3.1.1")
    put(tmp_path, "ada/3.2.P/x").joinpath("ada/3.2.P/y").symlink_to("/etc/passwd")
    found = exercises(tmp_path / "ada")
    assert "it is a link or no folder" in refused(found["3.1.1"])[0]
    accepted(found["3.1.3"])
    refused(found["3.2.P"])
    assert "No such file" in refused(read_exercise(tmp_path / "none", "3.1.1", LIMITS))[0]
    (tmp_path / "alias").symlink_to("bob")
    (tmp_path / "carl").mkdir()
    (tmp_path / "carl/inner").symlink_to("../bob")
    for name in ("alias", "carl"):
        assert all("link" in refused(one)[0] for one in exercises(tmp_path / name).values())
        assert len(exercises(tmp_path / name)) == len(IDS)


def test_two_folders_for_one_exercise_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "3.2.P/right", "3.2.p/wrong", "ex3.1.1/x", "3_1_1/x")
    found = exercises(tmp_path)
    assert list(accepted(found["3.2.P"])) == ["right"], "the one in the right case"
    assert "several folders" in refused(found["3.1.1"])[0]


def test_all_exercises_together_are_limited(tmp_path: Path) -> None:
    ids = [f"e{number}" for number in range(6)]
    for name in ids:
        put(tmp_path / name, *[f"f{number}" for number in range(15)])
    found = read_submission(tmp_path, Selection(ids, ids, LIMITS)).exercises
    assert [isinstance(one, ExerciseFiles) for one in found] == [True] * 5 + [False]
    assert "in the whole submission, there are more than 80 files" in refused(found[5])[0]


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (["Dockerfile", "a.py"], ["Dockerfile", "a.py"]),
        (["work/Dockerfile", "work/src/a.py", "README"], ["Dockerfile", "src/a.py"]),
        (["commands.sh", "data/sales.txt"], ["commands.sh", "data/sales.txt"]),
        (["3.1.3/Dockerfile", "a.py"], None),
        (["3.1.3/Dockerfile"], None),
        (["a/x", "b/x"], None),
        (["3.1.1/x", "Dockerfile"], ["x"]),
    ],
)
def test_loose_files_are_the_only_exercise_that_is_asked_for(
    tmp_path: Path, names: list[str], read: list[str] | None
) -> None:
    put(tmp_path / "ada", *names)
    with zipfile.ZipFile(tmp_path / "bob.zip", "w") as archive:
        for name in names:
            archive.writestr(name, "")
    for path in (tmp_path / "ada", tmp_path / "bob.zip"):
        found = read_submission(path, Selection(["3.1.1"], IDS, LIMITS)).exercises
        assert [sorted(accepted(one)) for one in found] == ([read] if read else [])


# ── a class's folder ────────────────────────────────────────────────────────────────────


def test_folders_and_archives_are_submissions_and_named_as_they_are(tmp_path: Path) -> None:
    put(tmp_path, "alice/x", "README.md", "roster.csv", ".hidden/x", "__MACOSX/x", "zoe.zip", "v1.zip.d/x", "a\nb,=1/x")
    put(tmp_path, "bob.tar.gz", "carl.TGZ", "dora.rar", "emil.tar", ".x.zip", "v2.zip/x")
    (tmp_path / "link").symlink_to("alice")
    found = [one.student for one in open_submissions(tmp_path).handins]
    assert found == ["a\\nb,=1", "alice", "bob", "carl", "dora", "emil", "link", "v1.zip.d", "v2.zip", "zoe"]
    with pytest.raises(UsageError, match="none: cannot be read"):
        open_submissions(tmp_path / "none")


# ── what `check` is given ────────────────────────────────────────────────────────────────

EVERY = COURSE.exercises


def work_in(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "Dockerfile").write_text("FROM python:3.9\n", encoding="utf-8")
    return root


def asked(path: Path, wanted: tuple[str, ...] = (), *, every: bool = False) -> list[str]:
    exercises = [COURSE.exercise(name) for name in wanted] or list(EVERY)
    return [exercise.id for exercise in find_target(path, COURSE, exercises, every=every).exercises]


@pytest.mark.parametrize(
    ("there", "path", "wanted", "found"),
    [
        (["3.1.4"], "3.1.4", (), ["3.1.4"]),
        (["3.1.4"], "3.1.4/Dockerfile", (), ["3.1.4"]),
        (["ex3_1_4"], "ex3_1_4/Dockerfile", (), ["3.1.4"]),
        (["3.1.5", "3.1.4", "notes"], ".", (), ["3.1.4", "3.1.5"]),
        (["work"], "work", ("3.1.4",), ["3.1.4"]),
    ],
)
def test_what_a_path_means(
    tmp_path: Path, there: list[str], path: str, wanted: tuple[str, ...], found: list[str]
) -> None:
    assert asked(work_in(tmp_path, *there) / path, wanted) == found


@pytest.mark.parametrize("here", [".", "3.1.4", "3.1.5"])
def test_an_id_finds_its_folder_from_above_inside_and_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, here: str
) -> None:
    monkeypatch.chdir(work_in(tmp_path, "3.1.4", "3.1.5") / here)
    assert asked(Path("3.1.4")) == ["3.1.4"]


def test_with_every_exercise_the_absent_ones_count(tmp_path: Path) -> None:
    assert asked(work_in(tmp_path, "3.1.4"), every=True) == [exercise.id for exercise in EVERY]


@pytest.mark.parametrize("name", ["nothing-there", "empty"])
def test_anything_else_says_what_was_looked_for(tmp_path: Path, name: str) -> None:
    work_in(tmp_path, "empty")
    with pytest.raises(UsageError, match=r"3\.1\.4|no such folder"):
        asked(tmp_path / name)
