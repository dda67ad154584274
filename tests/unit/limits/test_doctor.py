"""For what is wrong with a machine: the sentence that says it, and the command that mends it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grader.cli.machine import machine_facts
from grader.cli.main import run
from grader.engine.docker_engine import EngineFacts
from grader.limits.doctor import MachineFacts, engine_findings, no_engine, packages

LINUX = MachineFacts(problem="refused")
MAC = MachineFacts(system="Darwin", systemd=False, apt=False, problem="missing", chosen_by="desktop-linux")
BARE: dict[str, Any] = {"docker": False, "dockerd": False, "problem": "missing"}
OTHER = {"default": "unix:///var/run/docker.sock"}
AWAY: dict[str, Any] = {"endpoint": "tcp://10.0.0.7:2375", "chosen_by": "DOCKER_HOST"}


@pytest.mark.parametrize(
    ("machine", "seen", "mend"),
    [
        (replace(LINUX, **BARE), "Docker is not installed", "sudo apt-get install docker.io"),
        (LINUX, "installed, but not running", "sudo systemctl enable --now docker"),
        (replace(LINUX, problem="denied"), "not in the group docker", "usermod -aG docker $USER, then log in again"),
        (replace(LINUX, problem="denied", member=True), "not yet in this login", "newgrp docker, or log in again"),
        (replace(LINUX, problem="silent"), "does not answer", "sudo systemctl restart docker"),
        (replace(LINUX, **AWAY), "tcp://10.0.0.7:2375, which DOCKER_HOST names", "unset DOCKER_HOST"),
        (replace(LINUX, **AWAY, others=OTHER), "one answers at unix:///var/run/docker.sock", "unset DOCKER_HOST"),
        (replace(LINUX, **AWAY | {"chosen_by": "lab"}), "of the context lab", "docker context use default"),
        (replace(LINUX, endpoint="unix:///lab.sock", others={"desktop": "unix:///home/ada/desktop.sock"}),
         "which the context default names", "docker context use desktop"),
        (replace(LINUX, chosen_by="lab", endpoint="", problem="unknown context"), "lab does not exist", "use default"),
        (MAC, "installed, but not running", "open -a Docker"),
        (replace(MAC, wsl=True, system="Linux", **BARE), "Docker is not installed", "turn on this distribution"),
        (MachineFacts(system="Windows", **BARE), "the grader runs in WSL", "wsl --install"),
    ],
)  # fmt: skip
def test_where_no_engine_answers_the_likeliest_cause_is_named(machine: MachineFacts, seen: str, mend: str) -> None:
    found = no_engine(machine)
    assert found.state == "FAILS"
    assert seen in found.seen
    assert mend in found.mend


GIB = 2**30
ENGINE = EngineFacts(
    "unix:///var/run/docker.sock", "28.5.2", "1.51", "Debian GNU/Linux 13", "x86_64", "2", "systemd", "overlay2",
    "/var/lib/docker", 8 * GIB, rootless=False, warnings=(), free_bytes=50 * GIB,
)  # fmt: skip
DESKTOP = replace(ENGINE, operating_system="Docker Desktop", free_bytes=None)


@pytest.mark.parametrize(
    ("engine", "builder", "expected"),
    [
        (ENGINE, "buildkit", {}),
        (replace(ENGINE, version="19.03.8", api_version="1.40"), "buildkit", {"engine": "FAILS"}),
        (replace(ENGINE, version="20.10.24", api_version="1.41"), "buildkit", {"engine": "warning"}),
        (replace(ENGINE, version="5.4.2", api_version="1.41"), "classic", {"builder": "warning"}),
        (replace(ENGINE, free_bytes=2 * GIB), "buildkit", {"disk": "FAILS"}),
        (replace(DESKTOP, memory_bytes=GIB), "buildkit", {"disk": "warning", "memory": "warning"}),
        (replace(ENGINE, architecture="aarch64"), "buildkit", {"processor": "warning"}),
        (replace(ENGINE, storage_driver="vfs"), "buildkit", {"limits by": "warning"}),
        (replace(ENGINE, rootless=True, warnings=("No swap limit support",)), "buildkit",
         {"rootless": "warning", "the engine says": "warning"}),
    ],
)  # fmt: skip
def test_an_engine_that_answers_is_looked_at(engine: EngineFacts, builder: str, expected: dict[str, str]) -> None:
    found = list(engine_findings(engine, builder, MachineFacts()))
    assert {one.name: one.state for one in found if one.state != "ok"} == expected
    assert {"engine", "builder", "disk", "limits by"} <= {one.name for one in found}
    unknown = MachineFacts(chosen_by="lab", endpoint="", problem="unknown context")
    assert "docker context use default" in {one.mend for one in engine_findings(engine, builder, unknown)}


@pytest.mark.parametrize(
    ("tool", "against", "machine", "state", "mend"),
    [
        ("pip", "", MachineFacts(), "ok", ""),
        ("pip", "Network is unreachable", MachineFacts(), "FAILS", "pip download"),
        ("apt", "Network is unreachable", MachineFacts(), "warning", "pip download"),
        ("pip", "Network is unreachable", MachineFacts(proxies=("https_proxy",)), "FAILS", "global.proxy"),
    ],
)
def test_builds_that_cannot_fetch_packages(
    tool: str, against: str, machine: MachineFacts, state: str, mend: str
) -> None:
    found = packages(tool, "host", against, machine)
    assert found.state == state
    assert mend in found.mend


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder whose context `lab` is a socket that nobody answers at, and `gone` none at all."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("lab", "gone"):
        folder = tmp_path / ".docker/contexts/meta" / name
        folder.mkdir(parents=True)
        stored = {"Name": name, "Endpoints": {"docker": {"Host": f"unix://{tmp_path}/{name}.sock"}}}
        (folder / "meta.json").write_text(json.dumps(stored), encoding="utf-8")
    (tmp_path / ".docker/config.json").write_text('{"currentContext": "lab"}', encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as nobody:
        nobody.bind(f"{tmp_path}/lab.sock")
        yield tmp_path


@pytest.mark.parametrize(
    ("environ", "chosen_by", "endpoint", "problem"),
    [
        ({}, "lab", "unix://{home}/lab.sock", "refused"),
        ({"DOCKER_CONTEXT": "gone"}, "gone", "unix://{home}/gone.sock", "missing"),
        ({"DOCKER_CONTEXT": "none"}, "none", "", "unknown context"),
        ({"DOCKER_HOST": "ssh://ada@lab"}, "DOCKER_HOST", "ssh://ada@lab", "refused"),
    ],
)
def test_the_engine_is_looked_for_where_the_docker_command_looks(
    home: Path, environ: dict[str, str], chosen_by: str, endpoint: str, problem: str
) -> None:
    facts = machine_facts(environ)
    assert (facts.chosen_by, facts.endpoint, facts.problem) == (chosen_by, endpoint.format(home=home), problem)


def test_doctor_says_what_is_wrong_where_no_engine_answers(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/lab.sock")
    assert run(["doctor"]) == 3
    said = capsys.readouterr().err
    assert "FAILS    engine:" in said
    assert "--waive" not in said
