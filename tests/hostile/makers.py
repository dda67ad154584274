"""Submissions that no `case.yaml` can hold: too much, no text, devices, bombs, archives that lie.

`MAKERS` has a function for each: it writes one student's submission into a folder, under a name (and an ending, for an
archive), and gives its path. The submission is right in all but what the maker's name says. Contents are made when they
are asked for, since some take a hundred MiB.
"""

from __future__ import annotations

import gzip
import os
import socket
import stat
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.archives import a_tar, a_zip, tar_gz, zip_entry

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
        (target / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return target


# ── files: what is in them is too much, or no text ──────────────────────────────────────


def after(text: str) -> Files:
    """The right Dockerfile with more after it."""
    return {"Dockerfile": DOCKERFILE + text}


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
    "folder_of_many_files": lambda: {f"{number:06}": "" for number in range(2100)},
    "local_archive_added": lambda: {
        "Dockerfile": FROM + 'ADD app.tar.gz /\nENTRYPOINT ["python", "/app/sales_predictor.py"]\n',
        "app.tar.gz": tar_gz({"app/sales_predictor.py": SCRIPT}),
    },
}
"""Files of 3.1.4 that are added or changed."""

LOCKED = {
    "Dockerfile": FROM + "COPY sales_predictor.py /app/\nCMD python /app/sales_predictor.py\n",
    "sales_predictor.py": SCRIPT,
    "pyproject.toml": '[tool.poetry]\nname = "x"\nversion = "1"\n[tool.poetry.dependencies]\npython = "^3.9"\n',
}
LOCKS: dict[str, Callable[[], str]] = {
    "lock_file_nested": lambda: "x = " + "[" * 100_000 + "]" * 100_000,
    "lock_file_huge_number": lambda: "x = " + "9" * 1_000_000,
    "lock_file_of_another_shape": lambda: "package = 5\n",
}
"""poetry.lock of 3.2.P."""
SOURCES: dict[str, Callable[[], str]] = {
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
COMPOSE_FILES: dict[str, Callable[[], str]] = {
    "compose_file_nested": lambda: f"x-a: {'[' * 5000}{']' * 5000}\n{SERVICES}",
    "compose_file_huge_number": lambda: f"x-a: [1e9999, {'9' * 1_000_000}]\n{SERVICES}",
}
"""docker-compose.yml of 3.3.3, which is right but for its first line."""


def changed(files: Callable[[], Files], base: Files = RIGHT, exercise: str = EXERCISE) -> Maker:
    return lambda into, name: right(into, name, {**base, **files()}, exercise).parent


def with_one(file: str, content: Callable[[], str], base: Files = RIGHT, exercise: str = EXERCISE) -> Maker:
    return changed(lambda: {file: content()}, base, exercise)


# ── kinds of files ──────────────────────────────────────────────────────────────────────


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


# ── archives ────────────────────────────────────────────────────────────────────────────


def below(folder: str, files: Files = RIGHT) -> dict[str, str | bytes]:
    return {f"{folder}/{file}": content for file, content in files.items()}


def zipped(members: Files, mode: int = 0o600) -> bytes:
    return a_zip(*((zip_entry(file, stat.S_IFREG | mode), content) for file, content in members.items()))


def right_zip(members: Files) -> bytes:
    """A zip with a right submission and these members besides."""
    return zipped({**below(EXERCISE), **members})


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


def nested(levels: int = 10) -> bytes:
    content = "".join(RIGHT.values()).encode()
    for level in range(levels):
        content = a_zip((f"level{level}.zip", content))
    return content


def right_tar(*members: tarfile.TarInfo) -> bytes:
    """A tar with a right submission and these members besides, which have no content."""
    return a_tar(*below(EXERCISE).items(), *((entry, b"") for entry in members), form=tarfile.GNU_FORMAT)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", device: tuple[int, int] = (0, 0)) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    info.devmajor, info.devminor = device
    return info


def bomb() -> bytes:
    """A packed tar with two hundred MiB of zeros."""
    info = tarfile.TarInfo(f"{EXERCISE}/zeros")
    info.size = 200 * MIB
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size), compresslevel=1)


ARCHIVES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zip_slip": (".zip", lambda: right_zip({"../../escaped-by-zip-slip": b"out"})),
    "zip_absolute": (".zip", lambda: right_zip({MARK: b"out"})),
    "zip_drive_letter": (".zip", lambda: right_zip({"C:\\Windows\\evil.exe": b"out"})),
    "zip_backslashes": (".zip", lambda: right_zip({f"{EXERCISE}\\..\\..\\..\\escaped": b"out"})),
    "zip_bomb": (".zip", lambda: right_zip({f"{EXERCISE}/zeros{number}": bytes(30 * MIB) for number in range(5)})),
    "zip_of_many_files": (".zip", lambda: right_zip({f"{EXERCISE}/{number:0180}": b"" for number in range(18_000)})),
    "zip_overlapping": (".zip", lambda: of_overlapping_members(right_zip({f"{EXERCISE}/zeros": bytes(MIB)}))),
    "zip_lying_about_sizes": (
        ".zip",
        lambda: right_zip({f"{EXERCISE}/zeros": bytes(100 * MIB)}).replace(
            struct.pack("<L", 100 * MIB), struct.pack("<L", 10)
        ),
    ),
    # Two members of one name: which one counts depends on who unpacks.
    "dockerfiles_that_clash_in_a_zip": (
        ".zip",
        lambda: right_zip({f"{EXERCISE}/./Dockerfile": "FROM registry.invalid/evil\n"}),
    ),
    # Written as another name of the same length, in the member's own head and in the list at the end.
    "name_with_a_zero_byte": (
        ".zip",
        lambda: right_zip({f"{EXERCISE}/notes.txt~.py": b"x\n"}).replace(b"notes.txt~.py", b"notes.txt\0.py"),
    ),
    "encrypted": (".zip", lambda: as_encrypted(right_zip({}))),
    "corrupt": (".zip", lambda: corrupted(right_zip({f"{EXERCISE}/notes.txt": os.urandom(1000)}))),
    # A wrong tar from its start and a right zip from its end; its name says zip, and so it is read.
    "zip_and_tar_in_one": (".zip", lambda: a_tar((f"{EXERCISE}/Dockerfile", "")) + right_zip({})),
    "nested_archives": (".zip", nested),
    # Members that nobody may read, were they unpacked as they say.
    "zip_without_rights": (".zip", lambda: zipped(below(EXERCISE), mode=0)),
    # As a Mac packs a folder that was unpacked into another, with what it leaves behind.
    "zip_in_a_folder_of_a_folder": (
        ".zip",
        lambda: zipped({**below(f"work/work/{EXERCISE}"), f"__MACOSX/work/work/{EXERCISE}/._Dockerfile": b"x"}),
    ),
    "empty_archive": (".zip", bytes),
    "unknown_archive": (".rar", lambda: b"Rar!\x1a\x07\x00"),
    "tar_slip": (".tar.gz", lambda: gzip.compress(right_tar(member("../../escaped-by-tar-slip")))),
    "tar_link_then_file": (
        ".tar",
        lambda: right_tar(
            member(f"{EXERCISE}/x", tarfile.SYMTYPE, "/etc"), member(f"{EXERCISE}/x/cron.d/grader-hostile")
        ),
    ),
    "tar_hard_link": (
        ".tar",
        lambda: right_tar(
            member(f"{EXERCISE}/a/b/link", tarfile.SYMTYPE, "../../../../../etc/passwd"),
            member(f"{EXERCISE}/hard", tarfile.LNKTYPE, f"{EXERCISE}/a/b/link"),
        ),
    ),
    "deep_tar": (".tar", lambda: right_tar(member(f"{EXERCISE}/{'d/' * 1500}file"))),
    "long_path": (".tar", lambda: right_tar(member(f"{EXERCISE}/{'long-name' * 20}/" + "x" * 4200))),
    # /dev/zero: to make one on this machine takes rights.
    "a_device": (".tar", lambda: right_tar(member(f"{EXERCISE}/zero", tarfile.CHRTYPE, device=(1, 5)))),
    "tar_with_holes": (".tar", lambda: right_tar(member(f"{EXERCISE}/holes", tarfile.GNUTYPE_SPARSE))),
    "tar_gz_bomb": (".tar.gz", bomb),
    "cut_off": (".tar.gz", lambda: gzip.compress(right_tar())[:150]),
}
"""An archive's ending and its bytes."""


def archive(ending: str, content: Callable[[], bytes]) -> Maker:
    def make(into: Path, name: str) -> Path:
        (into / f"{name}{ending}").write_bytes(content())
        return into / f"{name}{ending}"

    return make


# ── all of them ─────────────────────────────────────────────────────────────────────────

MAKERS: dict[str, Maker] = {
    **{make: changed(files) for make, files in FILES.items()},
    **{make: with_one("poetry.lock", lock, LOCKED, "3.2.P") for make, lock in LOCKS.items()},
    **{make: with_one("sales_predictor.py", source, exercise="3.2.2") for make, source in SOURCES.items()},
    **{make: with_one("docker-compose.yml", text, COMPOSED, "3.3.3") for make, text in COMPOSE_FILES.items()},
    **{maker.__name__: maker for maker in (deep_folder, a_socket, a_device_on_disk, set_user_id, holes)},
    **{make: archive(*row) for make, row in ARCHIVES.items()},
}
"""The functions that write submissions, by the names that `case.yaml` has for them."""
