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
from grader.cli.common import ANY_PATH, JOBS, course_command, engine_option, exercises_option, seed_option, terminal
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
    console = terminal()
    if selection:
        total, expected = len(expected), select(expected)
        console.note(_coverage(expected, total))
    settings = GradingSettings(folder=folder, exercises=chosen, seed=seed, tier=engine)
    with (
        console.batching(len(expected)) as emit,
        open_session(settings, emit, console.note) as session,
        ThreadPoolExecutor(jobs or os.cpu_count() or 1, thread_name_prefix="selftest") as pool,
    ):
        outcomes = _all(pool, replace(session, thorough=write is not None), expected)
        page = _page(session, outcomes) if write else ""
    if write:
        write_whole(write, page)
    return _conclude(console, outcomes, seed)


def _coverage(selected: Sequence[Expectation], total: int) -> str:
    """What a selection shows, and what it does not."""
    shown = frozenset[str]().union(*(one.shows for one in selected))
    missing = ", ".join(sorted({*CHECK_KINDS, *REASONS} - shown))
    kinds, reasons = (f"{len(shown & known.keys())} of {len(known)}" for known in (CHECK_KINDS, REASONS))
    rights = sum(one.right for one in selected)
    return (
        f"Selected: {len(selected)} of {total} solutions, {rights} of them right; the others fail {kinds} kinds of "
        f"check for {reasons} reasons. Not among them: {missing or 'none'}."
    )


def _all(pool: ThreadPoolExecutor, session: Session, expected: Sequence[Expectation]) -> list[Outcome]:
    futures = [pool.submit(_one, session, expectation) for expectation in expected]
    try:
        return [future.result() for future in futures]
    except BaseException:
        session.stop()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _one(session: Session, expectation: Expectation) -> Outcome:
    exercise = expectation.exercise
    files = read_exercise(expectation.folder, exercise.id, session.course.limits)
    result = grade_one(session, f"{exercise.id} {expectation.name}", exercise, files)
    return Outcome(expectation, result.report)


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
    console.write(
        table_lines(("Exercise", "Solution", "Must", "Came out", ""), [_row(outcome) for outcome in outcomes])
    )
    for one in outcomes:
        if one.untried:
            console.note(f"{one.expectation.folder}: not tried, it needs {one.expectation.requires}.", "not_graded")
        elif not one.agrees:
            console.note(f"{one.expectation.folder}: {one.problem}", "failed")
    tried = [one for one in outcomes if not one.untried]
    rights = [one for one in tried if one.expectation.right]
    wrongs = [one for one in tried if not one.expectation.right]
    console.note(
        f"Right solutions passed: {_share(rights)}. "
        f"Wrong ones caught by the check they must fail: {_share(wrongs)}. Seed {seed}."
    )
    console.note(f"Slowest: {_slowest(tried)}.")
    return 0 if all(one.agrees for one in tried) else 1


_SLOWEST = 5


def _slowest(outcomes: Sequence[Outcome]) -> str:
    ranked = sorted(outcomes, key=lambda outcome: outcome.report.seconds, reverse=True)
    return ", ".join(
        f"{one.expectation.exercise.id} {one.expectation.name} {one.report.seconds:.0f} s" for one in ranked[:_SLOWEST]
    )


def _share(outcomes: Sequence[Outcome]) -> str:
    return f"{sum(outcome.agrees for outcome in outcomes)} of {len(outcomes)}"


def _row(outcome: Outcome) -> tuple[str, str, str, str, str]:
    expectation = outcome.expectation
    must = "pass" if expectation.right else f"fail {expectation.fails}"
    agreement = "not tried" if outcome.untried else "ok" if outcome.agrees else "DISAGREES"
    return expectation.exercise.id, expectation.name, must, _came_out(outcome), agreement


def _came_out(outcome: Outcome) -> str:
    report = outcome.report
    failed = next((check.id for check in report.checks if check.status == "failed"), "")
    return f"fail {failed}" if report.status is ExerciseStatus.FAILED else report.status.replace("passed", "pass")
