"""Whatever is handed in, and however it was packed, gives a submission or a refusal; nothing is written, nothing leaks.

`.venv/bin/python -m tests.fuzz.fuzz_submissions --seconds 600 --seed 1`
"""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import resource
import shutil
import stat
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

from grader.course.models import Limits
from grader.errors import UsageError
from grader.submissions.archive import read_archive
from grader.submissions.lms import open_submissions
from grader.submissions.models import MEGABYTE, ExerciseFiles, Submission, submission_budget
from grader.submissions.reader import Selection, read_exercise
from tests.archives import a_tar, a_zip, zip_entry
from tests.fuzz.harness import Found, main, mutated_bytes

KNOWN = ("3.1.1", "3.1.3", "3.1.4", "3.2.P")
LIMITS = Limits(context_files=30, context_mb=1)
SECRET = b"what no submission may show"
MOST_MEMORY = 200 * MEGABYTE

Tree = dict[str, bytes]
"""Paths and contents. What begins with the mark of a kind is no file but that."""

OUTSIDE = "../outside/secret"
LINK, PIPE, SOCKET, HOLES = b"<link>", b"<pipe>", b"<socket>", b"<holes>"

NAMES = (
    "Dockerfile", "dockerfile", "sales_predictor.py", "README", ".dockerignore", "a", "b", "3.1.1", "3.1.4", "3.2.p",
    "3.1.1.zip", "work.zip", "work-1.zip", "work (2).zip", "work.tar.gz", "w.tgz", "x.rar", "x.tar", "__MACOSX", ".git",
    "venv", "pyvenv.cfg", "..", ".", "", "-rf", "a\\b", "C:", "CON", "x" * 199, "x" * 230, "\u202e\x07", "a\nb",
    "e\u0301", "\N{SNAKE}", "submission_metadata.yml",
)  # fmt: skip
STUDENTS = ("Ada King", "ada", "Zo\u00eb", "", "a_b", "Ada (1)", "x" * 90, "\x1b[2J", "LATE", "7", "Group 1-Ada")


def once(draw: random.Random) -> str:
    """One folder, or one archive, of one student or of many."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        (root / "outside").mkdir()
        (root / "outside/secret").write_bytes(SECRET)
        source = handed_in(draw, root)
        before = listing(root)
        ids = KNOWN if draw.random() < 0.7 else (draw.choice(KNOWN),)
        word = draw.choice([whole, whole, whole, single])(draw, source, Selection(ids, KNOWN, LIMITS))
        if listing(root) != before:
            raise Found("something was written")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if peak > MOST_MEMORY:
            raise Found(f"{peak // MEGABYTE} MiB of memory")
        return word


def listing(root: Path) -> list[str]:
    """Everything that is below a folder and where it stands."""
    return sorted(str(path) for path in root.rglob("*"))


# ── what is asked of it ─────────────────────────────────────────────────────────────────


def whole(_draw: random.Random, source: Path, selection: Selection) -> str:
    """As `grader batch` reads it."""
    try:
        submissions = open_submissions(source)
    except UsageError as error:
        str(error).encode("utf-8", "surrogateescape")
        return "no submissions here"
    words = set()
    for handin in submissions.handins:
        student = handin.student
        submission = submissions.read(handin, selection)
        if submission.student != student or "\n" in student or not student:
            raise Found(f"{student!r} is called {submission.student!r}")
        words.add(judged(submission))
    for note in submissions.notes:
        note.encode()
    how = next(iter(submissions.notes), "folder").partition(":")[0]
    return f"{how}: {', '.join(sorted(words)) or 'nobody'}"


def single(draw: random.Random, source: Path, _selection: Selection) -> str:
    """As `grader check` reads one folder, or its archives are read."""
    if source.is_dir():
        return "one folder: " + judged(Submission("me", (read_exercise(source, "3.1.1", LIMITS),)))
    with source.open("rb") as stream:
        suffix = draw.choice([".zip", ".tar", source.suffix])
        return f"one archive: {type(read_archive(stream, suffix, submission_budget(LIMITS))).__name__}"


def judged(submission: Submission) -> str:
    """What it is; everything that is taken is within the limits, stands inside and came from inside."""
    exercises = [item.exercise for item in submission.exercises]
    if len(set(exercises)) != len(exercises):
        raise Found(f"an exercise twice: {exercises}")
    for item in submission.exercises:
        if not isinstance(item, ExerciseFiles):
            messages = [refusal.message for refusal in item.refusals]  # each on a line that can be written anywhere
            if not messages or any(not one or "\n" in one or "\x1b" in one or not one.encode() for one in messages):
                raise Found(f"no sanitized refusals: {messages}")
            continue
        paths = [file.path for file in item.files]
        size = sum(len(file.content) for file in item.files)
        if len(paths) > LIMITS.context_files or size > LIMITS.context_mb * MEGABYTE or len(set(paths)) != len(paths):
            raise Found(f"{len(paths)} files, {size} bytes")
        for file in item.files:
            parts = file.path.split("/")
            if {"", ".", ".."} & set(parts) or len(file.path.encode()) > 500 or len(parts) > 20:
                raise Found(f"a path: {file.path!r}")
            if SECRET in file.content:
                raise Found(f"{file.path}: came from outside")
    return "+".join(sorted({type(item).__name__ for item in submission.exercises})) or "nothing"


# ── what is handed in ───────────────────────────────────────────────────────────────────


def handed_in(draw: random.Random, root: Path) -> Path:
    """A folder or an archive below `root`, good or bad."""
    tree = draw.choice([moodle] * 4 + [canvas] * 4 + [ordinary, share])(draw)
    if draw.random() < 0.35:
        write(tree, root / "in")
        return root / "in"
    suffix = draw.choice([".zip"] * 12 + [".tar", ".tar.gz", ".tgz", ".rar"])
    path = root / f"in{suffix}"
    path.write_bytes(packed(draw, tree, suffix, outer=True))
    if draw.random() < 0.15:
        (root / "class").mkdir()
        return Path(shutil.move(path, root / "class" / f"ada{suffix}")).parent
    return path


def moodle(draw: random.Random) -> Tree:
    """Parts of several students, in folders or not."""
    tree: Tree = {}
    for _ in range(draw.randint(1, 4)):
        kind = draw.choice(["file", "file", "file", "onlinetext", "x"])
        mark = f"{draw.choice(STUDENTS)}_{draw.choice([1, 2, 77])}_assignsubmission_{kind}"
        joint = draw.choice(["_/", "_/", "/", "_", ""])
        tree |= {mark + joint + path: content for path, content in share(draw).items()}
    return tree


def canvas(draw: random.Random) -> Tree:
    """Files of several students."""
    tree: Tree = {}
    for number in range(draw.randint(1, 6)):
        user, name = draw.choice([(11, "ada"), (12, "bob"), (13, "li_eve")])
        name = draw.choice(["odd", "a_1_b", "Eve"]) if draw.random() < 0.03 else name
        late, file = draw.choice(["", "", "_LATE"]), draw.choice([1000] * 20 + [9, 100]) + 10 * number
        path, content = next(iter(share(draw).items()), ("x.zip", b""))
        path = path if draw.random() < 0.02 else path.rpartition("/")[2]
        tree[f"{name}{late}_{user}_{file}_{path}"] = content
    return tree


def ordinary(draw: random.Random) -> Tree:
    """A folder with folders of students."""
    return {f"{draw.choice(STUDENTS)}/{path}": content for _ in range(3) for path, content in share(draw).items()}


def share(draw: random.Random, depth: int = 0) -> Tree:
    """What one student may hand in: exercises' folders, files, archives of such."""
    tree: Tree = {}
    around = draw.choice([""] * 6 + ["work/"] * 4 + ["a/b/", "a/b/c/d/", "../", "/", "./"])
    for _ in range(draw.choice([0, 1, 1, 2, 2, 3, 4 if depth else 5, 2 if depth else 20])):
        folder = draw.choice(["", "", *[f"{draw.choice(KNOWN)}/"] * 2, f"{draw.choice(NAMES)}/", "d/" * 25, "d/"])
        name = draw.choice(NAMES)
        tree[around + folder + name] = content_of(draw, name, depth)
    return tree


def content_of(draw: random.Random, name: str, depth: int) -> bytes:
    """The content of a file of this name."""
    if "." in name and depth < 2 and name.endswith(("zip", "gz", "tar")):
        return packed(draw, share(draw, depth + 1), "." + name.partition(".")[2].rpartition(".")[2], outer=False)
    match draw.randrange(60):
        case 0:
            return draw.choice([LINK, LINK, PIPE, SOCKET, HOLES])
        case 1:
            return bytes(draw.choice([2**16, 2**16, 2**20, 2**20 + 1, 5 * 2**20]))
        case _:
            return b"FROM python:3.9\n" * draw.choice([0, 1, 1, 3])


# ── packing ─────────────────────────────────────────────────────────────────────────────


def packed(draw: random.Random, tree: Mapping[str, bytes], suffix: str, *, outer: bool) -> bytes:
    """An archive of a tree, often damaged."""
    if suffix == ".zip":
        data = zipped(draw, tree)
    else:
        data = tarred(draw, tree)
        if suffix != ".tar":
            data = gzip.compress(mutated_bytes(draw, data) if draw.random() < 0.3 else data, 1)
    return mutated_bytes(draw, data) if draw.random() < (0.25 if outer else 0.2) else data


def zipped(draw: random.Random, tree: Mapping[str, bytes]) -> bytes:
    method = draw.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2])
    members = []
    for name, content in tree.items():
        kind = {LINK: stat.S_IFLNK, PIPE: stat.S_IFIFO}.get(content, stat.S_IFREG)
        entry = zip_entry(name or "x", kind | 0o644 if draw.random() < 0.8 else 0)
        members.append((entry, OUTSIDE.encode() if content == LINK else content))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        return a_zip(*members, method=method)


TAR_KINDS = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.XGLTYPE, b"?")


def tarred(draw: random.Random, tree: Mapping[str, bytes]) -> bytes:
    """A tar of one of the three forms; of too long a name for its form, nothing."""
    members = []
    for name, content in tree.items():
        entry = tarfile.TarInfo(name)
        if content in {LINK, PIPE, SOCKET, HOLES}:
            entry.type, entry.linkname, content = draw.choice(TAR_KINDS), OUTSIDE, b""  # noqa: PLW2901
        if draw.random() < 0.1:
            entry.pax_headers = {draw.choice(["path", "size", "GNU.sparse.major"]): draw.choice(["../x", "9" * 12])}
        members.append((entry, content))
    with contextlib.suppress(ValueError):
        return a_tar(*members, form=draw.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]))
    return b""


def write(tree: Mapping[str, bytes], folder: Path) -> None:
    """A tree as a folder; what the file system does not take is left out."""
    folder.mkdir()
    for name, content in tree.items():
        parts = [part for part in name.split("/") if part not in {"", ".", ".."}]
        path = folder.joinpath(*parts)
        with contextlib.suppress(OSError, ValueError):
            if os.path.lexists(path):  # it may be a pipe, which would wait for a reader
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            match content:
                case b"<link>":
                    path.symlink_to("../" * 3 + "outside")
                case b"<pipe>" | b"<socket>":
                    os.mknod(path, 0o644 | (stat.S_IFIFO if content == PIPE else stat.S_IFSOCK))
                case b"<holes>":
                    path.touch()
                    os.truncate(path, 2**36)
                case _:
                    path.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main(once))
