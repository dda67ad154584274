"""Submissions that git cannot hold: bombs, pipes, links, odd names, archives that lie.

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
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

EXERCISE = "3.1.4"
DOCKERFILE = 'FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'
SCRIPT = (
    "import sys\n"
    "if len(sys.argv) < 4:\n"
    '    sys.exit("Usage: sales_predictor.py <week1> <week2> <week3>")\n'
    "weeks = [float(word) for word in sys.argv[1:]]\n"
    'print(f"Predicted sales for next week: {sum(weeks) / len(weeks)}")\n'
)
RIGHT = {"Dockerfile": DOCKERFILE, "sales_predictor.py": SCRIPT}
"""A right submission, small and without network, to hide something in."""
MARK = "/tmp/grader-hostile-mark"
"""A file of the machine that must not come into being."""


def right(into: Path, name: str, exercise: str = EXERCISE, files: Mapping[str, str | bytes] = RIGHT) -> Path:
    """A student's folder with a submission in it; the exercise's folder comes back."""
    target = into / name / exercise
    target.mkdir(parents=True)
    for file, content in files.items():
        (target / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return target


def zipped(into: Path, name: str, members: Mapping[str, bytes]) -> Path:
    """A zip with a right submission and these members besides."""
    path = into / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in RIGHT.items():
            archive.writestr(f"{EXERCISE}/{file}", text)
        for file, content in members.items():
            archive.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED, compresslevel=1)
    return path


def tarred(into: Path, name: str, members: list[tarfile.TarInfo], suffix: str = ".tar") -> Path:
    """A tar with a right submission and these members, all without content, besides."""
    path = into / f"{name}{suffix}"
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w", format=tarfile.GNU_FORMAT) as archive:
        for file, text in RIGHT.items():
            info = tarfile.TarInfo(f"{EXERCISE}/{file}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
        for info in members:
            archive.addfile(info)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A member of a tar, without content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


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


# ── 15–18, 22: files that are read before an engine is asked ────────────────────────────


def linked(into: Path, name: str, file: str, target: str) -> Path:
    """A right submission in which `file` is a link to `target`."""
    folder = right(into, name)
    with suppress(FileNotFoundError):
        (folder / file).unlink()
    (folder / file).symlink_to(target)
    return into / name


def a_pipe_for_a_dockerfile(into: Path, name: str) -> Path:
    target = right(into, name)
    (target / "Dockerfile").unlink()
    os.mkfifo(target / "Dockerfile")
    return into / name


def dockerfile_is_a_link(into: Path, name: str) -> Path:
    return linked(into, name, "Dockerfile", "/etc/shadow")


def dockerfile_is_a_link_without_end(into: Path, name: str) -> Path:
    return linked(into, name, "Dockerfile", "/dev/zero")


def script_is_a_link(into: Path, name: str) -> Path:
    return linked(into, name, "sales_predictor.py", "/proc/self/environ")


def a_pipe_for_a_dockerignore(into: Path, name: str) -> Path:
    os.mkfifo(right(into, name) / ".dockerignore")
    return into / name


def dockerignore_is_a_link_without_end(into: Path, name: str) -> Path:
    return linked(into, name, ".dockerignore", "/dev/zero")


def dockerignore_redos(into: Path, name: str) -> Path:
    target = right(into, name)
    (target / ".dockerignore").write_text("*a" * 30 + "b\n" + "**/" * 40 + "z\n", encoding="utf-8")
    (target / ("a" * 120)).touch()
    return into / name


def dockerignore_million_lines(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, ".dockerignore": "*.tmp\n" * 1_000_000})
    return into / name


def huge_dockerfile(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE + "# comment\n" * 10_000_000})
    return into / name


def huge_line(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE + f"LABEL x={'y' * 10_000_000}\n"})
    return into / name


def million_instructions(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE + "EXPOSE 1\n" * 1_000_000})
    return into / name


def many_instructions(into: Path, name: str) -> Path:
    lines = "".join(f"ENV A{number}=1\n" for number in range(10_000))
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE + lines})
    return into / name


def many_layers(into: Path, name: str) -> Path:
    lines = "".join(f"COPY sales_predictor.py /{number}\n" for number in range(150))
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE + lines})
    return into / name


def huge_environment(into: Path, name: str) -> Path:
    """A variable of 240 kB, put together from another; the kernel gives a program at most 128 KiB of each."""
    lines = f"ENV A={'x' * 60_000}\nENV B=$A$A$A$A\n"
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE + lines})
    return into / name


def long_word(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE + f"ADD {'a' * 64_000} /x\n"})
    return into / name


def spaced_directive(into: Path, name: str) -> Path:
    first = f"# syntax=docker/dockerfile:1{' ' * 1_000_000}x\n"
    right(into, name, files={**RIGHT, "Dockerfile": first + DOCKERFILE})
    return into / name


def words_of_installing(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE + f"RUN false {'pip ' * 16_000}\n"})
    return into / name


def dockerfile_in_utf_16(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE.encode("utf-16")})
    return into / name


def dockerfile_with_zero_bytes(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, "Dockerfile": DOCKERFILE.replace("COPY", "RUN echo a\0b\nCOPY")})
    return into / name


def dockerfile_in_latin_1(into: Path, name: str) -> Path:
    right(into, name, files={**RIGHT, "Dockerfile": b"# Gr\xfc\xdfe\n" + DOCKERFILE.encode()})
    return into / name


LOCK_DOCKERFILE = "FROM python:3.9-slim\nCOPY sales_predictor.py /app/\nCMD python /app/sales_predictor.py\n"
PROJECT = '[tool.poetry]\nname = "x"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.9"\n'


def locked(into: Path, name: str, lock: str) -> Path:
    """Exercise 3.2.P with that poetry.lock."""
    files = {"Dockerfile": LOCK_DOCKERFILE, "sales_predictor.py": SCRIPT, "pyproject.toml": PROJECT, "poetry.lock": lock}
    right(into, name, "3.2.P", files)
    return into / name


def lock_file_nested(into: Path, name: str) -> Path:
    return locked(into, name, "x = " + "[" * 100_000 + "]" * 100_000)


def lock_file_huge_number(into: Path, name: str) -> Path:
    return locked(into, name, "x = " + "9" * 1_000_000)


def lock_file_of_another_shape(into: Path, name: str) -> Path:
    return locked(into, name, "package = 5\n")


def sourced(into: Path, name: str, source: str | bytes) -> Path:
    """Exercise 3.2.2 with that script."""
    right(into, name, "3.2.2", {"Dockerfile": DOCKERFILE, "sales_predictor.py": source})
    return into / name


def source_nested(into: Path, name: str) -> Path:
    return sourced(into, name, "import pandas\nx = " + "(" * 100_000 + ")" * 100_000 + "\n")


def source_added(into: Path, name: str) -> Path:
    return sourced(into, name, "import pandas\nx = pandas.Series().mean(" + "1+" * 2000 + "1)\n")


def source_of_calls(into: Path, name: str) -> Path:
    return sourced(into, name, "import pandas\ndef f(a): pass\n" + "f(1)\n" * 38_000)


def source_with_zero(into: Path, name: str) -> Path:
    return sourced(into, name, b"import pandas\nx = 1\0\n")


# ── 81–92: reports ──────────────────────────────────────────────────────────────────────


def student_of_that_name(into: Path, name: str) -> Path:
    """A student with that name, who has printed something other than the prediction."""
    right(into, name, files={**RIGHT, "sales_predictor.py": f"print({name!r})\n"})
    return into / name


def student_named_like_markup(into: Path, name: str) -> Path:
    return student_of_that_name(into, "<img src=x onerror=alert(1)>")


def student_named_like_a_formula(into: Path, name: str) -> Path:
    return student_of_that_name(into, "=HYPERLINK(\"http:evil\",\"marks\")")


def student_named_like_another_row(into: Path, name: str) -> Path:
    return student_of_that_name(into, 'eve",3.1.4,passed,10\n00-sibling,3.1.4,failed')


def student_named_like_a_terminal(into: Path, name: str) -> Path:
    return student_of_that_name(into, "\x1b[2J\x1b]52;c;ZXZpbA==\x07\x9b31m\u202eeve")


def student_named_like_a_path(into: Path, name: str) -> Path:
    return student_of_that_name(into, "eve\\..\\..\\report.html")


def student_named_index(into: Path, name: str) -> Path:
    return student_of_that_name(into, "index")


def student_with_a_name_of_250_bytes(into: Path, name: str) -> Path:
    return student_of_that_name(into, "e" * 250)


def student_with_a_name_in_latin_1(into: Path, name: str) -> Path:
    return student_of_that_name(into, os.fsdecode(b"Ren\xe9"))


# ── 96: what looks hostile and is not ───────────────────────────────────────────────────


def local_archive_added(into: Path, name: str) -> Path:
    """ADD of a packed tar, which the builder unpacks: the script is in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = member("app/sales_predictor.py")
        info.size = len(SCRIPT)
        archive.addfile(info, io.BytesIO(SCRIPT.encode()))
    lines = 'FROM python:3.9-slim\nADD app.tar.gz /\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'
    right(into, name, files={**RIGHT, "Dockerfile": lines, "app.tar.gz": buffer.getvalue()})
    return into / name


def names_of_all_alphabets(into: Path, name: str) -> Path:
    target = right(into, name)
    for file in ("Größe der Läden.txt", "销售.csv", "📈 chart.md", "notes (final) [2].txt", "a" * 190):
        (target / file).write_text("x\n", encoding="utf-8")
    return into / name


def zip_in_a_folder_of_a_folder(into: Path, name: str) -> Path:
    """As a Mac packs a folder that was unpacked into another, with what it leaves behind."""
    path = into / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in RIGHT.items():
            archive.writestr(f"work/work/{EXERCISE}/{file}", text)
            archive.writestr(f"__MACOSX/work/work/{EXERCISE}/._{file}", zlib.compress(b"x"))
    return path
