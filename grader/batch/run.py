"""Grading many submissions: a pool of workers, one journal, one final row for each student and exercise.

A student's exercises are graded one after the other by one worker; students are graded side by
side. Each result is in the journal before the next begins, so a batch that is interrupted or
killed goes on where it was with `--resume`. What was being graded then has an attempt in the journal
and no verdict, and is graded anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from grader.batch.journal import Graded, Journal
from grader.batch.roster import Plan
from grader.course.models import Exercise
from grader.errors import GraderError
from grader.failpoints import failpoint
from grader.grading.session import Handed, Session, digest_of, grade_one
from grader.models import ExerciseStatus
from grader.submissions.lms import Handin
from grader.submissions.models import Submission

ReadSubmission = Callable[[Handin], Submission]
Work = tuple[str, Sequence[tuple[Exercise, Handed]]]
"""A student, and what was handed in for each exercise that is to be graded."""


def run_batch(session: Session, plan: Plan, journal: Journal, read: ReadSubmission, jobs: int) -> None:
    """Grade everything in the plan that the journal does not have yet.

    The first `GraderError` or interrupt of a worker stops the batch and is raised here once the other workers have
    ended. Any other exception is a fault of the grader that what this one student handed in has met: the others are
    graded first, then it is raised. Who met it has no result, and is graded again with `--resume`.
    """
    done = journal.digests()
    faults: list[Exception] = []

    def grade(student: str) -> None:
        for exercise, handed in _open(plan, done, student, read):
            journal.begin_attempt(student, exercise.id)
            failpoint("attempt-recorded")
            journal.record(Graded(student, grade_one(session, student, exercise, handed)))

    def grade_apart(student: str) -> None:
        try:
            grade(student)
        except GraderError:
            raise
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is no reason to grade nobody else
            faults.append(fault)

    with ThreadPoolExecutor(jobs, thread_name_prefix="grade") as pool:
        futures = [pool.submit(grade_apart, student) for student in plan.students]
        _wait(futures, pool, session.stop)
    if faults:
        raise faults[0]


def open_work(plan: Plan, journal: Journal, read: ReadSubmission) -> Iterator[Work]:
    """Each student of whom the journal does not have everything yet, and what is to be graded; read when it is due."""
    done = journal.digests()
    for student in plan.students:
        if work := _open(plan, done, student, read):
            yield student, work


def _open(
    plan: Plan, done: Mapping[tuple[str, str], tuple[str, str]], student: str, read: ReadSubmission
) -> Sequence[tuple[Exercise, Handed]]:
    """What of a student is to be graded still: what has no verdict, or one of other files."""
    handin = plan.students[student]
    handed = {item.exercise: item for item in read(handin).exercises} if handin else {}
    failpoint("submission-read")
    work = []
    for exercise in plan.exercises:
        item = handed.get(exercise.id)
        digest, status = done.get((student, exercise.id), ("", ExerciseStatus.NOT_GRADED))
        if digest != digest_of(item) or status == ExerciseStatus.NOT_GRADED:
            work.append((exercise, item))
    return work


def _wait(futures: Sequence[Future[None]], pool: ThreadPoolExecutor, stop: Callable[[], None]) -> None:
    try:
        wait(futures, return_when=FIRST_EXCEPTION)
    except BaseException:  # the pool's own end would wait for whole students
        stop()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    for future in futures:
        if not future.cancelled():
            future.result()
