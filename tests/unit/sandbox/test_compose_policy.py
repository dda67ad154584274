"""The gate for Compose files: what `docker compose config` has read, and what it does not show any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grader.grading.exercise import grade_exercise
from grader.models import ComposeSeen, ExerciseStatus, MemoryFile
from grader.sandbox.compose_policy import MAX_SERVICES, Judged, examine, hidden
from grader.submissions.models import ExerciseFiles
from tests.worlds import COURSE, composed, context, printed

NAME = "docker-compose.yml"
Settings = dict[str, Any]


def files(text: str = "services:\n", **others: str) -> ExerciseFiles:
    content = {NAME: text, "Dockerfile": "FROM python:3.9-slim\n", "sales.txt": "1\n", **others}
    return ExerciseFiles("3.3.3", "f", tuple(MemoryFile(path, text.encode()) for path, text in content.items()), "d")


def judged(top: Settings, given: ExerciseFiles | None = None) -> Judged:
    return examine(given or files(), json.dumps(top).encode(), COURSE.images)


def service(**settings: Any) -> Settings:
    """A model with one service, much as Compose 2.26 prints it."""
    build = {"context": ".", "dockerfile": "Dockerfile"}
    return {
        "name": "exercise",
        "networks": {"default": {"name": "exercise_default", "ipam": {}}},
        "services": {"web": {"build": build, "command": None, "networks": {"default": None}, **settings}},
    }


# ── what passes ─────────────────────────────────────────────────────────────────────────

BIND = {"type": "bind", "source": "./sales.txt", "target": "/app/sales.txt", "bind": {"create_host_path": True}}
HARMLESS: list[Settings] = [
    {"ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp", "host_ip": "127.0.0.1"}]},
    {"volumes": [BIND, {"type": "volume", "source": "data", "target": "/d"}, {"type": "bind", "source": "."}]},
    {"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "100"}}], "tmpfs": ["/z"]},
    {"environment": {"A": "1", "B": None}, "labels": {"a": "b"}, "profiles": ["p"], "tty": True, "init": True},
    {"healthcheck": {"test": ["CMD", "true"], "interval": "5s", "retries": 2}, "restart": "on-failure:3"},
    {"depends_on": {"db": {"condition": "service_started", "required": True}}, "container_name": "x", "user": "1000"},
    {"deploy": {"replicas": 2, "resources": {"limits": {"cpus": 0.5, "memory": "52428800"}}, "placement": {}}},
    {"mem_limit": "67108864", "cpus": 0.5, "pids_limit": 5, "ulimits": {"nproc": 3, "nofile": {"soft": 1, "hard": 2}}},
    {"logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}},
    {"network_mode": "none", "read_only": True, "security_opt": ["no-new-privileges:true"], "cap_drop": ["ALL"]},
    {"privileged": False, "cap_add": [], "devices": None, "x-own": {"privileged": True}},
    {"configs": [{"source": "c", "target": "/app/sales.txt"}]},
    {"develop": {"watch": [{"path": "/", "action": "sync", "target": "/x"}]}},
]  # fmt: skip


@pytest.mark.parametrize("settings", HARMLESS, ids=[next(iter(one)) for one in HARMLESS])
def test_what_does_no_harm_passes(settings: Settings) -> None:
    assert (
        judged({**service(**settings), "configs": {"c": {"name": "c", "file": "./sales.txt"}}, "x-top": 1}) == Judged()
    )


# ── what does not ───────────────────────────────────────────────────────────────────────

HARMFUL: list[tuple[Settings, str]] = [
    ({"privileged": True}, "services.web.privileged cannot be set here: a privileged container"),
    ({"cap_add": ["SYS_ADMIN"]}, "services.web.cap_add"),
    ({"devices": [{"source": "/dev/sda"}]}, "services.web.devices"),
    ({"gpus": [{"count": -1}]}, "services.web.gpus"),
    ({"device_cgroup_rules": ["a *:* rwm"]}, "device_cgroup_rules"),
    ({"deploy": {"resources": {"reservations": {"devices": [{}]}}}}, "deploy.resources.reservations.devices"),
    ({"pid": "host"}, "services.web.pid"),
    ({"ipc": "host"}, "services.web.ipc"),
    ({"pid": "container:x"}, "services.web.pid"),
    ({"uts": "host"}, "services.web.uts"),
    ({"userns_mode": "host"}, "userns_mode"),
    ({"cgroup": "host"}, "services.web.cgroup"),
    ({"cgroup_parent": "/x"}, "cgroup_parent"),
    ({"network_mode": "host"}, "services.web.network_mode"),
    ({"network_mode": "container:x"}, "network_mode"),
    ({"volumes_from": ["container:x"]}, "volumes_from"),
    ({"sysctls": {"net.ipv4.ip_forward": "1"}}, "sysctls"),
    ({"security_opt": ["seccomp:unconfined"]}, "security_opt"),
    ({"runtime": "x"}, "services.web.runtime"),
    ({"oom_score_adj": -1000}, "oom_score_adj"),
    ({"storage_opt": {"size": "1G"}}, "storage_opt"),
    ({"credential_spec": {"file": "x"}}, "credential_spec"),
    ({"provider": {"type": "model"}}, "services.web.provider cannot be set here: a provider is a program"),
    ({"use_api_socket": True}, "use_api_socket"),
    ({"post_start": [{"command": ["ls"]}]}, "post_start"),
    ({"pre_stop": [{"command": ["ls"]}]}, "pre_stop"),
    ({"extra_hosts": ["h=host-gateway"]}, "extra_hosts"),
    ({"logging": {"driver": "syslog"}}, "logging.driver"),
    ({"logging": {"driver": "none"}}, "logging.driver"),
    ({"logging": {"options": {"syslog-address": "tcp://x"}}}, "syslog-address"),
    ({"dns": ["8.8.8.8"]}, "services.web.dns"),
    ({"scale": 5}, "services.web.scale is 5; at most 4"),
    ({"deploy": {"replicas": 10_000}}, "replicas is 10000; at most 4"),
    ({"deploy": {"mode": "global"}}, "deploy.mode"),
    ({"volumes": [{"type": "bind", "source": "/", "target": "/h"}]}, "leads out of the exercise's folder (/)"),
    ({"volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/s"}]}, "leads out"),
    ({"volumes": [{"type": "bind", "source": "..", "target": "/s"}]}, "leads out"),
    ({"volumes": [{"type": "bind", "source": "./a/../../b", "target": "/s"}]}, "leads out"),
    ({"volumes": [{"type": "bind", "source": ".evil/x", "target": "/s"}]}, "leads out"),
    ({"volumes": [{"type": "npipe", "source": "x", "target": "/s"}]}, "volumes[0].type"),
    ({"volumes": [{"type": "bind", "source": ".", "target": "/s", "bind": {"propagation": "shared"}}]}, "propagation"),
    ({"build": {"context": ".."}}, "build.context leads out"),
    ({"build": {"context": "https://example.org/x.git"}}, "build.context leads out"),
    ({"build": {"context": ".", "network": "host"}}, "build.network"),
    ({"build": {"context": ".", "privileged": True}}, "build.privileged"),
    ({"build": {"context": ".", "entitlements": ["network.host"]}}, "build.entitlements"),
    ({"build": {"context": ".", "ssh": ["default"]}}, "build.ssh"),
    ({"build": {"context": ".", "secrets": [{"source": "s"}]}}, "build.secrets"),
    ({"build": {"context": ".", "additional_contexts": {"x": "/etc"}}}, "additional_contexts"),
    ({"build": {"context": ".", "cache_to": ["type=local,dest=/x"]}}, "cache_to"),
    ({"build": {"context": ".", "args": {"BUILDKIT_SYNTAX": "evil/frontend"}}}, "BUILDKIT_SYNTAX"),
]


@pytest.mark.parametrize(
    ("settings", "told"), HARMFUL, ids=[next(iter(one)) + str(at) for at, (one, _) in enumerate(HARMFUL)]
)
def test_what_reaches_further_is_refused_by_its_name(settings: Settings, told: str) -> None:
    (refusal,) = judged(service(**settings)).refusals
    assert refusal.startswith(f"{NAME}: ")
    assert told in refusal


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"volumes": {"v": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}}, "volumes.v.driver_opts"),
        ({"volumes": {"v": {"driver": "nfs"}}}, "volumes.v.driver"),
        ({"volumes": {"v": {"external": True, "name": "other"}}}, "volumes.v.external"),
        ({"networks": {"n": {"external": True}}}, "networks.n.external"),
        ({"networks": {"n": {"name": "host"}}}, "networks.n.name"),
        ({"networks": {"n": {"driver": "macvlan"}}}, "networks.n.driver"),
        ({"networks": {"n": {"driver_opts": {"a": "b"}}}}, "networks.n.driver_opts"),
        ({"secrets": {"s": {"file": "/etc/passwd"}}}, "secrets.s.file leads out"),
        ({"secrets": {"s": {"environment": "HOME"}}}, "secrets.s.environment"),
        ({"configs": {"c": {"file": "../c"}}}, "configs.c.file leads out"),
        ({"models": {"m": {}}}, "models is not available"),
    ],
)  # fmt: skip
def test_other_sections_are_held_to_their_lists(section: Settings, told: str) -> None:
    assert told in judged({**service(), **section}).refusals[0]


def test_a_file_of_many_services_is_refused() -> None:
    many = {f"s{number}": {"image": "python:3.9-slim"} for number in range(MAX_SERVICES + 1)}
    assert judged({"services": many}).refusals == (f"{NAME}: there are 9 services; at most 8 are brought up.",)
    assert judged({"services": dict(list(many.items())[1:])}) == Judged()


def test_everything_is_told_at_once() -> None:
    assert len(judged(service(privileged=True, pid="host", dns=["1.1.1.1"])).refusals) == 3


# ── what the model does not show ────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("include: [other.yml]\nservices: {}\n", "include reads other Compose files"),
        ("include: ['oci://example.org/x']\n", "include reads"),
        ("services: {a: {extends: {file: /x.yml, service: b}}}\n", "services.a.extends.file"),
        ("services: {a: {env_file: /etc/passwd}}\n", "services.a.env_file leads out"),
        ("services: {a: {env_file: [a.env, ../../secret.env]}}\n", "secret.env"),
        ("services: {a: {env_file: [{path: ~/x, required: false}]}}\n", "services.a.env_file"),
        ("services: {a: {env_file: '${HOME}/x'}}\n", "without variables"),
        ("services: {a: {provider: {type: model}}}\n", "services.a.provider starts a program"),
        ("services: {a: {label_file: /etc/passwd}}\n", "services.a.label_file"),
        ("x-a: &a {env_file: /etc/passwd}\nservices: {a: {<<: *a}}\n", "services.a.env_file"),
        ("x-a: &a {env_file: /etc/passwd}\nservices: {a: {<<: [{tty: true}, *a]}}\n", "services.a.env_file"),
        ('services: {a: {"env\\x5ffile": /etc/passwd}}\n', "services.a.env_file"),
    ],
)
def test_files_that_compose_would_read_into_it_are_refused(text: str, told: str) -> None:
    assert any(told in refusal for refusal in hidden(files(text))), hidden(files(text))


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {env_file: a.env}, b: {extends: {service: a}}, c: {extends: a}}\n",
        "services: {a: {env_file: [./a.env, {path: sub/b.env}], environment: {include: x, env_file: /etc/passwd}}}\n",
        "services:\n\tweb:\n",
        "services\n",
        "- a\n",
        "",
    ],
)
def test_what_is_of_the_folder_or_not_to_be_read_is_left_to_compose(text: str) -> None:
    assert hidden(files(text)) == ()


def tenfold(first: str, more: str) -> str:
    """Eight keys, each of them ten times the one before."""
    lines = [f"x-0: &n0 {first}", *(f"x-{n}: &n{n} {more % ', '.join([f'*n{n - 1}'] * 10)}" for n in range(1, 8))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x-a: " + "[" * 5000 + "]" * 5000, "line 1: more than 32 levels of nesting"),
        (tenfold("1", "[%s]"), "more than 20000 values"),
        (tenfold("{k: v}", "{<<: [%s]}"), "more than 20000 values"),
        (f"x-a: {'x' * 2**20}", "at most 1048576"),
    ],
)
def test_what_nobody_writes_is_refused_before_compose_spends_its_time_on_it(text: str, told: str) -> None:
    assert told in hidden(files(text))[0]


@pytest.mark.parametrize(
    "text",
    [
        "services: {}\n---\nservices: {a: {privileged: true}}\n",
        "services: {a: {privileged: !reset null}}\n",
        "services: {a: {x: 1}, a: {x: 2}}\n",
    ],
)
def test_what_two_programs_read_in_two_ways_is_refused_once_compose_accepts_it(text: str) -> None:
    assert "in the same way" in judged(service(), files(text)).refusals[0]


def test_the_file_that_compose_adds_by_itself_is_looked_at_too() -> None:
    given = files(**{"docker-compose.override.yml": "include: [x]\n"})
    assert given.compose_files == (NAME, "docker-compose.override.yml")
    assert hidden(given)[0].startswith("docker-compose.override.yml: include")


# ── Dockerfiles ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("build", "content", "told"),
    [
        ({"context": ".", "dockerfile": "other"}, {"other": "FROM evil/image\n"}, "other line 1: FROM evil/image"),
        ({"context": "./app"}, {"app/Dockerfile": "FROM python:3.9\nADD http://x/y /\n"}, "app/Dockerfile line 2: ADD"),
        ({"context": "."}, {"Dockerfile": "# syntax=evil/frontend\nFROM python:3.9\n"}, "Dockerfile line 1: # syntax"),
        ({"context": ".", "dockerfile_inline": "FROM evil/image\n"}, {}, "dockerfile_inline line 1: FROM"),
        ({"context": ".", "dockerfile": "/etc/passwd"}, {}, "build.dockerfile leads out of the exercise's folder"),
        ({"context": "./app", "dockerfile": "../../x"}, {"x": "FROM python:3.9\n"}, "build.dockerfile leads out"),
        (
            {"context": ".", "args": {"BASE": "evil/image"}},
            {"Dockerfile": "ARG BASE=python:3.9\nFROM $BASE\n"},
            "evil/image: this image is not allowed",
        ),
    ],
)
def test_dockerfiles_that_it_names_pass_the_same_gate(build: Settings, content: dict[str, str], told: str) -> None:
    assert told in judged(service(build=build), files(**content)).refusals[0]


@pytest.mark.parametrize(
    ("build", "content"),
    [
        ({"context": ".", "dockerfile": "sub/../other"}, {"other": "FROM python:3.9\n"}),
        ({"context": "./app"}, {"app/dockerfile": "FROM python:3.9\n"}),
        ({"context": ".", "dockerfile_inline": "FROM python:3.9\n"}, {"Dockerfile": "FROM evil/image\n"}),
        ({"context": ".", "args": {"BASE": "python:3.9"}}, {"Dockerfile": "ARG BASE\nFROM $BASE\n"}),
    ],
)
def test_other_dockerfiles_are_welcome(build: Settings, content: dict[str, str]) -> None:
    assert judged(service(build=build), files(**content)) == Judged()


# ── the verdict ─────────────────────────────────────────────────────────────────────────


def test_an_exercise_whose_file_is_refused_is_rejected_and_told_why() -> None:
    seen = ComposeSeen(printed(), refused=("docker-compose.yml: services.web.privileged cannot be set here.",))
    report = grade_exercise(context("3.3.3", {NAME: b"x"}), composed(lambda _: seen))
    assert (report.status, report.score, report.checks) == (ExerciseStatus.REJECTED, 0.0, ())
    assert "services.web.privileged" in report.message
