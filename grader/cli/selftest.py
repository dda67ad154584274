"""`grader selftest`: grade the course's own right and wrong solutions, and compare with what must come out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import click

from grader.api import chosen_exercises
from grader.batch.selftest import Expectation, Outcome, expectations
from grader.batch.selftest import selection as select
from grader.checks import CHECK_KINDS, REASONS
from grader.cli.common import ANY_PATH, JOBS, course_command, engine_option, exercises_option, seed_option
from grader.cli.console import Console
from grader.cli.wiring import GradingSettings, open_session
from grader.course.loader import CourseFolder
from grader.errors import UsageError
from grader.files import write_whole
from grader.grading.session import Session, grade_one, report_of
from grader.limits.probes import Tier
from grader.models import ExerciseStatus
from grader.reports.html import Background, student_page
from grader.reports.text import table_lines
from grader.submissions.reader import read_exercise


@course_command("grader selftest", "grader selftest --exercise 3.1.4 --jobs 1")
@exercises_option
@seed_option
@click.option("--jobs", type=JOBS, help="Solutions graded side by side. Default: as many as there are cores.")
@engine_option("host")
@click.option(
    "--selection", is_flag=True, help="Only two right solutions of each exercise, and a wrong one for each reason."
)
@click.option("--write", type=ANY_PATH, help="Also write a page with every message a wrong solution produces.")
def selftest_command(
    folder: CourseFolder,
    console: Console,
    *,
    exercises: tuple[str, ...],
    seed: int,
    jobs: int | None,
    engine: Tier,
    selection: bool,
    write: Path | None,
) -> int:
    """Prove the course: every right solution gets full points, every wrong one fails the check it must."""
    chosen = chosen_exercises(folder, exercises)
    expected = expectations(folder.root / "reference", chosen)
    if not expected:
        names = ", ".join(exercise.id for exercise in chosen)
        raise UsageError(f"{folder.root / 'reference'}: holds no solutions of {names}.")
    if selection:
        total, expected = len(expected), select(expected)
        missing = ", ".join(sorted({*CHECK_KINDS, *REASONS} - {name for one in expected for name in one.shows}))
        console.note(f"Selected: {len(expected)} of {total} solutions. They do not show: {missing or 'nothing'}.")
    settings = GradingSettings(folder=folder, exercises=chosen, seed=seed, tier=engine)
    with console.working(len(expected)) as emit, open_session(settings, emit, console.note) as opened:
        session = replace(opened, thorough=write is not None)
        outcomes = _grade(session, expected, jobs or os.cpu_count() or 1)
        page = _page(session, outcomes) if write else ""
    if write:
        write_whole(write, page)
    return _conclude(console, outcomes, seed)


def _grade(session: Session, expected: Sequence[Expectation], jobs: int) -> list[Outcome]:
    def outcome(expectation: Expectation) -> Outcome:
        exercise = expectation.exercise
        files = read_exercise(expectation.folder, exercise.id, session.course.limits)
        result = grade_one(session, f"{exercise.id} {expectation.name}", exercise, files)
        return Outcome(expectation, result.report)

    with ThreadPoolExecutor(jobs, thread_name_prefix="selftest") as pool:
        try:
            return list(pool.map(outcome, expected))
        except BaseException:
            session.stop()
            raise


def _page(session: Session, outcomes: Sequence[Outcome]) -> str:
    """Every message that a wrong solution produces, as one page for teachers."""
    titled = [
        replace(outcome.report, title=f"{outcome.report.title}: {outcome.expectation.name}")
        for outcome in outcomes
        if not outcome.expectation.right
    ]
    report = report_of(session, "What a student sees of each wrong solution", titled)
    return student_page(report, Background(session.course.title))


def _conclude(console: Console, outcomes: Sequence[Outcome], seed: int) -> int:
    """Show what came out; 0 if the grader agrees with everything that `reference/` says, 1 on any disagreement."""
    console.write(table_lines(("Exercise", "Solution", "Must", "Came out", ""), map(_row, outcomes)))
    for one in outcomes:
        if one.untried:
            console.note(f"{one.expectation.folder}: not tried, it needs {one.expectation.requires}.", "not_graded")
        elif not one.agrees:
            console.note(f"{one.expectation.folder}: {one.problem}", "failed")
    shares = []
    for right in (True, False):
        agreeing = [one.agrees for one in outcomes if not one.untried and one.expectation.right is right]
        shares.append(f"{sum(agreeing)} of {len(agreeing)}")
    console.note(
        f"Right solutions passed: {shares[0]}. Wrong ones caught by the check they must fail: {shares[1]}. Seed {seed}."
    )
    return 0 if all(one.agrees for one in outcomes) else 1


def _row(outcome: Outcome) -> tuple[str, ...]:
    expectation, report = outcome.expectation, outcome.report
    must = "pass" if expectation.right else f"fail {expectation.fails}"
    failed = next((check.id for check in report.checks if check.status == "failed"), "")
    came_out = f"fail {failed}" if report.status is ExerciseStatus.FAILED else report.status.replace("passed", "pass")
    agreement = "not tried" if outcome.untried else "ok" if outcome.agrees else "DISAGREES"
    return expectation.exercise.id, expectation.name, must, came_out, agreement
