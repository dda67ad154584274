"""Further runs of an image without a container each: its command is executed in one that only waits.

An exec costs a fifth to a third of a run. It may only confirm what a run has shown, so it is kept from showing more,
and what it does in another way than a run is not taken: nothing but a plain exit code counts.

- The root file system is read-only, so no case finds a file of another. What has to write fails, and is run instead.
- Nothing that a case started may be left when it has ended, else the container goes and nothing more is executed in it.
- What waits as process 1 is a program of ours, mounted read-only: it does not depend on the image, which cannot
  replace it. The command, its user, directory, variables, capabilities and limits are those of a run.
- Images with volumes of their own are run, since volumes can be written to.

What no file system holds (System V memory, message queues, and /dev as root) stays between two cases. It helps nobody,
since each case has an answer of its own.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

from grader.engine.files import unreadable_users
from grader.engine.http import Connection, close_hijacked
from grader.engine.run import ContainerRun, container_settings, read_output, remove_container
from grader.engine.watchdog import Cancellation
from grader.errors import EngineError
from grader.models import Exited, MemoryFile, RunOutcome

WAITS_AT = "/grader-waits"
_SECONDS = 10.0
"""How long an exec may take; what takes longer is run, with all the time that a run has."""
_NOT_ITS_OWN = 126
"""From here on, an exit code may be that of a shell, of the engine, or of a signal."""
_NEWS_SECONDS = 2.0
"""How long the engine may take, after the output's end, to say how an exec has ended."""
_PAUSE = 0.005
_FRAME = 8 + 1
"""Bytes of an answer: the engine's header of a frame, and what was written."""


def waiting_program(architecture: str) -> MemoryFile | None:
    """A static program, as ELF of 64 bits; None for an architecture that it is not written for.

    It answers each byte that it reads: with the same if it is alone in its PID namespace, else with the lowest bit
    changed. It ends when there is nothing more to read, so also when the grader dies. No process of the container may
    look into it (`PR_SET_DUMPABLE`), and so read or answer in its place.
    """
    machine, code = _CODE.get(architecture, (0, ""))
    if not code:
        return None
    start, headers, instructions = 0x400000, 64 + 56, bytes.fromhex(code)
    size = headers + len(instructions)
    sizes = (64, 0, 0, 64, 56, 1, 0, 0, 0)
    elf = struct.pack("<4s5B7x2HI3QI6H", b"\x7fELF", 2, 1, 1, 0, 0, 2, machine, 1, start + headers, *sizes)
    segment = struct.pack("<2I6Q", 1, 5, 0, start, start, size, size, 0x10000)
    return MemoryFile(WAITS_AT, elf + segment + instructions, 0o555)


_CODE = {
    "x86_64": (
        62,
        (
            "bf04000000 31f6 b89d000000 0f05"  # mov edi, 4; xor esi, esi; mov eax, 157; syscall: prctl(4, 0)
            "31c0 31ff 4889e6 ba01000000 0f05"  # xor eax, eax; xor edi, edi; mov rsi, rsp; mov edx, 1; syscall: read
            "83f801 752d"  # cmp eax, 1; jne to the end
            "bfffffffff 31f6 b83e000000 0f05"  # mov edi, -1; xor esi, esi; mov eax, 62; syscall: kill(-1, 0)
            "83f8fd 0f95c0 300424"  # cmp eax, -3; setne al; xor [rsp], al: no such process?
            "b801000000 bf01000000 4889e6 ba01000000 0f05"  # mov eax, 1; mov edi, 1; mov rsi, rsp; …: write
            "ebc0"  # jmp to read
            "b83c000000 31ff 0f05"  # mov eax, 60; xor edi, edi; syscall: exit(0)
        ),
    ),
    "aarch64": (
        183,
        (
            "800080d2 010080d2 e81480d2 010000d4"  # mov x0, 4; mov x1, 0; mov x8, 167; svc 0: prctl(4, 0)
            "000080d2 e1030091 220080d2 e80780d2 010000d4"  # mov x0, 0; mov x1, sp; mov x2, 1; mov x8, 63; svc 0: read
            "1f0400f1 01020054"  # cmp x0, 1; b.ne to the end
            "00008012 01008052 281080d2 010000d4"  # mov w0, -1; mov w1, 0; mov x8, 129; svc 0: kill(-1, 0)
            "1f0c00b1 e3079f1a"  # cmn x0, 3; cset w3, ne: no such process?
            "e4034039 8400034a e4030039"  # ldrb w4, [sp]; eor w4, w4, w3; strb w4, [sp]
            "200080d2 e1030091 220080d2 080880d2 010000d4"  # mov x0, 1; mov x1, sp; mov x2, 1; mov x8, 64; svc 0: write
            "ebffff17"  # b to read
            "000080d2 a80b80d2 010000d4"  # mov x0, 0; mov x8, 93; svc 0: exit(0)
        ),
    ),
}
"""Number of the machine in ELF, and instructions. System calls: https://man7.org/linux/man-pages/man2/syscall.2.html,
and of `kill` with -1, which leaves out process 1 and the caller, https://man7.org/linux/man-pages/man2/kill.2.html."""


class Holder:
    """A container of one image that waits, for one exec at a time. It starts with the first one."""

    def __init__(self, connection: Connection, run: ContainerRun) -> None:
        self._connection = connection
        self._run = run
        self._container = ""
        self._line: socket.socket | None = None
        self._usable = True
        self._lock = threading.Lock()

    def execute(
        self, command: Sequence[str], environment: Sequence[tuple[str, str]], cancellation: Cancellation
    ) -> RunOutcome | None:
        """What it does here; None where it may do something else in a run. Raises `Cancelled` after `cancel`."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            outcome = self._execute(command, environment, cancellation) if self._usable else None
        except EngineError:  # if it is the engine that is at fault, the run that follows says so
            outcome = None
        finally:
            self._lock.release()
        if outcome is None:
            self.close()
        return outcome

    def close(self) -> None:
        """Remove the container, and use no other one."""
        self._usable = False
        if self._line:
            close_hijacked(self._line)
            self._line = None
        with contextlib.suppress(EngineError):  # it has our labels, and goes with those at the latest
            if self._container:
                remove_container(self._connection, self._container)

    def _execute(
        self, command: Sequence[str], environment: Sequence[tuple[str, str]], cancellation: Cancellation
    ) -> RunOutcome | None:
        if not self._container:
            self._start(cancellation)
        outcome = self._exec(command, environment, cancellation)
        return outcome if outcome and self._is_alone() else None

    def _exec(
        self, command: Sequence[str], environment: Sequence[tuple[str, str]], cancellation: Cancellation
    ) -> RunOutcome | None:
        """One exec to its end; None where that is nothing but a plain exit code."""
        variables = [f"{name}={value}" for name, value in environment]
        body = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(command), "Env": variables}
        made = self._connection.call("POST", f"/containers/{self._container}/exec", json=body)
        one = f"/exec/{made.json['Id']}"
        limits = self._run.limits
        seconds = min(limits.run_seconds, _SECONDS)
        began = time.monotonic()
        output = self._connection.stream("POST", f"{one}/start", json={}, silence=seconds + _NEWS_SECONDS)
        with contextlib.closing(output), cancellation.watch(output.abort) as watchdog:
            watchdog.start(seconds)
            stdout, stderr = read_output(output, limits.output_kb * 1024, watchdog)
        ended = time.monotonic()
        while (state := self._connection.call("GET", f"{one}/json").json)["Running"]:
            if watchdog.reason or time.monotonic() > ended + _NEWS_SECONDS:
                return None
            time.sleep(_PAUSE)
        code = state["ExitCode"]
        taken = code is not None and code < _NOT_ITS_OWN and not watchdog.reason
        return RunOutcome(Exited(code), stdout, stderr, ended - began) if taken else None

    def _start(self, cancellation: Cancellation) -> None:
        cancellation.check()
        created = self._connection.call(
            "POST", "/containers/create", parameters={"name": self._run.name}, json=holder_settings(self._run)
        )
        self._container = str(created.json["Id"])
        if not self._run.users_are_known and unreadable_users(self._connection, self._container):
            raise EngineError(f"The users of {self._run.image} cannot be read.")
        attached = {"stream": 1, "stdin": 1, "stdout": 1}
        self._line = self._connection.hijack(f"/containers/{self._container}/attach", None, attached)
        self._line.settimeout(_SECONDS)
        self._connection.call("POST", f"/containers/{self._container}/start")

    def _is_alone(self) -> bool:
        """Whether what waits is the only process of the container, by its own word."""
        asked, answer = secrets.token_bytes(1), b""
        if self._line is None:
            return False
        with contextlib.suppress(OSError):
            self._line.sendall(asked)
            while len(answer) < _FRAME and (piece := self._line.recv(_FRAME - len(answer))):
                answer += piece
        return len(answer) == _FRAME and answer[-1:] == asked


def holder_settings(run: ContainerRun) -> dict[str, Any]:
    """The settings of a run, with nothing that could be written to. Pure."""
    settings = container_settings(run) | {"OpenStdin": True, "StdinOnce": True}
    host = settings["HostConfig"]
    memory = {"Type": "tmpfs", "Target": "/dev/shm", "ReadOnly": True}
    return settings | {"HostConfig": host | {"ReadonlyRootfs": True, "Tmpfs": {}, "Mounts": [*host["Mounts"], memory]}}
