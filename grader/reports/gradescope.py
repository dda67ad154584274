"""A report as Gradescope's `results.json` (docs/specs.md of its autograder samples)."""

from __future__ import annotations

import json

from grader.grading.grades import Grade
from grader.grading.scoring import for_student
from grader.models import CheckStatus, Report
from grader.reports import wording as words
from grader.reports.export import Exported, ExportFormat, Scores, feedback_text
from grader.sanitize import safe_names, sanitize_line


def _export(scores: Scores) -> Exported:
    """A file for everyone who has a mark: a file without one would be a zero."""
    names = safe_names(report.student for report in scores.reports)
    files = {
        f"{names[report.student]}.json": to_gradescope(for_student(report, scores.details), grade)
        for report, grade in zip(scores.reports, scores.grades, strict=True)
        if grade.score is not None
    }
    return scores.exported(files, "no file is written")


def to_gradescope(report: Report, grade: Grade | None = None) -> str:
    """A `results.json`, with a test for each check. All texts are marked as plain. Only for who has a mark.

    An exercise that was not checked is one test, its reason, which then stands for all its points.
    """
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
        "tests": [
            {
                "number": sanitize_line(exercise.id),
                "name": sanitize_line(check.title),
                "status": "passed" if check.status is CheckStatus.PASSED else "failed",
                "score": check.score,
                "max_score": check.max_score if exercise.checks else exercise.max_score,
                "output": words.failure_text(check),
            }
            for exercise in report.exercises
            for check in words.checks_or_reason(exercise)
        ],
    }
    return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n"


GRADESCOPE = ExportFormat("gradescope", _export, "gradescope/")
