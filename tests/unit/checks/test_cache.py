"""Whether a change of the script installs packages again (3.3.L), judged by the records that installers leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from grader.grading.exercise import grade_exercise
from grader.models import (
    BuildFailed,
    BuildRequest,
    BuildStep,
    CheckVerdict,
    Exited,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
)
from tests.worlds import check, context, image, printed

RUN = "RUN pip install numpy pandas"
NUMPY = "/usr/lib/python3/site-packages/numpy-1.26.4.dist-info/RECORD"
DOCKERFILE = b"FROM python:3.9 AS builder\nCOPY . .\nRUN make\nFROM python:3.9\nCOPY --from=builder /venv /venv\n"
PROJECT = {"pyproject.toml": b'[project]\nname = "sales-predictor"\n', "setup.py": b"setup(name='old-name')\n"}
Steps = tuple[BuildStep, ...]


def steps(*texts: str, ran_from: int = 99, stage: str = "") -> Steps:
    """The steps of a stage, one a line; those from the number `ran_from` on (1: the first) were not cached."""
    name = "[" + stage + "{:>2}/" + str(len(texts)) + "] "
    return tuple(BuildStep(name.format(n) + text, n < ran_from, 1.5, line=n) for n, text in enumerate(texts, 1))


def after(*texts: str, again: Sequence[str] = (NUMPY,), **files: bytes) -> tuple[CheckVerdict, int]:
    """What is concluded where records in `again` are newer after a change, and how often the script was changed."""
    world = World(steps(*texts, ran_from=2), again)
    return verdict(world, **files), sum(bool(request.changed) for request in world.asked)


class World:
    """Builds with a changed script go as `went` says; then records in `again` are newer."""

    def __init__(self, went: Steps | BuildFailed, again: Sequence[str] = (NUMPY,), *, in_stage: bool = False) -> None:
        self.went, self.again, self.in_stage = went, again, in_stage
        self.asked: dict[BuildRequest, None] = {}

    def __call__(self, request: Request) -> Observation:
        if isinstance(request, BuildRequest):
            self.asked[request] = None
            if isinstance(self.went, BuildFailed):
                return self.went if request.changed else image()
            return replace(image(), steps=tuple(replace(s, cached=s.cached or not request.changed) for s in self.went))
        assert isinstance(request, RunRequest)
        if not (request.entrypoint and request.entrypoint[0] == "find"):
            return RunOutcome(Exited(0))
        newer = request.build.changed and bool(request.build.replaced) == self.in_stage
        return printed("".join(f"{2 if newer else 1} {path}\n" for path in self.again))


def verdict(observe: Callable[[Request], Observation], **files: bytes) -> CheckVerdict:
    given = context("3.3.L", {"Dockerfile": DOCKERFILE, "sales_predictor.py": b"", **files})
    return check(grade_exercise(given, observe), "cached")


@pytest.mark.parametrize(("forgets", "status"), [(0, "passed"), (2, "passed"), (3, "not_graded")])
def test_an_order_is_judged_only_once_a_build_without_a_change_runs_nothing(forgets: int, status: str) -> None:
    """In a builder that keeps nothing, no order could be right: that is nobody's fault but its own."""
    asked: dict[BuildRequest, None] = {}

    def observe(request: Request) -> Observation:
        assert isinstance(request, BuildRequest)
        asked[request] = None
        forgotten = 0 < sum(not one.changed for one in asked) - 1 <= forgets
        return replace(image(), steps=steps("FROM x", RUN, "COPY . .", ran_from=1 if forgotten else 3))

    given = context("3.3.L", {"Dockerfile": DOCKERFILE, "sales_predictor.py": b""})
    assert grade_exercise(given, observe).status == status


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([NUMPY], "installed numpy once more"),
        (["/usr/lib/python3/dist-packages/six-1.16.0.egg-info"], "installed six once more"),
        (["/opt/conda/conda-meta/numpy-base-1.26.4-py39h.json"], "installed numpy-base once more"),
        (["/var/lib/dpkg/info/libgomp1:amd64.list"], "installed libgomp1 once more"),
        ([f"/x/{name}-1.dist-info/RECORD" for name in "abcdef"], "installed a, b, c, d and more once more"),
        ([], ""),
        (["/x/Sales_Predictor-0.1.dist-info/RECORD"], ""),
        (["/x/old_name-0.1.dist-info/RECORD"], ""),
        (["/app/sales_predictor.egg-info/PKG-INFO"], ""),
    ],
)
@pytest.mark.parametrize("text", ["RUN pip install x", "RUN ./anything"])
def test_the_records_decide_whoever_wrote_them(text: str, records: list[str], told: str) -> None:
    found, _ = after("FROM x", "COPY . .", text, again=records, **PROJECT)
    assert (found.status, told in found.message) == ("failed" if told else "passed", True)


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        ("COPY . .", 1),
        ("COPY *.py /app/", 1),
        ("COPY src/ /app/", 1),
        ("COPY --from=builder /made.txt /app/", 1),
        ("COPY --chown=1000:1000 requirements.txt ./", 2),
        ("WORKDIR /app", 2),
    ],
)
def test_what_no_instruction_explains_has_to_happen_twice(before: str, changes: int) -> None:
    found, changed = after("FROM python:3.9", before, RUN)
    assert (found.status, found.score, changed) == ("failed", 0, changes)
    assert "line 3 (RUN pip install numpy pandas) ran again" in found.message
    assert (f"Line 2 ({before})" in found.message) is (changes == 1)
    assert found.line == (2 if changes == 1 else 3)


@pytest.mark.parametrize(
    ("mount", "told"),
    [
        ("--mount=type=bind,target=/src", True),
        ("--mount=target=.", True),
        ("--mount=type=bind,source=sales_predictor.py,target=/src/sales_predictor.py", True),
        ("--mount=type=bind,source=requirements.txt,target=/src/requirements.txt", False),
        ("--mount=type=bind,from=builder,target=/src", False),
        ("--mount=type=cache,target=/root/.cache", False),
    ],
)
def test_an_installation_that_mounts_the_folder(mount: str, told: bool) -> None:
    found, _ = after("FROM python:3.9", f"RUN {mount} pip install numpy")
    assert ("It mounts the folder, and the script with it." in found.message) is told


def test_a_changed_script_with_which_nothing_builds() -> None:
    found = verdict(World(BuildFailed("the linter found a comment", line=4)))
    assert (found.status, found.line) == ("failed", 4)
    assert "does not build" in found.message


def test_what_another_stage_installs_again_counts_even_if_the_image_does_not_show_it() -> None:
    builder = steps("FROM python:3.9", "COPY . .", "RUN make", ran_from=2, stage="builder ")
    world = World(
        steps("FROM python:3.9", "COPY --from=builder /venv /venv", stage="stage-1 ") + builder, in_stage=True
    )
    found = verdict(world)
    assert found.status == "failed"
    assert "line 3 (RUN make) ran again and installed numpy once more" in found.message
    assert "Line 2 (COPY . .)" in found.message
    assert {file.content for request in world.asked for file in request.replaced} == {DOCKERFILE[:45]}


@pytest.mark.parametrize(
    ("script", "there", "told"),
    [
        (b"import numpy as np\nimport pandas.io\n", False, "what the script imports: numpy, pandas."),
        (b"import numpy\n", True, ""),
        (b"import csv, statistics\nfrom helper import mean\nprint(mean([1]))\n", False, ""),
        (b"try:\n    import numpy\nexcept ImportError:\n    numpy = None\n", False, ""),
    ],
    ids=["not there", "copied", "needs nothing", "does without"],
)
def test_where_nothing_is_installed_what_the_script_needs_must_be_there(script: bytes, there: bool, told: str) -> None:
    world = World(steps("FROM python:3.9", "COPY vendored /usr/lib", "COPY . .", "RUN echo", ran_from=3), again=[])

    def observe(request: Request) -> Observation:
        looks = isinstance(request, RunRequest) and "find_spec" in " ".join(request.entrypoint or ())
        return RunOutcome(Exited(0 if there else 1)) if looks else world(request)

    files = {"sales_predictor.py": script, "helper.py": b"def mean(x): return sum(x) / len(x)\n"}
    found = verdict(observe, **files)
    assert (found.status, told in found.message) == ("failed" if told else "passed", True)
