"""Submissions that git cannot hold, because of what is in their files or in the student's name: too much, or no text.

Each public function writes one student's submission into the folder `into`, under `name` (and an ending, for an archive),
and gives the path of what it wrote. The submission is right in all but what the function's name says.
"""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from tests.hostile.making import DOCKERFILE, EXERCISE, RIGHT, SCRIPT, member, right

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
    """A variable of 133 100 bytes, put together from others; the kernel gives a program at most 128 KiB of each.

    No longer than that: BuildKit takes time that grows with the square of it, four times as much for 240 000 bytes.
    """
    lines = f"ENV A={'x' * 1100}\nENV B={'$A' * 11}\nENV C={'$B' * 11}\n"
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


def composed(into: Path, name: str, first: str) -> Path:
    """Exercise 3.3.3 with a Compose file that is right but for its first line."""
    rest = 'services: {predictor: {build: ., volumes: ["./sales.txt:/app/sales.txt"]}}\n'
    script = 'print("Predicted sales for next week:", sum(map(float, open("/app/sales.txt"))) / 3)\n'
    files = {"Dockerfile": LOCK_DOCKERFILE, "sales_predictor.py": script, "sales.txt": "1\n2\n3\n"}
    right(into, name, "3.3.3", {**files, "docker-compose.yml": f"{first}\n{rest}"})
    return into / name


def compose_file_nested(into: Path, name: str) -> Path:
    return composed(into, name, "x-a: " + "[" * 5000 + "]" * 5000)


def compose_file_huge_number(into: Path, name: str) -> Path:
    return composed(into, name, f"x-a: [1e9999, {'9' * 1_000_000}]")


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
