"""`grader batch`, `regrade` and `report`: a class, its journal, and the files made from it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from grader.batch.journal import BatchInfo, Graded, Journal
from grader.batch.run import Plan, open_work, plan_batch, read_roster, reports_in, run_batch
from grader.checks.base import CheckContext
from grader.cli.common import chosen_exercises, course_at, fresh_seed, terminal
from grader.cli.console import Console
from grader.cli.proving import prove_for_batch
from grader.cli.wiring import Terms, open_session
from grader.course.cases import probe_nonce
from grader.course.folder import CourseFolder
from grader.course.models import Exercise
from grader.course.oracle import expected_cases
from grader.errors import EnvironmentProblem, GraderError, UsageError
from grader.events import ExerciseEnded
from grader.failpoints import reached
from grader.files import make_folder, remove_half_written, write_whole
from grader.grading.executor import recall
from grader.grading.exercise import grade_exercise
from grader.grading.scoring import Details, for_student
from grader.grading.session import Result
from grader.limits.enforced import together, waivers
from grader.limits.probes import Tier
from grader.models import ExerciseStatus, LimitsRecord, Report, Submission
from grader.reports.csv import gradebook_csv, grades_csv
from grader.reports.html import class_page, student_page
from grader.reports.junit import to_junit
from grader.reports.text import class_lines
from grader.sanitize import safe_name
from grader.submissions.lms import Intake, Wanted, open_intake


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What the command line says."""

    course: Path | None
    submissions: Path
    out: Path
    jobs: int | None
    exercises: tuple[str, ...]
    roster: Path | None
    seed: int | None
    resume: bool
    engine: Tier
    accept_risk: bool
    waive: tuple[str, ...]
    details: Details
    scheduler: str = ""


@dataclass(frozen=True, slots=True)
class _Terms:
    """On what terms a batch is graded: the seed of its cases, how many students at once, how submissions are read.

    `waived` are limits that need not hold, `known` is what an interrupted batch has recorded of them. `scheduler` is
    the address of a Dask scheduler whose workers grade, "" for this machine.
    """

    seed: int
    jobs: int
    session: Terms
    waived: frozenset[str]
    known: LimitsRecord | None
    read: Callable[[Path], Submission]
    scheduler: str = ""


def grade_batch(options: BatchOptions) -> int:
    """Grade everyone; 0 when every submission was graded, whatever the marks, else 3."""
    if options.scheduler and options.jobs:
        raise UsageError("--jobs counts for this machine; with --scheduler, each worker's --nthreads say how many.")
    folder = course_at(options.course)
    waived = waivers(options.waive)
    exercises = chosen_exercises(folder, options.exercises)
    intake = open_intake(options.submissions)
    plan = _plan(options, intake, exercises)
    make_folder(options.out)
    console = terminal()
    for note in intake.notes:
        console.note(note)
    read = functools.partial(intake.read, wanted=_wanted(folder, exercises))
    with Journal.open(options.out, create=True) as journal:
        before = _earlier(journal, options, folder)
        seed = before.seed if before else (fresh_seed() if options.seed is None else options.seed)
        _tell_cut_off(console, journal, plan)
        trusted = options.engine == "private" or options.accept_risk
        on = Terms(options.engine, "known" if trusted else "strangers")
        try:
            known = before.engine.limits if before else None
            terms = _Terms(seed, options.jobs or os.cpu_count() or 1, on, waived, known, read, options.scheduler)
            (_grade_elsewhere if options.scheduler else _grade)(console, folder, plan, journal, terms)
        except BaseException:
            with contextlib.suppress(GraderError):  # what stopped the batch is the news, not what it entails
                _write_files(journal, folder, options.out, options.details)
            raise
        reports = _write_files(journal, folder, options.out, options.details)
        console.write(class_lines(reports, console.width))
        return _told(console, reports, options.out)


def regrade_results(option: Path | None, results: Path) -> int:
    """Judge what is in the journal again with the course as it is now; no engine."""
    folder = course_at(option)
    console = terminal()
    with Journal.open(results) as journal:
        info = journal.info()
        if info is None:
            message = f"{results}: the journal is empty; there is nothing to regrade."
            raise UsageError(message)
        before = reports_in(journal, folder.course)
        known = {exercise.id: exercise for exercise in folder.course.exercises}
        cases = expected_cases(folder.predictor, folder.course.exercises, info.seed)
        for graded in list(journal.gradings()):
            exercise = known.get(graded.result.report.id)
            files = graded.result.files
            if exercise is not None and files is not None:
                context = CheckContext(
                    folder.course, exercise, files, cases[exercise.id], probe_nonce(exercise.id, info.seed)
                )
                report = grade_exercise(context, recall(graded.result.observations))
                report = replace(report, seconds=graded.result.report.seconds)
                journal.record(Graded(graded.student, replace(graded.result, report=report)))
        reports = _write_files(journal, folder, results, "full")
    changed = sum(one.score != other.score for one, other in zip(before, reports, strict=True))
    console.write(class_lines(reports, console.width))
    console.note(f"Judged again without an engine: {changed} of {len(reports)} students have another score.")
    return _told(console, reports, results)


def write_report(option: Path | None, results: Path, details: Details) -> int:
    """Write the pages and tables again from the journal."""
    folder = course_at(option)
    console = terminal()
    with Journal.open(results) as journal:
        reports = _write_files(journal, folder, results, details)
    console.write(class_lines(reports, console.width))
    return _told(console, reports, results)


def _plan(options: BatchOptions, intake: Intake, exercises: Sequence[Exercise]) -> Plan:
    roster = read_roster(options.roster) if options.roster else ()
    if not intake.paths and not roster:
        message = f"{options.submissions}: holds no submissions; expected one folder, zip or tar for each student."
        raise UsageError(message)
    return plan_batch(intake.paths, intake.student_of, roster, exercises)


def _wanted(folder: CourseFolder, exercises: Sequence[Exercise]) -> Wanted:
    known = [exercise.id for exercise in folder.course.exercises]
    return Wanted([exercise.id for exercise in exercises], known, folder.course.limits)


def _earlier(journal: Journal, options: BatchOptions, folder: CourseFolder) -> BatchInfo | None:
    """The batch that is already in the journal, if `--resume` may go on with it."""
    info = journal.info()
    if info is None:
        return None
    if not options.resume:
        raise UsageError(
            f"{options.out}: holds the results of a batch of {info.started}. "
            "Go on with it by --resume, or name another folder."
        )
    if info.course != _course_digest(folder):
        message = (
            f"{options.out}: was graded with another exercises.yaml, and one batch must be graded by one. "
            f"Name another folder, or judge what is there again with `grader regrade {options.out}`."
        )
        raise UsageError(message)
    return info


_NAMED = 5


def _tell_cut_off(console: Console, journal: Journal, plan: Plan) -> None:
    """Say what was being graded when the batch was interrupted or killed; it has no verdict, so it is graded anew."""
    wanted = {exercise.id for exercise in plan.exercises}
    cut_off = [one for one in journal.attempts() if one.student in plan.students and one.exercise in wanted]
    if not cut_off:
        return
    names = [f"{one.student} {one.exercise}" for one in cut_off[:_NAMED]]
    more = ["…"] if len(cut_off) > _NAMED else []
    console.note(f"Being graded when the batch was interrupted, graded anew now: {', '.join(names + more)}.")


def _grade(console: Console, folder: CourseFolder, plan: Plan, journal: Journal, terms: _Terms) -> None:
    total = len(plan.students) * len(plan.exercises)
    limits = together(terms.known, prove_for_batch(folder, terms.session, terms.waived, console))
    with (
        console.batching(total) as emit,
        open_session(folder, plan.exercises, terms.seed, emit, console.note, terms=terms.session) as session,
    ):
        started = datetime.now(UTC).isoformat(timespec="seconds")

        def info() -> BatchInfo:
            engine = replace(session.engine_info(), limits=limits)
            return BatchInfo(terms.seed, _course_digest(folder), folder.course.title, started, engine)

        journal.begin(info(), tuple(plan.students))
        reached("batch-recorded")
        try:
            run_batch(session, plan, journal, terms.read, terms.jobs)
        finally:
            journal.begin(info(), ())


def _grade_elsewhere(console: Console, folder: CourseFolder, plan: Plan, journal: Journal, terms: _Terms) -> None:
    """As `_grade`, by the workers of a scheduler."""
    from grader.cli import cluster
    from grader.cli.cluster_worker import BatchTerms, Task

    cases = expected_cases(folder.predictor, plan.exercises, terms.seed)
    shared = BatchTerms(
        secrets.token_hex(8), folder, tuple(plan.exercises), terms.seed, cases, terms.session, terms.waived
    )

    def tasks() -> Iterator[Task]:
        for student, work in open_work(plan, journal, terms.read):
            for exercise, _ in work:
                journal.begin_attempt(student, exercise.id)
            yield Task(student, tuple((exercise.id, handed) for exercise, handed in work))

    with cluster.connected(terms.scheduler) as client, cluster.working(client, shared) as engine:
        started = datetime.now(UTC).isoformat(timespec="seconds")
        limited = replace(engine, limits=together(terms.known, engine.limits)) if engine.limits else engine
        journal.begin(
            BatchInfo(terms.seed, _course_digest(folder), folder.course.title, started, limited), tuple(plan.students)
        )
        with console.batching(len(plan.students) * len(plan.exercises)) as emit:

            def done(student: str, results: Sequence[Result]) -> None:
                for result in results:
                    journal.record(Graded(student, result))
                    emit(ExerciseEnded(student, result.report))

            cluster.grade_tasks(client, shared, tasks(), done)


def _course_digest(folder: CourseFolder) -> str:
    return hashlib.sha256((folder.root / "exercises.yaml").read_bytes()).hexdigest()


def _write_files(journal: Journal, folder: CourseFolder, out: Path, details: Details) -> list[Report]:
    """All result files, from the journal alone; gives the reports they were made from."""
    reports = reports_in(journal, folder.course)
    remove_half_written(out)
    write_whole(out / "grades.csv", grades_csv(reports))
    write_whole(out / "gradebook.csv", gradebook_csv(reports))
    write_whole(out / "junit.xml", to_junit(reports))
    write_whole(out / "report.html", class_page(folder.course.title, reports))
    for report in reports:
        page = student_page(for_student(report, details))
        write_whole(out / "students" / f"{safe_name(report.student)}.html", page)
    return reports


def _told(console: Console, reports: Sequence[Report], out: Path) -> int:
    console.note(f"Written: {out / 'report.html'}, {out / 'gradebook.csv'}, {out / 'grades.csv'}")
    missing = sum(exercise.status is ExerciseStatus.NOT_GRADED for report in reports for exercise in report.exercises)
    if missing:
        console.note(f"{missing} exercises could not be graded; `grader batch … --resume` tries them again.")
    return EnvironmentProblem.exit_code if missing else 0
