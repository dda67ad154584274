"""What bounds whom: for each thing that submissions do and each thing that can be used up, the limit and its proof.

It is written down so that nothing is forgotten: a test fails where a cell has neither a proof of `grader.limits.probes`
nor a reason, where a proof stands in no cell, and where docs/private-engine.md says something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from grader.dockerfile.policy import MAX_INSTRUCTIONS
from grader.engine.run import MAX_VOLUMES
from grader.sandbox.compose_policy import MAX_SERVICES
from grader.sandbox.compose_shape import MAX_REPLICAS
from grader.sandbox.nested_engine import AREA_FILES, AREA_MB
from grader.sandbox.proxy.quota import DEFAULT

PHASES = ("build", "run", "script", "compose")
RESOURCES = ("time", "memory", "processes", "CPU", "disk", "output", "objects")


@dataclass(frozen=True, slots=True)
class Cell:
    """What bounds it in the private tier, in words, and what `grader doctor` tries, by name; or `untried` says why not.

    Words in `code` are limits of `exercises.yaml`. `host` says what is different in the engine that `docker` uses; ""
    says that nothing is.
    """

    phase: str
    resource: str
    limit: str
    proofs: tuple[str, ...] = ()
    untried: str = ""
    host: str = ""


_NOWHERE = "not run there"
_FREE = "not bounded"
_CLASSIC = "bounded only by the classic builder"
_OBJECTS = (
    f"{DEFAULT.containers} containers, {DEFAULT.networks} networks, {DEFAULT.volumes} volumes, {DEFAULT.images} images"
)


def _build() -> Iterator[Cell]:
    def cell(resource: str, limit: str, proof: str = "", untried: str = "", host: str = "") -> Cell:
        return Cell("build", resource, limit, (proof,) if proof else (), untried, host)

    yield cell("time", "`build_seconds`", "build time")
    yield cell("memory", "the engine's 4 GiB", "build memory", host=_CLASSIC)
    yield cell("processes", "the engine's 2048", "build processes", host=_FREE)
    yield cell("CPU", "the engine's nine tenths of the cores", "build CPU", host=_CLASSIC)
    yield cell("disk", "the engine's 8 GiB", "build disk", host=_FREE)
    yield cell("output", "`build_output_kb`", "build output")
    untried = "refused before an engine is asked, so none can fail to keep it (`unit/test_gate`)"
    yield cell("objects", f"one image, of at most {MAX_INSTRUCTIONS} instructions", untried=untried)


def _run() -> Iterator[Cell]:
    def cell(resource: str, limit: str, *proofs: str, host: str = "") -> Cell:
        return Cell("run", resource, limit, proofs, host=host)

    yield cell("time", "`run_seconds`", "run time")
    yield cell("memory", "`memory_mb`, `tmp_mb` of it in /tmp", "run memory", "run /tmp")
    yield cell("processes", "`processes`", "run processes")
    yield cell("CPU", "`cpus`", "run CPU")
    yield cell("disk", "the engine's 8 GiB", "run disk", host=_FREE)
    yield cell("output", "`output_kb`", "run output")
    yield cell("objects", f"one container, with at most {MAX_VOLUMES} volumes", "run objects")


def _script() -> Iterator[Cell]:
    def cell(resource: str, limit: str, *proofs: str) -> Cell:
        return Cell("script", resource, limit, proofs, host=_NOWHERE)

    yield cell("time", "`script_seconds`", "script time")
    yield cell(
        "memory", "`memory_mb`, `tmp_mb` of it in /tmp; what it starts: the engine's", "script memory", "script /tmp"
    )
    yield cell("processes", "`processes`; what it starts: the engine's", "script processes")
    yield cell("CPU", "`cpus`; what it starts: the engine's", "script CPU")
    folder = f"its folder: {AREA_MB} MiB, {AREA_FILES} files; what it starts: the engine's"
    yield cell("disk", folder, "script disk", "script files")
    yield cell("output", "`output_kb`", "script output")
    yield cell("objects", f"{_OBJECTS}; 64 connections at a time", "script objects", "script connections")


def _compose() -> Iterator[Cell]:
    def cell(resource: str, limit: str, *proofs: str) -> Cell:
        return Cell("compose", resource, limit, proofs, host=_NOWHERE)

    yield cell("time", "`build_seconds` to build, `run_seconds` for services", "compose time")
    yield cell("memory", "the engine's 4 GiB", "compose memory")
    yield cell("processes", "the engine's 2048", "compose processes")
    yield cell("CPU", "the engine's nine tenths of the cores", "compose CPU")
    yield cell("disk", "the engine's 8 GiB; the folder as for scripts", "compose disk")
    yield cell("output", "`output_kb` of each service", "compose output")
    most = f"{MAX_SERVICES} services of at most {MAX_REPLICAS} containers; and as for scripts"
    yield cell("objects", most, "compose objects")


TABLE: tuple[Cell, ...] = (*_build(), *_run(), *_script(), *_compose())


def lines() -> tuple[str, ...]:
    """The table for a page of documentation, in Markdown."""
    head = ("| | limit | tried by `grader doctor` | in the engine that `docker` uses |", "|---|---|---|---|")
    return (*head, *(_line(cell) for cell in TABLE))


def _line(cell: Cell) -> str:
    tried = ", ".join(cell.proofs) or f"no: {cell.untried}"
    return f"| {cell.phase}: {cell.resource} | {cell.limit} | {tried} | {cell.host or 'the same'} |"
