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
    ExerciseReport,
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
Steps = tuple[BuildStep, ...]


def steps(*texts: str, ran_from: int = 99, stage: str = "", lines: bool = True) -> tuple[BuildStep, ...]:
    """The steps of a stage, one a line; those from the number `ran_from` on (1: the first) were not cached."""
    return tuple(
        BuildStep(f"[{stage}{n:>2}/{len(texts)}] {text}", n < ran_from, 1.5, line=n if lines else None)
        for n, text in enumerate(texts, 1)
    )


class World:
    """Builds with a changed script go as `after` says, one after the other; then records in `again` are newer."""

    def __init__(self, *after: Steps | BuildFailed, again: Sequence[str] = (NUMPY,), in_stage: bool = False) -> None:
        self.after = after
        self.again = again
        self.in_stage = in_stage
        self.asked: list[BuildRequest] = []

    def __call__(self, request: Request) -> Observation:
        if isinstance(request, RunRequest):
            return self.run(request)
        assert isinstance(request, BuildRequest)
        if request not in self.asked:
            self.asked.append(request)
        went = self.after[min(max(self.changes, 1), len(self.after)) - 1]
        if isinstance(went, BuildFailed):
            return went if request.changed else image()
        return replace(image(), steps=went if request.changed else tuple(replace(step, cached=True) for step in went))

    def run(self, request: RunRequest) -> RunOutcome:
        if not (request.entrypoint and request.entrypoint[0] == "find"):
            return RunOutcome(Exited(0))
        newer = request.build.changed and bool(request.build.replaced) == self.in_stage
        return printed("".join(f"{2 if newer else 1} {path}\n" for path in self.again))

    @property
    def changes(self) -> int:
        """How often the image was built with a changed script."""
        return sum(bool(request.changed and not request.replaced) for request in self.asked)


def graded(observe: Callable[[Request], Observation], **files: bytes) -> ExerciseReport:
    return grade_exercise(context("3.3.L", {"Dockerfile": DOCKERFILE, "sales_predictor.py": b"", **files}), observe)


def verdict(observe: Callable[[Request], Observation], **files: bytes) -> CheckVerdict:
    return check(graded(observe, **files), "cached")


@pytest.mark.parametrize(("forgets", "status"), [(0, "passed"), (1, "passed"), (2, "passed"), (3, "not_graded")])
def test_an_order_is_judged_only_once_a_build_without_a_change_runs_nothing(forgets: int, status: str) -> None:
    """In a builder that keeps nothing, no order could be right: that is nobody's fault but its own."""
    asked: list[BuildRequest] = []

    def observe(request: Request) -> Observation:
        assert isinstance(request, BuildRequest)
        if request not in asked:
            asked.append(request)
        forgotten = 0 < sum(not one.changed for one in asked) - 1 <= forgets
        return replace(image(), steps=steps("FROM x", RUN, "COPY . .", ran_from=1 if forgotten else 3))

    assert graded(observe).status == status


def test_where_no_run_instruction_ran_no_image_is_looked_into() -> None:
    world = World(steps("FROM x", "COPY requirements.txt .", RUN, "COPY . .", ran_from=4))
    found = verdict(lambda request: world(request) if isinstance(request, BuildRequest) else pytest.fail("a run"))
    assert (found.status, found.score) == ("passed", 8)


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([NUMPY], "installed numpy once more"),
        (["/usr/lib/python3/dist-packages/six-1.16.0.egg-info"], "installed six once more"),
        (["/usr/lib/python3/site-packages/old-1.0.egg-info/PKG-INFO"], "installed old once more"),
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
    project = {"pyproject.toml": b'[project]\nname = "sales-predictor"\n', "setup.py": b"setup(name='old-name')\n"}
    world = World(steps("FROM x", "COPY . .", text, ran_from=2), again=records)
    found = verdict(world, **project)
    assert found.status == ("failed" if told else "passed")
    assert told in found.message


@pytest.mark.parametrize(
    ("before", "changes"),
    [
        ("COPY . .", 1),
        ("COPY *.py /app/", 1),
        ("COPY --chown=1000:1000 ./sales_predictor.py /app/", 1),
        ("COPY src/ /app/", 1),
        ("COPY --from=builder /made.txt /app/", 1),
        ("COPY --chown=1000:1000 requirements.txt ./", 2),
        ("WORKDIR /app", 2),
    ],
)
def test_what_no_instruction_explains_has_to_happen_twice(before: str, changes: int) -> None:
    world = World(steps("FROM python:3.9", before, RUN, ran_from=2))
    found = verdict(world)
    assert (found.status, found.score, world.changes) == ("failed", 0, changes)
    assert "line 3 (RUN pip install numpy pandas) ran again" in found.message
    assert (f"Line 2 ({before})" in found.message) is (changes == 1)
    assert found.line == (2 if changes == 1 else 3)
    assert found.hint


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
    found = verdict(World(steps("FROM python:3.9", f"RUN {mount} pip install numpy", ran_from=2)))
    assert ("It mounts the folder, and the script with it." in found.message) is told


def test_a_changed_script_with_which_nothing_builds() -> None:
    found = verdict(World(BuildFailed("the linter found a comment", line=4)))
    assert (found.status, found.line) == ("failed", 4)
    assert "does not build" in found.message


def test_what_another_stage_installs_again_counts_even_if_the_image_does_not_show_it() -> None:
    builder = steps("FROM python:3.9", "COPY . .", "RUN make", ran_from=2, stage="builder ")
    last = steps("FROM python:3.9", "COPY --from=builder /venv /venv", stage="stage-1 ")
    world = World(last + builder, in_stage=True)
    found = verdict(world)
    assert found.status == "failed"
    assert "line 3 (RUN make) ran again and installed numpy once more" in found.message
    assert "Line 2 (COPY . .)" in found.message
    assert {file.content for request in world.asked for file in request.replaced} == {DOCKERFILE[:45]}


# ── nothing installed ───────────────────────────────────────────────────────────────────


def without_installs(script: bytes, *, found: bool) -> CheckVerdict:
    """What is concluded where no instruction installs, and the image has what the script imports, or has not."""
    world = World(
        steps("FROM python:3.9", "COPY vendored /usr/lib/python3", "COPY . .", "RUN echo", ran_from=3), again=[]
    )

    def observe(request: Request) -> Observation:
        looks = isinstance(request, RunRequest) and "find_spec" in " ".join(request.entrypoint or ())
        return RunOutcome(Exited(0 if found else 1)) if looks else world(request)

    return verdict(observe, **{"sales_predictor.py": script, "helper.py": b"def mean(x): return sum(x) / len(x)\n"})


def test_where_nothing_is_installed_what_the_script_needs_must_be_there() -> None:
    found = without_installs(b"import numpy as np\nimport pandas.io\n", found=False)
    assert found.status == "failed"
    assert "what the script imports: numpy, pandas." in found.message
    assert "RUN echo" in found.actual
    assert found.hint


@pytest.mark.parametrize(
    ("script", "there"),
    [
        (b"import numpy\n", True),
        (b"import csv, statistics\nfrom helper import mean\nprint(mean([1]))\n", False),
        (b"try:\n    import numpy\nexcept ImportError:\n    numpy = None\n", False),
    ],
    ids=["copied", "needs nothing", "does without"],
)
def test_what_installs_nothing_installs_nothing_again(script: bytes, there: bool) -> None:
    assert without_installs(script, found=there).status == "passed"
