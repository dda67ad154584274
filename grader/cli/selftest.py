"""`grader selftest`: grade the course's own right and wrong solutions, and compare with what must come out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from grader.batch.selftest import Expectation, Outcome, expectations, judge_outcome
from grader.cli.common import chosen_exercises, course_at, fresh_seed, terminal
from grader.cli.console import Console
from grader.cli.wiring import Terms, open_session
from grader.errors import UsageError
from grader.files import write_whole
from grader.grading.session import Session, grade_one, report_of
from grader.limits.probes import Tier
from grader.models import ExerciseStatus
from grader.reports.html import student_page
from grader.reports.text import table_lines
from grader.submissions.reader import read_exercise


def run_selftest(
    option: Path | None,
    wanted: Sequence[str],
    seed: int | None,
    jobs: int | None,
    write: Path | None,
    *,
    tier: Tier = "host",
) -> int:
    """0 if the grader agrees with everything that `reference/` says, 1 on any disagreement."""
    folder = course_at(option)
    exercises = chosen_exercises(folder, wanted)
    expected = expectations(folder.root / "reference", exercises)
    if not expected:
        message = (
            f"{folder.root / 'reference'}: holds no solutions of {', '.join(exercise.id for exercise in exercises)}."
        )
        raise UsageError(message)
    console = terminal()
    drawn = fresh_seed() if seed is None else seed
    workers = jobs or os.cpu_count() or 1
    with (
        console.batching(len(expected)) as emit,
        open_session(folder, exercises, drawn, emit, console.note, terms=Terms(tier)) as session,
        ThreadPoolExecutor(workers, thread_name_prefix="selftest") as pool,
    ):
        outcomes = _all(pool, replace(session, thorough=write is not None), expected)
        page = _page(session, outcomes) if write else ""
    if write:
        write_whole(write, page)
    return _told(console, outcomes, drawn)


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
    return judge_outcome(expectation, result.report)


def _page(session: Session, outcomes: Sequence[Outcome]) -> str:
    """Every message that a wrong solution produces, as one page for teachers."""
    titled = [
        replace(outcome.report, title=f"{outcome.report.title}: {outcome.expectation.name}")
        for outcome in outcomes
        if not outcome.expectation.right
    ]
    return student_page(report_of(session, "What a student sees of each wrong solution", titled))


def _told(console: Console, outcomes: Sequence[Outcome], seed: int) -> int:
    console.write(
        table_lines(("Exercise", "Solution", "Must", "Came out", ""), [_row(outcome) for outcome in outcomes])
    )
    for outcome in outcomes:
        if not outcome.agrees:
            console.note(f"{outcome.expectation.folder}: {outcome.problem}", "failed")
    tried = [outcome for outcome in outcomes if not outcome.untried]
    for outcome in outcomes:
        if outcome.untried:
            console.note(
                f"{outcome.expectation.folder}: not tried, it needs {outcome.expectation.requires}.", "not_graded"
            )
    outcomes = tried
    rights = [outcome for outcome in outcomes if outcome.expectation.right]
    wrongs = [outcome for outcome in outcomes if not outcome.expectation.right]
    console.note(
        f"Right solutions passed: {_share(rights)}. "
        f"Wrong ones caught by the check they must fail: {_share(wrongs)}. Seed {seed}."
    )
    console.note(f"Slowest: {_slowest(outcomes)}.")
    return 0 if all(outcome.agrees for outcome in outcomes) else 1


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
    return (
        expectation.exercise.id,
        expectation.name,
        must,
        _came_out(outcome),
        _agreement(outcome),
    )


def _agreement(outcome: Outcome) -> str:
    if outcome.untried:
        return "not tried"
    return "ok" if outcome.agrees else "DISAGREES"


def _came_out(outcome: Outcome) -> str:
    report = outcome.report
    failed = next((check.id for check in report.checks if check.status == "failed"), "")
    return f"fail {failed}" if report.status is ExerciseStatus.FAILED else report.status.replace("passed", "pass")
