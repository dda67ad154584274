"""Was it the network? What of a failed build, script or Compose speaks for it, and a probe that finds out.

Contract: "a fault of the network is never the student's", and neither is a certificate that an installer does not trust
(EXERCISES.md, "Points"). What a program prints gives rise to the question only, since a student can print anything.
What answers it is the same done once more, and, where that fails alike, a probe of ours that fetches from the same
places as the tools in the base image do. The executor carries both out.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import yaml

from grader.course.models import Limits
from grader.engine.build.context import make_job
from grader.engine.protocol import Engine
from grader.errors import EngineError
from grader.models import (
    BuildFailed,
    Built,
    ComposeSeen,
    Exited,
    MemoryFile,
    Observation,
    RunOutcome,
    ScriptSeen,
    TimedOut,
)
from grader.submissions.models import ExerciseFiles

TRIES = 3
"""How often a thing is done before it is asked whether the network works (safety.md, P4: "retried ≤ 2 times")."""

_NOTHING_KNOWN = "(from versions: none)"
"""What pip prints of a misspelt name, and of any name where its index answers with an error, about which it is silent.

So it is no reason to build again, but one to ask for names that every index has.
"""
_NOT_SERVED = re.compile(r"^Package (?P<name>\w[\w.-]{0,99}) \((?P<version>\d[\w.]{0,50})\) not found", re.MULTILINE)
"""What Poetry prints of a version that it has resolved, or found in a lock, where the index does not answer for it."""
_LONGEST_LINE = 2000
_SHOWN = 200
"""Characters of a line that are shown."""
_PROBE_SECONDS = 60.0


def signs(seen: Observation) -> tuple[str, ...]:
    """The lines of what failed that speak of a network that failed just then, in order: a reason to try again."""
    return _lines("signs", _complaint(seen))


@dataclass(frozen=True, slots=True)
class Suspicion:
    """A failure that may be the network's doing: the line that says so, and the tools that a probe tries it with."""

    line: str
    tools: tuple[str, ...]


def suspicion(seen: Observation) -> Suspicion | None:
    """Whether what failed may be the network's doing, and how that is found out."""
    complaint = _complaint(seen)
    distrust = _lines("certificates", complaint)
    if lines := _lines("signs", complaint):
        return Suspicion(lines[0], ("apt", "apk", "pip", *(["certificates"] if distrust else [])))
    if distrust:
        return Suspicion(distrust[0], ("certificates",))
    if found := _NOT_SERVED.search(complaint):
        return Suspicion(found[0], (f"{found['name']}=={found['version']}",))
    unknown = next((line.strip()[:_SHOWN] for line in complaint.splitlines() if _NOTHING_KNOWN in line), "")
    return Suspicion(unknown, ("pip",)) if unknown else None


def was_cut(seen: Observation) -> bool:
    """Whether it ended at its limit of time."""
    match seen:
        case BuildFailed(ended="timed_out"):
            return True
        case ScriptSeen(outcome=RunOutcome(ended=TimedOut())) | ComposeSeen(build=RunOutcome(ended=TimedOut())):
            return True
        case _:
            return False


def nobodys_fault(suspected: Suspicion, against: Sequence[str]) -> EngineError:
    """The problem to raise where a probe failed as well; `against` is what it printed."""
    return EngineError(
        "Packages could not be fetched, and what the grader itself then tried shows that it is not the submission. See "
        "whether the network and the package index work, and whether a proxy brings certificates of its own; then "
        "grade again. "
        f"The submission: {suspected.line} The grader: {against[0]}"
    )


def _complaint(seen: Observation) -> str:
    """What was printed by whatever failed; "" where nothing did, whatever was printed."""
    outcomes: list[RunOutcome] = []
    if isinstance(seen, BuildFailed):
        return "\n".join(step.log for step in seen.steps if step.error)
    if isinstance(seen, ScriptSeen) and (seen.failed or seen.outcome.ended != Exited(0)):
        outcomes = [seen.outcome]
    if isinstance(seen, ComposeSeen):
        outcomes = [one for one in (seen.build, seen.up) if one and one.ended != Exited(0)]
    return "\n".join((one.stdout + b"\n" + one.stderr).decode("utf-8", "replace") for one in outcomes)


def _lines(kind: str, text: str) -> tuple[str, ...]:
    """The lines of `text` that a pattern of that kind fits."""
    lines = (line.strip()[:_LONGEST_LINE] for line in text.splitlines())
    return tuple(line[:_SHOWN] for line in lines if _patterns()[kind].search(line))


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    kinds = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {kind: re.compile("|".join(patterns), re.IGNORECASE) for kind, patterns in kinds.items()}


# ── the probe ───────────────────────────────────────────────────────────────────────────

_DOWNLOAD = "python3 -m pip download --no-deps --no-cache-dir --retries 1 --timeout 10 --dest /tmp"
_FETCH = {
    "apt": "! command -v apt-get || apt-get -o Acquire::http::Timeout=10 -o Acquire::Retries=1 update",
    "apk": "! command -v apk || apk update",
    "pip": f'! command -v python3 || for name in pip numpy; do {_DOWNLOAD} "$name==0"; done',
    # As an installer that brings its own certificates and knows of no others.
    "certificates": "! command -v python3 || "
    f'{_DOWNLOAD} --cert "$(python3 -c "from pip._vendor import certifi; print(certifi.where())")" pip==0',
}
"""What each tool can be asked with little to fetch. No package has a version 0; pip then says which there are."""


def probe(engine: Engine, bases: Sequence[str], limits: Limits, tools: Sequence[str]) -> tuple[str, ...]:
    """What speaks against the network, none where it works: builds on each base fetch as a student would.

    A tool may also be a `NAME==VERSION` that an installer did not find: that pip finds it speaks against the index.
    """
    return next((against for base in bases if (against := _probe(engine, base, limits, tools))), ())


def _probe(engine: Engine, base: str, limits: Limits, tools: Sequence[str]) -> tuple[str, ...]:
    fetch = "; ".join(_FETCH.get(tool) or f"{_DOWNLOAD} {tool} && echo && echo The index has {tool}." for tool in tools)
    content = f"FROM {base}\nUSER root\nRUN : {secrets.token_hex(8)}; {fetch}; true\n".encode()
    job = make_job(ExerciseFiles("", "", (MemoryFile("Dockerfile", content),), ""), (), "network")
    if isinstance(job, BuildFailed):
        raise EngineError(job.message)
    seen = engine.build(job, replace(limits, build_seconds=min(limits.build_seconds, _PROBE_SECONDS)), lambda _: None)
    if isinstance(seen, Built):
        engine.remove_image(seen.image)
    elif seen.ended == "timed_out":
        return (seen.message,)
    printed = "\n".join(step.log for step in seen.steps)
    if distrust := _lines("certificates", printed):
        return distrust
    if printed.count(_NOTHING_KNOWN) > 1:
        return (*_lines("signs", printed), "pip found no version of pip and numpy.")
    return _lines("in_vain", printed)  # one that worked in the end may have stumbled before
