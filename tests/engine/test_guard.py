"""The guard between the real docker command and a real engine: what exercises need works, and the rest is refused."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from grader.course.models import Limits
from grader.engine.client import connect
from grader.engine.http import Connection
from grader.engine.ownership import OWNER_LABEL, labels, our_objects, this_process
from grader.engine.run import ContainerRun, container_settings, observe, remove_container
from grader.engine.watchdog import Cancellation
from grader.models import RunOutcome, RunRequest
from grader.sandbox.engine_image import image_name
from grader.sandbox.nested_engine import PrivateEngine, PrivateSettings, start_private_engine
from grader.sandbox.proxy.proxy import ProxyRecording, guarded
from tests.engine.contexts import BASE
from tests.engine.test_private import why_not_nested

pytestmark = [pytest.mark.engine, pytest.mark.private]

LIMITS = Limits(run_seconds=200, memory_mb=256, output_kb=256)
FILES = {
    "Dockerfile": f'FROM {BASE}\nARG A=1\nRUN echo $A > /a\nCOPY data/weeks.txt /w\nCMD ["sleep", "300"]\n',
    "data/weeks.txt": "100 120\n",
    "compose.yaml": f"""
services:
  web:
    build: .
    image: web:1
    command: ["sleep", "60"]
    volumes: ["./data:/data:ro", "cache:/cache"]
    ports: ["8080:80"]
    environment: {{A: b}}
    healthcheck: {{test: ["CMD", "true"], interval: 1s}}
    networks: [front]
    restart: unless-stopped
    mem_limit: 64m
  job:
    image: {BASE}
    command: ["python", "-c", "print(40 + 2)"]
    network_mode: none
    depends_on: {{web: {{condition: service_healthy}}}}
networks: {{front: {{}}}}
volumes: {{cache: {{}}}}
""",
}


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


@dataclass
class Place:
    """A script's folder with a guard beside it, much as `scriptrun` makes it with a recorder."""

    host: Connection
    folder: Path
    recording: ProxyRecording

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def run(self, script: str) -> RunOutcome:
        (self.work / "commands.sh").write_text(script, encoding="utf-8")
        ours = this_process()
        name = f"guard-test-{secrets.token_hex(6)}"
        order = ContainerRun(
            image=image_name(),
            name=name,
            request=RunRequest(args=("bash", "commands.sh"), environment=(("HOME", "/tmp"),)),
            limits=LIMITS,
            labels=labels(name, ours, "container"),
            volume_labels=labels(name, ours, "volume"),
            cpus=1.0,
        )
        settings = container_settings(order)
        settings |= {"WorkingDir": str(self.work), "User": f"{os.getuid()}:{os.getgid()}"}
        settings["HostConfig"] |= {
            "Binds": [f"{self.work}:{self.work}", f"{self.folder / 's'}:/var/run/docker.sock"],
            "Init": True,
        }
        made = self.host.call("POST", "/containers/create", parameters={"name": name}, json=settings).json["Id"]
        try:
            return observe(self.host, made, order, Cancellation())
        finally:
            remove_container(self.host, made)

    def said(self, script: str) -> str:
        outcome = self.run(script)
        return (outcome.stdout + outcome.stderr).decode()

    def send(self, head: str, body: str = "") -> bytes:
        """What comes back for raw bytes, up to the end of the connection."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(self.folder / "s"))
            client.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body.encode())
            return b"".join(iter(lambda: client.recv(10_000), b""))


@pytest.fixture(params=[True])
def place(host: Connection, private: PrivateEngine, request: pytest.FixtureRequest) -> Iterator[Place]:
    with guarded_place(host, private, buildkit=request.param) as made:
        yield made
        made.run("docker rm -fv $(docker ps -aq); docker network prune -f; docker volume prune -af")


@contextmanager
def guarded_place(host: Connection, private: PrivateEngine, *, buildkit: bool = True) -> Iterator[Place]:
    folder = private.folder / f"script-{secrets.token_hex(6)}"
    for name, text in FILES.items():
        (folder / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "work" / name).write_text(text, encoding="utf-8")
    engine = Path(private.endpoint.removeprefix("unix://"))
    try:
        with guarded(engine, folder / "s", folder / "work", buildkit=buildkit) as recording:
            yield Place(host, folder, recording)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ── what works ──────────────────────────────────────────────────────────────────────────

EACH = 'c() { timeout 60 "$@" >/tmp/out 2>&1 || { echo "FAILED $?: $*"; cat /tmp/out; }; }\n'
COMMANDS = {
    "looking": "c docker version\nc docker info\nc docker system df -v\nc docker buildx ls\nc docker buildx du",
    "building": f"""
c docker build -t app:1 .
DOCKER_BUILDKIT=0 c docker build -t app:2 --build-arg A=2 --label x=y .
c docker images; c docker image ls -a --digests; c docker tag app:1 app:latest; c docker history app:1
c docker inspect app:1; c docker rmi app:2
mkdir more; printf 'FROM {BASE} AS a\nRUN true\nFROM a AS b\nARG X\nRUN echo $X\nCOPY --from=o weeks.txt /\n' >more/M
c docker build -t a:1 -t b:2 -f more/M --build-arg X=2 --label l=1 --target b --no-cache --platform linux/amd64 \
    --network none --add-host x:1.2.3.4 --shm-size 10m --ulimit nofile=100 --build-context o=data --iidfile /tmp/id more
c docker build --build-context o=docker-image://{BASE} --target a --cache-from app:1 -q -f more/M more
printf 'FROM {BASE}\nRUN true\n' | c docker build -t c:1 -; tar c Dockerfile data | c docker build -t d:1 -
c docker buildx bake -f compose.yaml web; c docker buildx prune -f
c docker pull {BASE}; c docker pull -q docker.io/library/{BASE}; c docker image pull app:latest
c docker build --pull -t app:1 .; DOCKER_BUILDKIT=0 c docker build --pull -t app:2 .
c docker builder prune -f; c docker image prune -f
""",
    "running": f"""
docker build -q -t app:1 . >/tmp/out
c docker run --rm {BASE} true; c docker run --rm --pull always {BASE} true
c docker run --rm -i {BASE} cat <Dockerfile
c docker run -d --name web -p 8080:80 -e A=b -v "$PWD/data:/data:ro" -v cache:/cache -w /data -u 1000 --memory 64m \
    --cpus 0.5 --restart on-failure:3 --label a=b --health-cmd true --tmpfs /tmp:size=1m --cap-drop ALL --read-only \
    --security-opt no-new-privileges --init --hostname h --add-host x:10.0.0.1 --dns 10.0.0.2 --ulimit nofile=100 \
    --log-driver json-file --log-opt max-size=1m --pids-limit 50 --shm-size 1m --entrypoint sleep app:1 300
c docker ps; c docker ps -aq --filter name=web; c docker logs web; c docker logs -t --tail 5 web
c docker exec web cat /w; c docker exec -i web cat <Dockerfile; c docker exec -d -e A=1 -w / -u 0 web true
c docker inspect web; c docker container inspect web; c docker stats --no-stream; c docker port web; c docker diff web
c docker pause web; c docker unpause web; c docker rename web two; c docker restart -t 0 two; c docker stop -t 0 two
c docker start two; c docker kill two; c docker wait two; c docker rm -v two
c docker create --name one {BASE} true; c docker start -ai one; c docker rm one; c docker container prune -f
c docker events --since 10s --until 0s
""",
    "networks and volumes": f"""
c docker volume create vol; c docker volume ls; c docker volume inspect vol; c docker volume rm vol
c docker network create front; c docker network create --subnet 10.9.0.0/24 --internal back; c docker network ls
c docker run -d --name web --network front --network-alias al {BASE} sleep 100; c docker network inspect front
c docker run --rm --network front {BASE} python -c 'import socket; socket.gethostbyname("al")'
c docker run --rm --network container:web {BASE} true; c docker run --rm --network none {BASE} true
c docker network connect back web; c docker network disconnect back web; c docker rm -f web; c docker network rm back
c docker network prune -f; c docker volume prune -f; c docker system prune -f
""",
    "compose": """
c docker compose config; c docker compose build; DOCKER_BUILDKIT=0 c docker compose build; c docker compose up -d
c docker compose ps -a; c docker compose logs; c docker compose run --rm job; c docker compose exec -T web true
c docker compose run --rm -T web cat /data/weeks.txt; c docker compose images; c docker compose restart -t 0
c docker compose stop -t 0; c docker compose start; c docker compose up --abort-on-container-exit job
c docker compose down -v -t 0
""",
}


@pytest.mark.parametrize("script", COMMANDS.values(), ids=COMMANDS)
def test_what_exercises_need_works(place: Place, script: str) -> None:
    outcome = place.run(EACH + script)
    assert (outcome.stdout + outcome.stderr).decode() == ""
    assert place.recording.reasons() == ()


def test_output_and_exit_codes_are_those_of_the_container(place: Place) -> None:
    outcome = place.run(f"echo in | docker run --rm -i {BASE} sh -c 'cat; echo err >&2; exit 7'; echo $?")
    assert (outcome.stdout, outcome.stderr) == (b"in\n7\n", b"err\n")


def test_folders_and_files_of_the_work_can_be_mounted(place: Place) -> None:
    script = f"""
docker run --rm -v "$PWD:/all" {BASE} ls /all/data
docker run --rm -v "$PWD/data/weeks.txt:/file:ro" {BASE} cat /file
docker run --rm -v "$PWD/out/deep:/out" {BASE} sh -c 'echo made >/out/made'; cat out/deep/made
docker run --rm --mount "type=bind,source=$PWD/data,target=/data,readonly" {BASE} sh -c 'touch /data/x || echo kept'
docker run --rm --mount "type=bind,source=$PWD/nothing,target=/data" {BASE} true || echo refused
docker run -d --name keeps -v "$PWD/data:/data" {BASE} sleep 100 >/dev/null; docker exec keeps cat /data/weeks.txt
"""
    outcome = place.run(script)
    assert outcome.stdout.decode().split() == ["weeks.txt", *("100", "120", "made", "kept", "refused", "100", "120")]


# ── what does not ───────────────────────────────────────────────────────────────────────

FORBIDDEN = [
    ("docker run --privileged BASE true", "a privileged container has the whole machine"),
    ("docker run --cap-add SYS_ADMIN BASE true", "HostConfig.CapAdd cannot be set here"),
    ("docker run -v /:/host BASE true", "containers of an exercise see only folders of the submission"),
    ("docker run -v /var/run/docker.sock:/var/run/docker.sock BASE true", "only folders of the submission"),
    ('docker run -v "$PWD/..:/host" BASE true', "only folders of the submission"),
    ("docker run --mount type=bind,source=/etc,target=/etc BASE true", "only folders of the submission"),
    (
        "docker run --mount type=volume,source=x,target=/x,volume-opt=o=bind,volume-opt=device=/ BASE",
        "any folder or disk of the machine could be mounted",
    ),
    ("docker volume create --opt type=none --opt o=bind --opt device=/ v", "any folder or disk of the machine"),
    ("docker run --network host BASE true", "cannot be the host's network here"),
    ("docker run --pid host BASE true", "not the host's"),
    ("docker run --ipc host BASE true", "not the host's"),
    ("docker run --uts host BASE true", "HostConfig.UTSMode cannot be set here"),
    ("docker run --userns host BASE true", "HostConfig.UsernsMode cannot be set here"),
    ("docker run --cgroupns host BASE true", "HostConfig.CgroupnsMode may be"),
    ("docker run --cgroup-parent / BASE true", "HostConfig.CgroupParent cannot be set here"),
    ("docker run --device /dev/loop0 BASE true", "get no devices of the machine"),
    ("docker run --gpus all BASE true", "get no devices of the machine"),
    ("docker run --device-cgroup-rule 'a *:* rwm' BASE true", "get no devices of the machine"),
    ("docker run --security-opt seccomp=unconfined BASE true", "switch off what keeps the container in"),
    ("docker run --security-opt systempaths=unconfined BASE true", "it takes away what protects"),
    ("docker run --sysctl net.ipv4.ip_forward=1 BASE true", "HostConfig.Sysctls cannot be set here"),
    ("docker run --runtime other BASE true", "the engine's own runtime"),
    ("docker run --log-driver syslog BASE true", "other drivers send what is logged elsewhere"),
    ("docker run --oom-score-adj -500 BASE true", "HostConfig.OomScoreAdj is a number from 0"),
    ("docker run --oom-kill-disable BASE true", "what takes too much memory is ended"),
    ("docker network create -d macvlan n", "other networks reach the machine"),
    ("docker run no-such-image true", "there is no image no-such-image:latest here"),
    ("docker pull alpine", "no registry to fetch it from"),
    ("docker login -u a -p b", "there is no registry"),
    ("docker push app", "there is no registry"),
    ("docker search app", "there is no registry"),
    ("echo x | docker import - x", "`docker import` is not available here"),
    ("docker save BASE >/dev/null", "`docker save` is not available here"),
    ("docker load <Dockerfile", "`docker load` is not available here"),
    ("docker swarm init", "not part of a cluster"),
    ("docker plugin ls", "plugins are not available here"),
    ("DOCKER_BUILDKIT=0 docker build --network host .", "cannot be the host's network here"),
    ("DOCKER_BUILDKIT=0 docker build --cgroup-parent / .", "cgroupparent cannot be set here"),
    ("docker build --network host .", "cannot be the host's network here"),
    ("docker build --allow security.insecure .", "a build gets no rights beyond the usual ones"),
    ("docker build --cgroup-parent / .", "cannot be set here"),
    ("docker build --push -t app .", "there is no registry"),
    ("docker build --output files .", "a build makes an image of this engine"),
    ("docker build --build-arg BUILDKIT_SYNTAX=app .", "other frontends than the Dockerfile's own are not available"),
    ("docker build --build-context x=https://example.invalid/x .", "is fetched from elsewhere"),
    ("docker build https://example.invalid/x.git", "is fetched from elsewhere"),
]


def test_what_reaches_the_machine_is_refused(place: Place, private: PrivateEngine) -> None:
    lines = [
        f"echo '### {number}'; ({command.replace('BASE', BASE)}) 2>&1; echo \"code $?\""
        for number, (command, _) in enumerate(FORBIDDEN)
    ]
    answers = re.split(r"### \d+\n", place.said("\n".join(lines)))[1:]
    wrong = [
        (command, answer)
        for (command, words), answer in zip(FORBIDDEN, answers, strict=True)
        if words not in answer or answer.endswith("code 0\n")
    ]
    assert wrong == []
    assert len(place.recording.refusals.requests()) >= len(FORBIDDEN)
    with connect(endpoint=private.endpoint) as connected:
        assert connected._connection.call("GET", "/containers/json", parameters={"all": 1}).json == []


def test_who_used_the_engine_before_is_not_told(place: Place, private: PrivateEngine) -> None:
    """The same engine, two scripts one after the other."""
    mark = "of-an-earlier-one"
    place.run(
        f"printf 'FROM {BASE}\\nRUN echo {mark} >/x\\n' | docker build -q -t x:1 -\n"
        f"docker run --rm --name {mark} x:1 true; docker rmi x:1"
    )
    events = "docker events --since 0 --until $(($(date +%s) + 1))"
    assert mark in place.said(events), "one's own are told"
    with guarded_place(place.host, private) as other:
        told = other.said(
            f"docker system df -v; docker buildx du --verbose; {events}; docker buildx prune -f --verbose"
        )
        assert mark not in told
        assert "Build cache usage: 0B" in told, told
        assert "Total" in told, told


def test_compose_is_held_to_the_same(place: Place) -> None:
    for setting, words in {
        "privileged: true": "a privileged container has the whole machine",
        "volumes: ['/:/host']": "only folders of the submission",
        "pid: host": "not the host's",
        "network_mode: host": "cannot be the host's network here",
        "cap_add: [ALL]": "HostConfig.CapAdd cannot be set here",
        "logging: {driver: syslog}": "other drivers send what is logged elsewhere",
    }.items():
        (place.work / "compose.yaml").write_text(f"services: {{x: {{image: '{BASE}', {setting}}}}}", encoding="utf-8")
        assert words in place.said("docker compose up; docker compose down 2>/dev/null"), setting


def test_a_link_out_of_the_work_leads_nowhere_even_if_it_is_made_later(place: Place) -> None:
    """The engine follows links when a container starts, long after the guard has seen its settings."""
    at_once = place.said(f'ln -s / out; docker run --rm -v "$PWD/out:/x" {BASE} ls /x')
    assert "escapes the base directory" in at_once
    script = f"""
mkdir folder; docker create --name later -v "$PWD/folder:/x" {BASE} ls /x
rmdir folder; ln -s / folder; docker start -a later
"""
    assert "escapes the base directory" in place.said(script)


RAW = {
    "two spellings": ("", '{"Image":"BASE","HostConfig":{},"hostconfig":{"Privileged":true}}'),
    "form": ("\nContent-Type: application/x-www-form-urlencoded", '{"Image":"BASE"}'),
    "two lengths": ("\nContent-Length: 2", '{"Image":"BASE"}'),
    "another name": ("\nTransfer-Encoding: identity", '{"Image":"BASE"}'),
}


@pytest.mark.parametrize(("header", "body"), RAW.values(), ids=RAW)
def test_raw_requests_are_held_to_the_same(place: Place, header: str, body: str) -> None:
    body = body.replace("BASE", BASE)
    kind = "" if "Content-Type" in header else "\nContent-Type: application/json"
    head = f"POST /v1.45/containers/create HTTP/1.1\nHost: docker\nContent-Length: {len(body)}{kind}{header}"
    answer = place.send(head, body)
    assert answer.startswith(b"HTTP/1.1 403"), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"] in place.recording.reasons()


@pytest.mark.parametrize("place", [False], indirect=True)
def test_buildkit_can_be_closed(place: Place) -> None:
    assert place.run("docker build .").stdout == b""
    assert any("Put `DOCKER_BUILDKIT=0` before the command" in reason for reason in place.recording.reasons())
    assert place.run("DOCKER_BUILDKIT=0 docker build -q .").stdout.startswith(b"sha256:")
