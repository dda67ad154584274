"""Ways around filters before Docker's engine, each known from one; here each is refused, in words for a student."""

from __future__ import annotations

import json
from typing import Any

import pytest

from grader.sandbox.proxy.rules import endpoint_of
from grader.sandbox.proxy.shape import Refusal
from tests.unit.sandbox.test_proxy_rules import passed_on, understood


def ask(first: str, body: str = "", *headers: str) -> None:
    kind = [] if headers or not body else ["Content-Type: application/json"]
    passed_on("\n".join([f"{first} HTTP/1.1", "Host: docker", *headers, *kind]), body)


def create(settings: dict[str, Any]) -> None:
    ask("POST /v1.45/containers/create", json.dumps({"Image": "app"} | settings))


def mount(kind: str, source: str | None, **more: object) -> dict[str, Any]:
    return {"Mounts": [{"Type": kind, "Source": source, "Target": "/x", **more}]}


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
    "field that is not known": {"Surprise": "x"},
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
    "mount outside": mount("bind", "/etc"),
    "mount without source": mount("bind", None),
    "mount of another type": mount("image", "app"),
    "mount of a cluster": mount("cluster", "x"),
    "mount, type in capitals": mount("BIND", "/etc"),
    "mount, shared": mount("bind", "/submission", BindOptions={"Propagation": "shared"}),
    "driver of a mounted volume": mount(
        "volume", "x", VolumeOptions={"DriverConfig": {"Name": "local", "Options": {"o": "bind", "device": "/"}}}
    ),
    "part of a volume": mount("volume", "x", VolumeOptions={"Subpath": "../.."}),
    "source of a tmpfs": mount("tmpfs", "/etc"),
}


@pytest.mark.parametrize("host", HOST.values(), ids=HOST)
def test_a_container_gets_nothing_of_the_machine(host: dict[str, Any]) -> None:
    with pytest.raises(Refusal):
        create({"HostConfig": host})


OTHER_BODIES = {
    "two spellings": '{"Image":"a","HostConfig":{},"hostconfig":{"Privileged":true}}',
    "the last of two": '{"Image":"a","HostConfig":{},"HostConfig":{"Privileged":true}}',
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


REQUESTS = [
    # first line, body, what the student is told
    (
        "POST /volumes/create",
        '{"Name":"x","DriverOpts":{"type":"none","o":"bind","device":"/"}}',
        "any folder or disk could be mounted",
    ),
    ("POST /volumes/create", '{"Name":"x","Driver":"nfs"}', "volumes here are local ones"),
    ("POST /volumes/create", '{"Name":"grader-work-012345678901"}', "give the volume another name"),
    ("POST /networks/create", '{"Name":"n","Driver":"macvlan"}', "other networks reach"),
    (
        "POST /networks/create",
        '{"Name":"n","Options":{"com.docker.network.bridge.name":"eth0"}}',
        "options of a driver",
    ),
    ("POST /networks/create", '{"Name":"n","IPAM":{"Config":[{"Subnet":"8.8.8.0/24"}]}}', "of a private range"),
    ("POST /networks/host/connect", '{"Container":"c"}', "do not get the host's network"),
    ("POST /containers/c/exec", '{"Cmd":["sh"],"Privileged":true}', "a privileged container or process"),
    ("POST /exec/0123/start", '{"Detach":false}', "hijacks its connection"),
    ("GET /containers/c/attach/ws", "", "is not available in this engine"),
    ("POST /containers/c/attach?stream=1", "", "is not available without `Upgrade`"),
    ("GET /containers/c/archive?path=", "", "is not a path in a container"),
    ("GET /containers/c/export", "", "`docker export` is not available here"),
    ("POST /containers/c/update", '{"Memory":0}', "`docker update` is not available here"),
    ("POST /commit?container=c", "{}", "`docker commit` is not available here"),
    ("POST /images/load", "", "`docker load` is not available here"),
    ("POST /images/create?fromSrc=http://x/", "", "`docker import` is not available here"),
    ("POST /images/app/push", "", "there is no registry here"),
    ("GET /images/get?names=app", "", "`docker save` is not available here"),
    ("GET /distribution/alpine/json", "", "no registry"),
    ("POST /swarm/init", "{}", "not part of a cluster"),
    ("POST /plugins/pull?remote=x", "", "plugins are not available"),
    ("GET /debug/vars", "", "is not available in this engine"),
    ("POST /build?remote=http://x/", "", "remote=http://x/ is not available here: what is fetched"),
    ("POST /build?networkmode=host", "", "cannot be the host's network here"),
    ("POST /build?cgroupparent=/", "", "cgroupparent=/ is not available here"),
    ("POST /build?version=2", "", "version may be"),
    ("POST /build?version=1&session=x", "", "session=x is not available here"),
    ("POST /build?volume=/:/host", "", "volume=/:/host is not available here"),
    ("POST /build?dockerfile=../x", "", "not a path inside"),
    ("GET /containers/json?all=0&all=1", "", "may be there once"),
    ("GET /containers/json?x=1", "", "x=1 is not available here"),
    ("GET /containers/c/top?ps_args=-o%20pid,args", "", "ps_args may be"),
    ("POST /images/app:/swarm/init/tag?repo=app", "", "not available"),
    ("GET /events?filters=x", "", "not the JSON"),
    ("GET /events?since=nan", "", "seconds since 1970"),
    ("GET /events?since=1e3", "", "seconds since 1970"),
    ("GET /v1.46/info", "", "not between 1.24 and 1.45"),
    ("GET /v99999.1/info", "", "is not available in this engine"),
    ("GET /v1.45/v1.24/info", "", "is not available in this engine"),
    ("POST /grpc", "", "BuildKit's own protocol is not available here"),
    ("POST /v1.45/session", "", "BuildKit's own protocol is not available here"),
    ('POST /build?buildargs={"BUILDKIT_SYNTAX":"x"}', "", "other frontends"),
    ("POST /v1.23/containers/c/start", "", "not between"),
]


@pytest.mark.parametrize(("first", "body", "words"), REQUESTS, ids=[f"{one[0]} {one[1]}"[:70] for one in REQUESTS])
def test_a_request_is_refused_with_a_reason(first: str, body: str, words: str) -> None:
    kind = "application/x-tar" if "/build" in first else "application/json"
    length = [f"Content-Length: {len(body)}"] if body else []
    with pytest.raises(Refusal, match=words):
        ask(first, body, *length, *([f"Content-Type: {kind}"] if body or "/build" in first else []))


@pytest.mark.parametrize("path", ["/containers/c/attach", "/exec/0/start", "/containers/c/start", "/containers/create"])
def test_connections_are_hijacked_for_nothing_but_streams(path: str) -> None:
    for protocol in ("h2c", "websocket"):
        with pytest.raises(Refusal, match=f"not available for {protocol}"):
            ask(f"POST {path}", "", "Connection: Upgrade", f"Upgrade: {protocol}", "Content-Type: application/json")


UNUSUAL = {
    "no host": b"GET /info HTTP/1.1\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\n",
    "two lengths": b"POST /info HTTP/1.1\r\nHost: d\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
    "length that is none": b"POST /info HTTP/1.1\r\nHost: d\r\nContent-Length: +3\r\n\r\n",
    "another coding": b"POST /info HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "blank before the colon": b"GET /info HTTP/1.1\r\nHost: d\r\nContent-Length : 3\r\n\r\n",
    "folded line": b"GET /info HTTP/1.1\r\n Host: d\r\n\r\n",
    "zero byte": b"GET /info HTTP/1.1\r\nHost: d\r\nX: a\0b\r\n\r\n",
    "other method": b"PUT /info HTTP/1.1\r\nHost: d\r\n\r\n",
    "absolute form": b"GET http://d/info HTTP/1.1\r\nHost: d\r\n\r\n",
    "double slash": b"GET //info HTTP/1.1\r\nHost: d\r\n\r\n",
    "trailing slash": b"GET /info/ HTTP/1.1\r\nHost: d\r\n\r\n",
    "dots": b"GET /v1.45/../info HTTP/1.1\r\nHost: d\r\n\r\n",
    "encoded dots": b"GET /%2e%2e/info HTTP/1.1\r\nHost: d\r\n\r\n",
    "encoded slash": b"GET /containers%2fjson HTTP/1.1\r\nHost: d\r\n\r\n",
    "path parameter": b"GET /info;x=y HTTP/1.1\r\nHost: d\r\n\r\n",
    "query not UTF-8": b"GET /info?a=%ff HTTP/1.1\r\nHost: d\r\n\r\n",
    "query without end": b"GET /info?" + b"a=1&" * 1000 + b"a=1 HTTP/1.1\r\nHost: d\r\n\r\n",
    "query without names": b"GET /info?a HTTP/1.1\r\nHost: d\r\n\r\n",
    "too large": b"GET /info HTTP/1.1\r\nHost: d\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("sent", UNUSUAL.values(), ids=UNUSUAL)
def test_an_unusual_request_is_refused(sent: bytes) -> None:
    with pytest.raises(Refusal):
        endpoint_of(understood(sent)[0])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("291d81294b69%0Aaffaaa72c901", "several lines"),
        ("$%28docker%20ps%29", "single quotes is not carried out"),
    ],
)
def test_quotes_that_belong_nowhere_are_told_from_what_they_leave(name: str, told: str) -> None:
    with pytest.raises(Refusal, match=told):
        ask(f"DELETE /v1.45/containers/{name}")
