"""Install pip from the wheels beside this file. Stands for the module of the same name, which Debian disables."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

WHEELS = Path(__file__).parent / "_bundled"
# What a new virtual environment gets: `wheel` comes with the image and not with environments, as upstream.
PROJECTS = [name for name in ("setuptools", "pip") if list(WHEELS.glob(f"{name}-*.whl"))]


def version() -> str:
    """Return the version of the bundled pip."""
    return next(WHEELS.glob("pip-*.whl")).name.split("-")[1]


def bootstrap(
    *,
    root: "str | None" = None,
    upgrade: bool = False,
    user: bool = False,
    altinstall: bool = False,
    default_pip: bool = False,
    verbosity: int = 0,
) -> None:
    """Install pip into the running Python; raises `subprocess.CalledProcessError` when pip fails."""
    if altinstall and default_pip:
        raise ValueError("Cannot use altinstall and default_pip together")
    options = ["--root", root] if root else []
    options += ["--upgrade"] * upgrade + ["--user"] * user + ["-v"] * verbosity
    # pip reads this to decide which of pip, pip3 and pip3.x it makes; its other settings must not interfere.
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    settings.update(PIP_CONFIG_FILE=os.devnull, PYTHONPATH=str(next(WHEELS.glob("pip-*.whl"))))
    if not default_pip:
        settings["ENSUREPIP_OPTIONS"] = "altinstall" if altinstall else "install"
    command = [sys.executable, "-m", "pip", "install", "--no-cache-dir", "--no-index", "--find-links", str(WHEELS)]
    subprocess.run([*command, *options, *PROJECTS], check=True, env=settings)


def main() -> None:
    """Run `python -m ensurepip` with the options of the module this one stands for."""
    parser = argparse.ArgumentParser(prog="python -m ensurepip")
    parser.add_argument("--version", action="version", version=f"pip {version()}")
    parser.add_argument("-v", "--verbose", action="count", default=0, dest="verbosity")
    parser.add_argument("-U", "--upgrade", action="store_true")
    parser.add_argument("--user", action="store_true")
    parser.add_argument("--root")
    parser.add_argument("--altinstall", action="store_true")
    parser.add_argument("--default-pip", action="store_true")
    bootstrap(**vars(parser.parse_args()))
