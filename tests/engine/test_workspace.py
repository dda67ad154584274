"""A script in its container: a real shell, the real docker command and Compose, and a record of what they asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.course.models import BaseImage, Limits
from grader.engine.docker_engine import DockerEngine
from grader.errors import EngineError
from grader.models import Exited, MemoryFile, OutputLimit, RunOutcome, TimedOut
from grader.sandbox.engine_state import listening
from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings, start_private_engine
from grader.sandbox.proxy.interface import Record
from grader.sandbox.workspace import open_workspace
from tests.engine.contexts import BASE

pytestmark = [pytest.mark.engine, pytest.mark.private]

IMAGES = (BaseImage(names=(BASE,), python="3.9", release="bullseye"),)
LIMITS = Limits(run_seconds=60, memory_mb=256, output_kb=64)


@dataclass(frozen=True)
class Done:
    outcome: RunOutcome
    record: Record

    @property
    def said(self) -> str:
        return (self.outcome.stdout + self.outcome.stderr).decode()


def run(private: PrivateEngine, script: str, limits: Limits = LIMITS, **files: str) -> Done:
    texts = {"commands.sh": script, "Dockerfile": f'FROM {BASE}\nCMD ["sleep", "300"]\n', **files}
    vetted = [MemoryFile(name.replace("__", "."), text.encode()) for name, text in texts.items()]
    with open_workspace(private, vetted, limits, images=IMAGES) as workspace:
        outcome = workspace.run(("bash", "commands.sh"), limits.script_seconds)
        return Done(outcome, workspace.record())


def state(private: PrivateEngine) -> tuple[int, list[str]]:
    """How many containers there are, and which tags."""
    containers = private.engine.connection.call("GET", "/containers/json", parameters={"all": 1}).json
    images = private.engine.connection.call("GET", "/images/json").json
    return len(containers), sorted(tag for image in images for tag in image["RepoTags"] or ())


START = """
set -e
NAME=sales-predictor   # a comment
docker build -t $NAME:1.0 .
docker tag \\
    $NAME:1.0 \\
    $NAME:latest
for number in 1 2; do docker run -d --name "$NAME-$number" $NAME; done
"""
CLEAN = """
docker ps -q | xargs docker stop --time 0
docker rm $(docker ps -aq)
docker rmi sales-predictor:1.0 sales-predictor:latest
"""


MANY_EVENTS = """
docker run --rm sales-predictor true
docker run -d --name going sales-predictor sleep 100
for number in $(seq 90); do docker exec going true; done
docker rm -f going
"""


def test_a_container_that_ended_before_many_events_is_known(private: PrivateEngine) -> None:
    """An engine that is asked afterwards knows 256 of them; each exec is three."""
    with listening(private.engine.connection) as ended_so_far:
        done = run(private, "docker build -qt sales-predictor ." + MANY_EVENTS)
        ended = [(one.image, one.code) for one in ended_so_far()]
    run(private, "docker rmi sales-predictor")
    assert ended == [("sales-predictor", 0), ("sales-predictor", 137)], done.said


def test_what_a_script_does_is_seen_in_the_engine_and_in_the_record(private: PrivateEngine) -> None:
    first = run(private, START)
    assert first.outcome.ended == Exited(0), first.said
    assert state(private) == (2, [BASE, "sales-predictor:1.0", "sales-predictor:latest"])
    assert [
        (one.path, dict(one.query)["tag"], one.status) for one in first.record.requests if one.path.endswith("/tag")
    ] == [("/images/sales-predictor:1.0/tag", "latest", 201)]
    created = [one for one in first.record.requests if one.path == "/containers/create"]
    assert [dict(one.query)["name"] for one in created] == ["sales-predictor-1", "sales-predictor-2"]
    assert {one.image for one in created} == {"sales-predictor"}

    second = run(private, CLEAN)
    assert second.outcome.ended == Exited(0), second.said
    assert state(private) == (0, [BASE])
    assert sum(one.method == "DELETE" and one.path.startswith("/containers/") for one in second.record.requests) == 2


def test_line_ends_of_windows_and_stopping_at_the_first_error(private: PrivateEngine) -> None:
    outcome = run(private, "set -e\r\ndocker images -q\r\ndocker rm nothing\r\necho not reached\r\n")
    assert outcome.outcome.ended == Exited(1), outcome.said
    assert "No such container: nothing" in outcome.said
    assert "not reached" not in outcome.said
    assert [(one.method, one.path, one.status) for one in outcome.record.requests if one.method != "HEAD"] == [
        ("GET", "/images/json", 200),
        ("DELETE", "/containers/nothing", 404),
    ]


def test_a_script_is_bounded(private: PrivateEngine) -> None:
    slow = run(private, "sleep 100 & setsid sleep 100", Limits(script_seconds=1))
    assert slow.outcome.ended == TimedOut(1)
    loud = run(private, "yes", Limits(script_seconds=30, output_kb=16))
    assert loud.outcome.ended == OutputLimit(16 * 1024)
    assert len(loud.outcome.stdout) == 16 * 1024


FILL = f"""
head -c 200M /dev/zero > big
ls -l big
docker run --rm -v "$PWD:/x" {BASE} sh -c 'head -c 200M /dev/zero > /x/y; umask 077; mkdir /x/z; touch /x/z/a'
rm big
exec 3> unseen; rm unseen; head -c 200M /dev/zero >&3
exec 3>&-
i=0; while [ $i -lt 30000 ] && : > file-$i; do i=$((i + 1)); done
echo files: $i
"""


def test_a_script_that_writes_without_end_is_told_so_and_the_next_one_finds_nothing(private: PrivateEngine) -> None:
    outcome = run(private, FILL, Limits(script_seconds=120))
    assert outcome.said.count("No space left on device") == 4, outcome.said
    assert int(outcome.said.partition("files: ")[2].split()[0]) < 20_000
    outcome = run(private, "ls -A")
    assert outcome.outcome.stdout.decode().split() == ["Dockerfile", "commands.sh"]


def test_a_link_leads_out_of_nothing(private: PrivateEngine) -> None:
    limits = Limits(script_seconds=60)
    with open_workspace(private, [MemoryFile("a/b.txt", b"old")], limits) as workspace:
        workspace.run(("sh", "-c", "rm -r a && ln -s /etc a && ln -s /etc/passwd c"), 20)
        workspace.put([MemoryFile("a/b.txt", b"new"), MemoryFile("c", b"plain")])
        seen = workspace.run(("sh", "-c", "cat a/b.txt c; ls -A a; ls /etc/b.txt"), 20)
    assert seen.stdout.decode().split() == ["newplainb.txt"], seen


def test_a_script_has_nothing_but_the_engine(private: PrivateEngine) -> None:
    look = "ls /sys/class/net; grep CapEff /proc/self/status; touch /file || echo read-only; ls -A; ls -A /run"
    outcome = run(private, look)
    assert outcome.outcome.stdout.decode().split() == [
        *("lo", "CapEff:", "0000000000000000", "read-only"),
        *("Dockerfile", "commands.sh", "bin", "docker.sock"),
    ]


def test_a_script_cannot_put_a_link_in_the_place_of_its_folder(private: PrivateEngine) -> None:
    moves = 'mv "$PWD" /tmp/x || rmdir "$PWD" || rm -rf /run/docker.sock || ln -s / /run/y || echo refused'
    outcome = run(private, moves)
    assert outcome.outcome.stdout.decode().split() == ["refused"], outcome.said


def test_a_script_that_ends_its_engine_is_no_result(host: DockerEngine, tmp_path: Path) -> None:
    settings = PrivateSettings((BASE,), os.environ, memory_mb=1000, processes=400, disk_mb=1000)
    with start_private_engine(host, settings, print) as private, open_workspace(private, [], LIMITS) as workspace:
        host.connection.call("POST", f"/containers/{private.container}/kill")
        with pytest.raises(EngineError, match="private engine ended"):
            workspace.run(("ls", "Dockerfile"), 20)
