"""What the fuzzers share: a loop with a seed for each round, a deadline for each round, and counts at the end.

A fuzzer is a function that makes one input from a random generator, tries it, and returns a word for
what came of it. It raises `Found` where a promise is broken; any other exception breaks one too. A
round depends on `--seed` and its own number alone, so `--only N` does it again.
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType

_SECONDS = 20
"""Longest round that is no hang; an honest one takes milliseconds, and the machine may be busy."""
_MOST_FAILURES = 20
_LONGEST = 4_000
"""Characters of a failure that are shown, from its end."""


class Found(AssertionError):  # noqa: N818 - what a fuzzer hopes for
    """A promise is broken; the message says which, and by what input."""


def main(once: Callable[[random.Random], str], setup: Callable[[], object] = lambda: None) -> int:
    """Do rounds for the seconds that the command line names; exit code 1 if any of them failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="do this one round again")
    options = parser.parse_args()
    setup()
    signal.signal(signal.SIGALRM, _hang)
    counts: Counter[str] = Counter()
    failures: list[str] = []
    ends = time.monotonic() + options.seconds
    for number in itertools.count() if options.only is None else [options.only]:
        seed = f"{options.seed}/{number}"
        signal.alarm(_SECONDS)
        try:
            counts[once(random.Random(seed))] += 1
        except Exception:  # noqa: BLE001 - any exception is a finding
            failures.append(seed)
            print(f"--- round {seed}\n{traceback.format_exc()[-_LONGEST:]}", file=sys.stderr)
        signal.alarm(0)
        if len(failures) == _MOST_FAILURES or time.monotonic() > ends:
            break
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rounds = counts.total() + len(failures)
    print(f"{rounds} rounds, {len(failures)} failed, at most {megabytes} MiB of memory")
    print(*(f"{count:9} {word}" for word, count in counts.most_common()), sep="\n")
    if failures:
        print("failed rounds (seed/number):", *failures)
    return 1 if failures else 0


def _hang(_signal: int, _frame: FrameType | None) -> None:
    raise Found(f"one round took more than {_SECONDS} seconds")


# ── mutations ───────────────────────────────────────────────────────────────────────────


def mutated_text(draw: random.Random, text: str, words: Sequence[str], others: Sequence[str]) -> str:
    """`text` after a few changes of lines, characters and words; `others` give lines to put in."""
    lines = text.split("\n")
    for _ in range(draw.choice([1, 1, 1, 2, 3, 6, 15])):
        _change_lines(draw, lines, words, draw.choice(others).split("\n"))
        lines = lines or [""]
    return "\n".join(lines)


def _change_lines(draw: random.Random, lines: list[str], words: Sequence[str], other: Sequence[str]) -> None:
    at, also, begin = draw.randrange(len(lines)), draw.randrange(len(lines)), draw.randrange(len(other))
    line = lines[at]
    column = draw.randint(0, len(line))
    match draw.randrange(10):
        case 0:
            del lines[at : at + draw.choice([1, 1, 1, 3, 20])]
        case 1:
            lines[at:at] = lines[at : at + draw.choice([1, 1, 2, 8])] * draw.choice([1, 1, 2, 300])
            del lines[20_000:]
        case 2:
            lines[at], lines[also] = lines[also], line
        case 3:
            lines[at:at] = other[begin : begin + draw.choice([1, 2, 5])]
        case 4:
            lines[at] = draw.choice([" ", "  ", "\t", "- ", ""]) + line.lstrip(draw.choice([" ", ""]))
        case 5:
            character = draw.choice([chr(draw.randint(32, 126)), draw.choice(_ODD), chr(draw.randrange(0x110000))])
            lines[at] = line[:column] + character * draw.choice([0, 1, 1, 1, 5_000]) + line[column + 1 :]
        case 6 | 7:
            parts = line.split(" ")
            parts[draw.randrange(len(parts))] = draw.choice(words)
            lines[at] = " ".join(parts)
        case _:
            lines[at] = line[:column] + draw.choice(words) + line[column:]


_ODD = "\0\a\x1b\x7f\x85\u2028\u202e\ufeff\ud800\udcff\U0001f600\u00e9\n\r\t"


def mutated_bytes(draw: random.Random, data: bytes) -> bytes:
    """`data` after a few changes of bytes and ranges: bits flipped, numbers set, parts cut out, copied, or noise."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4, 12])):
        at, width = draw.randint(0, len(changed)), draw.choice([1, 2, 4, 8])
        number = draw.choice([0, 1, -1, 2**31 - 1, 2**15, draw.randrange(256)]) % 2 ** (8 * width)
        match draw.randrange(7):
            case 0 | 1:
                changed[at : at + 1] = bytes(byte ^ 1 << draw.randrange(8) for byte in changed[at : at + 1])
            case 2 | 3:
                changed[at : at + width] = number.to_bytes(width, "little")
            case 4:
                del changed[at : at + draw.choice([1, 2, 30, 512, len(changed)])]
            case 5:
                begin = draw.randint(0, len(changed))
                changed[at:at] = changed[begin : begin + draw.choice([1, 4, 46, 512])]
            case _:
                changed[at : at + draw.choice([0, 4])] = draw.randbytes(draw.choice([1, 4, 40]))
    return bytes(changed)
