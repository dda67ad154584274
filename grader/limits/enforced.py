"""Whether the limits that a batch needs hold on this machine: what to ask, what is known already, and what follows."""

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
from grader.limits.probes import Proof, Proved, Tier, names
from grader.models import LimitsRecord
from grader.sandbox.engine_image import recipe_digest

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_FILE = "limits.json"
_TELLING = (
    *("ID", "ServerVersion", "KernelVersion", "NCPU", "CgroupVersion", "CgroupDriver", "Driver", "DockerRootDir"),
    *("DefaultRuntime", "SecurityOptions", "Warnings"),
)
"""What of the engine's account of itself (`GET /info`) tells it from others, and bears on what it enforces."""

Attempt = Callable[[Tier, Sequence[Proof]], Sequence[Proved]]
"""Tries limits in a tier."""


class NotEnforced(EnvironmentProblem):
    """Limits that a batch needs do not hold here, and nobody has waived them."""


def waivers(given: Sequence[str]) -> frozenset[str]:
    """The names of proofs that `--waive` gives, whatever their case. `UsageError` for a name that is none."""
    known = {name.casefold(): name for name in names()}
    unknown = [name for name in given if name.casefold() not in known]
    if unknown:
        raise UsageError(f"There is no limit {', '.join(map(repr, unknown))}. --waive knows: {', '.join(names())}.")
    return frozenset(known[name.casefold()] for name in given)


def needed(tried: Iterable[Proof], phases: Collection[str]) -> tuple[Proof, ...]:
    """Those proofs that a batch asks for, of these phases (`run`, `build`, `script`)."""
    return tuple(proof for proof in tried if proof.needed and proof.name.partition(" ")[0] in phases)


def ask(
    wanted: Mapping[Tier, Sequence[Proof]], memory: Memory, attempt: Attempt, waived: Collection[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Have those limits tried that are not known to hold, tier by tier. Names of those that hold, and of those waived.

    Raises `NotEnforced` with all that do not hold and are not waived.
    """
    held: set[str] = set()
    failing: list[Proved] = []
    for place, asked in wanted.items():
        known = memory.held(place)
        held |= known & {proof.name for proof in asked}
        if unknown := [proof for proof in asked if proof.name not in known]:
            results = attempt(place, unknown)
            memory.keep(place, results)
            held |= {one.proof.name for one in results if one.holds}
            failing += [one for one in results if not one.holds]
    if missing := [one for one in failing if one.proof.name not in waived]:
        raise NotEnforced(_refusal(missing))
    broken = {one.proof.name for one in failing}
    return tuple(name for name in names() if name in held - broken), tuple(name for name in names() if name in broken)


def together(before: LimitsRecord | None, now: LimitsRecord) -> LimitsRecord:
    """What holds of a batch that goes on: what was waived for a part of it does not hold for the whole."""
    waived = {*now.waived, *(before.waived if before else ())}
    return replace(
        now,
        proved=tuple(name for name in now.proved if name not in waived),
        waived=tuple(name for name in names() if name in waived),
    )


def _refusal(missing: Sequence[Proved]) -> str:
    seen = "".join(f"\n  {one.proof.name}: {one.proof.attempt}: {one.seen}" for one in missing)
    by_name = " ".join(f'--waive "{one.proof.name}"' for one in missing)
    return (
        f"This machine does not enforce limits that a batch needs, so nothing was graded:{seen}\n"
        f"`grader doctor` tries all of them. Grade on another machine; or, if you trust these submissions, "
        f"without these limits: {by_name}"
    )


# ── what is known already ───────────────────────────────────────────────────────────────


def engine_key(info: Mapping[str, Any]) -> str:
    """A digest of all that what an engine enforces depends on; "" where a reboot could not be told.

    `info` is the engine's answer to `GET /info`.
    """
    try:
        boot = _BOOT.read_text(encoding="ascii")
    except OSError:
        return ""
    known = [__version__, recipe_digest(), boot, *(info.get(field) for field in _TELLING)]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Memory:
    """Which limits have held on this engine since the machine was started; for one `key`, in a file of `folder`.

    Without a key nothing is kept. What did not hold is not kept either: it may have been put right.
    """

    folder: Path
    key: str

    def held(self, place: str) -> frozenset[str]:
        """Names of the limits that held in that tier."""
        return frozenset(self._stored().get(place, ()))

    def keep(self, place: str, results: Iterable[Proved]) -> None:
        """Keep which of these held; those that did not are forgotten."""
        if not self.key:
            return
        tried = tuple(results)
        stored = self._stored()
        kept = set(stored.get(place, ())) - {one.proof.name for one in tried}
        stored[place] = sorted(kept | {one.proof.name for one in tried if one.holds})
        with contextlib.suppress(UsageError):  # then the next batch asks again
            write_whole(self.folder / _FILE, json.dumps({"key": self.key, "held": stored}))

    def _stored(self) -> dict[str, list[str]]:
        try:
            found = json.loads((self.folder / _FILE).read_bytes())
            held = found["held"] if self.key and found["key"] == self.key else {}
            return {str(place): [name for name in names() if name in held[place]] for place in held}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
