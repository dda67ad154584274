"""Base images: what students know of the official Python images holds, and building one leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import pytest

from grader.base_images.debootstrap import make_file_system
from grader.base_images.host import KEYRING
from grader.course.models import BaseImage, Limits
from grader.engine.docker_engine import DockerEngine
from grader.models import BuildFailed, Built, Exited, RunRequest
from tests.engine.contexts import Build, ignore, make_job

pytestmark = [pytest.mark.engine, pytest.mark.slow]

VERSIONS = ("3.9", "3.11")
LIMITS = Limits(build_seconds=280, run_seconds=30, memory_mb=256)

# Each is a stage of one Dockerfile, so that they are built side by side, on `base` or on what `made` has put together.
# `tabulate` is a small package with a command of its own.
IDIOMS = """
FROM python:VERSION AS full
RUN pip install tabulate
FROM python:VERSION-slim AS made
RUN pip install --prefix=/install tabulate && pip install --user tabulate && pip wheel --wheel-dir /wheels tabulate
RUN pip install --target=/packages tabulate && python -m venv /venv && /venv/bin/pip install tabulate

FROM python:VERSION-slim AS site-packages
COPY --from=full /usr/local/lib/pythonVERSION/site-packages /usr/local/lib/pythonVERSION/site-packages
RUN python -c 'import tabulate' && pip --version && pip list | grep tabulate
FROM python:VERSION-slim AS prefix
COPY --from=made /install /usr/local
RUN python -c 'import tabulate' && tabulate --help
FROM python:VERSION-slim AS user-installation
COPY --from=made /root/.local /root/.local
ENV PATH=/root/.local/bin:$PATH
RUN python -c 'import tabulate' && tabulate --help
FROM python:VERSION-slim AS virtual-environment
COPY --from=made /venv /venv
ENV PATH=/venv/bin:$PATH
RUN python -c 'import sys, tabulate; assert sys.prefix == "/venv"' && tabulate --help
FROM python:VERSION-slim AS target-folder
COPY --from=made /packages /packages
ENV PYTHONPATH=/packages
RUN python -c 'import tabulate'
FROM python:VERSION-slim AS wheels
COPY --from=made /wheels /wheels
RUN pip install --no-index --find-links=/wheels tabulate && tabulate --help

FROM python:VERSION-slim AS from-source
RUN pip install --no-binary tabulate tabulate && tabulate --help
FROM python:VERSION-slim AS ordinary-user
RUN useradd --create-home student
USER student
RUN pip install tabulate && python -c 'import tabulate; assert "/home/student/.local/" in tabulate.__file__'
FROM python:VERSION-slim AS cache-mounted
RUN --mount=type=cache,target=/root/.cache/pip pip install tabulate && tabulate --help
FROM python:VERSION-slim AS pip-upgraded
RUN pip install --upgrade pip && pip install tabulate && tabulate --help
FROM python:VERSION-slim AS ensurepip
RUN pip uninstall --yes pip && python -m ensurepip && pip3 --version
FROM python:VERSION-slim AS system-package
RUN apt-get update && apt-get install -y --no-install-recommends hello && rm -rf /var/lib/apt/lists/* && hello
RUN python -c 'import sys; assert sys.prefix == "/usr/local"' && pip --version
FROM python:VERSION-slim AS tools-of-every-image
RUN bash -c 'find /usr/local/bin -name python' && sha256sum /etc/os-release && update-ca-certificates

FROM scratch
"""

# Run by the image's own Python; each line of its output is compared.
LOOK = """
import importlib.util, os, shutil, sys, sysconfig
print(sys.executable, sys.prefix, sys.version.split()[0] == os.environ["PYTHON_VERSION"])
print(*(shutil.which(name) for name in ("python", "python3", "pip", "pip3")))
print(*(path for path in sys.path if "packages" in path), sysconfig.get_path("purelib"))
print(os.path.exists(sysconfig.get_path("stdlib") + "/EXTERNALLY-MANAGED"), os.environ["LANG"])
print(*(importlib.util.find_spec(name) for name in ("numpy", "pandas")), shutil.which("gcc"))
print(os.path.getsize("/etc/ssl/certs/ca-certificates.crt") > 100_000, os.listdir("/tmp"))
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_idioms_of_dockerfiles_work(engine: DockerEngine, version: str) -> None:
    stages = re.findall(r"AS (\S+)$", IDIOMS.partition("AS made")[2], re.MULTILINE)
    needed = "".join(f"COPY --from={stage} /etc/os-release /{stage}\n" for stage in stages)
    built = engine.build(make_job(IDIOMS.replace("VERSION", version) + needed), LIMITS, ignore)
    assert isinstance(built, Built), failing_step(built)


@pytest.mark.parametrize("version", VERSIONS)
def test_python_sits_where_the_official_images_have_it(engine: DockerEngine, version: str) -> None:
    built = engine.build(make_job(f"FROM python:{version}-slim\n"), LIMITS, ignore)
    assert isinstance(built, Built)
    seen = engine.run(built.image, RunRequest(args=("python", "-c", LOOK)), LIMITS)
    packages = f"/usr/local/lib/python{version}/site-packages"
    assert seen.ended == Exited(0), seen.stderr.decode()
    assert seen.stdout.decode().splitlines() == [
        "/usr/local/bin/python /usr/local True",
        "/usr/local/bin/python /usr/local/bin/python3 /usr/local/bin/pip /usr/local/bin/pip3",
        f"{packages} {packages}",
        "False C.UTF-8",
        "None None None",
        "True []",
    ]


def test_without_a_command_the_image_starts_python(build: Build) -> None:
    built = build("LABEL nothing=at-all\n")
    assert isinstance(built, Built)
    assert built.config.command == ("python3",)
    assert built.config.entrypoint is None


def failing_step(failed: BuildFailed) -> str:
    """The step that failed, with its log, for the report of a test."""
    return "\n".join([failed.message, *(f"{step.name}\n{step.log}" for step in failed.steps if step.error)])


# ── building from packages ──────────────────────────────────────────────────────────────

TRIXIE = BaseImage(names=("python:3.13",), python="3.13", release="trixie")
able_to_build = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("debootstrap") is None or not KEYRING.is_file(),
    reason="building base images needs root, debootstrap and debian-archive-keyring",
)


@able_to_build
@pytest.mark.long
def test_a_file_system_is_made_from_packages(tmp_path: Path) -> None:
    with tempfile.TemporaryFile() as archive:
        version, _ = make_file_system(TRIXIE, archive, tmp_path, os.environ, print)
        archive.seek(0)
        with tarfile.open(fileobj=archive) as tar:
            sizes = {member.name: member.size for member in tar}
    assert version.startswith("3.13.")
    assert {"./usr/local/bin/python3.13", "./usr/local/bin/pip", "./etc/pip.conf", "./etc/apt/sources.list"} <= set(
        sizes
    )
    assert sizes["./etc/resolv.conf"] == 0
    assert [
        name for name in sizes if name.startswith(("./tmp/", "./proc/", "./sys/", "./dev/", "./var/lib/apt/lists/deb"))
    ] == []
    assert [path.name for path in tmp_path.iterdir()] == ["trixie.log"]


@able_to_build
def test_an_interrupted_build_leaves_only_its_log(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        if "unpacking" in line:  # it works on single packages, so the file system is half made
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with tempfile.TemporaryFile() as archive, pytest.raises(KeyboardInterrupt):
        make_file_system(TRIXIE, archive, tmp_path, os.environ, interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["trixie.log"]
    assert working_in(tmp_path) == []


KILLED = """
import os, sys, tempfile
from pathlib import Path
from grader.base_images.debootstrap import make_file_system
from grader.course.models import BaseImage
base = BaseImage(names=("python:3.13",), python="3.13", release="trixie")
with tempfile.TemporaryFile() as archive:
    make_file_system(base, archive, Path(sys.argv[1]), os.environ, lambda line: print(line, flush=True))
"""


@able_to_build
def test_a_build_ends_with_the_grader_that_was_killed(tmp_path: Path) -> None:
    grader = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    with grader:
        assert grader.stdout is not None
        assert any("unpacking" in line for line in grader.stdout)
        assert (tmp_path / "root-trixie").is_dir()
        grader.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while (working_in(tmp_path) or (tmp_path / "root-trixie").exists()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert working_in(tmp_path) == []
    assert not (tmp_path / "root-trixie").exists()


def working_in(folder: Path) -> list[str]:
    """The processes whose environment names the folder that a build works in."""
    wanted = f"ROOT={folder}/root-trixie".encode()
    return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if wanted in environment_of(path)]


def environment_of(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:  # the process has ended, or is ending
        return []
