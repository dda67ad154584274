"""What the kernel counts of all that is in a private engine, and how to leave the engine few cores for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from grader.engine.http import Connection


@dataclass(frozen=True, slots=True)
class CpuUse:
    """In so many `seconds`: CPU seconds that the engine got, and how often the kernel held it back."""

    seconds: float
    cpu_seconds: float = 0.0
    throttled: int = 0


FewCores = Callable[[float], AbstractContextManager[Callable[[], CpuUse]]]
"""Leaves a private engine so many cores while its context lasts, and gives what it has used meanwhile."""


@contextmanager
def few_cores(host: Connection, container: str, cores: float) -> Iterator[Callable[[], CpuUse]]:
    """As `FewCores`, for the engine in a container of `host`. Raises `EngineError`.

    Nothing in the container may have a quota of its own meanwhile: with control groups of version 1 the kernel refuses
    to put one group below another with a smaller one.
    """
    before = host.call("GET", f"/containers/{container}/json").json["HostConfig"]["NanoCpus"]
    _allow(host, container, round(cores * 1e9))
    try:
        began, (cpu, throttled) = time.monotonic(), _counted(host, container)

        def use() -> CpuUse:
            cpu_now, throttled_now = _counted(host, container)
            return CpuUse(time.monotonic() - began, cpu_now - cpu, throttled_now - throttled)

        yield use
    finally:
        _allow(host, container, before)


def _allow(host: Connection, container: str, nano_cpus: int) -> None:
    host.call("POST", f"/containers/{container}/update", json={"NanoCpus": nano_cpus})


def _counted(host: Connection, container: str) -> tuple[float, int]:
    """CPU seconds and periods of being held back, since the container was started."""
    # Without `one-shot`, the engine takes a second to see what changes.
    query = {"stream": "false", "one-shot": "true"}
    stats = host.call("GET", f"/containers/{container}/stats", parameters=query).json["cpu_stats"]
    throttled = (stats.get("throttling_data") or {}).get("throttled_periods") or 0
    return stats["cpu_usage"]["total_usage"] / 1e9, int(throttled)
