"""Reports to render: one of each status, a class, and one whose every student text is given."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import strategies as st

from grader.checks import REASONS
from grader.course.handbook import sections
from grader.course.models import Exercise
from grader.grading.exercise import not_graded, not_submitted
from grader.grading.grades import Late, Override, Policy, final_grades
from grader.grading.scoring import Outcome, blocked, score_exercise, with_totals
from grader.models import (
    CheckStatus,
    CheckVerdict,
    EngineInfo,
    ExerciseReport,
    ExerciseStatus,
    Finding,
    Past,
    Report,
    Timing,
)
from grader.reports.html import Background
from tests.worlds import COURSE, ROOT

ENGINE = EngineInfo(
    name="Docker Engine",
    version="26.1.5",
    builder="buildkit",
    tier="private",
    images=(("python:3.9-slim", "built here from Debian bullseye"),),
)


HINT = (
    "Arguments behind the image's name replace CMD, but they are appended to ENTRYPOINT. Which of the two should hold "
    "the command that always runs?"
)
LOG = """\
The build stopped at line 3 of the Dockerfile, "RUN pip install nunpy".

The last lines of its output:
    Looking in indexes: the course's mirror
    ERROR: Could not find a version that satisfies the requirement nunpy (from versions: none)
    ERROR: No matching distribution found for nunpy"""


def passed_check(name: str = "builds", title: str = "The Dockerfile builds", points: float = 2.0) -> CheckVerdict:
    return CheckVerdict(name, title, CheckStatus.PASSED, points, points)


def failed_check() -> CheckVerdict:
    return CheckVerdict(
        id="example",
        title="docker run sales-predictor 100 120 110 predicts 110",
        status=CheckStatus.FAILED,
        score=0.0,
        max_score=4.0,
        message=(
            "The container did not start. The image has a CMD (python /app/sales_predictor.py) but no ENTRYPOINT, so "
            "Docker replaced the whole CMD by the arguments and tried to execute a program called 100."
        ),
        hint=HINT,
        expected="the script runs and receives 100 120 110 as its arguments",
        actual='Docker executed: 100 120 110\nexec: "100": executable file not found in $PATH',
        ended="not_started",
        reproduce="docker build -q -t sales-predictor . && docker run --rm sales-predictor 100 120 110",
        file="Dockerfile",
        line=6,
    )


def blocked_check(name: str = "drawn", title: str = "Three more lists of weeks", points: float = 3.0) -> CheckVerdict:
    return CheckVerdict(name, title, CheckStatus.BLOCKED, 0.0, points, "Not checked: it needs another to pass first.")


def graded(name: str, title: str, *checks: CheckVerdict, message: str = "", seconds: float = 0.0) -> ExerciseReport:
    """An exercise of 10 points, with its status and score from its checks."""
    passed = all(check.status is CheckStatus.PASSED for check in checks)
    status = ExerciseStatus.PASSED if passed else ExerciseStatus.FAILED
    score = 10.0 if passed else sum(check.score for check in checks)
    return ExerciseReport(name, title, status, score, 10.0, checks, message, seconds)


def passed_exercise() -> ExerciseReport:
    line = passed_check("line", "The run prints the prediction", 8.0)
    return graded("3.1.1", "A Dockerfile with Python 3.9 and NumPy", passed_check(), line, seconds=4.21)


def failed_exercise() -> ExerciseReport:
    usage = passed_check("usage", "Without arguments it prints Usage and exits 1", 1.0)
    checks = (passed_check(), failed_check(), blocked_check(), usage)
    return graded("3.1.4", "Pass the weeks as arguments", *checks, seconds=6.5)


def build_failure() -> ExerciseReport:
    failed = CheckVerdict(
        "builds", "The Dockerfile builds", CheckStatus.FAILED, 0.0, 2.0, LOG,
        hint="pip found no package of that name. Compare it, letter by letter, with the name in the exercise.",
        reproduce="docker build -t sales-predictor .", file="Dockerfile", line=3,
    )  # fmt: skip
    waits = blocked_check("line", "The run prints the prediction", 8.0)
    return graded("3.1.3", "Log the prediction with one more print", failed, waits, seconds=2.0)


def rejected_exercise() -> ExerciseReport:
    message = (
        'Dockerfile:1: "FROM evil/python:3.9" is not an allowed base image. Allowed: python:3.9, python:3.9-slim. '
        "Begin with one of these."
    )
    return ExerciseReport("3.1.5", "WORKDIR /app", ExerciseStatus.REJECTED, 0.0, 10.0, message=message)


def missing_exercise() -> ExerciseReport:
    message = "There is no folder 3.2.1 in the submission."
    return ExerciseReport("3.2.1", "Add pandas", ExerciseStatus.NOT_SUBMITTED, 0.0, 10.0, message=message)


def ungraded_exercise() -> ExerciseReport:
    check = CheckVerdict(
        "builds", "The Dockerfile builds", CheckStatus.NOT_GRADED, 0.0, 2.0, "The engine broke off the build."
    )
    message = "The engine stopped answering during the build (connection reset)."
    title = "Average with pandas"
    return ExerciseReport("3.2.2", title, ExerciseStatus.NOT_GRADED, None, 10.0, (check,), message, seconds=1.5)


def bonus_exercise() -> ExerciseReport:
    title = "Order the layers so that a change of the script reinstalls nothing"
    check = passed_check("cache", "Nothing is installed a second time", 10.0)
    return replace(graded("3.3.L", title, check, seconds=3.0), bonus=True)


def report_of(student: str, *exercises: ExerciseReport, seed: int = 20231123) -> Report:
    return with_totals(Report(student, seed, ENGINE, exercises))


def every_status(student: str = "amira") -> Report:
    return report_of(
        student,
        passed_exercise(),
        build_failure(),
        failed_exercise(),
        rejected_exercise(),
        missing_exercise(),
        ungraded_exercise(),
        bonus_exercise(),
    )


def sample_class() -> tuple[Report, ...]:
    """Five students of different quality, the same four exercises each."""
    first, second, third, fourth = passed_exercise(), build_failure(), failed_exercise(), rejected_exercise()
    better, fine, done = (graded(one.id, one.title, passed_check(points=10.0)) for one in (second, third, fourth))
    none = replace(missing_exercise(), id="3.1.5", title=fourth.title)
    fault = replace(none, status=ExerciseStatus.NOT_GRADED, score=None, message="The engine stopped answering.")
    return (
        report_of("amira", first, better, fine, done),
        report_of("Björn Ó Súilleabháin", first, better, third, fourth),
        report_of("chen-wei", first, second, third, none),
        report_of("李雷", first, better, fine, fault),
        report_of("zoe", first, second, third, done),
    )


def filled_with(text: str, score: float = 0.0) -> Report:
    """A report in which `text` stands wherever a student's own text can get to."""
    told = dict.fromkeys(("message", "hint", "expected", "actual", "ended", "reproduce", "file"), text)
    checks = tuple(
        CheckVerdict("example", "The run prints the prediction", status, score, 4.0, line=3, **told)
        for status in CheckStatus
    )
    exercises = tuple(
        replace(
            graded(f"3.1.{index}", "Pass the weeks", *checks, message=text, seconds=1.0),
            status=status,
            score=None if status is ExerciseStatus.NOT_GRADED else score,
        )
        for index, status in enumerate(ExerciseStatus)
    )
    return Report(text, 1, ENGINE, exercises, score, 40.0)


HOSTILE = (
    "<script>document.title='ran'</script>",
    "<img src=x onerror=alert(1)>",
    "</textarea></pre></style><svg onload=alert(1)>",
    '" onmouseover="alert(1)',
    "{{ 7 * 7 }}{% raw %}",
    "[click](javascript:alert(1)) ![](https://evil.example/x.png)",
    "=HYPERLINK(1)",
    "+1+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "  =1",
    "\uff1d1+1",
    '",=cmd|calc',
    "::error file=a::injected",
    "\n::set-output name=a::b",
    "\n   ::add-mask::secret",
    "##[add-mask]secret",
    "````\n# heading\n",
    "</details><h1>big</h1>",
    "@everyone #1 | a | b |",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1b[2J\x1b[1;1HPASS",
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "[bold red]markup[/]",
    ":smile:",
    "\u202egnp.exe",
    "]]>&lol;<![CDATA[",
    "\x00\x0b\x0c\x1c\x85\u2028\ufffe\uffff",
    "\ud800",
    "line\r\nline\rline\n",
    "../../index.html",
    "NaN",
    "e\u0301 \u674e\u96f7 \U0001f469\u200d\U0001f4bb",
)
"""Texts that do harm somewhere, one kind each."""


def hostile_text() -> st.SearchStrategy[str]:
    """Any text, lone surrogates included, mixed with what is known to do harm."""
    anything = st.text(st.characters(exclude_categories=()), max_size=30)
    return st.lists(st.one_of(st.sampled_from(HOSTILE), anything), min_size=1, max_size=3).map(
        lambda parts: "".join(parts) or "x"
    )


# ── a large class ───────────────────────────────────────────────────────────────────────

FIRST = ("Ada", "Amira", "Björn", "Chen", "Dana", "Emeka", "Fatima", "Grace", "Hiro", "Ines", "Jonas", "Linus")
LAST = ("Abbas", "Berg", "Castro", "Dijkstra", "Eze", "Fischer", "Garcia", "Hopper", "Ito", "Jansen", "Kowalska")


def large_class(students: int) -> tuple[tuple[Report, ...], Background]:
    """Made-up results of the whole course: some did half of it, some are late, some checks are hard, an engine died."""
    names = [f"{FIRST[at % 12]} {LAST[at % 11]}" + (f" {at // 132 + 1}" if at >= 132 else "") for at in range(students)]
    made = [
        report_of(name, *(_made_up(exercise, at, place) for place, exercise in enumerate(COURSE.exercises)))
        for at, name in enumerate(names)
    ]
    graded = [(report.student, one) for report in made for one in report.exercises if one.checks]
    history = [
        Past(f"2026-11-0{attempt}", name, one.id, str(attempt), one.status, (one.score or 0) * attempt / 4, 10.0)
        for at, (name, one) in enumerate(graded)
        for attempt in range(1 + at % 4, 5)
    ]
    timings = [
        Timing(name, one.id, "built", 1.7 + at % 40, 10**8 + 10**6 * at) for at, (name, one) in enumerate(graded)
    ]
    marks = final_grades(
        made,
        Policy(late=Late(datetime(2026, 11, 20, tzinfo=UTC), per_day=0.1)),
        [Override(names[1], "3.1.1", 10.0, "shown in class", "jp"), Override(names[-1], comment="Come and see me.")],
        {name: f"2026-11-{day}T12:00:00+00:00" for name, day in zip(names, itertools.cycle((18, 19, 19, 21, 22)))},
    )
    return tuple(made), Background(
        COURSE.title,
        "2026-11-28T17:22:00+00:00",
        sections(ROOT),
        history,
        timings,
        {one.student: one for one in marks},
        {name: "AB"[at % 2] for at, name in enumerate(names)},
    )


def _made_up(exercise: Exercise, student: int, place: int) -> ExerciseReport:
    if place > 8 and student % 3 == 1:
        return not_submitted(exercise)
    if (student, place) == (2, 4):
        return not_graded(exercise, "The engine stopped answering during the build (connection reset).")
    if (student, place) == (3, 5):
        return replace(rejected_exercise(), id=exercise.id, title=exercise.title)
    outcomes: list[Outcome] = []
    for at, check in enumerate(exercise.checks):
        if check.needs and outcomes and outcomes[0][0] is CheckStatus.FAILED:
            outcomes.append(blocked([exercise.checks[0]]))
        elif (student * 5 + place * 3 + at) % 8:
            outcomes.append((CheckStatus.PASSED, Finding(passed=True)))
        else:
            why, example = tuple(REASONS)[(7 * place + at) % len(REASONS)], failed_check()
            told = Finding(False, example.message, why, example.expected, example.actual, "", example.reproduce)
            outcomes.append((CheckStatus.FAILED, told))
    return score_exercise(COURSE, exercise, outcomes, 4.0)
