"""What the engine is asked for a run, and how its output is taken apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.course.models import Limits
from grader.engine.run import CAPABILITIES, DIFFERENCES, ContainerRun, container_settings, split_frames
from grader.engine.wording import is_image_fault
from grader.models import MemoryFile, RunRequest

LIMITS = Limits(memory_mb=100, processes=7, tmp_mb=5, cpus=1)
TMPFS = {"/tmp": "rw,nosuid,nodev,exec,mode=1777,size=5m"}


def settings(request: RunRequest = RunRequest(), **given: object) -> dict[str, object]:  # noqa: B008 - it is frozen
    run = ContainerRun("sha256:1", "name", request, LIMITS, (("a", "1"),), (("b", "2"),), cpus=4, **given)  # type: ignore[arg-type]  # fields by name
    made = container_settings(run)
    return {**made, **made["HostConfig"]}


def test_limits_and_isolation() -> None:
    made = settings()
    expected = {
        "NetworkMode": "none",
        "Memory": 100 * 2**20,
        "MemorySwap": 100 * 2**20,
        "PidsLimit": 7,
        "NanoCpus": 10**9,
        "CapDrop": ["ALL"],
        "CapAdd": list(CAPABILITIES),
        "SecurityOpt": ["no-new-privileges:true"],
        "Labels": {"a": "1"},
        "Healthcheck": {"Test": ["NONE"]},
        "AutoRemove": False,
    }
    assert {name: made.get(name) for name in expected} == expected
    assert not {"Privileged", "Binds", "Devices", "PidMode", "PortBindings"} & made.keys()


def test_each_setting_that_is_not_as_with_docker_run_has_its_reason() -> None:
    as_docker_run_sends = {"Image", "Env", "Labels", "HostConfig"}
    assert settings().keys() - as_docker_run_sends == DIFFERENCES.keys()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"names_localhost": True}, {"NetworkDisabled": False, "NetworkMode": "none"}),
        ({"names_localhost": False}, {"NetworkDisabled": True, "NetworkMode": "none"}),
        ({"request": RunRequest()}, {"Entrypoint": None, "Cmd": None}),
        ({"request": RunRequest(args=("1", "2"))}, {"Entrypoint": None, "Cmd": ["1", "2"]}),
        ({"request": RunRequest(entrypoint=("cat",))}, {"Entrypoint": ["cat"], "Cmd": []}),
        (
            {"volumes": ("/data",)},
            {"Mounts": [{"Type": "volume", "Target": "/data", "VolumeOptions": {"Labels": {"b": "2"}}}]},
        ),
        # /tmp is limited, unless that hides something.
        ({}, {"Tmpfs": TMPFS}),
        ({"tmp_is_empty": False}, {"Tmpfs": {}}),
        ({"volumes": ("/tmp",)}, {"Tmpfs": {}}),
        ({"request": RunRequest(files=(MemoryFile("/tmp/a", b""),))}, {"Tmpfs": {}}),
        ({"request": RunRequest(files=(MemoryFile("/tmpfile", b""),))}, {"Tmpfs": TMPFS}),
    ],
)
def test_settings_by_what_is_asked_for(given: dict[str, object], expected: dict[str, object]) -> None:
    made = settings(**given)  # type: ignore[arg-type]  # fields by name
    assert {name: made.get(name) for name in expected} == expected


PODMAN = "runc: runc create failed: unable to start container process: "
NOT_FOUND = "OCI runtime attempted to invoke a command that was not found"


@pytest.mark.parametrize(
    ("reason", "code", "fault"),
    [
        (f'exec: "pyhton": executable file not found in $PATH: {NOT_FOUND}', 0, True),
        ('exec: "/app/run.sh": permission denied: OCI permission denied', 0, True),
        ("error setting rlimit type 6: operation not permitted: OCI permission denied", 126, False),
        (f'error mounting "tmpfs" to rootfs at "/run": no such file or directory: {NOT_FOUND}', 127, False),
    ],
)
def test_whose_fault_it_is_that_podman_starts_nothing(reason: str, code: int, fault: bool) -> None:
    assert is_image_fault(PODMAN + reason, code) is fault


# ── output ──────────────────────────────────────────────────────────────────────────────

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)))


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 500)))
def test_output_is_put_together_however_it_is_cut(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    sent = b"".join(bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data for stream, data in frames)
    edges = sorted({0, len(sent), *(cut for cut in cuts if cut < len(sent))})
    got = list(split_frames(sent[start:end] for start, end in itertools.pairwise(edges)))
    for stream in (1, 2):
        expected = b"".join(data for number, data in frames if number == stream)
        assert b"".join(data for number, data in got if number == stream) == expected
