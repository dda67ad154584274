"""The hostile corpus through the real pipeline: one `grader batch` over all of it, then a look at what became of each,
and of everything around it. What a case is: tests/hostile/corpus.py.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

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

PACES = ("quick", *(pytest.param(name, marks=pytest.mark.long) for name in ("variants", "slow")))


def pace(case: HostileCase) -> str:
    """The batch that a case is in. `make test` tries one variant of each danger, the first."""
    if case.slow:
        return "slow"
    number = case.name[:2]
    return "quick" if case == next(one for one in CASES if one.name[:2] == number and not one.slow) else "variants"


@pytest.fixture(autouse=True)
def _nothing_is_left() -> None:
    """In place of the one that looks after every test: here a test of its own does."""


@pytest.fixture(scope="module")
def batches(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Ran]]:
    """Gives the batch of all `quick` cases, of their `variants`, or of the `slow` ones, one at a time: these take what
    they can."""
    done: dict[str, Ran] = {}
    tried: set[str] = set()

    def batch(name: str) -> Ran:
        if name not in done:
            assert name not in tried, "the batch came to no end; the first test that asked for it says why"
            tried.add(name)
            cases = asked_for(request.session, name)
            jobs, clean_every, limits = (1, 1, SHORT) if name == "slow" else (2, 6, LIMITS)
            done[name] = run_batch(tmp_path_factory.mktemp(name), cases, limits, jobs=jobs, clean_every=clean_every)
        return done[name]

    yield batch
    for name, ran in done.items():
        tell(request, name, ran)


def asked_for(session: pytest.Session, name: str) -> list[HostileCase]:
    """The cases of a batch that this run of pytest has chosen (`-k 24`, `-k slow-`), or all of it."""
    chosen = {row["case"].name for row in map(of_table, session.items) if "case" in row}
    mine = [case for case in CASES if pace(case) == name]
    return [case for case in mine if case.name in chosen] or mine


def of_table(item: pytest.Item) -> Mapping[str, Any]:
    """The row of the table that a test is made from."""
    return item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}


def tell(request: pytest.FixtureRequest, name: str, ran: Ran) -> None:
    """Print the figures of a batch."""
    cases = asked_for(request.session, name)
    right = sum(not problems(ran, case) for case in cases)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
        print(  # noqa: T201 - the figures of a run, which no assertion shows
            f"\nhostile corpus, {name}: {len(cases)} cases tried, {right} as expected; {len(ran.clean)} clean "
            f"submissions between them; {request.session.testsfailed} tests red in all; the grader took "
            f"{ran.seconds:.0f} s and at most {ran.peak_kb // 1024} MiB"
        )


@pytest.fixture
def ran(request: pytest.FixtureRequest, batches: Callable[[str], Ran]) -> Ran:
    """The batch that the test's parameter names."""
    return batches(request.param)


# ── each case ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("ran", "case"),
    [
        pytest.param(
            pace(case), case, id=f"{pace(case)}-{case.name}", marks=[] if pace(case) == "quick" else [pytest.mark.long]
        )
        for case in CASES
    ],
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
    shown = text_of(page)
    expect = case.expect
    found = []
    if report.status.value != expect.status or (expect.check and first != expect.check):
        found.append(f"{report.status.value} at {first!r}, not {expect.status} at {expect.check!r}")
    if " ".join(expect.phrase.split()) not in shown:
        found.append(f"the student is not shown {expect.phrase!r}")
    if report.seconds > longest(SHORT if case.slow else LIMITS, len(report.checks)):
        found.append(f"took {report.seconds:.0f} s")
    absent = [filled(text.encode(), ran.planted.words).decode() for text in expect.absent]
    found += [f"{text!r} is in {where}" for text in absent for where, content in ran.texts.items() if text in content]
    return [*found, shown] if found else []


def longest(limits: Mapping[str, int], checks: int) -> float:
    """The most seconds that an exercise of so many checks may take: each limit once, that of runs for each check."""
    return limits["build_seconds"] + limits["script_seconds"] + checks * limits["run_seconds"] + SLACK_SECONDS


# ── afterwards ──────────────────────────────────────────────────────────────────────────

both = pytest.mark.parametrize("ran", PACES, indirect=True)


@both
def test_everybody_was_graded_and_the_clean_ones_have_full_marks(ran: Ran) -> None:
    assert ran.code == 0, ran.printed
    rows = [graded for (student, _), graded in ran.gradings.items() if student in ran.clean and graded.result.digest]
    assert len(rows) == len(ran.clean)
    assert [
        (row.student, row.result.report) for row in rows if row.result.report.status is not ExerciseStatus.PASSED
    ] == []


@both
def test_whatever_has_failed_says_why(ran: Ran) -> None:
    silent = [
        (graded.student, graded.result.report.id, check.id)
        for graded in ran.gradings.values()
        for check in graded.result.report.checks
        if check.status is not CheckStatus.PASSED and not check.message.strip()
    ]
    assert silent == []
    other = {ExerciseStatus.REJECTED, ExerciseStatus.NOT_GRADED}
    reports = [graded.result.report for graded in ran.gradings.values()]
    assert [report for report in reports if report.status in other and not report.message.strip()] == []


@both
def test_what_others_have_in_the_engine_is_untouched(ran: Ran) -> None:
    before, after = ran.bystander
    assert after == before


@both
def test_nothing_of_the_grader_is_left_in_the_engine(ran: Ran) -> None:
    assert [(kind, one) for kind in KINDS for one, owner in made(kind).items() if owner.pid == ran.pid] == []


@both
def test_no_process_of_the_grader_is_left(ran: Ran) -> None:
    secret = ran.planted.secrets["environment"].encode()
    assert [one for one in Path("/proc").iterdir() if one.name.isdecimal() and secret in environment_of(one)] == []


def environment_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it has ended, or is a thread of the kernel
        return b""


@both
def test_no_file_is_written_but_results_and_cache(ran: Ran) -> None:
    before, after = ran.files
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed == set()
    cache = ran.planted.root / "cache"
    kept = {str(path.relative_to(cache)) for path in cache.rglob("*")}
    assert kept <= {"grader", "grader/engines", "grader/images.lock", "grader/limits.json"}
    assert not Path(ran.planted.words["MARK"]).exists()


@both
def test_nothing_is_executed_on_the_machine(ran: Ran) -> None:
    assert ran.planted.started() == []


@both
def test_nothing_is_fetched_from_the_machines_network(ran: Ran) -> None:
    assert ran.planted.hits == []


@both
def test_the_grader_stays_small(ran: Ran) -> None:
    assert 0 < ran.peak_kb < MEMORY_KB


@both
def test_secrets_are_in_no_artefact(ran: Ran) -> None:
    found = [
        (where, secret)
        for secret in ran.planted.secrets.values()
        for where, text in ran.texts.items()
        if secret in text
    ]
    assert found == []


@both
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


@both
def test_the_junit_file_is_well_formed(ran: Ran) -> None:
    root = ET.fromstring(ran.texts["junit.xml"])  # noqa: S314 - an entity bomb in it would be ours, and a red test
    assert len(root.findall(".//testcase"))


@both
def test_pages_hold_no_markup_of_students(ran: Ran) -> None:
    pages = {where: text for where, text in ran.texts.items() if where.endswith(".html")}
    assert len(pages) == len(ran.students) + len(ran.clean) + 1
    for where, text in pages.items():
        found = markup(text)
        ours = {"<script>", "<form>", "<svg>"} if where == "report.html" else {"<script>"}  # one each, but for charts
        assert set(found) <= ours, where
        assert max(found.count("<script>"), found.count("<form>")) <= 1, where


@both
def test_no_artefact_holds_what_steers_a_terminal(ran: Ran) -> None:
    for where, text in ran.texts.items():
        if not where.startswith("journal"):  # there, Python's own escapes
            assert [ascii(found) for found in UNSAFE.findall(text.replace("\r\n", "\n"))] == [], where


@both
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
        document = json.loads(path.read_bytes().decode("utf-8"), parse_constant=strictly)
        assert [ascii(found) for found in UNSAFE.findall(json.dumps(document, ensure_ascii=False))] == []


def strictly(name: str) -> None:
    message = f"{name} is no JSON"
    raise ValueError(message)


# ── reading pages ───────────────────────────────────────────────────────────────────────


class Reader(HTMLParser):
    """What a page shows, and what in it could do something."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "img", "svg", "iframe", "object", "embed", "form", "base", "math", "audio", "video"}:
            self.active.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or (name in {"href", "src"} and ":" in (value or "")):
                self.active.append(f"{name}={value}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(page: str) -> str:
    """What a page shows, with every white space as one space."""
    reader = Reader()
    reader.feed(page)
    return " ".join("".join(reader.text).split())


def markup(page: str) -> list[str]:
    """What in a page could do something."""
    reader = Reader()
    reader.feed(page)
    return reader.active
