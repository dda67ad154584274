"""The files of a batch, and its verdicts judged again: both from the journal alone, without an engine."""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import grader
from grader.batch.journal import BatchInfo, Journal, Trail, now
from grader.batch.policy import Rules, read_rules
from grader.checks.base import CheckContext
from grader.course.cases import probe_nonce
from grader.course.handbook import sections
from grader.course.loader import CourseFolder
from grader.course.models import Course
from grader.course.oracle import expected_cases
from grader.errors import UsageError
from grader.files import remove_half_written, write_whole
from grader.grading.exercise import grade_exercise, replay
from grader.grading.grades import Grade, final_grades
from grader.grading.scoring import for_student, scored_again, with_totals
from grader.models import ExerciseReport, Report
from grader.reports import wording as words
from grader.reports.csv import csv_table, gradebook_csv, grades_csv
from grader.reports.html import Background, class_page, student_page
from grader.reports.junit import to_junit
from grader.sanitize import safe_name, safe_names


def course_digest(folder: CourseFolder) -> str:
    """What tells a course from another one, or from itself after a change: the SHA-256 of its `exercises.yaml`."""
    return hashlib.sha256((folder.root / "exercises.yaml").read_bytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Results:
    """What the files of a batch were made from, and each final mark that is another one than was written last."""

    reports: list[Report]
    changed: Sequence[Trail]


def pseudonym(student: str, key: str) -> str:
    """`student-1f2e3d4c`: the same for the same student of the same batch, and made only by who has the batch's key."""
    return f"student-{hmac.new(key.encode(), student.encode('utf-8', 'surrogatepass'), 'sha256').hexdigest()[:8]}"


def info_of(journal: Journal) -> BatchInfo:
    """The batch's own row. `UsageError` if nothing was graded yet."""
    info = journal.info()
    if info is None:
        raise UsageError("The journal is empty: nothing was graded into this folder.")
    return info


def reports_in(journal: Journal, course: Course | None = None) -> list[Report]:
    """Every student's report, in the order of the course, if one is given. `UsageError` if nothing was graded yet."""
    info = info_of(journal)
    order = {exercise.id: index for index, exercise in enumerate(course.exercises if course else ())}
    stored = journal.reports()
    found = []
    for student in journal.students():
        own = sorted(stored.pop(student, {}).values(), key=lambda report: order.get(report.id, len(order)))
        found.append(with_totals(Report(student, info.seed, info.engine, tuple(own))))
    return found


def rules_in(journal: Journal, out: Path, reports: Sequence[Report]) -> Rules:
    """What the teacher's files beside the results say of marks. `SpecError` has every mistake in them."""
    exercises = dict.fromkeys(exercise.id for report in reports for exercise in report.exercises)
    return read_rules(out, exercises, journal.people())


_FILES = ("grades.csv", "gradebook.csv", "junit.xml", "report.html")


def write_results(journal: Journal, folder: CourseFolder, out: Path, *, anew: bool = False) -> Results:
    """Write all result files; gives what they were made from. `SpecError` for mistakes in the teacher's own files.

    A file that would be made of the same as before, and is still there, is left as it is, unless `anew` is asked for.
    """
    info = info_of(journal)
    reports = reports_in(journal, folder.course)
    rules = rules_in(journal, out, reports)
    grades = final_grades(reports, rules.policy, rules.overrides, rules.submitted)
    results = Results(reports, _note_marks(journal, grades))
    remove_half_written(out)

    def called(name: str) -> str:
        return pseudonym(name, info.anonymous) if info.anonymous else name

    pairs = [
        (replace(report, student=called(report.student)), replace(grade, student=called(grade.student)))
        for report, grade in zip(reports, grades, strict=True)
    ]
    pairs.sort(key=lambda pair: pair[0].student)
    shown = [report for report, _ in pairs]
    people = {} if info.anonymous else journal.people()
    background = Background(
        title=folder.course.title,
        graded=info.started,
        handbook=sections(folder.root),
        grades={grade.student: grade for _, grade in pairs},
        groups={name: group for name, one in people.items() if (group := one.get("section") or one.get("group"))},
        history=tuple(replace(one, student=called(one.student)) for one in journal.history()),
    )
    shared = _digest((_code_digest("reports"), info.details, background.title, background.graded, background.handbook))
    made = {report.student: _digest((shared, report, grade)) for report, grade in pairs}
    made[""] = _digest((sorted(made.items()), background.history, people))  # no student is called so
    before = journal.written("page")
    names = safe_names(report.student for report in shown)
    for report in shown:
        path = out / "students" / f"{names[report.student]}.html"
        if anew or before.get(report.student) != made[report.student] or not path.is_file():
            write_whole(path, student_page(for_student(report, info.details), background), durable=False)
    for gone in before.keys() - made.keys():  # called by a pseudonym now, or by a name again
        (out / "students" / f"{safe_name(gone)}.html").unlink(missing_ok=True)
    if anew or before.get("") != made[""] or not all((out / name).is_file() for name in _FILES):
        timings = tuple(replace(one, student=called(one.student)) for one in journal.timings())
        write_whole(out / "grades.csv", grades_csv(shown))
        write_whole(out / "gradebook.csv", gradebook_csv(shown, [grade for _, grade in pairs], people))
        write_whole(out / "junit.xml", to_junit(shown))
        write_whole(out / "report.html", class_page(shown, replace(background, timings=timings)))
        if info.anonymous:
            rows = sorted((called(report.student), report.student) for report in reports)
            write_whole(out / "pseudonyms.csv", csv_table(("pseudonym", "student"), rows))
        else:
            (out / "pseudonyms.csv").unlink(missing_ok=True)
        journal.write("page", made)
    return results


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "surrogatepass")).hexdigest()


def _note_marks(journal: Journal, grades: Sequence[Grade]) -> Sequence[Trail]:
    """Store the final marks; what changed since they were stored last goes into the trail, and comes back."""
    before, after = journal.written("mark"), {}
    for grade in grades:
        why = "; ".join(grade.all_reasons)
        after[grade.student] = words.points(grade.score, grade.max_score) + (f" ({why})" if why else "")
    changed = [
        Trail(now(), name, "", "final mark", before[name], mark)
        for name, mark in after.items()
        if before.get(name, mark) != mark
    ]
    if after != before:
        journal.note(changed)
        journal.write("mark", after)
    return changed


# ── judging again ───────────────────────────────────────────────────────────────────────


def judging_digests(folder: CourseFolder, seed: int) -> dict[str, str]:
    """For each exercise, a digest of all that its verdicts depend on besides observations and points.

    That is the course, the exercise's checks and cases, the reference, the seed, and the code that judges. Where it is
    the same as it was, a verdict cannot be another one, and only its points and hints are given anew.
    """
    predictor = folder.predictor.read_bytes() if folder.predictor.is_file() else b""
    course = repr((seed, replace(folder.course, title="", hints={}, exercises=()))).encode()
    shared = _code_digest("checks", "course", "dockerfile", "grading", "models.py").encode() + predictor + course
    digests = {}
    for exercise in folder.course.exercises:
        checks = tuple(replace(check, weight=1, hints={}) for check in exercise.checks)
        own = repr((checks, exercise.cases, exercise.files)).encode()
        digests[exercise.id] = hashlib.sha256(shared + own).hexdigest()
    return digests


def _code_digest(*parts: str) -> str:
    """The SHA-256 of these folders and files of the package."""
    digest = hashlib.sha256()
    package = Path(grader.__file__).parent
    for part in parts:
        files = [package / part] if part.endswith(".py") else sorted((package / part).rglob("*"))
        for file in files:
            if file.is_file() and file.suffix != ".pyc":
                digest.update(file.read_bytes())
    return digest.hexdigest()


def regrade(journal: Journal, folder: CourseFolder) -> Sequence[Trail]:
    """Judge everything in the journal by the course as it is now, and give whose status or points are others.

    What was not run (nothing handed in, refused, not graded) keeps its verdict and takes the exercise's title and
    points. What asks for something that was not observed becomes "not graded", which `grader batch --resume` grades:
    the batch is one of the new course from now on. Raises `UsageError` if the course has none of the exercises.
    """
    info = info_of(journal)
    known = {exercise.id: exercise for exercise in folder.course.exercises}
    graded = {exercise for _, exercise in journal.digests()}
    if graded and not graded & known.keys():
        raise UsageError(
            f"{folder.root / 'exercises.yaml'} has none of the exercises of these results "
            f"({', '.join(sorted(graded))}). Name the course they belong to by --course."
        )
    cases = functools.cache(lambda: expected_cases(folder.predictor, folder.course.exercises, info.seed))
    changes: list[Trail] = []

    def judge(student: str, before: ExerciseReport, same: bool) -> ExerciseReport:  # noqa: FBT001 - called by position
        exercise = known.get(before.id)
        if exercise is None:
            return before
        stored = None if same else next(journal.gradings(student, before.id)).result
        if stored is None or stored.files is None:
            after = scored_again(folder.course, exercise, before)
        else:
            nonce = probe_nonce(exercise.id, info.seed)
            context = CheckContext(folder.course, exercise, stored.files, cases()[exercise.id], nonce)
            after = replace(grade_exercise(context, replay(stored.observations)), seconds=before.seconds)
        was, becomes = (words.standing(one.status, one.score, one.max_score) for one in (before, after))
        if was != becomes:
            changes.append(Trail(now(), student, before.id, "judged again", was, becomes))
        return after

    journal.judge_again(judge, judging_digests(folder, info.seed))
    journal.note(changes)
    journal.begin(replace(info, course=course_digest(folder), title=folder.course.title), ())
    return changes
