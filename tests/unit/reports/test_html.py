from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from grader.grading.grades import Late, Override, Policy, final_grades
from grader.models import ExerciseReport, ExerciseStatus, LimitsRecord, Past, Timing
from grader.reports.html import Background, class_page, progress, student_page
from grader.sanitize import safe_name, sanitize
from tests import reports

COURSE = Background(
    "Docker", "2026-11-28T17:22:00+00:00", {"cmd_replaced": "## ENTRYPOINT stays\n\nWith `ENTRYPOINT`."}
)
LINK = re.compile(r"#[a-z-]+\d*|(students/[A-Za-z0-9._-]+\.html)?(#[0-9.]+(/[a-z]+)?)?")


class Page(HTMLParser):
    """What a page holds, and whether its elements are nested as they must be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag not in {"meta", "input"}:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] not in {"style", "script"}:
            self.text += data


def plain(page: str) -> str:
    return " ".join(Page(page).text.split())


FAILED = replace(reports.failed_check(), reason="cmd_replaced")
LIMITS = LimitsRecord(("run memory", "run CPU"), ("run disk",), ("build CPU",))


def test_the_page_of_the_class_counts_and_names() -> None:
    timings = [Timing("zoe", "3.1.4", "built", seconds, 10**8) for seconds in (2.0, 34.5)]
    timings += [Timing("amira", "3.1.4", "ran", 99.0, 0), Timing("amira", "3.1.4", "built", 0.0, 0)]
    history = [Past("1", "zoe", "3.1.4", "a", ExerciseStatus.FAILED, 3.0, 10.0)]
    history.append(replace(history[0], at="2", digest="b", score=9.0))
    failed = replace(reports.failed_exercise(), checks=(FAILED,))
    students = [*reports.sample_class(), reports.report_of("yan", failed)]
    students = [replace(one, engine=replace(one.engine, limits=LIMITS)) for one in students]
    page = class_page(students, replace(COURSE, timings=timings, history=history))
    text = plain(page)
    for said in (
        "graded 28 November 2026, 17:22 UTC",
        "Students6 Mean63% Median57% Full points1 Nothing handed in0",
        "Not graded: 1",
        "The engine stopped answering. 1 exercise李雷 3.1.5",
        "3.1.4 Pass the weeks as arguments2 of 6 33%5.33 / 10",
        "3.1.5 WORKDIR /app2 of 4 50%5 / 10",
        "D104Arguments replaced CMD, and the engine tried to execute the first argument.13.1.4yan, 3.1.4: The",
        "3.1.4docker run sales-predictor 100 120 110 predicts 110 0%4 of 44 students",
        "Students by share of the points: 0–10%: 0, 10–20%: 0, 20–30%: 0, 30–40%: 2, 40–50%: 0, 50–60%: 2",
        "attempt 1: 30%, made by 1; attempt 2: 90%, made by 1.",
        "zoe3.1.434.5",
        "zoe3.1.4100 MB",
        "held: run memory, run CPU; waived, not enforced: run disk; not bounded: build CPU.",
    ):
        assert said in text
    assert text.count("zoe3.1.4") == 2, "one build of each student's exercise"
    assert "amira3.1.4" not in text, "no run, and nothing that came from the cache at once"
    assert text.count("Limits, tried") == 1
    links = set(Page(page).links)
    for student in ("zoe", "Björn Ó Súilleabháin"):
        own = f"students/{safe_name(student)}.html"
        assert {own, f"{own}#3.1.1", f"{own}#3.1.4/example"} <= links


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_without_students_or_exercises_still_has_a_page(count: int) -> None:
    assert "Docker" in plain(class_page([reports.report_of("amira")] * count, Background("Docker")))


def test_marks_that_are_not_just_the_points_come_with_their_reasons_on_both_pages() -> None:
    students = reports.sample_class()
    overrides = [Override("zoe", "3.1.4", 8.0, "shown in class", "jp"), Override("amira", "", None, "Well done.")]
    grades = {one.student: one for one in final_grades(students, Policy(weights={"3.1.1": 2.0}), overrides)}
    background = replace(COURSE, grades=grades, groups={"zoe": "Tuesday"})
    text = plain(class_page(students, background))
    assert "zoeTuesday38 / 5023 / 40" in text, "group, mark, points"
    assert "zoe23 / 4038 / 503.1.1: counts × 23.1.4: set by hand by jp (shown in class): 3 → 8" in text
    assert "李雷Not graded" not in text
    assert "Mean72% Median71%" in text, "of the marks: 100, 66, 46 and 76 percent; one is not graded"
    for student, said in (
        (students[4], "Mark: 38 of 50 · the checks gave 23 of 40 points 3.1.1: counts × 23.1.4: set by hand by jp"),
        (students[0], "Well done."),
        (students[3], "No mark yet · the checks gave 30 of 30 points Not graded: 3.1.5"),
    ):
        assert said in plain(student_page(student, background))
    late = Policy(late=Late(datetime(2026, 11, 20, tzinfo=UTC), per_day=0.1))
    (grade,) = final_grades([reports.every_status()], late, (), {"amira": "2026-11-21T12:00:00+00:00"})
    page = student_page(reports.every_status(), replace(COURSE, grades={"amira": grade}))
    assert plain(page).count("late by 2 days: −20 %") == 1


def test_an_attempt_is_other_work_and_who_made_fewer_counts_with_the_last() -> None:
    def past(student: str, digest: str, score: float | None) -> Past:
        return Past("", student, "3.1.1", digest, ExerciseStatus.FAILED, score, 10.0)

    history = [past("a", "x", 2.0), past("b", "x", 4.0), past("a", "x", 6.0), past("a", "", 0.0), past("a", "z", None)]
    assert progress(history) == [(2, 50.0)]
    assert progress([*history, past("a", "y", 10.0)]) == [(2, 50.0), (1, 70.0)]
    assert len(progress([*history, past("a", "y", 10.0), past("a", "x", 6.0)])) == 3, "the first again"


def test_a_students_page_says_what_the_terminal_says_the_first_failure_first() -> None:
    hint = "Use `RUN <x>` here."
    exercise = replace(
        reports.failed_exercise(), checks=(reports.failed_exercise().checks[0], replace(FAILED, hint=hint))
    )
    page = student_page(reports.report_of("a", reports.passed_exercise(), exercise), COURSE)
    text = plain(page)
    wanted = (
        "Docker · graded 28 November 2026, 17:22 UTC", "13 of 20 points", f"Begin here: 3.1.4, {FAILED.title}",
        FAILED.message, FAILED.expected, "executable file not found", "not started", "Dockerfile:6",
        "Read: ENTRYPOINT stays", FAILED.reproduce, "1 check passed", "Passed", "A Dockerfile with Python 3.9",
        "From the handbook", "With ENTRYPOINT.",
    )  # fmt: skip
    assert [part for part in wanted if part not in text] == []
    places = [text.index(part) for part in ("D104 failed", "Passed", "The run prints the prediction", "From the hand")]
    assert places == sorted(places)
    for part in ("Use <code>RUN &lt;x&gt;</code> here.", 'id="3.1.4"', 'id="3.1.4/example"'):
        assert part in page


SOCKET = replace(reports.ungraded_exercise(), message="unix:///run/x.sock: see `grader doctor`, --accept-risk.")


@pytest.mark.parametrize(
    ("exercises", "said"),
    [
        ((reports.passed_exercise(), reports.bonus_exercise()), "Full marks. There is nothing left to do."),
        ((reports.missing_exercise(),), "Nothing was handed in."),
        ((reports.rejected_exercise(),), "is not an allowed base image"),
        ((reports.missing_exercise(), SOCKET), "Not handed in 3.2.1 Add pandas 0 / 10"),
        ((reports.missing_exercise(), SOCKET), "It is not your fault and costs no points"),
    ],
)
def test_a_students_page_says_how_it_stands_and_no_words_for_instructors(
    exercises: Sequence[ExerciseReport], said: str
) -> None:
    text = plain(student_page(reports.report_of("a", *exercises), COURSE))
    assert said in text
    unwanted = (".sock", "doctor", "risk", "broke off", "There is no folder")
    assert [word for word in unwanted if word in text] == []


def test_a_page_allows_nothing_but_its_own_style_and_script() -> None:
    digest = "'sha256-[A-Za-z0-9+/=]{44}'"
    allowed = f"default-src 'none'; style-src {digest}; script-src {digest}; base-uri 'none'; form-action 'none'"
    for page in (student_page(reports.every_status(), COURSE), class_page(reports.sample_class(), COURSE)):
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
        assert policy is not None
        assert re.fullmatch(allowed, policy[1])


HARMLESS = {
    "class": Page(class_page([reports.filled_with("x")], COURSE)),
    "student": Page(student_page(reports.filled_with("x\ny"), COURSE)),
}


@settings(max_examples=60)
@given(reports.hostile_text())
def test_whatever_students_write_is_shown_and_not_obeyed(text: str) -> None:
    report = reports.filled_with(text)
    for kind, written in (("class", class_page([report], COURSE)), ("student", student_page(report, COURSE))):
        written.encode()
        page = Page(written)
        assert set(page.tags) <= {*HARMLESS[kind].tags, "p", "code"}
        assert page.tags.count("script") == 1
        assert page.attributes <= HARMLESS[kind].attributes
        assert [link for link in page.links if not LINK.fullmatch(link)] == []
    # HTML drops one newline after <pre>, and the page drops outer space; everything else is there
    assert sanitize(text).strip() in Page(student_page(report, COURSE)).text
