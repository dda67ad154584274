"""Whether a change of the script installs packages again (3.3.L), judged by what the builder calls cached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from grader.grading.exercise import grade_exercise
from grader.models import (
    BuildFailed,
    BuildRequest,
    BuildStep,
    Built,
    CheckVerdict,
    Exited,
    Observation,
    Request,
    RunOutcome,
    RunRequest,
)
from tests.unit.checks.test_checks import check
from tests.worlds import context, image

RUN = "RUN pip install numpy pandas"


def steps(*names: str, ran_from: int = 99, lines: bool = True) -> tuple[BuildStep, ...]:
    """The steps of a Dockerfile, one a line; those from the number `ran_from` on (1: the first) were not cached."""
    return tuple(
        BuildStep(name, number < ran_from, 1.5, line=number if lines else None) for number, name in enumerate(names, 1)
    )


def numbered(*instructions: str) -> list[str]:
    """Names of a single stage's steps, as builders write them."""
    return [f"[{number}/{len(instructions)}] {text}" for number, text in enumerate(instructions, 1)]


RIGHT = numbered("FROM python:3.9", "WORKDIR /app", "COPY requirements.txt .", RUN, "COPY sales_predictor.py .")


def verdict(*after: Sequence[BuildStep] | BuildFailed, **files: bytes) -> tuple[CheckVerdict, list[BuildRequest]]:
    """What is concluded, and which builds were asked for, where builds with a changed script go like this."""
    asked: list[BuildRequest] = []
    names = [step.name for step in after[0]] if not isinstance(after[0], BuildFailed) else RIGHT
    kept = steps(*names)

    def observe(request: Request) -> Observation:
        if isinstance(request, RunRequest):
            return RunOutcome(Exited(0))
        assert isinstance(request, BuildRequest)
        assert request.changed in {"", "sales_predictor.py"}
        if request not in asked:
            asked.append(request)
        if not request.changed:
            return replace(image(), steps=kept)
        went = after[sum(bool(one.changed) for one in asked) - 1]
        return went if isinstance(went, BuildFailed) else Built("sha256:2", image().config, tuple(went))

    given = {"Dockerfile": b"FROM x\n", "sales_predictor.py": b"print()\n", **files}
    return check(grade_exercise(context("3.3.L", given), observe), "cached"), asked


def changes(asked: Sequence[BuildRequest]) -> int:
    return sum(bool(request.changed) for request in asked)


@pytest.mark.parametrize(("forgets", "status"), [(0, "passed"), (1, "passed"), (2, "passed"), (3, "not_graded")])
def test_an_order_is_judged_only_once_a_build_without_a_change_installs_nothing(forgets: int, status: str) -> None:
    """In a builder that keeps nothing, no order could be right: that is nobody's fault but its own."""
    asked: list[BuildRequest] = []

    def observe(request: Request) -> Observation:
        assert isinstance(request, BuildRequest)
        if request not in asked:
            asked.append(request)
        forgotten = 0 < sum(not one.changed for one in asked) - 1 <= forgets
        return replace(image(), steps=steps(*RIGHT, ran_from=1 if forgotten else 5))

    report = grade_exercise(context("3.3.L", {"Dockerfile": b"FROM x\n", "sales_predictor.py": b""}), observe)
    assert report.status == status
    assert changes(asked) == (status == "passed")


def test_only_what_follows_the_install_ran() -> None:
    found, builds = verdict(steps(*RIGHT, ran_from=5))
    assert (found.status, found.score, changes(builds)) == ("passed", 8, 1)


@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_a_builder_that_lost_what_it_had_is_asked_once_more(first: int) -> None:
    found, builds = verdict(steps(*RIGHT, ran_from=first), steps(*RIGHT, ran_from=5))
    assert (found.status, changes(builds)) == ("passed", 2)


def test_a_cache_that_stays_lost_fails() -> None:
    found, builds = verdict(steps(*RIGHT, ran_from=2), steps(*RIGHT, ran_from=4))
    assert (found.status, changes(builds)) == ("failed", 2)
    assert "pip install" in found.message
    assert "after a change" not in found.message.lower()


@pytest.mark.parametrize(
    ("before", "builds"),
    [
        ("COPY . .", 1),
        ("COPY . /app/", 1),
        ("ADD . /app", 1),
        ("COPY *.py /app/", 1),
        ("COPY sales_predictor.py /app/", 1),
        ("COPY requirements.txt sales_predictor.py ./", 1),
        ("COPY --chown=1000:1000 ./sales_predictor.py /app/", 1),
        ("COPY src/ /app/", 1),
        (f"COPY {' '.join(f'helper_{n}.py' for n in range(9))} sales_predictor.py ./", 1),
        ("RUN --mount=type=bind,target=/src true", 1),
        ('COPY ["sales_predictor.py", "/app/"]', 1),
        ("COPY requirements.txt ./", 2),
        ("COPY --chown=1000:1000 requirements.txt ./", 2),
        ("ADD requirements.txt ./", 2),
        ("WORKDIR /app", 2),
        ("RUN useradd app", 2),
    ],
)
def test_a_copy_that_may_hold_the_script_needs_no_second_try(before: str, builds: int) -> None:
    names = numbered("FROM python:3.9", before, RUN)
    lost = steps(*names, ran_from=2)
    found, tried = verdict(lost, lost)
    assert (found.status, found.score, changes(tried)) == ("failed", 0, builds)
    assert "RUN pip install" in found.message
    assert found.hint


def test_the_copy_that_broke_the_cache_is_named() -> None:
    found, _ = verdict(steps(*numbered("FROM python:3.9", "WORKDIR /app", "COPY . .", RUN), ran_from=3))
    assert "Line 3 (COPY . .)" in found.message
    assert (found.file, found.line) == ("Dockerfile", 3)


@pytest.mark.parametrize(
    ("text", "installs"),
    [
        ("RUN pip install numpy", True),
        ("RUN python -m pip install -r requirements.txt", True),
        ("RUN apt-get update && apt-get install -y gcc", True),
        ("RUN --mount=type=cache,target=/root/.cache poetry install", True),
        ("RUN sh setup.sh", True),
        ("RUN python3 -mpip install numpy", True),
        ("RUN PIP=pip; $PIP install numpy", True),
        ("RUN echo hello", False),
        ("RUN python sales_predictor.py", False),
        ("COPY pip-install.txt .", False),
    ],
)
def test_what_installs_packages(text: str, installs: bool) -> None:
    names = numbered("FROM python:3.9", RUN, "COPY . .", text)
    found, _ = verdict(steps(*names, ran_from=3), **{"setup.sh": b"set -e\npip install numpy\n"})
    assert found.status == ("failed" if installs else "passed")


@pytest.mark.parametrize(("body", "status"), [("set -e\npip install numpy\n", "failed"), ("echo hello\n", "passed")])
def test_an_installation_in_a_heredoc_is_one(body: str, status: str) -> None:
    names = numbered("FROM python:3.9", "COPY . .", f"RUN <<EOF ({body.partition(chr(10))[0]}...)")
    lost = steps(*names, ran_from=2)
    given = f"FROM x\nCOPY . .\nRUN <<EOF\n{body}EOF\n".encode()
    found, _ = verdict(lost, lost, Dockerfile=given)
    assert found.status == status


def without_installs(script: bytes, *, found: bool, **files: bytes) -> CheckVerdict:
    """What is concluded where no instruction installs, and the image has what the script imports, or has not."""
    names = numbered("FROM python:3.9", "COPY vendored /usr/lib/python3/dist-packages", "COPY . .", "RUN echo hello")

    def observe(request: Request) -> Observation:
        if isinstance(request, BuildRequest):
            return replace(image(), steps=steps(*names, ran_from=3 if request.changed else 99))
        assert isinstance(request, RunRequest)
        looks = "find_spec" in " ".join(request.entrypoint or ())
        return RunOutcome(Exited(0 if found or not looks else 1))

    given = {"Dockerfile": b"FROM x\n", "sales_predictor.py": script, **files}
    return check(grade_exercise(context("3.3.L", given), observe), "cached")


def test_where_nothing_is_installed_what_the_script_needs_must_be_there() -> None:
    found = without_installs(b"import numpy as np\nimport pandas.io\n", found=False)
    assert found.status == "failed"
    assert "the image has no numpy and no pandas" in found.message
    assert "RUN echo hello" in found.actual
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
    found = without_installs(script, found=there, **{"helper.py": b"def mean(x): return sum(x) / len(x)\n"})
    assert (found.status, found.score) == ("passed", 8)


def test_an_installation_by_a_program_of_ones_own_is_one() -> None:
    names = numbered("FROM python:3.9", "COPY . .", "RUN python setup_libraries.py")
    lost = steps(*names, ran_from=2)
    program = b"import subprocess\nsubprocess.run(['pip', 'install', 'numpy'], check=True)\n"
    found, _ = verdict(lost, lost, **{"setup_libraries.py": program})
    assert found.status == "failed"
    assert "RUN python setup_libraries.py" in found.message


def test_a_builder_that_names_no_lines() -> None:
    """Lines are for messages; without them the verdict is the same."""
    names = numbered("FROM python:3.9", "COPY . .", RUN)
    found, _ = verdict(*[steps(*names, ran_from=2, lines=False)] * 2)
    assert found.status == "failed"
    assert "COPY . ." in found.message


def test_a_changed_script_with_which_nothing_builds() -> None:
    found, _ = verdict(BuildFailed("the linter found a comment", line=4))
    assert (found.status, found.line) == ("failed", 4)
    assert "does not build" in found.message


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
    lost = steps(*numbered("FROM python:3.9", f"RUN {mount} pip install numpy"), ran_from=2)
    found, _ = verdict(lost, lost)
    assert ("It mounts the folder, and the script with it." in found.message) is told


def test_the_steps_are_shown_in_the_order_of_the_file() -> None:
    lost = steps(*numbered("FROM python:3.9", "COPY . .", RUN), ran_from=2)
    found, _ = verdict(lost[::-1], lost[::-1])
    assert found.actual == f"ran 1.5 s  COPY . .\nran 1.5 s  {RUN}"
    assert "installing took 1.5 seconds in all" in found.message


# ── several stages ──────────────────────────────────────────────────────────────────────


def stages(*named: tuple[str, bool]) -> tuple[BuildStep, ...]:
    return tuple(BuildStep(name, cached, 1.0, line=line) for line, (name, cached) in enumerate(named, 1))


def test_a_copy_of_another_stage_explains_nothing() -> None:
    first = [("[builder 1/2] FROM python:3.9", True), (f"[builder 2/2] {RUN}", False)]
    last = [("[stage-1 1/2] FROM python:3.9", True), ("[stage-1 2/2] COPY . .", False)]
    lost = stages(*last, *first)
    found, builds = verdict(lost, stages(*last, first[0], (first[1][0], True)))
    assert (found.status, changes(builds)) == ("passed", 2)


def test_a_copy_of_its_own_stage_explains_it_and_is_named() -> None:
    found, builds = verdict(
        stages(
            ("[stage-1 1/2] FROM python:3.9", True),
            ("[stage-1 2/2] COPY . .", False),
            ("[builder 1/3] FROM python:3.9", True),
            ("[builder 2/3] COPY sales_predictor.py .", False),
            (f"[builder 3/3] {RUN}", False),
        )
    )
    assert (found.status, changes(builds)) == ("failed", 1)
    assert "line 5 (RUN pip install" in found.message
    assert "Line 4 (COPY sales_predictor.py .)" in found.message
    assert found.line == 4


def test_a_copy_of_the_stage_that_it_begins_with_is_named() -> None:
    lost = stages(("[base 1/2] FROM python:3.9", True), ("[base 2/2] COPY . .", False), (f"[stage-1 1/1] {RUN}", False))
    found, _ = verdict(lost, lost)
    assert found.status == "failed"
    assert "Line 2 (COPY . .)" in found.message


def test_what_comes_from_a_stage_that_changed_explains_it() -> None:
    found, builds = verdict(
        stages(
            ("[stage-1 1/3] FROM python:3.9", True),
            ("[stage-1 2/3] COPY --from=builder /app/made.txt /app/", False),
            (f"[stage-1 3/3] {RUN}", False),
        )
    )
    assert (found.status, changes(builds)) == ("failed", 1)


def test_numbers_that_are_padded_belong_to_one_stage() -> None:
    """With ten steps or more, BuildKit writes `[ 2/11]` and `[builder  2/11]`."""
    texts = ["FROM python:3.9", "COPY . .", *["RUN true"] * 8, RUN]
    for stage in ("", "builder "):
        names = [f"[{stage}{number:>2}/{len(texts)}] {text}" for number, text in enumerate(texts, 1)]
        found, builds = verdict(*[steps(*names, ran_from=2)] * 2)
        assert (found.status, found.line, changes(builds)) == ("failed", 2, 1)
