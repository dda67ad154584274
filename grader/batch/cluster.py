"""A batch on several machines: the workers of a Dask scheduler grade, each on its own engine; the journal stays here.

A student is one task: nothing but finished results crosses the wire, and a worker that dies costs one student's work,
which Dask gives to another. No more tasks are handed out than workers have threads; Dask would else give all of them
away at once, and a worker that comes later would find none (https://github.com/dask/distributed/issues/9164).

A worker keeps an engine open for a batch and grades one student after the other on it. Dask calls `prepare`,
`grade_task` and `finish` in the worker's process, in several threads.
"""

from __future__ import annotations

import atexit
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from grader import __version__
from grader.batch.journal import Graded, Journal
from grader.batch.roster import Plan
from grader.batch.run import ReadSubmission, Work, open_work
from grader.errors import EnvironmentProblem, GraderError, UsageError
from grader.grading.exercise import not_graded
from grader.grading.session import Result, Session, digest_of, grade_one
from grader.models import Emit, EngineInfo, ExerciseEnded

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class ClusterBatch:
    """What all students of a batch share. It travels to each worker.

    `id` tells the batch from others. `open_session` opens what gradings share on the machine where it is called; it is
    pickled, so it is a function of a module, or a `partial` of one.
    """

    id: str
    open_session: Callable[[], AbstractContextManager[Session]]


def run_on_cluster(
    address: str,
    batch: ClusterBatch,
    plan: Plan,
    journal: Journal,
    read: ReadSubmission,
    *,
    begin: Callable[[EngineInfo], None],
    emit: Emit,
) -> None:
    """Grade everything in the plan that the journal does not have yet, on the workers of the scheduler at `address`.

    `begin` is called with one of the engines before the first student. Students whose workers died again and again are
    not graded, and their reports say so. Raises `UsageError` for an address that cannot be trusted, and
    `EnvironmentProblem` where no workers answer or one cannot grade.
    """
    with _connected(address) as client, _opened_workers(client, batch) as engine:
        begin(engine)
        for student, results in _graded(client, batch, journal, open_work(plan, journal, read)):
            for result in results:
                journal.record(Graded(student, result))
                emit(ExerciseEnded(student, result.report))


def check_address(address: str) -> None:
    """`UsageError` for an address over which anybody could send a worker code to run: plain TCP of other machines."""
    parts = urlsplit(address)
    if parts.scheme == "tls" or (parts.scheme == "tcp" and parts.hostname in {"localhost", "127.0.0.1", "::1"}):
        return
    raise UsageError(
        f"--scheduler {address}: not an address that can be trusted. Whoever reaches a scheduler over plain TCP can "
        "run code on all its workers: use tls://HOST:PORT (see Dask's documentation on TLS), or tcp:// to "
        "this machine, through `ssh -L 8786:localhost:8786 HOST`."
    )


# ── here ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    """A client of the scheduler, with workers. `EnvironmentProblem` where there are none that fit this grader."""
    check_address(address)
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError("--scheduler needs Dask: pip install 'docker-exercise-grader[cluster]'") from error
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        message = f"No Dask scheduler answers at {address}. Start one with `dask scheduler --host localhost`."
        raise EnvironmentProblem(message) from error
    with client:
        versions = _on_all(client, version)
        if not versions:
            raise EnvironmentProblem(
                f"The scheduler at {address} has no workers. Start one on each machine that has an engine: "
                f"`dask worker {address} --nworkers 1 --nthreads 2`."
            )
        others = [f"{worker} has {found}" for worker, found in sorted(versions.items()) if found != version()]
        if others:
            raise EnvironmentProblem(
                f"All machines must have the same grader and Python; here it is {version()}, but {', '.join(others)}."
            )
        yield client


@contextmanager
def _opened_workers(client: Client, batch: ClusterBatch) -> Iterator[EngineInfo]:
    """Every worker with its engine open for this batch, until the block ends; gives one of the engines.

    `EnvironmentProblem` names the worker that cannot grade.
    """
    try:
        engines = _on_all(client, prepare, batch)
        for worker, engine in engines.items():
            if isinstance(engine, str):
                raise EnvironmentProblem(f"The worker {worker} cannot grade: {engine}")
        if not engines:
            raise EnvironmentProblem("All workers went away while their engines were opened. See what they say.")
        yield next(iter(engines.values()))
    finally:
        with suppress(OSError, TimeoutError):
            _on_all(client, finish, batch.id)


def _graded(
    client: Client, batch: ClusterBatch, journal: Journal, waiting: Iterator[Work]
) -> Iterator[tuple[str, Sequence[Result]]]:
    """The results of each student as they come."""
    from distributed import KilledWorker, as_completed

    under_way: dict[str, Work] = {}
    coming = as_completed()

    def hand_out(count: int) -> None:
        for student, work in islice(waiting, count):
            for exercise, _ in work:
                journal.begin_attempt(student, exercise.id)
            future = client.submit(grade_task, batch, (student, work), pure=False)
            under_way[str(future.key)] = student, work
            coming.add(future)

    hand_out(sum(client.nthreads().values()))
    for future in coming:
        student, work = under_way.pop(str(future.key))
        try:
            results = future.result()
        except (KilledWorker, EnvironmentProblem) as problem:
            why = "The machines that graded this went away." if isinstance(problem, KilledWorker) else str(problem)
            results = [Result(not_graded(exercise, why), digest_of(handed)) for exercise, handed in work]
        yield student, results
        future.release()
        hand_out(1)


def _on_all(client: Client, function: Callable[..., Any], *arguments: object) -> dict[str, Any]:
    """What the function gives on each worker, by the worker's address. Workers that die meanwhile are left out."""
    found = dict(client.run(function, *arguments, on_error="return"))
    faults = [answer for answer in found.values() if isinstance(answer, Exception) and not isinstance(answer, OSError)]
    if faults:
        raise faults[0]
    return {worker: answer for worker, answer in found.items() if not isinstance(answer, OSError)}


# ── on a worker ─────────────────────────────────────────────────────────────────────────

_LOCK = threading.Lock()
_SESSIONS: dict[str, tuple[Session, ExitStack]] = {}
"""The sessions of this process, by batch."""


def version() -> str:
    """What must be the same on all machines: results travel as this version's own values."""
    return f"{__version__} on Python {'.'.join(platform.python_version_tuple()[:2])}"


def prepare(batch: ClusterBatch) -> EngineInfo | str:
    """Open the engine: which one it is, or why this machine cannot grade."""
    try:
        return _session(batch).engine_info()
    except GraderError as problem:
        return str(problem)


def grade_task(batch: ClusterBatch, work: Work) -> Sequence[Result]:
    """Grade one student. `EnvironmentProblem` if there is no engine."""
    session = _session(batch)
    student, exercises = work
    return [grade_one(session, student, exercise, handed) for exercise, handed in exercises]


def finish(batch: str) -> None:
    """End what still runs of a batch, and remove its engine. Harmless where there is none."""
    with _LOCK:
        opened = _SESSIONS.pop(batch, None)
    if opened:
        session, stack = opened
        session.stop()
        stack.close()


def _session(batch: ClusterBatch) -> Session:
    with _LOCK:
        if batch.id not in _SESSIONS:
            with ExitStack() as stack:
                session = stack.enter_context(batch.open_session())
                _SESSIONS[batch.id] = session, stack.pop_all()
        return _SESSIONS[batch.id][0]


@atexit.register
def _finish_all() -> None:
    for batch in list(_SESSIONS):
        with suppress(EnvironmentProblem):
            finish(batch)
