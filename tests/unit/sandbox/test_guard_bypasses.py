"""Ways around filters before Docker's engine, each known from one; here each is refused, in words for a student."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import pytest

from grader.sandbox.proxy.http import parse_head
from grader.sandbox.proxy.refusal import Refusal, answer
from grader.sandbox.proxy.rules import Policy, plan

POLICY = Policy(PurePosixPath("/submission"))


def ask(first: str, body: str = "", *headers: str, policy: Policy = POLICY) -> None:
    lines = [f"{first} HTTP/1.1", "Host: docker", *(headers or (["Content-Type: application/json"] if body else []))]
    plan(parse_head("\r\n".join([*lines, "", ""]).encode()), policy).rebuilt(body.encode())


def create(settings: dict[str, Any]) -> None:
    ask("POST /v1.45/containers/create", json.dumps({"Image": "app"} | settings))


HOST: dict[str, dict[str, Any]] = {
    "privileged": {"Privileged": True},
    "privileged as a number": {"Privileged": 1},
    "lower case": {"privileged": True},
    "upper case": {"PRIVILEGED": True},
    "long s": {"Deviceſ": [{"PathOnHost": "/dev/sda"}]},  # noqa: RUF001 - Go takes it for an s
    "capability": {"CapAdd": ["SYS_ADMIN"]},
    "usual capability": {"CapAdd": ["NET_RAW"]},
    "device": {"Devices": [{"PathOnHost": "/dev/loop0", "PathInContainer": "/dev/x", "CgroupPermissions": "rwm"}]},
    "device request": {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["vendor.com/class=name"]}]},
    "device rule": {"DeviceCgroupRules": ["a *:* rwm"]},
    "pid of the host": {"PidMode": "host"},
    "ipc of the host": {"IpcMode": "host"},
    "uts of the host": {"UTSMode": "host"},
    "users of the host": {"UsernsMode": "host"},
    "cgroups of the host": {"CgroupnsMode": "host"},
    "network of the host": {"NetworkMode": "host"},
    "network, in capitals": {"NetworkMode": "HOST"},
    "network as a namespace": {"NetworkMode": "ns:/proc/1/ns/net"},
    "seccomp": {"SecurityOpt": ["seccomp=unconfined"]},
    "apparmor": {"SecurityOpt": ["apparmor:unconfined"]},
    "label": {"SecurityOpt": ["label=disable"]},
    "systempaths": {"SecurityOpt": ["systempaths=unconfined"]},
    "writable cgroups": {"SecurityOpt": ["writable-cgroups=true"]},
    "privileges may be gained": {"SecurityOpt": ["no-new-privileges:false"]},
    "sysctl": {"Sysctls": {"kernel.core_pattern": "|/x"}},
    "runtime": {"Runtime": "io.containerd.runhcs.v1"},
    "volume driver": {"VolumeDriver": "nfs"},
    "cgroup parent": {"CgroupParent": "/"},
    "unmasked /proc": {"MaskedPaths": []},
    "writable /proc": {"ReadonlyPaths": []},
    "isolation": {"Isolation": "hyperv"},
    "log over the network": {"LogConfig": {"Type": "syslog", "Config": {"syslog-address": "tcp://192.0.2.1"}}},
    "log option": {"LogConfig": {"Type": "json-file", "Config": {"path": "/etc/x"}}},
    "no killing": {"OomKillDisable": True},
    "never killed": {"OomScoreAdj": -1000},
    "storage option": {"StorageOpt": {"size": "1T"}},
    "annotation": {"Annotations": {"run.oci.keep_original_groups": "1"}},
    "field that is not known": {"Surprise": False},
    "root of the machine": {"Binds": ["/:/host"]},
    "engine's socket": {"Binds": ["/var/run/docker.sock:/var/run/docker.sock"]},
    "beside the work": {"Binds": ["/submission-2:/x"]},
    "above the work": {"Binds": ["/submission/..:/x"]},
    "above the work, deep": {"Binds": ["/submission/a/../../etc:/x"]},
    "two slashes": {"Binds": ["//etc:/x"]},
    "relative": {"Binds": ["../etc:/x"]},
    "home": {"Binds": ["~/x:/x"]},
    "no source": {"Binds": [":/x"]},
    "no target": {"Binds": ["/submission"]},
    "too many parts": {"Binds": ["/submission:/x:ro:/etc"]},
    "relative target": {"Binds": ["/submission:x"]},
    "shared mount": {"Binds": ["/submission:/x:rshared"]},
    "name of ours": {"Binds": ["grader-work-0123456789ab:/x"]},
    "mount outside": {"Mounts": [{"Type": "bind", "Source": "/etc", "Target": "/x"}]},
    "mount without source": {"Mounts": [{"Type": "bind", "Target": "/x"}]},
    "mount of another type": {"Mounts": [{"Type": "image", "Source": "app", "Target": "/x"}]},
    "mount of a cluster": {"Mounts": [{"Type": "cluster", "Source": "x", "Target": "/x"}]},
    "mount, type in capitals": {"Mounts": [{"Type": "BIND", "Source": "/etc", "Target": "/x"}]},
    "mount, shared": {
        "Mounts": [{"Type": "bind", "Source": "/submission", "Target": "/x", "BindOptions": {"Propagation": "shared"}}]
    },
    "driver of a mounted volume": {
        "Mounts": [
            {
                "Type": "volume",
                "Source": "x",
                "Target": "/x",
                "VolumeOptions": {
                    "DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}
                },
            }
        ]
    },
    "part of a volume": {
        "Mounts": [{"Type": "volume", "Source": "x", "Target": "/x", "VolumeOptions": {"Subpath": "../.."}}]
    },
    "source of a tmpfs": {"Mounts": [{"Type": "tmpfs", "Source": "/etc", "Target": "/x"}]},
}


@pytest.mark.parametrize("host", HOST.values(), ids=HOST)
def test_a_container_gets_nothing_of_the_machine(host: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        create({"HostConfig": host})


OTHER_BODIES = {
    "two spellings": '{"Image":"a","HostConfig":{},"hostconfig":{"Privileged":true}}',
    "twice": '{"Image":"a","HostConfig":{},"HostConfig":{"Privileged":true}}',
    "escaped": '{"Image":"a","HostConfig":{},"\\u0048ostConfig":{"Privileged":true}}',
    "second document": '{"Image":"a"}{"HostConfig":{"Privileged":true}}',
    "lower case alone": '{"Image":"a","hostconfig":{"Privileged":true}}',
    "network of the host as an endpoint": '{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"host":{}}}}',
    "options of an endpoint": '{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"n":{"DriverOpts":{"a":"b"}}}}}',
    "triggers": '{"Image":"a","OnBuild":["RUN x"]}',
    "no image": "{}",
    "list": "[]",
    "null": "null",
    "fields of volumes": '{"Image":"a","Volumes":{"/x":{"a":1}}}',
    "volume at no place": '{"Image":"a","Volumes":{"x":{}}}',
}


@pytest.mark.parametrize("body", OTHER_BODIES.values(), ids=OTHER_BODIES)
def test_a_body_has_one_meaning(body: str) -> None:
    with pytest.raises(Refusal):
        ask("POST /v1.45/containers/create", body)


CREATE = "POST /v1.45/containers/create"
GOOD = '{"Image":"app"}'
TYPES = ["application/x-www-form-urlencoded", "application/json; x=y", "text/json", "multipart/form-data", "text/plain"]


@pytest.mark.parametrize("content_type", TYPES)
def test_a_body_is_of_the_type_that_it_is_read_as(content_type: str) -> None:
    with pytest.raises(Refusal):
        ask(CREATE, GOOD, f"Content-Type: {content_type}", "Content-Length: 15")
    with pytest.raises(Refusal):
        ask("POST /v1.45/build", "", f"Content-Type: {content_type}")
    ask(CREATE, GOOD)


REQUESTS: dict[str, tuple[str, str, str]] = {
    # what: (first line, body, what the student is told)
    "volume of a folder": (
        *("POST /volumes/create", '{"Name":"x","DriverOpts":{"type":"none","o":"bind","device":"/"}}'),
        "any folder or disk of the machine could be mounted",
    ),
    "volume of a disk": (
        *("POST /volumes/create", '{"Name":"x","DriverOpts":{"type":"ext4","device":"/dev/sda1"}}'),
        "any folder or disk of the machine could be mounted",
    ),
    "volume's driver": ("POST /volumes/create", '{"Name":"x","Driver":"nfs"}', "volumes here are local ones"),
    "volume with our name": (
        "POST /volumes/create",
        '{"Name":"grader-work-012345678901"}',
        "give the volume another name",
    ),
    "network beside the machine": ("POST /networks/create", '{"Name":"n","Driver":"macvlan"}', "other networks reach"),
    "network of the host": ("POST /networks/create", '{"Name":"n","Driver":"host"}', "other networks reach"),
    "network's options": (
        *("POST /networks/create", '{"Name":"n","Options":{"com.docker.network.bridge.name":"eth0"}}'),
        "options of a network's driver",
    ),
    "network that takes public addresses": (
        *("POST /networks/create", '{"Name":"n","IPAM":{"Config":[{"Subnet":"8.8.8.0/24"}]}}'),
        "of a private range",
    ),
    "into the host's network": ("POST /networks/host/connect", '{"Container":"c"}', "do not get the host's network"),
    "privileged exec": ("POST /containers/c/exec", '{"Cmd":["sh"],"Privileged":true}', "docker exec --privileged"),
    "exec without taking over": ("POST /exec/0123/start", '{"Detach":false}', "takes its connection over"),
    "attach by websocket": ("GET /containers/c/attach/ws", "", "is not available in this engine"),
    "attach without taking over": ("POST /containers/c/attach?stream=1", "", "is not available without `Upgrade`"),
    "files of a container": ("GET /containers/c/archive?path=/", "", "`docker cp` is not available here"),
    "container as a tar": ("GET /containers/c/export", "", "`docker export` is not available here"),
    "changing limits": ("POST /containers/c/update", '{"Memory":0}', "`docker update` is not available here"),
    "image from a container": ("POST /commit?container=c", "{}", "`docker commit` is not available here"),
    "image from a tar": ("POST /images/load", "", "`docker load` is not available here"),
    "image from an address": ("POST /images/create?fromSrc=http://x/", "", "`docker import` is not available here"),
    "images to a registry": ("POST /images/app/push", "", "`docker push` is not available here"),
    "all images as a tar": ("GET /images/get?names=app", "", "`docker save` is not available here"),
    "one image as a tar": ("GET /images/app/get", "", "`docker save` is not available here"),
    "credentials": ("POST /auth", "{}", "`docker login` is not available here"),
    "asking a registry": ("GET /distribution/alpine/json", "", "no registry"),
    "cluster": ("POST /swarm/init", "{}", "not part of a cluster"),
    "service": ("POST /services/create", "{}", "not part of a cluster"),
    "plugin": ("POST /plugins/pull?remote=x", "", "plugins are not available"),
    "debugging": ("GET /debug/vars", "", "is not available in this engine"),
    "build from an address": ("POST /build?remote=http://x/", "", "remote cannot be set here"),
    "build in the host's network": ("POST /build?networkmode=host", "", "cannot be the host's network here"),
    "build in a group": ("POST /build?cgroupparent=/", "", "cgroupparent cannot be set here"),
    "build with options": ("POST /build?securityopt=x", "", "securityopt cannot be set here"),
    "build by another builder": ("POST /build?version=2", "", "buildx"),
    "build in a session": ("POST /build?version=1&session=x", "", "session cannot be set here"),
    "build with outputs": ("POST /build?outputs=x", "", "outputs cannot be set here"),
    "build with a parameter of Podman": ("POST /build?volume=/:/host", "", "volume=/:/host is not available here"),
    "Dockerfile outside": ("POST /build?dockerfile=../x", "", "not a path inside"),
    "Dockerfile of the machine": ("POST /build?dockerfile=/etc/passwd", "", "not a path inside"),
    "parameter twice": ("GET /containers/json?all=0&all=1", "", "may be there once"),
    "parameter that is not known": ("GET /containers/json?x=1", "", "x=1 is not available here for containers"),
    "parameter in capitals": ("GET /containers/json?ALL=1", "", "is not available here"),
    "arguments of ps": ("GET /containers/c/top?ps_args=-o%20pid,args", "", "ps_args may be"),
    "name of an image that is none": ("POST /images/app:/swarm/init/tag?repo=app", "", "not available"),
    "filter that is no JSON": ("GET /events?filters=x", "", "not the JSON"),
    "newer version": ("GET /v1.46/info", "", "not between 1.24 and 1.45"),
    "version of another kind": ("GET /v99999.1/info", "", "is not available in this engine"),
    "two versions": ("GET /v1.45/v1.24/info", "", "is not available in this engine"),
    "body where none is": ("POST /containers/c/start", '{"Binds":["/:/x"]}', "has no body"),
    "old API's settings at the start": ("POST /v1.23/containers/c/start", "", "not between"),
}


@pytest.mark.parametrize(("first", "body", "words"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_refused_with_a_reason(first: str, body: str, words: str) -> None:
    length = [f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []
    context = ["Content-Type: application/x-tar"] if "/build" in first else []
    with pytest.raises(Refusal, match=words):
        ask(first, body, *length, *context)


def test_buildkit_can_be_closed() -> None:
    upgrade = ("Connection: Upgrade", "Upgrade: h2c")
    for path in ("/grpc", "/session", "/v1.45/grpc"):
        ask(f"POST {path}", "", *upgrade)
        with pytest.raises(Refusal, match="DOCKER_BUILDKIT=0"):
            ask(f"POST {path}", "", *upgrade, policy=Policy(POLICY.work, buildkit=False))


@pytest.mark.parametrize("path", ["/containers/c/attach", "/exec/0/start", "/containers/c/start", "/containers/create"])
def test_only_buildkit_speaks_http2(path: str) -> None:
    with pytest.raises(Refusal, match="not available for h2c"):
        ask(f"POST {path}", "", "Connection: Upgrade", "Upgrade: h2c", "Content-Type: application/json")
    for other in ("/grpc", "/session"):
        with pytest.raises(Refusal, match="not available for tcp"):
            ask(f"POST {other}", "", "Connection: Upgrade", "Upgrade: tcp")


def test_a_refusal_is_an_answer_of_the_engine() -> None:
    head, _, body = answer('"x" is\nrefused').partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert json.loads(body) == {"message": '"x" is\nrefused'}
    assert f"Content-Length: {len(body)}".encode() in head
    assert answer("x", with_body=False).endswith(b"\r\n\r\n")
