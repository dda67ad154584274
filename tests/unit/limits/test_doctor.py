"""For what is wrong with a machine: the sentence that says it, and the command that mends it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from grader.cli.machine import machine_facts
from grader.cli.main import run
from grader.engine.docker_engine import EngineFacts
from grader.limits.doctor import MachineFacts, engine_findings, no_engine, packages

ROWS = yaml.safe_load(Path(__file__).with_name("doctor.yaml").read_text(encoding="utf-8"))
GIB = 2**30
ENGINE = EngineFacts(
    "unix:///var/run/docker.sock", "28.5.2", "1.51", "Debian GNU/Linux 13", "x86_64", "2", "systemd", "overlay2",
    "/var/lib/docker", 8 * GIB, rootless=False, warnings=(), free_bytes=50 * GIB,
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS["no_engine"], ids=lambda row: row["mend"])
def test_where_no_engine_answers_the_likeliest_cause_is_named(row: dict[str, Any]) -> None:
    found = no_engine(MachineFacts(**{"problem": "refused", **row["machine"]}))
    assert found.state == "FAILS"
    assert row["seen"] in found.seen
    assert row["mend"] in found.mend


@pytest.mark.parametrize("row", ROWS["engines"], ids=lambda row: str(row["states"]))
def test_an_engine_that_answers_is_looked_at(row: dict[str, Any]) -> None:
    engine, builder = replace(ENGINE, **row["engine"]), row.get("builder", "buildkit")
    found = list(engine_findings(engine, builder, MachineFacts()))
    assert {one.name: one.state for one in found if one.state != "ok"} == row["states"]
    assert {"engine", "builder", "disk", "limits by"} <= {one.name for one in found}
    unknown = MachineFacts(chosen_by="lab", endpoint="", problem="unknown context")
    assert "docker context use default" in {one.mend for one in engine_findings(engine, builder, unknown)}


@pytest.mark.parametrize("row", ROWS["packages"], ids=lambda row: f"{row['tool']} {row['state']}")
def test_builds_that_cannot_fetch_packages(row: dict[str, Any]) -> None:
    found = packages(row["tool"], "host", row["against"], MachineFacts(proxies=tuple(row.get("proxies", ()))))
    assert found.state == row["state"]
    assert row["mend"] in found.mend


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
