"""The pages as Chromium shows them: nothing of a student's runs, nothing is fetched, all is found by its role."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from grader.models import Report
from grader.reports.html import class_page, student_page
from grader.sanitize import safe_name
from tests import reports

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]

PAYLOAD = "".join(reports.HOSTILE) + "long" * 100
PHONE, DESK = {"width": 320, "height": 640}, {"width": 1100, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch's pages: five students, and one whose every text does harm if it is let."""
    made = tmp_path_factory.mktemp("results")
    students = (*reports.sample_class(), reports.filled_with(PAYLOAD))
    (made / "report.html").write_text(class_page("Docker exercises", students), encoding="utf-8")
    (made / "students").mkdir()
    for report in students:
        _student_file(made, report).write_text(student_page(report), encoding="utf-8")
    return made


@pytest.fixture
def pages(folder: Path) -> dict[str, Path]:
    hostile = _student_file(folder, reports.filled_with(PAYLOAD))
    return {"class": folder / "report.html", "student": folder / "students" / "zoe.html", "hostile": hostile}


def _student_file(folder: Path, report: Report) -> Path:
    return folder / "students" / f"{safe_name(report.student)}.html"


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(browser: Browser, complaints: list[str]) -> Iterator[Page]:
    """A new page; whatever it says on its console, fetches besides itself or asks in a dialogue is a complaint."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    page.on("console", lambda message: complaints.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    page.on("dialog", lambda dialog: complaints.append(f"dialogue: {dialog.message}"))

    def fetched(request: Request) -> None:
        if not request.is_navigation_request() or not request.url.startswith("file://"):
            complaints.append(f"request: {request.url}")

    page.on("request", fetched)
    yield page
    context.close()


@pytest.mark.parametrize("name", ["class", "student", "hostile"])
def test_nothing_runs_and_nothing_is_fetched(
    page: Page, pages: dict[str, Path], name: str, complaints: list[str]
) -> None:
    page.goto(pages[name].as_uri())
    page.wait_for_load_state("networkidle")
    assert "ran" not in page.title().split()
    assert page.locator("script, img, iframe, object, form, base, link").count() == 0
    assert complaints == []


@pytest.mark.parametrize("name", ["class", "student", "hostile"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_no_page_is_wider_than_its_window(page: Page, pages: dict[str, Path], name: str, size: dict[str, int]) -> None:
    page.set_viewport_size({"width": size["width"], "height": size["height"]})
    page.goto(pages[name].as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_the_class_page_is_found_by_role(page: Page, pages: dict[str, Path]) -> None:
    page.goto(pages["class"].as_uri())
    expect(page.get_by_role("heading", level=1)).to_have_text("Docker exercises")
    for heading in ("Not graded: 2", "Students", "Exercises", "Checks that failed most often"):
        expect(page.get_by_role("heading", level=2, name=heading, exact=True)).to_be_visible()
    table = page.get_by_role("region", name="Students").get_by_role("table")
    expect(table.get_by_role("columnheader", name="3.1.4")).to_be_visible()
    row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="zoe"))
    expect(row.get_by_role("cell").nth(3)).to_have_text("3 failed")


def test_a_link_of_the_class_page_opens_the_students_page(
    page: Page, pages: dict[str, Path], complaints: list[str]
) -> None:
    page.goto(pages["class"].as_uri())
    page.get_by_role("link", name="Björn").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Björn Ó Súilleabháin")
    expect(page.get_by_role("main")).to_contain_text('exec: "100": executable file not found')
    assert complaints == []


def test_a_command_that_is_wrapped_on_a_phone_is_copied_in_one_piece(page: Page, pages: dict[str, Path]) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(pages["student"].as_uri())
    code = page.locator("pre code", has_text="docker run")
    code.select_text()
    assert page.evaluate("getSelection().toString()") == reports.failed_check().reproduce


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_dark_on_light_or_light_on_dark_as_asked(browser: Browser, pages: dict[str, Path], scheme: str) -> None:
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = context.new_page()
    page.goto(pages["student"].as_uri())
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    text, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (text > paper) == (scheme == "dark")
    context.close()


@pytest.mark.parametrize("name", ["class", "student", "hostile"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_axe_finds_no_barrier(
    browser: Browser, pages: dict[str, Path], name: str, scheme: str, size: dict[str, int]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    context = browser.new_context(
        bypass_csp=True,
        color_scheme="dark" if scheme == "dark" else "light",
        viewport={"width": size["width"], "height": size["height"]},
    )
    page = context.new_page()
    page.goto(pages[name].as_uri())
    results = axe.Axe().run(page)
    assert [violation["id"] for violation in results.response["violations"]] == [], results.generate_report()
    context.close()
