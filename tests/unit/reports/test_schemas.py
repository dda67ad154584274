"""The published JSON Schemas are those of the classes, and editors can use them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from grader.course.yaml_source import read_yaml
from grader.reports.schemas import course_schema, rendered, with_tables

COURSES = [
    path
    for path in (Path(__file__).parents[1] / "specs" / "course.yaml", Path(__file__).parents[3] / "exercises.yaml")
    if path.exists()
]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return course_schema()


def within(value: object) -> list[dict[str, Any]]:
    """Every mapping inside a JSON value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [part for item in inner for part in within(item)]
    return [value, *found] if isinstance(value, dict) else found


@pytest.mark.parametrize("path", list(rendered()), ids=lambda path: path.name)
def test_the_files_are_what_the_classes_say(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == rendered()[path], "stale: run `python -m grader.reports.schemas`"


def test_only_what_stands_between_its_marks_is_the_table() -> None:
    mark, end = "<!-- kinds: made by python -m grader.reports.schemas -->\n", "<!-- end of kinds -->"
    page = with_tables(f"before\n{mark}| stale |\n{end}\nafter\n")
    assert page.startswith(f"before\n{mark}| kind | asks |")
    assert page.endswith(f" |\n{end}\nafter\n")
    assert "| `builds` | The Dockerfile builds |" in page
    assert "| stale |" not in page


def test_the_schema_of_a_course_is_draft_7(schema: dict[str, Any]) -> None:
    later = {"prefixItems", "$defs", "unevaluatedProperties", "dependentRequired", "$dynamicRef", "discriminator"}
    jsonschema.validators.validator_for(schema).check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert not [part for part in within(schema) if later & part.keys()]
    assert not [part for part in within(schema) if "$ref" in part and len(part) > 1]


@pytest.mark.parametrize("path", COURSES, ids=lambda path: path.name)
def test_valid_courses_satisfy_it(schema: dict[str, Any], path: Path) -> None:
    jsonschema.Draft7Validator(schema).validate(read_yaml(path.read_text(encoding="utf-8")).data)


def test_every_key_is_described_also_those_that_checks_share(schema: dict[str, Any]) -> None:
    mappings = [schema, *schema["definitions"].values()]
    described = {
        (part["description"], key): field.get("description")
        for part in mappings
        for key, field in part["properties"].items()
    }
    assert [place for place, text in described.items() if not text] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("titel",), "x"),
        (("version",), 2),
        (("exercises", 0, "id"), 3.1),
        (("exercises", 0, "id"), "../x"),
        (("exercises", 0, "checks"), []),
        (("exercises", 0, "checks", 0, "kind"), "build"),
        (("exercises", 0, "checks", 0, "modules"), ["numpy"]),
        (("exercises", 0, "checks", 2, "version"), 3.9),
        (("exercises", 0, "cases", 0, "weeks"), [1, 2]),
        (("limits", "memory_mb"), 0.5),
    ],
)
def test_an_editor_marks_what_the_loader_would_refuse(
    schema: dict[str, Any], path: tuple[Any, ...], value: object
) -> None:
    data = copy.deepcopy(read_yaml(COURSES[0].read_text(encoding="utf-8")).data)
    owner: Any = data
    for step in path[:-1]:
        owner = owner[step]
    owner[path[-1]] = value
    assert not jsonschema.Draft7Validator(schema).is_valid(data)
