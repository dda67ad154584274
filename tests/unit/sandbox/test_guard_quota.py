"""What one script may make in all: honest ones stay far below it, and who goes on is told so by the engine itself."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import pytest

from grader.sandbox.proxy.http import parse_head
from grader.sandbox.proxy.proxy import guarded
from grader.sandbox.proxy.quota import Account, Quota
from grader.sandbox.proxy.refusal import Refusal
from grader.sandbox.proxy.rules import Policy, plan
from tests.unit.sandbox.test_guard_proxy import World, read_all, request, until, world  # noqa: F401 - a fixture
from tests.unit.sandbox.test_guard_rules import COMMANDS

POLICY = Policy(PurePosixPath("/submission"))


def made_by(first: str, body: dict[str, Any] | None = None, *headers: str) -> Mapping[str, int]:
    """What the rules say that a request makes."""
    text = json.dumps(body) if body is not None else ""
    kind = ["Content-Type: application/json"] if body is not None else []
    lines = [f"{first} HTTP/1.1", "Host: docker", *kind, *headers]
    return plan(parse_head("\r\n".join([*lines, "", ""]).encode()), POLICY).rebuilt(text.encode()).makes


TAR = "Content-Type: application/x-tar"
SESSION = ("Connection: Upgrade", "Upgrade: h2c")


@pytest.mark.parametrize(
    ("makes", "expected"),
    [
        (made_by("POST /containers/create", {"Image": "a"}), {"containers": 1, "volumes": 0}),
        (
            made_by(
                "POST /containers/create",
                {
                    "Image": "a",
                    "Volumes": {"/a": {}, "/b": {}},
                    "HostConfig": {"Binds": ["v:/v"], "Mounts": [{"Type": "volume", "Target": "/x"}] * 3},
                },
            ),
            {"containers": 1, "volumes": 6},
        ),
        (made_by("POST /containers/a/exec", {"Cmd": ["true"]}), {"commands": 1}),
        (made_by("POST /networks/create", {"Name": "n"}), {"networks": 1}),
        (made_by("POST /volumes/create", {"Name": "v"}), {"volumes": 1}),
        (made_by("POST /images/a/tag?repo=b"), {"images": 1}),
        (made_by("POST /build?t=a&t=b&t=c", None, TAR), {"builds": 1, "images": 3}),
        (made_by("POST /build", None, TAR), {"builds": 1, "images": 1}),
        (made_by("POST /session", None, *SESSION), {}),
        (made_by("POST /grpc", None, *SESSION), {}),
        (made_by("GET /containers/json"), {}),
        (made_by("DELETE /containers/a"), {}),
    ],
)
def test_what_a_request_makes(makes: Mapping[str, int], expected: dict[str, int]) -> None:
    assert makes == expected


def test_all_that_docker_and_compose_were_recorded_with_is_far_below_the_quota() -> None:
    """Every command of the chapter together, as one script."""
    account = Account(Quota())
    for command in COMMANDS:
        for recorded in command["requests"]:
            head = parse_head(recorded["head"].replace("\n", "\r\n").encode() + b"\r\n\r\n")
            account.charge({"requests": 4})
            account.charge(plan(head, POLICY).rebuilt(recorded["body"].encode()).makes)


def test_the_last_one_is_given_and_the_next_is_not() -> None:
    account = Account(Quota(networks=2, volumes=3))
    for _ in range(2):
        account.charge({"networks": 1})
    with pytest.raises(Refusal, match="at most 2 networks can be made by one script"):
        account.charge({"networks": 1})
    with pytest.raises(Refusal, match="at most 3 volumes"):
        account.charge({"volumes": 4})
    account.charge({"volumes": 3})  # what was refused did not count


QUOTA = Quota(requests=6, containers=2)


def test_the_engine_hears_of_no_more_and_the_script_is_told(world: World) -> None:  # noqa: F811
    path = world.path.with_name("narrow")
    create = request("POST /containers/create", body=b'{"Image": "a"}')
    with guarded(world.path.with_name("engine"), path, world.work, quota=QUOTA) as recording:
        narrow = World(world.engine, path, world.work, recording)
        answers = [narrow.ask(create) for _ in range(3)]
        assert [one[9:12] for one in answers] == [b"201", b"201", b"403"]
        assert b"at most 2 containers can be made by one script" in answers[2]
        assert len(world.engine.received) == 2
        answers = [narrow.ask(request("GET /info")) for _ in range(4)]
        assert [one[9:12] for one in answers] == [b"201", b"201", b"201", b"403"]
        assert "more than 6 requests" in recording.reasons()[-1]
        assert until(recording.refusals, 2) == [("POST", "/containers/create", 403), ("GET", "/info", 403)]


def patiently(world: World) -> socket.socket:  # noqa: F811
    """A connection, once the guard has taken those before it."""
    opened = socket.socket(socket.AF_UNIX)
    opened.connect(str(world.path))  # without a limit of time, connecting waits for its turn
    opened.settimeout(10)
    return opened


def test_connections_that_say_nothing_do_not_pile_up(world: World) -> None:  # noqa: F811
    """Each takes a file and a thread of the grader, which grades others meanwhile."""
    before = threading.active_count()
    held: list[socket.socket] = []
    try:
        held.extend(patiently(world) for _ in range(200))
        said = read_all(held[-1])
        assert b"connections to the engine are open at once" in said
        assert threading.active_count() - before <= 130
    finally:
        for client in held:
            client.close()
    for _ in range(100):
        with contextlib.suppress(ConnectionError):  # one too many is cut off before it has said what it wants
            if world.ask(request("GET /info")).endswith(b"done"):
                return
        threading.Event().wait(0.05)
    pytest.fail("the guard serves nobody any more")


def test_long_requests_do_not_fill_the_record(world: World) -> None:  # noqa: F811
    world.recording._room = 100_000
    for number in range(10):
        world.ask(request(f"GET /containers/json?filters={number}{'a' * 60_000}"))
    until(world.recording, 10)
    assert sum(len(repr(one)) for one in world.recording.requests()) < 200_000
    assert {one.path for one in world.recording.requests()} == {"/containers/json"}
