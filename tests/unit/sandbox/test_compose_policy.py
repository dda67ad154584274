"""The policy for Compose files: what `docker compose config` has read, and what it does not show any more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grader.models import MemoryFile
from grader.sandbox.compose_policy import Judged, examine, hidden
from grader.submissions.models import ExerciseFiles
from tests.worlds import COURSE

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


BIND = {"type": "bind", "source": "./sales.txt", "target": "/app/sales.txt", "bind": {"create_host_path": True}}
HARMLESS: list[Settings] = [
    {"ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp", "host_ip": "127.0.0.1"}]},
    {"volumes": [BIND, {"type": "volume", "source": "data", "target": "/d"}, {"type": "bind", "source": "."}]},
    {"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "100"}}], "tmpfs": ["/z"]},
    {"environment": {"A": "1", "B": None}, "labels": {"privileged": "b"}, "profiles": ["p"], "tty": True},
    {"deploy": {"replicas": 2, "resources": {"limits": {"cpus": 0.5, "memory": "52428800"}}, "placement": {}}},
    {"logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}},
    {"network_mode": "none", "read_only": True, "security_opt": ["no-new-privileges:true"], "cap_drop": ["ALL"]},
    {"privileged": False, "cap_add": [], "devices": None, "x-own": {"privileged": True}},
    {"configs": [{"source": "c", "target": "/app/sales.txt"}], "user": "1000", "container_name": "x"},
]  # fmt: skip


@pytest.mark.parametrize("settings", HARMLESS, ids=[next(iter(one)) for one in HARMLESS])
def test_what_does_no_harm_passes(settings: Settings) -> None:
    configs = {"c": {"name": "c", "file": "./sales.txt"}}
    assert judged({**service(**settings), "configs": configs, "x-top": 1}) == Judged()


OUT = "leads out of the exercise's folder"
HARMFUL: list[tuple[Settings, str]] = [
    ({"privileged": True}, "services.web.privileged cannot be set here: a privileged container"),
    ({"cap_add": ["SYS_ADMIN"]}, "services.web.cap_add"),
    ({"devices": [{"source": "/dev/sda"}]}, "services.web.devices"),
    ({"deploy": {"resources": {"reservations": {"devices": [{}, 1]}}}}, "deploy.resources.reservations.devices"),
    ({"pid": "host"}, "services.web.pid"),
    ({"ipc": "container:x"}, "services.web.ipc"),
    ({"userns_mode": "host"}, "userns_mode"),
    ({"cgroup_parent": "/x"}, "cgroup_parent"),
    ({"network_mode": "host"}, "services.web.network_mode"),
    ({"network_mode": "container:x"}, "network_mode"),
    ({"volumes_from": ["container:x"]}, "volumes_from"),
    ({"security_opt": ["seccomp:unconfined"]}, "security_opt"),
    ({"runtime": "x"}, "services.web.runtime"),
    ({"post_start": [{"command": ["ls"]}]}, "post_start"),
    ({"extra_hosts": ["h=host-gateway"]}, "extra_hosts"),
    ({"logging": {"driver": "none"}}, "logging.driver"),
    ({"logging": {"options": {"syslog-address": "tcp://x"}}}, "syslog-address"),
    ({"scale": 5}, "services.web.scale is 5; at most 4"),
    ({"deploy": {"replicas": 10_000}}, "replicas is 10000; at most 4"),
    ({"deploy": {"mode": "global"}}, "deploy.mode"),
    ({"volumes": [{"type": "bind", "source": "/", "target": "/h"}]}, f"volumes[0].source {OUT} (/)"),
    ({"volumes": [{"type": "bind", "source": "..", "target": "/s"}]}, OUT),
    ({"volumes": [{"type": "bind", "source": "./a/../../b", "target": "/s"}]}, OUT),
    ({"volumes": [{"type": "bind", "source": ".evil/x", "target": "/s"}]}, OUT),
    ({"volumes": [{"type": "npipe", "source": "x", "target": "/s"}]}, "volumes[0].type"),
    ({"volumes": [{"type": "bind", "source": ".", "target": "/s", "bind": {"propagation": "shared"}}]}, "propagation"),
    ({"build": {"context": ".."}}, f"build.context {OUT}"),
    ({"build": {"context": "https://example.org/x.git"}}, f"build.context {OUT}"),
    ({"build": {"context": ".", "network": "host"}}, "build.network"),
    ({"build": {"context": ".", "privileged": True}}, "build.privileged"),
    ({"build": {"context": ".", "ssh": ["default"]}}, "build.ssh"),
    ({"build": {"context": ".", "additional_contexts": {"x": "/etc"}}}, "additional_contexts"),
    ({"build": {"context": ".", "args": {"BUILDKIT_SYNTAX": "evil/frontend"}}}, "BUILDKIT_SYNTAX"),
    ({"build": {"context": ".", "dockerfile": "/etc/passwd"}}, f"build.dockerfile {OUT}"),
]
SECTIONS: list[tuple[Settings, str]] = [
    ({"volumes": {"v": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}}, "volumes.v.driver_opts"),
    ({"volumes": {"v": {"driver": "nfs"}}}, "volumes.v.driver"),
    ({"networks": {"n": {"external": True}}}, "networks.n.external"),
    ({"networks": {"n": {"name": "host"}}}, "networks.n.name"),
    ({"networks": {"n": {"driver": "macvlan"}}}, "networks.n.driver"),
    ({"secrets": {"s": {"file": "/etc/passwd"}}}, f"secrets.s.file {OUT}"),
    ({"secrets": {"s": {"environment": "HOME"}}}, "secrets.s.environment"),
    ({"configs": {"c": {"file": "../c"}}}, f"configs.c.file {OUT}"),
    ({"models": {"m": {}}}, "models is not available"),
    (
        {"services": {f"s{number}": {"image": "python:3.9-slim"} for number in range(9)}},
        "there are 9 services; at most",
    ),
]
REFUSED = [(service(**settings), says) for settings, says in HARMFUL] + [
    (service() | section, says) for section, says in SECTIONS
]


@pytest.mark.parametrize(("top", "says"), REFUSED, ids=[says for _, says in REFUSED])
def test_what_reaches_further_is_refused_by_its_name(top: Settings, says: str) -> None:
    (refusal,) = judged(top).refusals
    assert refusal.startswith(f"{NAME}: ")
    assert says in refusal


# ── what the model does not show ────────────────────────────────────────────────────────


def tenfold(first: str, more: str) -> str:
    """Eight keys, each of them ten times the one before."""
    lines = [f"x-0: &n0 {first}", *(f"x-{n}: &n{n} {more % ', '.join([f'*n{n - 1}'] * 10)}" for n in range(1, 8))]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("include: ['oci://example.org/x']\n", "include reads other Compose files"),
        ("services: {a: {extends: {file: /x.yml, service: b}}}\n", "services.a.extends.file"),
        ("services: {a: {env_file: /etc/passwd}}\n", f"services.a.env_file {OUT}"),
        ("services: {a: {env_file: [a.env, ../../secret.env]}}\n", "env_file[1]"),
        ("services: {a: {env_file: [{path: ~/x, required: false}]}}\n", "services.a.env_file"),
        ("services: {a: {env_file: '${HOME}/x'}}\n", "without variables"),
        ("services: {a: {provider: {type: model}}}\n", "services.a.provider starts a program"),
        ("services: {a: {label_file: /etc/passwd}}\n", "services.a.label_file"),
        ("x-a: &a {env_file: /etc/passwd}\nservices: {a: {<<: [{tty: true}, *a]}}\n", "services.a.env_file"),
        ('services: {a: {"env\\x5ffile": /etc/passwd}}\n', "services.a.env_file"),
        ("x-a: " + "[" * 5000 + "]" * 5000, "line 1: more than 32 levels of nesting"),
        (tenfold("{k: v}", "{<<: [%s]}"), "more than 20000 values"),
        (f"x-a: {'x' * 2**20}", "at most 1048576"),
    ],
)
def test_what_compose_would_read_into_it_is_refused_and_what_nobody_writes(text: str, says: str) -> None:
    assert any(says in refusal for refusal in hidden(files(text))), hidden(files(text))


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {env_file: a.env}, b: {extends: {service: a}}, c: {extends: a}}\n",
        "services: {a: {env_file: [./a.env, {path: sub/b.env}], environment: {include: x, env_file: /etc/passwd}}}\n",
        "services:\n\tweb:\n",
        "- a\n",
        "",
    ],
)
def test_what_is_of_the_folder_or_not_to_be_read_is_left_to_compose(text: str) -> None:
    assert hidden(files(text)) == ()


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
    assert hidden(given)[0].startswith("docker-compose.override.yml: include")


@pytest.mark.parametrize(
    ("build", "content", "says"),
    [
        ({"dockerfile": "other"}, {"other": "FROM evil/image\n"}, "other line 1: FROM evil/image"),
        ({"context": "./app"}, {"app/Dockerfile": "FROM python:3.9\nADD http://x/y /\n"}, "app/Dockerfile line 2: ADD"),
        ({"dockerfile_inline": "FROM evil/image\n"}, {}, "dockerfile_inline line 1: FROM"),
        ({"args": {"BASE": "evil/image"}}, {"Dockerfile": "ARG BASE\nFROM $BASE\n"}, "evil/image: this image is not"),
        ({"dockerfile": "sub/../other"}, {"other": "FROM python:3.9\n"}, ""),
        ({"context": "./app"}, {"app/dockerfile": "FROM python:3.9\n"}, ""),
        ({"dockerfile_inline": "FROM python:3.9\n"}, {"Dockerfile": "FROM evil/image\n"}, ""),
        ({"args": {"BASE": "python:3.9"}}, {"Dockerfile": "ARG BASE\nFROM $BASE\n"}, ""),
        ({"dockerfile": "missing"}, {}, ""),
        ({}, {"Dockerfile": "FORM python:3.9\n"}, ""),
    ],
)
def test_dockerfiles_that_it_names_pass_the_same_policy(build: Settings, content: dict[str, str], says: str) -> None:
    """What is not there, or cannot be read, is left to Compose and to the build."""
    found = judged(service(build={"context": ".", **build}), files(**content))
    assert says in "".join(found.refusals)
    assert bool(found.refusals) == bool(says)
