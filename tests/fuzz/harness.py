"""What the fuzzers share: a loop with a seed for each round, a deadline for each round, and counts at the end.

A fuzzer is a function that makes one input from a random generator, tries it, and returns a word for
what came of it. It raises `Found` where a promise is broken; any other exception breaks one too. A
round depends on `--seed` and its own number alone, so `--only N` does it again.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType

__all__ = ["Found", "main", "mutated_bytes", "mutated_text"]

Round = Callable[[random.Random], str]

_SECONDS = 20
"""Longest round that is no hang; an honest one takes milliseconds, and the machine may be busy."""

_MOST_FAILURES = 20
_LONGEST = 4_000
"""Characters of a failure that are shown, from its end."""


class Found(AssertionError):  # noqa: N818 - what a fuzzer hopes for
    """A promise is broken; the message says which, and by what input."""


def main(once: Round, setup: Callable[[], object] = lambda: None) -> int:
    """Do rounds for the seconds that the command line names; exit code 1 if any of them failed."""
    options = _options()
    setup()
    signal.signal(signal.SIGALRM, _hang)
    counts: Counter[str] = Counter()
    failures: list[str] = []
    ends = time.monotonic() + options.seconds
    number = options.only or 0
    while len(failures) < _MOST_FAILURES:
        counts[_tried(once, f"{options.seed}/{number}", failures)] += 1
        number += 1
        if options.only is not None or time.monotonic() > ends:
            break
    _tell(counts, failures)
    return 1 if failures else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="do this one round again")
    return parser.parse_args()


def _hang(_signal: int, _frame: FrameType | None) -> None:
    raise Found(f"one round took more than {_SECONDS} seconds")


def _tried(once: Round, seed: str, failures: list[str]) -> str:
    signal.alarm(_SECONDS)
    try:
        return once(random.Random(seed))
    except Exception:  # noqa: BLE001 - any exception is a finding
        failures.append(seed)
        sys.stderr.write(f"--- round {seed}\n{traceback.format_exc()[-_LONGEST:]}\n")
        return "FAILED"
    finally:
        signal.alarm(0)


def _tell(counts: Counter[str], failures: Sequence[str]) -> None:
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(f"{counts.total()} rounds, {len(failures)} failed, at most {megabytes} MiB of memory\n")
    for word, count in counts.most_common():
        sys.stdout.write(f"{count:9} {word}\n")
    if failures:
        sys.stdout.write(f"failed rounds (seed/number): {' '.join(failures)}\n")


# ── mutations ───────────────────────────────────────────────────────────────────────────


def mutated_text(draw: random.Random, text: str, words: Sequence[str], others: Sequence[str]) -> str:
    """`text` after a few changes of lines, characters and words; `others` give lines to put in."""
    lines = text.split("\n")
    for _ in range(draw.choice([1, 1, 1, 2, 3, 6, 15])):
        draw.choice(_LINE_CHANGES)(draw, lines, words, draw.choice(others).split("\n"))
        lines = lines or [""]
    return "\n".join(lines)


def mutated_bytes(draw: random.Random, data: bytes) -> bytes:
    """`data` after a few changes of bytes and ranges."""
    changed = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4, 12])):
        draw.choice(_BYTE_CHANGES)(draw, changed)
    return bytes(changed)


Lines = list[str]


def _drop(draw: random.Random, lines: Lines, _words: Sequence[str], _other: Lines) -> None:
    at = draw.randrange(len(lines))
    del lines[at : at + draw.choice([1, 1, 1, 3, 20])]


def _repeat(draw: random.Random, lines: Lines, _words: Sequence[str], _other: Lines) -> None:
    at = draw.randrange(len(lines))
    lines[at:at] = lines[at : at + draw.choice([1, 1, 2, 8])] * draw.choice([1, 1, 2, 300])
    del lines[20_000:]


def _swap(draw: random.Random, lines: Lines, _words: Sequence[str], _other: Lines) -> None:
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _splice(draw: random.Random, lines: Lines, _words: Sequence[str], other: Lines) -> None:
    at, begin = draw.randrange(len(lines)), draw.randrange(len(other))
    lines[at:at] = other[begin : begin + draw.choice([1, 2, 5])]


def _shift(draw: random.Random, lines: Lines, _words: Sequence[str], _other: Lines) -> None:
    at = draw.randrange(len(lines))
    lines[at] = draw.choice([" ", "  ", "\t", "- ", ""]) + lines[at].lstrip(draw.choice([" ", ""]))


def _character(draw: random.Random, lines: Lines, _words: Sequence[str], _other: Lines) -> None:
    at = draw.randrange(len(lines))
    line = lines[at]
    column = draw.randint(0, len(line))
    lines[at] = line[:column] + _any_character(draw) * draw.choice([0, 1, 1, 1, 5_000]) + line[column + 1 :]


def _word(draw: random.Random, lines: Lines, words: Sequence[str], _other: Lines) -> None:
    at = draw.randrange(len(lines))
    parts = lines[at].split(" ")
    parts[draw.randrange(len(parts))] = draw.choice(words)
    lines[at] = " ".join(parts)


def _insert(draw: random.Random, lines: Lines, words: Sequence[str], _other: Lines) -> None:
    at = draw.randrange(len(lines))
    column = draw.randint(0, len(lines[at]))
    lines[at] = lines[at][:column] + draw.choice(words) + lines[at][column:]


_LINE_CHANGES = (_drop, _repeat, _swap, _splice, _shift, _character, _word, _word, _insert, _insert)


def _any_character(draw: random.Random) -> str:
    odd = "\0\a\x1b\x7f\x85\u2028\u202e\ufeff\ud800\udcff\U0001f600\u00e9\n\r\t"
    return draw.choice([chr(draw.randint(32, 126)), draw.choice(odd), chr(draw.randrange(0x110000))])


def _flip(draw: random.Random, data: bytearray) -> None:
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _set(draw: random.Random, data: bytearray) -> None:
    if data:
        at, width = draw.randrange(len(data)), draw.choice([1, 2, 4, 8])
        odd = draw.choice([0, 1, -1, 2**31 - 1, 2**15, draw.randrange(256)])
        data[at : at + width] = (odd % 2 ** (8 * width)).to_bytes(width, "little")


def _cut(draw: random.Random, data: bytearray) -> None:
    at = draw.randint(0, len(data))
    del data[at : at + draw.choice([1, 2, 30, 512, len(data)])]


def _copy(draw: random.Random, data: bytearray) -> None:
    begin, to = draw.randint(0, len(data)), draw.randint(0, len(data))
    data[to:to] = data[begin : begin + draw.choice([1, 4, 46, 512])]


def _noise(draw: random.Random, data: bytearray) -> None:
    at = draw.randint(0, len(data))
    data[at : at + draw.choice([0, 4])] = draw.randbytes(draw.choice([1, 4, 40]))


_BYTE_CHANGES = (_flip, _flip, _set, _set, _cut, _copy, _noise)
