"""`make test-engines`: what holds on which container engine, tried on nested ones of three Debian releases.

For each engine: the builder that is found, `grader doctor`, and the selftest's selection. What was printed is written
below build/engines; the table at the end belongs into docs/engines.md. Images (`grader-test-engine:RELEASE`) are built
by the first run and kept; containers, volumes and sockets are removed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grader.base_images.host import host_settings
from grader.engine.docker_engine import DockerEngine, connect
from grader.errors import EngineError
from grader.sandbox.engine_image import image_name

ROOT = Path(__file__).parents[2]
IMAGE = "grader-test-engine"
BASES = (
    "python:3.9",
    "python:3.9-slim",
    "python:3.11",
    "python:3.11-slim",
    "grader-base:bullseye",
    "grader-base:bookworm",
)
_UP_SECONDS = 60


@dataclass(frozen=True)
class Nested:
    """One engine: how it is called, the Debian release it is of, the program, and where that keeps images."""

    name: str
    release: str
    program: str = "docker"
    store: str = "overlay2"


ENGINES = (
    Nested("docker-20.10", "bookworm"),
    Nested("docker-26.1", "trixie"),
    Nested("docker-28.5", "forky"),
    Nested("docker-28.5-containerd", "forky", store="containerd"),
    Nested("podman-4.3", "bookworm", "podman"),
    Nested("podman-5.4", "trixie", "podman"),
)
FLAGS = (
    *("--init", "--tmpfs", "/run:exec,mode=755"),
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "MKNOD"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--device-cgroup-rule", "c 10:* rwm", "--device-cgroup-rule", "b 7:* rwm"),
)
"""As in `grader.sandbox.nested_engine`."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="*", help=f"which ones: {', '.join(one.name for one in ENGINES)} (all)")
    parser.add_argument("--exercise", action="append", default=[], help="only these exercises")
    parser.add_argument("--jobs", default="2")
    chosen = parser.parse_args()
    out = ROOT / "build" / "engines"
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for one in ENGINES:
        if chosen.engines and one.name not in chosen.engines:
            continue
        print(f"==> {one.name}", flush=True)
        began = time.monotonic()
        row: tuple[str, ...] = ()
        try:
            with started(one) as engine:
                row = tried(one, engine, out, chosen.exercise, chosen.jobs)
        except (EngineError, subprocess.CalledProcessError) as problem:  # at its end, it is removed in any case
            row = row or (one.name, "", "", f"did not start: {problem}", "")
        rows.append(row)
        print("   ", " | ".join(row), f"({time.monotonic() - began:.0f} s)", flush=True)
    table = ["| engine | builder | limits that hold | doctor | selftest |", "|---|---|---|---|---|"]
    table += [f"| {' | '.join(row)} |" for row in rows]
    (out / "table.md").write_text("\n".join([*table, ""]))
    print("\n".join(table))
    return 0


def docker(*words: str) -> str:
    """Run the docker command on this machine's engine; what it printed."""
    return subprocess.run(["docker", *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def build_machine(release: str) -> str:
    """The image with the engines of a Debian release; two minutes where it is not in the builder's cache."""
    name = f"{IMAGE}:{release}"
    known = {
        "RELEASE": release,
        "PACKAGES": "docker.io podman catatonit nftables",
        "MIRROR": host_settings(os.environ).variables["MIRROR"],
    }
    arguments = [word for pair in known.items() for word in ("--build-arg", "=".join(pair))]
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}  # the command's BuildKit is a package of its own
    folder = Path(__file__).parent
    subprocess.run(["docker", "build", "--quiet", "--tag", name, *arguments, str(folder)], env=environment, check=True)
    return name


@contextlib.contextmanager
def started(one: Nested) -> Iterator[DockerEngine]:
    """The engine with the course's base images in it; it is removed at the end with all that is in it."""
    image = build_machine(one.release)
    new = docker("info", "--format", "{{.CgroupVersion}}") == "2"
    groups = ("--cgroupns", "private") if new else ("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup")
    with tempfile.TemporaryDirectory(prefix="grader-engine-") as folder:
        data = f"/var/lib/{'docker' if one.program == 'docker' else 'containers'}"
        mounts = ("--volume", data, "--volume", "/var/lib/containerd", "--volume", f"{folder}:/socket")
        machine = docker("run", "--detach", *FLAGS, *groups, *mounts, image, one.program, one.store)
        try:
            endpoint = f"unix://{folder}/engine.sock"
            with connect() as host, up(endpoint, machine) as engine:
                for name in (*BASES, image_name()):  # what makes private engines would take minutes to build in each
                    if host.image_labels(name) is not None:
                        engine.copy_image(host.connection, name)
                yield engine
        finally:
            docker("rm", "--force", "--volumes", machine)


def up(endpoint: str, machine: str) -> DockerEngine:
    """Connect as soon as it answers. `EngineError` with the end of its log if it does not."""
    until = time.monotonic() + _UP_SECONDS
    while True:
        try:
            return connect(endpoint=endpoint)
        except EngineError as problem:
            if time.monotonic() > until or docker("inspect", "--format", "{{.State.Running}}", machine) != "true":
                log = subprocess.run(
                    ["docker", "logs", "--tail", "5", machine], check=True, capture_output=True, text=True
                )
                raise EngineError(f"{problem} {log.stdout}{log.stderr}") from problem
            time.sleep(0.2)


def tried(one: Nested, engine: DockerEngine, out: Path, exercises: Sequence[str], jobs: str) -> tuple[str, ...]:
    """A row of the table."""
    facts = engine.facts()
    endpoint = facts.endpoint
    environment = {**os.environ, "DOCKER_HOST": endpoint, "XDG_CACHE_HOME": str(out / "cache" / one.name)}

    def grader(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "grader", *words], env=environment, cwd=ROOT, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        (out / f"{one.name}.{words[0]}.txt").write_text(f"{done.stdout}\nexit code {done.returncode}\n")
        return done.stdout

    doctor = grader("doctor")
    only = [word for name in exercises for word in ("--exercise", name)]
    selftest = grader("selftest", "--selection", *only, "--seed", "20240229", "--jobs", jobs)
    failing = re.findall(r"^ *FAILS +([^:]+):", doctor, re.MULTILINE)
    limits = re.findall(r"^ *ok +((?:run|build|script) [^:]+):", doctor, re.MULTILINE)
    return (
        f"{one.name} ({facts.version}, API {facts.api_version}, {facts.storage_driver})",
        engine.info().builder,
        str(len(limits)),
        f"fails: {', '.join(failing)}" if failing else "fit",
        next((line.strip() for line in selftest.splitlines() if line.startswith("Right solutions")), "broke off"),
    )


if __name__ == "__main__":
    sys.exit(main())
