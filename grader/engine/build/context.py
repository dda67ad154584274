"""The build context: vetted files as a tar, as `docker build` would send them; the same files give the same bytes."""

from __future__ import annotations

from dataclasses import replace

from grader.dockerfile import dockerignore
from grader.dockerfile.directives import as_built
from grader.dockerfile.instructions import Unparsable
from grader.dockerfile.parser import dockerfile_of, parse
from grader.engine.protocol import BuildJob
from grader.engine.tar import with_folders, write_tar
from grader.models import BuildFailed, ExerciseFiles, MemoryFile

MISSING_DOCKERFILE = "There is no file named Dockerfile in the folder."

_MODIFIED = 315_532_800
"""When every file was last changed, in seconds since 1970: 1980-01-01, the first day that a zip file can hold (pip
makes wheels of what is in a context). BuildKit does not look at it when it decides whether a step is cached."""

_MODES = 0o755
"""Permission bits that a file may have in the context; the others depend on the umask of whoever unpacked it."""
_CACHES = 16
"""Hexadecimal digits of a submission's digest that name its cache mounts."""


def make_job(files: ExerciseFiles, replaced: tuple[MemoryFile, ...], name: str) -> BuildJob | BuildFailed:
    """All that an engine needs to build an exercise; or why Docker would not, when no engine is needed to tell.

    That is so when the Dockerfile is missing or cannot be read, or `.dockerignore` cannot. The
    job's caches are those of the submission as it was handed in. Its Dockerfile has the student's lines in
    the student's places, only `# syntax=` is a plain comment.
    """
    file = dockerfile_of(_with(files, replaced))
    if file is None:
        return BuildFailed(MISSING_DOCKERFILE)
    parsed = parse(file.content)
    if isinstance(parsed, Unparsable):
        return BuildFailed(parsed.message, line=parsed.line)
    context = make_context(files, replaced)
    return (
        context
        if isinstance(context, BuildFailed)
        else BuildJob(context, as_built(file.content), name, files.digest[:_CACHES])
    )


def make_context(files: ExerciseFiles, replaced: tuple[MemoryFile, ...] = ()) -> bytes | BuildFailed:
    """The context as an uncompressed tar: `Dockerfile` first, then all else by path, folders before what is in them.

    `replaced` files take the place of the student's. What `.dockerignore` names is left out; the
    Dockerfile never is, as the builder needs it. Fails only if `.dockerignore` cannot be read.
    """
    sent = _with(files, replaced)
    ignored = _ignored(sent)
    if isinstance(ignored, BuildFailed):
        return ignored
    dockerfile = dockerfile_of(sent)
    first = [MemoryFile("Dockerfile", as_built(dockerfile.content), dockerfile.mode)] if dockerfile else []
    kept = [file for file in sent.files if file != dockerfile and file.path not in ignored]
    entries = [replace(entry, mode=entry.mode & _MODES) for entry in (*first, *with_folders(kept))]
    return write_tar(entries, modified=_MODIFIED)


def _with(files: ExerciseFiles, replaced: tuple[MemoryFile, ...]) -> ExerciseFiles:
    if not replaced:
        return files
    together = {file.path: file for file in (*files.files, *replaced)}
    return ExerciseFiles(files.exercise, files.folder, tuple(together[path] for path in sorted(together)), files.digest)


def _ignored(files: ExerciseFiles) -> frozenset[str] | BuildFailed:
    """Paths that `.dockerignore` leaves out."""
    file = dockerignore.ignore_file(files)
    if file is None:
        return frozenset()
    problem = dockerignore.oversize(file.content)
    if problem:
        return BuildFailed(f"{file.path}: {problem}")
    patterns = dockerignore.read_patterns(file.content)
    if isinstance(patterns, dockerignore.BadPattern):
        return BuildFailed(f"{file.path} {patterns.message}")
    return dockerignore.excluded(patterns, [file.path for file in files.files])
