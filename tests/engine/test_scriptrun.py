"""A script in its container: a real shell, the real docker command and Compose, and a record of what they asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.course.models import Limits
from grader.engine.client import connect
from grader.engine.http import Connection
from grader.engine.ownership import OWNER_LABEL, our_objects, this_process
from grader.errors import EngineError
from grader.models import Exited, MemoryFile, OutputLimit, TimedOut
from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings, start_private_engine
from grader.sandbox.script import ScriptOutcome, run_script, workshop
from tests.engine.contexts import BASE
from tests.engine.test_private import why_not_nested

pytestmark = [pytest.mark.engine, pytest.mark.private]

LIMITS = Limits(run_seconds=60, memory_mb=256, output_kb=64)


@pytest.fixture(scope="module")
def host() -> Iterator[Connection]:
    with connect(builder="buildkit") as engine:
        if reason := why_not_nested(engine._connection):
            pytest.skip(f"no engine can run in a container here: {reason}")
        yield engine._connection
        ours = str(this_process())
        assert [one for one in our_objects(engine._connection) if dict(one.labels).get(OWNER_LABEL) == ours] == []


@pytest.fixture(scope="module")
def private(host: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateEngine]:
    settings = PrivateSettings((BASE,), tmp_path_factory.mktemp("cache"), os.environ, memory_mb=1000, processes=400)
    with start_private_engine(host, settings, print) as engine:
        yield engine


def run(host: Connection, engine: PrivateEngine, script: str, limits: Limits = LIMITS, **files: str) -> ScriptOutcome:
    texts = {"commands.sh": script, "Dockerfile": f'FROM {BASE}\nCMD ["sleep", "300"]\n', **files}
    vetted = tuple(MemoryFile(name.replace("__", "."), text.encode()) for name, text in texts.items())
    return run_script(host, engine, vetted, limits)


def said(outcome: ScriptOutcome) -> str:
    return (outcome.outcome.stdout + outcome.outcome.stderr).decode()


def state(engine: PrivateEngine) -> tuple[int, list[str]]:
    """How many containers there are, and which tags."""
    with connect(endpoint=engine.endpoint) as connected:
        containers = connected._connection.call("GET", "/containers/json", parameters={"all": 1}).json
        images = connected._connection.call("GET", "/images/json").json
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


def test_what_a_script_does_is_seen_in_the_engine_and_in_the_record(host: Connection, private: PrivateEngine) -> None:
    first = run(host, private, START)
    assert first.outcome.ended == Exited(0), said(first)
    assert state(private) == (2, [BASE, "sales-predictor:1.0", "sales-predictor:latest"])
    assert [(one.path, dict(one.query)["tag"], one.status) for one in first.requests if one.path.endswith("/tag")] == [
        ("/images/sales-predictor:1.0/tag", "latest", 201)
    ]
    created = [one for one in first.requests if one.path == "/containers/create"]
    assert [dict(one.query)["name"] for one in created] == ["sales-predictor-1", "sales-predictor-2"]
    assert {one.image for one in created} == {"sales-predictor"}

    second = run(host, private, CLEAN)
    assert second.outcome.ended == Exited(0), said(second)
    assert state(private) == (0, [BASE])
    assert sum(one.method == "DELETE" and one.path.startswith("/containers/") for one in second.requests) == 2


def test_a_folder_beside_the_script_can_be_mounted(host: Connection, private: PrivateEngine) -> None:
    script = f'docker run --rm -v "$PWD:/data" {BASE} cat /data/weeks.txt && exit 7'
    outcome = run(host, private, script, weeks__txt="100 120\n")
    assert (outcome.outcome.ended, outcome.outcome.stdout) == (Exited(7), b"100 120\n"), said(outcome)


def test_line_ends_of_windows_and_stopping_at_the_first_error(host: Connection, private: PrivateEngine) -> None:
    outcome = run(host, private, "set -e\r\ndocker images -q\r\ndocker rm nothing\r\necho not reached\r\n")
    assert outcome.outcome.ended == Exited(1), said(outcome)
    assert "No such container: nothing" in said(outcome)
    assert "not reached" not in said(outcome)
    assert [(one.method, one.path, one.status) for one in outcome.requests if one.method != "HEAD"] == [
        ("GET", "/images/json", 200),
        ("DELETE", "/containers/nothing", 404),
    ]


COMPOSE = f"""
services:
  predictor:
    image: {BASE}
    command: ["python", "-c", "print(40 + 2)"]
    network_mode: none
"""


def test_compose_is_there(host: Connection, private: PrivateEngine) -> None:
    outcome = run(host, private, "docker compose up && docker compose down", compose__yaml=COMPOSE)
    assert outcome.outcome.ended == Exited(0), said(outcome)
    assert "42" in said(outcome)
    assert state(private)[0] == 0


def test_a_script_is_bounded(host: Connection, private: PrivateEngine) -> None:
    slow = run(host, private, "sleep 100 & setsid sleep 100", Limits(script_seconds=1))
    assert slow.outcome.ended == TimedOut(1)
    loud = run(host, private, "yes", Limits(script_seconds=30, output_kb=16))
    assert loud.outcome.ended == OutputLimit(16 * 1024)
    assert len(loud.outcome.stdout) == 16 * 1024
    assert list(private.folder.glob("script-*")) == []


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


def test_a_script_that_writes_without_end_is_told_so_and_the_next_one_finds_nothing(
    host: Connection, private: PrivateEngine
) -> None:
    outcome = run(host, private, FILL, Limits(script_seconds=120))
    assert said(outcome).count("No space left on device") == 4, said(outcome)
    assert int(said(outcome).partition("files: ")[2].split()[0]) < 20_000
    assert list((private.folder / "area").iterdir()) == [], "nothing is written to this machine's disk"
    outcome = run(host, private, "ls -A")
    assert outcome.outcome.stdout.decode().split() == ["Dockerfile", "commands.sh"]


def test_a_folder_that_is_missing_is_made_for_a_mount(host: Connection, private: PrivateEngine) -> None:
    script = f'docker run --rm -v "$PWD/a/b:/b" {BASE} touch /b/made && ls a/b && ls -ld a | cut -c1-10'
    outcome = run(host, private, script)
    assert outcome.outcome.stdout.decode().split() == ["made", "drwxr-xr-x"], said(outcome)


def test_a_link_leads_out_of_nothing(host: Connection, private: PrivateEngine) -> None:
    limits = Limits(script_seconds=60)
    with workshop(host, private, (MemoryFile("a/b.txt", b"old"),), limits) as place:
        place.run(("sh", "-c", "rm -r a && ln -s /etc a && ln -s /etc/passwd c"), 20)
        place.put((MemoryFile("a/b.txt", b"new"), MemoryFile("c", b"plain")))
        seen = place.run(("sh", "-c", "cat a/b.txt c; ls -A a; ls /etc/b.txt"), 20)
    assert seen.stdout.decode().split() == ["newplainb.txt"], seen


def test_a_script_has_nothing_but_the_engine(host: Connection, private: PrivateEngine) -> None:
    look = 'ls /sys/class/net; grep CapEff /proc/self/status; touch /file || echo read-only; ls -A; ls -A "$PWD/.."'
    outcome = run(host, private, look)
    assert outcome.outcome.stdout.decode().split() == [
        *("lo", "CapEff:", "0000000000000000", "read-only"),
        *("Dockerfile", "commands.sh", "work"),
    ]


def test_a_script_that_ends_its_engine_is_no_result(host: Connection, tmp_path: Path) -> None:
    settings = PrivateSettings((BASE,), tmp_path, os.environ, memory_mb=1000, processes=400, disk_mb=1000)
    files = (MemoryFile("Dockerfile", b"ARG X=y\n"),)  # Docker 26.1 ends in a panic
    with start_private_engine(host, settings, print) as engine:
        for command in (("docker", "build", "."), ("ls", "Dockerfile")):
            with pytest.raises(EngineError, match="private engine ended"):
                run_script(host, engine, files, LIMITS, command=command)
