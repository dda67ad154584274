"""Ready-made files for platforms: valid by their schemas; Classroom 50's result by its collector's rules."""

from __future__ import annotations

import importlib.resources
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from grader import __version__
from grader.cli.ci import ci_command
from grader.reports.json import to_json
from tests import reports

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "ci"
IDENTITY = {
    "CLASSROOM": "docker-2026",
    "ASSIGNMENT": "arguments",
    "SUBMISSION_TAG": "submit/20260601T143201Z-abc1234",
    "COMMIT_URL": "https://example.org/commit",
    "RELEASE_URL": "https://example.org/release",
}


def plain(path: Path) -> Any:  # noqa: ANN401 - any YAML value
    """What a platform reads: for YAML 1.2, `on` is a text."""
    return yaml.safe_load(re.sub(r"(?m)^on:", '"on":', path.read_text()))


def schema(name: str) -> Any:  # noqa: ANN401 - a JSON document
    """A schema as SchemaStore publishes it, from the package check-jsonschema, which carries it."""
    folder = importlib.resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / f"{name}.json").read_text())


WORKFLOWS = [*EXAMPLES.glob("github-*.yml"), *(ROOT / ".github" / "workflows").glob("*.yml")]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *((path, "github-workflows") for path in WORKFLOWS),
        (ROOT / "action.yml", "github-actions"),
        (EXAMPLES / "gitlab-ci.yml", "gitlab-ci"),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_it_is_valid_by_the_platforms_schema(path: Path, name: str) -> None:
    jsonschema.validate(plain(path), schema(name))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_gives_strangers_code_a_token_that_can_only_read(path: Path) -> None:
    workflow = plain(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in workflow["on"]
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout"):
                assert step["with"]["persist-credentials"] is False


def test_the_action_uses_options_that_exist() -> None:
    known = {name for parameter in ci_command.params for name in parameter.opts}
    script = plain(ROOT / "action.yml")["runs"]["steps"][-1]["run"]
    assert {word.strip("()\"';") for word in script.split() if word.startswith(("--", "(--"))} - {"--"} <= known


def test_the_hook_has_what_its_manifest_must_have() -> None:
    (hook,) = plain(ROOT / ".pre-commit-hooks.yaml")
    assert {"id", "name", "entry", "language"} <= hook.keys()
    assert hook["pass_filenames"] is False


@pytest.mark.parametrize("path", [*EXAMPLES.glob("github-*.yml"), ROOT / "Dockerfile", ROOT / "CHANGELOG.md"])
def test_versions_are_in_step(path: Path) -> None:
    text = path.read_text()
    wanted = {"Dockerfile": f"ARG VERSION={__version__}", "CHANGELOG.md": "## [Unreleased]"}
    assert wanted.get(path.name, f"grader@v{__version__}") in text or f"## [{__version__}]" in text


# ── Classroom 50 ────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def autograder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("autograder", EXAMPLES / "classroom50" / "autograder.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refusal(result: dict[str, Any]) -> str:
    """Why the platform's collector refuses a result; "" if it does not.

    Its rules: schemas/result-v1.schema.json and validate_result of its runner, in November 2026. `owner` and
    `assignment_type` are stamped by the runner.
    """
    texts = ("classroom", "assignment", "commit", "release", "review", "datetime")
    known = {*texts, "schema", "submission", "graded_at", "score", "max-score", "tests"}
    if result.keys() != known or result["schema"] != "classroom50/result/v1":
        return "keys"
    if not all(isinstance(result[key], str) and result[key] for key in texts):
        return "texts"
    if not result["submission"].startswith("submit/"):
        return "submission"
    for row in (result, *result["tests"]):
        if not (type(row["score"]) is type(row["max-score"]) is int and 0 <= row["score"] <= row["max-score"]):
            return f"score of {row}"
    rows = result["tests"]
    if not all(type(row["passed"]) is bool and isinstance(row["test-name"], str) and row["test-name"] for row in rows):
        return "tests"
    return "" if sum(row["score"] for row in rows) == result["score"] else "sum"


@pytest.mark.parametrize(
    ("score", "points", "test"), [(3, (3, 20), "3.1.4 Pass the weeks as arguments"), (3.25, (325, 2000), "hundredths")]
)
def test_its_collector_takes_the_result(
    autograder: ModuleType, score: float, points: tuple[int, int], test: str
) -> None:
    report = json.loads(to_json(reports.report_of("a", reports.failed_exercise(), reports.missing_exercise())))
    report["exercises"][0]["score"] = score
    result = autograder.to_result(report, IDENTITY)
    assert refusal(result) == ""
    assert (result["score"], result["max-score"]) == points
    assert test in result["tests"][0]["test-name"]
