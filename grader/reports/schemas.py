"""What is published about the classes of a course: the JSON Schema of `exercises.yaml`, and the tables of checks.

`python -m grader.reports.schemas` writes the schema, and the tables of two pages of docs/ where this is a checkout.
(The schema of a report is a contract: it stands beside, written by hand, and `to_json` is tested against it.)
Descriptions are the docstrings below the fields of `grader.course.models`, which pydantic finds in its own models only.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from grader.checks import CHECK_KINDS, REASONS
from grader.checks.base import Inputs
from grader.course import models as spec
from grader.course.registry import Check

FOLDER = Path(__file__).parent / "schema"
"""Where the files are kept; they are part of the package."""
_DOCS = Path(__file__).parents[2] / "docs"
PAGES = (_DOCS / "exercises.md", _DOCS / "handbook/reasons.md")
"""The pages with tables, where this is a checkout."""


def rendered() -> dict[Path, str]:
    """The text of each file, always the same for the same classes."""
    course = json.dumps(course_schema(), indent=2, ensure_ascii=False) + "\n"
    files = {FOLDER / "exercises.schema.json": course}
    return files | {page: with_tables(_on_disk(page)) for page in PAGES if page.exists()}


def with_tables(page: str) -> str:
    """A Markdown page with the tables of kinds and of reasons between the marks made for them."""
    for name, rows in {"kinds": _kind_rows(), "reasons": _reason_rows(), "codes": _code_rows()}.items():
        mark, end = f"<!-- {name}: made by python -m grader.reports.schemas -->\n", f"<!-- end of {name} -->"
        table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
        before, found, after = page.partition(mark)
        page = f"{before}{mark}{table}\n{end}{after.partition(end)[2]}" if found else page
    return page


def _kind_rows() -> Iterator[tuple[str, ...]]:
    shared, weeks = ({field.name for field in dataclasses.fields(owner)} for owner in (Check, Inputs))
    yield from (("kind", "asks", "own keys"), ("---", "---", "---"))
    for name, kind in CHECK_KINDS.items():
        inherited = weeks if issubclass(kind, Inputs) else shared
        keys = [f"`{field.name}`" for field in dataclasses.fields(kind) if field.name not in inherited]
        keys += ["how the weeks are given"] if issubclass(kind, Inputs) else []
        yield f"`{name}`", " ".join((kind.__doc__ or "").split()).rstrip("."), ", ".join(keys)


def _reason_rows() -> Iterator[tuple[str, ...]]:
    yield from (("code", "reason", "when"), ("---", "---", "---"))
    yield from sorted((reason.code, f"`{reason.name}`", reason.when) for reason in REASONS.values())


def _code_rows() -> Iterator[tuple[str, ...]]:
    """What `grader explain` knows of a code, for students: the code leads to its section of the handbook."""
    yield from (("code", "what happened"), ("---", "---"))
    index = _DOCS / "handbook/index.yaml"
    places = yaml.safe_load(_on_disk(index))["reasons"] if index.exists() else {}
    found = [(reason.code, places[reason.name], reason.when) for reason in REASONS.values() if reason.name in places]
    yield from ((f"[{code}]({place})", when) for code, place, when in sorted(found))


def course_schema() -> dict[str, Any]:
    """The JSON Schema of `exercises.yaml`, by draft 7 (https://json-schema.org/draft-07), which editors know."""
    classes = {**vars(spec), **{kind.__name__: kind for kind in CHECK_KINDS.values()}}
    made = TypeAdapter(spec.Course).json_schema(schema_generator=_Untitled, ref_template="#/definitions/{model}")
    definitions = made.pop("$defs")
    for name, definition in {"Course": made, **definitions}.items():
        described = {"kind": definition["description"], **_descriptions(classes[name])}
        for key, field in definition["properties"].items():
            field.update({"description": described[key]} if key in described else {})
    head = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "urn:grader:exercises:v1",
        "title": "A course: exercises.yaml",
    }
    whole: dict[str, Any] = _as_draft7({**head, **made, **head, "definitions": definitions})
    return whole


def _on_disk(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


class _Untitled(GenerateJsonSchema):
    """Without the titles that only repeat a key: an editor would show `Run Seconds` above each description."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def _as_draft7(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Draft 7 ignores what stands beside `$ref`, and knows no `discriminator` (which is OpenAPI's)."""
    if isinstance(value, list):
        return [_as_draft7(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: _as_draft7(item) for key, item in value.items() if key != "discriminator"}
    if "$ref" in made and len(made) > 1:
        made["allOf"] = [{"$ref": made.pop("$ref")}]
    return made


def _descriptions(owner: type) -> dict[str, str]:
    """What is said below each field of a dataclass, inherited fields included."""
    found: dict[str, str] = {}
    for ancestor in filter(dataclasses.is_dataclass, reversed(owner.__mro__)):
        for node in ast.walk(ast.parse(inspect.getsource(ancestor))):
            for pair in itertools.pairwise(node.body if isinstance(node, ast.ClassDef) else ()):
                match pair:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = inspect.cleandoc(text)
                    case _:
                        pass
    return found


if __name__ == "__main__":
    for file, text in rendered().items():
        file.write_text(text, encoding="utf-8")
