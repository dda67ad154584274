"""Was it the network? A build, a script or Compose that failed for want of it is tried again, and then not graded.

Contract: "a fault of the network is never the student's" (EXERCISES.md, "Points"). What a program prints gives rise to
the question only, since a student can print anything. What answers it is the same done once more, and, where that fails
alike, a probe of ours that fetches from the same places as the tools in the base image do.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

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
    ScriptSeen,
    TimedOut,
)
from grader.submissions.models import ExerciseFiles

_SIGNS = (
    # names
    r"Temporary failure (?:in name resolution|resolving)",
    r"Could not resolve|unable to resolve host|Name or service not known|NameResolutionError|dns error|EAI_AGAIN",
    # connections
    r"Network is unreachable|No route to host|network error \(check Internet|temporary error \(try again later\)",
    r"Connection (?:timed out|refused|reset by peer|aborted|broken|failed)|connection broken by",
    r"(?:Could not|Unable to|Failed to) connect to|connect: connection refused|i/o timeout|TLS handshake timeout",
    r"Read timed out|Operation timed out|ConnectTimeout|ReadTimeout|IncompleteRead|Max retries exceeded with url",
    r"Error reading from server|Undetermined Error|error sending request for url|All attempts to connect to",
    r"curl: \((?:5|6|7|18|28|35|52|55|56|92)\)",
    # answers of a server that is not itself, or of a mirror that is just being changed
    r"\b429 Too Many Requests|\b50[0234]\b.{0,3}(?:Server Error|Internal Server|Bad Gateway|Gateway Time)",
    r"\b503\b.{0,3}Service (?:Temporarily )?Unavailable|(?:HTTP error|returned error:) (?:429|50[0234])",
    r"Hash Sum mismatch|File has unexpected size|Failed to fetch (?!\S+\s+40[34]\b)",
)
_SIGN = re.compile("|".join(_SIGNS), re.IGNORECASE)
"""What apt, apk, pip, uv, Poetry, curl, wget, git and Python print where a network fails them.

Collected from their output and sources. No address that is wrong for good (404, 403) is among them.
"""

_NOTHING_KNOWN = "(from versions: none)"
"""What pip prints of a misspelt name, and of any name where its index answers with an error, about which it is silent.

So it is no reason to build again, but one to ask for names that every index has.
"""
_LONGEST_LINE = 2000
_TOLD = 200
"""Characters of a line that are told."""
_TRIES = 3
"""How often a thing is done before it is asked whether the network works (safety.md, P4: "retried ≤ 2 times")."""
_PROBE_SECONDS = 60.0

_ASKED_FOR = ("pip", "numpy")
"""Names that a package index has, if it has any."""

T = TypeVar("T", bound=Observation)
Probe = Callable[[Sequence[str]], tuple[str, ...]]
"""Says what speaks against the network where these tools fetch: lines of output, none where it works."""


def signs(text: str) -> tuple[str, ...]:
    """The lines of an output that speak of a network that failed, in order."""
    lines = (line.strip()[:_LONGEST_LINE] for line in text.splitlines())
    return tuple(line[:_TOLD] for line in lines if _SIGN.search(line))


def only_where_the_network_works(
    observe: Callable[[float], T], limit: float, probe: Probe, before_again: Callable[[], None]
) -> T:
    """What is seen; where it failed with signs of the network's doing, of several tries.

    `observe` is given the seconds that it may take: `limit` holds for all tries together. Where the last one fails so
    too and the probe does not work either, it is nobody's fault, and an `EngineError`.
    """
    until = time.monotonic() + limit
    seen = observe(limit)
    for _ in range(_TRIES - 1):
        left = until - time.monotonic()
        if not signs(_complaint(seen)) or left < limit / 2:
            break
        before_again()
        again = observe(left)
        if _was_cut(again):  # by what was left of the time, which is not the student's
            break
        seen = again
    _raise_where_nobody_could(seen, probe)
    return seen


def _raise_where_nobody_could(seen: Observation, probe: Probe) -> None:
    complaint = _complaint(seen)
    told, tools = signs(complaint), tuple(_FETCH)
    if not told:
        told, tools = tuple(line for line in complaint.splitlines() if _NOTHING_KNOWN in line), ("pip",)
    if told and (against := probe(tools)):
        raise EngineError(
            "Packages could not be fetched, and what the grader itself tried to fetch then could not be either. See "
            "whether the network and the package index work, then grade again. "
            f"The submission: {told[0][:_TOLD]} The grader: {against[0]}"
        )


def _complaint(seen: Observation) -> str:
    """What was printed by whatever failed; "" where nothing did, whatever was printed."""
    match seen:
        case BuildFailed():
            return "\n".join(step.log for step in seen.steps if step.error)
        case ScriptSeen():
            failed = seen.failed or seen.outcome.ended != Exited(0)
            outcomes = [seen.outcome] if failed else []
        case ComposeSeen():
            outcomes = [one for one in (seen.build, seen.up) if one and one.ended != Exited(0)]
        case _:
            return ""
    return "\n".join((one.stdout + b"\n" + one.stderr).decode("utf-8", "replace") for one in outcomes)


def _was_cut(seen: Observation) -> bool:
    match seen:
        case BuildFailed():
            return seen.ended == "timed_out"
        case ScriptSeen():
            return isinstance(seen.outcome.ended, TimedOut)
        case ComposeSeen():
            return seen.build is not None and isinstance(seen.build.ended, TimedOut)
        case _:
            return False


# ── the probe ───────────────────────────────────────────────────────────────────────────

_FETCH = {
    "apt": "! command -v apt-get || apt-get -o Acquire::http::Timeout=10 -o Acquire::Retries=1 update",
    "apk": "! command -v apk || apk update",
    "pip": f"! command -v python3 || for name in {' '.join(_ASKED_FOR)}; do python3 -m pip download --no-deps "
    '--no-cache-dir --retries 1 --timeout 10 --dest /tmp "$name==0"; done',
}
"""What each tool can be asked with little to fetch. No package has a version 0; pip then tells which there are."""
_IN_VAIN = re.compile(
    r"^(?:[WE]: Failed to fetch (?!\S+\s+40[34]\b)|[1-9]\d* (?:unavailable|errors)[,;]).*", re.MULTILINE
)
"""How apt and apk end where they could not fetch. Of what they try again, they tell in another way."""


def probe_by_building(engine: Engine, bases: Sequence[str], limits: Limits, tools: Sequence[str]) -> tuple[str, ...]:
    """What speaks against the network: fetch, in a build on each of the base images, as a student's own would."""
    return next((against for base in bases if (against := _probe(engine, base, limits, tools))), ())


def _probe(engine: Engine, base: str, limits: Limits, tools: Sequence[str]) -> tuple[str, ...]:
    fetch = "; ".join(_FETCH[tool] for tool in tools)
    content = f"FROM {base}\nUSER root\nRUN : {secrets.token_hex(8)}; {fetch}; true\n".encode()
    job = make_job(ExerciseFiles("", "", (MemoryFile("Dockerfile", content),), ""), (), "network")
    if isinstance(job, BuildFailed):
        raise EngineError(job.message)
    seen = engine.build(job, replace(limits, build_seconds=min(limits.build_seconds, _PROBE_SECONDS)), lambda _: None)
    if isinstance(seen, Built):
        engine.remove_image(seen.image)
    elif seen.ended == "timed_out":
        return (seen.message,)
    return _in_vain("\n".join(step.log for step in seen.steps))


def _in_vain(printed: str) -> tuple[str, ...]:
    """The lines that tell of a probe that it fetched nothing. One that worked in the end may have stumbled before."""
    if printed.count(_NOTHING_KNOWN) == len(_ASKED_FOR):
        return (*signs(printed), f"pip found no version of {' and '.join(_ASKED_FOR)}.")
    return tuple(line[:_TOLD] for line in _IN_VAIN.findall(printed))
