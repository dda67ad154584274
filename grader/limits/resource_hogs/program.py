"""Takes more than it may: `python3 program.py processes=100 /tmp=100 CPU=8 memory=256 disk=800 network privileges`.

Run in a container of a base image by `grader.limits.probes`, by any Python from 3.7 on. For each word it prints a line,
the word's name and what it got: of processes the number, of `/tmp` and `disk` MiB, of `CPU` (so many busy processes)
cores and whether the kernel held them back, of `busy` the same without that, but CPU seconds, of memory `all` of the
MiB or `killed`. It gives back what it got before the next word.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Callable

MIB = 2**20


def start(child: Callable[[], object]) -> int:
    """Run `child` in a new process; return its id."""
    process = os.fork()
    if process == 0:
        try:
            child()
        finally:
            os._exit(0)
    return process


def end(processes: list[int]) -> None:
    for process in processes:
        os.kill(process, signal.SIGKILL)
    for process in processes:
        os.waitpid(process, 0)


def take_processes(count: int) -> int:
    started: list[int] = []
    try:
        for _ in range(count):
            started.append(start(lambda: time.sleep(60)))  # noqa: PERF401 - those before the error count too
    except OSError:
        pass
    end(started)
    return len(started)


def spin() -> None:
    while True:
        pass


def take_cores(count: int) -> str:
    began = time.monotonic()
    busy = [start(spin) for _ in range(count)]
    time.sleep(1)
    # On a machine with much other work they get little in any case, so only the kernel's own word tells.
    while held_back() == "free" and time.monotonic() < began + 5:
        time.sleep(0.2)
    end(busy)
    return f"{children_seconds() / (time.monotonic() - began):.2f} {held_back()}"


def keep_busy(count: int) -> str:
    """Where the limit is that of a group above, in which the kernel's own word is not to be seen."""
    before, began = children_seconds(), time.monotonic()
    busy = [start(spin) for _ in range(count)]
    time.sleep(4)
    end(busy)
    used = children_seconds() - before
    return f"{used / (time.monotonic() - began):.2f} cores, {used:.2f} s"


def children_seconds() -> float:
    used = os.times()
    return used.children_user + used.children_system


def held_back() -> str:
    """Whether the kernel has made this container wait because of its limit: `throttled`, `free` or `unknown`."""
    for path in ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat", "/sys/fs/cgroup/cpu,cpuacct/cpu.stat"):
        if os.path.exists(path):
            with open(path) as file:
                known = dict(line.split() for line in file)
            if "nr_throttled" in known:
                return "throttled" if int(known["nr_throttled"]) else "free"
    return "unknown"


def take_memory(mib: int) -> str:
    _, status = os.waitpid(start(lambda: bytearray(b"x") * (mib * MIB)), 0)
    return "killed" if os.WIFSIGNALED(status) else "all"


def fill(folder: str, mib: int) -> int:
    path, taken = os.path.join(folder, "fill"), 0
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while taken < mib:
            os.posix_fallocate(file, taken * MIB, 4 * MIB)
            taken += 4
    except OSError:
        pass
    os.close(file)
    os.unlink(path)
    return taken


def interfaces() -> str:
    """Those that are up. Where the kernel knows tunnels, each container has some that are down, and cannot be used."""
    up = []
    for name in sorted(os.listdir("/sys/class/net")):
        if os.path.isdir(f"/sys/class/net/{name}"):
            with open(f"/sys/class/net/{name}/flags") as file:
                up += [name] if int(file.read(), 16) & 1 else []
    return " ".join(up) or "nothing"


def privileges() -> str:
    with open("/proc/self/status") as file:
        known = dict(line.split(":", 1) for line in file if ":" in line)
    return f"{int(known['CapEff'], 16)} {known.get('NoNewPrivs', '?').strip()}"


ATTEMPTS: dict[str, Callable[[int], object]] = {
    "processes": take_processes,
    "CPU": take_cores,
    "busy": keep_busy,
    "memory": take_memory,
    "disk": lambda mib: fill("/", mib),
    "/tmp": lambda mib: fill("/tmp", mib),
    "network": lambda _: interfaces(),
    "privileges": lambda _: privileges(),
}

for word in sys.argv[1:]:
    name, _, amount = word.partition("=")
    print(name, ATTEMPTS[name](int(amount or 0)), flush=True)
