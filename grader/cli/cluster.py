"""A batch on several machines: the workers of a Dask scheduler grade, each on its own engine; the journal stays here.

A student is one task: nothing but finished results crosses the wire, and a worker that dies costs one student's work,
which Dask gives to another. No more tasks are handed out than workers have threads; Dask would else give all of them
away at once, and a worker that comes later would find none (https://github.com/dask/distributed/issues/9164).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from grader.cli.cluster_worker import BatchTerms, Task, engine_of, finish, grade_task, prepare, version
from grader.errors import EnvironmentProblem, UsageError
from grader.grading.exercise import not_graded
from grader.grading.session import Result, digest_of
from grader.models import EngineInfo

if TYPE_CHECKING:
    from distributed import Client, Future

_CONNECT_SECONDS = 10


def check_address(address: str) -> None:
    """`UsageError` for an address over which anybody could send a worker code to run: plain TCP of other machines."""
    parts = urlsplit(address)
    if parts.scheme == "tls" or (parts.scheme == "tcp" and _is_here(parts.hostname or "")):
        return
    raise UsageError(
        f"--scheduler {address}: not an address that can be trusted. Whoever reaches a scheduler over plain TCP can "
        "run code on all its workers: use tls://HOST:PORT (see Dask's documentation on TLS), or tcp:// to "
        "this machine, through `ssh -L 8786:localhost:8786 HOST`."
    )


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def connected(address: str) -> Iterator[Client]:
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
        _examine(client, address)
        yield client


def _examine(client: Client, address: str) -> None:
    versions = _on_all(client, version)
    if not versions:
        raise EnvironmentProblem(
            f"The scheduler at {address} has no workers. Start one on each machine that has an engine: "
            f"`dask worker {address} --nworkers 1 --nthreads 2`."
        )
    other = {worker: found for worker, found in versions.items() if found != version()}
    if other:
        told = ", ".join(f"{worker} has {found}" for worker, found in sorted(other.items()))
        raise EnvironmentProblem(
            f"All machines must have the same grader and Python; here it is {version()}, but {told}."
        )


@contextmanager
def working(client: Client, terms: BatchTerms) -> Iterator[EngineInfo]:
    """Every worker with its engine open for this batch, until the block ends; gives one of the engines.

    `EnvironmentProblem` names the worker that cannot grade.
    """
    try:
        for worker, problem in _on_all(client, prepare, terms).items():
            if problem:
                raise EnvironmentProblem(f"The worker {worker} cannot grade: {problem}")
        yield next(iter(_on_all(client, engine_of, terms.batch).values()))
    finally:
        with suppress(OSError, TimeoutError):
            _on_all(client, finish, terms.batch)


def grade_tasks(
    client: Client, terms: BatchTerms, tasks: Iterable[Task], done: Callable[[str, Sequence[Result]], None]
) -> None:
    """Grade every task on some worker, and tell `done` the results of each student as they come.

    Students whose workers died again and again are not graded, and told so.
    """
    from distributed import as_completed

    waiting = iter(tasks)
    under_way: dict[str, Task] = {}

    def hand_out() -> Future[tuple[Result, ...]] | None:
        task = next(waiting, None)
        if task is None:
            return None
        future = client.submit(grade_task, terms, task, pure=False)
        under_way[str(future.key)] = task
        return future

    slots = sum(client.nthreads().values())
    first = [future for _ in range(slots) if (future := hand_out()) is not None]
    coming = as_completed(first)
    for future in coming:
        task = under_way.pop(str(future.key))
        done(task.student, _results(future, terms, task))
        future.release()
        if (more := hand_out()) is not None:
            coming.add(more)


def _results(future: Future[tuple[Result, ...]], terms: BatchTerms, task: Task) -> Sequence[Result]:
    from distributed import KilledWorker

    try:
        return list(future.result())
    except (KilledWorker, EnvironmentProblem) as problem:
        why = str(problem) if isinstance(problem, EnvironmentProblem) else "The machines that graded this went away."
        exercise = {one.id: one for one in terms.folder.course.exercises}
        return [Result(not_graded(exercise[name], why), digest_of(handed)) for name, handed in task.handed]


def _on_all(client: Client, function: Callable[..., Any], *arguments: object) -> dict[str, Any]:
    """What the function gives on each worker, by the worker's address."""
    return dict(client.run(function, *arguments))
