"""Proving that limits are enforced here, by trying to break each of them in a container."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from grader.model import Exited, OutOfMemory, OutputLimit, RunOutcome, RunRequest, TimedOut
from grader.protocol import Engine
from grader.spec import Limits

__all__ = ["PROOFS", "Proof", "Proved", "prove"]

_FORKS = """
import os, time
count = 0
try:
    for _ in range(100):
        if os.fork() == 0:
            time.sleep(5)
            os._exit(0)
        count += 1
except OSError:
    pass
print(count)
"""
_FILL_TMP = """
try:
    with open("/tmp/fill", "wb") as file:
        for _ in range(100):
            file.write(b"x" * 1048576)
    print("all")
except OSError as error:
    print("stopped")
"""
_RIGHTS = """
status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
print(int(status["CapEff"], 16), status["NoNewPrivs"].strip())
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """One attempt: a Python program, the limits it runs under, and whether what came out shows that they hold."""

    name: str
    attempt: str
    program: str
    limits: Limits
    holds: Callable[[RunOutcome, float], bool]


@dataclass(frozen=True, slots=True)
class Proved:
    """The result of one attempt; `seen` says what happened."""

    proof: Proof
    holds: bool
    seen: str


def _printed(outcome: RunOutcome) -> str:
    return outcome.stdout.decode("utf-8", errors="replace").strip()


_SMALL = Limits(run_seconds=20, memory_mb=64, processes=16, tmp_mb=8, output_kb=64)
_STOP_WITHIN = 2.0
"""Seconds after its limit in which a run is stopped (the promise; removal comes after)."""

PROOFS = (
    Proof(
        "time",
        "sleeps for a minute, may run 1 s",
        "import time; time.sleep(60)",
        replace(_SMALL, run_seconds=1),
        lambda outcome, seconds: isinstance(outcome.ended, TimedOut) and seconds < 1 + _STOP_WITHIN + 3,
    ),
    Proof(
        "memory",
        "takes 256 MiB, may have 64",
        "data = bytearray(256 * 1024 * 1024)",
        _SMALL,
        lambda outcome, _: isinstance(outcome.ended, OutOfMemory),
    ),
    Proof(
        "processes",
        "starts 100 processes, may have 16",
        _FORKS,
        _SMALL,
        lambda outcome, _: _printed(outcome).isdecimal() and int(_printed(outcome)) < _SMALL.processes,
    ),
    Proof(
        "output",
        "prints without end, may print 64 KiB",
        "while True: print('x' * 1000)",
        _SMALL,
        lambda outcome, _: isinstance(outcome.ended, OutputLimit),
    ),
    Proof(
        "/tmp",
        "writes 100 MiB to /tmp, may write 8",
        _FILL_TMP,
        _SMALL,
        lambda outcome, _: _printed(outcome) == "stopped",
    ),
    Proof(
        "network",
        "looks for a network interface",
        "import os; print(*sorted(os.listdir('/sys/class/net')))",
        _SMALL,
        lambda outcome, _: _printed(outcome) == "lo",
    ),
    Proof(
        "privileges",
        "reads its capabilities, must have none and gain none",
        _RIGHTS,
        _SMALL,
        lambda outcome, _: _printed(outcome) == "0 1",
    ),
)


def prove(engine: Engine, image: str) -> Iterator[Proved]:
    """Try to break every limit, one after the other, in containers of `image` (which must have Python)."""
    for proof in PROOFS:
        began = time.monotonic()
        outcome = engine.run(image, RunRequest(entrypoint=("python3", "-c", proof.program)), proof.limits)
        yield Proved(proof, proof.holds(outcome, time.monotonic() - began), _seen(outcome))


def _seen(outcome: RunOutcome) -> str:
    ended = (
        f"exited {outcome.ended.code}" if isinstance(outcome.ended, Exited) else outcome.ended.kind.replace("_", " ")
    )
    printed = _printed(outcome)[:40] if isinstance(outcome.ended, Exited) else ""
    return f"{ended}, printed {printed!r}" if printed else ended
