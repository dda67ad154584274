"""For each thing that is wrong with a machine: the sentence that says it, and the command that mends it."""

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
WSL = MachineFacts(wsl=True, systemd=False, problem="missing")
BARE: dict[str, Any] = {"docker": False, "dockerd": False, "problem": "missing"}
OTHER = {"default": "unix:///var/run/docker.sock"}
AWAY: dict[str, Any] = {"endpoint": "tcp://10.0.0.7:2375", "chosen_by": "DOCKER_HOST"}


@pytest.mark.parametrize(
    ("machine", "seen", "mend"),
    [
        (replace(LINUX, **BARE), "Docker is not installed", "sudo apt-get install docker.io"),
        (replace(LINUX, **BARE, apt=False), "Docker is not installed", "see docs.docker.com/engine/install"),
        (replace(LINUX, dockerd=False), "command is here, but no engine", "sudo apt-get install docker.io"),
        (LINUX, "installed, but not running", "sudo systemctl enable --now docker"),
        (replace(LINUX, systemd=False), "installed, but not running", "sudo service docker start"),
        (replace(LINUX, problem="denied"), "not in the group docker", "usermod -aG docker $USER, then log in again"),
        (replace(LINUX, problem="denied", member=True), "not yet in this login", "newgrp docker, or log in again"),
        (replace(LINUX, problem="silent"), "does not answer", "sudo systemctl restart docker"),
        (replace(LINUX, **AWAY), "tcp://10.0.0.7:2375, which DOCKER_HOST names", "unset DOCKER_HOST"),
        (replace(LINUX, **AWAY, others=OTHER), "one answers at unix:///var/run/docker.sock", "unset DOCKER_HOST"),
        (replace(LINUX, **AWAY | {"chosen_by": "lab"}), "of the context lab", "docker context use default"),
        (replace(LINUX, chosen_by="lab", endpoint="unix:///lab.sock", others=OTHER), "which the context lab names",
         "docker context use default"),
        (replace(LINUX, others={"desktop-linux": "unix:///home/ada/desktop.sock"}), "the context default",
         "docker context use desktop-linux"),
        (replace(LINUX, chosen_by="lab", endpoint="", problem="unknown context"), "lab does not exist",
         "docker context use default"),
        (replace(MAC, **BARE), "Docker is not installed", "brew install --cask docker"),
        (MAC, "installed, but not running", "open -a Docker"),
        (replace(MAC, problem="silent"), "does not answer", "open -a Docker"),
        (replace(WSL, **BARE), "Docker is not installed", "turn on this distribution"),
        (WSL, "installed, but not running", "sudo service docker start"),
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
        (ENGINE, "buildkit", []),
        (replace(ENGINE, version="19.03.8", api_version="1.40"), "buildkit",
         [("FAILS", "engine", "too old", "docs.docker.com/engine/install")]),
        (replace(ENGINE, version="20.10.24", api_version="1.41"), "buildkit",
         [("warning", "engine", "heredocs", "docs.docker.com/engine/install")]),
        (replace(DESKTOP, version="20.10.24", api_version="1.41"), "buildkit",
         [("warning", "engine", "heredocs", "update Docker Desktop"), ("warning", "disk", "Desktop", "system df")]),
        (replace(ENGINE, version="5.4.2", api_version="1.41"), "classic",
         [("warning", "builder", "another one than Docker's", "docs/engines.md")]),
        (replace(ENGINE, free_bytes=2 * GIB), "buildkit", [("FAILS", "disk", "2.0 GiB free", "docker system prune")]),
        (replace(ENGINE, free_bytes=None), "buildkit", [("warning", "disk", "another machine", "")]),
        (replace(DESKTOP, memory_bytes=GIB), "buildkit",
         [("warning", "disk", "Docker Desktop", ""), ("warning", "memory", "1.0 GiB", "Settings, Resources")]),
        (replace(ENGINE, architecture="aarch64"), "buildkit", [("warning", "processor", "Apple silicon", "")]),
        (replace(ENGINE, storage_driver="vfs"), "buildkit", [("warning", "limits by", "copies every layer", "")]),
        (replace(ENGINE, rootless=True, warnings=("No swap limit support",)), "buildkit",
         [("warning", "rootless", "a user's rights", ""), ("warning", "the engine says", "No swap", "")]),
    ],
)  # fmt: skip
def test_an_engine_that_answers_is_looked_at(
    engine: EngineFacts, builder: str, expected: list[tuple[str, str, str, str]]
) -> None:
    found = [one for one in engine_findings(engine, builder, MachineFacts()) if one.state != "ok"]
    assert [(one.state, one.name) for one in found] == [(state, name) for state, name, _, _ in expected]
    for one, (_, _, seen, mend) in zip(found, expected, strict=True):
        assert seen in one.seen
        assert mend in one.mend


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


# ── facts ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home folder whose context `lab` is a socket that nobody answers at, and `gone` none at all."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, address in (("lab", f"unix://{tmp_path}/lab.sock"), ("gone", f"unix://{tmp_path}/gone.sock")):
        folder = tmp_path / ".docker/contexts/meta" / name
        folder.mkdir(parents=True)
        stored = {"Name": name, "Endpoints": {"docker": {"Host": address}}}
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
        ({"DOCKER_HOST": "unix:///nowhere.sock"}, "DOCKER_HOST", "unix:///nowhere.sock", "missing"),
        ({"DOCKER_HOST": "ssh://ada@lab"}, "DOCKER_HOST", "ssh://ada@lab", "refused"),
    ],
)
def test_the_engine_is_looked_for_where_the_docker_command_looks(
    home: Path, environ: dict[str, str], chosen_by: str, endpoint: str, problem: str
) -> None:
    facts = machine_facts(environ)
    assert (facts.chosen_by, facts.endpoint) == (chosen_by, endpoint.format(home=home))
    assert facts.problem == problem


def test_doctor_says_what_is_wrong_where_no_engine_answers(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/lab.sock")
    assert run(["doctor"]) == 3
    assert "FAILS    engine:" in capsys.readouterr().err
    assert run(["doctor"]) == 3
    assert "--waive" not in capsys.readouterr().err


def test_a_context_that_does_not_exist_is_said_also_where_an_engine_is_found() -> None:
    machine = MachineFacts(chosen_by="lab", endpoint="", problem="unknown context")
    found = [one for one in engine_findings(ENGINE, "buildkit", machine) if one.state != "ok"]
    assert [(one.name, one.mend) for one in found] == [("context", "docker context use default")]
