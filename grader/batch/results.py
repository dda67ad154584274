"""The files of a batch, and its verdicts judged again: both from the journal alone, without an engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from grader.batch.journal import Graded, Journal
from grader.checks.base import CheckContext
from grader.course.cases import probe_nonce
from grader.course.handbook import sections
from grader.course.loader import CourseFolder
from grader.course.models import Course, Exercise
from grader.course.oracle import expected_cases
from grader.errors import UsageError
from grader.files import remove_half_written, write_whole
from grader.grading.exercise import grade_exercise, replay
from grader.grading.scoring import for_student, with_totals
from grader.models import ExerciseReport, Report
from grader.reports import wording as words
from grader.reports.csv import gradebook_csv, grades_csv
from grader.reports.html import Background, class_page, student_page
from grader.reports.junit import to_junit
from grader.sanitize import safe_names


def course_digest(folder: CourseFolder) -> str:
    """What tells a course from another one, or from itself after a change: the SHA-256 of its `exercises.yaml`."""
    return hashlib.sha256((folder.root / "exercises.yaml").read_bytes()).hexdigest()


def reports_in(journal: Journal, course: Course) -> list[Report]:
    """Every student's report, in the order of the course. `UsageError` if nothing was graded yet."""
    info = journal.info()
    if info is None:
        raise UsageError("The journal is empty: nothing was graded into this folder.")
    order = {exercise.id: index for index, exercise in enumerate(course.exercises)}
    stored = journal.reports()
    return [
        with_totals(Report(student, info.seed, info.engine, _sorted(stored.get(student, {}), order)))
        for student in journal.students()
    ]


def _sorted(reports: Mapping[str, ExerciseReport], order: Mapping[str, int]) -> tuple[ExerciseReport, ...]:
    return tuple(sorted(reports.values(), key=lambda report: order.get(report.id, len(order))))


def write_results(journal: Journal, folder: CourseFolder, out: Path) -> list[Report]:
    """Write all result files; gives the reports they were made from."""
    reports = reports_in(journal, folder.course)
    info = journal.info()
    details = info.details if info else "full"
    background = Background(
        title=folder.course.title,
        graded=info.started if info else "",
        handbook=sections(folder.root),
        history=journal.history(),
        timings=journal.timings(),
    )
    remove_half_written(out)
    write_whole(out / "grades.csv", grades_csv(reports))
    write_whole(out / "gradebook.csv", gradebook_csv(reports))
    write_whole(out / "junit.xml", to_junit(reports))
    write_whole(out / "report.html", class_page(reports, background))
    names = safe_names(report.student for report in reports)
    for report in reports:
        page = student_page(for_student(report, details), background)
        write_whole(out / "students" / f"{names[report.student]}.html", page)
    return reports


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one verdict when it was judged again."""

    student: str
    before: ExerciseReport
    after: ExerciseReport


def regrade(journal: Journal, folder: CourseFolder) -> tuple[Change, ...]:
    """Judge everything in the journal by the course as it is now, and give what has changed.

    What was not run (nothing handed in, refused, not graded) keeps its verdict and takes the exercise's title and
    points. What asks for something that was not observed becomes "not graded", which `grader batch --resume` grades:
    the batch is one of the new course from now on. Raises `UsageError` if the course has none of the exercises.
    """
    info = journal.info()
    if info is None:
        raise UsageError("The journal is empty: there is nothing to regrade.")
    known = {exercise.id: exercise for exercise in folder.course.exercises}
    graded = {exercise for _, exercise in journal.digests()}
    if graded and not graded & known.keys():
        raise UsageError(
            f"{folder.root / 'exercises.yaml'} has none of the exercises of these results "
            f"({', '.join(sorted(graded))}). Name the course they belong to by --course."
        )
    cases = expected_cases(folder.predictor, folder.course.exercises, info.seed)
    changes: list[Change] = []
    for one in journal.gradings():
        before = one.result.report
        if before.id in known:
            exercise = known[before.id]
            nonce = probe_nonce(exercise.id, info.seed)
            files = one.result.files
            context = CheckContext(folder.course, exercise, files, cases[exercise.id], nonce) if files else None
            after = _judged(one, exercise, context)
            if after != before:
                changes.append(Change(one.student, before, after))
    journal.replace_reports([(change.student, change.after) for change in changes])
    journal.begin(replace(info, course=course_digest(folder), title=folder.course.title), ())
    return tuple(changes)


def _judged(graded: Graded, exercise: Exercise, context: CheckContext | None) -> ExerciseReport:
    before = graded.result.report
    if context is None:
        worth = exercise.points
        return replace(before, title=exercise.title, max_score=worth, bonus=exercise.bonus)
    report = grade_exercise(context, replay(graded.result.observations))
    return replace(report, seconds=before.seconds)


def shown_changes(changes: Sequence[Change]) -> list[str]:
    """A line for each verdict whose score, maximum or status is another one: who, where, from what to what."""
    return [
        f"{change.student} {change.before.id}: {_standing(change.before)} → {_standing(change.after)}"
        for change in changes
        if _standing(change.before) != _standing(change.after)
    ]


def _standing(report: ExerciseReport) -> str:
    return f"{words.status_word(report.status)}, {words.points(report.score, report.max_score)}"
