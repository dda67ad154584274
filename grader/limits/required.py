"""A batch does not start without the limits it needs: they are tried once for each engine and start of the machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grader import __version__
from grader.errors import EnvironmentProblem, UsageError
from grader.files import write_whole
from grader.limits.probes import NOT_BOUNDED, Probe, Result, Tier, names
from grader.models import LimitsRecord
from grader.sandbox.engine_image import recipe_digest

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_FILE = "limits.json"
_ENGINES = 8
"""Of how many engines, those asked last, is known what holds."""
_INFO = (
    *("ID", "ServerVersion", "KernelVersion", "NCPU", "CgroupVersion", "CgroupDriver", "Driver", "DockerRootDir"),
    *("DefaultRuntime", "SecurityOptions", "Warnings"),
)
"""The fields of `GET /info` that tell an engine from others, and bear on what it enforces."""


class NotEnforced(EnvironmentProblem):
    """Limits that a batch needs do not hold here, and nobody has waived them."""


@dataclass(frozen=True, slots=True)
class KnownLimits:
    """Which limits have held on this engine since the machine was started, by its `key`, in a file of `folder`.

    Without a key nothing is kept. What did not hold is not kept either: it may have been put right.
    """

    folder: Path
    key: str

    def held(self, tier: Tier) -> frozenset[str]:
        """Names of the limits that held in that tier."""
        return frozenset(self._every().get(self.key, {}).get(tier, ()))

    def keep(self, tier: Tier, results: Sequence[Result]) -> None:
        """Keep which of these held; those that did not are forgotten."""
        if not self.key:
            return
        every = self._every()
        held = every.pop(self.key, {})
        kept = set(held.get(tier, ())) - {one.probe.name for one in results}
        held[tier] = sorted(kept | {one.probe.name for one in results if one.holds})
        newest = dict([*every.items(), (self.key, held)][-_ENGINES:])
        with contextlib.suppress(UsageError):  # then the next batch tries them again
            write_whole(self.folder / _FILE, json.dumps(newest))

    def _every(self) -> dict[str, dict[str, list[str]]]:
        """By engine and tier; nothing of a file that is none of this version's."""
        try:
            found = json.loads((self.folder / _FILE).read_bytes())
            return {
                key: {tier: [name for name in names() if name in held] for tier, held in tiers.items()}
                for key, tiers in found.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def engine_key(info: Mapping[str, Any]) -> str:
    """A digest of all that what an engine enforces depends on; "" where a reboot could not be noticed.

    `info` is the engine's answer to `GET /info`.
    """
    try:
        boot = _BOOT.read_text(encoding="ascii")
    except OSError:
        return ""
    known = [__version__, recipe_digest(), boot, *(info.get(field) for field in _INFO)]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def waivers(given: Sequence[str]) -> frozenset[str]:
    """The names of limits that `--waive` gives, whatever their case. `UsageError` for a name that is none."""
    known = {name.casefold(): name for name in names()}
    unknown = [name for name in given if name.casefold() not in known]
    if unknown:
        raise UsageError(f"There is no limit {', '.join(map(repr, unknown))}. --waive knows: {', '.join(names())}.")
    return frozenset(known[name.casefold()] for name in given)


def require(
    wanted: Mapping[Tier, Sequence[Probe]],
    known: KnownLimits,
    attempt: Callable[[Tier, Sequence[Probe]], Sequence[Result]],
    waived: Collection[str],
) -> LimitsRecord:
    """Have those limits tried that are not known to hold, tier by tier; what holds, for the report.

    Raises `NotEnforced` with all that do not hold and are not waived.
    """
    held: set[str] = set()
    failing: list[Result] = []
    for tier, asked in wanted.items():
        before = known.held(tier) & {probe.name for probe in asked}
        held |= before
        if unknown := [probe for probe in asked if probe.name not in before]:
            results = attempt(tier, unknown)
            known.keep(tier, results)
            held |= {one.probe.name for one in results if one.holds}
            failing += [one for one in results if not one.holds]
    if missing := [one for one in failing if one.probe.name not in waived]:
        raise NotEnforced(_refusal(missing))
    broken = {one.probe.name for one in failing}
    not_bounded = tuple(name for tier in wanted for name in NOT_BOUNDED[tier])
    return LimitsRecord(_in_order(held - broken), _in_order(broken), not_bounded)


def for_whole_batch(before: LimitsRecord | None, now: LimitsRecord) -> LimitsRecord:
    """What holds of a batch that goes on: what was waived for a part of it does not hold for the whole."""
    waived = {*now.waived, *(before.waived if before else ())}
    return replace(now, proved=tuple(name for name in now.proved if name not in waived), waived=_in_order(waived))


def _in_order(held: Iterable[str]) -> tuple[str, ...]:
    chosen = set(held)
    return tuple(name for name in names() if name in chosen)


def _refusal(missing: Sequence[Result]) -> str:
    seen = "".join(f"\n  {one.probe.name}: {one.probe.attempt}: {one.seen}" for one in missing)
    by_name = " ".join(f'--waive "{one.probe.name}"' for one in missing)
    return (
        f"This machine does not enforce limits that a batch needs, so nothing was graded:{seen}\n"
        f"`grader doctor` tries all of them. Grade on another machine; or, if you trust these submissions, "
        f"without these limits: {by_name}"
    )
