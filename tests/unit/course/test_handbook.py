"""What `grader explain` shows of the handbook."""

from __future__ import annotations

from pathlib import Path

import pytest

from grader.course.handbook import anchor_of, explanation, section

ROOT = Path(__file__).parents[3]
PAGE = "# Layers\n\nAll about them.\n\n## The right order\n\nWhat changes often stands last.\n\n## More\n\nEnd.\n"


def test_a_section_is_its_heading_and_what_stands_below_it() -> None:
    assert section(PAGE, "the-right-order") == "## The right order\n\nWhat changes often stands last.\n\n"
    assert section(PAGE, "") == PAGE
    with pytest.raises(KeyError):
        section(PAGE, "no-such-heading")


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [("## CMD and ENTRYPOINT", "cmd-and-entrypoint"), ("# Why not a machine?", "why-not-a-machine")],
)
def test_an_anchor_is_made_of_its_heading(heading: str, anchor: str) -> None:
    assert anchor_of(heading) == anchor


def test_exercises_and_reasons_are_explained_for_a_terminal() -> None:
    reason = explanation(ROOT, "cmd_replaced")
    assert reason.startswith("## Arguments replace CMD\n")
    assert "`add.py`\n\n```python\nimport sys" in reason
    page = explanation(ROOT, "3.1.4")
    assert page.startswith("# CMD and ENTRYPOINT\n")
    assert reason in page
    assert "](" not in explanation(ROOT, "3.2.P")


def test_what_is_not_in_the_index_or_has_no_handbook_has_no_explanation(tmp_path: Path) -> None:
    assert explanation(ROOT, "9.9.9") == ""
    assert explanation(tmp_path, "3.1.4") == ""
