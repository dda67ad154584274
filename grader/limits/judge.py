"""Whether a limit held, from what was seen of an attempt to break it. Each judge also says in words what was seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from grader.models import (
    BuildFailed,
    Built,
    ComposeSeen,
    Exited,
    NotStarted,
    Observation,
    OutOfMemory,
    OutputLimit,
    RunEnd,
    RunOutcome,
    ScriptSeen,
    TimedOut,
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What the kernel counted of all that is in a private engine: CPU seconds, and how often it was made to wait."""

    cpu_seconds: float = 0.0
    held_back: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of an attempt; `spent` where the cores of the engine were few meanwhile."""

    observation: Observation
    spent: Spent = Spent()


Judge = Callable[[Seen], tuple[bool, str]]
"""Whether it held, and what was seen in words."""


def _printed(observation: Observation) -> str:
    match observation:
        case RunOutcome():
            return observation.stdout.decode("utf-8", "replace")
        case Built() | BuildFailed():
            return "".join(step.log for step in observation.steps)
        case ScriptSeen():
            return observation.outcome.stdout.decode("utf-8", "replace")
        case ComposeSeen():
            return "".join(one.stdout.decode("utf-8", "replace") for one in observation.services)


def _got(observation: Observation, name: str) -> str:
    """What the greedy program says it got; "" if it did not come to say it."""
    found = re.search(rf"^{re.escape(name)} (.*)$", _printed(observation), re.MULTILINE)
    return found[1].strip() if found else ""


def _told(observation: Observation, got: str) -> str:
    return got or f"it did not come to that; it {_ended(observation)}"


def below(name: str, bound: int) -> Judge:
    """The program says that it got something, and less than `bound` of it."""

    def judge(seen: Seen) -> tuple[bool, str]:
        got = _got(seen.observation, name)
        holds = got.isdecimal() and 0 < int(got) < bound
        return holds, _told(seen.observation, f"{'stopped at' if holds else 'got'} {got}" if got else "")

    return judge


def says(name: str, words: str, meaning: str) -> Judge:
    """The program says exactly that, which means `meaning`."""

    def judge(seen: Seen) -> tuple[bool, str]:
        got = _got(seen.observation, name)
        return got == words, meaning if got == words else _told(seen.observation, got)

    return judge


def killed(seen: Seen) -> tuple[bool, str]:
    """What took the memory was killed."""
    got = _got(seen.observation, "memory")
    return got == "killed", _told(seen.observation, {"all": "got all of it"}.get(got, got))


_TOLERANCE = 2.5
"""How many times its share of the cores a container may be seen to take: the kernel counts by tenths of a second."""


def held_back(cpus: float) -> Judge:
    """A container that may have so many cores, and sees itself whether the kernel made it wait."""

    def judge(seen: Seen) -> tuple[bool, str]:
        got = _got(seen.observation, "CPU")
        cores, _, word = got.partition(" ")
        holds = bool(re.fullmatch(r"\d+\.\d\d", cores)) and float(cores) < cpus * _TOLERANCE and word != "free"
        return holds, _told(seen.observation, f"got {cores}, {word}" if got else "")

    return judge


_COUNTED = 0.8
"""The least part of a program's own CPU time that is found in the engine's, if it is below the engine's limit."""


def engine_held_back(cpus: float) -> Judge:
    """What works in a private engine that has so many cores, as the kernel counts it for the engine's container.

    A busy machine gives little to anybody, so that little was taken shows nothing: the kernel must have made them wait.
    And what it counts must have in it what the program says it took, else the program has escaped.
    """

    def judge(seen: Seen) -> tuple[bool, str]:
        got = re.fullmatch(r"(\d+\.\d\d) cores, (\d+\.\d\d) s", _got(seen.observation, "busy"))
        if got is None:
            return False, _told(seen.observation, "")
        few = float(got[1]) < cpus * _TOLERANCE
        counted = seen.spent.cpu_seconds >= float(got[2]) * _COUNTED
        waits = f"made to wait {seen.spent.held_back} times" if seen.spent.held_back else "never made to wait"
        place = "" if counted else ", outside the engine's own limit"
        return few and counted and seen.spent.held_back > 0, f"got {got[1]}, {waits}{place}"

    return judge


def timed_out(seen: Seen) -> tuple[bool, str]:
    """It was ended at its limit of time."""
    ended = _ended(seen.observation)
    return ended == "timed out", ended


def flooded(seen: Seen) -> tuple[bool, str]:
    """It was ended at its limit of output."""
    ended = _ended(seen.observation)
    return ended == "output limit", ended


def brought_down(seen: Seen) -> tuple[bool, str]:
    """A service still ran when the time was over, and nothing was left afterwards."""
    if not isinstance(seen.observation, ComposeSeen) or not seen.observation.services:
        return False, _ended(seen.observation)
    ran = "running" in {one.status for one in seen.observation.services if one.service == "endless"}
    down = seen.observation.down is not None and seen.observation.down.ended == Exited(0) and not seen.observation.left
    return ran and down, "running when the time was over, then removed" if ran and down else _ended(seen.observation)


def cut(most_kb: int) -> Judge:
    """What services printed was kept up to so many KiB."""

    def judge(seen: Seen) -> tuple[bool, str]:
        kept = len(_printed(seen.observation))
        return 0 < kept <= most_kb * 1024, f"{kept / 1024:.0f} KiB were kept"

    return judge


def not_started(seen: Seen) -> tuple[bool, str]:
    """The container was not even made."""
    ended = _ended(seen.observation)
    return isinstance(seen.observation, RunOutcome) and isinstance(seen.observation.ended, NotStarted), ended


def refused(seen: Seen) -> tuple[bool, str]:
    """The Compose file was refused before anything was built."""
    found = seen.observation.refused if isinstance(seen.observation, ComposeSeen) else ()
    return bool(found), f"refused: {found[0]}" if found else _ended(seen.observation)


def _ended(observation: Observation) -> str:
    match observation:
        case RunOutcome():
            return _in_words(observation.ended)
        case Built():
            return "built"
        case BuildFailed():
            return observation.ended.replace("_", " ") if observation.ended != "failed" else observation.message
        case ScriptSeen():
            return _in_words(observation.outcome.ended)
        case ComposeSeen():
            done = [one for one in (observation.config, observation.build, observation.up, observation.down) if one]
            wrong = next((one for one in done if one.ended != Exited(0)), None)
            return f"{_in_words(wrong.ended)}: {wrong.stderr.decode('utf-8', 'replace')[-200:]}" if wrong else "ended"


def _in_words(ended: RunEnd) -> str:
    match ended:
        case Exited():
            return f"exited {ended.code}"
        case NotStarted():
            return f"was not started: {ended.reason}"
        case TimedOut() | OutOfMemory() | OutputLimit():
            return ended.kind.replace("_", " ")
