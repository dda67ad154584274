"""What the kernel counts of all that is in a private engine, and how many cores it has for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from grader.engine.http import Connection
from grader.limits.judge import Spent


@contextmanager
def squeezed(host: Connection, container: str, cores: float) -> Iterator[Callable[[], Spent]]:
    """Leave a container of `host` so many cores; gives a function for what it has spent since. Raises `EngineError`.

    Nothing in the container may have a quota of its own meanwhile: with control groups of version 1 the kernel refuses
    to put one group below another with a smaller one.
    """
    before = host.call("GET", f"/containers/{container}/json").json["HostConfig"]["NanoCpus"]
    _may_have(host, container, round(cores * 1e9))
    try:
        began = _spent(host, container)

        def since() -> Spent:
            now = _spent(host, container)
            return Spent(now.cpu_seconds - began.cpu_seconds, now.held_back - began.held_back)

        yield since
    finally:
        _may_have(host, container, before)


def _may_have(host: Connection, container: str, nano_cpus: int) -> None:
    host.call("POST", f"/containers/{container}/update", json={"NanoCpus": nano_cpus})


def _spent(host: Connection, container: str) -> Spent:
    """Since the container was started, from its control group, by way of the engine."""
    counted = _stats(host, container)["cpu_stats"]
    held_back = (counted.get("throttling_data") or {}).get("throttled_periods") or 0
    return Spent(counted["cpu_usage"]["total_usage"] / 1e9, int(held_back))


def kernel_limits(host: Connection, container: str) -> tuple[int, int]:
    """MiB of memory and number of processes that the kernel, not the engine's settings, says the container may have."""
    stats = _stats(host, container)
    return stats["memory_stats"]["limit"] >> 20, int(stats["pids_stats"]["limit"])


def _stats(host: Connection, container: str) -> dict[str, Any]:
    # Without `one-shot`, the engine takes a second to see what changes.
    parameters = {"stream": "false", "one-shot": "true"}
    stats: dict[str, Any] = host.call("GET", f"/containers/{container}/stats", parameters=parameters).json
    return stats
