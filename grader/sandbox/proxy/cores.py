"""How many cores a container may ask for: no more than the engine has.

Where control groups are of version 1, the kernel takes no quota for a group that is larger than that of the group above
it, so the container would not start, with words that nobody understands. A container that asks for more gets what there
is, as it would with version 2.
"""

from __future__ import annotations

from typing import cast

from grader.sandbox.proxy.strictjson import Json

_PERIOD = 100_000
"""Microseconds; the engine's own where none is given."""


def held_to(cpus: float, settings: dict[str, Json]) -> dict[str, Json]:
    """The settings of a container, checked, with no more cores than that. `cpus` may be infinite."""
    host = cast("dict[str, Json]", settings.get("HostConfig") or {})
    wanted = {name: cast("int", host.get(name) or 0) for name in ("NanoCpus", "CpuQuota", "CpuPeriod")}
    held: dict[str, Json] = {}
    if wanted["NanoCpus"] > cpus * 1e9:
        held["NanoCpus"] = int(cpus * 1e9)
    if (quota := _quota(cpus, wanted["CpuQuota"], wanted["CpuPeriod"])) != wanted["CpuQuota"]:
        held["CpuQuota"] = quota
    return {**settings, "HostConfig": {**host, **held}} if held else settings


def build_held_to(cpus: float, query: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The same for the parameters of a build by the classic builder."""
    asked = dict(query)
    quota = int(asked.get("cpuquota") or 0)
    held = str(_quota(cpus, quota, int(asked.get("cpuperiod") or 0)))
    return tuple((name, held if name == "cpuquota" and value else value) for name, value in query)


def _quota(cpus: float, quota: int, period: int) -> int:
    most = cpus * (period or _PERIOD)
    return int(most) if quota > most else quota
