"""Takes more than it may: `python3 resource_hogs.py memory=256 processes=100 /tmp=100 CPU=8 network privileges`.

No module of ours: `grader.limits.probes` sends it into containers of base images, where any Python from 3.7 on runs it.
For each word it prints a line: the word's name and what it got. Memory, `/tmp` and `disk` are in MiB, `CPU` in busy
processes; it gives back what it got before the next word.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Callable

MIB = 2**20


def start(child: Callable[[], object]) -> int:
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


def share(got: int, wanted: int) -> str:
    return f"got all {wanted}" if got >= wanted else f"stopped at {got}"


def take_memory(mib: int) -> str:
    _, status = os.waitpid(start(lambda: bytearray(b"x") * (mib * MIB)), 0)
    return "killed" if os.WIFSIGNALED(status) else f"got all {mib}"


def take_processes(count: int) -> str:
    started: list[int] = []
    try:
        while len(started) < count:
            started.append(start(lambda: time.sleep(60)))
    except OSError:
        pass
    end(started)
    return share(len(started), count)


def fill(folder: str, mib: int) -> str:
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
    return share(taken, mib)


def spin() -> None:
    while True:
        pass


def take_cores(count: int) -> str:
    before, began = os.times(), time.monotonic()
    busy = [start(spin) for _ in range(count)]
    time.sleep(4)
    end(busy)
    after, seconds = os.times(), time.monotonic() - began
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return f"{used:.2f} s in {seconds:.2f} s, throttled: {throttled()}"


def throttled() -> str:
    """Whether the kernel has made this container wait because of its limit: `yes`, `never` or `unknown`."""
    for path in ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat", "/sys/fs/cgroup/cpu,cpuacct/cpu.stat"):
        if os.path.exists(path):
            with open(path) as file:
                counts = dict(line.split() for line in file)
            if "nr_throttled" in counts:
                return "yes" if int(counts["nr_throttled"]) else "never"
    return "unknown"


def interfaces(_: int) -> str:
    """Those that are up. Where the kernel knows tunnels, each container has some that are down, and cannot be used."""
    up = []
    for name in sorted(os.listdir("/sys/class/net")):
        if os.path.isdir(f"/sys/class/net/{name}"):
            with open(f"/sys/class/net/{name}/flags") as file:
                up += [name] if int(file.read(), 16) & 1 else []
    return " ".join(up) or "none"


def privileges(_: int) -> str:
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file if ":" in line)
    return f"{int(status['CapBnd'], 16):#x}, no new ones: {status.get('NoNewPrivs', '?').strip()}"


ATTEMPTS: dict[str, Callable[[int], str]] = {
    "memory": take_memory,
    "processes": take_processes,
    "/tmp": lambda mib: fill("/tmp", mib),
    "disk": lambda mib: fill(os.getcwd(), mib),
    "CPU": take_cores,
    "network": interfaces,
    "privileges": privileges,
}

for word in sys.argv[1:]:
    name, _, amount = word.partition("=")
    print(name, ATTEMPTS[name](int(amount or 0)), flush=True)
