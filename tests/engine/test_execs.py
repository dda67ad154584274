"""Further runs as execs: they show what a run shows, or nothing at all; and no case reaches another."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from grader.checks.base import CheckContext
from grader.course.cases import draw_cases, probe_nonce
from grader.course.models import Limits
from grader.engine.docker_engine import DockerEngine
from grader.engine.watchdog import Cancelled
from grader.grading.executor import Engines, Executor
from grader.grading.exercise import grade_exercise
from grader.models import Built, Exited, RunOutcome, RunRequest
from grader.submissions.reader import Selection, read_submission
from tests.engine.contexts import LIMITS, Build
from tests.unit.grading.test_session import nowhere
from tests.worlds import COURSE, ROOT, case_of

pytestmark = pytest.mark.engine

Both = Callable[..., tuple[RunOutcome, RunOutcome | None]]


def shown(outcome: RunOutcome | None) -> object:
    return outcome and (outcome.ended, outcome.stdout, outcome.stderr)


@pytest.fixture
def both(engine: DockerEngine, image: str) -> Both:
    """Run Python code, and execute it."""

    def carry_out(code: str, *args: str, limits: Limits = LIMITS) -> tuple[RunOutcome, RunOutcome | None]:
        request = RunRequest(("-c", code, *args), (("METHOD", "a b=c"), ("PATH", "/usr/local/bin:/usr/bin:/bin")))
        run = engine.run(image, request, limits)
        return run, engine.exec(image, replace(request, further=True), limits)

    return carry_out


# ── the same ────────────────────────────────────────────────────────────────────────────

NAMES = ("Uid:", "Gid:", "Grou", "CapE", "CapB", "NoNe", "Secc", "SigB", "SigI", "SigC")
STATUS = f"[line for line in open('/proc/self/status') if line[:4] in {NAMES}]"


@pytest.mark.parametrize(
    "code",
    [
        "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)",
        "import sys; sys.stdout.buffer.write(bytes(range(256)) * 300)",
        "import sys; print(sys.argv, sys.stdin.read(), [s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)])",
        "import os; print(os.getcwd(), sorted(os.environ.items()), os.umask(0), os.uname().nodename)",
        f"print({STATUS}, open('/proc/self/oom_score_adj').read())",
        "import resource as r; print([r.getrlimit(n) for n in (r.RLIMIT_NOFILE, r.RLIMIT_CORE, r.RLIMIT_NPROC)])",
        "import socket; print(socket.if_nameindex())",
        "input()",
        "import multiprocessing as m; m.Process(target=print, args=('child',)).start()",
        "import threading as t; t.Thread(target=print, args=('thread',)).start()",
        "import sys; raise SystemExit(sys.argv[1:])",
    ],
)
def test_an_exec_shows_what_a_run_shows(both: Both, code: str) -> None:
    run, executed = both(code, "1", "a b", "$HOME")
    assert executed is not None
    assert shown(executed) == shown(run)


# ── nothing ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "code",
    [
        "import subprocess as s; s.Popen(['sleep', '1000'])",
        "import subprocess as s; s.Popen(['sleep', '1000'], stdout=-3, stderr=-3, start_new_session=True)",
        "import os\nif os.fork() == 0 and not os.setsid() and os.fork() == 0:\n  os.closerange(0, 3)\n  while 1: pass",
        "while True: pass",
        "x = bytearray(1)\nwhile True: x += bytearray(10**7)",
        "while True: print('x' * 1000)",
        "import os; os.kill(os.getpid(), 9)",
        "raise SystemExit(137)",
        "import os; os.execvp('sleep', ['sleep', '1000'])",
    ],
)
def test_what_is_not_a_plain_end_is_nothing_and_then_nothing_more_is_executed(both: Both, code: str) -> None:
    limits = replace(LIMITS, run_seconds=1, output_kb=100)
    assert both(code, limits=limits)[1] is None
    assert both("print(1)", limits=limits)[1] is None


@pytest.mark.parametrize(
    "dockerfile", ['VOLUME /data\nENTRYPOINT ["python"]\n', 'ENTRYPOINT ["no-such-program"]\n', "CMD []\n"]
)
def test_images_of_which_a_run_may_differ(engine: DockerEngine, build: Build, dockerfile: str) -> None:
    built = build(dockerfile)
    assert isinstance(built, Built)
    assert engine.exec(built.image, RunRequest(further=True), LIMITS) is None


# ── no case reaches another ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("folder", ["/", "/tmp", "/var/tmp", "/run", "/root", "/dev/shm"])
def test_a_case_leaves_no_file_to_another(both: Both, folder: str) -> None:
    code = f"open('{folder}/count', 'a+').write('x'); print(len(open('{folder}/count').read()))"
    for _ in range(2):
        run, executed = both(code)
        assert run.stdout == b"1\n"
        assert executed is None or executed.ended == Exited(1)


def test_what_waits_cannot_be_reached(both: Both) -> None:
    code = "import os; os.kill(1, 9); print(os.path.exists('/proc/1'), os.access('/grader-waits', os.W_OK))"
    _, executed = both(code)
    assert executed is not None
    assert executed.stdout == b"True False\n"
    assert both("print(1)")[1] is not None


def test_nothing_is_left_of_it(engine: DockerEngine, build: Build) -> None:
    built = build('ENTRYPOINT ["python", "-c", "print(1)"]\n')
    assert isinstance(built, Built)
    for _ in range(2):
        assert shown(engine.exec(built.image, RunRequest(further=True), LIMITS)) == (Exited(0), b"1\n", b"")
    engine.remove_image(built.image)
    assert not engine.connection.call("GET", "/containers/json", parameters={"filters": _running(built)}).json


def _running(built: Built) -> str:
    return f'{{"ancestor": ["{built.image}"], "status": ["running"]}}'


# ── the exercises ───────────────────────────────────────────────────────────────────────


@dataclass
class Comparing:
    """An engine that runs what it has executed, too."""

    engine: DockerEngine
    pairs: list[tuple[RunOutcome | None, RunOutcome]] = field(default_factory=list)

    def __getattr__(self, name: str) -> object:
        return getattr(self.engine, name)

    def exec(self, image: str, request: RunRequest, limits: Limits) -> RunOutcome | None:
        executed = self.engine.exec(image, request, limits)
        self.pairs.append((executed, self.engine.run(image, replace(request, further=False), limits)))
        return executed


EXERCISES = [
    ("3.1.4", "argparse-and-module", 5),
    ("3.1.4", "entrypoint-python-with-wrapper", 5),
    ("3.1.4", "executable-script-and-own-user", 5),
    ("3.1.4", "plain-argparse-exits-two", 5),
    ("3.1.4", "shell-form-from-argument-zero", 5),
    ("3.1.4", "wrapper-script-and-default-command", 5),
    ("3.1.5", "relative-workdirs-and-module", 5),
    ("3.1.5", "wrapper-script-and-default-command", 5),
    ("3.2.2", "describe-in-a-helper-module", 3),
]


@pytest.mark.parametrize(("exercise", "solution", "execs"), EXERCISES)
def test_both_ways_give_the_same_observations(
    engine: DockerEngine, tmp_path: Path, exercise: str, solution: str, execs: int
) -> None:
    shutil.copytree(ROOT / "reference/solutions" / exercise / solution, tmp_path / exercise)
    submission = read_submission(tmp_path, Selection([exercise], [exercise], COURSE.limits))
    asked = COURSE.exercise(exercise)
    cases = tuple(map(case_of, draw_cases(asked, 1)))
    (files,) = submission.exercises
    comparing = Comparing(engine)
    context = CheckContext(COURSE, asked, files, cases, probe_nonce(exercise, 1))  # type: ignore[arg-type]  # as read
    with Executor(Engines(comparing, nowhere), files, COURSE.limits, "x", lambda _: None) as executor:  # type: ignore[arg-type]  # as above
        report = grade_exercise(context, executor)
    assert report.status == "passed", report
    assert len(comparing.pairs) == execs
    assert all(executed is not None and shown(executed) == shown(run) for executed, run in comparing.pairs)


def test_cancel_ends_execs(engine: DockerEngine, both: Both) -> None:
    threading.Timer(3, engine.cancel).start()
    with pytest.raises(Cancelled):
        list(map(both, itertools.repeat("import time; time.sleep(0.5)")))
