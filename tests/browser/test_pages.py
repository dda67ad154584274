"""The pages as Chromium shows them: nothing of a student's runs, nothing is fetched, all is found by its role."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

from grader.models import Report
from grader.reports.html import Background, class_page, student_page
from grader.sanitize import safe_names
from tests import reports

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]

HOSTILE = reports.filled_with("".join(reports.HOSTILE) + "long" * 100)
PAGES = ("class", "course", "student", "hostile")
PHONE, DESK = {"width": 320, "height": 640}, {"width": 1100, "height": 800}
SHOWN = [(PHONE, "light"), (PHONE, "dark"), (DESK, "light"), (DESK, "dark")]
Opens = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Five students and one whose every text does harm if it is let; and the whole course for 12 and for 300."""
    folder = tmp_path_factory.mktemp("results")
    small = _written(folder / "small", (*reports.sample_class(), HOSTILE), Background("Docker exercises"))
    course = _written(folder / "course", *reports.large_class(12))
    _written(folder / "large", *reports.large_class(300))
    return {
        "class": folder / "small/report.html",
        "course": folder / "course/report.html",
        "large": folder / "large/report.html",
        "student": course["Ada Abbas"],
        "example": small["zoe"],
        "hostile": small[HOSTILE.student],
    }


def _written(folder: Path, students: tuple[Report, ...], background: Background) -> dict[str, Path]:
    (folder / "students").mkdir(parents=True)
    (folder / "report.html").write_text(class_page(students, background), encoding="utf-8")
    files = {name: folder / f"students/{file}.html" for name, file in safe_names(r.student for r in students).items()}
    for report in students[:2] + students[-5:]:
        files[report.student].write_text(student_page(report, background), encoding="utf-8")
    return files


@pytest.fixture
def opens(browser: Browser, pages: dict[str, Path]) -> Iterator[Opens]:
    """Opens a page. What it says on its console, fetches besides itself or asks in a dialogue fails the test."""
    complaints: list[str] = []
    contexts = ExitStack()

    def fetched(request: Request) -> None:
        if not request.is_navigation_request() or not request.url.startswith("file://"):
            complaints.append(f"request: {request.url}")

    def opened(name: str, size: dict[str, int] = DESK, scheme: str = "light", **options: Any) -> Page:
        viewport: Any = size
        asked: Any = scheme
        context = browser.new_context(viewport=viewport, color_scheme=asked, **options)
        contexts.callback(context.close)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialogue: {dialog.message}"))
        page.on("request", fetched)
        page.goto(pages[name].as_uri())
        return page

    with contexts:
        yield opened
    assert complaints == []


def names(page: Page) -> list[str]:
    """The students that the table shows, from the top."""
    return page.locator("#grid tbody tr:visible th").all_inner_texts()


# ── every page ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", PAGES)
def test_nothing_of_a_students_runs_and_nothing_is_fetched(opens: Opens, name: str) -> None:
    page = opens(name)
    page.wait_for_load_state("networkidle")
    assert "ran" not in page.title().split()
    assert page.locator("script").count() == 1
    assert page.locator("img, iframe, object, base, link").count() == 0


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("size", "scheme"), SHOWN)
def test_a_page_fits_its_window_in_the_colours_asked_for_and_axe_finds_no_barrier(
    opens: Opens, name: str, size: dict[str, int], scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opens(name, size, scheme, bypass_csp=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    text, paper = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert (text > paper) == (scheme == "dark")
    results = axe.Axe().run(page)
    assert [violation["id"] for violation in results.response["violations"]] == [], results.generate_report()


# ── the class ───────────────────────────────────────────────────────────────────────────


def test_the_page_of_the_class_is_found_by_role(opens: Opens) -> None:
    page = opens("class")
    expect(page.get_by_role("heading", level=1)).to_have_text("Docker exercises")
    for heading in ("Not graded: 2", "Students", "Scores", "Progress", "Exercises", "Checks, worst first"):
        expect(page.get_by_role("heading", level=2, name=heading, exact=True)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Students by share of the points: 0–10%: "))).to_be_visible()
    table = page.get_by_role("region", name="Students").get_by_role("table")
    row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name="zoe"))
    expect(row.get_by_role("cell").nth(3)).to_have_text("3")
    expect(table.get_by_role("cell", name="not handed in")).not_to_have_count(0)


def test_columns_sort_by_mouse_and_keyboard(opens: Opens) -> None:
    page = opens("class")
    head = page.locator("#grid").get_by_role("columnheader", name="Total")
    head.get_by_role("button").click()
    assert names(page)[0] == "amira"
    expect(head).to_have_attribute("aria-sort", "descending")
    head.get_by_role("button").press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert names(page)[-1] == "amira"
    page.locator("#grid").get_by_role("button", name="Student").click()
    assert names(page)[-1] == "李雷"
    checks = page.get_by_role("region", name="Checks")
    checks.get_by_role("button", name="Failed", exact=True).click()
    expect(checks.get_by_role("row").nth(1)).to_contain_text("4 of 5")
    page = opens("course")
    page.get_by_role("region", name="Checks").get_by_role("button", name="Exercise").click()
    shown = page.locator("[aria-labelledby=checks] tbody td:first-child").all_inner_texts()
    assert shown == sorted(shown)
    assert len(set(shown)) > 5


@pytest.mark.parametrize(
    ("find", "show", "where", "shown"),
    [
        ("", "", "", 6),
        ("ZO", "", "", 1),
        ("nobody", "", "", 0),
        ("", "who did not hand in", "", 2),
        ("", "full points", "3.1.4", 2),
        ("", "who lacks points", "3.1.4", 3),
        ("zo", "who lacks points", "3.1.5", 0),
        ("", "what was not graded", "3.1.5", 1),
    ],
)
def test_students_are_found_and_filtered(opens: Opens, find: str, show: str, where: str, shown: int) -> None:
    page = opens("class")
    page.get_by_role("searchbox", name="Find").fill(find)
    page.get_by_role("combobox", name="Show").select_option(show)
    page.get_by_role("combobox", name="in").select_option(where)
    assert len(names(page)) == shown
    expect(page.get_by_role("status")).to_have_text("" if shown == 6 else f"{shown} of 6 students")


def test_a_filter_knows_groups_and_the_columns_before_the_exercises(opens: Opens) -> None:
    page = opens("course")
    assert set(page.locator("#grid td.group").all_inner_texts()) == {"A", "B"}
    page.get_by_role("combobox", name="Show").select_option("full points")
    page.get_by_role("combobox", name="in").select_option("3.1.1")
    assert set(page.locator("#grid tbody tr:visible td:nth-child(5)").all_inner_texts()) == {"10"}


def test_arrow_keys_go_from_cell_to_cell_and_enter_opens_the_students_exercise(opens: Opens) -> None:
    page = opens("class")
    page.get_by_role("link", name="chen-wei").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.textContent") == "3"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Björn Ó Súilleabháin")
    assert page.url.endswith("#3.1.4/example")


def test_names_and_heads_stay_in_view_in_a_large_class_and_it_opens_at_once(opens: Opens) -> None:
    page = opens("large", {"width": 700, "height": 800})
    grid = page.get_by_role("region", name="Students")
    grid.evaluate("box => box.scrollTo(300, 4000)")
    inside: Any = grid.bounding_box()
    head: Any = grid.get_by_role("columnheader", name="Student").bounding_box()
    row: Any = page.locator("#grid tbody th").nth(150).bounding_box()
    assert abs(head["y"] - inside["y"]) < 3
    assert abs(head["x"] - inside["x"]) < 3
    assert abs(row["x"] - inside["x"]) < 3


def test_without_the_script_all_is_there_but_the_tools(opens: Opens) -> None:
    page = opens("class", java_script_enabled=False)
    assert len(names(page)) == 6
    expect(page.get_by_role("searchbox")).to_have_count(0)


# ── a student ───────────────────────────────────────────────────────────────────────────


def test_a_link_opens_what_is_folded(opens: Opens) -> None:
    page = opens("example")
    page.get_by_role("navigation").get_by_role("link", name="3.1.1").click()
    expect(page.get_by_text("The run prints the prediction").last).to_be_visible()
    page = opens("student")
    page.get_by_text("Read: ").first.get_by_role("link").click()
    expect(page.locator(".handbook details[open]")).to_have_count(1)
    expect(page.locator(".handbook details[open] > :nth-child(2)")).to_be_visible()


def test_a_command_is_copied_in_one_piece_by_the_button_and_by_hand(opens: Opens) -> None:
    page = opens("example", PHONE, permissions=["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy").last
    button.click()
    expect(page.get_by_role("button", name="Copied")).to_have_count(1)
    assert page.evaluate("navigator.clipboard.readText()") == reports.failed_check().reproduce
    code = page.locator("pre code", has_text="docker run")
    code.select_text()
    assert page.evaluate("getSelection().toString()") == reports.failed_check().reproduce


def test_print_shows_what_is_folded(opens: Opens) -> None:
    page = opens("example")
    folded = page.get_by_text("The run prints the prediction").last
    expect(folded).not_to_be_visible()
    page.emulate_media(media="print")
    expect(folded).to_be_visible()
