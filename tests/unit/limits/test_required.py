"""A batch does not start without the limits it needs, and tries them once for each engine and start of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from grader.cli.main import run
from grader.errors import EnvironmentProblem, UsageError
from grader.limits.probes import KnownLimits, Probe, Result, Tier, engine_key, for_whole_batch, probes, require, waivers
from grader.models import LimitsRecord

ALL = probes("private", "python:3.9")
LOST = ["run memory", "run disk", "build disk"]


def require_all(known: KnownLimits, waived: Sequence[str] = (), lost: Sequence[str] = ()) -> tuple[LimitsRecord, int]:
    """What holds, and how many limits were tried for it, where those that are `lost` do not hold."""
    tried: list[Probe] = []

    def attempt(tier: Tier, wanted: Sequence[Probe]) -> list[Result]:
        tried.extend(wanted)
        return [Result(probe, probe.name not in lost, "got all 800") for probe in wanted]

    return require({"private": ALL}, known, attempt, waivers(waived)), len(tried)


def test_a_batch_refuses_where_a_limit_does_not_hold_and_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem) as refused:
        require_all(KnownLimits(tmp_path, "key"), lost=LOST)
    message = str(refused.value)
    assert refused.value.exit_code == 3
    assert message.endswith('--waive "run memory" --waive "run disk" --waive "build disk"')
    assert "run disk: writes 800 MiB to its disk, may write 400: got all 800" in message


def test_what_is_waived_by_name_is_recorded_and_the_rest_still_asked_for(tmp_path: Path) -> None:
    record, _ = require_all(KnownLimits(tmp_path, "key"), ["run memory", "RUN disk", "build disk"], LOST)
    assert record.waived == tuple(LOST)
    assert record.proved == tuple(probe.name for probe in ALL if probe.name not in LOST)
    with pytest.raises(EnvironmentProblem, match=r'these limits: --waive "build disk"$'):
        require_all(KnownLimits(tmp_path, "key"), ["run memory", "run disk"], LOST)


def test_waiving_what_holds_changes_nothing(tmp_path: Path) -> None:
    record, _ = require_all(KnownLimits(tmp_path, "key"), ["run memory"])
    assert record == LimitsRecord(tuple(probe.name for probe in ALL))


def test_what_was_waived_for_a_part_of_a_batch_does_not_hold_for_the_whole() -> None:
    now = LimitsRecord(("run memory", "run CPU"), (), ("build CPU",))
    before = LimitsRecord(("run CPU",), ("run memory",), ("build CPU",))
    assert for_whole_batch(None, now) == now
    assert for_whole_batch(before, now) == before


def test_an_unknown_waiver_is_a_mistake_that_names_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="'run memroy'"):
        waivers(["run memroy"])
    assert run(["batch", str(tmp_path), "--out", str(tmp_path / "out"), "--waive", "run memroy"]) == 2
    message = capsys.readouterr().err
    assert "run memroy" in message
    assert "run memory" in message
    assert not (tmp_path / "out").exists()


# ── what is known already ───────────────────────────────────────────────────────────────


def test_what_held_is_not_tried_again_until_the_engine_is_another(tmp_path: Path) -> None:
    first, tried = require_all(KnownLimits(tmp_path, "key"))
    assert tried == len(ALL)
    assert require_all(KnownLimits(tmp_path, "key")) == (first, 0)
    assert require_all(KnownLimits(tmp_path, "another")) == (first, len(ALL))


def test_what_did_not_hold_is_tried_again_and_what_does_not_hold_any_more_is_forgotten(tmp_path: Path) -> None:
    known = KnownLimits(tmp_path, "key")
    require_all(known, LOST, LOST)
    assert require_all(known)[1] == len(LOST)
    known.keep("private", [Result(probe, holds=False, seen="") for probe in ALL if probe.name == "run CPU"])
    known.keep("host", [])
    assert known.held("private") == {probe.name for probe in ALL} - {"run CPU"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"key": 1}', '{"key": [{}]}', '{"key": ["no such limit"]}', "\ud800"]
)
def test_a_file_that_cannot_be_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "limits-private.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    known = KnownLimits(tmp_path, "key")
    assert known.held("private") == frozenset()
    assert require_all(known)[1] == len(ALL)
    assert require_all(known)[1] == 0


def test_without_a_key_and_without_a_folder_nothing_is_kept_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for known in (KnownLimits(tmp_path, ""), KnownLimits(tmp_path / "file" / "below", "key")):
        assert [require_all(known)[1] for _ in range(2)] == [len(ALL), len(ALL)]


def test_the_key_changes_with_what_bears_on_limits_and_not_with_what_is_running() -> None:
    info = {"ID": "A", "CgroupVersion": "1", "Containers": 3, "Warnings": None}
    assert engine_key(info) == engine_key({**info, "Containers": 4})
    assert len({engine_key(info), engine_key({**info, "ID": "B"}), engine_key({**info, "CgroupVersion": "2"})}) == 3
