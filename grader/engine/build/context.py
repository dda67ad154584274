"""The build context: vetted files as a tar, as `docker build` would send them; the same files give the same bytes."""

from __future__ import annotations

from dataclasses import replace

from grader.dockerfile import dockerignore
from grader.dockerfile.parser import Dockerfile, Unparsable
from grader.engine.protocol import BuildJob
from grader.engine.tar import with_folders, write_tar
from grader.models import BuildFailed, MemoryFile
from grader.submissions.models import ExerciseFiles

MISSING_DOCKERFILE = "There is no file named Dockerfile in the folder."

_MODIFIED = 315_532_800
"""When every file was last changed, in seconds since 1970: 1980-01-01, the first day that a zip file can hold (pip
makes wheels of what is in a context). BuildKit does not look at it when it decides whether a step is cached."""

_MODES = 0o755
"""Permission bits that a file may have in the context; the others depend on the umask of whoever unpacked it."""
_CACHES = 16
"""Hexadecimal digits of a submission's digest that name its cache mounts."""


def make_job(files: ExerciseFiles, replaced: tuple[MemoryFile, ...], name: str) -> BuildJob | BuildFailed:
    """All that an engine needs to build an exercise; or why Docker would not, where no engine is needed to know.

    That is so when the Dockerfile is missing or cannot be read, or `.dockerignore` cannot. The
    job's caches are those of the submission as it was handed in. Its Dockerfile has the student's lines in
    the student's places, only `# syntax=` is a plain comment.
    """
    files = with_replaced(files, replaced) if replaced else files
    dockerfile = files.dockerfile
    if dockerfile is None:
        return BuildFailed(MISSING_DOCKERFILE)
    if isinstance(dockerfile, Unparsable):
        return BuildFailed(dockerfile.message, line=dockerfile.line)
    context = make_context(files)
    return context if isinstance(context, BuildFailed) else BuildJob(context, dockerfile, name, files.digest[:_CACHES])


def with_replaced(files: ExerciseFiles, replaced: tuple[MemoryFile, ...]) -> ExerciseFiles:
    """The files with others, even another Dockerfile, in the place of the student's, under the same digest."""
    return replace(files, files=tuple({file.path: file for file in (*files.files, *replaced)}.values()))


def make_context(files: ExerciseFiles) -> bytes | BuildFailed:
    """The context as an uncompressed tar: `Dockerfile` first, then all else by path, folders before what is in them.

    What `.dockerignore` names is left out; the Dockerfile never is, as the builder needs it. Fails only if
    `.dockerignore` cannot be read.
    """
    sent = {file.path: file for file in files.files}
    ignore = files.ignore_file or MemoryFile("", b"")
    ignored = dockerignore.excluded(ignore.content, [*sent])
    if isinstance(ignored, dockerignore.BadPattern):
        return BuildFailed(f"{ignore.path} {ignored.message}")
    first: list[MemoryFile] = []
    if isinstance(files.dockerfile, Dockerfile):
        first = [MemoryFile("Dockerfile", files.dockerfile.built, sent.pop(files.dockerfile.path).mode)]
    kept = [file for path, file in sent.items() if path not in ignored]
    entries = [replace(entry, mode=entry.mode & _MODES) for entry in (*first, *with_folders(kept))]
    return write_tar(entries, modified=_MODIFIED)
