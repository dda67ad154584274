"""The guard's rules: what the docker command and Compose ask for goes on and means the same; the rest does not."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.sandbox.proxy.http import Head, parse_head, serialise
from grader.sandbox.proxy.mounts import work_volume
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.rules import Policy, Rebuilt, plan
from grader.sandbox.proxy.session import METHODS
from grader.sandbox.proxy.strictjson import folded

WORK = PurePosixPath("/submission")
POLICY = Policy(WORK)
VOLUME = work_volume(WORK)["Name"]
RECORDED = Path(__file__).parents[1] / "recorded" / "docker-26.1-requests.jsonl"
"""What Docker 26.1 with Buildx 0.13 and Compose 2.26 sent to an engine, command by command, in the folder WORK."""
METHOD = "x-docker-expose-session-grpc-method"
COMMANDS = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


def wire(head: str) -> bytes:
    return head.replace("\n", "\r\n").encode() + b"\r\n\r\n"


def rebuilt(head: str, body: str = "", policy: Policy = POLICY) -> Rebuilt:
    planned = plan(parse_head(wire(head)), policy)
    return planned.rebuilt(body.encode())


def post(path: str, body: object) -> Rebuilt:
    return rebuilt(f"POST {path} HTTP/1.1\nHost: docker\nContent-Type: application/json", json.dumps(body))


def container(host: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    """The body sent on for a container with these settings."""
    sent = post("/v1.45/containers/create", {"Image": "app", "HostConfig": host or {}, **settings})
    return dict(json.loads(sent.body or b""))


def significant(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Without what means the same as nothing to the engine, and what it only reports."""
    if isinstance(value, dict):
        kept = {name: significant(one) for name, one in value.items()}
        return {name: one for name, one in kept.items() if one not in (None, "", 0, False, [], {})}
    return [significant(one) for one in value] if isinstance(value, list) else value


# ── who used the engine before ──────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/system/df", [("type", "container"), ("type", "image"), ("type", "volume")]),
        ("/system/df?type=image&type=build-cache", [("type", "image")]),
        ("/system/df?type=build-cache", [("type", "container"), ("type", "image"), ("type", "volume")]),
        ("/events", []),
        ("/events?since=0&until=2000000000", [("since", "1900000000.250000000"), ("until", "2000000000")]),
        ("/events?since=1900000000.100000000", [("since", "1900000000.250000000")]),
        ("/events?since=1900000001.5", [("since", "1900000001.5")]),
    ],
)
def test_nobody_is_told_of_who_used_the_engine_before(asked: str, sent: list[tuple[str, str]]) -> None:
    policy = Policy(WORK, began=1_900_000_000.25)
    assert list(rebuilt(f"GET /v1.45{asked} HTTP/1.1\nHost: docker", policy=policy).head.query) == sent


@pytest.mark.parametrize("since", ["-1", "nan", "1e3", "2020-01-01", "10m", "0x10"])
def test_times_that_the_engine_may_read_in_another_way_are_refused(since: str) -> None:
    with pytest.raises(Refusal, match="seconds since 1970"):
        rebuilt(f"GET /v1.45/events?since={since} HTTP/1.1\nHost: docker")


# ── cores ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"NanoCpus": 2_000_000_000}, {"NanoCpus": 1_800_000_000}),
        ({"NanoCpus": 500_000_000}, {"NanoCpus": 500_000_000}),
        ({"CpuQuota": 200_000}, {"CpuQuota": 180_000}),
        ({"CpuQuota": 200_000, "CpuPeriod": 50_000}, {"CpuQuota": 90_000, "CpuPeriod": 50_000}),
        ({"CpuQuota": 90_000, "CpuPeriod": 50_000}, {"CpuQuota": 90_000, "CpuPeriod": 50_000}),
        ({"CpuQuota": -1}, {"CpuQuota": -1}),
        ({"CpuPeriod": 50_000}, {"CpuPeriod": 50_000}),
        ({}, {}),
    ],
)
def test_no_container_gets_more_cores_than_the_engine_has(asked: dict[str, int], sent: dict[str, int]) -> None:
    policy = Policy(WORK, cpus=1.8)
    head = "POST /v1.45/containers/create HTTP/1.1\nHost: docker\nContent-Type: application/json"
    body = json.loads(rebuilt(head, json.dumps({"Image": "app", "HostConfig": asked}), policy).body or b"")
    assert {name: value for name, value in body["HostConfig"].items() if "Cpu" in name} == sent


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("200000", "180000"), ("200000&cpuperiod=50000", "90000"), ("50000", "50000"), ("-1", "-1"), ("0", "0")],
)
def test_no_step_of_a_classic_build_gets_more_cores_than_the_engine_has(asked: str, sent: str) -> None:
    head = f"POST /v1.45/build?t=app&cpuquota={asked} HTTP/1.1\nHost: docker\nContent-Type: application/x-tar"
    assert dict(rebuilt(head, policy=Policy(WORK, cpus=1.8)).head.query)["cpuquota"] == sent


# ── what clients send ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS, ids=[one["command"][:60] for one in COMMANDS])
def test_what_a_command_sends_goes_on_and_means_the_same(command: dict[str, Any]) -> None:
    for request in command["requests"]:
        sent = parse_head(wire(request["head"]))
        on = rebuilt(request["head"], request["body"])
        assert (on.head.method, on.head.path) == (sent.method, "/v1.45" + sent.path.removeprefix("/v1.45"))
        assert on.head.upgrade == sent.upgrade
        # `docker system df` asks for all that there is, and is told all but the builder's cache.
        untold = [name for name in meant(on.head) if sent.path.endswith("/system/df") and name == "type"]
        assert {name: value for name, value in meant(on.head).items() if name not in untold} == meant(sent)
        if request["body"]:
            assert without_mounts(json.loads(on.body or b"")) == without_mounts(json.loads(request["body"]))


def meant(head: Head) -> dict[str, str]:
    """The query without the parameters whose value is the same as none, which the guard may leave out."""
    nothing = {"", "null", "{}", "[]", "0"}
    decided = {"version"}  # 1 is what the engine takes without it
    return {name: value.replace(" ", "") for name, value in head.query if value not in nothing and name not in decided}


def without_mounts(body: dict[str, Any]) -> dict[str, Any]:
    """Mounts are changed on purpose and have tests of their own."""
    host = {name: one for name, one in (body.get("HostConfig") or {}).items() if name not in {"Binds", "Mounts"}}
    return dict(significant({**body, "HostConfig": host}))


def test_a_session_keeps_what_the_client_will_be_asked_for() -> None:
    """Clients offer credentials too, also where a build needs none."""
    offered = [one for command in COMMANDS for one in command["requests"] if one["head"].startswith("POST /session")]
    assert offered
    for request in offered:
        sent = rebuilt(request["head"]).head.headers
        exposed = [one for one in parse_head(wire(request["head"])).headers if one[0].startswith("x-docker-expose")]
        kept = [(name, value) for name, value in exposed if name != METHOD or value in METHODS]
        assert len(kept) < len(exposed)
        assert [one for one in sent if one[0].startswith("x-docker-expose")] == kept
        assert sorted({name for name, _ in sent} - {name for name, _ in kept}) == sorted(
            ["host", "content-length", "connection", "upgrade"]
        )


def test_credentials_and_unknown_headers_stay_behind() -> None:
    head = "GET /info HTTP/1.1\nHost: x\nX-Registry-Auth: e30=\nX-Registry-Config: e30=\nAuthorization: a\nOrigin: b"
    assert rebuilt(head).head.headers == (("host", "docker"), ("connection", "close"))


# ── mounts ──────────────────────────────────────────────────────────────────────────────

INSIDE = [
    ("/submission/data:/data", "data", "/data", False, ("data",)),
    ("/submission/data:/data:ro", "data", "/data", True, ("data",)),
    ("/submission/a/b:/data:rw,z", "a/b", "/data", False, ("a/b",)),
    ("/submission:/all", None, "/all", False, ()),
    ("/submission/:/all", None, "/all", False, ()),
    ("//submission//a/./b/../c/:/all", "a/c", "/all", False, ("a/c",)),
]


@pytest.mark.parametrize(("bind", "path", "target", "read_only", "folders"), INSIDE)
def test_folders_of_the_work_are_mounted_as_parts_of_its_volume(
    bind: str, path: str | None, target: str, read_only: bool, folders: tuple[str, ...]
) -> None:
    sent = post("/containers/create", {"Image": "app", "HostConfig": {"Binds": [bind]}})
    assert (sent.work_is_used, sent.folders) == (True, folders)
    assert json.loads(sent.body or b"")["HostConfig"] == {
        "Mounts": [
            {
                "Type": "volume",
                "Source": VOLUME,
                "Target": target,
                "ReadOnly": read_only,
                "VolumeOptions": {"NoCopy": True} | ({"Subpath": path} if path else {}),
            }
        ]
    }


def test_a_mount_of_type_bind_is_not_made_where_nothing_is() -> None:
    mount = {"Type": "bind", "Source": "/submission/x", "Target": "/x", "BindOptions": {"Propagation": "rprivate"}}
    sent = post("/containers/create", {"Image": "app", "HostConfig": {"Mounts": [mount]}})
    assert sent.folders == ()
    mount["BindOptions"] = {"CreateMountpoint": True}
    assert post("/containers/create", {"Image": "app", "HostConfig": {"Mounts": [mount]}}).folders == ("x",)


def test_volumes_and_tmpfs_go_on_as_they_are() -> None:
    mounts = [
        {"Type": "volume", "Source": "cache", "Target": "/cache", "VolumeOptions": {"NoCopy": True}},
        {"Type": "volume", "Target": "/anonymous"},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1000}},
    ]
    host = {"Binds": ["cache:/c:ro"], "Mounts": mounts, "Tmpfs": {"/tmp": "size=1m,mode=1777"}}
    sent = post("/containers/create", {"Image": "app", "HostConfig": host})
    assert json.loads(sent.body or b"")["HostConfig"] == host
    assert not sent.work_is_used


# ── properties ──────────────────────────────────────────────────────────────────────────

FORBIDDEN = {
    *(
        "privileged",
        "capadd",
        "devices",
        "devicerequests",
        "devicecgrouprules",
        "usernsmode",
        "cgroupparent",
        "sysctls",
    ),
    *("runtime", "maskedpaths", "readonlypaths", "utsmode", "storageopt", "oomkilldisable", "isolation", "annotations"),
    *("driverconfig", "driveropts", "binds"),
}
FIELDS = [
    *("Privileged", "privileged", "PRIVILEGED", "CapAdd", "Devices", "DeviceRequests", "UsernsMode", "CgroupParent"),
    *("Runtime", "MaskedPaths", "maskedpath\u017f", "NetworkMode", "PidMode", "Mounts", "Binds", "Memory", "Init"),
    *("\u212aernelMemory", "SecurityOpt", "Sysctls", "HostConfig", "hostconfig"),
]  # fmt: skip
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["", "host", "/:/host", "ALL", "bridge", "bind"])
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=2)),
    max_leaves=4,
)
bodies = st.fixed_dictionaries(
    {"Image": st.just("app")},
    optional={
        "HostConfig": st.dictionaries(st.sampled_from(FIELDS), values, max_size=3),
        "hostconfig": st.dictionaries(st.sampled_from(FIELDS), values, max_size=3),
        "Tty": leaves,
    },
)


def keys(value: Any) -> set[str]:  # noqa: ANN401 - JSON
    """All keys, as Go compares them."""
    if isinstance(value, dict):
        return {folded(name) for name in value}.union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


@given(bodies)
def test_no_body_that_passes_holds_a_forbidden_field(body: dict[str, Any]) -> None:
    try:
        sent = post("/containers/create", body)
    except Refusal:
        return
    on = json.loads(sent.body or b"")
    assert not keys(on) & FORBIDDEN
    assert (on.get("HostConfig") or {}).get("NetworkMode") != "host"


@given(st.sampled_from(COMMANDS).flatmap(lambda command: st.sampled_from(command["requests"])), st.data())
def test_what_goes_on_is_read_as_it_was_meant(request: dict[str, str], data: st.DataObject) -> None:
    """A recorded request with one character changed is refused, or goes on in a form that reads to itself."""
    head = wire(request["head"])
    at = data.draw(st.integers(0, len(head) - 1))
    changed = head[:at] + data.draw(st.binary(max_size=3)) + head[at + 1 :]
    try:
        on = plan(parse_head(changed), POLICY).rebuilt(request["body"].encode())
    except Refusal:
        return
    assert parse_head(serialise(on.head)) == on.head
    assert on.head.path.startswith("/v1.45/")
    # What cannot go on may not have been made to: only known headers, whatever the client sent.
    assert {name for name, _ in on.head.headers} <= {
        *("host", "connection", "upgrade", "content-type", "content-length"),
        *(f"x-docker-expose-session-{name}" for name in ("uuid", "name", "sharedkey", "grpc-method")),
    }
