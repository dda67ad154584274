"""`grader batch`: every student of a class, on this machine or on the workers of a cluster."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from grader.api import chosen_exercises
from grader.batch.cluster import ClusterBatch, run_on_cluster
from grader.batch.journal import BatchInfo, Journal
from grader.batch.policy import read_rules
from grader.batch.results import course_digest, judging_digests, write_results
from grader.batch.roster import Plan, Roster, plan_batch, read_roster
from grader.batch.run import ReadSubmission, open_work, run_batch
from grader.cli import common
from grader.cli.console import Console
from grader.cli.machine import prove_for_batch
from grader.cli.results import conclude, details_option, presented, rules_options, take_rules
from grader.cli.wiring import NOT_RUN, GradingSettings, open_session
from grader.course.loader import CourseFolder
from grader.course.oracle import expected_cases
from grader.errors import GraderError, UsageError
from grader.failpoints import failpoint
from grader.files import make_folder
from grader.grading.scoring import Details
from grader.grading.session import Session
from grader.limits.probes import Tier, for_whole_batch, waivers
from grader.models import Emit, EngineInfo, ExerciseStatus, Report, silent
from grader.submissions.lms import open_submissions
from grader.submissions.reader import LOOKED_FOR, Selection


@common.course_command(
    "grader batch submissions/ --out results/",
    "grader batch submissions/ --out results/ --roster class.csv --jobs 4",
    "grader batch submissions/ --out results/ --resume",
    "grader batch moodle-download.zip --out results/",
)
@click.argument("submissions", type=common.ANY_PATH)
@click.option(
    "--out", required=True, type=common.FOLDER,
    help="Folder for grades.csv, gradebook.csv, report.html, students/, junit.xml and the journal.",
)  # fmt: skip
@click.option("--jobs", type=common.JOBS, help="Students graded side by side. Default: as many as there are cores.")
@common.exercises_option
@click.option(
    "--roster", type=common.ANY_PATH,
    help="CSV file of the class, with any of the columns student, name, email, login, id, github, section, group.",
)  # fmt: skip
@common.seed_option
@click.option(
    "--resume", is_flag=True, help="Go on with an interrupted batch: what is graded already and unchanged stays."
)
@common.engine_option("private")
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
@details_option
@rules_options
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="json: what happens goes to standard output, an object in each line.",
)  # fmt: skip
def batch_command(
    folder: CourseFolder,
    console: Console,
    *,
    submissions: Path,
    out: Path,
    jobs: int | None,
    exercises: tuple[str, ...],
    roster: Path | None,
    seed: int,
    resume: bool,
    engine: Tier,
    accept_risk: bool,
    scheduler: str,
    waive: tuple[str, ...],
    details: Details | None,
    anonymous: bool | None,
    form: Literal["text", "json"],
    **rules: Path | None,
) -> int:
    """Grade every student in a folder (one folder, zip or tar for each), in clones, or in a download of a platform."""
    if scheduler and jobs:
        raise UsageError("--jobs counts for this machine; with --scheduler, each worker's --nthreads say how many.")
    waived = waivers(waive)
    known = [exercise.id for exercise in folder.course.exercises]
    chosen = chosen_exercises(folder, exercises)
    found = open_submissions(submissions)
    beside = submissions / "students.csv"  # what Classroom 50 calls its roster
    file = roster or (beside if beside.is_file() else None)
    listed = read_roster(file) if file else Roster()
    if not found.handins and not listed.people:
        raise UsageError(f"{submissions}: holds no submissions; expected one folder, zip or tar for each student.")
    plan = plan_batch(found.handins, listed, chosen)
    make_folder(out)
    for note in (*found.notes, *plan.notes):
        console.note(note)
    with Journal.open(out, create=True) as journal:
        take_rules(out, **rules)
        read_rules(out, known, {**journal.people(), **plan.people})  # its mistakes are told before the work
        before = _earlier(journal, out, course_digest(folder), resume=resume)
        ids = [one.id for one in chosen]
        attempts = (one for one in journal.attempts() if one.student in plan.students and one.exercise in ids)
        if cut_off := [f"{one.student} {one.exercise}" for one in attempts]:
            console.note(f"Being graded when the batch was interrupted, graded anew now: {', '.join(cut_off)}.")
        trusted = engine == "private" or accept_risk
        settings = GradingSettings(
            folder=folder,
            exercises=chosen,
            seed=before.seed if before else seed,
            tier=engine,
            whose="known" if trusted else "strangers",
        )
        selection = Selection(ids, known, folder.course.limits)
        read = functools.partial(found.read, selection=selection)
        present = functools.partial(presented, details=details, anonymous=anonymous)
        batch = _Batch(settings, plan, journal, read, waived, present)
        try:
            if before and not any(open_work(plan, journal, read)):
                journal.know(plan.people)
                console.note("Everything is graded already and nothing has changed, so no engine is needed.")
            elif scheduler:
                with console.working(batch.total, in_json=form == "json") as emit:
                    _grade_on_cluster(batch, scheduler, emit)
            else:
                _grade_here(batch, console, jobs or os.cpu_count() or 1, in_json=form == "json")
        except BaseException:
            with contextlib.suppress(GraderError):  # what stopped the batch is the news, not what it entails
                write_results(journal, folder, out)
            console.note(f"What is graded is kept. Go on with: grader batch {submissions} --out {out} --resume")
            raise
        written = write_results(journal, folder, out)
        code = conclude(console, written, out, quiet=form == "json")
        for note in _doubts(written.reports, plan, trusted=trusted):
            console.note(note, "not_graded")
        return code


def _earlier(journal: Journal, out: Path, digest: str, *, resume: bool) -> BatchInfo | None:
    """The batch that is already in the journal, if `--resume` may go on with it."""
    info = journal.info()
    if info is None:
        return None
    if not resume:
        raise UsageError(
            f"{out}: holds the results of a batch of {info.started}. Go on with it by --resume, or name another folder."
        )
    if info.course != digest:
        raise UsageError(
            f"{out}: was graded with another exercises.yaml, and one batch must be graded by one. "
            f"Name another folder, or judge what is there again with `grader regrade {out}`."
        )
    return info


def _doubts(reports: Sequence[Report], plan: Plan, *, trusted: bool) -> Iterator[str]:
    """What makes the results doubtful, and what an instructor can do about it."""
    asked = {exercise.id for exercise in plan.exercises}
    handed_in = [report for report in reports if plan.students.get(report.student)]
    rows = [exercise for report in handed_in for exercise in report.exercises if exercise.id in asked]
    missing = sum(exercise.status is ExerciseStatus.NOT_SUBMITTED for exercise in rows)
    if missing > len(rows) / 2:
        yield f"Mostly not submitted: {missing} of {len(rows)} exercises of those who handed in something. {LOOKED_FOR}"
    if not trusted and any(exercise.message == NOT_RUN for exercise in rows):
        yield (
            "With --engine host, no commands of other people are run. Leave it out, so that they get an engine "
            "of their own behind a proxy; or allow it for just these exercises with --accept-risk."
        )


@dataclass(frozen=True, slots=True)
class _Batch:
    """What is graded, and where it is recorded.

    `read` reads one student's submission, `waived` are limits that need not hold, `present` says how the batch is
    presented to its readers.
    """

    settings: GradingSettings
    plan: Plan
    journal: Journal
    read: ReadSubmission
    waived: frozenset[str]
    present: Callable[[BatchInfo], BatchInfo]

    @property
    def total(self) -> int:
        """How many verdicts there will be, but for those that there are already."""
        done = {key for key, (_, status) in self.journal.digests().items() if status != ExerciseStatus.NOT_GRADED}
        wanted = {(student, exercise.id) for student in self.plan.students for exercise in self.plan.exercises}
        return len(wanted - done)

    def record(self, engine: EngineInfo) -> None:
        """Write into the journal which engine grades this batch, on what terms, and who is in it."""
        folder, seed = self.settings.folder, self.settings.seed
        before = self.journal.info()
        if engine.limits:
            engine = replace(engine, limits=for_whole_batch(before.engine.limits if before else None, engine.limits))
        started = datetime.now(UTC).isoformat(timespec="seconds")
        info = before or BatchInfo(seed, course_digest(folder), folder.course.title, started, engine)
        info = self.present(replace(info, engine=engine))
        self.journal.begin(info, self.plan.students, judging_digests(folder, seed))
        self.journal.know(self.plan.people)


def _grade_here(batch: _Batch, console: Console, jobs: int, *, in_json: bool) -> None:
    limits = prove_for_batch(batch.settings, batch.waived, console)
    emitting = console.working(batch.total, in_json=in_json)
    with emitting as emit, open_session(batch.settings, emit, console.note) as opened:
        session = replace(opened, limits=limits)
        batch.record(session.engine_info())
        failpoint("batch-recorded")
        try:
            run_batch(session, batch.plan, batch.journal, batch.read, jobs)
        finally:  # now all base images are known
            batch.record(session.engine_info())


def _grade_on_cluster(batch: _Batch, scheduler: str, emit: Emit) -> None:
    settings = batch.settings
    cases = expected_cases(settings.folder.predictor, settings.exercises, settings.seed)
    opening = functools.partial(_open_on_worker, replace(settings, cases=cases), batch.waived)
    shared = ClusterBatch(secrets.token_hex(8), opening)
    run_on_cluster(scheduler, shared, batch.plan, batch.journal, batch.read, begin=batch.record, emit=emit)


@contextmanager
def _open_on_worker(settings: GradingSettings, waived: frozenset[str]) -> Iterator[Session]:
    """A session on a worker of a cluster; Dask finds this function by its name."""
    console = common.terminal()
    limits = prove_for_batch(settings, waived, console)
    with open_session(settings, silent, console.note) as session:
        yield replace(session, limits=limits)
