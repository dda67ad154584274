"""`grader doctor`: can this machine grade fairly? Every line says what was found and whether that is enough."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from grader.app.common import course_at, terminal
from grader.app.opening import open_engine, trial_engine
from grader.checks.tell import excerpt
from grader.console import Console
from grader.course import CourseFolder
from grader.engine import DockerEngine
from grader.errors import EnvironmentProblem
from grader.limits import prove
from grader.privaterecipe import RELEASE

__all__ = ["examine_machine"]

Line = tuple[str, str, str]
"""What, how it stands (`ok`, `warning`, `FAILS`), and what was seen."""

_GIB = 2**30
_COMPOSE_SECONDS = 30.0
_ROOM_NEEDED = 5 * _GIB
"""Base images, a class's layers and the builder's cache, with room to spare."""


def examine_machine(option: Path | None) -> int:
    """0 if everything that grading needs holds, else 3."""
    folder = course_at(option)
    console = terminal()
    lines: list[Line] = []
    with open_engine() as engine:
        for line in (*_findings(engine, folder), *_private(engine, folder, console)):
            lines.append(line)
            console.note(f"{line[1]:8} {line[0]}: {line[2]}", "failed" if line[1] == "FAILS" else "plain")
    failing = [name for name, state, _ in lines if state == "FAILS"]
    _conclude(console, failing)
    return EnvironmentProblem.exit_code if failing else 0


def _conclude(console: Console, failing: list[str]) -> None:
    if failing:
        console.note(f"Not fit for grading other people's work: {', '.join(failing)}.", "failed")
    else:
        console.note("This machine can grade.", "passed")


def _findings(engine: DockerEngine, folder: CourseFolder) -> Iterator[Line]:
    yield from _engine(engine)
    yield from _images(engine, folder)
    yield from _limits(engine, folder)
    for warning in engine.warnings:
        yield "the engine warns", "warning", warning


def _private(engine: DockerEngine, folder: CourseFolder, console: Console) -> Iterator[Line]:
    """Whether commands.sh and Compose can be graded: a private engine, and which Compose is in its image."""
    began = time.monotonic()
    try:
        with trial_engine(folder, engine, console.note) as (private, place):
            seconds = time.monotonic() - began
            yield "private engine", "ok", f"Docker {private.version}, up in {seconds:.1f} s, preparing included"
            bounded = "of its own size" if private.disk_is_bounded else "not bounded: the host gives no loop devices"
            yield "private engine's disk", "ok" if private.disk_is_bounded else "warning", bounded
            outcome = place.run(("docker", "compose", "version", "--short"), _COMPOSE_SECONDS)
            version = outcome.stdout.decode("utf-8", "replace").strip()
            origin = f"{version}, the package docker-compose of Debian {RELEASE}, in the private engine's image"
            yield "compose", "ok" if version else "FAILS", origin if version else excerpt(outcome)
    except EnvironmentProblem as problem:
        yield "private engine", "FAILS", str(problem)


def _engine(engine: DockerEngine) -> Iterator[Line]:
    facts = engine.facts()
    yield "engine", "ok", f"{facts.version} (API {facts.api_version}) at {facts.endpoint}, {facts.operating_system}"
    yield "builder", "ok" if engine.info().builder != "classic" else "warning", _builder(engine.info().builder)
    yield "limits by", "ok", f"cgroup v{facts.cgroup_version} ({facts.cgroup_driver}), storage {facts.storage_driver}"
    free = facts.free_bytes
    if free is None:
        yield "disk", "warning", "the engine is on another machine; its free space is not known"
    else:
        yield (
            "disk",
            "ok" if free > _ROOM_NEEDED else "FAILS",
            f"{free / _GIB:.1f} GiB free at {facts.root_dir}, needs {_ROOM_NEEDED // _GIB}",
        )
    for warning in facts.warnings:
        yield "the engine says", "warning", warning


def _builder(name: str) -> str:
    return (
        f"{name}; a Dockerfile with RUN --mount that builds for a student will not build here"
        if name == "classic"
        else name
    )


def _images(engine: DockerEngine, folder: CourseFolder) -> Iterator[Line]:
    for base in folder.course.images:
        reference = base.names[0]
        labels = engine.image_labels(reference)
        if labels is None:
            yield f"base image {reference}", "warning", "not here yet; `grader images` makes it present"
        else:
            yield f"base image {reference}", "ok", labels.get("io.grader.base", "as pulled or made on this machine")


def _limits(engine: DockerEngine, folder: CourseFolder) -> Iterator[Line]:
    image = folder.course.images[0].names[0]
    if engine.image_labels(image) is None:
        yield "limits", "FAILS", f"not tried: {image} is needed for it; run `grader images`"
        return
    for proved in prove(engine, image):
        yield (
            f"limit on {proved.proof.name}",
            "ok" if proved.holds else "FAILS",
            f"{proved.proof.attempt}: {proved.seen}",
        )
