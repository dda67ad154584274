"""The proxy as a program: `python3 -m grader.sandbox.proxy SETTINGS.json`, until it is sent SIGTERM."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from grader.sandbox.proxy.server import running
from grader.sandbox.proxy.settings import ProxySettings


def main() -> None:
    """Serve by the settings in the file that the first argument names; say `listening` once scripts can connect."""
    settings = ProxySettings.from_json(Path(sys.argv[1]).read_bytes())
    signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT}
    )  # before there are threads, which inherit it
    with running(settings):
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
