"""Records the whole of 3.1.4 in a real terminal of 80 columns, from `grader start` to full marks: docs/recording.svg.

Needs an engine, and the base images. Run it where the wording of `grader check` has changed:

    .venv/bin/python scripts/recording.py
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

OUT = Path(__file__).parents[1] / "docs/recording.svg"
COLUMNS = 80
TYPED = (
    "grader start 3.1.4",
    "cd 3.1.4",
    "grader check",
    "sed -i s/CMD/ENTRYPOINT/ Dockerfile",
    "grader check",
    "grader next",
)


def in_terminal(command: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command prints into a terminal; without its progress, which overwrites itself."""
    inside, outside = pty.openpty()
    program = re.sub(r"^grader ", f"{sys.executable} -m grader ", command)
    quiet = "2>/dev/null" if " check" in command else "2>&1"
    with subprocess.Popen(
        ["/bin/sh", "-c", f"{program} {quiet}"], cwd=folder, env=environment, stdout=outside
    ) as process:
        os.close(outside)
        printed = b""
        while chunk := _read(inside):
            printed += chunk
        process.wait()
    os.close(inside)
    return printed.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    """The next bytes; none when the program has ended, which Linux says by an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def main() -> None:
    """Type each command, and write the picture."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        environment = {
            **os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "XDG_STATE_HOME": str(folder / ".state"),
        }  # fmt: skip
        for command in TYPED:
            console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
            if command.startswith("cd "):
                folder /= command[3:]
            else:
                console.print(Text.from_ansi(in_terminal(command, folder, environment)))
    svg = console.export_svg(title="grader")
    OUT.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")  # fonts of another site


if __name__ == "__main__":
    main()
