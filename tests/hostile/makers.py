"""Submissions that no `case.yaml` can hold: too much, no text, bombs, archives that lie.

`MAKERS` has a function for each: it writes one student's submission into a folder, under a name (and an ending, for an
archive), and gives its path. The submission is right in all but what the maker's name says. Contents are made when they
are asked for, since some take a hundred MiB.
"""

from __future__ import annotations

import gzip
import os
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.archives import a_tar, a_zip, tar_gz

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
    "million_instructions": lambda: after("EXPOSE 1\n" * 1_000_000),
    "many_instructions": lambda: after("".join(f"ENV A{number}=1\n" for number in range(10_000))),
    "many_layers": lambda: after("".join(f"COPY sales_predictor.py /{number}\n" for number in range(150))),
    "huge_environment": lambda: after(HUGE_VARIABLE),
    "long_word": lambda: after(f"ADD {'a' * 64_000} /x\n"),
    "words_of_installing": lambda: after(f"RUN false {'pip ' * 16_000}\n"),
    "spaced_directive": lambda: {"Dockerfile": f"# syntax=docker/dockerfile:1{' ' * 1_000_000}x\n{DOCKERFILE}"},
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


# ── archives ────────────────────────────────────────────────────────────────────────────


def right_zip(members: Files, folder: str = EXERCISE) -> bytes:
    """A zip with a right submission and these members besides."""
    return a_zip(*((f"{folder}/{file}", content) for file, content in RIGHT.items()), *members.items())


def of_overlapping_members(content: bytes) -> bytes:
    """Five hundred entries of the list all point at one member of a MiB."""
    start, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    last = content[content.rindex(b"PK\x01\x02", start, end) : end]
    entries = (last.replace(b"zeros", f"{number:05}".encode()) for number in range(500))  # names of the same length
    listing = content[start:end] + b"".join(entries)
    return content[:start] + listing + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 503, 503, len(listing), start, 0)


def corrupted(content: bytes) -> bytes:
    return bytes(byte ^ 0x55 if at in range(30, 400, 7) else byte for at, byte in enumerate(content))


def nested(levels: int = 10) -> bytes:
    content = "".join(RIGHT.values()).encode()
    for level in range(levels):
        content = a_zip((f"level{level}.zip", content))
    return content


def link_then_file() -> bytes:
    """A tar with a link to a folder of the machine, and then a file below it."""
    link = tarfile.TarInfo(f"{EXERCISE}/x")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc"
    return a_tar((f"{EXERCISE}/Dockerfile", DOCKERFILE), (link, ""), (f"{EXERCISE}/x/cron.d/grader-hostile", ""))


def tar_bomb() -> bytes:
    """A packed tar with two hundred MiB of zeros."""
    info = tarfile.TarInfo(f"{EXERCISE}/zeros")
    info.size = 200 * MIB
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(info.size), compresslevel=1)


ZIPS: dict[str, Callable[[], bytes]] = {
    "zip_slip": lambda: right_zip({"../../escaped-by-zip-slip": b"out"}),
    "zip_bomb": lambda: right_zip({f"{EXERCISE}/zeros{number}": bytes(30 * MIB) for number in range(5)}),
    "zip_of_many_files": lambda: right_zip({f"{EXERCISE}/{number:0180}": b"" for number in range(18_000)}),
    "zip_overlapping": lambda: of_overlapping_members(right_zip({f"{EXERCISE}/zeros": bytes(MIB)})),
    # Written as another name of the same length, in the member's own head and in the list at the end.
    "name_with_a_zero_byte": lambda: right_zip({f"{EXERCISE}/notes.txt~.py": b"x\n"}).replace(b"t~.py", b"t\0.py"),
    "corrupt": lambda: corrupted(right_zip({f"{EXERCISE}/notes.txt": os.urandom(1000)})),
    # A wrong tar from its start and a right zip from its end; its name says zip, and so it is read.
    "zip_and_tar_in_one": lambda: a_tar((f"{EXERCISE}/Dockerfile", "")) + right_zip({}),
    "nested_archives": nested,
    # As a Mac packs a folder that was unpacked into another, with what it leaves behind.
    "zip_in_a_folder_of_a_folder": lambda: right_zip(
        {f"__MACOSX/work/work/{EXERCISE}/._Dockerfile": b"x"}, f"work/work/{EXERCISE}"
    ),
}


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
    **{make: archive(".zip", content) for make, content in ZIPS.items()},
    "tar_link_then_file": archive(".tar", link_then_file),
    "tar_gz_bomb": archive(".tar.gz", tar_bomb),
    "deep_folder": deep_folder,
}
"""The functions that write submissions, by the names that `case.yaml` has for them."""
