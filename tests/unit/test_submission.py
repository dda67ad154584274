from __future__ import annotations

import contextlib
import gzip
import io
import os
import socket
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.archive import Unreadable, read_archive
from grader.errors import UsageError
from grader.model import ExerciseFiles, MemoryFile, RefusedFolder
from grader.spec import Limits
from grader.submission import find_submissions, is_archive, read_exercise, read_submission, student_of
from grader.vetting import digest_of, whole_room

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


# ── one exercise's folder ───────────────────────────────────────────────────────────────


def test_every_file_is_read_with_its_bits(tmp_path: Path) -> None:
    put(tmp_path, "Dockerfile", "sub/a.py", text="FROM x")
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
    assert (found.exercise, found.folder) == ("3.1.1", str(tmp_path))


def test_what_tools_leave_behind_is_not_read(tmp_path: Path) -> None:
    put(tmp_path, "Dockerfile", ".dockerignore", ".git/config", "a/__pycache__/b.pyc", ".venv/x", "node_modules/x/y")
    put(tmp_path, "a/__MACOSX/x", ".DS_Store", "._Dockerfile", "venv/x", "myenv/pyvenv.cfg", "myenv/lib/x")
    for name in (".git", "__pycache__"):
        (tmp_path / "other").mkdir(exist_ok=True)
        (tmp_path / "other" / name).symlink_to("/etc")
    assert sorted(accepted(read_exercise(tmp_path, "3.1.1", LIMITS))) == [".dockerignore", "Dockerfile"]


def _link(folder: Path) -> None:
    (folder / "bad").symlink_to("/etc/passwd")


def _link_to_itself(folder: Path) -> None:
    (folder / "bad").symlink_to("bad")


def _link_to_a_folder(folder: Path) -> None:
    (folder / "bad").symlink_to("..")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "bad")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)
        server.bind("bad")
        os.chdir(here)


def _name(folder: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).touch()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_link, "bad: it is a link"),
        (_link_to_itself, "bad: it is a link"),
        (_link_to_a_folder, "bad: it is a link"),
        (_pipe, "bad: it is a pipe"),
        (_socket, "bad: it is a socket"),
        (lambda folder: _name(folder, b"\xff"), "\\udcff: the name is not in UTF-8"),
        (lambda folder: _name(folder, b"a\nb"), "a\\nb: the name has a backslash, a line break"),
        (lambda folder: _name(folder, b"a\x1b[2Jb"), "a\\x1b[2Jb: the name has"),
        (lambda folder: _name(folder, b"a\\b"), "the name has a backslash"),
        (lambda folder: _name(folder, b"x" * 250), "more than 200 bytes"),
    ],
)
def test_what_is_no_ordinary_file_is_refused_by_name(tmp_path: Path, make: Callable[[Path], None], told: str) -> None:
    make(put(tmp_path, "Dockerfile"))
    (message,) = refused(read_exercise(tmp_path, "3.1.1", LIMITS))
    assert told in message
    message.encode()


def test_a_link_is_not_followed_wherever_it_stands(tmp_path: Path) -> None:
    put(tmp_path, "outside/secret", "inside/sub/a")
    (tmp_path / "inside/sub/link").symlink_to(tmp_path / "outside")
    assert refused(read_exercise(tmp_path / "inside", "3.1.1", LIMITS)) == [
        "sub/link: it is a link. Links are not followed; put the file itself there."
    ]
    (tmp_path / "alias").symlink_to("outside")
    assert "it is a link or no folder" in refused(read_exercise(tmp_path / "alias", "3.1.1", LIMITS))[0]


def test_many_problems_are_told_together_but_not_all(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"link{number}").symlink_to("x")
    assert [message[:5] for message in refused(read_exercise(tmp_path, "3.1.1", LIMITS))] == [
        f"link{n}" for n in range(5)
    ]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "No such file" in refused(read_exercise(tmp_path / "none", "3.1.1", LIMITS))[0]


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_what_cannot_be_read_is_refused() -> None:
    with tempfile.TemporaryDirectory() as made:  # not `tmp_path`, which only its owner can reach
        folder = put(Path(made), "file", "folder/x", "open")
        folder.chmod(0o755)
        (folder / "file").chmod(0)
        (folder / "folder").chmod(0)
        with as_nobody():
            assert refused(read_exercise(folder, "3.1.1", LIMITS)) == [
                "file: it cannot be read: Permission denied.",
                "folder: it cannot be read: Permission denied.",
            ]
            assert "Permission denied" in refused(read_exercise(folder / "folder", "3.1.1", LIMITS))[0]
        (folder / "folder").chmod(0o755)


@pytest.mark.parametrize(("count", "fits"), [(20, True), (21, False)])
def test_the_number_of_files_is_limited(tmp_path: Path, count: int, fits: bool) -> None:
    put(tmp_path, *[f"f{number}" for number in range(count)])
    found = read_exercise(tmp_path, "3.1.1", LIMITS)
    assert isinstance(found, ExerciseFiles) == fits
    if not fits:
        assert refused(found) == ["3.1.1: there are more than 20 files. Hand in only what the exercise asks for."]


@pytest.mark.parametrize(("last", "fits"), [(0, True), (1, False)])
def test_their_size_is_limited(tmp_path: Path, last: int, fits: bool) -> None:
    (tmp_path / "a").write_bytes(bytes(2**20 - 10))
    (tmp_path / "b").write_bytes(bytes(10 + last))
    found = read_exercise(tmp_path, "3.1.1", LIMITS)
    assert isinstance(found, ExerciseFiles) == fits
    if not fits:
        assert refused(found) == ["3.1.1: there are more than 1 MiB of files. Hand in only what the exercise asks for."]


def test_a_huge_file_of_holes_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.truncate(2**40)
    assert "more than 1 MiB" in refused(read_exercise(tmp_path, "3.1.1", LIMITS))[0]


def test_folders_within_folders_are_limited(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(400):  # deeper than the interpreter could descend, and nearly as long as the system takes
        deep /= "d"
    deep.mkdir(parents=True)
    limits = Limits(context_files=5000)
    assert "more than 20 folders" in refused(read_exercise(tmp_path, "3.1.1", limits))[0]


def test_empty_folders_count_as_files(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"d{number}").mkdir()
    assert "more than 20 files" in refused(read_exercise(tmp_path, "3.1.1", LIMITS))[0]


# ── digests ─────────────────────────────────────────────────────────────────────────────

FILES = st.lists(
    st.builds(MemoryFile, st.text("ab/", max_size=3), st.binary(max_size=3), st.sampled_from([0o644, 0o755])),
    max_size=3,
)


@given(FILES, FILES)
def test_different_files_have_different_digests(one: list[MemoryFile], other: list[MemoryFile]) -> None:
    assert (digest_of(one) == digest_of(other)) == (one == other)


def test_a_digest_stays_what_it_is() -> None:
    # It is stored in journals; when it changes, every submission is graded anew.
    assert digest_of([MemoryFile("a", b"1")]) == "2c147a14f63936c952a1dfbf0a184e933bf3ddc09e36c1cb011b459edab3399e"


def test_the_digest_does_not_depend_on_the_umask_or_the_order(tmp_path: Path) -> None:
    put(tmp_path / "one", "a", "b").joinpath("a").chmod(0o600)
    put(tmp_path / "two", "b", "a").joinpath("a").chmod(0o664)
    one, two = (read_exercise(tmp_path / name, "3.1.1", LIMITS) for name in ("one", "two"))
    assert isinstance(one, ExerciseFiles)
    assert isinstance(two, ExerciseFiles)
    assert one.digest == two.digest


# ── a student's folder ──────────────────────────────────────────────────────────────────


def exercises(path: Path, limits: Limits = LIMITS) -> dict[str, ExerciseFiles | RefusedFolder]:
    return {found.exercise: found for found in read_submission(path, IDS, limits).exercises}


@pytest.mark.parametrize("around", ["", "submission/", "a/b/c/"])
def test_exercises_are_found_by_their_folders_names(tmp_path: Path, around: str) -> None:
    for name in ("3.1.1", "3.2.p", "notes"):
        put(tmp_path / "alice" / around / name, "Dockerfile", text=name)
    put(tmp_path / "alice", "README", "__MACOSX/3.1.1/x", ".git/x")
    found = exercises(tmp_path / "alice")
    assert sorted(found) == ["3.1.1", "3.2.P"]
    assert accepted(found["3.2.P"]) == {"Dockerfile": b"3.2.p"}
    assert read_submission(tmp_path / "alice", IDS, LIMITS).student == "alice"


def test_an_exercises_problem_is_its_own(tmp_path: Path) -> None:
    for name in ("3.1.1", "3.1.3"):
        put(tmp_path / name, "Dockerfile")
    (tmp_path / "3.1.1/x").symlink_to("/etc/passwd")
    found = exercises(tmp_path)
    refused(found["3.1.1"])
    accepted(found["3.1.3"])


def test_an_exercise_that_is_a_link_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "bob/3.1.1", "Dockerfile")
    put(tmp_path / "alice/3.1.3", "Dockerfile")
    (tmp_path / "alice/3.1.1").symlink_to("../bob/3.1.1")
    assert "link" in refused(exercises(tmp_path / "alice")["3.1.1"])[0]


def test_a_submission_that_is_a_link_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "bob/3.1.1", "Dockerfile")
    (tmp_path / "alice").symlink_to("bob")
    (tmp_path / "carl").mkdir()
    (tmp_path / "carl/inner").symlink_to("../bob")
    for name in ("alice", "carl"):
        assert all("link" in refused(found)[0] for found in exercises(tmp_path / name).values())
        assert len(exercises(tmp_path / name)) == len(IDS)


def test_two_folders_for_one_exercise_are_refused(tmp_path: Path) -> None:
    put(tmp_path, "3.2.P/right", "3.2.p/wrong")
    assert list(accepted(exercises(tmp_path)["3.2.P"])) == ["right"], "the one in the right case"
    put(tmp_path, "ab/x", "aB/x")
    (ambiguous,) = read_submission(tmp_path, ["AB"], LIMITS).exercises
    assert "several folders" in refused(ambiguous)[0]


def test_all_exercises_together_are_limited(tmp_path: Path) -> None:
    ids = [f"e{number}" for number in range(6)]
    for name in ids:
        put(tmp_path / name, *[f"f{number}" for number in range(15)])
    found = read_submission(tmp_path, ids, LIMITS).exercises
    assert [isinstance(one, ExerciseFiles) for one in found] == [True] * 5 + [False]
    assert "in the whole submission, there are more than 80 files" in refused(found[5])[0]


def test_a_submission_without_any_exercise_is_empty(tmp_path: Path) -> None:
    assert read_submission(put(tmp_path, "a", "b/c"), IDS, LIMITS).exercises == ()


# ── finding submissions ─────────────────────────────────────────────────────────────────


def test_folders_and_archives_are_submissions(tmp_path: Path) -> None:
    put(tmp_path, "alice/x", "README.md", "roster.csv", ".hidden/x", "__MACOSX/x", "zoe.zip")
    put(tmp_path, "bob.tar.gz", "carl.TGZ", "dora.rar", "emil.tar", ".x.zip")
    (tmp_path / "link").symlink_to("alice")
    found = find_submissions(tmp_path)
    assert [path.name for path in found] == [
        "alice",
        "bob.tar.gz",
        "carl.TGZ",
        "dora.rar",
        "emil.tar",
        "link",
        "zoe.zip",
    ]
    assert [student_of(path) for path in found] == ["alice", "bob", "carl", "dora", "emil", "link", "zoe"]
    assert [is_archive(path) for path in found] == [False, True, True, True, True, False, True]


def test_a_folder_of_submissions_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none: cannot be read as a folder of submissions: No such file"):
        find_submissions(tmp_path / "none")


def test_a_students_name_cannot_break_a_line(tmp_path: Path) -> None:
    (tmp_path / "a\nb,=1").mkdir()
    assert [student_of(path) for path in find_submissions(tmp_path)] == ["a\\nb,=1"]


def test_a_folder_keeps_the_dots_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "v1.zip").mkdir()
    assert student_of(tmp_path / "v1.zip") == "v1.zip"


# ── archives ────────────────────────────────────────────────────────────────────────────


def a_zip(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def a_tar(*members: tuple[str | tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name) if isinstance(name, str) else name
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, mode << 16
    return entry


PACKERS: dict[str, Callable[..., bytes]] = {
    ".zip": a_zip,
    ".tar": a_tar,
    ".tar.gz": lambda *members: gzip.compress(a_tar(*members)),
    ".tgz": lambda *members: gzip.compress(a_tar(*members, form=tarfile.GNU_FORMAT)),
    ".TAR": lambda *members: a_tar(*members, form=tarfile.USTAR_FORMAT),
}


def submitted(tmp_path: Path, name: str, content: bytes) -> dict[str, ExerciseFiles | RefusedFolder]:
    before = sorted(tmp_path.iterdir())
    (tmp_path / name).write_bytes(content)
    found = exercises(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / name]), "nothing is written"
    return found


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("around", ["", "./", "alice/", "a/b/"])
def test_archives_are_read_as_folders_are(tmp_path: Path, suffix: str, around: str) -> None:
    members = [("3.1.1/Dockerfile", b"FROM x"), ("3.1.1/sub/a", b"\x00"), ("3.2.p/b", b""), ("3.1.1/.git/config", b"")]
    packed = PACKERS[suffix](*[(around + name, content) for name, content in members], ("__MACOSX/3.1.1/._a", b""))
    found = submitted(tmp_path, "alice" + suffix, packed)
    assert sorted(found) == ["3.1.1", "3.2.P"]
    assert accepted(found["3.1.1"]) == {"Dockerfile": b"FROM x", "sub/a": b"\x00"}
    assert student_of(tmp_path / ("alice" + suffix)) == "alice"


def test_an_archive_and_a_folder_of_the_same_files_have_one_digest(tmp_path: Path) -> None:
    put(tmp_path / "a/3.1.1", "Dockerfile", "sub/run", text="x").joinpath("sub/run").chmod(0o755)
    packed = a_zip((zip_entry("3.1.1/sub/run", stat.S_IFREG | 0o777), b"x"), ("3.1.1/Dockerfile", b"x"))
    of_archive = submitted(tmp_path, "b.zip", packed)["3.1.1"]
    of_folder = exercises(tmp_path / "a")["3.1.1"]
    assert isinstance(of_archive, ExerciseFiles)
    assert isinstance(of_folder, ExerciseFiles)
    assert of_archive.digest == of_folder.digest


def test_windows_separators_in_a_zip_are_understood(tmp_path: Path) -> None:
    found = submitted(tmp_path, "a.zip", a_zip(("a\\3.1.1\\Dockerfile", b"x"), ("a\\3.1.1\\s\\b", b"y")))
    assert accepted(found["3.1.1"]) == {"Dockerfile": b"x", "s/b": b"y"}


@pytest.mark.parametrize("name", ["d" * 120 + "/" + "f" * 120, "caf\u00e9/\N{SNAKE}"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_foreign_names_in_a_tar(tmp_path: Path, name: str, form: int) -> None:
    packed = a_tar((f"3.1.1/{name}", b"1"), ("3.1.1/b", b"2"), form=form)
    assert accepted(submitted(tmp_path, "a.tar", packed)["3.1.1"]) == {name: b"1", "b": b"2"}


@pytest.mark.parametrize(
    "name", ["../3.1.1/x", "3.1.1/../../x", "/etc/x", "/3.1.1/x", "C:/x", "c:x", "3.1.1/a/../b", "..", "a/3.1.1/.."]
)
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_a_path_that_leads_out_refuses_the_whole_archive(tmp_path: Path, name: str, suffix: str) -> None:
    found = submitted(tmp_path, "a" + suffix, PACKERS[suffix](("3.1.3/Dockerfile", b""), (name, b"evil")))
    assert list(found) == list(IDS), "each exercise is told"
    for one in found.values():
        (message,) = refused(one)
        assert message.startswith(f"a{suffix}: the path ")
        assert "leads out of the archive" in message


def test_backslashes_that_lead_out_of_a_zip(tmp_path: Path) -> None:
    found = submitted(tmp_path, "a.zip", a_zip(("..\\..\\x", b"evil")))
    assert "leads out" in refused(found["3.1.1"])[0]


@pytest.mark.parametrize(
    ("suffix", "members", "told"),
    [
        (".tar", [(special("3.1.1/x", tarfile.SYMTYPE, "/etc/passwd"), b"")], "x: it is a link"),
        (".tar", [(special("3.1.1/x", tarfile.LNKTYPE, "../../etc/passwd"), b"")], "x: it is a link"),
        (".tar", [(special("3.1.1/x", tarfile.FIFOTYPE), b"")], "x: it is no ordinary file"),
        (".tar", [(special("3.1.1/x", tarfile.CHRTYPE), b"")], "x: it is no ordinary file"),
        (".tar", [(special("3.1.1/x", tarfile.BLKTYPE), b"")], "x: it is no ordinary file"),
        (".tar", [(special("3.1.1/x", tarfile.GNUTYPE_SPARSE), b"")], "x: it is a file with holes"),
        (".tar", [(special("3.1.1/x", b"?"), b"")], "x: it is no ordinary file"),
        (
            ".tar",
            [(special("3.1.1/x", tarfile.SYMTYPE, "/etc"), b""), ("3.1.1/x/y", b"evil")],
            "x: the archive has it more",
        ),
        (".tar", [("3.1.1/x", b"1"), ("3.1.1/x", b"2")], "x: the archive has it more than once"),
        (".tar", [("3.1.1/x", b"1"), ("3.1.1/./x/y", b"2")], "x: the archive has it more than once"),
        (".tar", [("3.1.1/a\nb", b"")], "a\\nb: the name has"),
        (".tar", [("3.1.1/" + "d/" * 30 + "x", b"")], "more than 20 folders"),
        (".zip", [(zip_entry("3.1.1/x", stat.S_IFLNK | 0o777), b"/etc/passwd")], "x: it is a link"),
        (".zip", [(zip_entry("3.1.1/x", stat.S_IFIFO), b"")], "x: it is no ordinary file"),
        (".zip", [("3.1.1/\u202e\x07", b"")], "\\u202e\\x07: the name has"),
        (".zip", [("3.1.1/" + "x" * 240, b"")], "more than 200 bytes"),
    ],
)
def test_one_bad_member_refuses_its_exercise_only(
    tmp_path: Path, suffix: str, members: list[tuple[str | tarfile.TarInfo | zipfile.ZipInfo, bytes]], told: str
) -> None:
    found = submitted(tmp_path, "a" + suffix, PACKERS[suffix](("3.1.3/Dockerfile", b"x"), *members))
    assert told in refused(found["3.1.1"])[0]
    assert accepted(found["3.1.3"]) == {"Dockerfile": b"x"}


def test_a_sparse_file_in_pax_form_is_refused(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("3.1.1/x")
    entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**40)}
    assert "holes" in refused(submitted(tmp_path, "a.tar", a_tar((entry, b"1")))["3.1.1"])[0]


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_the_number_of_members_is_limited(tmp_path: Path, suffix: str) -> None:
    in_one = PACKERS[suffix](*[(f"3.1.1/{number}", b"") for number in range(21)])
    assert refused(submitted(tmp_path, "a" + suffix, in_one)["3.1.1"]) == [
        "3.1.1: there are more than 20 files. Hand in only what the exercise asks for."
    ]
    anywhere = PACKERS[suffix](("3.1.1/a", b""), *[(f"x/{number}/", b"") for number in range(200)])
    assert "more than 80 files" in refused(submitted(tmp_path, "b" + suffix, anywhere)["3.1.1"])[0]


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, suffix: str) -> None:
    packed = PACKERS[suffix](("3.1.1/x", bytes(50 * 2**20)))
    assert len(packed) < 2**16
    told = refused(submitted(tmp_path, "a" + suffix, packed)["3.1.1"])[0]
    assert "more than 4 MiB" in told


def test_a_member_is_never_longer_than_it_says(tmp_path: Path) -> None:
    packed = bytearray(a_zip(("3.1.1/x", b"y" * 50_000)))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = packed.index(mark) + offset
        packed[at : at + 4] = (10).to_bytes(4, "little")
    assert "damaged" in refused(submitted(tmp_path, "a.zip", bytes(packed))["3.1.1"])[0]


def encrypted() -> bytes:
    packed = bytearray(a_zip(("3.1.1/x", b"y")))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(mark) + offset] |= 1
    return bytes(packed)


def negative() -> bytes:
    packed = bytearray(a_tar(("3.1.1/x", b"y"), form=tarfile.GNU_FORMAT))
    packed[124:136] = b"\xff" * 11 + b"\x00"
    return with_checksum(packed)


def with_checksum(packed: bytearray) -> bytes:
    packed[148:156] = b" " * 8
    packed[148:156] = b"%06o\0 " % sum(packed[:512])
    return bytes(packed)


def huge_header(kind: bytes) -> bytes:
    packed = bytearray(a_tar(("x", b"")))
    packed[156:157] = kind
    packed[124:136] = b"77777777777\0"
    return with_checksum(packed)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.zip", b"", "damaged"),
        ("a.zip", b"hello", "damaged"),
        ("a.zip", a_tar(("3.1.1/x", b"")), "damaged"),
        ("a.zip", a_zip(("3.1.1/x", b"y" * 9000))[:-30], "damaged"),
        ("a.zip", encrypted(), "password"),
        ("a.zip", a_zip(("3.1.1/x", b"y"), method=zipfile.ZIP_LZMA), "not common"),
        ("a.zip", a_zip(("3.1.1/x", b"")) + b"PK\x06\x07" + bytes(100), "4 GiB"),
        ("a.zip", b"PK\x05\x06" + bytes(8) + b"\xff" * 8 + bytes(2), "too many files"),
        ("a.tar", b"", "cut off"),
        ("a.tar", b"hello" * 1000, "damaged"),
        ("a.tar", a_zip(("3.1.1/x", b"")) + bytes(600), "damaged"),
        ("a.tar", a_tar(("3.1.1/x", b"y" * 9000))[:3000], "cut off"),
        ("a.tar", negative(), "smaller than nothing"),
        ("a.tar", huge_header(b"L"), "far too long"),
        ("a.tar", huge_header(b"x"), "far too long"),
        ("a.tar", huge_header(b"g"), "far too long"),
        ("a.tgz", gzip.compress(a_tar(("3.1.1/x", os.urandom(9000))))[:5000], "damaged"),
        ("a.tgz", b"\x1f\x8bnonsense", "damaged"),
        ("a.rar", b"Rar!", "is not read here. Hand in a folder, or one of .zip"),
        ("a.tar.xz", b"", "is not read here"),
    ],
)
def test_an_archive_that_cannot_be_read_says_what_to_do(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    found = submitted(tmp_path, name, content)
    assert list(found) == list(IDS)
    for one in found.values():
        (message,) = refused(one)
        assert message.startswith(f"{name}: ")
        assert told in message


def test_a_packed_tar_may_be_called_tar(tmp_path: Path) -> None:
    accepted(submitted(tmp_path, "a.tar", gzip.compress(a_tar(("3.1.1/x", b""))))["3.1.1"])
    accepted(submitted(tmp_path, "b.tar.gz", a_tar(("3.1.1/x", b"")))["3.1.1"])


def test_an_archive_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bob.zip").write_bytes(a_zip(("3.1.1/x", b"bob")))
    (tmp_path / "alice.zip").symlink_to("bob.zip")
    assert all("link" in refused(found)[0] for found in exercises(tmp_path / "alice.zip").values())


def test_a_pipe_named_as_an_archive_is_no_submission_to_wait_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.zip")
    assert all(refused(found) for found in exercises(tmp_path / "a.zip").values())


def test_two_paths_of_a_pax_header_do_not_confuse(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("3.1.1/seen")
    entry.pax_headers = {"path": "../../evil"}
    assert "leads out" in refused(submitted(tmp_path, "a.tar", a_tar((entry, b"1")))["3.1.1"])[0]


@given(st.binary(max_size=700), st.sampled_from([".zip", ".tar", ".tgz"]))
def test_any_bytes_are_read_or_refused(content: bytes, suffix: str) -> None:
    assert isinstance(read_archive(io.BytesIO(content), suffix, whole_room(LIMITS)), tuple | Unreadable)


SAMPLES = [
    (".zip", a_zip(("3.1.1/a", b"x" * 100), (zip_entry("3.1.1/b", stat.S_IFLNK), b"a"), ("c/", b""))),
    (".tar", a_tar(("3.1.1/a", b"x" * 100), ("3.1.1/" + "n" * 120, b"y"), (special("l", tarfile.SYMTYPE, "a"), b""))),
    (".tar", a_tar(("3.1.1/a", b"x" * 100), ("3.1.1/" + "n" * 120, b"y"), form=tarfile.GNU_FORMAT)),
    (".tgz", gzip.compress(a_tar(("3.1.1/a", b"x" * 100)))),
]


@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_archives_are_read_or_refused(sample: tuple[str, bytes], changes: list[tuple[int, int]]) -> None:
    suffix, packed = sample
    damaged = bytearray(packed)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    found = read_archive(io.BytesIO(bytes(damaged)), suffix, whole_room(LIMITS))
    if not isinstance(found, Unreadable):
        assert all(".." not in member.path.split("/") for member in found)
        assert sum(len(member.content) for member in found) <= len(packed) * 100
