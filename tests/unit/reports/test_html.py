from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings

from grader.models import ExerciseStatus, LimitsRecord
from grader.reports.html import class_page, student_page
from grader.sanitize import safe_name, sanitize
from tests import reports

VOID = {"meta", "rect"}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section", "h1", "h2", "h3", "p",
    "div", "span", "a", "ol", "ul", "li", "dl", "dt", "dd", "pre", "code", "small", "table", "thead", "tbody",
    "tr", "th", "td", "svg", "rect",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "scope", "tabindex", "role",
    "aria-label", "aria-labelledby", "aria-hidden", "focusable", "viewbox", "preserveaspectratio", "width",
    "height",
}  # fmt: skip


class Page(HTMLParser):
    """What a page holds, and whether its elements are nested as they must be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src"}]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_of_the_class_says_which_limits_held_and_which_were_waived() -> None:
    limits = LimitsRecord(("run memory", "run CPU"), ("run disk",), ("build CPU",))
    asked = [replace(one, engine=replace(one.engine, limits=limits)) for one in reports.sample_class()]
    message = "held: run memory, run CPU; waived, not enforced: run disk; not bounded: build CPU."
    assert Page(class_page("Docker", asked)).text.count(message) == 1
    assert "Limits" not in Page(class_page("Docker", reports.sample_class())).text


def test_a_students_page_says_what_the_terminal_says() -> None:
    text = Page(student_page(reports.every_status())).text
    check = reports.failed_check()
    for part in (
        check.message,
        check.hint,
        check.expected,
        check.actual,
        check.reproduce,
        "Dockerfile:6",
        "not started",
    ):
        assert part in text
    assert [status for status in ExerciseStatus if status.replace("_", " ") not in text] == []
    assert "Next: fix the first failed check." in text


def test_the_class_page_links_to_every_student() -> None:
    links = Page(class_page("Docker", reports.sample_class())).links
    assert links == [f"students/{safe_name(report.student)}.html" for report in reports.sample_class()]


def test_the_class_page_counts() -> None:
    text = " ".join(Page(class_page("Docker", reports.sample_class())).text.split())
    assert "Students5 Mean70% Median57% Full marks1" in text
    assert "3.1.4 Pass the weeks as arguments2 of 5 40%5.8 / 10" in text
    assert "3.1.5 WORKDIR /app2 of 4 50%5 / 10" in text
    assert "docker run sales-predictor 100 120 110 predicts 1103.1.43" in text
    assert "Not graded: 1" in text
    assert "李雷, 3.1.5: The engine stopped answering." in text


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_without_students_or_exercises_still_has_a_page(count: int) -> None:
    assert "Docker" in Page(class_page("Docker", [reports.report_of("amira")] * count)).text


def test_a_text_between_backticks_is_code() -> None:
    check = replace(reports.failed_check(), hint="Use `RUN <x>` here.")
    page = student_page(reports.report_of("a", replace(reports.failed_exercise(), checks=(check,))))
    assert "Use <code>RUN &lt;x&gt;</code> here." in page


def test_a_page_allows_nothing_but_its_own_style() -> None:
    page = student_page(reports.every_status())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; base-uri 'none'; form-action 'none'", policy[1]
    )


@settings(max_examples=60)
@given(reports.hostile_text())
def test_whatever_students_write_is_shown_and_not_obeyed(text: str) -> None:
    report = reports.filled_with(text)
    for written in (student_page(report), class_page("Docker", [report])):
        written.encode()
        page = Page(written)
        assert page.tags <= TAGS
        assert page.attributes <= ATTRIBUTES
        assert [
            link for link in page.links if not re.fullmatch(r"#exercise-\d+|students/[A-Za-z0-9._-]+\.html", link)
        ] == []
    # HTML drops one newline after <pre>, and the page drops outer space; everything else is there
    assert sanitize(text).strip() in Page(student_page(report)).text
