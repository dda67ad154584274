"""The results of a batch as pandas tables, for questions that no page answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from grader.batch.journal import Journal
from grader.batch.results import info_of, reports_in, rules_in
from grader.checks import REASONS
from grader.grading.grades import final_grades


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """What a batch found, as pandas tables with a row for each thing and plain columns.

    - `submissions`: student, exercise, title, bonus, status, score (NaN where not graded), max_score, seconds, message
    - `marks`: student, mark (NaN where something is not graded), max_mark, points, max_points, late, submitted,
      reasons, comments; made by the policy and the overrides in the folder as they are now
    - `checks`: student, exercise, check, title, status, score, max_score, reason, code, message, file, line
    - `runs`: student, exercise, kind (`built`, `build_failed`, `ran`, `script_seen`, `compose_seen`), seconds, size
      (of an image, in bytes)
    - `history`: at (a time in UTC), student, exercise, digest (of what was graded), status, score, max_score
    """

    title: str
    seed: int
    submissions: pd.DataFrame
    marks: pd.DataFrame
    checks: pd.DataFrame
    runs: pd.DataFrame
    history: pd.DataFrame


def read_results(folder: Path) -> Results:
    """The tables of the journal in this folder. `UsageError` if there is none, or another grader works in it."""
    with Journal.open(folder) as journal:
        info = info_of(journal)
        reports = reports_in(journal)
        rules = rules_in(journal, folder, reports)
        history, timings = journal.history(), journal.timings()
    graded = [(report.student, one) for report in reports for one in report.exercises]
    marks = [
        (
            one.student, one.score, one.max_score, one.earned, one.worth, one.late, one.submitted,
            "; ".join(one.all_reasons), "; ".join(one.all_comments),
        )
        for one in final_grades(reports, rules.policy, rules.overrides, rules.submitted)
    ]  # fmt: skip
    submissions = [
        (student, one.id, one.title, one.bonus, one.status.value, one.score, one.max_score, one.seconds, one.message)
        for student, one in graded
    ]
    checks = [
        (
            student, one.id, check.id, check.title, check.status.value, check.score, check.max_score, check.reason,
            REASONS[check.reason].code if check.reason in REASONS else "", check.message, check.file, check.line,
        )
        for student, one in graded
        for check in one.checks
    ]  # fmt: skip
    runs = [(one.student, one.exercise, one.kind, one.seconds, one.size) for one in timings]
    past = [
        (one.at, one.student, one.exercise, one.digest, one.status.value, one.score, one.max_score) for one in history
    ]

    def table(rows: Sequence[tuple[object, ...]], columns: str) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=columns.split())

    scores = "status score max_score"
    return Results(
        title=info.title,
        seed=info.seed,
        submissions=table(submissions, f"student exercise title bonus {scores} seconds message"),
        marks=table(marks, "student mark max_mark points max_points late submitted reasons comments"),
        checks=table(checks, f"student exercise check title {scores} reason code message file line"),
        runs=table(runs, "student exercise kind seconds size"),
        history=table(past, f"at student exercise digest {scores}").assign(
            at=lambda found: pd.to_datetime(found["at"], utc=True)
        ),
    )
