"""The hostile corpus through the real pipeline: one `grader batch` over all of it, then a look at what became of each,
and of everything around it. What a case is: tests/hostile/corpus.py.
"""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from grader.models import CheckStatus, ExerciseStatus
from grader.sanitize import UNSAFE, safe_name
from tests.e2e.conftest import KINDS, made
from tests.hostile.corpus import CASES, HostileCase, filled
from tests.hostile.run import LIMITS, ROOT, SHORT, Ran, run_batch

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(1800)]

MEMORY_KB = 300 * 1024
"""The most that a grader may hold, whatever it is given."""
SLACK_SECONDS = 10.0


def pace(case: HostileCase) -> str:
    """The batch that a case is in: the first variant of each danger is quick."""
    if case.slow:
        return "slow"
    first = next(one for one in CASES if one.name[:2] == case.name[:2] and not one.slow)
    return "quick" if case == first else "variants"


@pytest.fixture(autouse=True)
def _nothing_is_left() -> None:
    """In place of the one that looks after every test: here a test of its own does."""


@pytest.fixture(scope="module")
def batches(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ran]:
    """Gives a batch by its name, one at a time: these take what they can. It has the cases that this run of pytest has
    chosen (`-k 24`, `-k slow-`), or all.
    """
    tests = (item.callspec.params for item in request.session.items if hasattr(item, "callspec"))
    chosen = {row["case"].name for row in tests if "case" in row}
    begun: set[str] = set()

    @functools.cache
    def batch(name: str) -> Ran:
        assert name not in begun, "the batch came to no end; the first test that asked for it says why"
        begun.add(name)
        cases = [case for case in CASES if pace(case) == name]
        cases = [case for case in cases if case.name in chosen] or cases
        jobs, clean_every, limits = (1, 1, SHORT) if name == "slow" else (2, 6, LIMITS)
        return run_batch(tmp_path_factory.mktemp(name), cases, limits, jobs=jobs, clean_every=clean_every)

    return batch


@pytest.fixture
def ran(request: pytest.FixtureRequest, batches: Callable[[str], Ran]) -> Ran:
    """The batch that the test's parameter names."""
    return batches(request.param)


# ── each case ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ran", "case"),
    [pytest.param(pace(case), case, id=f"{pace(case)}-{case.name}") for case in CASES],
    indirect=["ran"],
)
def test_it_becomes_of_a_case_what_must(ran: Ran, case: HostileCase) -> None:
    assert problems(ran, case) == []


def problems(ran: Ran, case: HostileCase) -> list[str]:
    """What is not as the case expects."""
    student = ran.students[case.name]
    graded = ran.gradings.get((student, case.exercise))
    if graded is None:
        return [f"there is no result of {student!r} for {case.exercise}"]
    report = graded.result.report
    first = next((check.id for check in report.checks if check.status is CheckStatus.FAILED), "")
    page = (ran.out / "students" / f"{safe_name(student)}.html").read_text(encoding="utf-8")
    shown = " ".join("".join(Reader(page).text).split())
    expect = case.expect
    found = []
    if report.status.value != expect.status or (expect.check and first != expect.check):
        found.append(f"{report.status.value} at {first!r}, not {expect.status} at {expect.check!r}")
    if " ".join(expect.phrase.split()) not in shown:
        found.append(f"the student is not shown {expect.phrase!r}")
    limits = SHORT if case.slow else LIMITS
    longest = limits["build_seconds"] + limits["script_seconds"] + len(report.checks) * limits["run_seconds"]
    if report.seconds > longest + SLACK_SECONDS:
        found.append(f"took {report.seconds:.0f} s")
    absent = [filled(text.encode(), ran.planted.words).decode() for text in expect.absent]
    found += [f"{text!r} is in {where}" for text in absent for where, content in ran.texts.items() if text in content]
    return [*found, shown] if found else []


# ── afterwards ──────────────────────────────────────────────────────────────────────────

each = pytest.mark.parametrize("ran", ["quick", "variants", "slow"], indirect=True)


@each
def test_everybody_was_graded_and_the_clean_ones_have_full_marks(ran: Ran) -> None:
    assert ran.code == 0, ran.texts["what was printed"]
    rows = [graded for (student, _), graded in ran.gradings.items() if student in ran.clean and graded.result.digest]
    assert len(rows) == len(ran.clean)
    assert [row for row in rows if row.result.report.status is not ExerciseStatus.PASSED] == []


@each
def test_whatever_has_failed_says_why(ran: Ran) -> None:
    other = {ExerciseStatus.REJECTED, ExerciseStatus.NOT_GRADED}
    for report in (graded.result.report for graded in ran.gradings.values()):
        assert report.message.strip() or report.status not in other, report
        assert all(check.message.strip() for check in report.checks if check.status is not CheckStatus.PASSED), report


@each
def test_what_others_have_in_the_engine_is_untouched(ran: Ran) -> None:
    before, after = ran.bystander
    assert before == after


@each
def test_nothing_of_the_grader_is_left_in_the_engine(ran: Ran) -> None:
    assert [(kind, one) for kind in KINDS for one, owner in made(kind).items() if owner.pid == ran.pid] == []


@each
def test_no_process_of_the_grader_is_left(ran: Ran) -> None:
    secret = ran.planted.secrets["environment"].encode()
    assert [one for one in Path("/proc").iterdir() if one.name.isdecimal() and secret in environment_of(one)] == []


def environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it has ended, or is a thread of the kernel
        return b""


@each
def test_no_file_is_written_but_results_and_cache(ran: Ran) -> None:
    before, after = ran.files
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == set()
    cache = ran.planted.root / "cache"
    kept = {str(path.relative_to(cache)) for path in cache.rglob("*")}
    assert kept <= {"grader", "grader/engines", "grader/images.lock", "grader/limits.json"}
    assert not Path(ran.planted.words["MARK"]).exists()


@each
def test_nothing_is_executed_on_the_machine(ran: Ran) -> None:
    assert ran.planted.started() == []


@each
def test_nothing_is_fetched_from_the_machines_network(ran: Ran) -> None:
    assert ran.planted.hits == []


@each
def test_the_grader_stays_small(ran: Ran) -> None:
    assert 0 < ran.peak_kb < MEMORY_KB


@each
def test_secrets_are_in_no_artefact(ran: Ran) -> None:
    texts, secrets = ran.texts.items(), ran.planted.secrets.values()
    assert [(where, secret) for where, text in texts for secret in secrets if secret in text] == []


@each
def test_tables_have_a_row_for_everybody(ran: Ran) -> None:
    everybody = {*ran.students.values(), *ran.clean}
    exercises = {exercise for _, exercise in ran.gradings}
    header, *rows = csv.reader(io.StringIO(ran.texts["grades.csv"], newline=""), strict=True)
    assert len(rows) == len(everybody) * len(exercises)
    assert {len(row) for row in rows} == {len(header)}
    _, *students = csv.reader(io.StringIO(ran.texts["gradebook.csv"], newline=""), strict=True)
    assert len(students) == len(everybody)
    cells = [cell for row in (*rows, *students) for cell in row]
    assert [cell for cell in cells if cell[:1] in set("=+-@\t\r") and not re.fullmatch(r"-?[0-9.]+", cell)] == []


@each
def test_the_junit_file_is_well_formed(ran: Ran) -> None:
    root = ET.fromstring(ran.texts["junit.xml"])  # noqa: S314 - an entity bomb in it would be ours, and a red test
    assert root.findall(".//testcase")


@each
def test_pages_hold_no_markup_of_students(ran: Ran) -> None:
    pages = {where: text for where, text in ran.texts.items() if where.endswith(".html")}
    assert len(pages) == len(ran.students) + len(ran.clean) + 1
    for where, text in pages.items():
        found = Reader(text).active
        ours = {"<script>", "<form>", "<svg>"} if where == "report.html" else {"<script>"}  # one each, but for charts
        assert set(found) <= ours, where
        assert max(found.count("<script>"), found.count("<form>")) <= 1, where


@each
def test_no_artefact_holds_what_steers_a_terminal(ran: Ran) -> None:
    for where, text in ran.texts.items():
        if not where.startswith("journal"):  # there, Python's own escapes
            assert [ascii(found) for found in UNSAFE.findall(text.replace("\r\n", "\n"))] == [], where


@each
def test_it_can_be_judged_and_exported_again(ran: Ran) -> None:
    before = ran.texts["gradebook.csv"]
    away = {**ran.planted.environment, "DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    for words in (["regrade", str(ran.out)], ["export", str(ran.out), "--to", "gradescope"]):
        course = ["--course", str(ran.planted.root / "course")]
        done = subprocess.run(
            [sys.executable, "-m", "grader", *course, *words], capture_output=True, check=False, env=away, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr.decode()
    assert (ran.out / "gradebook.csv").read_bytes().decode() == before
    exported = list((ran.out / "gradescope").glob("*.json"))
    assert len(exported) == len(ran.students) + len(ran.clean)
    for path in exported:
        document = json.loads(path.read_bytes().decode("utf-8"), parse_constant=pytest.fail)
        assert [ascii(found) for found in UNSAFE.findall(json.dumps(document, ensure_ascii=False))] == []


# ── reading pages ───────────────────────────────────────────────────────────────────────


class Reader(HTMLParser):
    """What a page shows, and what in it could do something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.active: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "img", "svg", "iframe", "object", "embed", "form", "base", "math", "audio", "video"}:
            self.active.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or (name in {"href", "src"} and ":" in (value or "")):
                self.active.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)
