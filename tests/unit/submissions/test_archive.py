"""Submissions as archives: read as folders are, or refused, without unpacking anything."""

from __future__ import annotations

import gzip
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.course.models import Limits
from grader.submissions.models import ExerciseFiles, RefusedFolder
from grader.submissions.reader import Selection, read_submission
from tests.archives import a_tar, a_zip, zip_entry
from tests.unit.submissions.test_reader import IDS, accepted, exercises, put, refused


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def pax(name: str, **headers: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.pax_headers = headers
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


@pytest.mark.parametrize(
    ("system", "bits", "mode"), [(0, 0o666, 0o755), (10, 0, 0o755), (3, 0, 0o644), (3, 0o777, 0o755)]
)
def test_an_archive_has_the_digest_of_a_folder_of_the_same_files_and_windows_lets_all_be_executed(
    tmp_path: Path, system: int, bits: int, mode: int
) -> None:
    put(tmp_path / "a/3.1.1", "Dockerfile", "sub/run", text="x").joinpath("sub/run").chmod(mode)
    (tmp_path / "a/3.1.1/Dockerfile").chmod(0o755 if system in {0, 10} else 0o644)
    entry, other = zip_entry("a\\3.1.1\\sub\\run", stat.S_IFREG | bits), zip_entry("a\\3.1.1\\Dockerfile", 0o644)
    entry.create_system = other.create_system = system
    of_archive = submitted(tmp_path, "b.zip", a_zip((entry, b"x"), (other, b"x")))["3.1.1"]
    of_folder = exercises(tmp_path / "a")["3.1.1"]
    assert isinstance(of_archive, ExerciseFiles)
    assert isinstance(of_folder, ExerciseFiles)
    assert (of_archive.files, of_archive.digest) == (of_folder.files, of_folder.digest)


@pytest.mark.parametrize("name", ["d" * 120 + "/" + "f" * 120, "caf\u00e9/\N{SNAKE}"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_and_foreign_names_in_a_tar(tmp_path: Path, name: str, form: int) -> None:
    packed = a_tar((f"3.1.1/{name}", b"1"), ("3.1.1/b", b"2"), form=form)
    assert accepted(submitted(tmp_path, "a.tar", packed)["3.1.1"]) == {name: b"1", "b": b"2"}


@pytest.mark.parametrize("name", ["../3.1.1/x", "/3.1.1/x", "C:/x", "c:x", "3.1.1/a/../b", "..", "..\\x"])
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_a_path_that_leads_out_refuses_the_whole_archive(tmp_path: Path, name: str, suffix: str) -> None:
    name = name.replace("\\", "\\" if suffix == ".zip" else "/")
    found = submitted(tmp_path, "a" + suffix, PACKERS[suffix](("3.1.3/Dockerfile", b""), (name, b"evil")))
    assert list(found) == list(IDS), "each exercise is told"
    for one in found.values():
        (message,) = refused(one)
        assert message.startswith(f"a{suffix}: the path ")
        assert "leads out of the archive" in message


@pytest.mark.parametrize(
    ("suffix", "members", "told"),
    [
        (".tar", [(special("3.1.1/x", tarfile.SYMTYPE, "/etc/passwd"), b"")], "x: it is a link"),
        (".tar", [(special("3.1.1/x", tarfile.LNKTYPE, "../../etc/passwd"), b"")], "x: it is a link"),
        (".tar", [(special("3.1.1/x", tarfile.CHRTYPE), b"")], "x: it is no ordinary file"),
        (".tar", [(special("3.1.1/x", tarfile.GNUTYPE_SPARSE), b"")], "x: it is a file with holes"),
        (".tar", [(special("3.1.1/x", b"?"), b"")], "x: it is no ordinary file"),
        (
            ".tar",
            [(pax("3.1.1/x", **{"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**40)}), b"1")],
            "x: it is a file with holes",
        ),
        (
            ".tar",
            [(special("3.1.1/x", tarfile.SYMTYPE, "/"), b""), ("3.1.1/x/y", b"evil")],
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


@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tgz"])
def test_the_number_of_members_is_limited(tmp_path: Path, suffix: str) -> None:
    in_one = PACKERS[suffix](*[(f"3.1.1/{number}", b"") for number in range(21)])
    assert refused(submitted(tmp_path, "a" + suffix, in_one)["3.1.1"]) == [
        "3.1.1: there are more than 20 files. Hand in only what the exercise asks for."
    ]
    anywhere = PACKERS[suffix](("3.1.1/a", b""), *[(f"x/{number}/", b"") for number in range(200)])
    assert "more than 80 files" in refused(submitted(tmp_path, "b" + suffix, anywhere)["3.1.1"])[0]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_large_file_is_read_whole(tmp_path: Path, method: int) -> None:
    content = os.urandom(6 * 2**20)
    (tmp_path / "a.zip").write_bytes(a_zip(("3.1.1/x", content), method=method))
    (found,) = read_submission(tmp_path / "a.zip", Selection(IDS, IDS, Limits(context_mb=8))).exercises
    assert accepted(found) == {"x": content}


@pytest.mark.parametrize("suffix", [".zip", ".tgz"])
def test_a_bomb_is_not_unpacked(tmp_path: Path, suffix: str) -> None:
    packed = PACKERS[suffix](("3.1.1/x", bytes(50 * 2**20)))
    assert len(packed) < 2**16
    told = refused(submitted(tmp_path, "a" + suffix, packed)["3.1.1"])[0]
    assert "more than 4 MiB" in told


def longer_than_it_says() -> bytes:
    packed = bytearray(a_zip(("3.1.1/x", b"y" * 50_000)))
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = packed.index(mark) + offset
        packed[at : at + 4] = (10).to_bytes(4, "little")
    return bytes(packed)


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
        ("a.zip", a_tar(("3.1.1/x", b"")), "damaged"),
        ("a.zip", a_zip(("3.1.1/x", b"y" * 9000))[:-30], "damaged"),
        ("a.zip", longer_than_it_says(), "damaged"),
        ("a.zip", encrypted(), "password"),
        ("a.tar", a_tar((pax("3.1.1/seen", path="../../evil"), b"1")), "leads out"),
        ("a.zip", a_zip(("3.1.1/x", b"y"), method=zipfile.ZIP_LZMA), "not common"),
        ("a.zip", bytes(5 * 2**20) + b"PK\x05\x06" + bytes(10) + b"\x50\0" + bytes(6), "too many files"),
        ("a.tar", b"", "damaged"),
        ("a.tar", b"hello" * 1000, "damaged"),
        ("a.tar", a_zip(("3.1.1/x", b"")) + bytes(600), "damaged"),
        ("a.tar", a_tar(("3.1.1/x", b"y" * 9000))[:3000], "cut off"),
        ("a.tar", negative(), "smaller than nothing"),
        ("a.tar", huge_header(b"L"), "far too long"),
        ("a.tar", huge_header(b"x"), "far too long"),
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


def test_a_packed_tar_may_be_called_tar_and_a_link_or_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    accepted(submitted(tmp_path, "a.tar", gzip.compress(a_tar(("3.1.1/x", b""))))["3.1.1"])
    accepted(submitted(tmp_path, "b.tar.gz", a_tar(("3.1.1/x", b"")))["3.1.1"])
    (tmp_path / "alice.zip").symlink_to("a.tar")
    os.mkfifo(tmp_path / "eve.zip")
    assert all("link" in refused(found)[0] for found in exercises(tmp_path / "alice.zip").values())
    assert all(refused(found) for found in exercises(tmp_path / "eve.zip").values())
