"""The hostile corpus through the real pipeline: one `grader batch` over all of it, then a look at what became of each,
and of everything around it. What a case is: tests/hostile/corpus.py.

The grader gets a home, a cache, a folder for temporary files and a working directory of its own, so that what it writes
where it should not is seen. Programs of the machine that it must not start are replaced by ones that tell. Secrets lie
where a submission might look; objects of somebody else stand in the engine.
"""

from __future__ import annotations

import base64
import csv
import functools
import http.server
import io
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from grader.batch.journal import Graded, Journal
from grader.models import CheckStatus, ExerciseStatus
from grader.sanitize import UNSAFE, safe_name
from tests.e2e.conftest import KINDS, ROOT, docker, made
from tests.hostile.corpus import CASES, HostileCase, filled, write_case, write_clean
from tests.hostile.makers import MARK

pytestmark = [pytest.mark.engine, pytest.mark.long, pytest.mark.timeout(1800)]

MEMORY_KB = 400 * 1024
"""The most that a grader of two jobs may hold, whatever it is given: a large submission takes 130 MiB."""
SLACK_SECONDS = 10.0
BASE = "python:3.9-slim"
SEED = "20240229"

LIMITS = {"build_seconds": 90, "script_seconds": 60, "run_seconds": 10}
"""Many times what an honest one takes, also where the machine has other work: no quick case should meet one of them."""
SHORT = {"build_seconds": 25, "script_seconds": 30, "run_seconds": 5}
"""For slow cases, so that what never ends ends soon. Those are graded one at a time."""

NOT_TO_BE_STARTED = ("bash", "docker", "docker-compose", "env", "git", "sh", "ssh", "tar", "unzip")
"""Programs that a grader which executes what students hand in would need on the machine itself."""


def engine(*words: str) -> str:
    """What a docker command prints that must not fail."""
    done = docker(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# ── what is planted ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Planted:
    """What is laid out for hostile submissions below `root`.

    `secrets` are texts by where they lie; `words` is what `@WORD@` means in the corpus; `hits` are the requests that
    the web server of this machine got.
    """

    root: Path
    secrets: Mapping[str, str]
    words: Mapping[str, str]
    hits: list[str]

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the grader: nothing of this user's, and a secret."""
        kept = {name: value for name, value in os.environ.items() if name in {"DOCKER_HOST", "LANG", "GRADER_BUILDER"}}
        return {
            **kept,
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.root / "home"),
            "XDG_CACHE_HOME": str(self.root / "cache"),
            "TMPDIR": str(self.root / "tmp"),
            "DEPLOY_TOKEN": self.secrets["environment"],
        }

    def started(self) -> list[str]:
        """The programs that were started although they must not be."""
        log = self.root / "started"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def plant(root: Path, name: str, address: str, hits: list[str]) -> Planted:
    """Lay out home, secrets and programs below `root`. `name` is that of the bystanders in the engine."""
    told = {where: f"secret-of-{where}-{secrets.token_hex(8)}" for where in ("environment", "home", "sibling")}
    for folder in ("home/.docker", "cache", "tmp", "here", "class", "bin"):
        (root / folder).mkdir(parents=True)
    (root / "home/secret.txt").write_text(f"{told['home']}\n", encoding="utf-8")
    told["registry"] = base64.b64encode(f"user:{told['home']}".encode()).decode()
    auth = {"auths": {"registry.invalid": {"auth": told["registry"]}}}
    (root / "home/.docker/config.json").write_text(json.dumps(auth), encoding="utf-8")
    for program in NOT_TO_BE_STARTED:
        path = root / "bin" / program
        path.write_text(f'#!/bin/sh\necho "{program} $*" >>{root}/started\nexit 1\n', encoding="utf-8")
        path.chmod(0o755)
    words = {
        "CANARY": address,
        "BYSTANDER": name,
        "HOSTFILE": str(root / "home/secret.txt"),
        "SIBLING": str(root / "class/00-sibling/3.1.4/notes.txt"),
        "MARK": MARK,
    }
    return Planted(root, told, words, hits)


@contextmanager
def canary() -> Iterator[tuple[str, list[str]]]:
    """A web server that containers can reach: its address, and the paths that it was asked for."""
    hits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    shown = subprocess.run(["ip", "-4", "-o", "addr", "show", "docker0"], capture_output=True, text=True, check=False)
    bridge = re.search(r"inet ([0-9.]+)", shown.stdout)  # this machine's address as containers see it
    with http.server.ThreadingHTTPServer(("", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{bridge[1] if bridge else '127.0.0.1'}:{server.server_port}", hits
        server.shutdown()


@contextmanager
def bystander() -> Iterator[str]:
    """A container that runs, an image, a volume with a file in it and a network, all of one name, of somebody else."""
    name = f"bystander-{secrets.token_hex(4)}"
    try:
        engine("volume", "create", name)
        engine("network", "create", name)
        put = "echo kept > /data/file; exec sleep 3600"
        engine("run", "-d", "--name", name, "--network", name, "-v", f"{name}:/data", BASE, "sh", "-c", put)
        engine("commit", name, f"{name}:latest")
        yield name
    finally:
        for words in (["rm", "-f", name], ["rmi", f"{name}:latest"], ["volume", "rm", name], ["network", "rm", name]):
            docker(*words)


def bystander_state(name: str) -> tuple[str, ...]:
    """All that must stay as it is about the bystander of that name, and about the base image."""
    return (
        engine("container", "inspect", "-f", "{{.Id}} {{.State.Running}} {{.State.StartedAt}}", name),
        engine("top", name, "-o", "pid,args"),
        engine("diff", name),
        engine("image", "inspect", "-f", "{{.Id}} {{.RepoTags}}", name),
        engine("volume", "inspect", "-f", "{{.Name}} {{.CreatedAt}}", name),
        engine("exec", name, "cat", "/data/file"),
        engine("network", "inspect", "-f", "{{.Id}} {{len .Containers}}", name),
        engine("image", "inspect", "-f", "{{.Id}}", BASE),
    )


def course_copy(target: Path, limits: Mapping[str, int]) -> Path:
    """The course, with other limits."""
    text = (ROOT / "exercises.yaml").read_text(encoding="utf-8")
    for name, value in limits.items():
        text, count = re.subn(rf"(?m)^  {name}: .*$", f"  {name}: {value}", text)
        assert count == 1, name
    (target / "reference").mkdir(parents=True)
    (target / "exercises.yaml").write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "reference/predictor.py", target / "reference")
    return target


# ── the run ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A batch that has ended, and what was seen around it.

    `students` gives the student of each case, `clean` those with right submissions, each after hostile ones.
    `peak_kb` is the most memory that the grader itself held. `bystander` and `files` are each as before and as after;
    the files are the paths below the root, but for results and cache. `texts` is everything that anybody may read of
    it, but for the submissions themselves, which the journal keeps.
    """

    planted: Planted
    students: Mapping[str, str]
    clean: Sequence[str]
    gradings: Mapping[tuple[str, str], Graded]
    code: int
    pid: int
    peak_kb: int
    bystander: tuple[object, object]
    files: tuple[Mapping[str, str], Mapping[str, str]]
    texts: Mapping[str, str]

    @property
    def out(self) -> Path:
        return self.planted.root / "out"


def run_batch(
    root: Path, cases: Sequence[HostileCase], limits: Mapping[str, int], *, jobs: int, clean_every: int
) -> Ran:
    """Grade these cases, with clean submissions between them, and look at everything before and after."""
    with canary() as (address, hits), bystander() as name:
        planted = plant(root, name, address, hits)
        students, clean = _write_class(planted, cases, clean_every)
        course = course_copy(root / "course", limits)
        exercises = sorted({case.exercise for case in cases} | {"3.1.4"})
        bystander_before, files_before = bystander_state(name), _files(root)
        code, pid, peak = _grade(planted, course, exercises, jobs)
        printed = (root / "printed").read_bytes().decode("utf-8")
        (root / "printed").unlink()
        bystander_after, files_after = bystander_state(name), _files(root)
    subprocess.run(["rm", "-rf", str(root / "class")], check=True)  # pytest cannot remove all that is in it
    assert (root / "out/journal.sqlite").exists(), printed
    with Journal.open(root / "out") as journal:
        gradings = {(graded.student, graded.result.report.id): graded for graded in journal.gradings()}
    return Ran(
        planted=planted,
        students=students,
        clean=clean,
        gradings=gradings,
        code=code,
        pid=pid,
        peak_kb=peak,
        bystander=(bystander_before, bystander_after),
        files=(files_before, files_after),
        texts={**_texts(root / "out", gradings), "what was printed": printed},
    )


def _write_class(planted: Planted, cases: Sequence[HostileCase], clean_every: int) -> tuple[dict[str, str], list[str]]:
    """One student for each case, and a clean one after so many that reach an engine; the first has a secret."""
    into = planted.root / "class"
    clean = [write_clean("3.1.4", into, "00-sibling")]
    (into / "00-sibling/3.1.4/notes.txt").write_text(planted.secrets["sibling"], encoding="utf-8")
    students: dict[str, str] = {}
    at_work = 0
    for case in cases:
        students[case.name] = write_case(case, into, planted.words)
        at_work += case.expect.status not in {"rejected", "not_submitted"}
        if at_work >= clean_every or case is cases[-1]:
            clean.append(write_clean(case.exercise, into, f"{case.name}~then-clean"))
            at_work = 0
    return students, clean


def _grade(planted: Planted, course: Path, exercises: Sequence[str], jobs: int) -> tuple[int, int, int]:
    """Run the command: its exit code, its process id, and its peak of memory in KiB."""
    root = planted.root
    words = [sys.executable, "-m", "grader", "--course", str(course), "batch", str(root / "class")]
    words += ["--out", str(root / "out"), "--engine", "private", "--seed", SEED, "--jobs", str(jobs)]
    words += [word for exercise in exercises for word in ("--exercise", exercise)]
    with (root / "printed").open("wb") as printed:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, cwd=root / "here", env=planted.environment
        )
        peak = 0
        while process.poll() is None:
            with suppress(OSError):  # it has ended
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
                peak = max(peak, *map(int, re.findall(r"VmHWM:\s+(\d+)", status)), 0)
            time.sleep(0.1)
    return process.returncode, process.pid, peak


def _files(root: Path) -> dict[str, str]:
    """Every path below `root` but for results, cache and what is read while grading, with its kind and size."""
    found: dict[str, str] = {}
    for at, folders, names in os.walk(root, followlinks=False):
        here = Path(at).relative_to(root)
        if here == Path():
            folders[:] = [name for name in folders if name not in {"out", "cache"}]
        for name in (*folders, *names):
            with suppress(OSError):  # a path that is too long for the kernel, made step by step
                status = (Path(at) / name).lstat()
                found[repr(str(here / name))] = f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns}"
    return found


def _texts(out: Path, gradings: Mapping[tuple[str, str], Graded]) -> dict[str, str]:
    pages = [path for path in sorted(out.rglob("*")) if path.suffix in {".csv", ".html", ".xml", ".json"}]
    texts = {str(path.relative_to(out)): path.read_bytes().decode("utf-8") for path in pages}
    for (student, exercise), graded in gradings.items():
        seen = {"report": graded.result.report, "observations": graded.result.observations}
        texts[f"journal of {student}, {exercise}"] = repr(seen)
    return texts


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
    assert kept <= {"grader", "grader/engines", "grader/images.lock", "grader/limits-private.json"}
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
