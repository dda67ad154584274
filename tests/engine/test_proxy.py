"""The proxy between the real docker command and a real engine: what exercises need works, and the rest is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from grader.course.models import BaseImage, Limits
from grader.models import MemoryFile, RunOutcome
from grader.sandbox.nested_engine import PrivateEngine
from grader.sandbox.proxy.interface import Record
from grader.sandbox.workspace import open_workspace
from tests.engine.contexts import BASE

pytestmark = [pytest.mark.engine, pytest.mark.private]

LIMITS = Limits(script_seconds=280, memory_mb=256, output_kb=512)
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
    "inline.yml": f"""
services:
  one:
    build:
      context: .
      dockerfile_inline: |
        FROM {BASE}
        ENV A=one
        CMD echo $$A, inline
""",
    "outside.yml": "services: {two: {build: {context: ./data, dockerfile: ../outside}}}",
    "outside": f"FROM {BASE}\nCOPY weeks.txt /w\nCMD cat /w\n",
}
CLEAN = "docker rm -fv $(docker ps -aq); docker network prune -f; docker volume prune -af"


@dataclass(frozen=True)
class Shell:
    """Runs scripts in the folder of `FILES`, each with a proxy of its own before the same engine."""

    private: PrivateEngine

    def run(self, script: str, **files: str) -> tuple[RunOutcome, Record]:
        texts = {**FILES, "commands.sh": script.replace("BASE", BASE), **files}
        vetted = [MemoryFile(name, text.encode()) for name, text in texts.items()]
        images = (BaseImage(names=(BASE, "python:3.9"), python="3.9", release="bullseye"),)
        with open_workspace(self.private, vetted, LIMITS, images=images) as workspace:
            return workspace.run(("bash", "commands.sh"), LIMITS.script_seconds), workspace.record()

    def said(self, script: str, **files: str) -> str:
        outcome, _ = self.run(script, **files)
        return (outcome.stdout + outcome.stderr).decode()

    def answers(self, commands: Sequence[str]) -> list[str]:
        """What each command prints, and its exit code in a last line."""
        lines = [f"echo '### {number}'; ({one}) 2>&1; echo \"code $?\"" for number, one in enumerate(commands)]
        return re.split(r"### \d+\n", self.said("\n".join(lines)))[1:]


@pytest.fixture
def shell(private: PrivateEngine) -> Iterator[Shell]:
    made = Shell(private)
    yield made
    made.run(CLEAN)


# ── what works ──────────────────────────────────────────────────────────────────────────

EACH = 'c() { timeout 60 "$@" >/tmp/out 2>&1 || { echo "FAILED $?: $*"; cat /tmp/out; }; }\n'
COMMANDS = {
    "looking": "c docker version\nc docker info\nc docker system df -v",
    "building": """
c docker images; c docker build -t app:1 .; c docker image ls -a --digests; c docker tag app:1 app:latest
c docker history app:1; c docker inspect app:1; c docker build --pull -t app:2 .; c docker rmi app:2
mkdir more; printf 'FROM BASE AS a\\nRUN true\\nFROM a AS b\\nARG X\\nRUN echo $X\\n' >more/M
c docker build -t a:1 -t b:2 -f more/M --build-arg X=2 --label l=1 --target b --no-cache --platform linux/amd64 \
    --network none --add-host x:1.2.3.4 --shm-size 10m --ulimit nofile=100 --iidfile /tmp/id --memory 1g --rm more
c docker image build --cache-from app:1 -q -f more/M more; c docker buildx build --load --progress plain -t c:1 .
c docker build --load --progress=plain --provenance=false .; c docker builder build .
printf 'FROM BASE\\nRUN true\\n' | c docker build -t c:1 -; tar cz Dockerfile data | c docker build -t d:1 -
c docker pull BASE; c docker pull -q docker.io/library/BASE; c docker image pull app:latest
c docker builder prune -f; c docker buildx prune -f; c docker image prune -f
""",
    "running": """
docker build -q -t app:1 . >/tmp/out
c docker run --rm BASE true; c docker run --rm --pull always BASE true
c docker run --rm -i BASE cat <Dockerfile
c docker run -d --name web -p 8080:80 -e A=b -v "$PWD/data:/data:ro" -v cache:/cache -w /data -u 1000 --memory 64m \
    --cpus 0.5 --restart on-failure:3 --label a=b --health-cmd true --tmpfs /tmp:size=1m --cap-drop ALL --read-only \
    --security-opt no-new-privileges --init --hostname h --add-host x:10.0.0.1 --dns 10.0.0.2 --ulimit nofile=100 \
    --log-driver json-file --log-opt max-size=1m --pids-limit 50 --shm-size 1m --entrypoint sleep app:1 300
c docker ps; c docker ps -aq --filter name=web; c docker logs web; c docker logs -t --tail 5 web
c docker exec web cat /w; c docker exec -i web cat <Dockerfile; c docker exec -d -e A=1 -w / -u 0 web true
c docker inspect web; c docker container inspect web; c docker stats --no-stream; c docker port web; c docker diff web
c docker pause web; c docker unpause web; c docker rename web two; c docker restart -t 0 two; c docker stop -t 0 two
c docker start two; c docker kill two; c docker wait two; c docker rm -v two
c docker create --name one BASE true; c docker start -ai one; c docker rm one; c docker container prune -f
c docker events --since 10s --until 0s
""",
    "networks and volumes": """
c docker volume create vol; c docker volume ls; c docker volume inspect vol; c docker volume rm vol
c docker network create front; c docker network create --subnet 10.9.0.0/24 --internal back; c docker network ls
c docker run -d --name web --network front --network-alias al BASE sleep 100; c docker network inspect front
c docker run --rm --network front BASE python -c 'import socket; socket.gethostbyname("al")'
c docker run --rm --network container:web BASE true; c docker run --rm --network none BASE true
c docker network connect back web; c docker network disconnect back web; c docker rm -f web; c docker network rm back
c docker network prune -f; c docker volume prune -f; c docker system prune -f
""",
    "compose": """
c docker compose config; c docker compose build; c docker-compose build --no-cache; c docker compose up -d --build
c docker compose ps -a; c docker compose logs; c docker compose run --rm job; c docker compose exec -T web true
c docker compose run --rm --build -T web cat /data/weeks.txt; c docker compose images; c docker compose restart -t 0
c docker compose stop -t 0; c docker compose start; c docker compose up --abort-on-container-exit job
c docker compose down -v -t 0
""",
}


@pytest.mark.parametrize("script", COMMANDS.values(), ids=COMMANDS)
def test_what_exercises_need_works(shell: Shell, script: str) -> None:
    outcome, record = shell.run(EACH + script)
    assert (outcome.stdout + outcome.stderr).decode() == ""
    assert [one for one in record.requests if one.status == 403] == []


PRINTED = [
    # typed, exit code, words that are printed
    ("echo in | docker run --rm -i BASE sh -c 'cat; echo err >&2; exit 7'", 7, ["in", "err"]),
    ("docker build -t app .", 0, ["Step 2/3 : RUN echo 1 > /a", "Successfully tagged app:latest"]),
    ("docker build -t app .", 0, ["Using cache"]),
    ("docker build -q .", 0, ["sha256:", "!Step"]),
    ("docker buildx build --load -t x . && docker run --rm x cat /w", 0, ["100 120"]),
    ("docker build --build-arg A=7 -q -t x . && docker run --rm x cat /a", 0, ["7"]),
    ("printf 'FROM BASE\\nRUN exit 7\\n' | docker build -", 7, ["Step 2/2 : RUN exit 7", "exit code: 7"]),
    ("printf 'FROM BASE\\nRUN echo said && false\\n' | docker build -q - ", 1, ["said", "exit code: 1"]),
    ("printf 'FROM BASE\\nCOPY missing /x\\n' | docker build -", 1, ['"/missing" not found']),
    ("printf 'FORM BASE\\n' | docker build -", 1, ["Dockerfile line 1: there is no instruction 'FORM'"]),
    ("cd data && docker build .", 1, ["Dockerfile: no such file or directory"]),
    (
        "printf 'FROM BASE\\nRUN <<END\\necho one >/o\\nEND\\n' | docker build -qt x - && docker run x cat /o",
        0,
        ["one"],
    ),
    ("printf 'FROM BASE\\nRUN --mount=target=/m cat /m/data/weeks.txt\\n' | docker build -f - .", 0, ["100 120"]),
    (
        "printf 'FROM BASE\\nCOPY . /c\\nRUN ls -R /c' >/tmp/D; docker build -f /tmp/D .",
        0,
        ["weeks.txt", "commands.sh"],
    ),
    (
        "echo 'data/w*' >.dockerignore; mkdir data/empty; docker build --no-cache -f /tmp/D .; rm .dockerignore",
        0,
        ["empty", "!weeks.txt"],
    ),
    ("docker build -qt own . && printf 'FROM own\\nRUN cat /w\\n' | docker build --no-cache -", 0, ["100 120"]),
    ("docker run --name cc BASE true; docker cp cc:/etc/hostname . && ls hostname", 0, ["hostname"]),
    ("docker cp cc:/etc/apt - | tar t", 0, ["apt/"]),
    ("docker cp cc:/missing .", 1, ["Could not find the file /missing"]),
    ("docker compose build web", 0, ["web"]),
    ("docker compose -f inline.yml up --build && docker-compose --file=inline.yml run --rm one", 0, ["one, inline"]),
    ("docker compose -f outside.yml up --build", 0, ["100 120"]),
    ("docker ps --all --filter name=cc -q | wc -l", 0, ["1"]),
]


def test_commands_print_and_end_as_at_home(shell: Shell) -> None:
    answers = shell.answers([typed for typed, _, _ in PRINTED])
    wrong = [
        (typed, answer)
        for (typed, code, words), answer in zip(PRINTED, answers, strict=True)
        if not answer.endswith(f"code {code}\n")
        or any((word.removeprefix("!") in answer) == word.startswith("!") for word in words)
        or "DEPRECATED" in answer
        or "BuildKit" in answer
    ]
    assert wrong == []


def test_folders_and_files_of_the_work_can_be_mounted(shell: Shell) -> None:
    script = """
docker run --rm -v "$PWD:/all" BASE ls /all/data
docker run --rm -v "$PWD/data/weeks.txt:/file:ro" BASE cat /file
docker run --rm -v "$PWD/out/deep:/out" BASE sh -c 'echo made >/out/made'; cat out/deep/made
docker run --rm --mount "type=bind,source=$PWD/data,target=/data,readonly" BASE sh -c 'touch /data/x || echo kept'
docker run --rm --mount "type=bind,source=$PWD/nothing,target=/data" BASE true || echo refused
docker run -d --name keeps -v "$PWD/data:/data" BASE sleep 100 >/dev/null; docker exec keeps cat /data/weeks.txt
"""
    outcome, _ = shell.run(script)
    assert outcome.stdout.decode().split() == ["weeks.txt", *("100", "120", "made", "kept", "refused", "100", "120")]


def test_the_record_tells_what_was_built_from_what(shell: Shell) -> None:
    outcome, record = shell.run("docker build -qt app . && docker inspect -f '{{.Id}}' app")
    build = next(one for one in record.requests if one.path == "/build")
    assert build.made in outcome.stdout.decode()
    assert build.dockerfile == "Dockerfile"
    assert [path for path, _ in build.context] == sorted([*FILES, "commands.sh"])


def test_a_build_that_is_interrupted_ends(shell: Shell) -> None:
    script = "printf 'FROM BASE\\nRUN sleep 100\\n' | timeout -s INT 4 docker build - >/dev/null 2>&1; echo end"
    assert shell.said(script).endswith("end\n")


def test_caches_are_not_shared_with_other_scripts(shell: Shell) -> None:
    lines = "FROM BASE\\nARG X\\nRUN --mount=type=cache,target=/kept echo $X >>/kept/x; wc -l </kept/x >/count\\n"
    script = f"""
printf '{lines}' >Dockerfile; docker build -q --build-arg X=$RANDOM -t one . >/dev/null
docker build -q --build-arg X=$RANDOM -t two . >/dev/null; docker run --rm two cat /count
"""
    assert shell.said(script) == shell.said(script) == "2\n"


# ── what does not ───────────────────────────────────────────────────────────────────────

FORBIDDEN = [
    ("docker run --privileged BASE true", "a privileged container or process has the whole machine"),
    ("docker run --cap-add SYS_ADMIN BASE true", "HostConfig.CapAdd cannot be set here"),
    ("docker run -v /:/host BASE true", "containers of an exercise see only folders of the submission"),
    ('docker run -v "$PWD/..:/host" BASE true', "only folders of the submission"),
    ("docker run --mount type=bind,source=/etc,target=/etc BASE true", "only folders of the submission"),
    (
        "docker run --mount type=volume,source=x,target=/x,volume-opt=o=bind,volume-opt=device=/ BASE",
        "any folder or disk could be mounted",
    ),
    ("docker volume create --opt type=none --opt o=bind --opt device=/ v", "any folder or disk could be mounted"),
    ("docker run --network host BASE true", "cannot be the host's network here"),
    ("docker run --pid host BASE true", "not the host's"),
    ("docker run --device /dev/loop0 BASE true", "get no devices of the machine"),
    ("docker run --security-opt seccomp=unconfined BASE true", "switch off what keeps the container in"),
    ("docker run no-such-image true", "there is no image no-such-image:latest here"),
    ("docker pull alpine", "no registry to fetch it from"),
    ("docker login -u a -p b", "there is no registry"),
    ("docker push app", "there is no registry"),
    ("echo x | docker import - x", "`docker import` is not available here"),
    ("docker save BASE >/dev/null", "`docker save` is not available here"),
    ("docker load <Dockerfile", "`docker load` is not available here"),
    ("docker create --name cc BASE; docker cp Dockerfile cc:/", "`docker cp` into a container is not available here"),
    ("docker commit cc", "`docker commit` is not available here"),
    ("docker build --network host .", "cannot be the host's network here"),
    ("docker build --build-arg BUILDKIT_SYNTAX=own:1 .", "other frontends than the Dockerfile's own are not available"),
    ("printf '# syntax=own:1\\nFROM BASE' | docker build -", "this is not allowed here"),
    ("printf 'FROM alpine' | docker build -", "FROM alpine: this image is not allowed here"),
    ("printf 'FROM python:3.9' | docker build -", "there is no image python:3.9 here"),
    ("printf 'FROM BASE\\nADD https://example.invalid/x /' | docker build -", "nothing is fetched from addresses here"),
    ("ln -s / data/out; docker build .; code=$?; rm data/out; exit $code", "data/out: it is a link"),
    (
        "head -c 40000000 /dev/zero >zeros; docker build .; code=$?; rm zeros; exit $code",
        "a build's context (.dockerignore makes it smaller) may have at most",
    ),
]


def test_what_reaches_the_machine_is_refused(shell: Shell, private: PrivateEngine) -> None:
    answers = shell.answers([command for command, _ in FORBIDDEN])
    wrong = [
        (command, answer)
        for (command, words), answer in zip(FORBIDDEN, answers, strict=True)
        if words not in answer or answer.endswith("code 0\n")
    ]
    assert wrong == []
    containers = private.engine.connection.call("GET", "/containers/json", parameters={"all": 1}).json
    assert [one["Names"] for one in containers] == [["/cc"]]


def test_who_used_the_engine_before_is_not_told(shell: Shell) -> None:
    """The same engine, two scripts one after the other."""
    mark = "of-an-earlier-one"
    events = "docker events --since 0 --until $(($(date +%s) + 1)); docker events --until $(date +%s)"
    own = shell.said(
        f"printf 'FROM BASE\\nRUN echo {mark} >/x\\n' | docker build -q -t x:1 -\n"
        f"docker run --rm --name {mark} x:1 true; docker rmi x:1; {events}"
    )
    assert mark in own, "one's own are told"
    told = shell.said(f"docker system df -v; {events}")
    assert mark not in told
    assert "Build cache usage: 0B" in told, told


def test_a_link_out_of_the_work_leads_nowhere_even_if_it_is_made_later(shell: Shell) -> None:
    """The engine follows links when a container starts, long after the proxy has seen its settings."""
    at_once = shell.said('ln -s / out; docker run --rm -v "$PWD/out:/x" BASE ls /x')
    assert "escapes the base directory" in at_once
    script = """
mkdir folder; docker create --name later -v "$PWD/folder:/x" BASE ls /x
rmdir folder; ln -s / folder; docker start -a later
"""
    assert "escapes the base directory" in shell.said(script)
