"""The pages are true: links lead somewhere, the handbook has all exercises and reasons, tables are as in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from grader.course.handbook import anchor_of
from grader.engine.run import CAPABILITIES, DIFFERENCES
from tests.worlds import COURSE

DOCS = Path(__file__).parents[2] / "docs"
HANDBOOK = DOCS / "handbook"
INDEX = yaml.safe_load((HANDBOOK / "index.yaml").read_text(encoding="utf-8"))
PAGES = sorted(DOCS.rglob("*.md"))


def anchors(page: Path) -> set[str]:
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    return {anchor_of(heading) for heading in re.findall(r"(?m)^#+ .+$", text)}


def missing(base: Path, place: str) -> bool:
    name, _, anchor = place.partition("#")
    page = base.parent / name if name else base
    return not page.exists() or (bool(anchor) and anchor not in anchors(page))


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [("exercises", {exercise.id for exercise in COURSE.exercises}), ("reasons", set(COURSE.hints))],
)
def test_each_has_a_section(kind: str, wanted: set[str]) -> None:
    assert set(INDEX[kind]) == wanted
    assert [place for place in INDEX[kind].values() if missing(HANDBOOK / "index.md", place)] == []


def test_each_exercise_stands_in_the_table_of_the_first_page() -> None:
    rows = re.findall(r"(?m)^\| (3\.\S+) ", (HANDBOOK / "index.md").read_text(encoding="utf-8"))
    assert rows == [exercise.id for exercise in COURSE.exercises]


def test_each_check_has_a_row_that_says_what_it_sees() -> None:
    rows = re.findall(r"(?m)^\| (`[a-z].+?) \|", (DOCS / "checks.md").read_text(encoding="utf-8"))
    parts = [part for row in rows for part in re.findall(r"((?:`[\w-]+`(?:, )?)+) of ([\d.PL, ]+)", row)]
    told = {
        (exercise, check)
        for names, of in parts
        for check in re.findall(r"[\w-]+", names)
        for exercise in of.split(", ")
    }
    assert told == {(exercise.id, check.id) for exercise in COURSE.exercises for check in exercise.checks}


def test_each_page_names_the_exercises_that_lead_to_it() -> None:
    places = {identifier: place.partition("#")[0] for identifier, place in INDEX["exercises"].items()}
    texts = {page: (HANDBOOK / page).read_text(encoding="utf-8").splitlines()[-1] for page in places.values()}
    assert [identifier for identifier, page in places.items() if identifier not in texts[page]] == []


def test_each_command_at_a_glance_is_run_on_another_page() -> None:
    pages = "\n".join(path.read_text(encoding="utf-8") for path in HANDBOOK.glob("*.md"))
    run = set(re.findall(r"(?m)^\$ (docker (?:compose )?\w+)", pages))
    shown = set(re.findall(r"`(docker (?:compose )?\w+)", (HANDBOOK / "commands.md").read_text(encoding="utf-8")))
    assert shown - run == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    places = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [place for place in places if "://" not in place and missing(page, place)] == []


def test_the_safety_page_has_every_difference_of_a_run() -> None:
    page = (DOCS / "safety.md").read_text(encoding="utf-8")
    section = page.partition("## A run and docker run")[2].partition("\n## ")[0]
    assert re.findall(r"(?m)^\| (`\w+` \| .+) \|$", section) == [
        f"`{field}` | {reason}" for field, reason in DIFFERENCES.items()
    ]
    stay = " ".join(section.partition("Capabilities that stay: ")[2].split())
    assert stay.startswith(", ".join(f"`{name}`" for name in CAPABILITIES) + ".")


def test_the_architecture_page_has_every_part_and_files_that_exist() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    package = DOCS.parent / "grader"
    parts = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(re.findall(r"(?m)^\| `(\w+)/` ", page)) == parts
    read = re.findall(r"(?m)^\d+\. `(.+?)`", page)
    assert len(read) == 10
    assert [name for name in read if not (package / name).is_file()] == []


def test_the_safety_page_names_tests_that_exist() -> None:
    tests = DOCS.parent / "tests"
    named = set(
        re.findall(r"`((?:unit|engine|e2e|fuzz|browser)/\w*)`", (DOCS / "safety.md").read_text(encoding="utf-8"))
    )
    assert named
    assert [name for name in sorted(named) if not ((tests / name).is_dir() or (tests / f"{name}.py").is_file())] == []
