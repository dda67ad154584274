"""Running the recipe that makes the root file system of a base image, and following what it says.

The recipe is `recipes/build.sh`. It runs as root, in a process and mount namespace of its own where the kernel grants
one, writes a tar to its standard output, and removes its working files itself: an ordinary user could not. It stops
when its standard input is closed. That also works through sudo, whose process an ordinary user cannot signal, and
happens by itself when the grader is killed.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from grader.base_images import host
from grader.course.models import BaseImage
from grader.errors import ImageUnavailable

_RECIPES = Path(__file__).parent / "recipes"
_LIMIT_SECONDS = 1800.0
_LOG_LINES_SHOWN = 8
_SPEAKS_EVERY = 2.0
"""Seconds between two lines about the same thing."""

Say = Callable[[str], None]
"""Takes a line for the reader; called from one thread at a time."""
Make = Callable[[BaseImage, IO[bytes], Path, Mapping[str, str], Say], tuple[str, Mapping[str, str]]]
"""Writes the root file system of a base image as a tar.

Returns the full version of its Python, such as `3.9.2`, and the variables of the image. The folder is for logs and
working files; the mapping is what the host's settings are looked up in.
"""


def make_file_system(
    base: BaseImage, archive: IO[bytes], cache: Path, environment: Mapping[str, str], say: Say
) -> tuple[str, Mapping[str, str]]:
    """Make a root file system from Debian packages; the `Make` that is used outside of tests.

    Raises `ImageUnavailable` if this host lacks what it takes, if the recipe fails, or after half an hour.
    """
    administrator = host.as_administrator(environment)
    host.check_tools(environment)
    say(f"Debian {base.release}: building an image with Python {base.python} from packages, about a minute")
    settings = host.host_settings(environment)
    for note in settings.notes:
        say(f"Debian {base.release}: {note}")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        Path(folder, "pip.conf").write_text(settings.pip, encoding="utf-8")
        Path(folder, "certificates.pem").write_text(settings.certificates, encoding="ascii")
        variables = {
            **settings.variables,
            "RELEASE": base.release,
            "PYTHON": base.python,
            "ROOT": str(cache.resolve() / f"root-{base.release}"),
            "HOST": folder,
        }
        # sudo would drop variables, so `env` sets them.
        pairs = [f"{name}={value}" for name, value in variables.items()]
        command = [*administrator, "env", *pairs, "sh", str(_RECIPES / "build.sh")]
        version = _run(base.release, command, archive, cache / f"{base.release}.log", say)
    return version, settings.installers


def digest() -> str:
    """Return 12 hexadecimal digits that change with any file of the recipe, and with what an image is told."""
    files = sorted(path for path in _RECIPES.iterdir() if path.is_file())
    lines = [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files]
    lines += [f"{name} {setting}" for name, setting in host.INSTALLER_VARIABLES.items()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _run(release: str, command: Sequence[str], archive: IO[bytes], log_path: Path, say: Say) -> str:
    """Run the recipe, its tar into `archive`; return the version of Python that it reports."""
    recent: deque[str] = deque(maxlen=_LOG_LINES_SHOWN)
    version = ""
    with (
        log_path.open("w", encoding="utf-8") as log,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=archive, stderr=subprocess.PIPE) as process,
    ):
        assert process.stdin  # noqa: S101 - both are pipes
        assert process.stderr  # noqa: S101
        limit = threading.Timer(_LIMIT_SECONDS, process.stdin.close)
        limit.start()
        try:
            with Progress(say, f"Debian {release}") as progress:
                for raw in process.stderr:
                    line = raw.decode(errors="replace").rstrip()
                    log.write(line + "\n")
                    recent.append(line)
                    progress.read(line)
                    version = line.removeprefix("V: ") if line.startswith("V: ") else version
        finally:
            limit.cancel()
            process.stdin.close()
            status = process.wait()
    if status != 0 or not version:
        ending = "\n".join(f"    {line}" for line in recent)
        raise ImageUnavailable(
            f"The base image of Debian {release} could not be built from packages (exit code {status})."
            " If downloads failed, check the network and the variables http_proxy and https_proxy, and try again."
            f" The log is {log_path}; it ends:\n{ending}"
        )
    return version


_STEP = re.compile(r"I: (\S.*?)(?:\.\.\.)?$")


class Progress:
    """Says every two seconds what goes on, from a thread of its own, from the start of a `with` block to its end."""

    def __init__(self, say: Say, subject: str) -> None:
        self._say = say
        self._subject = subject
        self._doing = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def read(self, line: str) -> None:
        """Take in a line of the recipe; one that names no step belongs to the step before."""
        if named := _STEP.match(line):
            self._doing = f": {named[1][0].lower()}{named[1][1:]}"

    def _speak(self) -> None:
        began = time.monotonic()
        while not self._over.wait(_SPEAKS_EVERY):
            self._say(f"{self._subject}{self._doing} ({time.monotonic() - began:.0f} s)")
