"""A report as Gradescope's `results.json` (docs/specs.md of its autograder samples)."""

from __future__ import annotations

import json
from dataclasses import replace

from grader.grading.grades import Grade
from grader.grading.scoring import for_student
from grader.models import CheckStatus, CheckVerdict, ExerciseReport, Report
from grader.reports import wording as words
from grader.reports.export import Exported, Scores, export_format, feedback_text, notes_on_ungraded
from grader.sanitize import safe_names, sanitize_line


@export_format("gradescope", file="gradescope/")
def export(scores: Scores) -> Exported:
    """A file for everyone who has a mark: a file without one would be a zero."""
    names = safe_names(report.student for report in scores.reports)
    files = {
        f"{names[report.student]}.json": to_gradescope(for_student(report, scores.details), grade)
        for report, grade in zip(scores.reports, scores.grades, strict=True)
        if grade.score is not None
    }
    return Exported(files, notes_on_ungraded(scores.grades, "no file is written"), len(files))


def to_gradescope(report: Report, grade: Grade | None = None) -> str:
    """A `results.json`, with a test for each check. All texts are marked as plain. Only for who has a mark."""
    score = report.score if grade is None or grade.score is None else grade.score
    worth = report.max_score if grade is None else grade.max_score
    why = feedback_text(grade) if grade else ""
    document = {
        "score": score,
        "execution_time": round(sum(exercise.seconds for exercise in report.exercises), 2),
        "output": f"{words.points(score, worth)} points." + (f"\n{why}" if why else ""),
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
