"""Running the recipe that makes the root file system of a base image, and following what it says.

The recipe is `recipes/build.sh`. It runs as root, in a process and mount namespace of its own where the kernel grants
one, writes a tar to its standard output, and removes its working files itself: an ordinary user could not.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import re
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from grader.base_images import host as imagehost
from grader.course.models import BaseImage
from grader.errors import ImageUnavailable

HEARTBEAT_SECONDS = 2.0
"""How long a step may last without a word."""
BEAT_SECONDS = 0.5
"""How often what goes on is looked at, whether it says something or not."""

_RECIPES = Path(__file__).parent / "recipes"
_LIMIT_SECONDS = 1800.0
_LOG_LINES_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a file system is made, and who hears of it.

    `cache` is a folder for logs and working files, `environment` what the host's settings are looked up in, `say`
    takes a line for the reader, `check_stopped` is called at least twice a second and raises to stop the work.
    """

    cache: Path
    environment: Mapping[str, str]
    say: Callable[[str], None]
    check_stopped: Callable[[], None]


Make = Callable[[BaseImage, IO[bytes], Workplace], str]
"""Writes the root file system of a base image as a tar; returns the full version of its Python, such as `3.9.2`."""


def make_file_system(base: BaseImage, archive: IO[bytes], place: Workplace) -> str:
    """Make a root file system from Debian packages; the `Make` that is used outside of tests.

    Raises `ImageUnavailable` if this host lacks what it takes, if the recipe fails, or after half an hour.
    """
    administrator = imagehost.as_administrator(place.environment)
    imagehost.check_tools(place.environment)
    subject = f"Debian {base.release}"
    place.say(f"{subject}: building an image with Python {base.python} from packages, about a minute")
    host = imagehost.host_settings(place.environment)
    for note in host.notes:
        place.say(f"{subject}: {note}")
    with tempfile.TemporaryDirectory(dir=place.cache) as folder:
        imagehost.write_settings(host, Path(folder))
        variables = {
            **host.variables,
            "RELEASE": base.release,
            "PYTHON": base.python,
            "ROOT": str(place.cache.resolve() / f"root-{base.release}"),
            "HOST": folder,
        }
        # sudo would drop variables, so `env` sets them.
        settings = [f"{name}={value}" for name, value in variables.items()]
        command = [*administrator, "env", *settings, "sh", str(_RECIPES / "build.sh")]
        return _run(base.release, command, archive, place)


def digest() -> str:
    """Return 12 hexadecimal digits that change with any file of the recipe, and with what an image is told."""
    files = sorted(path for path in _RECIPES.iterdir() if path.is_file())
    lines = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    lines += [f"{name} {setting}" for name, setting in imagehost.INSTALLER_VARIABLES.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _run(release: str, command: Sequence[str], archive: IO[bytes], place: Workplace) -> str:
    """Run the recipe, its tar into `archive`; return the version of Python that it reports."""
    log_path = place.cache / f"{release}.log"
    recent: deque[str] = deque(maxlen=_LOG_LINES_SHOWN)
    progress = Progress(f"Debian {release}")
    deadline = time.monotonic() + _LIMIT_SECONDS
    version = ""
    with log_path.open("w", encoding="utf-8") as log, _running(command, archive) as process:
        for line in with_heartbeat(_lines_of(process.stderr), BEAT_SECONDS):
            place.check_stopped()
            if time.monotonic() > deadline:
                raise ImageUnavailable(f"Debian {release} was not built in {_LIMIT_SECONDS:g} s; see {log_path}.")
            if line is not None:
                log.write(line + "\n")
                recent.append(line)
                version = line.removeprefix("V: ") if line.startswith("V: ") else version
            if message := progress.read(line):
                place.say(message)
        status = process.wait()
    if status != 0 or not version:
        ending = "\n".join(f"    {line}" for line in recent)
        raise ImageUnavailable(
            f"The base image of Debian {release} could not be built from packages (exit code {status})."
            " If downloads failed, check the network and the variables http_proxy and https_proxy, and try again."
            f" The log is {log_path}; it ends:\n{ending}"
        )
    return version


@contextlib.contextmanager
def _running(command: Sequence[str], output: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a recipe at most until the block ends.

    Closing its standard input is the way to stop it: that also works through sudo, whose process an ordinary user
    cannot signal, and it happens by itself when this process is killed.
    """
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.wait()
        if process.stderr is not None:  # only now: the thread that reads it would hold up closing it
            process.stderr.close()


def _lines_of(stream: IO[bytes] | None) -> Iterator[str]:
    for line in stream or ():
        yield line.decode(errors="replace").rstrip()


# ── what is said meanwhile ────────────────────────────────────────────────────────────────

_STEP = re.compile(r"I: (?P<step>\S.*?)(?:\.\.\.)?$")
_PACKAGE_STEP = re.compile(r"I: (?P<verb>[A-Z][a-z]+) (?P<package>[a-z0-9][a-z0-9+.-]+?)(?::\w+)?(?:\.\.\.| \d\S*)$")
_PACKAGE_STEPS = {
    "Retrieving": "downloading packages",
    "Validating": "downloading packages",
    "Extracting": "unpacking packages",
    "Unpacking": "unpacking packages",
    "Configuring": "configuring packages",
}
"""What debootstrap says of each package, and what that is to a reader."""


class Progress:
    """Condenses the lines of something long: one a second where steps change, one every two seconds within a step."""

    def __init__(self, subject: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._subject = subject
        self._clock = clock
        self._step = ""
        self._detail = ""
        self._shown_step = ""
        self._shown = self._began = clock()

    def read(self, line: str | None) -> str:
        """Take in a line, or None for silence; return what to say now, or an empty string."""
        step, detail = (self._step, self._detail) if line is None else _step_of(line, self._step)
        self._step, self._detail = step, detail
        now = self._clock()
        if now - self._shown < (HEARTBEAT_SECONDS if step == self._shown_step else HEARTBEAT_SECONDS / 2):
            return ""
        self._shown, self._shown_step = now, step
        return ": ".join(part for part in (self._subject, step, detail) if part) + f" ({now - self._began:.0f} s)"


def _step_of(line: str, step: str) -> tuple[str, str]:
    """Return the step that a line belongs to, which is that of the line before unless it says so, and a detail."""
    if (package := _PACKAGE_STEP.match(line)) and package["verb"] in _PACKAGE_STEPS:
        return _PACKAGE_STEPS[package["verb"]], package["package"]
    if named := _STEP.match(line):
        return named["step"][0].lower() + named["step"][1:], ""
    return step, ""


def with_heartbeat(lines: Iterable[str], seconds: float) -> Iterator[str | None]:
    """Yield the lines as they come, and None after each `seconds` without one.

    They are read in a thread of its own, left alone when the caller stops early. What it raises is raised here.
    """
    arrived: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()

    def read() -> None:
        try:
            for line in lines:
                arrived.put(line)
        except BaseException as problem:  # noqa: BLE001 - whatever it is, it belongs to the thread that asked
            arrived.put(problem)
        else:
            arrived.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            item = arrived.get(timeout=seconds)
        except queue.Empty:
            yield None
            continue
        if item is None:
            return
        if isinstance(item, BaseException):
            raise item
        yield item
