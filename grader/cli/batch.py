"""`grader batch`: every student of a class, on this machine or on the workers of a cluster."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from grader.api import chosen_exercises, fresh_seed, open_course
from grader.batch.cluster import ClusterBatch, run_on_cluster
from grader.batch.journal import BatchInfo, Journal
from grader.batch.policy import read_rules
from grader.batch.results import course_digest, judging_digests, write_results
from grader.batch.roster import Plan, Roster, plan_batch, read_roster
from grader.batch.run import ReadSubmission, open_work, run_batch
from grader.cli.common import (
    ANY_PATH,
    FOLDER,
    JOBS,
    conclude,
    engine_option,
    examples,
    exercises_option,
    pages_option,
    seed_option,
    terminal,
)
from grader.cli.console import Console
from grader.cli.proving import prove_for_batch
from grader.cli.report import named_as, rules_options, take_rules
from grader.cli.wiring import NOT_RUN, GradingSettings, open_session
from grader.course.models import Exercise
from grader.course.oracle import expected_cases
from grader.errors import GraderError, UsageError
from grader.failpoints import failpoint
from grader.files import make_folder
from grader.grading.scoring import Details
from grader.grading.session import Session
from grader.limits.probes import Tier, for_whole_batch, waivers
from grader.models import EngineInfo, ExerciseStatus, Report, silent
from grader.submissions.lms import Submissions, open_submissions
from grader.submissions.reader import LOOKED_FOR, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
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
    details: Details | None
    scheduler: str
    anonymous: bool | None
    format: str
    rules: Mapping[str, Path | None]


@click.command(
    epilog=examples(
        "grader batch submissions/ --out results/",
        "grader batch submissions/ --out results/ --roster class.csv --jobs 4",
        "grader batch submissions/ --out results/ --resume",
        "grader batch moodle-download.zip --out results/",
    ),
)
@click.argument("submissions", type=ANY_PATH)
@click.option(
    "--out", required=True, type=FOLDER,
    help="Folder for grades.csv, gradebook.csv, report.html, students/, junit.xml and the journal.",
)  # fmt: skip
@click.option("--jobs", type=JOBS, help="Students graded side by side. Default: as many as there are cores.")
@exercises_option
@click.option(
    "--roster", type=ANY_PATH,
    help="CSV file of the class, with any of the columns student, name, email, login, id, github, section, group.",
)  # fmt: skip
@seed_option
@click.option(
    "--resume", is_flag=True, help="Go on with an interrupted batch: what is graded already and unchanged stays."
)
@engine_option("private")
@click.option(
    "--accept-risk", is_flag=True,
    help="With --engine host: run commands.sh and Compose files of other people all the same, in a private engine.",
)  # fmt: skip
@click.option(
    "--scheduler", metavar="ADDRESS", default="",
    help="Let the workers of a Dask scheduler grade (tls://HOST:8786); see docs/cluster.md.",
)  # fmt: skip
@click.option(
    "--waive", metavar="LIMIT", multiple=True,
    help='Grade although this limit (such as "run memory") is not enforced here. Can be given several times.',
)  # fmt: skip
@pages_option
@rules_options
@click.option(
    "--format", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="json: what happens goes to standard output, an object in each line.",
)  # fmt: skip
@click.pass_obj
def command(course: Path | None, /, **given: Any) -> int:
    """Grade every student in a folder (one folder, zip or tar for each), in clones, or in a download of a platform."""
    rules = {name: given.pop(name) for name in ("grading", "overrides", "times")}
    options = BatchOptions(course=course, rules=rules, **given)
    if options.scheduler and options.jobs:
        raise UsageError("--jobs counts for this machine; with --scheduler, each worker's --nthreads say how many.")
    folder = open_course(options.course)
    waived = waivers(options.waive)
    exercises = chosen_exercises(folder, options.exercises)
    submissions = open_submissions(options.submissions)
    plan = _plan(options, submissions, exercises)
    make_folder(options.out)
    console = terminal()
    for note in (*submissions.notes, *plan.notes):
        console.note(note)
    known = [exercise.id for exercise in folder.course.exercises]
    selection = Selection([exercise.id for exercise in exercises], known, folder.course.limits)
    with Journal.open(options.out, create=True) as journal:
        take_rules(options.out, **options.rules)
        read_rules(options.out, known, {**journal.people(), **plan.people})  # its mistakes are told before the work
        before = _earlier(journal, options, course_digest(folder))
        seed = before.seed if before else (fresh_seed() if options.seed is None else options.seed)
        _note_cut_off(console, journal, plan)
        trusted = options.engine == "private" or options.accept_risk
        settings = GradingSettings(
            folder=folder,
            exercises=exercises,
            seed=seed,
            tier=options.engine,
            whose="known" if trusted else "strangers",
        )
        batch = _Batch(
            options=options,
            settings=settings,
            waived=waived,
            plan=plan,
            journal=journal,
            read=functools.partial(submissions.read, selection=selection),
            before=before,
            console=console,
        )
        try:
            if before and not any(open_work(plan, journal, batch.read)):
                journal.know(plan.people)
                console.note("Everything is graded already and nothing has changed, so no engine is needed.")
            else:
                (_grade_on_cluster if options.scheduler else _grade_here)(batch)
        except BaseException:
            with contextlib.suppress(GraderError):  # what stopped the batch is the news, not what it entails
                write_results(journal, folder, options.out)
            console.note(
                f"What is graded is kept. Go on with: grader batch {options.submissions} --out {options.out} --resume"
            )
            raise
        written = write_results(journal, folder, options.out)
        code = conclude(console, written, options.out, quiet=options.format == "json")
        for note in _doubts(written.reports, plan, settings):
            console.note(note, "not_graded")
        return code


def _plan(options: BatchOptions, submissions: Submissions, exercises: Sequence[Exercise]) -> Plan:
    beside = options.submissions / "students.csv"  # what Classroom 50 calls its roster
    file = options.roster or (beside if beside.is_file() else None)
    roster = read_roster(file) if file else Roster()
    if not submissions.handins and not roster.people:
        raise UsageError(
            f"{options.submissions}: holds no submissions; expected one folder, zip or tar for each student."
        )
    return plan_batch(submissions.handins, roster, exercises)


def _earlier(journal: Journal, options: BatchOptions, digest: str) -> BatchInfo | None:
    """The batch that is already in the journal, if `--resume` may go on with it."""
    info = journal.info()
    if info is None:
        return None
    if not options.resume:
        raise UsageError(
            f"{options.out}: holds the results of a batch of {info.started}. "
            "Go on with it by --resume, or name another folder."
        )
    if info.course != digest:
        raise UsageError(
            f"{options.out}: was graded with another exercises.yaml, and one batch must be graded by one. "
            f"Name another folder, or judge what is there again with `grader regrade {options.out}`."
        )
    return info


_NAMED = 5


def _note_cut_off(console: Console, journal: Journal, plan: Plan) -> None:
    """Say what was being graded when the batch was interrupted or killed; it has no verdict, so it is graded anew."""
    asked = {exercise.id for exercise in plan.exercises}
    cut_off = [one for one in journal.attempts() if one.student in plan.students and one.exercise in asked]
    if cut_off:
        names = [f"{one.student} {one.exercise}" for one in cut_off[:_NAMED]]
        more = ["…"] if len(cut_off) > _NAMED else []
        console.note(f"Being graded when the batch was interrupted, graded anew now: {', '.join(names + more)}.")


def _doubts(reports: Sequence[Report], plan: Plan, settings: GradingSettings) -> Iterator[str]:
    """What makes the results doubtful, and what an instructor can do about it."""
    asked = {exercise.id for exercise in plan.exercises}
    rows = [
        exercise
        for report in reports
        if plan.students.get(report.student)
        for exercise in report.exercises
        if exercise.id in asked
    ]
    missing = sum(exercise.status is ExerciseStatus.NOT_SUBMITTED for exercise in rows)
    if missing > len(rows) / 2:
        yield f"Mostly not submitted: {missing} of {len(rows)} exercises of those who handed in something. {LOOKED_FOR}"
    if settings.whose == "strangers" and any(exercise.message == NOT_RUN for exercise in rows):
        yield (
            "With --engine host, no commands of other people are run. Leave it out, so that they get an engine "
            "of their own behind a proxy; or allow it for just these exercises with --accept-risk."
        )


# ── grading ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """All that a batch needs.

    `waived` are limits that need not hold, `read` reads one student's submission, `before` is what the journal says of
    the batch that goes on.
    """

    options: BatchOptions
    settings: GradingSettings
    waived: Collection[str]
    plan: Plan
    journal: Journal
    read: ReadSubmission
    before: BatchInfo | None
    console: Console

    @property
    def total(self) -> int:
        """How many verdicts there will be, but for those that there are already."""
        done = {key for key, (_, status) in self.journal.digests().items() if status != ExerciseStatus.NOT_GRADED}
        wanted = {(student, exercise.id) for student in self.plan.students for exercise in self.plan.exercises}
        return len(wanted - done)

    @property
    def in_json(self) -> bool:
        """Whether standard output is for a program."""
        return self.options.format == "json"


def _grade_here(batch: _Batch) -> None:
    limits = prove_for_batch(batch.settings, batch.waived, batch.console)
    with (
        batch.console.batching(batch.total, in_json=batch.in_json) as emit,
        open_session(batch.settings, emit, batch.console.note) as opened,
    ):
        session = replace(opened, limits=limits)
        _record(batch, session.engine_info())
        failpoint("batch-recorded")
        try:
            run_batch(session, batch.plan, batch.journal, batch.read, batch.options.jobs or os.cpu_count() or 1)
        finally:  # now all base images are known
            _record(batch, session.engine_info())


def _grade_on_cluster(batch: _Batch) -> None:
    settings = batch.settings
    cases = expected_cases(settings.folder.predictor, settings.exercises, settings.seed)
    opening = functools.partial(_open_on_worker, replace(settings, cases=cases), frozenset(batch.waived))
    with batch.console.batching(batch.total, in_json=batch.in_json) as emit:
        run_on_cluster(
            batch.options.scheduler,
            ClusterBatch(secrets.token_hex(8), opening),
            batch.plan,
            batch.journal,
            batch.read,
            begin=functools.partial(_record, batch),
            emit=emit,
        )


@contextmanager
def _open_on_worker(settings: GradingSettings, waived: frozenset[str]) -> Iterator[Session]:
    """A session on a worker of a cluster; Dask finds this function by its name."""
    console = terminal()
    limits = prove_for_batch(settings, waived, console)
    with open_session(settings, silent, console.note) as session:
        yield replace(session, limits=limits)


def _record(batch: _Batch, engine: EngineInfo) -> None:
    """Write into the journal which engine grades this batch, on what terms, and who is in it."""
    before, folder = batch.before, batch.settings.folder
    if engine.limits:
        engine = replace(engine, limits=for_whole_batch(before.engine.limits if before else None, engine.limits))
    info = BatchInfo(
        batch.settings.seed,
        course_digest(folder),
        folder.course.title,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        engine=engine,
        details=batch.options.details or (before.details if before else "full"),
        anonymous=stored.anonymous if (stored := batch.journal.info()) else "",
    )
    info = named_as(info, anonymous=batch.options.anonymous)
    batch.journal.begin(info, batch.plan.students, judging_digests(folder, batch.settings.seed))
    batch.journal.know(batch.plan.people)
