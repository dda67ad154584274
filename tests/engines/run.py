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
from pathlib import Path

from grader.base_images.host import host_settings
from grader.engine.docker_engine import DockerEngine, connect
from grader.errors import EngineError
from grader.sandbox.engine_image import image_name

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build" / "engines"
BASES = (
    *("python:3.9", "python:3.9-slim", "python:3.11", "python:3.11-slim"),
    *("grader-base:bullseye", "grader-base:bookworm"),
)
UP_SECONDS = 60
ENGINES = {
    "docker-20.10": ("bookworm", "docker", "overlay2"),
    "docker-26.1": ("trixie", "docker", "overlay2"),
    "docker-28.5": ("forky", "docker", "overlay2"),
    "docker-28.5-containerd": ("forky", "docker", "containerd"),
    "podman-4.3": ("bookworm", "podman", ""),
    "podman-5.4": ("trixie", "podman", ""),
}
"""By name: the Debian release that the engine is of, the program, and where that keeps images."""
FLAGS = (
    *("--init", "--tmpfs", "/run:exec,mode=755"),
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "MKNOD"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--device-cgroup-rule", "c 10:* rwm", "--device-cgroup-rule", "b 7:* rwm"),
)
"""As in `grader.sandbox.nested_engine`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engines", nargs="*", help=f"which ones: {', '.join(ENGINES)} (all)")
    parser.add_argument("--exercise", action="append", default=[], help="only these exercises")
    parser.add_argument("--jobs", default="2")
    chosen = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    table = ["| engine | builder | limits that hold | doctor | selftest |", "|---|---|---|---|---|"]
    for name in chosen.engines or ENGINES:
        print(f"==> {name}", flush=True)
        row: tuple[str, ...] = ()
        try:
            with started(*ENGINES[name]) as engine:
                row = tried(name, engine, chosen.exercise, chosen.jobs)
        except (EngineError, subprocess.CalledProcessError) as problem:  # at its end, it is removed in any case
            row = row or (name, "", "", f"did not start: {problem}", "")
        table.append(f"| {' | '.join(row)} |")
        print("   ", table[-1], flush=True)
    (OUT / "table.md").write_text("\n".join([*table, ""]))
    print("\n".join(table))


def docker(*words: str) -> str:
    """Run the docker command on this machine's engine; what it printed."""
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}  # the command's BuildKit is a package of its own
    done = subprocess.run(["docker", *words], check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return done.stdout.strip()


@contextlib.contextmanager
def started(release: str, program: str, store: str) -> Iterator[DockerEngine]:
    """The engine with the course's base images in it; it is removed at the end with all that is in it.

    The image of a release takes two minutes to build where it is not in the builder's cache.
    """
    image, packages = f"grader-test-engine:{release}", "docker.io podman catatonit nftables"
    mirror = host_settings(os.environ).variables["MIRROR"]
    arguments = (f"RELEASE={release}", f"PACKAGES={packages}", f"MIRROR={mirror}")
    flags = [word for argument in arguments for word in ("--build-arg", argument)]
    docker("build", "--quiet", "--tag", image, *flags, str(Path(__file__).parent))
    new = docker("info", "--format", "{{.CgroupVersion}}") == "2"
    groups = ("--cgroupns", "private") if new else ("--cgroupns", "host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup")
    with tempfile.TemporaryDirectory(prefix="grader-engine-") as folder:
        data = f"/var/lib/{'docker' if program == 'docker' else 'containers'}"
        mounts = ("--volume", data, "--volume", "/var/lib/containerd", "--volume", f"{folder}:/socket")
        machine = docker("run", "--detach", *FLAGS, *groups, *mounts, image, program, store)
        try:
            with connect() as host, up(f"unix://{folder}/engine.sock", machine) as engine:
                for name in (*BASES, image_name()):  # what makes private engines would take minutes to build in each
                    if host.image_labels(name) is not None:
                        engine.copy_image(host.connection, name)
                yield engine
        finally:
            docker("rm", "--force", "--volumes", machine)


def up(endpoint: str, machine: str) -> DockerEngine:
    """Connect as soon as it answers. `EngineError` with the end of its log if it does not."""
    until = time.monotonic() + UP_SECONDS
    while True:
        try:
            return connect(endpoint=endpoint)
        except EngineError as problem:
            if time.monotonic() > until or docker("inspect", "--format", "{{.State.Running}}", machine) != "true":
                command = ["docker", "logs", "--tail", "5", machine]
                log = subprocess.run(command, check=True, capture_output=True, text=True)
                raise EngineError(f"{problem} {log.stdout}{log.stderr}") from problem
            time.sleep(0.2)


def tried(name: str, engine: DockerEngine, exercises: Sequence[str], jobs: str) -> tuple[str, ...]:
    """A row of the table."""
    facts = engine.facts()
    environment = {**os.environ, "DOCKER_HOST": facts.endpoint, "XDG_CACHE_HOME": str(OUT / "cache" / name)}

    def grader(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "grader", *words], env=environment, cwd=ROOT, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        (OUT / f"{name}.{words[0]}.txt").write_text(f"{done.stdout}\nexit code {done.returncode}\n")
        return done.stdout

    doctor = grader("doctor")
    only = [word for exercise in exercises for word in ("--exercise", exercise)]
    selftest = grader("selftest", "--selection", *only, "--seed", "20240229", "--jobs", jobs)
    failing = re.findall(r"^ *FAILS +([^:]+):", doctor, re.MULTILINE)
    limits = re.findall(r"^ *ok +((?:run|build|script) [^:]+):", doctor, re.MULTILINE)
    return (
        f"{name} ({facts.version}, API {facts.api_version}, {facts.storage_driver})",
        engine.info().builder,
        str(len(limits)),
        f"fails: {', '.join(failing)}" if failing else "fit",
        next((line.strip() for line in selftest.splitlines() if line.startswith("Right solutions")), "broke off"),
    )


if __name__ == "__main__":
    main()
