"""A report as Gradescope's `results.json` (docs/specs.md of its autograder samples)."""

from __future__ import annotations

import json
from dataclasses import replace

from grader.grading.scoring import for_student
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, Report
from grader.reports import wording as words
from grader.reports.export import Exported, Scores, export_format
from grader.reports.marks import notes_on_ungraded
from grader.sanitize import safe_names, sanitize_line


@export_format("gradescope", folder="gradescope")
def export(scores: Scores) -> Exported:
    """A file for everyone who has a score: a file without one would be a zero."""
    marks = scores.marks
    names = safe_names(report.student for report in scores.reports)
    files = {
        f"{names[report.student]}.json": to_gradescope(for_student(report, scores.details))
        for report, mark in zip(scores.reports, marks, strict=True)
        if mark.score is not None
    }
    return Exported("", notes_on_ungraded(marks, "no file is written"), len(files), files)


def to_gradescope(report: Report) -> str:
    """A `results.json`, with a test for each check. All texts are marked as plain. Only for who has a score."""
    document = {
        "score": report.score,
        "execution_time": round(sum(exercise.seconds for exercise in report.exercises), 2),
        "output": f"{words.points(report.score, report.max_score)} points.",
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "extra_data": {"seed": report.seed},
        "tests": [_test(exercise, check) for exercise in report.exercises for check in _checks(exercise)],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


def _checks(exercise: ExerciseReport) -> tuple[CheckVerdict, ...]:
    """The checks; of an exercise that was not checked its reason, which then stands for all its points."""
    first, *others = words.checks_or_reason(exercise)
    return (first, *others) if exercise.checks else (replace(first, max_score=exercise.max_score),)


def _test(exercise: ExerciseReport, check: CheckVerdict) -> dict[str, object]:
    return {
        "number": sanitize_line(exercise.id),
        "name": sanitize_line(check.title),
        "status": "passed" if check.status is CheckStatus.PASSED else "failed",
        "score": check.score,
        "max_score": check.max_score,
        "output": words.failure_text(check),
    }
