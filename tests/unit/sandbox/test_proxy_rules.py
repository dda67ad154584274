"""The proxy's rules: what the docker command and Compose ask for goes on and means the same; the rest does not."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from grader.sandbox.proxy.http import Client, Request
from grader.sandbox.proxy.interface import ProxySettings
from grader.sandbox.proxy.rules import Plan, endpoint_of, plan, workspace_volume

SETTINGS = ProxySettings("", "", "", "/submission")
VOLUME = workspace_volume(SETTINGS.workspace)["Name"]
RECORDED = Path(__file__).parents[1] / "recorded" / "docker-26.1-requests.jsonl"
"""What Docker 26.1 and Compose 2.26 sent to an engine, command by command, in the folder /submission."""
COMMANDS = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
LIMIT = 2**20


def wire(head: str, body: str = "") -> bytes:
    """A request as bytes, with its length if there is none."""
    framed = not body or "content-length:" in head.lower() or "transfer-encoding:" in head.lower()
    length = "" if framed else f"\nContent-Length: {len(body.encode())}"
    end = "0\r\n\r\n" if "chunked" in head else ""
    return (head + length).replace("\n", "\r\n").encode() + b"\r\n\r\n" + (body + end).encode()


def understood(sent: bytes) -> tuple[Request, bytes]:
    """What the proxy reads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(sent)
        theirs.shutdown(socket.SHUT_WR)
        client = Client(ours)
        head = client.read_head()
        return head, client.read_body(LIMIT)


def passed_on(head: str, body: str = "", settings: ProxySettings = SETTINGS, began: float = 0.0) -> Plan:
    """The request that goes to the engine."""
    request, received = understood(wire(head, body))
    return plan(endpoint_of(request), request, received, settings, began)


def create(body: object, settings: ProxySettings = SETTINGS) -> Plan:
    head = "POST /v1.45/containers/create HTTP/1.1\nHost: docker\nContent-Type: application/json"
    return passed_on(head, json.dumps(body), settings)


def significant(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Without what means the same as nothing to the engine."""
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
        ("/events", [("since", "1900000000.250000000")]),
        ("/events?since=0&until=2000000000", [("since", "1900000000.250000000"), ("until", "2000000000")]),
        ("/events?since=1900000001.5", [("since", "1900000001.500000000")]),
    ],
)
def test_nobody_is_told_of_who_used_the_engine_before(asked: str, sent: list[tuple[str, str]]) -> None:
    planned = passed_on(f"GET /v1.45{asked} HTTP/1.1\nHost: docker", began=1_900_000_000.25)
    assert list(planned.request.query) == sent


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"NanoCpus": 2_000_000_000}, {"NanoCpus": 1_800_000_000}),
        ({"NanoCpus": 500_000_000}, {"NanoCpus": 500_000_000}),
        ({"CpuQuota": 200_000, "CpuPeriod": 50_000}, {"CpuQuota": 90_000, "CpuPeriod": 50_000}),
        ({"CpuQuota": -1}, {"CpuQuota": -1}),
    ],
)
def test_no_container_gets_more_cores_than_the_engine_has(asked: dict[str, int], sent: dict[str, int]) -> None:
    planned = create({"Image": "app", "HostConfig": asked}, replace(SETTINGS, cpus=1.8))
    assert json.loads(planned.body)["HostConfig"] == sent


# ── what clients send ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", COMMANDS, ids=[one["command"][:60] for one in COMMANDS])
def test_what_a_command_sends_goes_on_and_means_the_same(command: dict[str, Any]) -> None:
    for request in command["requests"]:
        sent, _ = understood(wire(request["head"], request["body"]))
        on = passed_on(request["head"], request["body"])
        assert (on.request.method, on.request.path) == (sent.method, "/v1.45" + sent.path.removeprefix("/v1.45"))
        assert on.request.upgrade == sent.upgrade
        # `docker system df` asks for all that there is, and is told all but the builder's cache.
        untold = [name for name in meant(on.request) if sent.path.endswith("/system/df") and name == "type"]
        assert {name: value for name, value in meant(on.request).items() if name not in untold} == meant(sent)
        if request["body"]:
            assert without_mounts(json.loads(on.body)) == without_mounts(json.loads(request["body"]))


def meant(request: Request) -> dict[str, str]:
    """The query without what the proxy leaves out: what is the same as nothing, and what it decides itself."""
    nothing = {"", "null", "{}", "[]", "0"}
    decided = {"version", "rm", "since"}
    return {
        name: value.replace(" ", "") for name, value in request.query if {value, name} & (nothing | decided) == set()
    }


def without_mounts(body: dict[str, Any]) -> dict[str, Any]:
    """Mounts are changed on purpose and have tests of their own."""
    host = {name: one for name, one in (body.get("HostConfig") or {}).items() if name not in {"Binds", "Mounts"}}
    return dict(significant({**body, "HostConfig": host}))


# ── mounts ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("bind", "path", "read_only"),
    [
        ("/submission/data:/x", "data", False),
        ("/submission/data:/x:ro", "data", True),
        ("/submission/:/x:rw,z", "", False),
        ("//submission//a/./b/../c/:/x", "a/c", False),
    ],
)
def test_folders_of_the_work_are_mounted_as_parts_of_its_volume(bind: str, path: str, read_only: bool) -> None:
    sent = create({"Image": "app", "HostConfig": {"Binds": [bind]}})
    assert sent.folders == ((path,) if path else ())
    options = {"NoCopy": True} | ({"Subpath": path} if path else {})
    mount = {"Type": "volume", "Source": VOLUME, "Target": "/x", "ReadOnly": read_only, "VolumeOptions": options}
    assert json.loads(sent.body)["HostConfig"] == {"Mounts": [mount]}


def test_a_mount_of_type_bind_is_not_made_where_nothing_is() -> None:
    mount = {"Type": "bind", "Source": "/submission/x", "Target": "/x", "BindOptions": {"Propagation": "rprivate"}}
    sent = create({"Image": "app", "HostConfig": {"Mounts": [mount]}})
    assert sent.folders == ()
    mount["BindOptions"] = {"CreateMountpoint": True}
    assert create({"Image": "app", "HostConfig": {"Mounts": [mount]}}).folders == ("x",)


def test_volumes_and_tmpfs_go_on_as_they_are() -> None:
    mounts = [
        {"Type": "volume", "Source": "cache", "Target": "/cache", "VolumeOptions": {"NoCopy": True}},
        {"Type": "volume", "Target": "/anonymous"},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1000}},
    ]
    tmpfs = {"/tmp": "size=1m,mode=1777"}
    sent = create({"Image": "app", "HostConfig": {"Binds": ["cache:/c:ro"], "Mounts": mounts, "Tmpfs": tmpfs}})
    named = {"Type": "volume", "Source": "cache", "Target": "/c", "ReadOnly": True, "VolumeOptions": {"NoCopy": False}}
    assert json.loads(sent.body)["HostConfig"] == {"Mounts": [named, *mounts], "Tmpfs": tmpfs}
    assert sent.folders is None


# ── quotas ──────────────────────────────────────────────────────────────────────────────

VOLUMES = {"Binds": ["v:/v"], "Mounts": [{"Type": "volume", "Target": "/x"}] * 3}


@pytest.mark.parametrize(
    ("first", "body", "makes"),
    [
        ("/containers/create", {"Image": "a"}, {"containers": 1, "volumes": 0}),
        (
            "/containers/create",
            {"Image": "a", "Volumes": {"/a": {}}, "HostConfig": VOLUMES},
            {"containers": 1, "volumes": 5},
        ),
        ("/containers/a/exec", {"Cmd": ["true"]}, {"commands": 1}),
        ("/networks/create", {"Name": "n"}, {"networks": 1}),
        ("/volumes/create", {"Name": "v"}, {"volumes": 1}),
        ("/images/a/tag?repo=b", None, {"images": 1}),
        ("/build?t=a&t=b&t=c", None, {"builds": 1, "images": 3}),
        ("/build", None, {"builds": 1, "images": 1}),
        ("/containers/a/start", None, {}),
    ],
)
def test_what_a_request_makes(first: str, body: object, makes: dict[str, int]) -> None:
    kind = "x-tar" if "build" in first else "json"
    text = json.dumps(body) if body else ""
    head = f"POST {first} HTTP/1.1\nHost: d\nContent-Type: application/{kind}"
    assert passed_on(head, text).makes == makes
